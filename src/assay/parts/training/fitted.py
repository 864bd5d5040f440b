"""What a training run leaves behind, beside the model."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from assay.core.records import Records


@dataclass(frozen=True)
class Fitted:
    """What came of a training run; the model itself has been trained in place.

    Attributes:
        losses: Loss of each step, per token or whatever the loss counts ``[steps]``.
        counts: Tokens of each step that the loss counted ``[steps]``.
        step_flops: Floating-point operations of each step ``[steps]``.
        seconds: Wall time of the steps, those before a kill included.
        parameters: Trained weights.
        precision: What the products were computed in.
    """

    losses: np.ndarray
    counts: np.ndarray
    step_flops: np.ndarray
    seconds: float
    parameters: int
    precision: Literal["fp32", "bf16"]

    @property
    def tokens(self) -> int:
        """Tokens that the loss counted."""
        return int(self.counts.sum())

    @property
    def flops(self) -> int:
        """Floating-point operations, forward and backward."""
        return int(self.step_flops.sum())

    def records(self, points: int = 20) -> Records:
        """The training curve; nothing in it depends on the clock.

        Args:
            points: Points of the curve; fewer if there are fewer steps.

        Returns:
            ``training_loss``, the mean over the tokens of the steps up to ``training_step`` and
            after the point before, with the ``training_tokens`` and ``training_flops`` spent by
            then; and ``parameters``.
        """
        records = Records()
        records.add("parameters", self.parameters)
        tokens, flops = self.counts.cumsum(), self.step_flops.cumsum()
        steps = np.arange(len(self.losses))
        for part in np.array_split(steps, min(points, len(steps))):
            last = int(part[-1])
            mean = float(np.average(self.losses[part], weights=self.counts[part]))
            records.add("training_loss", mean, training_step=last + 1)
            records.add("training_tokens", tokens[last], training_step=last + 1)
            records.add("training_flops", flops[last], training_step=last + 1)
        return records
