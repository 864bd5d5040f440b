"""The house charts: records in, one Altair chart out, always with intervals and always with data.

Intervals are Student's t over the resampling unit (usually the seed); a point without one has a
single unit.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from assay.core.figures import Chart

if TYPE_CHECKING:
    from assay.core.run import Run

PALETTE = ("#1b6ca8", "#d95f02", "#2a9d8f", "#8e5ea2", "#c0392b", "#7f8c8d", "#b8860b", "#111111")
MOST_DEFAULT_CHARTS = 12


def summarise(records: Any, measure: str, by: Sequence[str], unit: str = "seed") -> Any:
    """Mean and 95 % interval of a measure per combination of keys.

    Args:
        records: Long DataFrame of a run.
        measure: The measure.
        by: Keys to keep apart; everything else is averaged within a unit first.
        unit: The resampling unit.

    Returns:
        DataFrame with the keys, ``mean``, ``low``, ``high``, ``n`` and ``unit``; low and high are
        NaN where n is 1.
    """
    import numpy as np
    import pandas as pd

    from assay.core.inference import t_bounds

    rows = records[records["measure"] == measure]
    keys = [k for k in by if k in rows]
    per_unit = rows.groupby([*keys, unit], dropna=False, sort=False)["value"].mean().reset_index()
    found: list[dict[str, Any]] = []
    groups = per_unit.groupby(keys, dropna=False, sort=False) if keys else [((), per_unit)]
    for key, group in groups:
        values = group["value"].to_numpy(float)
        low = high = np.nan
        if len(values) > 1:
            low, high = (float(b[0]) for b in t_bounds(values[None, :]))
        labels = dict(zip(keys, key, strict=True))
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
    ticks = sorted(data[x].unique().tolist())
    scale = alt.Scale(type="log") if log_x else alt.Scale(zero=False)
    axis = alt.Axis(values=ticks) if len(ticks) <= 12 else alt.Undefined
    across = alt.X(x, type="quantitative", title=x_title or x, scale=scale, axis=axis)
    colour = alt.Color(by, type="nominal", title=by.replace("_", " ")) if by else alt.Undefined
    up = y_title or _with_unit(measure, data["unit"].iloc[0])
    tips = [*([by] if by else []), x, *(_tip(k) for k in ("mean", "low", "high")), "n"]
    base = alt.Chart(data).encode(x=across, color=colour)
    layers = [
        base.mark_line(point=alt.OverlayMarkDef(size=45)).encode(
            y=alt.Y("mean", type="quantitative", title=up),
            tooltip=tips,
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
    keys = [k for k in by if k in data]
    data["choice"] = [
        ", ".join(f"{k} {row[k]}" for k in keys) or "all" for _, row in data.iterrows()
    ]
    base = alt.Chart(data).encode(
        y=alt.Y("choice", type="nominal", title=None, sort=None, axis=alt.Axis(labelLimit=320)),
        tooltip=["choice", *(_tip(k) for k in ("mean", "low", "high")), "n"],
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


def default_figures(run: "Run", decisions: Sequence[str]) -> Iterator[Chart]:
    """What a study without figures of its own shows: every measure by its decisions."""
    records = run.records
    for measure in list(dict.fromkeys(records["measure"]))[:MOST_DEFAULT_CHARTS]:
        yield dots(
            records,
            measure,
            by=decisions,
            name=measure,
            title=measure.replace("_", " ").capitalize(),
            caption="Mean over everything else, with the 95 % interval over seeds.",
        )


def _tip(field: str) -> Any:
    import altair as alt

    return alt.Tooltip(field, type="quantitative", format=",.4~g")


def _with_unit(measure: str, unit: str) -> str:
    words = measure.replace("_", " ")
    return words if unit in ("", "1") else f"{words} ({unit})"
