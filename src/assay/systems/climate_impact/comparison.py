"""What a verification case compares: a profile that is known with the one a solver computed."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from assay.systems.climate_impact.finite_volume import simulate_shallow_water
from assay.systems.climate_impact.solver import Flow, simulate

__all__ = ["MOST_POINTS", "Comparison", "Measure", "Outcome", "compared", "l1", "run"]

MOST_POINTS = 400


@dataclass(frozen=True)
class Comparison:
    """A profile as it should be and as it was computed; empty where the case has none.

    Attributes:
        x: Places or times.
        exact: What is known there.
        computed: What the solver gave.
        x_title: What ``x`` is, with its unit.
        y_title: What is compared, with its unit.
        note: Set-up and source, in a sentence or two.
    """

    x: Float[np.ndarray, " points"]
    exact: Float[np.ndarray, " points"]
    computed: Float[np.ndarray, " points"]
    x_title: str
    y_title: str
    note: str


class Measure(NamedTuple):
    """One more value of a case."""

    value: float
    unit: str = "1"


class Outcome(NamedTuple):
    """What came of one case with one solver.

    Attributes:
        comparison: The profile.
        error: How far the solver is from what is known.
        mass_error: Of its ledger, relative.
        more: Further measures by name.
        unit: Unit of the error.
    """

    comparison: Comparison
    error: float
    mass_error: float
    more: dict[str, Measure] = {}  # noqa: RUF012 - never changed
    unit: str = "1"


def run(solver: str, bed: np.ndarray, manning: float, **options: Any) -> Flow:
    """One simulation with either solver; the full one alone takes initial velocities."""
    simulated: Callable[..., Any] = simulate if solver == "inertial" else simulate_shallow_water
    made = simulated(bed, manning, **options)
    return made if solver == "inertial" else made.flow


def l1(computed: np.ndarray, known: np.ndarray) -> float:
    """The sum of |computed - known| over the sum of |known|."""
    return float(np.abs(computed - known).sum() / np.abs(known).sum())


def compared(
    x: np.ndarray, known: np.ndarray, computed: np.ndarray, x_title: str, y_title: str, note: str
) -> Comparison:
    """A comparison of no more points than a chart needs."""
    step = max(1, math.ceil(len(x) / MOST_POINTS))
    at, line, dots = (np.ascontiguousarray(v[::step], np.float64) for v in (x, known, computed))
    return Comparison(at, line, dots, x_title, y_title, note)
