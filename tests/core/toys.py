"""Small components of every kind, importable so that files and worker processes find them."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, NewType

from pydantic import BaseModel, Field

from assay.core.component import File, Folder, Seed, component
from assay.core.program import program
from assay.core.records import Records

Metres = NewType("Metres", float)
Feet = NewType("Feet", float)


class Settings(BaseModel):
    """A nested parameter."""

    rate: float = 0.1
    steps: list[int] = []


DEFAULTS = Settings()


class Halves(NamedTuple):
    """Two ports."""

    low: float
    high: float


@dataclass(frozen=True)
class Sample:
    """A value with structure."""

    values: list[float]


@component
def number(*, value: float = 1.0) -> float:
    """Give a number."""
    return value


@component
def draw(*, count: Annotated[int, Field(ge=1)] = 3, seed: Seed) -> Sample:
    """Draw uniform numbers."""
    import random

    source = random.Random(seed)
    return Sample([source.random() for _ in range(count)])


@component
def scale(x: float, *, by: float = 2.0, unit: Literal["m", "ft"] = "m") -> float:
    """Multiply."""
    return x * by * (1.0 if unit == "m" else 0.3048)


@component
def shift(x: float, *, amount: float = 1.0) -> float:
    """Add."""
    return x + amount


@component
def halve(x: float) -> Halves:
    """Cut in two."""
    return Halves(x / 2, x / 2)


@component
def total(xs: list[float]) -> float:
    """Sum of the members."""
    return float(sum(xs))


@component
def both(x: float, y: float | None = None) -> float:
    """Add what is there."""
    return x + (y or 0.0)


@component
def fails_above(x: float, *, limit: float = 10.0) -> float:
    """Refuse large numbers."""
    if x > limit:
        raise ValueError(f"{x} is above {limit}")
    return x


@component
def measure(x: float, *, name: str = "result") -> Records:
    """Record a number."""
    records = Records()
    records.add(name, x, "m")
    return records


@component
def measure_sample(sample: Sample) -> Records:
    """Record each number of a sample."""
    records = Records()
    for item, value in enumerate(sample.values):
        records.add("draw", value, item=item)
    return records


@component
def configured(*, settings: Settings = DEFAULTS, mode: Literal["a", "b"] = "a") -> float:
    """A parameter with fields."""
    return settings.rate * sum(settings.steps)


@component
def length(*, path: File, others: tuple[File, ...] = (), skip: int = 0) -> float:
    """Bytes in files."""
    return float(sum(p.stat().st_size for p in (path, *others)) - skip)


@component
def count_files(*, folder: Folder) -> float:
    """Files below a folder."""
    return float(sum(p.is_file() for p in folder.rglob("*")))


@component
def text_file(*, text: str = "b\na\n") -> File:
    """Write a file."""
    from assay.core.task import task

    path = task().scratch() / "text.txt"
    path.write_text(text, encoding="utf-8")
    return path


@component
def first_line(path: File) -> str:
    """The first line of a file."""
    return path.read_text(encoding="utf-8").partition("\n")[0]


@component
def in_metres(x: Metres) -> Metres:
    """Take metres and give metres."""
    return x


@component
def metres(*, value: float = 1.0) -> Metres:
    """Give metres."""
    return Metres(value)


@component
def feet(*, value: float = 1.0) -> Feet:
    """Give feet."""
    return Feet(value)


@program("sort {unsorted} -o {sorted:.txt}")
def sort_lines(unsorted: File) -> File:
    """Sort the lines of a file."""
