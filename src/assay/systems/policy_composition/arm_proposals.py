"""Proposals for an arm's next turn: even ones, corners, or those round a learned sampler's draws.

Notable in this file: even ones and a sampler's are weighed by their density, so that soft values
mean the same whichever stands behind them. Corners have no density: with them soft values are
against a mixture, half even and half corners, in which fast turns weigh more. All are asked of the
levels above before they are offered.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from assay.errors import ParameterError
from assay.systems.policy_composition.actions import ActionSet
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack
from assay.systems.policy_composition.proposals import evenly
from assay.systems.policy_composition.q_network import Quality, tensor
from assay.systems.policy_composition.sampler import (
    ActionSampler,
    Constraint,
    Values,
    log_target,
    round_draws,
    stein_step,
)

__all__ = ["Offered", "Proposals", "SamplerTraining", "joint_levels"]

DRAWS = 8
"""Of the sampler for each state."""
SHARE, SPREAD = 0.25, 0.25
"""Of proposals that are uniform all the same, and of the kernels round the others."""


class Offered(NamedTuple):
    """Proposals ``[batch, K, joints]`` and the logs of their weights, -inf where forbidden."""

    actions: np.ndarray
    log_weights: np.ndarray


def joint_levels(above: Sequence[IndifferenceSpace]) -> PriorityStack | None:
    """What levels leave to one below them; nothing to ask if there is none."""
    if not above:
        return None
    free = IndifferenceSpace(lambda s, a: np.zeros(a.shape[:2]), 0.0, above[0].actions, "below")
    return PriorityStack([*above, free])


class Proposals:
    """Draws proposals that the levels above allow.

    Args:
        actions: The box of actions.
        above: The levels above.
        count: Proposals for each state.
        rng: Where they are drawn from.
        sampler: Whose draws they lie round; if not given, they lie evenly.
        corners: Whether half of them, without a sampler, are corners of the box instead.
    """

    def __init__(
        self, actions: ActionSet, above: Sequence[IndifferenceSpace], count: int,
        rng: np.random.Generator, sampler: ActionSampler | None = None, *, corners: bool = False,
    ) -> None:  # fmt: skip
        self.actions, self.count, self.rng, self.sampler = actions, count, rng, sampler
        self.corners = corners and sampler is None
        self.stack = joint_levels(above)

    def __call__(self, states: np.ndarray) -> Offered:
        """What states ``[batch, joints]`` offer; in every state something is allowed."""
        if self.sampler is None:
            drawn = evenly(self.actions, len(states), self.count, self.rng)
            log_weights = np.zeros(drawn.shape[:2])
            if self.corners:
                half = drawn[:, : self.count // 2]
                half[:] = np.where(self.rng.random(half.shape) < 0.5, *self._faces)
        else:
            centres = self.sampler.draw(states, DRAWS, self.rng)
            drawn, log_weights = round_draws(
                centres, self.count, self.rng, share=SHARE, spread=SPREAD
            )
        if self.stack is not None and len(states):
            allowed = self.stack.mask(states, drawn)
            log_weights = np.where(allowed, log_weights, -np.inf)
            rare = ~allowed.any(axis=1)
            if rare.any():
                drawn[rare], log_weights[rare] = self._of_candidates(self.stack, states[rare])
        return Offered(drawn, log_weights)

    @property
    def _faces(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.actions.low), np.array(self.actions.high)

    def _of_candidates(
        self, stack: PriorityStack, states: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where no proposal is allowed: draws from the candidates that are, and their share."""
        mask = stack.mask(states)
        sums = mask.cumsum(axis=1)
        nth = np.floor(self.rng.random((len(states), self.count)) * sums[:, -1:])
        chosen = (sums[:, None] <= nth[..., None]).sum(axis=2)
        shares = np.broadcast_to(np.log(mask.mean(axis=1))[:, None], nth.shape)
        return stack.actions.candidates[chosen], shares


class SamplerTraining:
    """Keeps a sampler up with a critic that is being learnt.

    Args:
        sampler: The sampler, changed in place.
        network: The critic.
        above: Learned levels above.
        temperature: In the unit of the rewards.
        particles: Of each Stein step.
        learning_rate: Of Adam.
    """

    def __init__(
        self, sampler: ActionSampler, network: Values, above: Sequence[IndifferenceSpace],
        *, temperature: float, particles: int = 16, learning_rate: float = 3e-3,
    ) -> None:  # fmt: skip
        self.sampler, self.network, self.above = sampler, network, tuple(above)
        self.temperature, self.particles = temperature, particles
        self.optimiser = torch.optim.Adam(sampler.parameters(), learning_rate)

    def steps(self, states: np.ndarray, count: int, batch: int, rng: np.random.Generator) -> float:
        """Stein steps, each in some of these states; mean length of the directions.

        What the levels above allow at least is worked out once for all of the states.
        """
        least = [tensor(level.threshold(states, level.values(states))) for level in self.above]
        lengths = list[float]()
        for _ in range(count):
            rows = torch.from_numpy(rng.integers(len(states), size=batch))
            above = [
                Constraint(_network(level), values[rows])
                for level, values in zip(self.above, least, strict=True)
            ]
            target = log_target(self.network, temperature=self.temperature, above=above)
            noise = tensor(rng.standard_normal((batch, self.particles, self.sampler.axes)))
            at = tensor(states)[rows]
            lengths.append(stein_step(self.sampler, self.optimiser, at, target, noise))
        return float(np.mean(lengths))


def _network(level: IndifferenceSpace) -> Values:
    """The network of a learned level.

    Raises:
        ParameterError: If it is no learned level, whose values have no gradient then.
    """
    if not isinstance(level.q, Quality):
        raise ParameterError(f"level {level.name!r} is no network", accepted="learned levels")
    return level.q.network
