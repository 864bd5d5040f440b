"""Dense beside sparse in figures: the speed-up, perplexity against cost, sizes and costs.

Everything is drawn from records; nothing is measured here. Perplexities and speed-ups are ratios,
so their means and intervals are taken over logarithms and drawn on logarithmic axes.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from assay.core.charts import PALETTE, summarise
from assay.core.figures import Chart, Figure, Table
from assay.core.run import Run
from assay.systems.mixture_of_experts.figures_routing import experts_read, router_health
from assay.systems.mixture_of_experts.speedup import OUTSIDE

FAMILIES = {"dense": PALETTE[0], "sparse": PALETTE[1]}
DOMAINS = {"in": "trained on", "out": "held out"}
COSTS = {
    "flops": "operations, paper's count",
    "actual_flops": "operations computed",
    "seconds": "seconds",
}
"""Costs of a speed-up, by the key of its records."""
AXES = {
    "training_flops": ("flops", "training cost, the paper's count"),
    "training_flops_actual": ("actual_flops", "training cost, router and padding counted"),
    "training_seconds": ("seconds", "time of training"),
}
"""Measures of cost: the cost by its key, and in words."""
UNITS = {"flops": "FLOP", "actual_flops": "FLOP", "seconds": "s"}
SPEED_UPS = ("log2_speed_up", "levels_outside_range")
"""Measures that name every kind and cost of which a speed-up was sought."""
LEFT_OUT = {
    "levels_outside_range": "perplexities left out",
    "passed_over": "models left out",
}
"""Columns of the table of speed-ups, by measure."""
STEP, PORT = "speed_up", "table"
"""The step that found the speed-ups, and its table of levels, see `evaluate.speed_ups`."""
PREFIXES = {0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E", 21: "Z"}
PANEL = {"width": 230, "height": 170}


def language_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Speed-up by kind, perplexity against each cost, speed-up by level, costs, router health."""
    present = set(run.records["measure"])
    if present & {*SPEED_UPS}:
        yield partial(speed_up_by_kind, run)
        yield partial(speed_up_table, run)
    if "log_perplexity" in present:
        for cost in ("training_flops", "training_seconds"):
            if cost in present:
                yield partial(perplexity_by_cost, run, cost)
    if any(_succeeded(trial) for trial in run.trials):
        yield partial(speed_up_by_level, run)
    if "parameters" in present:
        yield partial(sizes_and_costs, run)
    if "gate_entropy" in present:
        yield partial(router_health, run)
    if "expert_share" in present:
        yield partial(experts_read, run)


# -- perplexity ---------------------------------------------------------------------------------


def perplexity_by_cost(run: Run, cost: str) -> Chart:
    """Perplexity of every kind of text against a cost of training, a line for each family."""
    import altair as alt
    import numpy as np

    name, title = AXES[cost]
    measured = _with_models(run.records)
    data = summarise(measured, "log_perplexity", ["text_kind", "domain", "model"])
    for column in ("mean", "low", "high"):
        data[column] = np.exp(data[column])
    spent = run.records[run.records["measure"] == cost].groupby("model")
    data["family"] = data["model"].map(spent["family"].first())
    data["cost"], unit = _readable(data["model"].map(spent["value"].mean()), UNITS[name])
    data = _with_kinds(data.rename(columns={"mean": "perplexity"}).drop(columns="unit"))
    ticks = alt.Axis(tickCount=4)
    base = alt.Chart(data).encode(
        x=alt.X("cost:Q", title=f"training ({unit})", axis=ticks,
                scale=alt.Scale(type="log", nice=False, padding=12)),
        color=alt.Color("family:N", title=None, scale=_family_scale(),
                        legend=alt.Legend(orient="top")),
    )  # fmt: skip
    up = alt.Y("perplexity:Q", title="perplexity", axis=ticks,
               scale=alt.Scale(type="log", nice=False, padding=12))  # fmt: skip
    tips = [alt.Tooltip(field=k, type="nominal") for k in ("model", "kind")]
    tips += [alt.Tooltip(field=k, type="quantitative", format=",.4~g")
             for k in ("perplexity", "low", "high", "cost")]  # fmt: skip
    layers = [
        base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=45)).encode(y=up, tooltip=tips)
    ]
    if data["low"].notna().any():
        layers.insert(0, base.mark_rule(strokeWidth=2, opacity=0.45).encode(y="low:Q", y2="high:Q"))
    return Chart(
        f"perplexity_by_{name}",
        f"Perplexity by {title}",
        "Perplexity per token of each kind of text, lower is better; one point per model, from "
        "small to large, geometric mean over the seeds with its 95 % interval. Both axes are "
        "logarithmic, and each kind has its own scale.",
        _panels(alt.layer(*layers), data["kind"]),
        data,
    )


def _panels(chart: Any, titles: Any) -> Any:
    """A panel for each title, in their order, three in a row."""
    import altair as alt

    header = alt.Header(title=None, labelFontSize=13, labelFontWeight=600, labelPadding=6)
    facet = alt.Facet("kind:N", sort=list(dict.fromkeys(titles)), header=header)
    return (
        chart.properties(**PANEL)
        .facet(facet=facet, columns=3)
        .resolve_scale(y="independent")
        .resolve_axis(x="independent")
    )


def _with_models(records: Any) -> Any:
    """The records of perplexity, with the name of the model that has this width and experts."""
    rows = records[records["measure"] == "log_perplexity"]
    if rows.get("model") is not None and rows["model"].notna().all():
        return rows
    keys = ["trial", "width", "experts"]
    named = records.loc[records["measure"] == "parameters", [*keys, "model"]]
    return rows.drop(columns="model", errors="ignore").merge(named.drop_duplicates(), on=keys)


def _with_kinds(data: Any) -> Any:
    """The table, kinds trained on first, with a column ``kind`` that says which those are."""
    found = data.sort_values("domain", kind="stable", ignore_index=True)
    return found.assign(kind=found["text_kind"] + " (" + found["domain"].map(DOMAINS) + ")")


def _family_scale() -> Any:
    import altair as alt

    return alt.Scale(domain=list(FAMILIES), range=list(FAMILIES.values()))


def _readable(values: Any, unit: str) -> tuple[Any, str]:
    """Values in the unit with the prefix that makes the largest of them one to three digits."""
    import numpy as np

    top = float(np.nanmax(values)) if len(values) else 1.0
    power = max((p for p in PREFIXES if 10.0**p <= top), default=0)
    return values / 10.0**power, f"{PREFIXES[power]}{unit}"


# -- the speed-up -------------------------------------------------------------------------------


def speed_up_by_kind(run: Run) -> Chart:
    """The speed-up on every kind of text, by each cost; where there is none, that is said."""
    import altair as alt

    data = _speed_ups(run.records)
    shown = list(dict.fromkeys(data["cost"]))
    across = alt.Scale(type="log", nice=False, padding=24)
    axis = alt.Axis(values=_powers_of_two(data[["speed_up", "low", "high"]]))
    tips = [alt.Tooltip(f"{k}:Q", format=",.3~g") for k in ("speed_up", "low", "high", "n")]
    base = alt.Chart(data).encode(
        y=alt.Y("kind:N", title=None, sort=list(dict.fromkeys(data["kind"])),
                axis=alt.Axis(labelLimit=320)),
        yOffset=alt.YOffset("cost:N", sort=shown),
        color=alt.Color("cost:N", title=None, sort=shown,
                        legend=alt.Legend(orient="top", direction="vertical")),
        tooltip=["kind:N", "cost:N", *tips],
    )  # fmt: skip
    one = alt.Chart(data.head(1)).mark_rule(strokeDash=[4, 3], strokeWidth=1.2, color="#3c4650")
    along = alt.X(
        "speed_up:Q", title="speed-up (dense cost over sparse cost)", scale=across, axis=axis
    )
    layers = [
        one.encode(x=alt.datum(1.0)),
        base.mark_point(size=75, filled=True, opacity=1).encode(x=along),
        base.transform_filter(f"datum.note == '{OUTSIDE}'")
        .mark_text(align="left", fontStyle="italic", fontSize=12)
        .encode(x=alt.value(6), text="note:N"),
    ]
    if data["low"].notna().any():
        layers.insert(1, base.mark_rule(strokeWidth=2.5).encode(x="low:Q", x2="high:Q"))
    high = 22 * len(data) + 20
    return Chart(
        "speed_up_by_kind",
        "How much cheaper a sparse model is, at equal perplexity",
        "Right of the dashed line the sparse family needs less, left of it more. Operations "
        "computed include the router, and experts filled up as if all got the same. Geometric mean "
        "over the levels of perplexity that both families reach, then over the seeds, with the "
        f"95 % interval over seeds. '{OUTSIDE.capitalize()}': the families share no level, and "
        "nothing is extrapolated.",
        alt.layer(*layers).properties(height=high),
        data,
    )


def _powers_of_two(values: Any) -> list[float]:
    """At most nine powers of two around the values, 1 among them."""
    import numpy as np

    logs = np.log2(values.to_numpy(float))
    reach = np.append(logs[np.isfinite(logs)], 0.0)
    low, high = int(np.floor(reach.min())), int(np.ceil(reach.max()))
    step = max(1, -(-(high - low) // 8))
    return [2.0**k for k in range(low, high + 1) if k % step == 0]


def _speed_ups(records: Any) -> Any:
    """One row per kind and cost, measured or not."""
    import numpy as np
    import pandas as pd

    keys = ["text_kind", "domain", "cost"]
    every = records.loc[records["measure"].isin(SPEED_UPS), keys].drop_duplicates()
    known = records[(records["measure"] == SPEED_UPS[0]) & records["value"].notna()]
    if len(known):
        found = summarise(known, SPEED_UPS[0], keys)
    else:
        found = pd.DataFrame(columns=[*keys, "mean", "low", "high", "n"])
    data = every.merge(found, on=keys, how="left")
    for column in ("mean", "low", "high"):
        data[column] = np.exp2(data[column].astype(float))
    data = data.rename(columns={"mean": "speed_up"}).drop(columns="unit", errors="ignore")
    data["note"] = np.where(data["speed_up"].isna(), OUTSIDE, "")
    data["n"] = data["n"].fillna(0).astype(int)
    data = _with_kinds(data)
    order = {cost: place for place, cost in enumerate(COSTS)}
    data = data.sort_values("cost", kind="stable", key=lambda costs: costs.map(order))
    data["cost"] = data["cost"].map(COSTS)
    places = {kind: place for place, kind in enumerate(dict.fromkeys(data["kind"]))}
    return data.sort_values("kind", kind="stable", key=lambda k: k.map(places), ignore_index=True)


def speed_up_table(run: Run) -> Table:
    """The speed-ups as numbers, with what was left out of them."""
    return Table(
        "speed_ups",
        "The same in numbers",
        "Cost of the dense family over that of the sparse one at equal perplexity, with its 95 % "
        "interval over the seeds. Left out, over all seeds together: perplexities that only one "
        "family reaches, and models that are no better than a cheaper one of their family, for "
        "which its best so far stands.",
        speed_up_rows(run.records),
    )


def speed_up_rows(records: Any) -> Any:
    """One row per kind and cost: the factor, its interval, and what was left out."""
    data = _speed_ups(records)
    found = data[["kind", "cost", "speed_up", "low", "high", "n"]].copy()
    found.columns = ["text", "cost", "speed-up", "from", "to", "seeds"]
    found["remark"] = data["note"]
    for measure, heading in LEFT_OUT.items():
        rows = records[records["measure"] == measure]
        counts = rows.groupby(["text_kind", rows["cost"].map(COSTS)])["value"].sum()
        every = zip(data["text_kind"], data["cost"], strict=True)
        found[heading] = [int(counts.get(place, 0)) for place in every]
    return found


def speed_up_by_level(run: Run) -> Chart:
    """The speed-up at each level of perplexity, with its interval over documents."""
    import altair as alt

    data = _levels(run)
    shown = [words for words in COSTS.values() if words in set(data["cost"])]
    base = alt.Chart(data).encode(
        x=alt.X("level:Q", title="perplexity reached", axis=alt.Axis(tickCount=4),
                scale=alt.Scale(type="log", nice=False, padding=12, reverse=True)),
        color=alt.Color("cost:N", title=None, sort=shown,
                        legend=alt.Legend(orient="top")),
    )  # fmt: skip
    up = alt.Y("factor:Q", title="speed-up", axis=alt.Axis(tickCount=4),
               scale=alt.Scale(type="log", nice=False, padding=12))  # fmt: skip
    tips = [
        alt.Tooltip(f"{k}:Q", format=",.3~g") for k in ("level", "factor", "low", "high", "defined")
    ]
    points = base.mark_point(size=50, filled=True, opacity=0.9)
    layers = [
        alt.Chart(data).mark_rule(strokeDash=[4, 3], color="#3c4650").encode(y=alt.datum(1.0)),
        base.mark_rule(strokeWidth=1.5, opacity=0.45).encode(y="low:Q", y2="high:Q"),
        points.encode(y=up, tooltip=["kind:N", "cost:N", *tips, "seed:N"]),
    ]
    return Chart(
        "speed_up_by_level",
        "Where on the way to a good model a sparse one is cheaper",
        "Each point is one seed at the perplexity of one model, better models to the right; the "
        "line through it is the 95 % interval over the documents measured on. A level that only "
        "one family reaches has no point.",
        _panels(alt.layer(*layers), data["kind"]),
        data,
    )


def _levels(run: Run) -> Any:
    """The factor of every level of every trial, undefined ones left out."""
    import pandas as pd

    tables = [
        run.load(f"{STEP}.{PORT}", trial=trial["trial"]).assign(seed=trial["seed"])
        for trial in run.trials
        if _succeeded(trial)
    ]
    data = pd.concat(tables, ignore_index=True).dropna(subset=["factor"])
    data["factor"] = data["factor"].astype(float)
    data["cost"] = [COSTS[cost] for cost in data["cost"]]
    return _with_kinds(data.drop(columns="reason"))


def _succeeded(trial: dict[str, Any]) -> bool:
    return any(member["key"] for member in trial["steps"].get(STEP, ()))


# -- sizes and costs ----------------------------------------------------------------------------

COLUMNS = {
    "parameters": ("parameters", ""),
    "active_parameters": ("active", ""),
    "training_flops": ("paper's count", "FLOP"),
    "training_flops_actual": ("computed", "FLOP"),
    "training_seconds": ("time", "s"),
    "gpu_days": ("V100 GPU-days", ""),
    "memory_bytes": ("state", "B"),
    "checkpoint_bytes": ("checkpoint", "B"),
}
"""Columns of the table, by measure: heading and unit."""


def sizes_and_costs(run: Run) -> Table:
    """Every model with its sizes and its three costs."""
    return Table(
        "sizes_and_costs",
        "What the models cost",
        "Mean over the seeds. Active parameters are those that one token meets. The paper's count "
        "of operations takes activations to be computed twice and leaves the router out; the other "
        "has the router, activations once, and experts filled up to whole blocks as if all got the "
        "same. The state of training holds "
        "weights, gradients and the optimiser's moments.",
        cost_table(run.records),
    )


def cost_table(records: Any) -> Any:
    """One row per model, dense ones first, with the columns that were measured."""
    rows = records[records["measure"].isin(list(COLUMNS))]
    means = rows.pivot_table(index=["family", "model"], columns="measure", values="value")
    order = [name for name in dict.fromkeys(rows["model"])]
    table = means.reset_index().sort_values(
        ["family", "model"], key=lambda k: k.map(order.index) if k.name == "model" else k
    )
    found = table[["model", "family"]].reset_index(drop=True)
    for measure, (heading, unit) in COLUMNS.items():
        if measure not in table:
            continue
        values = table[measure].reset_index(drop=True)
        prefixed = measure not in ("training_seconds", "gpu_days")
        scaled, words = _readable(values, unit) if prefixed else (values, unit)
        found[f"{heading} ({words})" if words else heading] = scaled
    return found
