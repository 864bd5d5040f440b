"""Numbers, units and keys as a reader would write them."""

from collections.abc import Mapping, Sequence
from typing import Any


def number(value: float | None) -> str:
    """A number with three significant digits, readable at any size.

    Example:
        >>> number(1234567.0), number(0.01234), number(-0.0), number(-999.9)
        ('1,230,000', '0.0123', '0', '-1,000')
    """
    if value is None:
        return "none"
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e9:
        rounded = float(f"{value:.3g}")
        return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:.3g}"
    return f"{value:.2e}" if abs(value) < float("inf") else str(value)


def amount(value: float, unit: str, *, bare: bool = False) -> str:
    """A number with its unit, or ``bare``; a relative one in percent.

    Example:
        >>> amount(0.1234, "relative"), amount(3.0, "EUR"), amount(3.0, "1")
        ('12.3 %', '3 EUR', '3')
        >>> amount(0.5, "1 per layers")
        '0.5 per layers'
    """
    relative = unit == "relative"
    if bare or relative:
        return number(100 * value if relative else value) + ("" if bare else " %")
    return f"{number(value)} {unit.removeprefix('1')}".replace("  ", " ").rstrip()


def count(n: int, keys: Sequence[str]) -> str:
    """How many units of what.

    Example:
        >>> count(12, ["seed"]), count(1, ["city"]), count(3, ["city"]), count(2, ["class"])
        ('12 seeds', '1 city', '3 cities', '2 classes')
        >>> count(8, ["seed", "case"]), count(4, ["return_period_years"])
        ('8 combinations of seed and case', '4 values of return_period_years')
    """
    if len(keys) > 1:
        noun = "combination" if n == 1 else "combinations"
        return f"{n} {noun} of {', '.join(keys[:-1])} and {keys[-1]}"
    key = keys[0]
    if not key.isalpha():
        return f"{n} {'value' if n == 1 else 'values'} of {key}"
    return f"{n} {key if n == 1 else _plural(key)}"


def _plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def label(value: Any) -> str:
    """A label as it was written: whole numbers without a fraction.

    Example:
        >>> label(100.0), label(0.035), label("native"), label(True)
        ('100', '0.035', 'native', 'True')
    """
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def place(keys: Mapping[str, Any]) -> str:
    """Where a record stands, by its keys.

    Example:
        >>> place({"step": "flood", "seed": 3, "storm": 100.0})
        'step flood, seed 3, storm 100'
    """
    return ", ".join(f"{key} {label(value)}" for key, value in keys.items())


def passed(result: bool | None) -> str:
    """The verdict word of a check.

    Example:
        >>> passed(True), passed(None)
        ('passes', 'not tested')
    """
    return {True: "passes", False: "fails", None: "not tested"}[result]
