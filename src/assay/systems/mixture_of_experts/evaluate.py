"""How well a decoder predicts each kind of text, and how much less a sparse family costs."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError
from assay.parts.text.tokens import RowIndex, document_rows
from assay.systems.mixture_of_experts.data import TextKind, open_kinds
from assay.systems.mixture_of_experts.speedup import (
    Family,
    Point,
    bootstrap_speed_up,
    speed_up,
)

__all__ = ["Perplexities", "SpeedUpTable", "perplexities", "speed_ups"]

BATCH, ALONE = 32, 4  # rows
COSTS = ("flops", "actual_flops", "seconds")
"""The paper's analytic count, the count with router and empty slots, and measured seconds."""


class Perplexities(NamedTuple):
    """How well one model predicts unseen text.

    Attributes:
        documents: ``text_kind``, ``domain``, ``document`` and its ``nats`` and ``tokens``.
        records: ``perplexity`` of each ``text_kind``, of a token, over all its documents, and its
            logarithm, ``log_perplexity``; with the names of ``model`` and ``family``. And the
            ``batch_difference``, by how many nats per token a row differs when it is read alone.
    """

    documents: pd.DataFrame
    records: Records


@component(version="1", requires=("numpy", "tokenizers", "torch", "transformers"))
def perplexities(
    model: Path,
    tokens: Path,
    *,
    rows: PositiveInt = 400,
    length: Annotated[int, Field(ge=8, le=4096)] = 128,
) -> Perplexities:
    """Measure a decoder on the held-out documents of every kind.

    Documents are cut into rows, each read on its own: what a row begins with is predicted from
    ``<s>`` alone. Kinds with more rows than asked for are measured on rows drawn evenly from all.

    Args:
        model: Folder of a decoder.
        tokens: Folder of `kind_tokens`.
        rows: Rows of each kind at most.
        length: Tokens of a row, ``<s>`` included.

    Raises:
        DataError: If the decoder does not know the tokens, or reads no rows of this length.
        StepError: If what it says of a row is not a finite number.
    """
    from assay.parts.training.torch_state import own_threads
    from assay.systems.mixture_of_experts.configuration import shape_of
    from assay.systems.mixture_of_experts.folders import load_decoder

    kinds, tables, records = open_kinds(tokens), list[pd.DataFrame](), Records()
    apart = list[float]()
    with own_threads(task().threads):
        known = max(kind.validation.vocabulary for kind in kinds)
        net: Any = load_decoder(model, length=length, vocabulary=known)
        for done, kind in enumerate(kinds):
            index = document_rows(kind.validation, length - 1)
            chosen = np.unique(np.linspace(0, len(index) - 1, min(rows, len(index))).astype(int))
            nats = _nats(net, index, chosen, BATCH)
            alone = _nats(net, index, chosen[:ALONE], 1) - nats[:ALONE]
            apart.append(float(np.abs(alone / index.lengths[chosen[:ALONE]]).max()))
            tables.append(_by_document(kind, index, chosen, nats))
            task().progress(done + 1, len(kinds), "kinds")
    documents, shape = pd.concat(tables, ignore_index=True), shape_of(net.config, length)
    names = {"model": shape.name, "family": shape.family}
    for kind in kinds:
        part: Any = documents[documents["text_kind"] == kind.name]
        log = float(part["nats"].sum() / part["tokens"].sum())
        keys = names | {"text_kind": kind.name, "domain": kind.domain}
        records.add("log_perplexity", log, "nat", **keys)
        records.add("perplexity", float(np.exp(log)), **keys)
    records.add("batch_difference", max(apart), "nat", **names)
    return Perplexities(documents, records)


def _nats(net: Any, index: RowIndex, chosen: np.ndarray, batch: int) -> np.ndarray:
    """Negative log-likelihood of each row, summed over its tokens."""
    from assay.systems.mixture_of_experts.likelihood import row_nats

    parts = np.array_split(chosen, -(-len(chosen) // batch))
    return np.concatenate([row_nats(net, index.take(part)) for part in parts])


def _by_document(
    kind: TextKind, index: RowIndex, chosen: np.ndarray, nats: np.ndarray
) -> pd.DataFrame:
    starts = index.starts[chosen]
    table: Any = pd.DataFrame(
        {
            "text_kind": kind.name,
            "domain": kind.domain,
            "document": np.searchsorted(kind.validation.documents, starts, side="right") - 1,
            "nats": nats,
            "tokens": index.lengths[chosen],
        }
    )
    keys = ["text_kind", "domain", "document"]
    return table.groupby(keys, as_index=False, sort=False).sum()


# -- the speed-up -------------------------------------------------------------------------------


class SpeedUpTable(NamedTuple):
    """The speed-up factor of a sparse family over a dense one.

    Attributes:
        table: ``text_kind``, ``domain``, ``cost``, ``level`` (a perplexity), ``factor``, its
            interval over documents ``low`` and ``high``, the share of resamples in which it is
            ``defined``, and the ``reason`` where there is no factor.
        records: ``speed_up`` of each ``text_kind`` and ``cost`` with one, the geometric mean over
            the levels, and its logarithm to base 2, ``log2_speed_up``; ``in_domain_advantage``, by
            how much the mean of the latter is larger over the kinds trained on than over the
            others, for each ``cost`` with both; ``levels_outside_range`` of each kind and cost, and
            ``passed_over``, models that are not better than all cheaper ones of their family.
    """

    table: pd.DataFrame
    records: Records


@component(version="1", requires=("numpy",))
def speed_ups(
    documents: list[pd.DataFrame],
    costs: list[pd.DataFrame],
    seconds: pd.DataFrame,
    *,
    resamples: PositiveInt = 1000,
    seed: Seed,
) -> SpeedUpTable:
    """How much less a sparse family costs to reach a perplexity, kind by kind.

    Args:
        documents: What `perplexities` measured of each model.
        costs: Of each model in the same order, one row with ``family`` and the costs.
        seconds: Of each model, what `timing.training_seconds` measured.
        resamples: Resamples of the documents.
        seed: Seed of the resampling.

    Raises:
        DataError: If a family has no model, or two models have one name.
    """
    _require_distinct(pd.concat(costs, ignore_index=True)["model"].tolist())
    paid: Any = pd.concat(costs, ignore_index=True).merge(seconds, on="model", how="left")
    if {*paid["family"]} != {"dense", "sparse"}:
        raise DataError(
            f"only models that are {' and '.join(sorted({*paid['family']}))}",
            where="speed-up",
            accepted="dense and sparse ones",
        )
    rows, records = list[dict[str, Any]](), Records()
    kinds: Any = documents[0][["text_kind", "domain"]].drop_duplicates().itertuples(index=False)
    for kind, domain in kinds:
        measured: Any = [table[table["text_kind"] == kind] for table in documents]
        for cost in COSTS:
            keys = {"text_kind": str(kind), "domain": str(domain), "cost": cost}
            found, passed_over = _of_kind(measured, paid, cost, resamples, seed)
            rows += [keys | row for row in found]
            _record(records, found, passed_over, keys)
    _add_advantage(records)
    return SpeedUpTable(pd.DataFrame(rows), records)


def _require_distinct(names: list[str]) -> None:
    """Refuse models that the records could not tell apart."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"two models are called {twice}",
            where="speed-up",
            accepted="models of different widths or numbers of experts",
        )


def _of_kind(
    measured: list[pd.DataFrame], paid: pd.DataFrame, cost: str, resamples: int, seed: int
) -> tuple[list[dict[str, Any]], tuple[int, int]]:
    """The factor at every level of one kind, and how many models were passed over."""
    families = list[Family]()
    for name in ("dense", "sparse"):
        which = np.flatnonzero(paid["family"] == name)
        families.append(
            Family(
                paid[cost].to_numpy(float)[which],
                np.stack([measured[k]["nats"].to_numpy(float) for k in which]),
                measured[which[0]]["tokens"].to_numpy(float),
            )
        )
    points = [
        [Point(*pair) for pair in zip(f.costs, np.exp(f.sums.sum(1) / f.counts.sum()), strict=True)]
        for f in families
    ]
    found = speed_up(points[0], points[1], lower_is_better=True)
    levels = [at.level for at in found.levels]
    drawn = bootstrap_speed_up(
        families[0], families[1], levels, lower_is_better=True, resamples=resamples, seed=seed
    )
    rows = [
        {"level": at.level, "factor": at.factor, "low": low, "high": high, "defined": defined,
         "reason": at.reason}
        for at, low, high, defined in zip(found.levels, *drawn[1:], strict=True)
    ]  # fmt: skip
    return rows, found.passed_over


def _record(
    records: Records,
    found: list[dict[str, Any]],
    passed_over: tuple[int, int],
    keys: dict[str, str],
) -> None:
    factors = [row["factor"] for row in found if row["factor"] is not None]
    records.add("levels_outside_range", len(found) - len(factors), **keys)
    for family, count in zip(("dense", "sparse"), passed_over, strict=True):
        records.add("passed_over", count, family=family, **keys)
    if factors:
        log = float(np.log2(factors).mean())
        records.add("log2_speed_up", log, **keys)
        records.add("speed_up", 2**log, **keys)


def _add_advantage(records: Records) -> None:
    logs = [row for row in records if row["measure"] == "log2_speed_up"]
    for cost in COSTS:
        of_cost = [row for row in logs if row["cost"] == cost]
        sides = [[row["value"] for row in of_cost if row["domain"] == d] for d in ("in", "out")]
        if all(sides):
            inside, outside = map(np.mean, sides)
            records.add("in_domain_advantage", float(inside - outside), cost=cost)
