"""What goes wrong with a sensor, and whether anybody notices: noise, failure, the wrong sample."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field, PositiveFloat

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.systems.product_of_experts.data import Readings, Sensors, draw, exact, swap
from assay.systems.product_of_experts.evaluate import FIRST_SENSOR, Measuring, among_sensors

__all__ = ["FAILED", "NOISY", "SOUND", "SWAPPED", "error_by_fault"]

SOUND, NOISY, FAILED, SWAPPED = "none", "noise", "failed", "swapped"


@component(version="1", requires=("numpy", "safetensors", "scipy", "torch"))
def error_by_fault(
    sensors: Sensors,
    model: Path,
    *,
    noise_sd: PositiveFloat = 1.5,
    samples: Annotated[int, Field(ge=2)] = 4000,
    seed: Seed,
) -> Records:
    """Let something happen to the first sensor of every other sample.

    Records, by ``fault``, ``none``, ``noise`` and ``failed``, which the sensor reports, and
    ``swapped``, the first sensor of another sample, which it does not: ``squared_error`` of a
    number of the state and ``optimal_squared_error``, that of the exact posterior to which a
    swapped sensor is a missing one, both over the samples to which it happened; ``share``, what
    the sensor contributes there of what all sensors do; and, with a fault, ``found_by_share``,
    the chance that a sensor with that fault has a lower share than a sound one (the area under
    the ROC curve; 0.5 if nothing is found).

    Args:
        sensors: The sensors.
        model: Folder of a trained model.
        noise_sd: Standard deviation of the noise added, in units of the prior's.
        samples: States, seen with every fault in half of them.
        seed: Seed of states and noise.
    """
    measure, records = Measuring(sensors, model), Records()
    struck = np.arange(samples) % 2 == 0
    for fault in (SOUND, NOISY, FAILED, SWAPPED):
        readings, worthless = _struck_by(fault, sensors, struck, noise_sd, seed)
        found = measure(readings).found
        known = readings._replace(present=readings.present & ~worthless)
        best = exact(sensors, known).mean
        share = among_sensors(found.share)[FIRST_SENSOR].mean(1)
        for name, value in _measures(readings.state, found.mean, best, share, struck):
            if name != "found_by_share" or fault != SOUND:
                records.add(name, value, fault=fault)
    return records


def _struck_by(
    fault: str, sensors: Sensors, struck: Bool[np.ndarray, " sample"], noise_sd: float, seed: int
) -> tuple[Readings, Bool[np.ndarray, "sample sensor"]]:
    """Readings with a fault, and which of them are worth nothing though they do not say so."""
    random = np.random.default_rng(seed)  # every fault has the same states
    state = random.standard_normal((len(struck), sensors.latent))
    there = np.zeros((len(struck), sensors.count), bool)
    there[struck, FIRST_SENSOR] = True
    nowhere = np.zeros_like(there)
    added = np.where(there, noise_sd if fault == NOISY else 0.0, 0.0)
    failed = there if fault == FAILED else nowhere
    readings = draw(sensors, state, added, failed, ~nowhere, random)
    swapped = there if fault == SWAPPED else nowhere
    return swap(readings, swapped), swapped


def _measures(
    state: Float[np.ndarray, "sample latent"],
    found: Float[np.ndarray, "sample latent"],
    best: Float[np.ndarray, "sample latent"],
    share: Float[np.ndarray, " sample"],
    struck: Bool[np.ndarray, " sample"],
) -> Iterator[tuple[str, float]]:
    from scipy.stats import mannwhitneyu

    yield "squared_error", float(((state - found)[struck] ** 2).mean())
    yield "optimal_squared_error", float(((state - best)[struck] ** 2).mean())
    yield "share", float(share[struck].mean())
    below = mannwhitneyu(share[~struck], share[struck], method="asymptotic").statistic
    yield "found_by_share", float(below / (struck.sum() * (~struck).sum()))
