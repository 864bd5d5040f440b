"""How long training takes: steps of every model in turns, on one thread of one process."""

import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from assay.core.component import component
from assay.core.records import Records
from assay.core.task import task
from assay.errors import DataError
from assay.parts.training.recipe import Precision, Recipe
from assay.systems.mixture_of_experts.costs import training_flops
from assay.systems.mixture_of_experts.data import equal_shares, training_rows

__all__ = ["TrainingSeconds", "training_seconds"]

RATE = 1e-5
"""So low that the routers stay as balanced as training left them."""


class TrainingSeconds(NamedTuple):
    """What training took.

    Attributes:
        table: ``model`` and the ``seconds`` of its training.
        records: ``training_seconds`` by ``model`` and ``family``.
    """

    table: pd.DataFrame
    records: Records


@component(version="1", requires=("numpy", "torch", "transformers"))
def training_seconds(
    models: list[Path],
    costs: list[pd.DataFrame],
    tokens: Path,
    *,
    length: Annotated[int, Field(ge=8, le=4096)] = 128,
    batch: PositiveInt = 16,
    steps: Annotated[int, Field(ge=2)] = 6,
    precision: Precision = "auto",
) -> TrainingSeconds:
    """Measure the processor time of a step of each model, and multiply by the steps it took.

    All models are in one process on one thread and take a step in turns, so that what else the
    machine does falls on all alike. Of the steps of a model, the first of which prepares, the
    median counts; every step reads other rows, and so routes anew.

    Args:
        models: Folders of trained decoders.
        costs: Of each in the same order, its row of costs with its ``steps``.
        tokens: Folder of `kind_tokens`.
        length: Tokens of a row in training.
        batch: Rows of a step in training.
        steps: Steps taken of each model.
        precision: That of training.

    Raises:
        DataError: If rows of another length, or another number of them, were trained on.
    """
    from assay.parts.training.fit import Training
    from assay.parts.training.torch_state import own_threads
    from assay.systems.mixture_of_experts.folders import load_decoder
    from assay.systems.mixture_of_experts.likelihood import enclosed
    from assay.systems.mixture_of_experts.model import training_loss

    rows_of = equal_shares(training_rows(tokens, length), batch, seed=0)
    taken = np.zeros((steps, len(models)))
    with own_threads(1):
        nets: list[Any] = [load_decoder(folder, length=length) for folder in models]
        for net, paid in zip(nets, costs, strict=True):
            _require_rows_of_training(net.config, paid, length, batch)
        recipe = Recipe(steps=steps, rate=RATE, precision=precision)
        runs = [
            Training(net, training_loss, recipe, task().scratch() / str(number), 0, sharded=False)
            for number, net in enumerate(nets)
        ]
        for step in range(steps):
            given = {"ids": enclosed(rows_of(step), nets[0].config)}
            for number, run in enumerate(runs):
                before = time.process_time()
                run.take(step, [given])
                taken[step, number] = time.process_time() - before
            task().progress(step + 1, steps, "steps")
    whole, records = pd.concat(costs, ignore_index=True), Records()
    whole["seconds"] = np.median(taken[1:], axis=0) * whole["steps"]
    for name, family, seconds in zip(
        whole["model"], whole["family"], whole["seconds"], strict=True
    ):
        records.add("training_seconds", seconds, "s", model=name, family=family)
    return TrainingSeconds(pd.DataFrame(whole, columns=["model", "seconds"]), records)


def _require_rows_of_training(config: Any, paid: pd.DataFrame, length: int, batch: int) -> None:
    """Refuse a step that is not one of those whose operations were counted."""
    from assay.systems.mixture_of_experts.configuration import shape_of

    if "flops" not in paid:
        return
    counted = float(paid["flops"].item())
    here = training_flops(shape_of(config, length), int(paid["steps"].item()) * batch * length)
    if not np.isclose(here, counted):
        raise DataError(
            f"steps of {batch} rows of {length} tokens, which are not those of training",
            where=str(paid["model"].item()),
            next="Set seconds.length and seconds.batch to what fit.length and fit.batch are.",
        )
