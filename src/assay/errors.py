"""The whole error tree on one page.

    AssayError                 what was wrong, where, what was accepted, what to do next
    ├── UsageError             a name, option or file the user typed is not known
    ├── ParameterError         a parameter's value is refused
    ├── WorkflowError          steps that do not fit together
    │   └── ClaimError         a claim or check that cannot be tested as written
    ├── DataError              a file or a value in it is refused
    ├── ResourceError          more cores, memory or GPUs than the host has
    ├── StoreError             the store cannot be read or written
    │   └── DamagedArtifact    an artifact is not what its digest says
    └── StepError              a component gave up while it ran
        └── SimulationError    a numerical model left its domain of validity

Every one prints as one line. A traceback is shown only with ``--debug``.
"""

import difflib
from collections.abc import Iterable

__all__ = [
    "AssayError",
    "ClaimError",
    "DamagedArtifact",
    "DataError",
    "ParameterError",
    "ResourceError",
    "SimulationError",
    "StepError",
    "StoreError",
    "UsageError",
    "WorkflowError",
    "did_you_mean",
]


class AssayError(Exception):
    """A mistake that the user can repair, told in one line.

    Args:
        what: What was wrong, without a full stop.
        where: File and line, step and parameter, or option it was found in.
        accepted: What would have been accepted.
        next: What to do next, as a sentence.

    Example:
        >>> print(DataError("no coordinate system", where="dem.tif", next="Pass crs='EPSG:32616'."))
        dem.tif: no coordinate system. Pass crs='EPSG:32616'.
    """

    def __init__(self, what: str, *, where: str = "", accepted: str = "", next: str = "") -> None:
        super().__init__(what, where, accepted, next)
        self.what, self.where, self.accepted, self.next = what, where, accepted, next

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        if self.accepted:
            head = f"{head}; expected {self.accepted}"
        text = " ".join(f"{head.rstrip('.')}. {self.next}".split())
        return text if self.next else text.rstrip(".")

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the four parts when an error travels from a worker to the driver."""
        return _rebuild, (type(self), self.what, self.where, self.accepted, self.next)

    def at(self, where: str) -> "AssayError":
        """The same error found further out: ``where`` is put before its place."""
        place = f"{where}: {self.where}" if self.where else where
        return type(self)(self.what, where=place, accepted=self.accepted, next=self.next)


def _rebuild(kind: type[AssayError], what: str, where: str, accepted: str, next: str) -> AssayError:
    return kind(what, where=where, accepted=accepted, next=next)


class UsageError(AssayError):
    """A name, option or file the user typed is not known."""


class ParameterError(AssayError):
    """A parameter's value is refused."""


class WorkflowError(AssayError):
    """Steps that do not fit together."""


class ClaimError(WorkflowError):
    """A claim or check that cannot be tested as written."""


class DataError(AssayError):
    """A file or a value in it is refused."""


class ResourceError(AssayError):
    """More cores, memory or GPUs than the host has."""


class StoreError(AssayError):
    """The store cannot be read or written."""


class DamagedArtifact(StoreError):
    """An artifact is not what its digest says."""


class StepError(AssayError):
    """A component gave up while it ran."""


class SimulationError(StepError):
    """A numerical model left its domain of validity."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest the nearest known name, or list the known ones when they are few.

    Example:
        >>> did_you_mean("router.capcity", ["router.capacity", "experts"])
        "Did you mean 'router.capacity'?"
        >>> did_you_mean("x", ["alpha", "beta"])
        'Known: alpha, beta.'
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"Known: {shown}." if names else ""
