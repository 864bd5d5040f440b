"""What happens to a sensor: swapped readings, errors and shares by fault, the study's claims."""

from pathlib import Path

import numpy as np
import pytest

from assay.core.claims import judge
from assay.core.component import describe
from assay.systems.product_of_experts import data, faults
from assay.systems.product_of_experts.data import Sensors, exact, sensor_readings, swap
from assay.systems.product_of_experts.evaluate import Compared
from assay.systems.product_of_experts.faults import (
    FAILED,
    NOISY,
    SOUND,
    SWAPPED,
    error_by_fault,
)
from assay.systems.product_of_experts.predict import Prediction
from assay.systems.product_of_experts.study_conditions import CONDITIONS, SAID, conditions
from assay.systems.product_of_experts.train import train_fusion

TWO = Sensors(np.array([[0.5], [1.0]]))
NO_MODEL = Path()


def measured_as(monkeypatch, share_of):
    """A fusion with the means of the exact posterior, as reported, and with shares as given."""
    seen = []

    class Exactly:
        def __init__(self, sensors, model):
            self.sensors = sensors

        def __call__(self, readings):
            seen.append(readings)
            best = exact(self.sensors, readings)
            share = share_of(readings, best)
            density = np.zeros(len(best.mean))
            found = Prediction(best.mean, best.sd, share, share, 1.0 - share.sum(0), density)
            return Compared(readings, found, best)

    monkeypatch.setattr(faults, "Measuring", Exactly)
    return seen


def table(**values):
    frame = error_by_fault(TWO, NO_MODEL, seed=0, **values).frame()
    return frame.set_index(["measure", "fault"])["value"]


def test_a_swapped_sensor_shows_all_that_the_one_of_the_sample_before_showed():
    plain = sensor_readings(TWO, samples=400, missing_chance=0.3, seed=4)
    swapped = np.random.default_rng(0).random((400, 2)) < 0.5

    found = swap(plain, swapped)

    assert np.array_equal(found.state, plain.state)
    for name in ("values", "added_sd", "failed", "present"):
        before, after = getattr(plain, name), getattr(found, name)
        assert np.array_equal(after[~swapped], before[~swapped], equal_nan=True)
        assert np.array_equal(after[swapped], np.roll(before, 1, 0)[swapped], equal_nan=True)
    assert np.isnan(found.values[~found.present]).all()
    assert not np.isnan(found.values[found.present]).any()


def test_swaps_come_as_often_as_asked_and_change_nothing_else():
    plain, swapped = (sensor_readings(TWO, samples=5000, missing_chance=0.0, swap_chance=c, seed=4)
                      for c in (0.0, 0.2))  # fmt: skip

    assert np.array_equal(plain.state, swapped.state)
    share = (plain.values != swapped.values).any(-1).mean()
    assert share == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / 10_000))


def test_errors_are_those_that_the_posterior_has(monkeypatch):
    """Precisions 1 of the prior, 4 and 1 of the sensors; noise of variance 3 leaves 1 / 3.25."""
    measured_as(monkeypatch, lambda readings, best: best.share * 0.5)

    value = table(samples=80_000, noise_sd=np.sqrt(3.0))

    for fault, precision in ((SOUND, 6.0), (NOISY, 2.0 + 1 / 3.25), (FAILED, 2.0)):
        assert value["squared_error", fault] == pytest.approx(1 / precision, rel=0.03)
        assert value["squared_error", fault] == value["optimal_squared_error", fault]
    assert value["optimal_squared_error", SWAPPED] == pytest.approx(1 / 2, rel=0.03)
    # mean (4 y_0 + y_1) / 6, y_0 = z' + e_0, y_1 = z + e_1: off by 5/6 z - 4/6 y_0 - 1/6 e_1
    wanted = (5 / 6) ** 2 + (4 / 6) ** 2 * (1 + 0.25) + (1 / 6) ** 2
    assert value["squared_error", SWAPPED] == pytest.approx(wanted, rel=0.03)


def test_a_share_finds_what_it_falls_for(monkeypatch):
    def share_of(readings, best):
        first = np.where(readings.failed[:, :1], 0.1, 0.4) + 0.0 * readings.added_sd[:, :1]
        return np.stack([first, np.full_like(first, 0.4)])

    measured_as(monkeypatch, share_of)
    value = table(samples=500)

    assert value["found_by_share", FAILED] == 1.0
    assert value["found_by_share", NOISY] == 0.5  # all shares are equal
    assert value["found_by_share", SWAPPED] == 0.5
    assert value["share", FAILED] == pytest.approx(0.2)  # .1 of .5
    assert value["share", SOUND] == pytest.approx(0.5)
    assert ("found_by_share", SOUND) not in value.index


def test_every_other_sample_is_struck_and_all_faults_have_the_same_states(monkeypatch):
    seen = measured_as(monkeypatch, lambda readings, best: best.share)
    error_by_fault(TWO, NO_MODEL, samples=21, noise_sd=2.0, seed=0)
    sound, noisy, failed, swapped = seen

    assert all(np.array_equal(sound.state, other.state) for other in seen)
    assert noisy.added_sd.tolist() == [[2.0 * (i % 2 == 0), 0.0] for i in range(21)]
    assert failed.failed.tolist() == [[i % 2 == 0, False] for i in range(21)]
    assert not swapped.failed.any()
    assert not swapped.added_sd.any()
    assert np.array_equal(swapped.values[1::2], sound.values[1::2])
    assert np.array_equal(swapped.values[:, 1], sound.values[:, 1])
    assert np.array_equal(swapped.values[2::2, 0], sound.values[1:-1:2, 0])


def test_a_trained_fusion_is_measured(step):
    sensors = data.sensors()
    readings = sensor_readings(sensors, samples=300, swap_chance=0.2, seed=0)
    fit = step("fit", train_fusion, sensors, readings, steps=10, batch=32, width=8, seed=0)

    frame = error_by_fault(sensors, fit.model, samples=100, seed=0).frame()

    assert len(frame) == 4 * 4 - 1
    assert np.isfinite(frame["value"]).all()


def test_the_usual_condition_is_what_sensors_and_readings_are_by_themselves():
    flow = conditions().flow
    parameters = describe(sensor_readings).params
    assert [parameters["samples"].default] == [value for _, value in CONDITIONS["usual"]]
    for changed in list(CONDITIONS.values())[1:]:
        for path, value in changed:
            step, name = path.split(".")
            component = {"several": data.sensors, "readings": sensor_readings}[step]
            assert describe(component).params[name].default != value
            assert name not in flow.steps[step].params


def simulated(error, found, share):
    """Records of five seeds as a run has them, with the values that are given."""
    import pandas as pd

    random, rows = np.random.default_rng(0), []
    for seed in range(5):
        for condition in CONDITIONS:
            for weighting in ("learned", "poe"):
                for objective in ("elbo", "likelihood"):
                    for fault in (SOUND, NOISY, FAILED, SWAPPED):
                        at = (condition, weighting, objective, fault)
                        jitter = 0.01 * random.normal()
                        for measure, value in (
                            ("squared_error", error(*at) * np.exp(jitter)),
                            ("found_by_share", found(*at) + 0.1 * jitter),
                            ("share", share(*at) + 0.1 * jitter),
                        ):
                            rows.append({
                                "measure": measure, "value": value, "unit": "1", "seed": seed,
                                "trial": len(rows), "condition": condition, "fault": fault,
                                "weighting": weighting, "objective": objective,
                            })  # fmt: skip
    return pd.DataFrame(rows)


def holding(error=lambda *_: 1.0, found=lambda *_: 0.5, share=lambda *_: 0.3):
    study = conditions()
    verdicts, _ = judge(study.claims, study.checks, simulated(error, found, share))
    return {v.id for v in verdicts if v.verdict == "holds"}


@pytest.mark.parametrize(("letter", "objective"), [("E", "elbo"), ("L", "likelihood")])
@pytest.mark.parametrize(("number", "condition"), list(enumerate(SAID, 1)))
def test_each_comparison_looks_at_its_condition_loss_and_fault(
    letter, objective, number, condition
):
    better = (condition, "learned", objective, SAID[condition][1])

    assert holding(lambda *at: 0.8 if at == better else 1.0) == {f"{letter}{number}"}
    assert holding(lambda *at: 0.8 if at[1:] == better[1:] else 1.0) >= {f"{letter}{number}"}
    assert holding(lambda *at: 1.3 if at == better else 1.0) == set()


def test_trust_is_judged_where_a_sensor_failed_and_detection_where_one_was_swapped():
    def at(condition, fault, value, otherwise):
        return lambda c, w, o, f: value if (c, w, f) == (condition, "learned", fault) else otherwise

    assert holding(share=at("often_failing", FAILED, 0.01, 0.3)) == {"D1"}
    assert holding(found=at("swapped", SWAPPED, 0.99, 0.5)) == {"D2"}
