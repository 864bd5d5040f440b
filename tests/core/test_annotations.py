"""What fits into what: types, units as types, files, and what cannot be decided."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, Protocol, TypedDict

import numpy as np
import pytest
from jaxtyping import Float
from pydantic import Field

from assay.core.annotations import File, Folder, Seed, anchored, fits, type_name
from core.toys import Feet, Metres


class Animal: ...


class Dog(Animal): ...


class Depths(NamedTuple):
    low: Metres


class Shaped(Protocol):
    shape: tuple[int, ...]


class Body(TypedDict):
    mass: float


Deep = NewType("Deep", Metres)

FITS = [
    (int, int),
    (int, float),
    (bool, int),
    (int, object),
    (int, Any),
    (Any, int),
    (Dog, Animal),
    (int, int | None),
    (int | str, str | int | None),
    (Metres, Metres),
    (Metres, Metres | None),
    (Metres | None, Metres | None),
    (Metres, float),
    (Deep, Metres),
    (list[Metres], list[float]),
    (Annotated[int, Field(ge=0)], int),
    (int, Annotated[float, Field(ge=0)]),
    (list[int], Sequence[float]),
    (list[int], list),
    (dict[str, int], Mapping[str, int]),
    (dict[str, int], Iterable[str]),
    (tuple[int, int], tuple[float, ...]),
    (tuple[int, ...], tuple[int, ...]),
    (tuple[int, bool], Sequence[int]),
    (Literal["a"], str),
    (Literal["a"], Literal["a", "b"]),
    (File, File),
    (File, File | None),
    (File, Path),
    (Float[np.ndarray, "x y"], np.ndarray),
    (np.ndarray, Float[np.ndarray, "x y"]),
    (np.ndarray, Shaped),
    (dict, Body),
    (Depths, Depths),
]
REFUSED = [
    (float, int),
    (str, int),
    (bool, float),
    (Animal, Dog),
    (int | None, int),
    (int | str, int),
    (float, Metres),
    (Feet, Metres),
    (Feet, Metres | None),
    (Metres, Deep),
    (list[Feet], list[Metres]),
    (list[str], Sequence[int]),
    (int, list[int]),
    (dict[str, str], Mapping[str, int]),
    (tuple[int, int], tuple[int, int, int]),
    (tuple[int, ...], tuple[int, int]),
    (tuple[int, str], tuple[int, ...]),
    (Literal["a", "c"], Literal["a", "b"]),
    (str, Literal["a", "b"]),
    (Literal["a"], int),
    (File, Folder),
    (Path, File),
    (File | None, File),
    (File, str),
    (Float[np.ndarray, "x"], float),
]


@pytest.mark.parametrize(("produced", "wanted"), FITS, ids=str)
def test_what_can_enter_a_port_fits(produced, wanted):
    assert fits(produced, wanted)


@pytest.mark.parametrize(("produced", "wanted"), REFUSED, ids=str)
def test_what_cannot_enter_a_port_does_not_fit(produced, wanted):
    assert not fits(produced, wanted)


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (Metres, "Metres"),
        (Seed, "Seed"),
        (int | None, "int | None"),
        (File, "File"),
        (Folder | None, "Folder | None"),
        (Annotated[float, Field(ge=0)], "float"),
        (list[int], "list[int]"),
        (Literal["m", "ft"], "Literal['m', 'ft']"),
        (Any, "Any"),
    ],
)
def test_a_type_is_named_as_a_reader_would_write_it(annotation, name):
    assert type_name(annotation) == name


def test_paths_to_files_start_from_the_given_folder_and_nothing_else_does():
    base = Path("/data")

    assert anchored("a.tif", File, base) == "/data/a.tif"
    assert anchored("/b.tif", File | None, base) == "/b.tif"
    assert anchored(["a", "b"], list[File], base) == ["/data/a", "/data/b"]
    assert anchored(("a",), tuple[Folder, ...], base) == ["/data/a"]
    assert anchored("a", File | Folder, base) == anchored("a", File | Folder | None, base)
    assert anchored("a", File | Folder | None, base) == "/data/a"
    assert anchored(None, File | None, base) is None
    assert anchored("a.tif", Path, base) == "a.tif"
    assert anchored(["a"], list[str], base) == ["a"]
    assert anchored(["a"], list, base) == ["a"]
