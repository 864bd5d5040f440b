"""A constrained baseline: a task's reward plus a multiple of the obstacle's, which is adapted.

Notable in this file: learning goes in turns. In a turn the multiplier stands still and the sum of
rewards is learnt as any task is, going on from the network of the turn before; what was retained
is rewarded anew. Then the policy acts for a while, and the multiplier rises by what it pays of the
obstacle's reward beyond a budget, or falls by what it stays below (dual ascent). For the best soft
policy of each multiplier, and with discounted payments, that excess is the slope of the dual
function, which has one valley. Here payments are those of whole episodes, as they are reported.

Source: Altman 1999, "Constrained Markov decision processes".
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task as running_step
from assay.errors import ParameterError
from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.actions import ActionSet
from assay.systems.policy_composition.experience import Experience
from assay.systems.policy_composition.indifference import PriorityStack
from assay.systems.policy_composition.learning import Discount, Practised, Share, Steps
from assay.systems.policy_composition.navigation import TASKS, Task
from assay.systems.policy_composition.oracle import rollouts
from assay.systems.policy_composition.surroundings import Landed, PointSurroundings, Surroundings

if TYPE_CHECKING:
    from assay.systems.policy_composition.agents import Agent
    from assay.systems.policy_composition.practice import Schedule

__all__ = ["NAME", "Turn", "Weighed", "dual_ascent", "learn_lagrangian"]

REQUIRES = ("numba", "numpy", "safetensors", "torch")
NAME = "sum of rewards"
"""What is learnt, named as by the oracle, whose weight stands still."""
COARSE = 7
"""Candidates along an axis by which the policy acts between turns."""
NonNegative = Annotated[float, Field(ge=0, lt=np.inf)]


class Turn(NamedTuple):
    """A multiplier, and how much was violated by it."""

    multiplier: float
    violation: float


def dual_ascent(
    respond: Callable[[float], float], *, budget: float, rate: float, turns: int, first: float = 0.0
) -> list[Turn]:
    """Raise a multiplier while more than a budget is violated, and lower it while less is.

    Args:
        respond: Does what is best by a multiplier; how much is violated then.
        budget: What may be.
        rate: By how much the multiplier changes for each unit of excess, > 0.
        turns: How many multipliers are tried.
        first: The first of them, >= 0.

    Returns:
        Every turn in order; the last one's multiplier has not been changed since.

    Raises:
        ParameterError: If a parameter is out of range.

    Example:
        >>> halved = dual_ascent(lambda m: 4 - 2 * m, budget=1.0, rate=0.25, turns=3)
        >>> [tuple(turn) for turn in halved]
        [(0.0, 4.0), (0.75, 2.5), (1.125, 1.75)]
    """
    numbers = {"budget": budget, "first multiplier": first}
    for name, number in numbers.items():
        if not 0 <= number < np.inf:
            raise ParameterError(f"a {name} of {number:g}", accepted="0 or more, finite")
    if not 0 < rate < np.inf:
        raise ParameterError(f"a rate of {rate:g}", accepted="more than 0, finite")
    if turns < 1:
        raise ParameterError(f"{turns} turns", accepted="at least 1")
    multiplier, made = first, list[Turn]()
    for _ in range(turns):
        made.append(Turn(multiplier, respond(multiplier)))
        multiplier = max(0.0, multiplier + rate * (made[-1].violation - budget))
    return made


@dataclass(frozen=True)
class Weighed:
    """Surroundings whose reward is that of a goal plus a multiple of a constrained one.

    Attributes:
        surroundings: Where episodes begin and actions lead; their rewards play no part.
        rewards: For having come to states ``[batch, observations]``: of the goal and of what is
            constrained, ``[batch, 2]``.
        multiplier: What the second counts.
    """

    surroundings: Surroundings
    rewards: Callable[[np.ndarray], np.ndarray]
    multiplier: float

    @property
    def actions(self) -> ActionSet:
        """The box of actions and its candidates."""
        return self.surroundings.actions

    @property
    def observations(self) -> int:
        """Numbers in a state."""
        return self.surroundings.observations

    def begin(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """States in which episodes begin."""
        return self.surroundings.begin(count, rng)

    def step(self, states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> Landed:
        """Take one action in each state."""
        landed = self.surroundings.step(states, actions, rng)
        return landed._replace(rewards=self.sum_of_rewards(landed.states))

    def sum_of_rewards(
        self, states: Float[np.ndarray, "batch observations"]
    ) -> Float[np.ndarray, " batch"]:
        """For having come to these states."""
        return self.rewards(states) @ np.array([1.0, self.multiplier])

    def rewarded(self, experience: Experience) -> Experience:
        """Retained experience with the rewards of this multiplier."""
        ends = experience.next_states
        rewards = self.sum_of_rewards(ends.reshape(-1, ends.shape[-1]))
        return replace(experience, rewards=rewards.reshape(experience.rewards.shape))


@component(version="1", requires=REQUIRES)
def learn_lagrangian(
    *,
    task: Task = "top",
    budget: NonNegative = 1.5,
    rate: PositiveFloat = 0.04,
    first_multiplier: NonNegative = 0.0,
    turns: PositiveInt = 20,
    episodes: PositiveInt = 64,
    environment_steps: Steps = 160_000,
    updates: PositiveInt = 100,
    width: PositiveInt = 64,
    depth: PositiveInt = 3,
    trace: Share = 0.9,
    temperature: PositiveFloat = 1.0,
    discount: Discount = 0.99,
    sigma: Annotated[float, Field(ge=0, lt=10)] = 0.0,
    seed: Seed,
) -> Practised:
    """Learn one task of point navigation, the obstacle's reward added as often as a budget asks.

    Args:
        task: The task.
        budget: What the obstacle's rewards of an episode may add up to, less the sign.
        rate: By how much the multiplier changes for each unit beyond it. Learning lags behind, so
            a large one overshoots.
        first_multiplier: What the obstacle's reward counts in the first turn.
        turns: Multipliers that are tried; the budget of steps is divided evenly.
        episodes: Episodes of 100 steps between turns, in which violation is measured. They are not
            learnt from, and are no part of the budget.
        environment_steps: Budget, over 64 environments in rounds of 25 steps.
        updates: Optimiser steps of a round; the learning rate falls in each turn.
        width: Width of the network's layers.
        depth: How many.
        trace: How far news travels in a round.
        temperature: In the unit of the rewards.
        discount: Of later rewards.
        sigma: Standard deviation of the noise of a step.
        seed: Of weights, proposals, actions and noise.

    Returns:
        As of `learn`, with records by ``training_step`` and ``training_round`` of every turn:
        ``multiplier``, ``training_violation`` (what an episode pays of the obstacle's reward),
        ``training_return`` of the task and ``training_collision_rate``; and ``last_multiplier``,
        by which the agent was learnt, and its ``last_violation``. The agent's task is `NAME`.

    Raises:
        ParameterError: If the budget of steps does not pay for a round in each turn.
    """
    from assay.systems.policy_composition.practice import Schedule

    schedule = Schedule(updates=updates, trace=trace, temperature=temperature, discount=discount)
    each = schedule.environments * schedule.steps
    rounds = environment_steps // (each * turns)
    if not rounds:
        raise ParameterError(
            f"{environment_steps} environment steps for {turns} turns",
            accepted=f"at least {each} for each",
        )
    schedule = replace(schedule, rounds=rounds)
    learner = _Learner(_new_agent(schedule, width, depth, seed), schedule, task, sigma, seed)
    made = dual_ascent(
        lambda multiplier: learner.turn(multiplier, episodes),
        budget=budget, rate=rate, turns=turns, first=first_multiplier,
    )  # fmt: skip
    return learner.practised(made[-1])


def _new_agent(schedule: "Schedule", width: int, depth: int, seed: int) -> "Agent":
    from assay.parts.training.torch_state import seeded
    from assay.systems.policy_composition.agents import Agent, Configuration, new_network

    space = PointSurroundings("obstacle")
    of = Configuration(
        task=NAME, observations=space.observations, low=space.actions.low,
        high=space.actions.high, width=width, depth=depth, temperature=schedule.temperature,
        discount=schedule.discount, trained={**asdict(schedule), "seed": seed},
    )  # fmt: skip
    with seeded(seed):
        return Agent(new_network(of), of)


class _Learner:
    """An agent and what it has retained from turn to turn."""

    def __init__(
        self, agent: "Agent", schedule: "Schedule", task: str, sigma: float, seed: int
    ) -> None:
        self.agent, self.schedule, self.sigma = agent, schedule, sigma
        self.surroundings = PointSurroundings(task, sigma)
        self.columns = [TASKS.index(task), TASKS.index("obstacle")]
        self.seeds = np.random.SeedSequence(seed)
        self.retained, self.records, self.turns = list[Experience](), Records(), 0

    def turn(self, multiplier: float, episodes: int) -> float:
        """Learn by a multiplier, then act; what an episode pays of the obstacle's reward."""
        from assay.systems.policy_composition.soft_q import learn_soft_q

        learning, acting = self.seeds.spawn(2)
        weighed = Weighed(
            self.surroundings, lambda s: navigation.rewards(s)[:, self.columns], multiplier
        )
        kept = weighed.rewarded(self.retained[0]) if self.retained else None
        learnt = learn_soft_q(
            self.schedule, int(learning.generate_state(1)[0]), self.agent.network,
            weighed.actions, surroundings=weighed, experience=kept,
        )  # fmt: skip
        self.retained, self.turns = [learnt.experience], self.turns + 1
        rng, policy = np.random.default_rng(acting), self.agent.level(0.0, per_axis=COARSE)
        did = rollouts(
            PriorityStack([policy]), navigation.starts(episodes, rng), rng, sigma=self.sigma,
            temperature=self.schedule.temperature,
        )  # fmt: skip
        gained, paid = did.returns[:, self.columns].mean(axis=0)
        told = {
            "training_loss": np.mean([one.loss for one in learnt.rounds]),
            "multiplier": multiplier, "training_violation": -paid, "training_return": gained,
            "training_collision_rate": did.collided.mean(),
        }  # fmt: skip
        rounds = self.turns * self.schedule.rounds
        keys = {"training_step": self._steps(), "training_round": rounds}
        for measure, value in told.items():
            self.records.add(measure, value, "1", **keys)
        return float(-paid)

    def _steps(self) -> int:
        schedule = self.schedule
        return self.turns * schedule.rounds * schedule.environments * schedule.steps

    def practised(self, last: Turn) -> Practised:
        """What came of it, the agent in the folder of the running step."""
        from assay.systems.policy_composition.agents import save_agent

        trained = {**self.agent.of.trained, "multiplier": last.multiplier, "turns": self.turns}
        agent = replace(self.agent, of=replace(self.agent.of, trained=trained))
        folder = running_step().scratch() / "agent"
        save_agent(folder, agent)
        parameters = sum(weights.numel() for weights in agent.network.parameters())
        told = {
            "last_multiplier": last.multiplier, "last_violation": last.violation,
            "parameters": parameters, "environment_steps": self._steps(),
            "kept_share": self.retained[0].kept.mean(),
        }  # fmt: skip
        for measure, value in told.items():
            self.records.add(measure, value, "1")
        return Practised(folder, self.retained[0], self.records)
