"""What a training run is asked to do: steps, rates, precision, and when to write what.

A recipe is a plain value. Its schedule is a pure function of the step and is matched to the number
of steps, so that a run with twice the steps has the same curve of rates, stretched.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from assay.errors import ParameterError

Schedule = Literal["linear", "cosine", "constant", "polynomial"]
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained.

    Attributes:
        steps: Optimiser steps, at least 1.
        rate: Highest learning rate.
        warm_up: Share of the steps in which the rate rises in a line to its highest, in [0, 1).
        schedule: How it falls after that: in a line, half a cosine, a power of what is left, or
            not at all.
        power: Power of the polynomial schedule; 1 is a line.
        final_share: Share of the highest rate that is left at the end, in [0, 1].
        betas: Decay of AdamW's running means of gradient and squared gradient, in [0, 1).
        epsilon: AdamW's epsilon.
        weight_decay: AdamW's decay of matrices; biases and norms have none.
        clip: Largest norm of the gradient; ``None`` for no limit.
        precision: ``fp32``; ``bf16`` for products in bfloat16 beside an fp32 copy of the weights,
            which takes the updates; ``auto`` for what `precision.choose` finds to be faster here.
        checkpoint_every: Steps between two checkpoints.
        keep_at: Steps after which the model is handed out; 0 is the untrained model.
        dropout_off_share: Last share of the steps without dropout, in [0, 1].

    Raises:
        ParameterError: If a value is out of its range.
    """

    steps: int
    rate: float
    warm_up: float = 0.05
    schedule: Schedule = "cosine"
    power: float = 1.0
    final_share: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    clip: float | None = 1.0
    precision: Precision = "auto"
    checkpoint_every: int = 100
    keep_at: tuple[int, ...] = ()
    dropout_off_share: float = 0.0

    def __post_init__(self) -> None:
        self._check("steps", _whole(self.steps) and self.steps >= 1, "a whole number from 1")
        self._check("rate", 0 < self.rate < math.inf, "a number above 0")
        self._check("warm_up", 0 <= self.warm_up < 1, "a share of the steps, from 0 to below 1")
        self._check("schedule", self.schedule in get_args(Schedule), _one_of(Schedule))
        self._check("power", 0 < self.power < math.inf, "a number above 0")
        self._check("final_share", 0 <= self.final_share <= 1, "a share from 0 to 1")
        self._check("betas", all(0 <= b < 1 for b in self.betas), "two numbers from 0 to below 1")
        self._check("epsilon", 0 < self.epsilon < math.inf, "a number above 0")
        self._check("weight_decay", 0 <= self.weight_decay < math.inf, "a number from 0")
        self._check("clip", self.clip is None or self.clip > 0, "a number above 0, or None")
        self._check("precision", self.precision in get_args(Precision), _one_of(Precision))
        every = self.checkpoint_every
        self._check("checkpoint_every", _whole(every) and every >= 1, "a whole number from 1")
        self._check(
            "keep_at",
            all(k in range(self.steps + 1) for k in self.keep_at),
            f"steps up to {self.steps}",
        )
        self._check("dropout_off_share", 0 <= self.dropout_off_share <= 1, "a share from 0 to 1")

    def _check(self, name: str, good: bool, accepted: str) -> None:
        if not good:
            said = f"{name} is {getattr(self, name)!r}"
            raise ParameterError(said, where="training recipe", accepted=accepted)


def steps_for(tokens: int, tokens_per_step: int) -> int:
    """The fewest steps that see at least so many tokens.

    Example:
        >>> steps_for(1_500_000, 2048)
        733
    """
    if tokens < 1 or tokens_per_step < 1:
        raise ParameterError(
            f"{tokens} tokens in steps of {tokens_per_step}", accepted="whole numbers from 1"
        )
    return -(-tokens // tokens_per_step)


def share_of_rate(step: int, recipe: Recipe) -> float:
    """Share of the highest rate that a step takes.

    Args:
        step: The step, from 0 to below ``recipe.steps``.
        recipe: The recipe.

    Returns:
        A share in (0, 1]: a line up to 1 at the end of the warm-up, then the schedule, which
        reaches ``final_share`` one step after the last.

    Example:
        >>> recipe = Recipe(steps=10, rate=1.0, warm_up=0.2, schedule="linear")
        >>> [round(share_of_rate(step, recipe), 3) for step in (0, 1, 2, 6, 9)]
        [0.5, 1.0, 1.0, 0.5, 0.125]
    """
    warm = round(recipe.warm_up * recipe.steps)
    if step < warm:
        return (step + 1) / warm
    left = 1.0 - (step - warm) / (recipe.steps - warm)
    shape = {
        "constant": 1.0,
        "linear": left,
        "cosine": 0.5 * (1.0 - math.cos(math.pi * left)),
        "polynomial": left**recipe.power,
    }[recipe.schedule]
    return recipe.final_share + (1.0 - recipe.final_share) * shape


def has_dropout(step: int, recipe: Recipe) -> bool:
    """Whether a step comes before the last share, which goes without dropout."""
    return step < recipe.steps - round(recipe.dropout_off_share * recipe.steps)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _one_of(kind: Any) -> str:
    return f"one of {', '.join(get_args(kind))}"
