"""How good the learned flood model is: depths, wet cells, volume, money and time.

The solver's flood is the truth here, not the ground's. The critical success index at a threshold is
hits / (hits + misses + false alarms): what share of the cells deeper than it in either map are in
both.
"""

import time
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field, PositiveInt

from assay.core.component import component
from assay.core.records import Records
from assay.errors import DataError
from assay.systems.climate_impact.ensemble import Case
from assay.systems.climate_impact.impact import Region, StormLosses, annual_damage, storm_losses
from assay.systems.climate_impact.inundation import FloodMaps, Hours, inundation
from assay.systems.climate_impact.learned import learned_inundation
from assay.systems.climate_impact.rain import Hyetograph
from assay.systems.climate_impact.solver import Side

__all__ = [
    "Comparison",
    "compare",
    "critical_success_index",
    "damage_error",
    "speed",
    "volume_bias",
    "wet_rmse_m",
]

WET_M = 0.1
THRESHOLDS_M = {"csi_0p1": 0.1, "csi_0p3": 0.3}

Depths = Float[np.ndarray, "_ _"]


class Comparison(NamedTuple):
    """A learned flood beside the solver's.

    Attributes:
        split: What the model has not seen: ``storm``, ``block`` or ``terrain``.
        kind: ``survey`` or ``fractal``.
        place: Number of the case.
        solver: Losses by the solver's depths.
        learned: Losses by the learned depths.
        records: ``wet_rmse`` (m), ``csi_0p1`` and ``csi_0p3``, the critical success indices at
            0.1 and 0.3 m, and ``volume_bias``, relative.
    """

    split: str
    kind: str
    place: int
    solver: StormLosses
    learned: StormLosses
    records: Records


@component(version="1", requires=("numpy",))
def compare(
    case: Case,
    solver: FloodMaps,
    learned: FloodMaps,
    *,
    region: Region = "North America",
    floor_m: Annotated[float, Field(ge=0, le=10)] = 0.0,
    dry_below_m: Annotated[float, Field(ge=0, le=2)] = 0.1,
) -> Comparison:
    """Measure a learned flood against the solver's, of the same ground and storm.

    Args:
        case: The ground and its buildings.
        solver: What the solver says.
        learned: What the model says.
        region: Continent of the depth-damage curve.
        floor_m: Height of floors above the ground (m).
        dry_below_m: Buildings in no more water than this above their floor are dry (m).
    """
    truth, guess = solver.max_depth_m.values, learned.max_depth_m.values
    records = Records()
    records.add("wet_rmse", wet_rmse_m(truth, guess), "m")
    for name, threshold_m in THRESHOLDS_M.items():
        records.add(name, critical_success_index(truth, guess, threshold_m))
    records.add("volume_bias", volume_bias(truth, guess))
    losses = [
        storm_losses(flood, case.exposure, region=region, floor_m=floor_m, dry_below_m=dry_below_m)
        for flood in (solver, learned)
    ]
    return Comparison(case.split, case.kind, case.place, losses[0], losses[1], records)


@component(version="1", requires=("numpy",))
def damage_error(
    comparisons: list[Comparison], *, onset_years: Annotated[float, Field(ge=1)] | None = 1.0
) -> Records:
    """What the learned depths make of the expected annual damage of each case.

    Records ``ead_error``, the distance from the damage by the solver's depths as a share of it, and
    ``ead_bias``, the same with its sign; NaN where the solver's floods cost nothing.

    Args:
        comparisons: All storms of all cases.
        onset_years: Return period up to which storms cost nothing (years).
    """
    records = Records()
    for split, kind, place in sorted({c[:3] for c in comparisons}):
        storms = [c for c in comparisons if c[:3] == (split, kind, place)]
        solver, learned = (
            annual_damage(losses, onset_years=onset_years).curve.expected_annual_damage
            for losses in ([c.solver for c in storms], [c.learned for c in storms])
        )
        bias = learned / solver - 1.0 if solver > 0 else float("nan")
        for name, value in (("ead_error", abs(bias)), ("ead_bias", bias)):
            records.add(name, value, split=split, kind=kind, place=place)
    return records


@component(version="1", requires=("numba", "numpy", "safetensors", "scipy", "torch"))
def speed(
    case: Case,
    rain: Hyetograph,
    model: Path,
    *,
    end_h: Hours = 12.0,
    boundary: Side = "free",
    dt_max_s: Annotated[float, Field(gt=0, le=600)] = 5.0,
    repeats: PositiveInt = 3,
) -> Records:
    """Time solver and learned model on one case, in turn, in one process.

    Processor time of the whole component, reading of the model and its inputs included, libraries
    loaded and kernels compiled before; the fastest of the repeats. A measurement: it differs from
    run to run. Records ``solver_seconds``, ``learned_seconds`` (s) and their ratio, ``speed_up``.

    Args:
        case: The ground.
        rain: The storm.
        model: Folder of the trained net.
        end_h: Simulated time (h), as in the floods that are compared.
        boundary: What happens at the edges, as there.
        dt_max_s: Longest time step of the solver (s), as there.
        repeats: How often each is timed.
    """
    ground, roughness = case.terrain, case.roughness

    def solve(hours: float) -> None:
        inundation(ground, roughness, rain, end_h=hours, boundary=boundary, dt_max_s=dt_max_s)

    def learnt() -> None:
        learned_inundation(ground, roughness, rain, model)

    solve(0.01)
    learnt()
    solver_s, learned_s = [], []
    for _ in range(repeats):
        began = time.process_time()
        solve(end_h)
        between = time.process_time()
        learnt()
        solver_s.append(between - began)
        learned_s.append(time.process_time() - between)
    records = Records()
    records.add("solver_seconds", min(solver_s), "s")
    records.add("learned_seconds", min(learned_s), "s")
    records.add("speed_up", min(solver_s) / max(min(learned_s), 1e-9))
    return records


# -- measures -----------------------------------------------------------------------------------


def wet_rmse_m(truth_m: Depths, guess_m: Depths, wet_m: float = WET_M) -> float:
    """Root mean square error (m) over cells deeper than ``wet_m`` in either map; NaN without any.

    Example:
        >>> round(wet_rmse_m(np.array([[1.0, 0.0, 0.5]]), np.array([[1.3, 0.05, 0.1]])), 9)
        0.353553391
    """
    truth, guess = _known(truth_m, guess_m)
    wet = (truth > wet_m) | (guess > wet_m)
    if not wet.any():
        return float("nan")
    return float(np.sqrt(np.mean((guess[wet] - truth[wet]) ** 2)))


def critical_success_index(truth_m: Depths, guess_m: Depths, threshold_m: float) -> float:
    """Share of the cells deeper than the threshold in either map that are in both; NaN without any.

    Example:
        >>> truth, guess = np.array([[1.0, 1.0, 0.0, 0.0]]), np.array([[1.0, 0.0, 1.0, 0.0]])
        >>> round(critical_success_index(truth, guess, 0.1), 6)
        0.333333
    """
    truth, guess = (values > threshold_m for values in _known(truth_m, guess_m))
    either = int((truth | guess).sum())
    return float((truth & guess).sum()) / either if either else float("nan")


def volume_bias(truth_m: Depths, guess_m: Depths) -> float:
    """Sum of the largest depths beside the true one, less 1; NaN where no water ever stood.

    Example:
        >>> round(volume_bias(np.array([[1.0, 3.0]]), np.array([[2.0, 1.0]])), 6)
        -0.25
    """
    truth, guess = _known(truth_m, guess_m)
    total = float(truth.sum())
    return float(guess.sum()) / total - 1.0 if total > 0 else float("nan")


def _known(truth_m: np.ndarray, guess_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both maps where there is ground."""
    if truth_m.shape != guess_m.shape:
        raise DataError(f"maps of {truth_m.shape} and {guess_m.shape} cells", accepted="one grid")
    known = np.isfinite(truth_m)
    if not np.isfinite(guess_m[known]).all():
        raise DataError("depths are missing where the solver has some", where="learned flood")
    return truth_m[known], guess_m[known]
