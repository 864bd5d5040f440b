"""A verification run as charts: how errors fall, and each case beside what is known."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from assay.core.charts import PALETTE
from assay.core.figures import Chart, Figure
from assay.core.run import Run
from assay.systems.climate_impact.verification import CASES, EXACT, Comparison

_TITLES = {
    "dam_break_inertial": "Dam break onto water, local-inertial equations",
    "dam_break_wet": "Dam break onto water, full equations (Stoker)",
    "dam_break_dry": "Dam break onto dry ground (Ritter)",
    "basin": "Water swashing in a basin (Thacker)",
    "constant_front": "A front on dry ground",
    "steady_flow": "Steady flow over a bump (MacDonald)",
    "plane_runoff": "Runoff from a plane under rain",
    "radial_spread": "Spreading over flat ground",
    "depression": "A pool spills into a depression",
    "egg_box": "Sixteen depressions fill and spill",
    "obstruction": "A wave runs over an obstruction",
}


def verification_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """The errors of all cases, then one chart per case."""
    yield partial(errors, run)
    for case in CASES:
        if case not in EXACT:
            yield partial(profiles, run, case)


def errors(run: Run) -> Chart:
    """Error of every case and solver on both resolutions, on a logarithmic axis."""
    import altair as alt

    records = run.records
    rows = records[(records["measure"] == "error") & ~records["case"].isin(EXACT)]
    kept = [k for k in ("case", "solver", "resolution", "value", "unit") if k in rows]
    data = rows[kept].copy()
    data["what"] = [
        f"{case.replace('_', ' ')}, {solver}"
        for case, solver in zip(data["case"], data["solver"], strict=True)
    ]
    decades = alt.Axis(values=[10.0**k for k in range(-5, 2)], format="~g")
    along = alt.X("value:Q", title="error", scale=alt.Scale(type="log"), axis=decades)
    across = alt.Y("what:N", title=None, sort=None, axis=alt.Axis(labelLimit=260))
    base = alt.Chart(data).encode(y=across)
    line = base.mark_line(color="#9aa5b1").encode(x=along, detail="what:N")
    colour = _colours("resolution", ["coarse", "fine"]) if "resolution" in data else alt.Undefined
    dot = base.mark_point(size=70, filled=True, opacity=1).encode(
        x=along,
        color=colour,
        tooltip=["what", *(["resolution"] if "resolution" in data else []),
                 alt.Tooltip("value:Q", format=".3~g"), "unit"],
    )  # fmt: skip
    return Chart(
        "errors",
        "Errors, and how they fall when the cells halve",
        "Relative to what is known (mostly L1), in metres for depressions. A first-order "
        "method halves its error, a second-order one quarters it. The local-inertial solver does "
        "not converge to Stoker's dam break: its equations have another solution.",
        (line + dot).properties(height=26 * data["what"].nunique() + 8),
        data,
    )


def profiles(run: Run, case: str) -> Chart:
    """One case: what is known as a line, each solver and resolution over it."""
    import altair as alt
    import pandas as pd

    frames: list[Any] = []
    loaded: list[Comparison] = []
    for trial in run.trials:
        resolution = str(trial["choices"].get("resolution", "as set"))
        for member in (entry["member"] for entry in trial["steps"]["verified"]):
            if member["case"] != case:
                continue
            made: Comparison = run.load("verified.comparison", trial=trial["trial"], **member)
            loaded.append(made)
            common = {"x": made.x, "solver": member["solver"], "resolution": resolution}
            frames.append(pd.DataFrame({**common, "value": made.exact, "line": "known"}))
            frames.append(pd.DataFrame({**common, "value": made.computed, "line": resolution}))
    about, data = loaded[0], pd.concat(frames, ignore_index=True)
    present = set(data["line"])
    names = ["known", *[n for n in ("coarse", "fine", "as set") if n in present]]
    finest = data["resolution"].iloc[-1]
    drawn = data[(data["line"] != "known") | (data["resolution"] == finest)]
    solvers = list(dict.fromkeys(data["solver"]))
    width = {"width": 350} if len(solvers) > 1 else {}
    panels = [
        alt.Chart(drawn[drawn["solver"] == solver])
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X("x:Q", title=about.x_title, scale=alt.Scale(zero=False, nice=False)),
            y=alt.Y("value:Q", title=about.y_title, scale=alt.Scale(zero=False)),
            color=_colours("line", names),
            strokeDash=alt.StrokeDash(
                "line:N", title=None, scale=alt.Scale(domain=names, range=_dashes(len(names)))
            ),
            order="x:Q",
            tooltip=["line", alt.Tooltip("x:Q", format=",.4~g"),
                     alt.Tooltip("value:Q", format=",.4~g")],
        )
        .properties(height=240, title=_named(solver), **width)
        for solver in solvers
    ]  # fmt: skip
    return Chart(
        f"profile-{case}",
        _TITLES[case],
        about.note,
        alt.hconcat(*panels) if len(panels) > 1 else panels[0],
        data,
    )


def _named(solver: str) -> str:
    return {"inertial": "local-inertial solver", "full": "solver of the full equations"}[solver]


def _colours(field: str, names: list[str]) -> Any:
    import altair as alt

    palette = {"known": "#111111", "coarse": PALETTE[1], "fine": PALETTE[0], "as set": PALETTE[0]}
    return alt.Color(
        field=field, type="nominal", title=None,
        scale=alt.Scale(domain=names, range=[palette[n] for n in names]),
    )  # fmt: skip


def _dashes(count: int) -> list[list[int]]:
    """What is known stands solid under broken lines."""
    return [[1, 0], [6, 4], [2, 2]][:count]
