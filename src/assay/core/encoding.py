"""Values as JSON and back: numbers, texts, containers, dataclasses, pydantic models, arrays inside.

What JSON lacks is written as a mapping with one key that begins with ``$``: tuples, dates, infinite
numbers, arrays (by number) and classes (by name). Which class is made comes from the annotation of
the port, never from the file, so nothing that is read can run code of its own choosing.
"""

import dataclasses
import math
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any, NewType, get_args, get_origin

import numpy as np

from assay.core.annotations import is_namedtuple, is_union, type_name
from assay.errors import WorkflowError

STORED = "numbers, texts, dates, lists, dicts, dataclasses, pydantic models and arrays"
MAX_DEPTH = 100
"""How deep containers may be nested; also what ends a value that contains itself."""


def holds_array(value: Any, depth: int = 0) -> bool:
    """Whether an array stands anywhere inside a value, as far down as one is stored."""
    if isinstance(value, np.ndarray) or depth > MAX_DEPTH:
        return isinstance(value, np.ndarray)
    if isinstance(value, Mapping):
        value = value.values()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, f.name) for f in dataclasses.fields(value)]
    elif not isinstance(value, list | tuple):
        return False
    return any(holds_array(part, depth + 1) for part in value)


# -- to JSON ------------------------------------------------------------------------------------


def encode(value: Any, arrays: list[np.ndarray] | None = None, depth: int = 0) -> Any:
    """A value as JSON; arrays are moved to ``arrays`` and leave their number behind.

    Raises:
        WorkflowError: If a part of the value has no format.
    """
    if isinstance(value, Enum):
        return {"$type": type(value).__name__, "value": encode(value.value, arrays, depth)}
    if isinstance(value, np.bool_ | np.integer | np.floating):
        value = value.item()
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if type(value) in (date, datetime):  # not those of pandas, which hold more
        return {f"${type(value).__name__}": value.isoformat()}
    if isinstance(value, np.ndarray) and arrays is not None:
        arrays.append(_plain_array(value))
        return {"$array": len(arrays) - 1}
    if depth > MAX_DEPTH:
        raise WorkflowError(
            "a result is nested too deep or contains itself", accepted=f"at most {MAX_DEPTH} levels"
        )
    return _encode_container(value, lambda part: encode(part, arrays, depth + 1))


def _plain_array(array: np.ndarray) -> np.ndarray:
    if isinstance(array, np.ma.MaskedArray):
        raise WorkflowError("a masked array has no storage format", next="Fill it with NaN.")
    if array.dtype.hasobject or array.dtype.names:
        raise WorkflowError(
            f"an array of {array.dtype} has no storage format",
            accepted="arrays of numbers, texts or dates; a table for records",
        )
    return np.asarray(array, order="C")  # one order, so that equal arrays have equal bytes


def _encode_container(value: Any, inner: Callable[[Any], Any]) -> Any:
    kind = type(value).__name__
    if isinstance(value, list):
        return [inner(v) for v in value]
    if isinstance(value, tuple) and not is_namedtuple(type(value)):
        return {"$tuple": [inner(v) for v in value]}
    if isinstance(value, tuple):
        return {"$type": kind} | {k: inner(v) for k, v in value._asdict().items()}  # type: ignore[attr-defined]
    if isinstance(value, type):
        raise WorkflowError(f"the class {value.__name__} has no storage format", accepted=STORED)
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return {"$type": kind} | {k: inner(v) for k, v in fields.items()}
    if hasattr(value, "model_dump"):
        return {"$type": kind} | inner(_dump_model(value))
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise WorkflowError(
                    f"a dict in a result has the key {key!r}",
                    accepted="texts that do not begin with '$'",
                )
        return {k: inner(v) for k, v in value.items()}
    alone = isinstance(value, Path) or kind in ("DataFrame", "Dataset", "DataArray", "Records")
    raise WorkflowError(
        f"a {kind} inside another value has no storage format"
        if alone
        else f"a value of type {kind} has no storage format",
        accepted=STORED,
        next="Return it as an output of its own, a field of a NamedTuple."
        if alone
        else "Or write it to a file and return the path.",
    )


def _dump_model(model: Any) -> dict[str, Any]:
    """A pydantic model as a dict of JSON."""
    try:
        body = model.model_dump(mode="json", by_alias=True, round_trip=True)
    except ValueError as error:
        raise WorkflowError(
            f"a {type(model).__name__} cannot be stored: {error}",
            next="Use a dataclass for arrays.",
        ) from error
    return {"root": body} if model.__pydantic_root_model__ else body


# -- from JSON ----------------------------------------------------------------------------------


def decode(tree: Any, annotation: Any, arrays: Sequence[np.ndarray] = ()) -> Any:
    """The inverse of [`encode`][].

    Args:
        tree: JSON.
        annotation: Type of the port or field, from which classes are taken.
        arrays: Arrays by number.

    Raises:
        WorkflowError: If a class was stored that the annotation does not name.
    """
    kinds = list(_members(annotation))
    if isinstance(tree, dict):
        return _decode_mapping(tree, annotation, kinds, arrays)
    if isinstance(tree, list):
        return [decode(v, hint, arrays) for v, hint in zip(tree, _items(kinds, tree), strict=True)]
    if type(tree) is int and float in kinds and int not in kinds:
        return float(tree)
    return tree


def _decode_mapping(
    tree: dict[str, Any], annotation: Any, kinds: list[Any], arrays: Sequence[np.ndarray]
) -> Any:
    tag = next(iter(tree), "")
    if tag == "$type":
        return _make(_named(tree["$type"], kinds, annotation), tree, arrays)
    if tag == "$array":
        return arrays[tree[tag]]
    if tag == "$tuple":
        parts = tree[tag]
        return tuple(decode(v, h, arrays) for v, h in zip(parts, _items(kinds, parts), strict=True))
    if tag in ("$float", "$date", "$datetime"):
        read = {"$float": float, "$date": date.fromisoformat, "$datetime": datetime.fromisoformat}
        return read[tag](tree[tag])
    hints = next((typing.get_type_hints(k) for k in kinds if typing.is_typeddict(k)), {})
    inner = next((get_args(k)[1] for k in kinds if _is(k, Mapping) and get_args(k)), Any)
    return {k: decode(v, hints.get(k, inner), arrays) for k, v in tree.items()}


def _members(annotation: Any) -> Iterable[Any]:
    """Every type that an annotation allows, without constraints."""
    if get_origin(annotation) is typing.Annotated:
        yield from _members(get_args(annotation)[0])
    elif is_union(annotation):
        for each in get_args(annotation):
            yield from _members(each)
    elif isinstance(annotation, NewType):
        yield from _members(annotation.__supertype__)
    else:
        yield annotation


def _is(kind: Any, base: type) -> bool:
    made = get_origin(kind) or kind
    return isinstance(made, type) and issubclass(made, base)


def _items(kinds: Iterable[Any], parts: Sequence[Any]) -> Sequence[Any]:
    """The annotation of each item of a list or tuple."""
    for kind in kinds:
        inner = get_args(kind)
        if inner and _is(kind, tuple) and inner[-1] is not Ellipsis and len(inner) == len(parts):
            return inner
        if inner and _is(kind, Iterable) and not _is(kind, Mapping):  # type: ignore[type-abstract]
            return [inner[0]] * len(parts)
    return [Any] * len(parts)


def _named(name: str, kinds: Iterable[Any], annotation: Any) -> Any:
    """The class of that name among the annotated ones and those derived from them."""
    waiting = [get_origin(kind) or kind for kind in kinds]
    while waiting:
        kind = waiting.pop(0)
        if isinstance(kind, type) and kind is not object:
            if kind.__name__ == name:
                return kind
            waiting += type.__subclasses__(kind)
    raise WorkflowError(
        f"a {name} was stored by an output that is annotated {type_name(annotation)}",
        next=f"Annotate the output with {name}.",
    )


def _make(kind: Any, tree: dict[str, Any], arrays: Sequence[np.ndarray]) -> Any:
    body = {k: v for k, v in tree.items() if k != "$type"}
    if issubclass(kind, Enum):
        return kind(decode(body["value"], Any, arrays))
    if hasattr(kind, "model_validate"):
        fields = decode(body, Any, arrays)
        return kind.model_validate(fields["root"] if kind.__pydantic_root_model__ else fields)
    hints = typing.get_type_hints(kind, include_extras=True)
    return kind(**{k: decode(v, hints.get(k, Any), arrays) for k, v in body.items()})
