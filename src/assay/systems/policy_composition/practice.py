"""Practice in many environments at once, inside what higher levels allow, and its schedule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from assay.errors import ParameterError
from assay.systems.policy_composition.actions import ActionSet
from assay.systems.policy_composition.experience import Experience
from assay.systems.policy_composition.indifference import (
    IndifferenceSpace,
    PriorityStack,
    Quality,
    pick,
)
from assay.systems.policy_composition.proposals import evenly, log_mean_exp
from assay.systems.policy_composition.surroundings import Surroundings

__all__ = ["Offer", "Practice", "Prospects", "Schedule"]

WHOLE = (
    "rounds", "environments", "steps", "episode", "proposals", "retained", "replayed", "updates",
    "batch",
)  # fmt: skip
SHARES = ("averaging", "trace", "discount", "explore")


@dataclass(frozen=True)
class Schedule:
    """How to learn.

    Attributes:
        rounds: How many; with environments the budget is rounds x environments x steps.
        environments: How many are stepped together.
        steps: Steps of each in a round.
        episode: Steps after which an episode is cut short.
        proposals: Uniform actions per state, of which the soft value is the log-mean-exp.
        retained: Strips of practice that are kept; the oldest go.
        replayed: Strips for which a round works out targets, its own among them.
        updates: Steps of Adam in a round.
        batch: Transitions of each.
        learning_rate: In the beginning; it falls to a hundredth of that, evenly.
        averaging: Share of the network that the one for targets takes over with each update; 1: a
            hard target, as the network is when the round begins.
        trace: How far news travels in a round; see `experience.trace_targets`.
        discount: Of later rewards.
        temperature: In the unit of the rewards.
        explore: Share of the actions that are drawn evenly from those allowed.

    Raises:
        ParameterError: If a parameter is out of range.
    """

    rounds: int = 100
    environments: int = 64
    steps: int = 25
    episode: int = 100
    proposals: int = 16
    retained: int = 1024
    replayed: int = 256
    updates: int = 100
    batch: int = 256
    learning_rate: float = 3e-3
    averaging: float = 1.0
    trace: float = 0.9
    discount: float = 0.99
    temperature: float = 1.0
    explore: float = 0.2

    def __post_init__(self) -> None:
        for name in WHOLE:
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}", accepted="1 or more")
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"{name} is {getattr(self, name)}", accepted="0 to 1")
        for name in ("learning_rate", "temperature", "averaging"):
            if not 0 < getattr(self, name) < np.inf:
                raise ParameterError(f"{name} is {getattr(self, name)}", accepted="more than 0")


class Prospects(NamedTuple):
    """What states offer: proposals ``[..., K, axes]``, and the logs of their weights."""

    proposals: np.ndarray
    log_weights: np.ndarray

    def at(self, which: np.ndarray) -> "Prospects":
        """Those of some of the states."""
        return Prospects(self.proposals[which], self.log_weights[which])


class Offer:
    """Proposals for states, weighed by what the levels above allow."""

    def __init__(
        self, actions: ActionSet, above: Sequence[IndifferenceSpace], count: int,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.actions, self.count, self.rng, self.free = actions, count, rng, not above
        bottom = IndifferenceSpace(lambda s, a: np.zeros(a.shape[:2]), 0.0, actions, "bottom")
        self.stack = PriorityStack([*above, bottom])

    def __call__(self, states: np.ndarray) -> Prospects:
        """What states ``[batch, observations]`` offer; in every state something is allowed."""
        drawn = evenly(self.actions, len(states), self.count, self.rng).astype(np.float32)
        log_weights = np.zeros(drawn.shape[:2])
        if len(states) and not self.free:
            allowed = self.stack.mask(states, drawn)
            log_weights = np.where(allowed, 0.0, -np.inf)
            rare = ~allowed.any(axis=1)
            if rare.any():
                drawn[rare], log_weights[rare] = self._of_candidates(states[rare])
        return Prospects(drawn, log_weights.astype(np.float32))

    def _of_candidates(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where no proposal is allowed: draws from the candidates that are, and their share."""
        mask = self.stack.mask(states)
        sums = mask.cumsum(axis=1)
        nth = np.floor(self.rng.random((len(states), self.count)) * sums[:, -1:])
        chosen = (sums[:, None] <= nth[..., None]).sum(axis=2)
        shares = np.broadcast_to(np.log(mask.mean(axis=1))[:, None], nth.shape)
        return self.stack.actions.candidates[chosen], shares


class Practice:
    """The environments, their states, and what these offer."""

    def __init__(
        self, surroundings: Surroundings, schedule: Schedule, offer: Offer,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.surroundings, self.schedule, self.offer, self.rng = surroundings, schedule, offer, rng
        self.states = surroundings.begin(schedule.environments, rng)
        self.prospects = offer(self.states)
        self.ages = rng.integers(schedule.episode, size=schedule.environments)

    def state(self) -> dict[str, np.ndarray]:
        """Everything but the random numbers that the next strip depends on, by name."""
        offered = {f"here.{name}": value for name, value in self.prospects._asdict().items()}
        return {"here.states": self.states, "here.ages": self.ages, **offered}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to where a state was taken; names of others may stand beside its own."""
        self.states, self.ages = state["here.states"], state["here.ages"]
        self.prospects = Prospects(*(state[f"here.{name}"] for name in Prospects._fields))

    def strips(self, q: Quality) -> tuple[Experience, Prospects]:
        """A strip of every environment, with what the next states offer."""
        steps = [self._step(q) for _ in range(self.schedule.steps)]
        rows = [np.stack(column, axis=1) for column in zip(*steps, strict=True)]
        return Experience(*rows[:-2]), Prospects(*rows[-2:])

    def _step(self, q: Quality) -> tuple[np.ndarray, ...]:
        states, schedule = self.states, self.schedule
        actions, log_density = self._act(q)
        landed = self.surroundings.step(states, actions, self.rng)
        self.ages += 1
        last = landed.terminated | (self.ages >= schedule.episode)
        ahead = self.offer(landed.states)
        self.states, self.prospects = landed.states.copy(), Prospects(*map(np.copy, ahead))
        if last.any():
            self.states[last] = self.surroundings.begin(int(last.sum()), self.rng)
            begun = self.offer(self.states[last])
            self.prospects.proposals[last], self.prospects.log_weights[last] = begun
            self.ages[last] = 0
        kept = np.ones(len(states), bool)
        return (
            states, actions, landed.rewards, landed.states, landed.terminated, last, log_density,
            kept, *ahead,
        )  # fmt: skip

    def _act(self, q: Quality) -> tuple[np.ndarray, np.ndarray]:
        """One allowed proposal each, and the density by which it was drawn."""
        schedule, (proposals, log_weights) = self.schedule, self.prospects
        values = q(self.states, proposals)
        uniform, free = self.rng.random((2, len(values)))
        evenly_drawn = self.rng.random(len(values)) < schedule.explore
        mask, rows = log_weights > -np.inf, np.arange(len(values))
        worth = np.where(evenly_drawn[:, None], 0.0, values)
        chosen = pick(worth, mask, np.where(evenly_drawn, free, uniform), schedule.temperature)
        soft = log_mean_exp(values, log_weights, schedule.temperature)
        by_policy = np.exp((values[rows, chosen] - soft) / schedule.temperature)
        allowed = np.exp(log_weights).mean(axis=1)
        mixed = (1 - schedule.explore) * by_policy + schedule.explore / allowed
        return proposals[rows, chosen].astype(float), np.log(mixed)
