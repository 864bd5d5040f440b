"""One parameter: its value is checked before anything runs, and becomes JSON for the key."""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from assay.core.annotations import Seed, holds_set, is_union, strip_none, type_name
from assay.errors import ParameterError, WorkflowError

EMPTY = inspect.Parameter.empty


@dataclass(frozen=True)
class Param:
    """One parameter: its annotation and its default (``inspect.Parameter.empty`` if required)."""

    name: str
    type: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is EMPTY

    @property
    def is_seed(self) -> bool:
        """Whether it receives a seed."""
        return strip_none(self.type)[1] is Seed

    @cached_property
    def _adapter(self) -> Any:
        import pydantic

        if holds_set(self.type):
            raise WorkflowError(
                f"parameter {self.name!r} is a set, whose order differs between processes",
                accepted="a list",
            )
        try:
            return pydantic.TypeAdapter(self.type)
        except pydantic.errors.PydanticUserError as error:
            raise WorkflowError(
                f"parameter {self.name!r} has type {type_name(self.type)}, which cannot be written "
                "in a file",
                next="Make it an input, or a number, text, list, mapping, File or model.",
            ) from error

    def check(self, value: Any, where: str) -> Any:
        """The value, converted to the parameter's type.

        Raises:
            ParameterError: If it is refused, or a path in it does not exist.
        """
        import pydantic

        try:
            return self._adapter.validate_python(native(value))
        except pydantic.ValidationError as error:
            raise _refusal(error.errors(), self.type, where) from None

    def form(self, value: Any) -> Any:
        """A checked value as JSON for the key; files and folders are replaced by their content."""
        return _finite(self._adapter.dump_python(value, mode="json"))


def native(value: Any) -> Any:
    """A number or array of numpy as Python's own numbers and lists; other values unchanged."""
    kind = type(value)
    return value.tolist() if hasattr(kind, "dtype") and hasattr(kind, "tolist") else value


def scalar(value: Any) -> Any:
    """A value for one cell of a table: what is no number or text is spelt out."""
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def short(value: Any) -> str:
    """A value for an error of one line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _finite(tree: Any) -> Any:
    """JSON in which infinities and NaN are spelt out, since JSON has none."""
    if isinstance(tree, float) and not math.isfinite(tree):
        return {"float": repr(tree)}
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    return [_finite(value) for value in tree] if isinstance(tree, list) else tree


WANTED = {
    "float": "a number", "int": "a whole number", "finite": "a finite number",
    "bool": "true or false", "string": "a text", "list": "a list", "tuple": "a list",
    "dict": "a mapping", "model": "a mapping", "dataclass": "a mapping", "path": "a path",
    "too_long": "at most {max_length} of them", "too_short": "at least {min_length} of them",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
}  # fmt: skip
"""What is accepted, by the kind of pydantic's refusal or its first word."""


def _wanted(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    if kind not in WANTED and kind.endswith(("_type", "_parsing", "_from_float", "_number")):
        kind = kind.partition("_")[0]
    words = WANTED.get(kind)
    return (
        words.format_map(error["ctx"] if "{" in words else {})
        if words
        else (error["msg"].removeprefix("Input should be "))
    )


def _refusal(errors: Sequence[Mapping[str, Any]], annotation: Any, where: str) -> ParameterError:
    """The first thing pydantic says, or what all members of a union say, as one line."""
    first = errors[0]
    if first["type"] == "missing":
        return ParameterError("is missing", where=".".join(map(str, (where, *first["loc"]))))
    if first["type"] == "value_error":
        return ParameterError(first["msg"].removeprefix("Value error, "), where=where)
    union = is_union(strip_none(annotation)[1])
    said = [_wanted(e) for e in (errors if union else errors[:1])]
    inside = "" if union else "".join(f".{part}" for part in first["loc"])
    return ParameterError(
        f"{short(first['input'])} is refused",
        where=where + inside,
        accepted=" or ".join(dict.fromkeys(said)),
    )
