"""Records and stored paths as figures: paths over allowed actions, rates, returns."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from assay.core.charts import PALETTE, dots
from assay.core.figures import Chart, Figure, Picture, file_name
from assay.core.run import Run
from assay.systems.policy_composition.evaluate import Shown
from assay.systems.policy_composition.navigation import EDGE, WALLS, ZONE

__all__ = [
    "adapt_figures",
    "epsilon_figures",
    "oracle_figures",
    "paths",
    "priorities_figures",
    "rates",
    "returns",
]

LINES = {
    "collision_rate": "met the obstacle",
    "success_rate": "at the top in the end",
}


def oracle_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Paths of the compositions, their rates and returns."""
    told = ("top alone", "sum of values", "sum of rewards, 1", "zero-shot", "adapted",
            "adapted, three levels")  # fmt: skip
    yield partial(paths, run, "policy", told, zones=(ZONE,))
    critics = dict.fromkeys(str(t["choices"].get("critic", "")) for t in run.trials)
    for critic in critics:
        yield partial(rates, run, "policy", critic)
    yield partial(returns, run, "policy", next(iter(critics)))


def adapt_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Paths, rates and returns of learned stacks, and how far they agree with exact ones."""
    yield partial(paths, run, "policy", zones=(ZONE,))
    yield partial(rates, run, "policy")
    yield partial(returns, run, "policy")
    yield partial(
        dots,
        run.records,
        "mask_iou",
        by=["policy"],
        name="mask-iou",
        title="How far learned masks agree with exact ones",
        caption="Actions that both allow over those that either allows, in states that were "
        "visited; mean over seeds with its 95 % interval.",
    )


def epsilon_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Rates against epsilon in each noise, then how many actions it leaves."""
    yield partial(against_epsilon, run)
    yield partial(allowed_share, run)


def priorities_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Paths, rates and returns of the orders."""
    yield partial(paths, run, "order", zones=(ZONE, -ZONE))
    yield partial(rates, run, "order")
    yield partial(returns, run, "order")


def paths(
    run: Run, decision: str, labels: Sequence[str] = (), *, zones: Sequence[float]
) -> Picture:
    """Paths of the first trial of each choice, over the share of actions left to the last level.

    Args:
        run: The run.
        decision: What tells the panels apart.
        labels: The choices to draw; all that the run has if it has none of these.
        zones: Where to draw the edges of the tasks' zones, on both axes.
    """
    from matplotlib.figure import Figure as Drawing

    trials: dict[str, int] = {}
    for trial in run.trials:
        trials.setdefault(str(trial["choices"].get(decision, "all")), trial["trial"])
    present = [label for label in labels if label in trials] or list(trials)
    columns = min(3, len(present))
    lines = -(-len(present) // columns)
    drawing = Drawing(figsize=(3.7 * columns, 3.8 * lines + 0.6), layout="constrained")
    panels = drawing.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    fields = [
        _world(panel, run.load("measured.shown", trial=trials[label]), label, zones)
        for panel, label in zip(panels, present, strict=False)
    ]
    for panel in panels[len(present) :]:
        panel.set_visible(False)
    drawing.colorbar(
        fields[0], ax=list(panels), location="bottom", shrink=0.5, aspect=40,
        label="share of actions left to the last level",
    )  # fmt: skip
    return Picture(
        "paths",
        "Paths over the actions that are left",
        "Twelve episodes of the first seed from random starts (dots), each to its end (crosses), "
        "collision or not. Grey: the obstacle. Dashed: where the tasks' zones begin. The "
        "darker the ground, the fewer actions the upper levels leave there.",
        f"Maps of the square world with twelve paths each, for {', '.join(present)}.",
        drawing,
    )


def _world(panel: Any, shown: Shown, label: str, zones: Sequence[float]) -> Any:
    """One panel: ground, obstacle, zones, paths; returns the ground."""
    from matplotlib.patches import Rectangle

    extent = (-EDGE, EDGE, -EDGE, EDGE)
    field = panel.imshow(
        shown.share, origin="lower", extent=extent, cmap="bone", vmin=0.0, vmax=1.0,
        interpolation="nearest",
    )  # fmt: skip
    for x, y, width, height in WALLS:
        panel.add_patch(Rectangle((x, y), width, height, color="#8a8f98", zorder=2))
    for draw in (panel.axhline, panel.axvline):
        for zone in zones:
            draw(zone, color="#55606e", lw=0.9, ls="--")
    for number, path in enumerate(shown.paths):
        colour = PALETTE[number % 6]
        panel.plot(path[:, 0], path[:, 1], color=colour, lw=1.0, alpha=0.9, zorder=3)
        panel.plot(*path[0], "o", color=colour, ms=4, zorder=4)
        panel.plot(*path[-1], "x", color=colour, ms=5, zorder=4)
    panel.set_title(label, fontsize=10)
    panel.set_xlim(-EDGE, EDGE)
    panel.set_ylim(-EDGE, EDGE)
    panel.set_aspect("equal")
    panel.tick_params(labelsize=8)
    return field


def _of(records: Any, critic: str) -> Any:
    """The records of one critic, or all where none is told apart."""
    return records[records["critic"] == critic] if critic else records


def pooled(records: Any, by: Sequence[str]) -> Any:
    """Collisions and arrivals at the top over all episodes of a choice, with Wilson's interval."""
    import pandas as pd
    from scipy.stats import binomtest

    found = list[dict[str, Any]]()
    keys = [key for key in by if key in records]
    counts = records[records["measure"] == "starts"].set_index("trial")["value"]
    for measure, line in LINES.items():
        rows = records[records["measure"] == measure]
        if measure == "success_rate":
            rows = rows[rows["task"] == "top"]
        rows = rows.assign(n=rows["trial"].map(counts))
        rows = rows.assign(k=(rows["value"] * rows["n"]).round())
        for labels, group in rows.groupby(keys, sort=False) if keys else [((), rows)]:
            k, n = int(group["k"].sum()), int(group["n"].sum())
            interval = binomtest(k, n).proportion_ci(method="wilson")
            found.append(
                dict(zip(keys, labels, strict=True))
                | {"what": line, "share": k / n, "low": interval.low, "high": interval.high, "n": n}
            )
    return pd.DataFrame(found)


NOTE = "Of all episodes, with Wilson's 95 % interval; an episode is one random start."


def rates(run: Run, decision: str, critic: str = "") -> Chart:
    """Share of episodes that met the obstacle, and that ended at the top."""
    import altair as alt

    data = pooled(_of(run.records, critic), [decision])
    if decision not in data:
        data[decision] = "all"
    base = alt.Chart(data).encode(
        y=alt.Y(field=decision, type="nominal", title=None, sort=None,
                axis=alt.Axis(labelLimit=320)),
        color=_colour(),
        yOffset=alt.YOffset("what:N", sort=list(LINES.values())),
        tooltip=_tips([decision]),
    )  # fmt: skip
    along = alt.X("share:Q", title="share of episodes", scale=alt.Scale(domain=[0, 1]))
    layers = (
        base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q"),
        base.mark_point(size=60, filled=True, opacity=1).encode(x=along),
    )
    return Chart(
        file_name(f"rates {critic}"),
        f"Who meets the obstacle, who reaches the top{f' (critic: {critic})' if critic else ''}",
        NOTE,
        alt.layer(*layers).properties(height=36 * data[decision].nunique() + 8),
        data,
    )


def against_epsilon(run: Run) -> Chart:
    """Collisions and arrivals against epsilon, a panel for each method and noise."""
    import altair as alt

    data = pooled(run.records, ["epsilon", "method", "noise"])
    for key, other in (("epsilon", 1.0), ("method", "as set"), ("noise", 0.0)):
        data[key] = data[key] if key in data else other
    data["panel"] = [
        f"{method}, noise {noise:g}"
        for method, noise in zip(data["method"], data["noise"], strict=True)
    ]
    base = alt.Chart(data).encode(
        x=alt.X("epsilon:Q", scale=alt.Scale(type="log"), title="epsilon",
                axis=alt.Axis(values=[0.1, 1, 10, 100], format="~g")),
        color=_colour(),
        tooltip=_tips(["method", "noise", "epsilon"]),
    )  # fmt: skip
    up = alt.Y("share:Q", title=None, scale=alt.Scale(domain=[0, 1]))
    layers = (
        base.mark_area(opacity=0.2).encode(y="low:Q", y2="high:Q"),
        base.mark_line(point=alt.OverlayMarkDef(size=35)).encode(y=up),
    )
    order = list(dict.fromkeys(data.sort_values(["noise", "method"])["panel"]))
    chart = (
        alt.layer(*layers)
        .properties(width=230, height=150)
        .facet(facet=alt.Facet("panel:N", sort=order, title=None), columns=2)
    )
    return Chart(
        "epsilon",
        "Violation and success against epsilon",
        f"Share of episodes. {NOTE} Noise is the standard deviation of each coordinate in a step.",
        chart,
        data,
    )


def allowed_share(run: Run) -> Chart:
    """How many actions an epsilon leaves, mean over the states of the grid."""
    keys = [k for k in ("epsilon", "noise") if k in run.records]
    return dots(
        run.records,
        "allowed_share",
        by=keys,
        name="allowed_share",
        title="Share of the actions that epsilon leaves",
        caption="Mean over all states of the grid, those inside the obstacle too.",
        x_title="share of actions",
    )


def returns(run: Run, decision: str, critic: str = "") -> Chart:
    """Rewards of every task per episode."""
    return dots(
        _of(run.records, critic),
        "return",
        by=[decision, "task"],
        name="returns",
        title=f"Returns of every task{f' (critic: {critic})' if critic else ''}",
        caption="Undiscounted rewards of an episode of all tasks, whether the policy knows of them "
        "or not. Mean over the seeds with its 95 % interval.",
        x_title="reward per episode",
    )


def _colour() -> Any:
    import altair as alt

    lines = list(LINES.values())
    scale = alt.Scale(domain=lines, range=[PALETTE[1], PALETTE[0]])
    return alt.Color("what:N", title=None, scale=scale, legend=alt.Legend(orient="top"))


def _tips(keys: Sequence[str]) -> list[Any]:
    import altair as alt

    numbers = [alt.Tooltip(f"{k}:Q", format=".3f") for k in ("share", "low", "high")]
    return [*(f"{key}:N" for key in keys), "what:N", *numbers, "n:Q"]
