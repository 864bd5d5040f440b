"""What a changed fusion is worth: its error and whom it trusts, whatever its latent state is.

Unlike `evaluate.error_by_noise` this asks nothing of the latent state, which may be of any size:
the error is that of the state decoded from the mean, and a share is averaged over the latent state.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.core.task import task
from assay.systems.product_of_experts.data import Sensors, draw, exact, sensor_inputs
from assay.systems.product_of_experts.evaluate import FIRST_SENSOR, among_sensors

__all__ = ["error_of_variant"]


@component(version="1", requires=("numpy", "safetensors", "torch"))
def error_of_variant(
    sensors: Sensors,
    model: Path,
    *,
    levels: list[Annotated[float, Field(ge=0)]] = [0.0, 0.5, 1.0, 2.0, 3.0],  # noqa: B006
    samples: PositiveInt = 2000,
    seed: Seed,
) -> Records:
    """Add noise to one sensor, then to all.

    Records, by ``noised`` (``one`` or ``all``) and ``noise``, the added standard deviation:
    ``squared_error`` of a number of the state and ``optimal_squared_error``, that of the exact
    posterior; and, of the noised sensor (the first), ``credibility``, its weight, and ``share``,
    what it contributes of what the sensors do, both averaged over the latent state.

    Args:
        sensors: The sensors.
        model: Folder of a trained model.
        levels: Standard deviations of the noise added, in units of the prior's.
        samples: States at each level.
        seed: Seed of states and noise.
    """
    import torch

    from assay.parts.training.torch_state import own_threads
    from assay.systems.product_of_experts.folders import read_model
    from assay.systems.product_of_experts.predict import seen_of

    net, records = read_model(model)[0], Records()
    shape = (samples, sensors.count)
    no, yes = np.zeros(shape, bool), np.ones(shape, bool)
    for noised in ("one", "all"):
        for level in levels:
            random = np.random.default_rng(seed)  # every level has the same states
            state = random.standard_normal((samples, sensors.latent))
            added = np.zeros(shape)
            added[:, FIRST_SENSOR if noised == "one" else slice(None)] = level
            readings = draw(sensors, state, added, no, yes, random)
            with own_threads(task().threads), torch.inference_mode():
                fused = net.belief(seen_of(sensor_inputs(sensors, readings), yes))
                found = net.decode(fused.gaussian.mean)["state"].double().numpy()
            best = exact(sensors, readings).mean
            share = among_sensors(fused.share.double().numpy())
            for name, value in (
                ("squared_error", ((state - found) ** 2).mean()),
                ("optimal_squared_error", ((state - best) ** 2).mean()),
                ("credibility", fused.weight[FIRST_SENSOR].mean()),
                ("share", share[FIRST_SENSOR].mean()),
            ):
                records.add(name, float(value), noised=noised, noise=level)
    return records
