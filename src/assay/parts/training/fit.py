"""The training loop of every model here.

    fitted = fit(model, batches, loss, Recipe(steps=700, rate=1e-3), folder=task().scratch())

``batches(step)`` gives the micro-batches of a step and depends on nothing else, and ``loss(model,
batch)`` gives a sum and a count. The gradient of a step is that of the sum of all sums over the sum
of all counts, on one process or many. Random numbers come from (seed, step, micro-batch). So a run
that was killed goes on to the same bits, and two processes draw what one would draw.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from assay.core.identity import digest
from assay.core.task import task
from assay.errors import AssayError, DataError, ParameterError, StepError
from assay.parts.training import processes
from assay.parts.training.checkpoints import Checkpoints
from assay.parts.training.cpu import OnCpu
from assay.parts.training.fitted import Fitted
from assay.parts.training.flops import FlopMeter
from assay.parts.training.losses import Loss
from assay.parts.training.optimiser import FlatAdamW, in_order
from assay.parts.training.precision import bf16_copy, choose
from assay.parts.training.recipe import Recipe, has_dropout, share_of_rate
from assay.parts.training.telling import Telling
from assay.parts.training.torch_state import own_threads

MAY_CHANGE = ("checkpoint_every", "keep_at", "precision")
"""Fields of a recipe that do not matter to a checkpoint; the precision found is kept instead."""


def fit(
    model: nn.Module,
    batches: Callable[[int], Sequence[Any]],
    loss: Callable[[Any, Any], Loss],
    recipe: Recipe,
    *,
    folder: Path,
    seed: int = 0,
    threads: int | None = None,
    sharded: bool = False,
    on_keep: Callable[[int, Any], None] | None = None,
) -> Fitted:
    """Train a model in place.

    Args:
        model: An fp32 model; parameters that are frozen stay as they are. It holds the fp32 weights
            when it is handed out and at the end, whatever the precision.
        batches: Micro-batches of a step, a pure function; process r of w takes every w-th from r.
        loss: Sum and count of a micro-batch. It is given the model, or a copy that computes.
        recipe: Steps, rates, precision.
        folder: Where the checkpoints are; a run goes on from the last one.
        seed: Seed of the dropout.
        threads: Threads of torch; those of the task if not given.
        sharded: Spread weights and optimiser over the processes (FSDP2) instead of giving each all.
        on_keep: Called with step and model, which is in evaluation mode, after each step of
            ``recipe.keep_at``; after a kill it may be called again with the same. Of several
            processes the first calls it, with a whole model.

    Returns:
        Losses, tokens, operations and time.

    Raises:
        StepError: If a loss or gradient is not finite.
        DataError: If a step has nothing that counts, or the folder is of another run.
        ParameterError: If the model is not fp32, or the micro-batches do not go round.
        StoreError: If the disk refuses a checkpoint; the one before stays.
    """
    if recipe.keep_at and on_keep is None:
        raise ParameterError("keep_at names steps and on_keep is not given", where="fit")
    was_training = model.training
    with torch.random.fork_rng(), own_threads(threads or task().threads):
        run = Training(model, loss, recipe, folder, seed, sharded)
        tell = Telling(recipe.steps, run.done, run.weights.weights.device)
        if on_keep and run.done == 0 and 0 in recipe.keep_at:
            run.hand_out(0, on_keep)
        for step in range(run.done, recipe.steps):
            run.take(step, batches(step))
            done = step + 1
            if on_keep and done in recipe.keep_at:
                run.hand_out(done, on_keep)
            if done % recipe.checkpoint_every == 0 or done == recipe.steps:
                run.checkpoints.save(done, run.state(done))
            tell(done, run.history)
        run.publish()
    model.train(was_training)
    return run.fitted()


class Training:
    """The state of a training run: the weights, and what each step gave. See [`fit`][]."""

    def __init__(
        self, model: nn.Module, loss: Callable[[Any, Any], Loss], recipe: Recipe, folder: Path,
        seed: int, sharded: bool,
    ) -> None:  # fmt: skip
        self.model, self.recipe, self.seed = model, recipe, seed
        self.sharded = sharded and processes.size() > 1
        choice = choose(model, recipe.precision)
        self.precision: Literal["fp32", "bf16"] = choice.precision
        processes.start_alike(model)
        if self.sharded:
            self.worker, self.score = processes.shard(model, loss, self.precision)
        else:
            self.worker = bf16_copy(model) if self.precision == "bf16" else model
            self.score = lambda batch: loss(self.worker, batch)
        self.worker.train()
        own = processes.own_parameters(self.worker)
        self.parted = self.sharded or bool(own)  # the processes do not all hold the same
        self.weights = FlatAdamW(list(self.worker.parameters()), recipe, own)
        self.parameters = self._count_parameters()
        self.meter = FlopMeter()
        self.history = np.zeros((3, recipe.steps))  # loss, tokens, operations
        self.seconds, self._begun = 0.0, time.monotonic()
        part, writes = (processes.rank(), True) if self.parted else (0, processes.rank() == 0)
        self.checkpoints = Checkpoints(folder, self._identity(), part, writes)
        self.done = self._resume(self.checkpoints.load())
        task().event(
            "training", precision=self.precision, reason=choice.reason, parameters=self.parameters,
            processes=processes.size(), sharded=self.sharded, steps_done=self.done,
        )  # fmt: skip

    # -- a step ------------------------------------------------------------------------------------

    def take(self, step: int, batches: Sequence[Any]) -> None:
        """Add up the gradients of a step's micro-batches and update the weights."""
        try:
            sums = self._accumulate(step, batches)
        except AssayError as error:
            place = f"training step {step + 1}"
            if place in error.where:
                raise
            raise error.at(place) from error
        processes.add_up(sums)
        total, count, _ = sums.tolist()
        if not count:
            raise DataError("nothing in the batch counts", where=f"training step {step + 1}")
        norm = self._gradient_norm() / count
        if not math.isfinite(total + norm):
            raise StepError(
                f"the loss is {total / count:.6g} and the norm of its gradient {norm:.6g}",
                where=f"training step {step + 1}",
                next="Lower the rate, lengthen the warm-up or look at the batch of this step.",
            )
        clipped = min(1.0, (self.recipe.clip or math.inf) / max(norm, 1e-30))
        rate = self.recipe.rate * share_of_rate(step, self.recipe)
        self.weights.update(rate, clipped / count)
        self.history[:, step] = sums.tolist()
        self.history[0, step] = total / count

    def _accumulate(self, step: int, batches: Sequence[Any]) -> Tensor:
        """Backward passes of this process's micro-batches: loss, count and operations."""
        if self.parted and len(batches) % processes.size():
            raise ParameterError(
                f"{len(batches)} micro-batches for {processes.size()} processes that share weights",
                where=f"training step {step + 1}",
                accepted="a multiple",
            )
        sums = torch.zeros(3, dtype=torch.float64, device=self.weights.weights.device)
        with OnCpu(dropout=has_dropout(step, self.recipe)):
            for k in range(processes.rank(), len(batches), processes.size()):
                torch.manual_seed(_stream(self.seed, step, k))
                with self.meter.of(batches[k]):
                    total, count = self.score(batches[k])
                    total.backward()
                self.weights.collect()
                found = (float(total.detach()), float(count), float(self.meter(batches[k])))
                sums += torch.tensor(found, dtype=torch.float64, device=sums.device)
        return sums

    def _gradient_norm(self) -> float:
        """Norm of the gradient over all weights, after it was summed over the processes."""
        gradient, shared = self.weights.gradient, self.weights.shared
        if self.sharded:
            gradient[shared].mul_(processes.size())  # FSDP2 summed it already, and divided
            return math.sqrt(float(processes.add_up(gradient.square().sum())))
        norm = float(torch.linalg.vector_norm(processes.add_up(gradient[shared])))
        if not self.parted:
            return norm
        own = gradient[: shared.start].square().sum() + gradient[shared.stop :].square().sum()
        return math.hypot(norm, math.sqrt(float(processes.add_up(own))))

    # -- what is handed out and written ------------------------------------------------------------

    def hand_out(self, step: int, on_keep: Callable[[int, Any], None]) -> None:
        """Let the caller keep the model as it is now."""
        self.publish()
        was = self.model.training
        whole = processes.whole(self.model)
        if processes.rank() == 0:
            on_keep(step, whole.eval())
        self.model.train(was)

    def publish(self) -> None:
        """Give the model that was passed in the fp32 weights."""
        if self.sharded:
            processes.gather(self.model, self.worker)
        elif self.worker is not self.model:
            own = processes.own_parameters(self.model)
            self.weights.write_back(in_order(self.model.parameters(), own))
            processes.copy_buffers(self.model, self.worker)

    def state(self, done: int) -> dict[str, Tensor]:
        """Everything that the next step depends on, and what the steps so far gave."""
        seen = {"history": torch.from_numpy(self.history[:, :done])}
        seen["seconds"] = torch.tensor(self._seconds(), dtype=torch.float64)
        buffers = {f"buffer.{name}": value for name, value in self.worker.named_buffers()}
        return self.weights.state() | buffers | seen

    @torch.no_grad()
    def _resume(self, state: Mapping[str, Tensor] | None) -> int:
        """Go back to a checkpoint, if there is one; the number of steps that were done by then."""
        if state is None:
            return 0
        self.weights.restore(state)
        for name, value in self.worker.named_buffers():
            value.copy_(state[f"buffer.{name}"])
        done = state["history"].shape[1]
        self.history[:, :done] = state["history"].numpy()
        self.seconds = float(state["seconds"])
        return done

    def _identity(self) -> dict[str, Any]:
        """What a run must share with a checkpoint to go on from it."""
        named = [*self.model.named_parameters(), *self.model.named_buffers()]
        shapes = digest([[name, list(p.shape), p.requires_grad] for name, p in named])
        kind = f"{type(self.model).__name__} with {self.parameters:,} weights"
        recipe = {k: v for k, v in asdict(self.recipe).items() if k not in MAY_CHANGE}
        return {
            "model": f"{kind} ({shapes[:12]})",
            "precision": self.precision,
            "shards": processes.size() if self.parted else 1,
            "seed": self.seed,
            **recipe,
        }

    def _count_parameters(self) -> int:
        """Trained parameters of all processes together."""
        own = processes.own_parameters(self.model)
        shared = sum(p.numel() for p in self.model.parameters() if p.requires_grad and p not in own)
        here = torch.tensor(sum(p.numel() for p in own if p.requires_grad))
        return shared + int(processes.add_up(here.to(self.weights.weights.device)) if own else 0)

    def _seconds(self) -> float:
        return self.seconds + time.monotonic() - self._begun

    def fitted(self) -> Fitted:
        """What came of the run."""
        losses, counts, flops = self.history
        return Fitted(
            losses=losses,
            counts=counts.astype(np.int64),
            step_flops=flops.astype(np.int64),
            seconds=self._seconds(),
            parameters=self.parameters,
            precision=self.precision,
        )


def _stream(seed: int, step: int, batch: int) -> int:
    """Seed of the random numbers of one micro-batch."""
    return int(np.random.SeedSequence([seed, step, batch]).generate_state(1, np.uint32)[0])
