"""Sensors whose noise is known, so that the best weights are known in closed form.

A state z from N(0, I) is read by several sensors at once: y_m = z + s_m e, with standard deviation
s_m per sensor and dimension. Each is precise in some dimensions and coarse in the others. To its
own noise more may be added, by sample and sensor, which the sensor reports; a sensor may fail,
which it reports too, and then what it reads has nothing to do with the state; and a sensor may show
what it read of another sample, which nothing in it betrays.

Given s, the posterior is Gaussian with precision 1 + sum_m 1/s_m^2 and the mean of the readings
weighted by 1/s_m^2: product of experts, exactly. So the share of sensor m among the sensors is
(1/s_m^2) / sum_k (1/s_k^2), and of one that failed or is missing 0.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field, PositiveFloat, PositiveInt

from assay.core.component import Seed, component
from assay.errors import DataError

__all__ = ["Exact", "Readings", "Sensors", "draw", "exact", "sensor_inputs", "sensor_readings",
           "sensors", "swap"]  # fmt: skip

Chance = Annotated[float, Field(ge=0, le=1)]
FAILED_SD = 3.0
"""Standard deviation of what a failed sensor reads (in units of the prior's)."""


@dataclass(frozen=True)
class Sensors:
    """Sensors of one state.

    Attributes:
        sd: Standard deviation of their own noise, in units of the prior's ``[sensor latent]``.
    """

    sd: np.ndarray

    @property
    def count(self) -> int:
        """Number of sensors."""
        return self.sd.shape[0]

    @property
    def latent(self) -> int:
        """Size of the state."""
        return self.sd.shape[1]

    @property
    def names(self) -> list[str]:
        """Name of each."""
        return [f"sensor_{m}" for m in range(self.count)]


class Readings(NamedTuple):
    """States and what the sensors say of them.

    Attributes:
        state: The state, which the sensors do not show ``[sample latent]``.
        values: What they read ``[sample sensor latent]``.
        added_sd: Standard deviation of the noise added, as reported ``[sample sensor]``.
        failed: Whether a sensor reads nothing of the state, as reported ``[sample sensor]``.
        present: Whether it is there ``[sample sensor]``.
    """

    state: Float[np.ndarray, "sample latent"]
    values: Float[np.ndarray, "sample sensor latent"]
    added_sd: Float[np.ndarray, "sample sensor"]
    failed: Bool[np.ndarray, "sample sensor"]
    present: Bool[np.ndarray, "sample sensor"]


class Exact(NamedTuple):
    """The posterior of the state.

    Attributes:
        mean: ``[sample latent]``.
        sd: ``[sample latent]``.
        share: What each sensor contributes of what all of them do; 0 of all where none has anything
            to say ``[sensor sample latent]``.
    """

    mean: Float[np.ndarray, "sample latent"]
    sd: Float[np.ndarray, "sample latent"]
    share: Float[np.ndarray, "sensor sample latent"]


@component(version="1")
def sensors(
    *,
    count: Annotated[int, Field(ge=1, le=10)] = 3,
    latent: PositiveInt = 3,
    precise_sd: PositiveFloat = 0.2,
    coarse_sd: PositiveFloat = 0.6,
) -> Sensors:
    """Sensors that complement each other: sensor m is precise in dimension d if d mod count is m.

    Args:
        count: Number of sensors.
        latent: Size of the state.
        precise_sd: Standard deviation where a sensor is precise.
        coarse_sd: The same elsewhere.

    Example:
        >>> sensors(count=2, latent=2).sd.tolist()
        [[0.2, 0.6], [0.6, 0.2]]
    """
    own = np.arange(latent) % count == np.arange(count)[:, None]
    return Sensors(np.where(own, precise_sd, coarse_sd))


@component(version="1", requires=("numpy",))
def sensor_readings(
    sensors: Sensors,
    *,
    samples: PositiveInt = 20_000,
    noise_chance: Chance = 0.4,
    largest_sd: Annotated[float, Field(ge=0)] = 3.0,
    fail_chance: Chance = 0.1,
    missing_chance: Chance = 0.1,
    swap_chance: Chance = 0.0,
    seed: Seed,
) -> Readings:
    """Draw states and readings to train on.

    Args:
        sensors: The sensors.
        samples: Number of states.
        noise_chance: Chance that noise is added to a reading of a sensor.
        largest_sd: Its standard deviation is uniform up to this.
        fail_chance: Chance that a sensor fails.
        missing_chance: Chance that it is missing.
        swap_chance: Chance that it shows what it read of another sample.
        seed: Seed of all of it.
    """
    random = np.random.default_rng(seed)
    shape = (samples, sensors.count)
    added = random.uniform(0.0, largest_sd, shape) * (random.random(shape) < noise_chance)
    failed, missing = random.random(shape) < fail_chance, random.random(shape) < missing_chance
    state = random.standard_normal((samples, sensors.latent))
    readings = draw(sensors, state, added, failed, ~missing, random)
    return swap(readings, random.random(shape) < swap_chance)


def draw(
    sensors: Sensors,
    state: Float[np.ndarray, "sample latent"],
    added_sd: Float[np.ndarray, "sample sensor"],
    failed: Bool[np.ndarray, "sample sensor"],
    present: Bool[np.ndarray, "sample sensor"],
    random: np.random.Generator,
) -> Readings:
    """What the sensors read of given states; a missing one reads nan.

    Args:
        sensors: The sensors.
        state: The states.
        added_sd: Standard deviation of the noise added; 0 for none.
        failed: Whether a sensor fails.
        present: Whether it is there.
        random: The random numbers; as many are taken whatever the noise.
    """
    noise = random.standard_normal((len(state), sensors.count, sensors.latent))
    sd = np.sqrt(sensors.sd**2 + added_sd[..., None] ** 2)
    values = np.where(failed[..., None], FAILED_SD * noise, state[:, None] + sd * noise)
    return Readings(state, np.where(present[..., None], values, np.nan), added_sd, failed, present)


def swap(readings: Readings, swapped: Bool[np.ndarray, "sample sensor"]) -> Readings:
    """Some sensors show what they read, and reported, of the sample before.

    Args:
        readings: What was read.
        swapped: Which sensor shows the wrong sample.

    Example:
        >>> no, yes, read = np.zeros((2, 1), bool), np.ones((2, 1), bool), [[[1.1]], [[2.1]]]
        >>> seen = Readings(np.array([[1.0], [2.0]]), np.array(read), 0.0 * no, no, yes)
        >>> swap(seen, np.array([[True], [False]])).values.ravel().tolist()
        [2.1, 2.1]
    """
    shown = [
        np.where(swapped.reshape(*swapped.shape, *[1] * (told.ndim - 2)), np.roll(told, 1, 0), told)
        for told in readings[1:]
    ]
    return Readings(readings.state, *shown)


def exact(sensors: Sensors, readings: Readings) -> Exact:
    """The posterior of the states, by the closed form above.

    Example:
        >>> two = Sensors(np.array([[1.0], [0.5]]))
        >>> yes, no = np.ones((1, 2), bool), np.zeros((1, 2))
        >>> seen = Readings(np.zeros((1, 1)), np.array([[[1.0], [1.0]]]), no, ~yes, yes)
        >>> found = exact(two, seen)
        >>> found.share.ravel().tolist(), round(found.mean.item(), 4), round(found.sd.item() ** -2)
        ([0.2, 0.8], 0.8333, 6)
    """
    telling = (readings.present & ~readings.failed)[..., None]
    precision = telling / (sensors.sd**2 + readings.added_sd[..., None] ** 2)
    total = precision.sum(1)
    mean = (precision * np.where(telling, readings.values, 0.0)).sum(1) / (1.0 + total)
    share = precision / np.where(total > 0, total, 1.0)[:, None]
    return Exact(mean, (1.0 + total) ** -0.5, np.moveaxis(share, 1, 0))


def sensor_inputs(
    sensors: Sensors, readings: Readings
) -> dict[str, Float[np.ndarray, "sample input"]]:
    """What a model is shown of each sensor: what it reads, the noise it reports, whether it failed.

    Raises:
        DataError: If the readings are of other sensors.
    """
    if readings.values.shape[1:] != sensors.sd.shape:
        raise DataError(
            f"readings of {readings.values.shape[1:]} numbers",
            where="sensors",
            accepted=f"{sensors.sd.shape}, sensors by dimensions of the state",
        )
    told = np.stack([readings.added_sd, readings.failed.astype(float)], axis=-1)
    both = np.concatenate([readings.values, told], axis=-1).astype(np.float32)
    return {name: np.ascontiguousarray(both[:, m]) for m, name in enumerate(sensors.names)}
