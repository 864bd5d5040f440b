"""Lexicographic deep Q-learning on the world of cells: a baseline with an exact counterpart.

Notable in this file: each reward has a network of its own; the value of a next state is, for
each reward, that of the best action which the rewards above allow there. A reward allows an action
whose worth is at most a slack below the best that is left, where worth counts only up to a ceiling.
So slack alone compares with `gridworld.lexicographic`; a ceiling alone makes all actions equal that
are good enough, a threshold in place of a slack. The form of both is this project's choice among
those that learners of this kind use. The world is small, so the values that the target networks
give all its states are tabulated with each copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from assay.errors import ParameterError
from assay.systems.policy_composition.actions import discrete
from assay.systems.policy_composition.critics import from_table
from assay.systems.policy_composition.gridworld import MOVES, REWARDS, GridWorld
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack

__all__ = ["Learned", "Learning", "allowed_moves", "learn_lexicographic"]

WALKERS = 16
"""Walks that are stepped together; each of their steps counts, and one update follows."""


@dataclass(frozen=True)
class Learning:
    """How to learn.

    Attributes:
        order: Rewards from the highest priority to the lowest.
        slacks: Per reward, how far below the best an action may be, >= 0; of the last not used.
        ceilings: Per reward, beyond which more counts no more; of the last not used. None if not
            given.
        steps: Steps of the environment, all walks together.
        discount: In [0, 1). Values settle by this factor per copy into the target, so one near 1
            takes many copies.
        hidden: Widths of the hidden layers; with none, each network is a table.
        batch: Transitions per update.
        learning_rate: Of Adam; it falls to a twentieth in a line.
        target_every: Updates between copies of the networks into the target.
        explore: Chance of a random move at the end; it falls from 1 in a line over the first half.
        episode_steps: Length at which an episode is cut off; what is cut off counts on.

    Raises:
        ParameterError: If a number is out of range.
    """

    order: tuple[str, ...] = REWARDS
    slacks: tuple[float, ...] = (0.2, 0.2, 0.2)
    ceilings: tuple[float, ...] = ()
    steps: int = 40_000
    discount: float = 0.95
    hidden: tuple[int, ...] = (64,)
    batch: int = 128
    learning_rate: float = 2e-3
    target_every: int = 10
    explore: float = 0.3
    episode_steps: int = 60

    def __post_init__(self) -> None:
        for name in self.order:
            if name not in REWARDS:
                raise ParameterError(f"no reward {name!r}", accepted=", ".join(REWARDS))
        counts = {"order": len(self.order), "steps": self.steps, "batch": self.batch}
        counts |= {"target_every": self.target_every, "episode_steps": self.episode_steps}
        counts |= {f"hidden layer {n}": width for n, width in enumerate(self.hidden, 1)}
        for name, count in counts.items():
            if count < 1:
                raise ParameterError(f"{name}: {count}", accepted="at least 1")
        for name, given in (("slacks", self.slacks), ("ceilings", self.ceilings or self.slacks)):
            if len(given) != len(self.order):
                raise ParameterError(
                    f"{len(given)} {name} for {len(self.order)} rewards", accepted="one per reward"
                )
        if not all(slack >= 0 for slack in self.slacks):
            raise ParameterError(f"slacks of {self.slacks}", accepted="0 or more")
        if np.isnan(self.ceilings).any():
            raise ParameterError(f"ceilings of {self.ceilings}", accepted="numbers")
        if not (0 <= self.discount < 1 and 0 <= self.explore <= 1):
            raise ParameterError(
                f"a discount of {self.discount} and an exploration of {self.explore}",
                accepted="a number in [0, 1) and one in [0, 1]",
            )
        if not 0 < self.learning_rate < np.inf:
            raise ParameterError(f"a learning rate of {self.learning_rate}", accepted="more than 0")

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Slacks and ceilings of the rewards in their order, ``[rewards]`` each."""
        most = self.ceilings or (np.inf,) * len(self.order)
        return np.array(self.slacks, float), np.array(most, float)


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned.

    Attributes:
        learning: How.
        values: What each move is worth in each state, ``[rewards, states, moves]``.
        returns: Of the episodes that ended, undiscounted, ``[episodes, rewards]``, in the order in
            which they ended; those of random moves are among them.
    """

    learning: Learning
    values: np.ndarray
    returns: np.ndarray

    def stack(self) -> PriorityStack:
        """The policy as a stack: worth up to the ceiling, within the slack."""
        slacks, most = self.learning.limits
        most = np.append(most[:-1], np.inf)
        moves = discrete(len(MOVES))
        return PriorityStack(
            [
                IndifferenceSpace(from_table(np.minimum(values, top)), slack, moves, name)
                for values, top, slack, name in zip(
                    self.values, most, slacks, self.learning.order, strict=True
                )
            ]
        )


def allowed_moves(
    values: Float[np.ndarray, "states rewards moves"],
    slacks: Float[np.ndarray, " rewards"],
    ceilings: Float[np.ndarray, " rewards"],
) -> Bool[np.ndarray, "states rewards moves"]:
    """Which moves each reward may choose among: those that all rewards above it allow.

    Args:
        values: What moves are worth, rewards in order of priority.
        slacks: How far below the best left a move may be.
        ceilings: Beyond which more counts no more.

    Example:
        >>> values = np.array([[[0.0, -0.1, -5.0], [1.0, 2.0, 9.0]]])
        >>> allowed_moves(values, np.array([0.2, 0.0]), np.array([np.inf, np.inf]))[0].tolist()
        [[True, True, True], [True, True, False]]
    """
    masks = np.ones(values.shape, bool)
    for level in range(values.shape[1] - 1):
        worth = np.minimum(values[:, level], ceilings[level])
        best = np.where(masks[:, level], worth, -np.inf).max(axis=1, keepdims=True)
        masks[:, level + 1] = masks[:, level] & (worth >= best - slacks[level])
    return masks


def learn_lexicographic(world: GridWorld, learning: Learning, *, seed: int = 0) -> Learned:
    """Learn what moves are worth by walking, a network for each reward.

    Args:
        world: The world.
        learning: How.
        seed: Of the network, the walks and the replay; equal seeds, equal values.
    """
    import torch

    rng, states = np.random.default_rng(seed), len(world.cells)
    walk, ranks = _Walks(world, learning, rng), [REWARDS.index(n) for n in learning.order]
    networks = _networks(learning, states, seed)
    optimiser = torch.optim.Adam(networks.parameters(), lr=learning.learning_rate)
    updates = -(-learning.steps // WALKERS)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, updates)
    each, next_values = torch.eye(states), np.zeros((states, len(ranks)))
    for update in range(updates):
        if update % learning.target_every == 0:
            table = _table(networks, each)
            masks = allowed_moves(table, *learning.limits)
            next_values = np.where(masks, table, -np.inf).max(axis=2)
        chance = max(learning.explore, 1.0 - 2.0 * update / updates)
        walk.step(_choices(networks, each, walk.at, learning), chance)
        rows = rng.integers(walk.count, size=learning.batch)
        at, move, to, ended = (a[rows] for a in (walk.states, walk.moves, walk.next, walk.ended))
        gains = walk.rewards[rows][:, ranks]
        target = gains + learning.discount * np.where(ended[:, None], 0.0, next_values[to])
        found = _values(networks, each[at])[np.arange(len(at)), :, move]
        loss = torch.nn.functional.mse_loss(found, torch.as_tensor(target, dtype=torch.float32))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    values = _table(networks, each).transpose(1, 0, 2)
    returns = np.array(walk.returns).reshape(-1, len(REWARDS))[:, ranks]
    return Learned(learning, np.ascontiguousarray(values), returns)


def _networks(learning: Learning, states: int, seed: int) -> Any:
    """Per reward, a network from a state in ones and zeros to the values of all moves."""
    import torch

    widths, made = [states, *learning.hidden, len(MOVES)], list[Any]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in learning.order:
            layers: list[Any] = []
            for into, out in pairwise(widths):
                layers += [torch.nn.Linear(into, out, bias=bool(learning.hidden)), torch.nn.Tanh()]
            for parameter in layers[-2].parameters():
                torch.nn.init.zeros_(parameter)  # every move is worth 0 at first, its most
            made.append(torch.nn.Sequential(*layers[:-1]))
    return torch.nn.ModuleList(made)


def _values(networks: Any, inputs: Any) -> Any:
    """Values ``[batch, rewards, moves]`` of states in ones and zeros, as a tensor."""
    import torch

    return torch.stack([network(inputs) for network in networks], dim=1)


def _table(networks: Any, inputs: Any) -> np.ndarray:
    """The same as an array."""
    import torch

    with torch.no_grad():
        return _values(networks, inputs).double().numpy()


def _choices(networks: Any, each: Any, at: np.ndarray, learning: Learning) -> np.ndarray:
    """The lexicographically best move in each state."""
    values = _table(networks, each[at])
    last = allowed_moves(values, *learning.limits)[:, -1]
    return np.where(last, values[:, -1], -np.inf).argmax(axis=1)


class _Walks:
    """Walks through a world, and what they leave in the replay."""

    def __init__(self, world: GridWorld, learning: Learning, rng: np.random.Generator) -> None:
        most = -(-learning.steps // WALKERS) * WALKERS
        self.world, self.limit, self.rng = world, learning.episode_steps, rng
        self.states, self.next = np.empty(most, np.int64), np.empty(most, np.int64)
        self.moves, self.ended = np.empty(most, np.int64), np.empty(most, bool)
        self.rewards, self.count = np.empty((most, len(REWARDS))), 0
        self.at, self.age = np.full(WALKERS, world.start), np.zeros(WALKERS, np.int64)
        self.total, self.returns = np.zeros((WALKERS, len(REWARDS))), list[np.ndarray]()

    def step(self, chosen: Sequence[int] | np.ndarray, chance: float) -> None:
        """Move every walk by what was chosen, or at random with this chance; slips included."""
        rng, count = self.rng, len(MOVES)
        moves = np.where(
            rng.random(WALKERS) < chance, rng.integers(count, size=WALKERS), chosen
        )  # fmt: skip
        slips = rng.random(WALKERS) < self.world.slip
        made = np.where(slips, (moves + 1 + rng.integers(count - 1, size=WALKERS)) % count, moves)
        to = self.world.destinations[self.at, made]
        rewards, ended = self.world.rewards(to), self.world.cells[to] == "G"
        rows = slice(self.count, self.count + WALKERS)
        self.states[rows], self.moves[rows], self.next[rows] = self.at, moves, to
        self.rewards[rows], self.ended[rows], self.count = rewards, ended, self.count + WALKERS
        self.total, self.age = self.total + rewards, self.age + 1
        over = ended | (self.age >= self.limit)
        self.returns += list(self.total[over])
        self.total[over], self.age[over] = 0.0, 0
        self.at = np.where(over, self.world.start, to)
