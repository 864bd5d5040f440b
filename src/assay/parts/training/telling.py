"""What a training run says of itself while it runs."""

import time

import numpy as np
import torch

from assay.core.task import task
from assay.parts.training import processes

TIMES = 50
"""How often throughput, loss and memory are told of in a run."""


class Telling:
    """Progress at every step, and now and then an event ``training`` with figures.

    Args:
        steps: Steps of the run.
        done: Steps that were done before.
        device: Where the model is.
    """

    def __init__(self, steps: int, done: int, device: torch.device) -> None:
        self.steps, self.device = steps, device
        self._last = done, time.monotonic()

    def __call__(self, done: int, history: np.ndarray) -> None:
        """Tell of ``done`` steps.

        Args:
            done: Steps done.
            history: Loss, tokens and operations of each step ``[3, steps]``.
        """
        if processes.rank():
            return
        task().progress(done, self.steps, "steps")
        if done % max(self.steps // TIMES, 1) and done != self.steps:
            return
        since, then = self._last
        now = time.monotonic()
        seconds, some = max(now - then, 1e-9), history[:, since:done]
        task().event(
            "training",
            training_step=done,
            loss=float(history[0, done - 1]),
            tokens_per_s=float(some[1].sum() / seconds),
            flops_per_s=float(some[2].sum() / seconds),
            memory_mib=_memory_mib(self.device),
        )
        self._last = done, now


def _memory_mib(device: torch.device) -> float:
    """Most memory so far: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
