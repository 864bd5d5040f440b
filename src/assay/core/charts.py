"""The house charts: records in, one Altair chart out, always with intervals and always with data.

Intervals are Student's t over the resampling unit (usually the seed); a point without one has a
single unit.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from assay.core.figures import Chart, file_name
from assay.core.wording import place

if TYPE_CHECKING:
    from assay.core.run import Run

PALETTE = ("#1b6ca8", "#d95f02", "#2a9d8f", "#8e5ea2", "#c0392b", "#7f8c8d", "#b8860b", "#111111")
MOST_DEFAULT_CHARTS = 12
MOST_DOTS = 40
MOST_LABELS = 8
NO_LABELS = ("measure", "unit", "step")
STATISTICS = ("mean", "low", "high", "n", "unit", "choice")
"""Columns of a summary; a key of the same name gets an underscore."""


def column(key: str) -> str:
    """The column of a summary that holds a key.

    Example:
        >>> column("storm"), column("n")
        ('storm', 'n_')
    """
    return f"{key}_" if key in STATISTICS else key


def single(records: Any) -> list[str]:
    """Measures with one value per trial; a mean over storms or cases would mean little."""
    return [measure for measure, keys in told(records).items() if not keys]


def told(records: Any) -> dict[str, list[str]]:
    """Measures that a table can tell of, each with the keys that part its values within a trial.

    A measure with one value per trial has no such key. One with a value for each of a few labels,
    such as a task, has the key of the labels. Those of rows, storms or steps are left out.
    """
    found: dict[str, list[str]] = {}
    for measure in dict.fromkeys(records["measure"]):
        rows = records[records["measure"] == measure]
        texts = [k for k in rows if k not in NO_LABELS and rows[k].dtype.kind not in "biuf"]
        parts = [k for k in texts if rows.groupby("trial")[k].nunique().max() > 1]
        labels = rows[parts].drop_duplicates() if parts else ()
        counts = rows.groupby(["trial", *parts], dropna=False).size()
        if counts.max() == 1 and len(labels) <= MOST_LABELS:
            found[measure] = parts
    return found


def summarise(records: Any, measure: str, by: Sequence[str], unit: str = "seed") -> Any:
    """Mean and 95 % interval of a measure per combination of keys.

    Args:
        records: Long DataFrame of a run.
        measure: The measure.
        by: Keys to keep apart; everything else is averaged within a unit first.
        unit: The resampling unit.

    Returns:
        DataFrame with the keys (see `column`), ``mean``, ``low``, ``high``, ``n`` and ``unit``;
        low and high are NaN where n is 1 or a value is not finite.
    """
    import numpy as np
    import pandas as pd

    from assay.core.inference import t_bounds

    rows = records[records["measure"] == measure]
    keys = [k for k in by if k in rows and k != unit]
    per_unit = rows.groupby([*keys, unit], dropna=False, sort=False)["value"].mean().reset_index()
    found: list[dict[str, Any]] = []
    groups = per_unit.groupby(keys, dropna=False, sort=False) if keys else [((), per_unit)]
    for key, group in groups:
        values = group["value"].to_numpy(float)
        low = high = np.nan
        if len(values) > 1 and np.isfinite(values).all():
            low, high = (float(b[0]) for b in t_bounds(values[None, :]))
        labels = dict(zip(map(column, keys), key, strict=True))
        found.append(labels | {"mean": values.mean(), "low": low, "high": high, "n": len(values)})
    return pd.DataFrame(found).assign(unit=str(rows["unit"].iloc[0]))


def curve(
    records: Any,
    measure: str,
    x: str,
    *,
    name: str,
    title: str,
    caption: str,
    by: str = "",
    x_title: str = "",
    y_title: str = "",
    log_x: bool = False,
) -> Chart:
    """A measure against a numeric key, one line per choice of ``by``, with its interval."""
    import altair as alt

    by = by if by in records else ""
    data = summarise(records, measure, [x, *([by] if by else [])])
    ticks = sorted(data[column(x)].unique().tolist())
    scale = alt.Scale(type="log", nice=False) if log_x else alt.Scale(zero=False)
    axis = alt.Axis(values=ticks) if len(ticks) <= 12 else alt.Undefined
    across = alt.X(
        field=_field(x), type="quantitative", title=x_title or _words(x), scale=scale, axis=axis
    )
    colour = alt.Color(field=_field(by), type="nominal", title=_words(by)) if by else alt.Undefined
    up = y_title or _with_unit(measure, data["unit"].iloc[0])
    base = alt.Chart(data).encode(x=across, color=colour)
    layers = [
        base.mark_line(point=alt.OverlayMarkDef(size=45)).encode(
            y=alt.Y("mean", type="quantitative", title=up),
            tooltip=_tips([*([by] if by else []), x]),
        )
    ]
    if data["low"].notna().any():
        layers.insert(0, base.mark_area(opacity=0.18).encode(y="low:Q", y2="high:Q"))
    return Chart(name, title, caption, alt.layer(*layers).properties(height=300), data)


def dots(
    records: Any,
    measure: str,
    *,
    by: Sequence[str],
    name: str,
    title: str,
    caption: str,
    x_title: str = "",
) -> Chart:
    """A measure per combination of choices: one dot with its interval, one row each."""
    import altair as alt

    data = summarise(records, measure, by)
    keys = [k for k in by if column(k) in data]
    data["choice"] = [
        place({k: row[column(k)] for k in keys}) or "all" for _, row in data.iterrows()
    ]
    base = alt.Chart(data).encode(
        y=alt.Y("choice", type="nominal", title=None, sort=None, axis=alt.Axis(labelLimit=320)),
        tooltip=_tips(["choice"]),
    )
    along = alt.X(
        "mean",
        type="quantitative",
        title=x_title or _with_unit(measure, data["unit"].iloc[0]),
        scale=alt.Scale(zero=False),
    )
    layers = [base.mark_point(size=70, filled=True, opacity=1).encode(x=along)]
    if data["low"].notna().any():
        layers.insert(0, base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q"))
    high = 26 * len(data) + 8
    return Chart(name, title, caption, alt.layer(*layers).properties(height=high), data)


def cloud(
    records: Any, measure: str, x: str, *, by: Sequence[str], name: str, title: str, caption: str
) -> Chart:
    """A measure against one numeric decision, one dot per combination of all of them."""
    import altair as alt

    data = summarise(records, measure, by)
    chart = alt.Chart(data).mark_point(size=40, filled=True, opacity=0.7)
    chart = chart.encode(
        x=alt.X(field=_field(x), type="quantitative", title=_words(x), scale=alt.Scale(zero=False)),
        y=alt.Y(
            "mean",
            type="quantitative",
            title=_with_unit(measure, data["unit"].iloc[0]),
            scale=alt.Scale(zero=False),
        ),
        tooltip=_tips([k for k in by if column(k) in data]),
    )
    return Chart(name, title, caption, chart.properties(height=300), data)


def default_figures(run: "Run", decisions: Sequence[str]) -> Iterator[Chart]:
    """What a study without figures of its own shows: every measure by its decisions.

    Measures with one value per trial come first: they are what the study is about, and the others,
    whose values differ by storm or item, are averaged here.
    """
    yield from islice(_default_figures(run.records, decisions), MOST_DEFAULT_CHARTS)


def _default_figures(records: Any, decisions: Sequence[str]) -> Iterator[Chart]:
    varied = [d for d in decisions if d in records]
    points = len(records[varied].drop_duplicates()) if varied else 1
    numeric = [d for d in varied if records[d].dtype.kind in "if"]
    taken: set[str] = set()
    for measure in dict.fromkeys([*single(records), *records["measure"]]):
        title = _words(measure).capitalize()
        if points <= MOST_DOTS or not numeric:
            yield dots(
                records,
                measure,
                by=decisions,
                name=_free_name(measure, taken),
                title=title,
                caption="Mean over everything else, with the 95 % interval over seeds; a dot alone "
                "has one seed, or the same value at every seed.",
            )
            continue
        for x in numeric:
            yield cloud(
                records,
                measure,
                x,
                by=decisions,
                name=_free_name(f"{measure}-by-{x}", taken),
                title=f"{title} by {_words(x)}",
                caption=f"One dot per point of the study ({points:,}), its mean over everything "
                "else.",
            )


def _free_name(text: str, taken: set[str]) -> str:
    """A name for files that no other figure has."""
    base = file_name(text)[:50]
    name = next(n for k in count(1) if (n := f"{base}-{k}" if k > 1 else base) not in taken)
    taken.add(name)
    return name


def _field(key: str) -> str:
    """The column of a key as Vega-Lite reads it, in which dots and brackets mean a path."""
    return re.sub(r"([\\.\[\]'\"])", r"\\\1", column(key))


def _tips(keys: Sequence[str]) -> list[Any]:
    import altair as alt

    named = [
        alt.Tooltip(field=k if k == "choice" else _field(k), type="nominal", title=_words(k))
        for k in keys
    ]
    numbers = [alt.Tooltip(k, type="quantitative", format=",.4~g") for k in ("mean", "low", "high")]
    return [*named, *numbers, alt.Tooltip("n", type="quantitative")]


def _words(name: str) -> str:
    """A name as a title, on one line; Vega-Lite cannot read a title with a line break."""
    return " ".join(name.replace("_", " ").split())


def _with_unit(measure: str, unit: str) -> str:
    return _words(measure) if unit in ("", "1") else f"{_words(measure)} ({_words(unit)})"
