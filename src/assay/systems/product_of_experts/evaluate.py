"""A fusion of sensors beside the exact posterior: under noise, without sensors, in bursts.

Measured on states and noise of the study's seed, the same for every weighting that is compared.
"""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.systems.product_of_experts.data import (
    Exact,
    Readings,
    Sensors,
    draw,
    exact,
    sensor_inputs,
)

if TYPE_CHECKING:
    from assay.systems.product_of_experts.fusion import Experts
    from assay.systems.product_of_experts.predict import Prediction

__all__ = [
    "Compared", "Measuring", "among_sensors", "burst", "error_by_noise", "misplaced_share",
    "missing_sensors",
]  # fmt: skip

FIRST_SENSOR = 0  # noise is added to it, and it fails
LEVEL = 0.95


class Compared(NamedTuple):
    """A prediction beside the exact posterior."""

    readings: Readings
    found: "Prediction"
    best: Exact


class Measuring:
    """A trained model, opened once, that measures as often as asked on the threads of its step."""

    def __init__(self, sensors: Sensors, model: Path) -> None:
        from assay.systems.product_of_experts.folders import read_model

        self.sensors = sensors
        self.net, self.of = read_model(model)

    def __call__(self, readings: Readings) -> Compared:
        """Predict, and solve exactly."""
        from assay.parts.training.torch_state import own_threads
        from assay.systems.product_of_experts.predict import predict, seen_of

        seen = seen_of(sensor_inputs(self.sensors, readings), readings.present)
        with own_threads(task().threads):
            found = predict(self.net, seen, output_sd=self.of.output_sd, truth=readings.state)
        return Compared(readings, found, exact(self.sensors, readings))


@component(version="2", requires=("numpy", "safetensors", "scipy", "torch"))
def error_by_noise(
    sensors: Sensors,
    model: Path,
    *,
    levels: list[Annotated[float, Field(ge=0)]] = [0.0, 0.25, 0.5, 1.0, 2.0, 3.0],  # noqa: B006
    samples: PositiveInt = 2000,
    seed: Seed,
) -> Records:
    """Add noise to one sensor, then to all, and see what becomes of the error and of the trust.

    Records, by ``noised`` (``one`` or ``all``), ``noise``, the added standard deviation, and
    ``noisy``, whether there is any:
    ``squared_error`` of a number of the state and ``optimal_squared_error``, that of the exact
    posterior; ``nll`` and ``optimal_nll`` (nats per number); ``coverage``, the share of the numbers
    within their 95 % interval, and ``coverage_gap``, its distance from 0.95; and, of the noised
    sensor (the first), ``credibility``, its weight, ``share``, what it contributes of what the
    sensors do, ``optimal_share``; ``misplaced_share``, see `misplaced_share`.

    Args:
        sensors: The sensors.
        model: Folder of a trained model.
        levels: Standard deviations of the noise added, in units of the prior's.
        samples: States at each level.
        seed: Seed of states and noise.
    """
    measure, records = Measuring(sensors, model), Records()
    shape = (samples, sensors.count)
    no, yes = np.zeros(shape, bool), np.ones(shape, bool)
    for noised in ("one", "all"):
        for level in levels:
            random = np.random.default_rng(seed)  # every level has the same states
            state = random.standard_normal((samples, sensors.latent))
            added = np.zeros(shape)
            added[:, FIRST_SENSOR if noised == "one" else slice(None)] = level
            compared = measure(draw(sensors, state, added, no, yes, random))
            for name, value, unit in _measures(compared):
                records.add(name, value, unit, noised=noised, noise=level, noisy=level > 0)
    return records


def _measures(compared: Compared) -> Iterator[tuple[str, float, str]]:
    """Every measure of a prediction, with its unit."""
    from scipy.special import ndtri

    from assay.parts.latent.gaussians import LOG_2PI

    readings, found, best = compared
    state = readings.state
    inside = np.abs(state - found.mean) <= ndtri(0.5 + LEVEL / 2) * found.sd
    z = (state - best.mean) / best.sd
    yield "squared_error", float(((state - found.mean) ** 2).mean()), "1"
    yield "optimal_squared_error", float(((state - best.mean) ** 2).mean()), "1"
    yield "nll", float(-found.log_density.mean() / state.shape[1]), "nat"
    yield "optimal_nll", float((0.5 * (z**2 + LOG_2PI) + np.log(best.sd)).mean()), "nat"
    yield "coverage", float(inside.mean()), "1"
    yield "coverage_gap", abs(float(inside.mean()) - LEVEL), "1"
    yield "credibility", float(found.credibility[FIRST_SENSOR].mean()), "1"
    yield "share", float(among_sensors(found.share)[FIRST_SENSOR].mean()), "1"
    yield "optimal_share", float(best.share[FIRST_SENSOR].mean()), "1"
    yield "misplaced_share", misplaced_share(found.share, best.share), "1"


def misplaced_share(
    share: Float[np.ndarray, "sensor sample latent"],
    best: Float[np.ndarray, "sensor sample latent"],
) -> float:
    """How much of the trust lies with the wrong sensors, from 0 to 1.

    Half the sum over sensors of the distances between share and best share, both of what the
    sensors contribute together, averaged over samples and dimensions.

    Example:
        >>> misplaced_share(np.array([[[0.3]], [[0.3]]]), np.array([[[1.0]], [[0.0]]]))
        0.5
    """
    return float(0.5 * np.abs(among_sensors(share) - best).sum(0).mean())


def among_sensors(share: np.ndarray) -> np.ndarray:
    """Shares of what the sensors contribute, the prior left out; 0 where that is nothing."""
    total = share.sum(0)
    return share / np.where(total > 0, total, 1.0)


@component(version="2", requires=("numpy", "safetensors", "torch"))
def missing_sensors(
    sensors: Sensors, model: Path, *, samples: PositiveInt = 2000, seed: Seed
) -> Records:
    """Leave out every subset of the sensors, all of them included.

    Records, by ``left``, the sensors that are there, ``sensors``, their number, and
    ``some_missing``, whether some but not all of them are missing, ``missing_squared_error``,
    ``missing_optimal_squared_error`` and ``missing_share``, the largest share of a sensor that is
    not there. Records once ``prior_distance``, the largest distance of the belief without any
    sensor from the prior, in its means and log-variances, ``order_difference``, the largest change
    of a mean or log-variance if the modalities are fused in reverse, or beginning with any other of
    them, and ``share_sum_error``, how far the shares are from a sum of 1.

    Args:
        sensors: The sensors.
        model: Folder of a trained model.
        samples: States, each seen by every subset.
        seed: Seed of states and noise.
    """
    measure, records = Measuring(sensors, model), Records()
    shape = (samples, sensors.count)
    no, none = np.zeros(shape, bool), np.zeros(shape)
    for size in range(sensors.count + 1):
        for left in combinations(range(sensors.count), size):
            random = np.random.default_rng(seed)
            state = random.standard_normal((samples, sensors.latent))
            there = np.broadcast_to(np.isin(np.arange(sensors.count), left), shape)
            compared = measure(draw(sensors, state, none, no, there, random))
            keys = {
                "left": "+".join(map(str, left)) or "none", "sensors": size,
                "some_missing": 0 < size < sensors.count,
            }  # fmt: skip
            for name, value in _without(compared, there):
                records.add(name, value, **keys)
    for name, value in _identities(measure, samples, seed):
        records.add(name, value)
    return records


def _without(compared: Compared, there: np.ndarray) -> Iterator[tuple[str, float]]:
    readings, found, best = compared
    yield "missing_squared_error", float(((readings.state - found.mean) ** 2).mean())
    yield "missing_optimal_squared_error", float(((readings.state - best.mean) ** 2).mean())
    absent = ~there.T[..., None]
    yield "missing_share", float(np.where(absent, found.share, 0.0).max())


def _identities(measure: Measuring, samples: int, seed: int) -> Iterator[tuple[str, float]]:
    """Exact statements about a fusion, on samples whose sensors are missing at random."""
    import torch

    from assay.parts.training.torch_state import own_threads
    from assay.systems.product_of_experts.predict import seen_of

    sensors, random = measure.sensors, np.random.default_rng(seed)
    shape = (samples, sensors.count)
    there = random.random(shape) < 0.5
    there[0] = False
    state = random.standard_normal((samples, sensors.latent))
    added = random.uniform(0.0, 3.0, shape)
    readings = draw(sensors, state, added, np.zeros(shape, bool), there, random)
    with own_threads(task().threads), torch.inference_mode():
        experts = measure.net.experts(seen_of(sensor_inputs(sensors, readings), there))
        fused = measure.net.fused(experts)
        turned = [
            measure.net.fused(_in_order(experts, order)).gaussian for order in _orders(sensors)
        ]
    nobody = torch.from_numpy(~there.any(1))
    yield "prior_distance", max(float(part[nobody].abs().max()) for part in fused.gaussian)
    apart = [
        (a - b).abs().max() for other in turned for a, b in zip(fused.gaussian, other, strict=True)
    ]
    yield "order_difference", float(max(apart))
    total = fused.share.sum(0) + fused.prior_share
    yield "share_sum_error", float((total - 1.0).abs().max())


def _orders(sensors: Sensors) -> list[list[int]]:
    """The sensors in reverse, and beginning with each of them."""
    order = list(range(sensors.count))
    return [order[::-1], *(order[k:] + order[:k] for k in order)]


def _in_order(experts: "Experts", order: list[int]) -> "Experts":
    scores = None if experts.scores is None else experts.scores[order]
    return experts._replace(
        mean=experts.mean[order], logvar=experts.logvar[order], present=experts.present[order],
        scores=scores,
    )  # fmt: skip


@component(version="1", requires=("numpy", "safetensors", "scipy", "torch"))
def burst(
    sensors: Sensors,
    model: Path,
    *,
    frames: Annotated[int, Field(ge=3)] = 45,
    series: PositiveInt = 500,
    memory: Annotated[float, Field(ge=0, lt=1)] = 0.95,
    seed: Seed,
) -> Records:
    """Let the first sensor fail in the middle third of a series, and see who is trusted meanwhile.

    The state moves slowly (z_t = memory z_(t-1) + noise, of variance 1 at all times); every frame
    is fused by itself. Records, by ``frame``, ``burst_squared_error`` and
    ``burst_optimal_squared_error``, and of the failing sensor ``burst_credibility``,
    ``burst_share`` and ``burst_optimal_share``;
    and the means of error and share over the frames of the burst, ``squared_error_in_burst`` and
    ``share_in_burst``.

    Args:
        sensors: The sensors.
        model: Folder of a trained model.
        frames: Frames of a series.
        series: Series averaged over.
        memory: Correlation of the state with the one a frame before.
        seed: Seed of states and noise.
    """
    measure, records = Measuring(sensors, model), Records()
    random = np.random.default_rng(seed)
    state = random.standard_normal((series, sensors.latent))
    first, last = frames // 3, 2 * frames // 3
    shape = (series, sensors.count)
    during: dict[str, list[float]] = {"squared_error": [], "share": []}
    for frame in range(frames):
        failed = np.zeros(shape, bool)
        failed[:, FIRST_SENSOR] = first <= frame < last
        yes, added = np.ones(shape, bool), np.zeros(shape)
        told = {n: (v, u) for n, v, u in _measures(
            measure(draw(sensors, state, added, failed, yes, random))
        )}  # fmt: skip
        for name in ("squared_error", "optimal_squared_error", "credibility", "share",
                     "optimal_share"):  # fmt: skip
            records.add(f"burst_{name}", *told[name], frame=frame)
            if name in during and first <= frame < last:
                during[name].append(told[name][0])
        step = random.standard_normal(state.shape)
        state = memory * state + np.sqrt(1.0 - memory**2) * step
    for name, values in during.items():
        records.add(f"{name}_in_burst", float(np.mean(values)))
    return records
