"""What a docstring in Google style says of each argument."""

import inspect
import re
from collections.abc import Callable
from typing import Any

_ARGUMENT = re.compile(r"^    \*{0,2}(\w+)(?: \(.*?\))?: +(.*)$")


def arguments(function: Callable[..., Any]) -> dict[str, str]:
    """The lines below ``Args:``, joined, by argument; nothing if there are none.

    Example:
        >>> def rest(x, *, width_m):
        ...     '''Rest.
        ...
        ...     Args:
        ...         x: What.
        ...         width_m: How wide,
        ...             in metres.
        ...     '''
        >>> arguments(rest)
        {'x': 'What.', 'width_m': 'How wide, in metres.'}
    """
    found: dict[str, str] = {}
    name = ""
    lines = (inspect.getdoc(function) or "").splitlines()
    for line in lines[lines.index("Args:") + 1 :] if "Args:" in lines else ():
        if line and not line.startswith("    "):
            break
        begun = _ARGUMENT.match(line)
        if begun:
            name, found[begun[1]] = begun[1], begun[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found
