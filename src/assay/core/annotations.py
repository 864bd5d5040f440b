"""What annotations say: which are seeds, files and folders, and whether a value fits a port.

The check is a help, not a proof: what cannot be decided from two annotations is let through.
"""

import types
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

from assay.core.identity import content_digest


@dataclass(frozen=True)
class Content:
    """Marks a path that counts by what it holds, not by its name."""

    kind: Literal["file", "folder"]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """A parameter's path is made absolute and must exist; its JSON is a digest of its content.

        Absolute, because a worker may run in another folder than the driver.
        """
        from pydantic_core import core_schema

        by_content = core_schema.plain_serializer_function_ser_schema(
            lambda path: {"content": content_digest(Path(path))}, when_used="json"
        )
        return core_schema.no_info_after_validator_function(
            self._found, handler(source), serialization=by_content
        )

    def _found(self, path: Path) -> Path:
        place = path.expanduser().absolute()
        if not place.exists():
            raise ValueError(f"no such {self.kind}: {place}")
        if not (place.is_file() if self.kind == "file" else place.is_dir()):
            raise ValueError(f"not a {self.kind}: {place}")
        return place


Seed = NewType("Seed", int)
"""A parameter of this type receives a seed derived from the study's seed and the step's name."""

File = Annotated[Path, Content("file")]
"""A path to a file; as a parameter it counts by content."""

Folder = Annotated[Path, Content("folder")]
"""A path to a folder; as a parameter it counts by names and contents."""


def content_of(annotation: Any) -> Content | None:
    """The marker of a ``File`` or ``Folder`` annotation (also when optional)."""
    _, annotation = strip_none(annotation)
    if get_origin(annotation) is Annotated:
        return next((a for a in get_args(annotation)[1:] if isinstance(a, Content)), None)
    return None


def anchored(value: Any, annotation: Any, base: Path) -> Any:
    """The value with every path to a file or folder in it starting from ``base``."""
    if isinstance(value, list | tuple):
        inner = get_args(strip_none(annotation)[1])
        return [anchored(v, inner[0], base) for v in value] if inner else value
    _, bare = strip_none(annotation)
    marked = any(map(content_of, get_args(bare) if is_union(bare) else [bare]))
    if marked and isinstance(value, str | Path):
        return str(base / Path(value).expanduser())
    return value


def is_namedtuple(annotation: Any) -> bool:
    """Whether an annotation is a NamedTuple class, whose fields are ports."""
    return (
        isinstance(annotation, type)
        and issubclass(annotation, tuple)
        and hasattr(annotation, "_fields")
    )


def is_union(annotation: Any) -> bool:
    """Whether an annotation is ``X | Y`` in either spelling."""
    return get_origin(annotation) in (Union, types.UnionType)


def strip_none(annotation: Any) -> tuple[bool, Any]:
    """(whether None is allowed, the annotation without None)."""
    if not is_union(annotation) or type(None) not in get_args(annotation):
        return False, annotation
    rest = tuple(a for a in get_args(annotation) if a is not type(None))
    return True, rest[0] if len(rest) == 1 else Union[rest]  # noqa: UP007 - built at run time


def holds_set(annotation: Any) -> bool:
    """Whether a set stands anywhere in an annotation."""
    kind = get_origin(annotation) or annotation
    return kind in (set, frozenset) or any(holds_set(a) for a in get_args(annotation))


def fits(produced: Any, wanted: Any) -> bool:
    """Whether a value of type ``produced`` may enter a port of type ``wanted``.

    Example:
        >>> fits(int, float), fits(str, int), fits(int, int | None), fits(int | None, int)
        (True, False, True, False)
    """
    produced, wanted = _bare(produced), _bare(wanted)
    if produced == wanted or Any in (produced, wanted) or wanted is object:
        return True
    if is_union(produced):
        return all(fits(each, wanted) for each in get_args(produced))
    if is_union(wanted):
        return any(fits(produced, each) for each in get_args(wanted))
    if content_of(wanted):
        return content_of(produced) == content_of(wanted)
    if content_of(produced):
        return fits(Path, wanted)
    if isinstance(produced, NewType):
        return fits(produced.__supertype__, wanted)
    if get_origin(produced) is Literal:
        return all(_is_literal(value, wanted) for value in get_args(produced))
    return _classes_fit(produced, wanted)


def _bare(annotation: Any) -> Any:
    """An annotation without constraints and without the shape of an array."""
    if get_origin(annotation) is Annotated and content_of(annotation) is None:
        return _bare(get_args(annotation)[0])
    return getattr(annotation, "array_type", annotation)


def _is_literal(value: Any, wanted: Any) -> bool:
    if get_origin(wanted) is Literal:
        return value in get_args(wanted)
    return fits(type(value), wanted)


def _classes_fit(produced: Any, wanted: Any) -> bool:
    made, asked = get_origin(produced) or produced, get_origin(wanted) or wanted
    if not (isinstance(made, type) and isinstance(asked, type)):
        return made == asked and get_args(produced) == get_args(wanted)
    try:
        if not issubclass(made, asked) and not (made is int and asked is float):
            return False
    except TypeError:  # a protocol or typed dict without a test at run time
        return True
    have, need = get_args(produced), get_args(wanted)
    if not (have and need):
        return True
    if made is tuple:
        return _items_fit(have, need, whole=asked is tuple)
    return len(have) != len(need) or all(map(fits, have, need))


def _items_fit(have: tuple[Any, ...], need: tuple[Any, ...], *, whole: bool) -> bool:
    """Items of a tuple against those of another tuple (``whole``) or of a sequence."""
    if not whole or need[-1] is Ellipsis:
        return all(fits(item, need[0]) for item in have if item is not Ellipsis)
    return len(have) == len(need) and have[-1] is not Ellipsis and all(map(fits, have, need))


def type_name(annotation: Any) -> str:
    """An annotation as a reader would write it."""
    marker = content_of(annotation)
    if marker:
        return marker.kind.capitalize() + (" | None" if strip_none(annotation)[0] else "")
    if get_origin(annotation) is Annotated:
        return type_name(get_args(annotation)[0])
    if is_union(annotation):
        return " | ".join("None" if a is type(None) else type_name(a) for a in get_args(annotation))
    if get_origin(annotation):
        return str(annotation).replace("typing.", "")
    return getattr(annotation, "__name__", str(annotation))
