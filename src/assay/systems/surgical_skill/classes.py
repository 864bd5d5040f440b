"""What is to be found in a frame, and what it may be doing."""

__all__ = ["CLASSES", "DRIVER", "NEEDLE", "STATES"]

CLASSES = ("needle driver", "needle")
"""Names of the classes in the annotations, by label. Of a driver only the clevis is boxed."""
DRIVER, NEEDLE = 0, 1
STATES = (("left", "right"), ("grabbed", "dropped"))
"""Names of an object's states in the annotations (its `orientation`), by label and state."""
