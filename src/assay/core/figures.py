"""What a study shows: charts that stay interactive in the page, pictures drawn once, and tables.

A study's ``figures`` function takes a run and yields these; the report writes each of them as files
beside the page (CSV, SVG, PNG and what a picture brings of its own) and puts it into the page.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Writer = Callable[[Path], None]


@dataclass(frozen=True)
class Chart:
    """An interactive chart.

    Attributes:
        name: Name of its files; letters, digits, ``-`` and ``_``.
        title: What it shows, as a heading.
        caption: One or two sentences: how to read it, and where intervals come from.
        chart: An Altair chart.
        data: The numbers drawn, a DataFrame, written as CSV.
    """

    name: str
    title: str
    caption: str
    chart: Any
    data: Any


@dataclass(frozen=True)
class Picture:
    """A static picture, such as a map.

    Attributes:
        name: Name of its files.
        title: What it shows, as a heading.
        caption: How to read it.
        alt: What a reader who does not see it should know.
        figure: A matplotlib figure.
        files: Files that go with it, by name, each written by a function that takes the path.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Any
    files: Mapping[str, Writer] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table, such as examples in words.

    Attributes:
        name: Name of its file.
        title: What it shows, as a heading.
        caption: How to read it.
        data: A DataFrame, written as CSV; the page shows its first rows, numbers rounded.
    """

    name: str
    title: str
    caption: str
    data: Any


Figure = Chart | Picture | Table


def file_name(text: str) -> str:
    """A text as the name of a file: letters, digits, ``-`` and ``_``.

    Example:
        >>> file_name("../precision / recall"), file_name("depth_m")
        ('precision-recall', 'depth_m')
    """
    return re.sub(r"[^\w-]+", "-", text)[:60].strip("-") or "figure"
