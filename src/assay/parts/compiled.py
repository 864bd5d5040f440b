"""Functions compiled by numba, their machine code kept on disk where that is possible."""

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["kept_on_disk"]


def kept_on_disk(function: Callable[..., Any], **options: Any) -> Any:
    """Compile on first use; the machine code is kept beside its file or in the user's cache.

    Args:
        function: What to compile.
        options: Of `numba.njit`. Division by zero gives infinity, as in numpy, and other threads
            run meanwhile.
    """
    options = {"error_model": "numpy", "nogil": True} | options
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither folder can be written: compile in every process
        return njit(**options)(function)
