"""Sensors that are not there, in two ways: masked, and shown as noise that a fusion has to find.

A sensor without any worth is as good as missing: infinite noise. A mask takes it out before
anything is weighed; what is shown as noise is only as good as the credibility it is given.
"""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.systems.product_of_experts.data import Sensors, draw
from assay.systems.product_of_experts.evaluate import (
    Compared,
    Measuring,
    among_sensors,
    misplaced_share,
)

__all__ = ["MASK", "NOISE", "absent_sensors"]

MASK, NOISE = "mask", "noise"


@component(version="1", requires=("numpy", "safetensors", "torch"))
def absent_sensors(
    sensors: Sensors, model: Path, *, samples: PositiveInt = 2000, seed: Seed
) -> Records:
    """Take away every subset of the sensors, by a mask and by noise.

    Noise is that of a sensor that fails: what it reads has nothing to do with the state, and it
    says so. The exact posterior is the same both ways.

    Records, by ``left``, the sensors that are there, ``sensors``, their number, ``absent_as``,
    ``mask`` or ``noise``, and ``some_missing``, whether some but not all are missing:
    ``squared_error`` of a number of the state, ``optimal_squared_error``, that of the exact
    posterior, and ``excess_error``, how many times that of the exact posterior the error is, less
    1; where some are missing ``absent_share``, the share of the sensors that are not there in what
    all sensors contribute, and ``misplaced_share``, see `evaluate.misplaced_share`; and where none
    is there ``lonely_prior_share``, the least share of the prior.

    Args:
        sensors: The sensors.
        model: Folder of a trained model.
        samples: States, each seen by every subset in both ways.
        seed: Seed of states and noise.
    """
    measure, records = Measuring(sensors, model), Records()
    shape = (samples, sensors.count)
    yes, none = np.ones(shape, bool), np.zeros(shape)
    for size in range(sensors.count + 1):
        for left in combinations(range(sensors.count), size):
            there = np.broadcast_to(np.isin(np.arange(sensors.count), left), shape)
            for way in (MASK, NOISE):
                random = np.random.default_rng(seed)  # every subset has the same states
                state = random.standard_normal((samples, sensors.latent))
                failed, present = (~yes, there) if way == MASK else (~there, yes)
                compared = measure(draw(sensors, state, none, failed, present, random))
                keys = {
                    "left": "+".join(map(str, left)) or "none", "sensors": size,
                    "absent_as": way, "some_missing": 0 < size < sensors.count,
                }  # fmt: skip
                for name, value in _measures(compared, there[0]):
                    records.add(name, value, **keys)
    return records


def _measures(compared: Compared, there: np.ndarray) -> Iterator[tuple[str, float]]:
    """The measures of one subset; ``there`` says which sensors it has ``[sensor]``."""
    readings, found, best = compared
    error = float(((readings.state - found.mean) ** 2).mean())
    least = float(((readings.state - best.mean) ** 2).mean())
    yield "squared_error", error
    yield "optimal_squared_error", least
    yield "excess_error", error / least - 1.0
    if there.any() and not there.all():
        yield "absent_share", float(among_sensors(found.share)[~there].sum(0).mean())
        yield "misplaced_share", misplaced_share(found.share, best.share)
    if not there.any():
        yield "lonely_prior_share", float(found.prior_share.min())
