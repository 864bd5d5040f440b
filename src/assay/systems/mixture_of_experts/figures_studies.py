"""Figures of the studies `routing`, `cost` and `upcycling`; everything is drawn from records."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from assay.core.charts import curve, dots
from assay.core.figures import Chart, Figure, Table
from assay.core.run import Run
from assay.systems.mixture_of_experts.costs import PUBLISHED
from assay.systems.mixture_of_experts.figures import DOMAINS, cost_table
from assay.systems.mixture_of_experts.figures_routing import router_health

ROUTERS = {
    "held_out_max_load": (
        "Load of the busiest expert",
        "Its share of the first choices times the number of experts: 1 if all get the same.",
    ),
    "held_out_overflow_first": (
        "First choices turned away",
        "Share of the first choices for which there was no place under the rules of training.",
    ),
    "held_out_overflow_second": (
        "Second choices turned away",
        "Share of the second choices for which there was no place under the rules of training.",
    ),
}
COUNTED = {
    "parameters": ("parameters (billion)", 1e9),
    "active_parameters": ("active (billion)", 1e9),
    "training_flops": ("paper's count (ZFLOP)", 1e21),
    "training_flops_actual": ("computed (ZFLOP)", 1e21),
    "gpu_days": ("V100 GPU-days", 1.0),
    "memory_bytes": ("state (GB)", 1e9),
    "checkpoint_bytes": ("checkpoint (GB)", 1e9),
    "weights_bytes": ("weights (GB)", 1e9),
}
"""Columns of the published models, by measure: heading and what it is told in."""
STEP = {
    "step_flops": ("training_flops", "operations, paper's count"),
    "step_flops_computed": ("training_flops_actual", "operations computed"),
    "step_seconds": ("training_seconds", "seconds"),
}
"""The three costs of a step: the measure of a whole training that it is like, and in words."""
FOLDER = "fit.model"


def routing_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Perplexity beside the default, what the routers do, and router health over training."""
    yield partial(perplexity_beside, run, "routing", "default")
    for measure in ROUTERS:
        if (run.records["measure"] == measure).any():
            yield partial(routers_on_unseen_text, run, measure)
    if (run.records["measure"] == "gate_entropy").any():
        yield partial(router_health, run, "routing")


def cost_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """The published models, then the steps that were timed."""
    present = set(run.records["measure"])
    if "training_flops" in present:
        yield partial(published_table, run)
    if "step_flops" in present:
        yield partial(sparse_over_dense, run)
        yield partial(steps_table, run)


def upcycling_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Perplexity beside the dense model's, the curves of the loss, and where the models lie."""
    yield partial(perplexity_beside, run, "begun_as", "dense")
    if (run.records["measure"] == "training_loss").any():
        yield partial(further_loss, run)
    yield partial(folders, run)


# -- perplexity ---------------------------------------------------------------------------------


def perplexity_beside(run: Run, decision: str, reference: str) -> Chart:
    """How much higher the perplexity of each choice is than that of one of them, seed by seed."""
    return dots(
        relative_perplexity(run.records, decision, reference),
        "change",
        by=["kinds", decision.replace("_", " ")],
        name="perplexity",
        title=f"Perplexity beside that of {decision.replace('_', ' ')} {reference}",
        caption="Relative change in the perplexity of a token of held-out documents, mean over the "
        "kinds of text that were trained on, and over those that were not; below 0 is better. Mean "
        "over the seeds with its 95 % interval.",
        x_title="change in perplexity (%)",
    )


def relative_perplexity(records: Any, decision: str, reference: str) -> Any:
    """One ``change`` in percent for each choice but the reference, each seed and domain.

    The column of the choices has spaces where the decision has underscores: labels are cut at
    their end, and the kinds of text stand before the choice.

    Where the run lacks the reference there is none.
    """
    import numpy as np

    rows = records[records["measure"] == "log_perplexity"]
    keys = ["seed", "domain"]
    means = rows.groupby([decision, *keys], sort=False)["value"].mean().reset_index()
    base = means[means[decision] == reference].drop(columns=decision)
    both = means[means[decision] != reference].merge(base, on=keys, suffixes=("", "_base"))
    change = 100 * np.expm1(both["value"] - both["value_base"])
    kinds = both["domain"].map(DOMAINS)
    named = both.rename(columns={decision: decision.replace("_", " ")})
    return named.assign(value=change, kinds=kinds, measure="change", unit="%")


# -- routing ------------------------------------------------------------------------------------


def routers_on_unseen_text(run: Run, measure: str) -> Chart:
    """One measure of the routers by how tokens were routed."""
    title, caption = ROUTERS[measure]
    return dots(
        run.records,
        measure,
        by=["routing"],
        name=measure,
        title=title,
        caption=f"{caption} On unseen text of the kinds trained on, mean over the mixture layers, "
        "then over the seeds with its 95 % interval.",
        x_title=title.lower(),
    )


# -- costs --------------------------------------------------------------------------------------


def published_table(run: Run) -> Table:
    """The published models: sizes, operations, memory and storage."""
    return Table(
        "published_models",
        "What the published models cost",
        "Counted, not trained: the models were built without memory for their weights. Active "
        "parameters are those that one token meets. The paper's count takes activations to be "
        "computed twice and leaves the router out; the other has the router. The state of training "
        "is 16 bytes a parameter; a checkpoint leaves the gradients out; the weights have 16 bits. "
        "The last column is the paper's count over that of the dense model of equal layers.",
        published_costs_table(run.records),
    )


def published_costs_table(records: Any) -> Any:
    """One row per published model, dense ones first."""
    import pandas as pd

    rows = records[records["model"].isin(list(PUBLISHED))]
    values = rows.pivot_table(index="model", columns="measure", values="value")
    values = values.loc[[name for name in PUBLISHED if name in values.index]]
    flops = values["training_flops"]
    skeletons = [PUBLISHED[name].skeleton for name in values.index]
    table: dict[str, Any] = {
        "model": values.index,
        "family": [PUBLISHED[name].family for name in values.index],
    }
    for measure, (heading, unit) in COUNTED.items():
        table[heading] = values[measure].to_numpy() / unit
    table["over its dense model"] = flops.to_numpy() / flops.reindex(skeletons).to_numpy()
    return pd.DataFrame(table)


def sparse_over_dense(run: Run) -> Chart:
    """Each cost of a step of the sparse model over that of the dense one of its pair."""
    return dots(
        step_ratios(run.records),
        "ratio",
        by=["experts", "width", "cost"],
        name="sparse_over_dense",
        title="A step of a sparse model over that of a dense one of equal operations",
        caption="By the paper's count both cost the same. Operations computed include the router "
        "and the rows that fill up the experts; no token is turned away. Seconds are of one "
        "thread, both in turns in one process; mean over the seeds with its 95 % interval.",
        x_title="sparse over dense",
    )


def step_ratios(records: Any) -> Any:
    """One ``ratio`` for each pair, cost and seed."""
    rows = records[records["measure"].isin(list(STEP))]
    keys = ["experts", "width", "measure", "seed"]
    sides = rows.pivot_table(index=keys, columns="family", values="value", sort=False)
    found = (sides["sparse"] / sides["dense"]).rename("value").reset_index()
    costs = [STEP[measure][1] for measure in found["measure"]]
    whole = {key: found[key].astype(int) for key in ("experts", "width")}
    return found.assign(**whole, cost=costs, measure="ratio", unit="1")


def steps_table(run: Run) -> Table:
    """The models that were built, with their sizes and the three costs of a step."""
    return Table(
        "steps",
        "What a step of training costs here",
        "Mean over the seeds. The paper's count takes activations to be computed twice; they are "
        "not, and the operations computed are fewer. The state of training is 16 bytes a "
        "parameter.",
        steps_costs_table(run.records),
    )


def steps_costs_table(records: Any) -> Any:
    """One row per model that was built; see `figures.cost_table`."""
    rows = records[records["width"].notna() & records["family"].notna()]
    numbers = zip(rows["width"].astype(int), rows["experts"].astype(int), rows["family"],
                  strict=True)  # fmt: skip
    names = [
        f"{width} wide" + (f", {experts} experts" if family == "sparse" else "")
        for width, experts, family in numbers
    ]
    alike = {measure: whole for measure, (whole, _) in STEP.items()}
    return cost_table(rows.assign(model=names, measure=rows["measure"].replace(alike)))


# -- upcycling ----------------------------------------------------------------------------------


def further_loss(run: Run) -> Chart:
    """The loss of training on, over the tokens seen since."""
    return curve(
        _with_tokens(run.records),
        "training_loss",
        "thousand_tokens",
        by="begun_as",
        name="further_loss",
        title="How the loss fell when training went on",
        caption="Cross-entropy in nats per token, of a sparse model with what the balancing loss "
        "adds; mean over the seeds with its 95 % interval.",
        x_title="thousand further tokens",
        y_title="loss (nats per token)",
    )


def _with_tokens(records: Any) -> Any:
    """The losses of training on, with the thousands of tokens seen by then."""
    rows = records[records["step"] == "fit"]
    keys = ["trial", "training_step"]
    loss = rows[rows["measure"] == "training_loss"]
    tokens = rows[rows["measure"] == "training_tokens"][[*keys, "value"]]
    joined = loss.merge(tokens.rename(columns={"value": "thousand_tokens"}), on=keys)
    return joined.assign(thousand_tokens=(joined["thousand_tokens"] / 1e3).round(1))


def folders(run: Run) -> Table:
    """Where the models lie, and how they are copied out of the store."""
    import pandas as pd

    rows = [
        {
            "begun as": trial["choices"]["begun_as"],
            "seed": trial["seed"],
            "folder": str(run.file(FOLDER, trial=trial["trial"])),
            "copy": f"assay export {run.name} {FOLDER} PATH --trial {trial['trial']}",
        }
        for trial in run.trials
        if any(member["key"] for member in trial["steps"].get("fit", ()))
    ]
    return Table(
        "folders",
        "Where the models lie",
        "Folders in Hugging Face layout: weights, configuration, tokenizer and card. Copy one to "
        "use it; those in the store are not to be changed. `AutoModelForCausalLM.from_pretrained` "
        "reads them once `assay.systems.mixture_of_experts.model` is imported.",
        pd.DataFrame(rows, columns=["begun as", "seed", "folder", "copy"]),
    )
