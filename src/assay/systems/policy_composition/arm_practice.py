"""Soft Q-learning on many arms at once, with a learned sampler or without, inside higher levels.

Rounds are those of `soft_q`: some steps of every arm, targets for strips of experience, the newest
and some retained, by the critic as it stands, and a fit to them. What differs is where proposals
come from (see `arm_proposals`): a sampler is kept up with the critic by Stein steps in each round.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from assay.errors import ParameterError, StepError
from assay.systems.policy_composition import arm as world
from assay.systems.policy_composition.arm import LIMIT, TASKS, Arm
from assay.systems.policy_composition.arm_critic import ArmNetwork, arm_box, quality_of
from assay.systems.policy_composition.arm_proposals import Offered, Proposals, SamplerTraining
from assay.systems.policy_composition.experience import (
    Experience,
    joined,
    rows_of,
    trace_targets,
)
from assay.systems.policy_composition.indifference import IndifferenceSpace, pick
from assay.systems.policy_composition.proposals import log_mean_exp
from assay.systems.policy_composition.q_network import Quality, tensor
from assay.systems.policy_composition.sampler import ActionSampler

__all__ = ["ArmRound", "ArmSchedule", "learn_on_arms", "practice_poses", "shortened"]

STEIN_STATES = 256
"""From which the Stein steps of a round draw theirs."""


@dataclass(frozen=True)
class ArmSchedule:
    """How to learn on arms.

    Attributes:
        rounds: How many; the budget is rounds x arms x steps.
        arms: How many are moved together.
        steps: Steps of each in a round.
        episode: Steps after which an arm begins anew.
        proposals: For each state.
        retained: Strips of practice that are kept; the oldest go.
        replayed: Strips for which a round works out targets, beside its own.
        updates: Steps of Adam in a round.
        batch: Transitions of each.
        stein_steps: Of a sampler in a round.
        stein_batch: States of each.
        learning_rate: In the beginning; it falls to a hundredth of that, evenly.
        trace: How far news travels in a round; see `experience.trace_targets`.
        discount: Of later rewards.
        temperature: In the unit of the rewards.
        explore: Share of the actions that are drawn evenly from those allowed.
        wide: Largest standard deviation of the angles of a first pose.
        far: Share of first poses that are not those of the arm's own episodes.

    Raises:
        ParameterError: If a parameter is out of range.
    """

    rounds: int = 100
    arms: int = 64
    steps: int = 20
    episode: int = 60
    proposals: int = 16
    retained: int = 1024
    replayed: int = 192
    updates: int = 100
    batch: int = 256
    stein_steps: int = 30
    stein_batch: int = 32
    learning_rate: float = 2e-3
    trace: float = 0.9
    discount: float = 0.98
    temperature: float = 0.1
    explore: float = 0.1
    wide: float = 1.0
    far: float = 0.6

    def __post_init__(self) -> None:
        for name in ("rounds", "arms", "steps", "episode", "proposals", "retained", "updates",
                     "batch", "stein_steps", "stein_batch"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}", accepted="1 or more")
        for name in ("trace", "discount", "explore", "far"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"{name} is {getattr(self, name)}", accepted="0 to 1")
        for name in ("learning_rate", "temperature", "wide"):
            if not 0 < getattr(self, name) < np.inf:
                raise ParameterError(f"{name} is {getattr(self, name)}", accepted="more than 0")


class ArmRound(NamedTuple):
    """A round.

    Attributes:
        loss: Mean squared error of its updates.
        steps: Environment steps until then.
        touched: Share of its steps that ended in a disc.
        stein: Mean length of the sampler's directions; NaN without one.
    """

    loss: float
    steps: int
    touched: float
    stein: float


def practice_poses(
    arm: Arm, count: int, rng: np.random.Generator, schedule: ArmSchedule, *, clear: bool
) -> Float[np.ndarray, "count joints"]:
    """First poses of practice: those of the arm's episodes, and some that are spread more widely.

    A wide pose has a standard deviation of its own, up to ``wide``, and its first joint is turned
    towards the bearing of the target by an even share, up to four thirds of the way.

    Args:
        arm: The arm.
        count: How many.
        rng: Where they are drawn from.
        schedule: ``wide`` and ``far`` of it.
        clear: Whether those that touch a disc are drawn again.
    """
    end = world.joints(arm, np.array([arm.home], float))[0, -1]
    turn = math.atan2(arm.target[1], arm.target[0]) - math.atan2(end[1], end[0])
    turn = math.remainder(turn, 2 * math.pi)

    def drawn(number: int) -> np.ndarray:
        far = rng.random(number) < schedule.far
        spread = np.where(far, rng.uniform(0.0, schedule.wide, number), arm.spread)
        poses = np.array(arm.home) + spread[:, None] * rng.standard_normal((number, arm.count))
        poses[:, 0] += np.where(far, rng.uniform(0.0, 4 / 3, number) * turn, 0.0)
        return np.clip(poses, -LIMIT, LIMIT)

    poses = drawn(count)
    while clear and (inside := world.touches(arm, poses)).any():
        poses[inside] = drawn(int(inside.sum()))
    return poses


def learn_on_arms(
    schedule: ArmSchedule,
    arm: Arm,
    task: str,
    network: ArmNetwork,
    seed: int,
    *,
    sampler: ActionSampler | None = None,
    corners: bool = False,
    above: Sequence[IndifferenceSpace] = (),
    clear: bool = True,
    progress: Callable[[int], None] = lambda done: None,
) -> list[ArmRound]:
    """Learn what turns of the joints are worth, with only the allowed ones here and later.

    Args:
        schedule: How.
        arm: The arm and its world.
        task: Whose rewards, one of `TASKS`.
        network: What to train, in place.
        seed: Of poses, proposals, actions and batches.
        sampler: Trained along with it, in place; if not given, proposals are even.
        corners: Whether half of them are corners then.
        above: Levels of higher priority, which stay as they are.
        clear: Whether practice begins outside the discs only.
        progress: Is told after each round how many are done.

    Raises:
        ParameterError: If there is no such task.
        StepError: If values become infinite.
    """
    if task not in TASKS:
        raise ParameterError(f"no task {task!r}", accepted=", ".join(TASKS))
    rng = np.random.default_rng(seed)
    offer = Proposals(arm_box(arm), above, schedule.proposals, rng, sampler, corners=corners)
    stein = None
    if sampler is not None:
        stein = SamplerTraining(sampler, network, above, temperature=schedule.temperature)
    practice = _Practice(schedule, arm, task, offer, rng, clear)
    optimiser = torch.optim.Adam(network.parameters(), schedule.learning_rate)
    kept, rounds = list[tuple[Experience, Offered]](), list[ArmRound]()
    for number in range(schedule.rounds):
        kept.append(practice.strips(quality_of(network)))
        kept = kept[-max(schedule.retained // schedule.arms, 1) :]
        states, actions, targets = _targets(schedule, kept, quality_of(network), rng)
        loss = _fit(schedule, number, network, optimiser, states, actions, targets, rng)
        length = np.nan
        if stein is not None:
            some = states[rng.integers(len(states), size=STEIN_STATES)]
            length = stein.steps(some, schedule.stein_steps, schedule.stein_batch, rng)
        new = kept[-1][0]
        touched = world.touches(arm, rows_of(new.next_states)).mean()
        taken = (number + 1) * new.rewards.size
        rounds.append(ArmRound(loss, taken, float(touched), length))
        progress(number + 1)
    return rounds


def _targets(
    schedule: ArmSchedule, kept: list[tuple[Experience, Offered]], q: Quality,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """States, actions and targets of the newest strips and some of the others."""
    everything = joined([part for part, _ in kept])
    offered = Offered(*(np.concatenate(each) for each in zip(*(o for _, o in kept), strict=True)))
    older = len(everything.rewards) - len(kept[-1][0].rewards)
    drawn = rng.choice(older, min(schedule.replayed, older), replace=False) if older else []
    chosen = np.concatenate([drawn, np.arange(older, len(everything.rewards))]).astype(int)
    some, shape = everything.pick(chosen), (len(chosen), schedule.steps)
    values = q(rows_of(some.next_states), rows_of(offered.actions[chosen]))
    soft = log_mean_exp(values, rows_of(offered.log_weights[chosen]), schedule.temperature)
    taken = q(rows_of(some.states), rows_of(some.actions)[:, None])[:, 0]
    targets = trace_targets(
        some, taken.reshape(shape), soft.reshape(shape), discount=schedule.discount,
        temperature=schedule.temperature, trace=schedule.trace,
    )  # fmt: skip
    return rows_of(some.states), rows_of(some.actions), targets.ravel()


def _fit(
    schedule: ArmSchedule, number: int, network: ArmNetwork, optimiser: torch.optim.Optimizer,
    states: np.ndarray, actions: np.ndarray, targets: np.ndarray, rng: np.random.Generator,
) -> float:  # fmt: skip
    """Fit the network to targets; mean loss."""
    given, turns, wanted = map(tensor, (states, actions, targets))
    losses = list[float]()
    for update in range(schedule.updates):
        done = (number + update / schedule.updates) / schedule.rounds
        for group in optimiser.param_groups:
            group["lr"] = schedule.learning_rate * (1 - 0.99 * done)
        rows = torch.from_numpy(rng.integers(len(targets), size=schedule.batch))
        found = network(given[rows], turns[rows][:, None])[:, 0]
        loss = nn.functional.mse_loss(found, wanted[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    sound = all(bool(weights.isfinite().all()) for weights in network.parameters())
    if not (sound and np.isfinite(losses).all()):
        raise StepError("values became infinite", next="Lower the learning rate.")
    return float(np.mean(losses))


class _Practice:
    """The arms, their poses, and what these offer."""

    def __init__(
        self, schedule: ArmSchedule, arm: Arm, task: str, offer: Proposals,
        rng: np.random.Generator, clear: bool,
    ) -> None:  # fmt: skip
        self.schedule, self.arm, self.offer, self.rng = schedule, arm, offer, rng
        self.reward, self.clear = world.reward_of(arm, task), clear
        self.poses = self._begin(schedule.arms)
        self.offered = offer(self.poses)
        self.ages = rng.integers(schedule.episode, size=schedule.arms)

    def _begin(self, count: int) -> np.ndarray:
        return practice_poses(self.arm, count, self.rng, self.schedule, clear=self.clear)

    def strips(self, q: Quality) -> tuple[Experience, Offered]:
        """A strip of every arm, with what the next poses offer."""
        steps = [self._step(q) for _ in range(self.schedule.steps)]
        rows = [np.stack(column, axis=1) for column in zip(*steps, strict=True)]
        return Experience(*rows[:-2]), Offered(*rows[-2:])

    def _step(self, q: Quality) -> tuple[np.ndarray, ...]:
        poses, count = self.poses, len(self.poses)
        actions, log_density = self._act(q)
        landed = world.move(self.arm, poses, actions)
        rewards = self.reward(poses, actions, landed)
        self.ages += 1
        last = self.ages >= self.schedule.episode
        ahead = self.offer(landed)
        self.poses, self.offered = landed.copy(), Offered(*map(np.copy, ahead))
        if last.any():
            self.poses[last] = self._begin(int(last.sum()))
            begun = self.offer(self.poses[last])
            self.offered.actions[last], self.offered.log_weights[last] = begun
            self.ages[last] = 0
        never, always = np.zeros(count, bool), np.ones(count, bool)
        return poses, actions, rewards, landed, never, last, log_density, always, *ahead

    def _act(self, q: Quality) -> tuple[np.ndarray, np.ndarray]:
        """One allowed proposal each, and the log density by which it was drawn.

        Proposals are drawn again by their weights, so that densities are against the even one.
        """
        schedule, (proposals, log_weights) = self.schedule, self.offered
        values = q(self.poses, proposals)
        mask, rows = log_weights > -np.inf, np.arange(len(values))
        evenly_drawn = self.rng.random(len(values)) < schedule.explore
        worth = np.where(evenly_drawn[:, None], 0.0, values / schedule.temperature)
        worth = worth + np.where(mask, log_weights, 0.0)
        chosen = pick(worth, mask, self.rng.random(len(values)))
        soft = log_mean_exp(values, log_weights, schedule.temperature)
        by_policy = np.exp((values[rows, chosen] - soft) / schedule.temperature)
        allowed = np.exp(log_weights).mean(axis=1)
        mixed = (1 - schedule.explore) * by_policy + schedule.explore / allowed
        return proposals[rows, chosen].astype(float), np.log(mixed)


def shortened(schedule: ArmSchedule, environment_steps: int) -> ArmSchedule:
    """The same with as many rounds as a budget of environment steps pays for, one at least."""
    return replace(schedule, rounds=max(environment_steps // (schedule.arms * schedule.steps), 1))
