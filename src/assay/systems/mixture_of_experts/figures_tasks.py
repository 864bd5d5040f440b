"""Figures of the studies `priming` and `finetuning`: what is answered rightly, and what adds to it.

Everything is drawn from records; nothing is measured here.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from assay.core.charts import PALETTE, curve, dots, summarise
from assay.core.figures import Chart, Figure, Table
from assay.core.run import Run
from assay.systems.mixture_of_experts.figures import router_health, sizes_and_costs
from assay.systems.mixture_of_experts.finetuning import TUNED

ZERO = "zero-shot"
PANEL = {"width": 200, "height": 190}
READ = (
    "Mean over the seeds with its 95 % interval. The dashed line is what guessing would reach, or "
    "always saying the most frequent class."
)


def priming_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Right choices by demonstrations, what these add, then costs and routers."""
    yield partial(right_by_shots, run)
    if (run.records["measure"] == "gain").any():
        yield partial(gain_by_shots, run)
    yield from _of_decoders(run)


def finetuning_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Fine-tuned beside zero-shot as a table and as points, the losses, then costs and routers."""
    yield partial(tuned_table, run)
    yield partial(right_by_way, run)
    if _tuning(run.records)["measure"].eq("training_loss").any():
        yield partial(tuning_loss, run)
    yield from _of_decoders(run)


def _of_decoders(run: Run) -> Iterator[Callable[[], Figure]]:
    present = set(run.records["measure"])
    if "parameters" in present:
        yield partial(sizes_and_costs, run)
    if "gate_entropy" in present:
        yield partial(router_health, run)


# -- answers ------------------------------------------------------------------------------------


def right_by_shots(run: Run) -> Chart:
    """The share of right choices by the number of demonstrations, task by task."""
    data = accuracies(run.records, "shots").astype({"shots": int})
    return Chart(
        "right_by_shots",
        "Options picked rightly, by the number of demonstrations",
        f"Share of test examples. {READ}",
        _panels(data, "shots", "demonstrations"),
        data,
    )


def right_by_way(run: Run) -> Chart:
    """The share of right answers without training on a task and with it, task by task."""
    data = accuracies(with_way(run.records), "way")
    return Chart(
        "right_by_way",
        "Answered rightly, without training on the task and with it",
        f"Share of test examples; a class cannot be told without training. {READ}",
        _panels(data, "way", ""),
        data,
    )


def accuracies(records: Any, across: str) -> Any:
    """Mean accuracy and its interval by ``task``, ``decoder`` and a further key, with the chance.

    Args:
        records: Of a run.
        across: The key.
    """
    keys = ["task", "decoder", across]
    data = summarise(records, "accuracy", keys)
    chance = summarise(records, "chance", keys)[[*keys, "mean"]]
    return data.merge(chance.rename(columns={"mean": "chance"}), on=keys)


def with_way(records: Any) -> Any:
    """The records of a run with ``way`` told of the choices made without training, too."""
    untrained = records["shots"] == 0 if "shots" in records else False
    return records.assign(way=records["way"].mask(untrained, ZERO))


def _panels(data: Any, across: str, title: str) -> Any:
    """A panel for each task: points with intervals, a colour for each decoder."""
    import altair as alt

    names = list(dict.fromkeys(data["decoder"]))
    colours = alt.Scale(domain=names, range=[*PALETTE[: len(names)]])
    apart = alt.Scale(type="point", domain=names, padding=1)
    base = alt.Chart(data).encode(
        x=alt.X(f"{across}:N", title=title or None, sort=None, axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("decoder:N", scale=apart),
        color=alt.Color("decoder:N", title=None, scale=colours, legend=alt.Legend(orient="top")),
    )
    scale = alt.Scale(domain=[0, 1])
    tips = [alt.Tooltip(f"{k}:N") for k in ("task", "decoder", across)]
    tips += [alt.Tooltip(f"{k}:Q", format=".3f") for k in ("mean", "low", "high", "chance")]
    layers = [
        alt.Chart(data).mark_rule(strokeDash=[4, 3], color="#3c4650").encode(y="chance:Q"),
        base.mark_rule(strokeWidth=2, opacity=0.5, clip=True).encode(y="low:Q", y2="high:Q"),
        base.mark_point(size=60, filled=True, opacity=1).encode(
            y=alt.Y("mean:Q", title="share right", scale=scale), tooltip=tips
        ),
    ]
    if data["low"].isna().all():
        del layers[1]
    header = alt.Header(title=None, labelFontSize=13, labelFontWeight=600, labelPadding=6)
    facet = alt.Facet("task:N", sort=list(dict.fromkeys(data["task"])), header=header)
    return alt.layer(*layers).properties(**PANEL).facet(facet=facet, columns=3)


def gain_by_shots(run: Run) -> Chart:
    """What demonstrations add to the share of right choices."""
    return dots(
        run.records.astype({"shots": "Int64"}),
        "gain",
        by=["task", "shots", "decoder"],
        name="gain_by_shots",
        title="What demonstrations add",
        caption="Share of right choices after demonstrations less that without, of the same "
        "examples. Mean over the seeds with its 95 % interval.",
        x_title="change in the share right",
    )


def tuned_table(run: Run) -> Table:
    """Fine-tuned beside zero-shot, for each task and decoder."""
    return Table(
        "tuned",
        "Fine-tuned beside zero-shot",
        "Share of test examples answered rightly, mean over the seeds; the gain is over the same "
        "examples, with its 95 % interval. Classes have no zero shot.",
        tuned_rows(run.records),
    )


def tuned_rows(records: Any) -> Any:
    """A row for each task and decoder: chance, zero-shot, fine-tuned, gain and its interval."""
    shares = accuracies(with_way(records), "way")
    keys = ["task", "decoder"]
    found = shares.pivot_table(index=keys, columns="way", values="mean", sort=False)
    found = shares.groupby(keys, sort=False)[["chance"]].mean().join(found)
    gains = summarise(records, "gain", keys).set_index(keys)[["mean", "low", "high"]]
    gains.columns = ["gain", "gain from", "gain to"]
    found = found.join(gains).reset_index()
    order = ["chance", ZERO, TUNED, *gains.columns]
    return found.reindex(columns=[*keys, *order])


# -- training -----------------------------------------------------------------------------------


def tuning_loss(run: Run) -> Chart:
    """How the loss fell in fine-tuning, by decoder and task."""
    rows = _tuning(run.records)
    rows = rows.assign(trained=rows["decoder"].astype(str) + ", " + rows["task"].astype(str))
    return curve(
        rows,
        "training_loss",
        "training_step",
        by="trained",
        name="tuning_loss",
        title="How the loss fell in fine-tuning",
        caption="Cross-entropy of the right answer, in nats per example, with the load-balancing "
        "loss of the sparse decoder; mean over the seeds with its 95 % interval. It starts at the "
        "logarithm of the number of answers where nothing is known.",
        x_title="steps",
        y_title="loss (nats per example)",
    )


def _tuning(records: Any) -> Any:
    """The records of the steps that fine-tune."""
    return records[records["step"].str.startswith("tuned")]
