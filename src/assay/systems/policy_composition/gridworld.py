"""A small world of cells for lexicographic learners with discrete actions, and its exact model.

    #  wall         a step into it, or out of the map, stays
    H  hazard       -1 of the first reward for each step into it
    M  mud          -1 of the third reward for each step into it
    G  goal         ends the episode; every step that does not end there is -1 of the second reward
    S  start        where an episode begins

Actions: 0 up, 1 right, 2 down, 3 left, 4 stay. With probability ``slip`` the world takes one of the
other four instead, each equally likely.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from assay.errors import DataError, ParameterError
from assay.systems.policy_composition.actions import discrete
from assay.systems.policy_composition.critics import from_table
from assay.systems.policy_composition.indifference import IndifferenceSpace
from assay.systems.policy_composition.oracle import joint_mask
from assay.systems.policy_composition.value_iteration import FiniteModel, action_values, solve

__all__ = ["CROSSING", "MOVES", "REWARDS", "GridWorld", "lexicographic"]

CROSSING = (
    ".....G",
    ".###M.",
    "..H.M.",
    ".###M.",
    "S.....",
)
"""The short way leads through mud, a detour round it; a third way is short but hazardous."""
MOVES = np.array([[-1, 0], [0, 1], [1, 0], [0, -1], [0, 0]])
REWARDS = ("hazard", "goal", "mud")
ROUNDING = 1e-9
"""Added to an epsilon, so that of two equally good ways none is lost to the last digit."""


@dataclass(frozen=True)
class GridWorld:
    """A map and how surely its actions do what they say.

    Attributes:
        rows: Lines of equal length of the characters above, with one S and one G at least.
        slip: Probability of another move, in [0, 1].

    Raises:
        DataError: If the map is not as described.
        ParameterError: If ``slip`` is out of range.
    """

    rows: tuple[str, ...] = CROSSING
    slip: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.slip <= 1:
            raise ParameterError(f"a slip of {self.slip}", accepted="a probability")
        for number, row in enumerate(self.rows, 1):
            if len(row) != len(self.rows[0]):
                raise DataError(
                    f"{len(row)} cells", where=f"row {number}", accepted=str(len(self.rows[0]))
                )
            for column, cell in enumerate(row, 1):
                if cell not in "#HMGS.":
                    raise DataError(
                        f"a cell {cell!r}", where=f"row {number}, column {column}",
                        accepted="one of # H M G S .",
                    )  # fmt: skip
        text = "".join(self.rows)
        if text.count("S") != 1 or "G" not in text:
            raise DataError("a map without a start or a goal", accepted="one S and at least one G")

    @cached_property
    def cells(self) -> np.ndarray:
        """Characters by number of the state, row by row from the top."""
        return np.array(list("".join(self.rows)))

    @cached_property
    def start(self) -> int:
        """Number of the state in which an episode begins."""
        return int(np.argmax(self.cells == "S"))

    @cached_property
    def destinations(self) -> np.ndarray:
        """Where each move leads from each state if it is made, ``[states, 5]``."""
        height, width = len(self.rows), len(self.rows[0])
        row, column = np.divmod(np.arange(height * width), width)
        to = np.stack([row, column], axis=-1)[:, None] + MOVES
        inside = (to >= 0).all(axis=-1) & (to < (height, width)).all(axis=-1)
        there = np.where(inside, to[..., 0] * width + to[..., 1], 0)
        free = inside & (self.cells[there] != "#")
        return np.where(free, there, np.arange(height * width)[:, None])

    def rewards(self, states: np.ndarray | int) -> np.ndarray:
        """Rewards of hazard, goal and mud for having come to these states, ``[..., 3]``."""
        cells = self.cells[states]
        return -np.stack([cells == "H", cells != "G", cells == "M"], axis=-1).astype(float)

    def model(self, reward: str) -> FiniteModel:
        """The exact model of one reward: hazard, goal or mud.

        Raises:
            ParameterError: If there is no such reward.
        """
        if reward not in REWARDS:
            raise ParameterError(f"no reward {reward!r}", accepted=", ".join(REWARDS))
        count = len(MOVES)
        odds = np.where(np.eye(count, dtype=bool), 1 - self.slip, self.slip / (count - 1))
        to = np.broadcast_to(self.destinations[:, None], (len(self.cells), count, count))
        gains = self.rewards(to)[..., REWARDS.index(reward)]
        over = (self.cells == "G")[:, None]
        means = np.where(over, 0.0, (odds * gains).sum(axis=-1))
        goes_on = (self.cells[to] != "G") & ~over[..., None]
        return FiniteModel(to.astype(np.int32), odds * goes_on, means)


def lexicographic(
    world: GridWorld,
    order: tuple[str, ...] = REWARDS,
    epsilons: tuple[float, ...] = (),
    *,
    discount: float = 0.99,
    temperature: float = 0.0,
) -> list[IndifferenceSpace]:
    """Exact levels of a grid world: each reward's optimum inside the levels above it.

    Args:
        world: The world.
        order: Rewards from the highest priority to the lowest.
        epsilons: One per reward; 0 if not given.
        discount: In [0, 1).
        temperature: 0 for the hard maximum.

    Raises:
        ParameterError: If there are epsilons, but not one per reward.
    """
    slacks = epsilons or (0.0,) * len(order)
    if len(slacks) != len(order):
        raise ParameterError(
            f"{len(slacks)} epsilons for {len(order)} rewards", accepted="one per reward, or none"
        )
    levels, states = list[IndifferenceSpace](), np.arange(len(world.cells))
    for reward, epsilon in zip(order, slacks, strict=True):
        model = world.model(reward)
        allowed = joint_mask(levels, states) if levels else None
        found = solve(
            model, discount=discount, temperature=temperature, allowed=allowed, tolerance=1e-10
        )
        table = action_values(model, found.values, discount)
        levels.append(
            IndifferenceSpace(from_table(table), epsilon + ROUNDING, discrete(len(MOVES)), reward)
        )
    return levels
