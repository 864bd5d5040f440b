"""Sensors that are masked or shown as noise: what is measured, and what the study states."""

from pathlib import Path

import numpy as np
import pytest

from assay.core.claims import judge
from assay.systems.product_of_experts import absence, data
from assay.systems.product_of_experts.absence import MASK, NOISE, absent_sensors
from assay.systems.product_of_experts.data import Sensors, exact
from assay.systems.product_of_experts.evaluate import Compared
from assay.systems.product_of_experts.predict import Prediction
from assay.systems.product_of_experts.study_missing import TRAINED, missing_modalities
from assay.systems.product_of_experts.train import train_fusion

TWO = Sensors(np.array([[0.5], [1.0]]))
NO_MODEL = Path()


def measured_as(monkeypatch, share_of):
    """A fusion whose means are those of the exact posterior, and whose shares are as given."""

    class Exactly:
        def __init__(self, sensors, model):
            self.sensors = sensors

        def __call__(self, readings):
            best = exact(self.sensors, readings)
            share = share_of(readings, best)
            return Compared(
                readings,
                Prediction(
                    best.mean, best.sd, share, share, 1.0 - share.sum(0), np.zeros(len(best.mean))
                ),
                best,
            )

    monkeypatch.setattr(absence, "Measuring", Exactly)


def table(**values):
    frame = absent_sensors(TWO, NO_MODEL, seed=0, **values).frame()
    return frame.set_index(["measure", "left", "absent_as"])["value"], frame


def test_the_exact_posterior_has_no_excess_and_errs_as_its_variance_says(monkeypatch):
    """Precisions 1 of the prior, 4 and 1 of the sensors."""
    measured_as(monkeypatch, lambda readings, best: best.share * 0.5)

    value, frame = table(samples=40_000)

    assert (frame[frame["measure"] == "excess_error"]["value"] == 0.0).all()
    for way in (MASK, NOISE):
        for left, precision in (("none", 1), ("0", 5), ("1", 2), ("0+1", 6)):
            assert value["squared_error", left, way] == pytest.approx(1 / precision, rel=0.05)
    assert (frame[frame["measure"] == "misplaced_share"]["value"] == 0.0).all()
    assert (frame[frame["measure"] == "absent_share"]["value"] == 0.0).all()


def test_trust_in_what_is_absent_is_a_part_of_what_the_sensors_do(monkeypatch):
    """Shares .1 and .4, the prior .5: of what sensors do .2 and .8."""
    given = np.array([0.1, 0.4])[:, None, None]
    measured_as(monkeypatch, lambda readings, best: given + 0.0 * best.share)

    value, _ = table(samples=50)

    assert value["absent_share", "1", NOISE] == pytest.approx(0.2)
    assert value["absent_share", "0", NOISE] == pytest.approx(0.8)
    assert value["misplaced_share", "1", NOISE] == pytest.approx(0.2)
    assert value["lonely_prior_share", "none", MASK] == pytest.approx(0.5)
    assert ("absent_share", "0+1", NOISE) not in value.index
    assert ("absent_share", "none", NOISE) not in value.index


def test_both_ways_show_the_same_states_and_only_the_absent_sensors_differ(monkeypatch):
    seen = []

    def share_of(readings, best):
        seen.append(readings)
        return best.share

    measured_as(monkeypatch, share_of)
    absent_sensors(TWO, NO_MODEL, samples=30, seed=0)

    assert len(seen) == 2 * 4
    for masked, noisy in zip(seen[::2], seen[1::2], strict=True):
        assert np.array_equal(masked.state, noisy.state)
        assert not masked.failed.any()
        assert noisy.present.all()
        assert np.array_equal(masked.present, ~noisy.failed)
        there = masked.present
        assert np.array_equal(masked.values[there], noisy.values[there])


def test_a_trained_fusion_is_measured_and_its_masks_are_exact(step):
    sensors = data.sensors()
    readings = data.sensor_readings(sensors, samples=300, seed=0)
    fit = step("fit", train_fusion, sensors, readings, steps=10, batch=32, width=8, seed=0)

    frame = absent_sensors(sensors, fit.model, samples=100, seed=0).frame()
    masked = frame[frame["absent_as"] == MASK].set_index("measure")["value"]

    assert (masked["absent_share"] == 0.0).all()
    assert masked["lonely_prior_share"] == 1.0
    noisy = frame[(frame["absent_as"] == NOISE) & (frame["measure"] == "absent_share")]["value"]
    assert (noisy > 0).all()
    assert len(noisy) == 6  # of 8 subsets of three sensors all but none and all


def test_the_ways_of_training_are_what_they_are_called():
    for name, (masked, failed) in TRAINED.items():
        assert (masked > 0) is (name in ("masks", "both"))
        assert (failed > 0) is (name in ("noise", "both"))
    decision = missing_modalities().decisions["training"]
    for name, patches in decision.options:
        values = {patch.path: patch.value for patch in patches}
        both = values["readings.missing_chance"], values["readings.fail_chance"]
        assert both == TRAINED[name]
    assert missing_modalities().flow.steps["readings"].params["noise_chance"] == 0.0


def simulated(error):
    """Records of five seeds as a run has them, with the error that is given."""
    import pandas as pd

    random, rows = np.random.default_rng(0), []
    for seed in range(5):
        for weighting in ("learned", "poe"):
            for training in TRAINED:
                for way in (MASK, NOISE):
                    value = error(weighting, training, way) * np.exp(0.01 * random.normal())
                    rows.append({
                        "measure": "squared_error", "value": value, "unit": "1", "seed": seed,
                        "trial": len(rows), "weighting": weighting, "training": training,
                        "absent_as": way, "some_missing": True, "left": "0",
                    })  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("holds", "error"),
    [
        ({"N2", "N6", "N7"}, lambda *_: 1.0),
        ({"N3", "N6", "N7"}, lambda w, t, way: 3.0 if way == NOISE else 1.0),
        ({"N2", "N4", "N6", "N7"}, lambda w, t, way: 2.0 if (w, t) == ("learned", "whole") else 1),
        ({"N2", "N5", "N6", "N7"}, lambda w, t, way: 2.0 if (w, t) == ("poe", "whole") else 1),
        ({"N2", "N7"}, lambda w, t, way: 2.0 if (w, t) == ("learned", "masks") else 1),
        ({"N2", "N6"}, lambda w, t, way: 2.0 if (w, t) == ("learned", "noise") else 1),
    ],
)
def test_each_claim_looks_at_what_it_says(holds, error):
    study = missing_modalities()

    verdicts, _ = judge(study.claims, study.checks, simulated(error))
    found = {v.id: v.verdict for v in verdicts}

    others = {"N2", "N3", "N4", "N5", "N6", "N7"} - holds
    assert {name for name in found if found[name] == "holds"} == holds
    assert all(found[name] in ("fails", "undecided") for name in others)
    assert found["N1"] == "not tested"
