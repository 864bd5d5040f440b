"""What actions are worth: a small network, and the same as a level of a stack."""

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["QNetwork", "Quality", "tanh", "tensor"]

ROWS = 1 << 13
"""Most rows of a network at once, so that they stay in the cache."""


class QNetwork(nn.Module):
    """What actions are worth in a state: tanh layers, the first split into state and action.

    The part of the first layer that sees the state is computed once for all actions of a state.

    Args:
        observations: Numbers in a state.
        axes: Numbers in an action.
        width: Width of the layers.
        depth: How many, at least 1.
        scale: What states are divided by.
    """

    def __init__(
        self, observations: int, axes: int, width: int = 128, depth: int = 2, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.of_state = nn.Linear(observations, width)
        self.of_action = nn.Linear(axes, width, bias=False)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.out = nn.Linear(width, 1)
        self.scale = scale

    def forward(self, states: Tensor, actions: Tensor) -> Tensor:
        """Values ``[batch, K]`` of actions ``[batch or 1, K, axes]`` in states ``[batch, ...]``.

        Of one action ``[batch, axes]`` in each state they are ``[batch]``.
        """
        seen = self.of_state(states / self.scale)
        seen = seen[:, None] if actions.ndim == 3 else seen
        done = self.of_action(actions)
        flow = tanh(done.add_(seen) if len(done) == len(seen) else done + seen)
        for layer in self.hidden:
            flow = tanh(layer(flow))
        return self.out(flow)[..., 0]


class Quality:
    """A network as a level's ``q``, arrays in and arrays out."""

    def __init__(self, network: QNetwork) -> None:
        self.network = network

    def __call__(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Values ``[batch, K]`` of actions ``[batch, K, axes]`` in states ``[batch, ...]``."""
        shared = actions.strides[0] == 0  # the same candidates in every state
        batch, count = actions.shape[:2]
        rows, parts = max(ROWS // count, 1), []
        with torch.no_grad():
            for at in range(0, batch, rows):
                some = actions[:1] if shared else actions[at : at + rows]
                parts.append(self.network(tensor(states[at : at + rows]), tensor(some)).numpy())
        return np.concatenate(parts) if parts else np.empty((0, count), np.float32)


def tanh(values: Tensor) -> Tensor:
    """The hyperbolic tangent, to 2e-7 and in the place of the values where gradients are off.

    There it is 2 / (1 + exp(-2 x)) - 1, as torch takes a third of the time for the logistic
    function on a CPU.
    """
    if torch.is_grad_enabled():
        return torch.tanh(values)
    return values.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)


def tensor(array: np.ndarray) -> Tensor:
    """An array as the network takes it: single precision, in one piece."""
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
