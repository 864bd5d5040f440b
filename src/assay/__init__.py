"""Build a system from components, vary its decisions, and put its claims to the test."""

__version__ = "0.1.0"
