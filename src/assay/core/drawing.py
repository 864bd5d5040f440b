"""Figures on disk: charts and pictures as SVG, their data and tables as CSV; and in the page."""

import base64
import io
import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from assay.core.charts import PALETTE
from assay.core.figures import Chart, Figure, Picture, Table
from assay.core.params import native, scalar
from assay.core.store import write_text
from assay.core.wording import number
from assay.errors import UsageError

PICTURE_DPI = 160
MOST_SHOWN = 40
"""Rows of a table in the page; its CSV has all of them."""
NUMBER_LABEL = (
    "abs(datum.value) < 1e4 ? format(datum.value, ',.4~g') : "
    "replace(format(datum.value, '.3~s'), 'G', 'bn')"
)
VEGA_CONFIG = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None, "continuousWidth": 560, "continuousHeight": 300},
    "axis": {"gridColor": "#e6e9ec", "domainColor": "#9aa4ad", "tickColor": "#9aa4ad",
             "labelColor": "#3c4650", "titleColor": "#3c4650", "titleFontWeight": 500,
             "labelFontSize": 12, "titleFontSize": 12, "titlePadding": 8, "labelFlush": False},
    "axisQuantitative": {"labelExpr": NUMBER_LABEL},
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 500,
               "symbolOpacity": 1, "labelLimit": 320},
    "range": {"category": list(PALETTE)},
    "line": {"strokeWidth": 2.5, "color": PALETTE[0]},
    "point": {"color": PALETTE[0]}, "rule": {"color": PALETTE[0]}, "area": {"color": PALETTE[0]},
}  # fmt: skip


@dataclass
class Shown:
    """A figure as the page has it."""

    name: str
    title: str
    caption: str
    files: list[str] = field(default_factory=list)
    spec: str = ""
    svg: str = ""
    png: str = ""
    alt: str = ""
    columns: list[tuple[str, bool]] = field(default_factory=list)
    """Headings of a table, each with whether its cells are numbers."""
    rows: list[list[str]] = field(default_factory=list)
    wide: bool = False
    """Whether it takes the whole width of the page: pictures, and charts with several panels."""


def write_figure(figure: Figure, folder: Path) -> Shown:
    """Write a figure's files into a folder; what the page needs of it is returned.

    Raises:
        UsageError: If a file that the figure brings has no name for files.
    """
    shown = Shown(figure.name, figure.title, figure.caption)
    if isinstance(figure, Chart):
        _write_chart(figure, folder, shown)
    elif isinstance(figure, Picture):
        _write_picture(figure, folder, shown)
    else:
        _write_table(figure, folder, shown)
    return shown


def _write_chart(figure: Chart, folder: Path, shown: Shown) -> None:
    import altair
    import vl_convert

    with altair.data_transformers.disable_max_rows():
        spec = figure.chart.to_dict(format="vega-lite")
    spec["config"] = VEGA_CONFIG
    if "width" not in spec and not _has_panels(spec):
        spec |= {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
    shown.wide = _has_panels(spec)
    fixed = {**spec, "width": 560} if spec.get("width") == "container" else spec
    shown.svg = vl_convert.vegalite_to_svg({**fixed, "background": "white"}, vl_version=_version())
    figure.data.to_csv(folder / f"{figure.name}.csv", index=False)
    write_text(folder / f"{figure.name}.svg", shown.svg)
    shown.spec = json.dumps(spec)
    shown.files = [f"{figure.name}.csv", f"{figure.name}.svg"]


def _has_panels(spec: Mapping[str, Any]) -> bool:
    """Whether a chart is made of several, none of which can be as wide as the page."""
    compound = ("hconcat", "vconcat", "concat", "facet", "repeat")
    split = ("row", "column", "facet")
    return any(k in spec for k in compound) or any(k in spec.get("encoding", {}) for k in split)


def _write_picture(figure: Picture, folder: Path, shown: Shown) -> None:
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph missing from a font is not the user's business
        figure.figure.savefig(drawn, format="png", dpi=PICTURE_DPI, bbox_inches="tight")
        figure.figure.savefig(folder / f"{figure.name}.svg", bbox_inches="tight")
    (folder / f"{figure.name}.png").write_bytes(drawn.getvalue())
    shown.png = base64.b64encode(drawn.getvalue()).decode()
    shown.alt, shown.wide = figure.alt, True
    shown.files = [f"{figure.name}.png", f"{figure.name}.svg"]
    for name, write in figure.files.items():
        if Path(name).name != name or name == "..":
            raise UsageError(f"{name!r} is not a name for files", where=figure.name)
        write(folder / name)
        shown.files.append(name)


def _write_table(figure: Table, folder: Path, shown: Shown) -> None:
    data = figure.data
    write_text(folder / f"{figure.name}.csv", data.to_csv(index=False))
    shown.files, shown.wide = [f"{figure.name}.csv"], True
    shown.columns = [(str(name), data[name].dtype.kind in "iuf") for name in data]
    shown.rows = [[_cell(value) for value in row] for row in data.head(MOST_SHOWN).to_numpy(object)]
    if len(data) > MOST_SHOWN:
        shown.caption += f" The first {MOST_SHOWN} of {len(data):,} rows."


def _cell(value: Any) -> str:
    """A value as it is read; nothing where there is none."""
    found = scalar(native(value))
    if isinstance(found, float) and math.isnan(found):
        return ""
    plain = isinstance(found, str | bool | None)
    return ("" if found is None else str(found)) if plain else number(found)


def _version() -> str:
    """The Vega-Lite version Altair writes, as the converter names it."""
    import altair

    return ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])


@lru_cache(maxsize=1)
def vega_script() -> str:
    """The JavaScript that draws the charts, safe to stand inside a script element."""
    import vl_convert

    bundle = vl_convert.javascript_bundle(vl_version=_version())  # pyright: ignore[reportCallIssue]
    return bundle.replace("</script", "<\\/script")
