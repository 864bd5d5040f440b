"""The sensors, their exact posterior, training towards it, and the study's components."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.core.task import task
from assay.errors import DataError
from assay.systems.product_of_experts import data, study
from assay.systems.product_of_experts.data import Readings, Sensors
from assay.systems.product_of_experts.evaluate import (
    burst,
    error_by_noise,
    misplaced_share,
    missing_sensors,
)
from assay.systems.product_of_experts.folders import read_model
from assay.systems.product_of_experts.model import FusionModel
from assay.systems.product_of_experts.predict import predict, seen_of
from assay.systems.product_of_experts.train import train_fusion

TWO = Sensors(np.array([[0.3], [0.6]]))
TINY = {"steps": 20, "batch": 32, "width": 8}


def readings_of(sensors, samples=400, seed=0, **values):
    return data.sensor_readings(sensors, samples=samples, seed=seed, **values)


# -- the world -------------------------------------------------------------------------------


@given(st.integers(0, 1000))
def test_the_posterior_is_that_of_the_joint_gaussian(seed):
    """By inverting the covariance of state and readings, which knows nothing of products."""
    random = np.random.default_rng(seed)
    sensors = Sensors(random.uniform(0.1, 1.0, (3, 1)))
    readings = readings_of(sensors, 20, seed, noise_chance=0.5, missing_chance=0.3)

    found = data.exact(sensors, readings)

    for k in range(20):
        kept = np.flatnonzero(readings.present[k] & ~readings.failed[k])
        noise = sensors.sd[kept, 0] ** 2 + readings.added_sd[k, kept] ** 2
        covariance = np.ones((len(kept), len(kept))) + np.diag(noise)
        gain = np.linalg.solve(covariance, np.ones(len(kept))) if len(kept) else np.zeros(0)
        assert found.mean[k, 0] == pytest.approx(gain @ readings.values[k, kept, 0], abs=1e-9)
        assert found.sd[k, 0] ** 2 == pytest.approx(1.0 - gain.sum(), abs=1e-9)
        assert found.share[:, k, 0].sum() == pytest.approx(float(len(kept) > 0))


def test_the_posterior_is_calibrated_on_what_is_drawn():
    sensors = data.sensors()
    readings = readings_of(sensors, 40_000)
    best = data.exact(sensors, readings)

    z = (readings.state - best.mean) / best.sd

    assert z.mean() == pytest.approx(0.0, abs=0.01)
    assert z.std() == pytest.approx(1.0, abs=0.01)


def test_noise_failures_and_gaps_come_as_often_as_asked_for():
    readings = readings_of(data.sensors(), 20_000, noise_chance=0.4, fail_chance=0.1,
                           missing_chance=0.2, largest_sd=2.0)  # fmt: skip

    assert (readings.added_sd > 0).mean() == pytest.approx(0.4, abs=0.01)
    assert readings.added_sd.max() <= 2.0
    assert readings.failed.mean() == pytest.approx(0.1, abs=0.01)
    assert readings.present.mean() == pytest.approx(0.8, abs=0.01)
    assert np.isnan(readings.values[~readings.present]).all()
    seen = readings.present & readings.failed
    correlation = np.corrcoef(readings.values[..., 0][seen], np.broadcast_to(
        readings.state[:, :1], seen.shape)[seen])[0, 1]  # fmt: skip
    assert abs(correlation) < 0.05


def test_equal_seeds_give_equal_readings_and_other_seeds_others():
    one, same, other = (readings_of(TWO, seed=seed) for seed in (1, 1, 2))

    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one.state, other.state)


def test_readings_of_other_sensors_are_refused():
    with pytest.raises(DataError, match=r"readings of \(2, 1\) numbers"):
        data.sensor_inputs(data.sensors(), readings_of(TWO))


def test_misplaced_trust_by_hand():
    share = np.array([[[0.2]], [[0.2]], [[0.4]]])  # .25, .25, .5 of the sensors together
    best = np.array([[[0.5]], [[0.25]], [[0.25]]])

    assert misplaced_share(share, best) == pytest.approx(0.25)
    assert misplaced_share(best * 0.5, best) == pytest.approx(0.0)
    assert misplaced_share(np.zeros_like(best), best) == pytest.approx(0.5)


# -- training --------------------------------------------------------------------------------


def test_learned_shares_come_within_five_percent_of_the_optimum(step):
    """One number, two sensors of known noise: the share is (1/s_m^2) / sum_k 1/s_k^2.

    Sensors have to fail at times, where a precision ends at 0: else one may take from its
    precision, at any noise, what the other adds, and no belief is any worse for it. None may be
    missing: weights that sum to 1 cannot be right for two sensors and for each of them alone.
    """
    readings = readings_of(
        TWO, 8000, noise_chance=0.7, fail_chance=0.2, missing_chance=0.0, largest_sd=1.0
    )
    fit = step(
        "shares", train_fusion, TWO, readings, weighting="learned", objective="likelihood",
        steps=300, width=16, batch=256, rate=2e-2, seed=0,
    )  # fmt: skip
    model, _ = read_model(fit.model)

    for added in ([0.0, 0.0], [0.5, 0.0], [0.0, 0.5], [0.8, 0.2]):
        sd = np.sqrt(TWO.sd[:, 0] ** 2 + np.square(added))
        best = sd**-2.0 / (sd**-2.0).sum()
        state, yes = np.random.default_rng(0).normal(size=(500, 1)), np.ones((500, 2), bool)
        drawn = data.draw(TWO, state, np.tile(added, (500, 1)), ~yes, yes,
                          np.random.default_rng(1))  # fmt: skip
        found = predict(model, seen_of(data.sensor_inputs(TWO, drawn), yes)).share.mean((1, 2))
        assert found / found.sum() == pytest.approx(best, abs=0.05)


@pytest.mark.parametrize("objective", ["elbo", "likelihood"])
def test_training_goes_on_after_a_kill_to_the_same_bits(step, objective, tmp_path):
    readings = readings_of(TWO)
    values = TINY | {"objective": objective, "random_subsets": 1, "seed": 3}

    one = step("whole", train_fusion, TWO, readings, **values)
    again = step("again", train_fusion, TWO, readings, **values)

    names = [(fit.model / "model.safetensors").read_bytes() for fit in (one, again)]
    assert names[0] == names[1]
    assert one.records == again.records


def test_the_card_says_which_noise_was_seen_and_warns_where_none_was(step):
    noisy = step("noisy", train_fusion, TWO, readings_of(TWO), **TINY, seed=0)
    clean = step("clean", train_fusion, TWO,
                 readings_of(TWO, noise_chance=0.0, fail_chance=0.0), **TINY, seed=0)  # fmt: skip

    said, warned = ((fit.model / "README.md").read_text() for fit in (noisy, clean))

    assert "largest added standard deviation" in said
    assert "No noise was seen in training" not in said
    assert "Noise seen in training: none." in warned
    assert "No noise was seen in training" in warned
    assert read_model(clean.model)[1].noise_seen == {}


@pytest.mark.parametrize("prior", ["none", "fixed", "weighted"])
def test_a_folder_gives_the_model_back(step, prior):
    fit = step(f"fit_{prior}", train_fusion, TWO, readings_of(TWO), prior=prior, **TINY, seed=0)
    readings = readings_of(TWO, 50, seed=9)
    seen = seen_of(data.sensor_inputs(TWO, readings), readings.present)

    one, other = (predict(read_model(fit.model)[0], seen) for _ in range(2))

    assert np.array_equal(one.mean, other.mean)
    assert np.abs(one.mean).max() > 0


@pytest.mark.parametrize("damage", ["config", "weights", "kind", "weighting"])
def test_a_folder_that_holds_something_else_is_refused(step, tmp_path, damage):
    fit = step(f"spoilt_{damage}", train_fusion, TWO, readings_of(TWO), **TINY, seed=0)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((fit.model / name).read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    changed = {"kind": {"model_type": "bert"}, "weighting": {"weighting": "poe"}}
    if damage in changed:
        (tmp_path / "config.json").write_text(json.dumps(config | changed[damage]))
    else:
        victim = {"config": "config.json", "weights": "model.safetensors"}[damage]
        (tmp_path / victim).write_bytes(b"{")

    with pytest.raises(DataError, match="holds no trained fusion model"):
        read_model(tmp_path)


# -- what the components measure ---------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(step):
    sensors = data.sensors()
    return sensors, step("shared", train_fusion, sensors, readings_of(sensors), **TINY, seed=0)


def test_noise_is_swept_with_the_optimum_beside_it(fitted):
    sensors, fit = fitted
    frame = error_by_noise(sensors, fit.model, levels=[0.0, 2.0], samples=4000, seed=0).frame()
    value = frame.set_index(["measure", "noised", "noise"])["value"]

    total = 1 + 1 / 0.2**2 + 2 / 0.6**2  # of every dimension, without noise added
    assert value["optimal_squared_error", "one", 0.0] == pytest.approx(1 / total, rel=0.05)
    entropy = 0.5 * np.log(2 * np.pi * np.e / total)
    assert value["optimal_nll", "all", 0.0] == pytest.approx(entropy, abs=0.02)
    assert value["squared_error", "one", 0.0] >= value["optimal_squared_error", "one", 0.0]
    assert value["optimal_share", "one", 2.0] < value["optimal_share", "one", 0.0] / 5
    assert set(frame[frame["noise"] == 0.0]["noisy"]) == {False}
    assert set(frame[frame["noise"] == 2.0]["noisy"]) == {True}
    gap = abs(value["coverage", "one", 2.0] - 0.95)
    assert value["coverage_gap", "one", 2.0] == pytest.approx(gap)


def test_every_subset_is_left_out_once_and_the_identities_hold(fitted):
    sensors, fit = fitted
    frame = missing_sensors(sensors, fit.model, samples=500, seed=0).frame()
    value = frame.set_index("measure")["value"]
    errors = frame[frame["measure"] == "missing_optimal_squared_error"].set_index("left")["value"]

    assert sorted(errors.index) == ["0", "0+1", "0+1+2", "0+2", "1", "1+2", "2", "none"]
    assert errors["none"] == pytest.approx(1.0, abs=0.1)
    assert errors["0+1+2"] < errors["0+1"] < errors["0"] < errors["none"]
    assert value["prior_distance"] == 0.0
    assert value["order_difference"] < 1e-4
    assert value["share_sum_error"] < 1e-5
    assert (frame[frame["measure"] == "missing_share"]["value"] == 0.0).all()
    some = frame[frame["some_missing"] == True]["left"].unique()  # noqa: E712 - nan elsewhere
    assert sorted(some) == ["0", "0+1", "0+2", "1", "1+2", "2"]


def test_a_claim_of_missing_sensors_takes_only_where_some_are_missing():
    of = {claim.id: claim.estimand.where for claim in study.sensors().claims}

    assert of["M1"]["some_missing"] is True
    assert of["S1"]["noisy"] is of["S1a"]["noisy"] is True


@pytest.mark.parametrize("part", ["mean", "logvar"])
def test_the_order_is_checked_in_means_and_log_variances(fitted, monkeypatch, part):
    """A fusion that looks at the first sensor in one of them, whichever stands there."""
    sensors, fit = fitted
    true = FusionModel.fused

    def crooked(self, experts):
        fused = true(self, experts)
        gaussian = fused.belief.components
        bent = gaussian._replace(**{part: getattr(gaussian, part) + experts.logvar[0]})
        return fused._replace(belief=fused.belief._replace(components=bent))

    monkeypatch.setattr(FusionModel, "fused", crooked)
    frame = missing_sensors(sensors, fit.model, samples=50, seed=0).frame()

    assert frame.set_index("measure")["value"]["order_difference"] > 1e-3


def test_the_threads_of_a_step_are_those_of_all_that_it_computes(fitted, monkeypatch):
    sensors, fit = fitted
    before, true, seen = torch.get_num_threads(), FusionModel.fused, []

    def watched(self, experts):
        seen.append(torch.get_num_threads())
        return true(self, experts)

    monkeypatch.setattr(FusionModel, "fused", watched)
    torch.set_num_threads(task().threads + 1)
    try:
        missing_sensors(sensors, fit.model, samples=20, seed=0)
    finally:
        torch.set_num_threads(before)

    assert set(seen) == {task().threads}


def test_a_sensor_fails_in_the_middle_third_only(fitted):
    sensors, fit = fitted
    frame = burst(sensors, fit.model, frames=9, series=300, seed=0).frame()
    share = frame[frame["measure"] == "burst_optimal_share"].sort_values("frame")["value"]

    assert (share[3:6] == 0.0).all()
    assert (share[:3] > 0.2).all()
    assert (share[6:] > 0.2).all()
    errors = frame[frame["measure"] == "burst_squared_error"].sort_values("frame")["value"]
    inside = frame[frame["measure"] == "squared_error_in_burst"]["value"].item()
    assert inside == pytest.approx(errors[3:6].mean())


def test_numbers_of_any_precision_can_be_predicted_from(fitted):
    sensors, fit = fitted
    model, _ = read_model(fit.model)
    readings = readings_of(sensors, 30, seed=5)
    single = data.sensor_inputs(sensors, readings)
    double = {name: values.astype(float) for name, values in single.items()}

    one, other = (predict(model, seen_of(i, readings.present)) for i in (single, double))

    assert np.array_equal(one.mean, other.mean)


def test_a_prediction_widens_by_what_the_output_adds(fitted):
    sensors, fit = fitted
    model, of = read_model(fit.model)
    readings: Readings = readings_of(sensors, 30, seed=5)
    seen = seen_of(data.sensor_inputs(sensors, readings), readings.present)

    belief, output = (predict(model, seen, output_sd=sd) for sd in (0.0, 0.5))

    assert of.output_sd == 0.2
    assert np.allclose(output.sd**2, belief.sd**2 + 0.25, rtol=1e-5)
    assert np.isnan(belief.log_density).all()
