"""Segmentation of drawn scenes: samples, scores under noise, a burst, what is left out, frames."""

import numpy as np
import pytest
import torch

from assay.errors import ParameterError
from assay.systems.product_of_experts import segmentation_evaluate as evaluate
from assay.systems.product_of_experts.figures_segmentation import COLOURS, _drawn, _painted
from assay.systems.product_of_experts.folders import (
    ImageConfiguration,
    new_image_model,
    write_image_model,
)
from assay.systems.product_of_experts.image_predict import ImagePrediction
from assay.systems.product_of_experts.manifest import load, read_manifest
from assay.systems.product_of_experts.study_surgical import LEVELS, segmentation
from assay.systems.product_of_experts.surgical_data import (
    MODALITIES,
    rendered_surgery,
    surgical_samples,
)

CHANNELS = {"rgb": 3, "flow": 2, "depth": 1, "render": 3}
LAYOUTS = {"rgb": "image", "flow": "flow", "depth": "depth", "render": "image"}


@pytest.fixture(scope="module")
def scenes(step):
    return step("scenes", rendered_surgery, sequences=4, frames=6, height=32, width=40,
                test_share=0.5, validation_share=0.0, flo=False, seed=3)  # fmt: skip


@pytest.fixture(scope="module")
def samples(step, scenes):
    return step("samples", surgical_samples, scenes)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A fusion of first weights, moved so that nothing in it is 0."""
    of = ImageConfiguration(
        channels=CHANNELS, size=(32, 40), latent=2, width=2, weighting="learned", prior="fixed",
        classes=4, spatial=True, layouts=LAYOUTS,
    )  # fmt: skip
    torch.manual_seed(0)
    net = new_image_model(of)
    with torch.no_grad():
        for values in net.parameters():
            values.add_(0.3 * torch.randn_like(values))
    folder = tmp_path_factory.mktemp("model") / "model"
    write_image_model(folder, net, of)
    return folder


def values_of(records):
    return records.frame()


# -- samples -----------------------------------------------------------------------------------


def test_arrays_have_their_channels_first_and_hold_what_was_drawn(scenes, samples):
    drawn, brought = (load(read_manifest(f / "manifest.jsonl"), "test") for f in (scenes, samples))

    assert brought.inputs["flow"].shape[1:] == (2, 32, 40)
    assert brought.inputs["depth"].shape[1:] == (1, 32, 40)
    for channel in (0, 1):
        assert np.array_equal(
            brought.inputs["flow"][:, channel], drawn.inputs["flow"][..., channel]
        )
    assert np.array_equal(brought.inputs["depth"][:, 0], drawn.inputs["depth"])
    for name in ("rgb", "render"):
        assert np.array_equal(brought.inputs[name], drawn.inputs[name])
    assert np.array_equal(brought.target, drawn.target)
    assert (brought.id, brought.group) == (drawn.id, drawn.group)


def test_some_of_the_modalities_can_be_taken(step, scenes):
    taken = step("taken", surgical_samples, scenes, modalities=["depth"])

    assert read_manifest(taken / "manifest.jsonl").modalities == ("depth",)
    with pytest.raises(ParameterError, match="modality 'sound'"):
        surgical_samples(scenes, modalities=["rgb", "sound"])
    with pytest.raises(ParameterError, match="no modality"):
        surgical_samples(scenes, modalities=[])


# -- noise -------------------------------------------------------------------------------------


def told(monkeypatch, value, share=None):
    """Every prediction tells what ``value`` makes of the inputs, as does every share."""

    def predicted(net, of, inputs, present, *, draws=1, seed=0):
        count = len(present)
        shares = np.full((4, count), 0.2) if share is None else share(inputs)
        return ImagePrediction(
            value(inputs, count), np.zeros((count, 32, 40)), np.full((4, count), 0.25), shares,
            1.0 - shares.sum(0),
        )  # fmt: skip

    monkeypatch.setattr("assay.systems.product_of_experts.image_predict.predict_images", predicted)


def test_what_is_told_is_scored_with_every_average_and_class(samples, model, monkeypatch):
    truth = load(read_manifest(samples / "manifest.jsonl"), "test").target
    told(monkeypatch, lambda inputs, count: truth)

    frame = values_of(evaluate.masks_by_noise(samples, model, levels=[0.0, 1.0], seed=0))

    for name in ("mean_iou", "mean_dice", "iou", "dice"):
        assert (frame[frame["measure"] == name]["value"] == 1.0).all()
    rows = frame[frame["measure"] == "iou"]
    assert set(rows["part"]) == {"shaft", "wrist", "clasper"}
    assert set(rows["average"]) == {"pooled", "per_frame"}
    assert set(rows["noised"]) == {"rgb", "flow", "depth", "render", "all"}


def test_a_score_by_hand(samples, model, monkeypatch):
    """All shaft told: its IoU is its share of the pixels, Dice 2 p / (1 + p), other parts 0."""
    truth = load(read_manifest(samples / "manifest.jsonl"), "test").target
    told(monkeypatch, lambda inputs, count: np.ones_like(truth))

    frame = values_of(evaluate.masks_by_noise(samples, model, levels=[0.0], seed=0))
    rows = frame[(frame["average"] == "pooled") & (frame["noised"] == "all")]
    value = rows.set_index(["measure", "part"])["value"]

    share = float((truth == 1).mean())
    assert value["iou", "shaft"] == pytest.approx(share)
    assert value["dice", "shaft"] == pytest.approx(2 * share / (1 + share))
    assert value["iou", "wrist"] == value["iou", "clasper"] == 0.0
    mean = rows[rows["measure"] == "mean_iou"]["value"].item()
    assert mean == pytest.approx(share / 3)  # the background does not count


@pytest.mark.parametrize("noised", ["rgb", "flow", "depth", "render"])
def test_noise_falls_on_the_modality_named_and_is_as_strong_as_asked(samples, model, noised):
    measure = evaluate.Measuring(samples, model, "test")
    clean = measure.samples.inputs

    shown = measure.with_noise(noised, evaluate.NOISES, 0.25, 0)

    for name in MODALITIES:
        assert np.array_equal(shown[name], clean[name]) is (name != noised)
    apart = shown[noised] - clean[noised]
    if noised == "depth":
        apart = apart / clean["depth"]
    if noised in ("depth", "flow"):  # in [0, 1] noise is cut off
        assert apart.std() == pytest.approx(0.25, rel=0.05)
    everywhere = measure.with_noise("all", evaluate.NOISES, 0.25, 0)
    assert not any(np.array_equal(everywhere[name], clean[name]) for name in MODALITIES)
    assert np.array_equal(everywhere[noised], shown[noised])


def test_order_is_the_rank_correlation_of_trust_with_noise(samples, model, monkeypatch):
    clean = load(read_manifest(samples / "manifest.jsonl"), "test").inputs["rgb"]

    def share(inputs):
        """The share of the colours falls with their distance from the clean ones."""
        shares = np.full((4, len(inputs["rgb"])), 0.1)
        shares[0] = 0.5 / (1.0 + np.abs(inputs["rgb"] - clean).mean())
        return shares

    told(monkeypatch, lambda inputs, count: np.zeros((count, 32, 40), np.int64), share)
    frame = values_of(evaluate.masks_by_noise(samples, model, levels=[0.0, 0.2, 1.0], seed=0))
    order = frame[frame["measure"] == "share_order"].set_index("noised")["value"]

    assert order.to_dict() == {"rgb": pytest.approx(-1.0)}  # the others do not vary
    first = frame[(frame["measure"] == "share") & (frame["noised"] == "rgb")]
    assert first["value"].iloc[0] == pytest.approx(0.5 / 0.8)  # of what the modalities do


# -- what is left ------------------------------------------------------------------------------


def test_each_modality_is_left_out_and_left_alone(samples, model):
    frame = values_of(evaluate.masks_without(samples, model))

    left = set(frame["left"].dropna())
    assert left == {
        "rgb", "flow", "depth", "render", "rgb+flow+depth", "rgb+flow+render", "rgb+depth+render",
        "flow+depth+render", "rgb+flow+depth+render",
    }  # fmt: skip
    value = frame.set_index("measure")["value"]
    assert value["share_sum_error"] < 1e-5
    assert value["missing_share"] == 0.0


# -- a burst -----------------------------------------------------------------------------------


def test_a_burst_is_the_middle_third_and_alike_in_its_frames():
    frames = np.tile(np.random.default_rng(0).random((1, 3, 16, 16)), (9, 1, 1, 1))

    found = evaluate.in_burst(frames, "smoke", 1.0, np.random.default_rng(1))

    changed = np.abs(found - frames).max((1, 2, 3)) > 0
    assert changed.tolist() == [False] * 3 + [True] * 3 + [False] * 3
    assert np.array_equal(found[3], found[4])
    assert np.array_equal(found[3], found[5])
    assert np.array_equal(frames[0], frames[3])  # what was given is as it was


def test_trust_is_told_over_time_and_its_change_by_the_burst(samples, model, monkeypatch):
    clean = load(read_manifest(samples / "manifest.jsonl"), "test").inputs["rgb"]

    def share(inputs):
        shares = np.full((4, len(inputs["rgb"])), 0.2)
        shares[0] = np.where(np.abs(inputs["rgb"] - clean).max((1, 2, 3)) > 0, 0.1, 0.4)
        return shares

    told(monkeypatch, lambda inputs, count: np.ones((count, 32, 40), np.int64), share)
    frame = values_of(evaluate.masks_in_a_burst(samples, model, seed=0))
    value = frame[frame["measure"] == "burst_share"].sort_values("frame")["value"].to_numpy()

    assert value == pytest.approx([0.4, 0.4, 1 / 7, 1 / 7, 0.4, 0.4])
    change = frame.set_index("measure")["value"]
    assert change["share_change"] == pytest.approx(1 / 7 - 0.4)
    assert change["credibility_change"] == pytest.approx(0.0)
    assert len(frame[frame["measure"] == "burst_mean_iou"]) == 6


def test_of_a_modality_that_a_model_does_not_see_there_is_no_burst(step, samples, model):
    assert not len(evaluate.masks_in_a_burst(samples, model, noised="sound", seed=0))


# -- figures and study -------------------------------------------------------------------------


def test_frames_are_kept_with_their_masks_and_drawn(step, samples, model):
    made = step("examples", evaluate.example_frames, samples, model, levels=[0.0, 1.0], count=2,
                seed=0)  # fmt: skip
    with np.load(made.examples / "examples.npz") as kept:
        of = {name: kept[name] for name in kept.files}
    told = made.records.frame().set_index("noise")["value"]

    assert of["shown"].shape == (2, 2, 32, 40, 3)
    assert of["found"].shape == (2, 2, 32, 40)
    assert not np.array_equal(of["shown"][0], of["shown"][1])
    assert told[[0.0, 1.0]].tolist() == pytest.approx(np.nanmean(of["iou"], 1).tolist())
    drawing = _drawn(of)
    assert len(drawing.axes) == 2 * 5
    assert [a.get_ylabel() for a in drawing.axes[::2]] == [
        "truth", "noise 0", "told at 0", "noise 1", "told at 1",
    ]  # fmt: skip


def test_classes_have_colours_of_their_own():
    painted = _painted(np.array([[0, 1, 2, 3, 9]]))

    assert np.array_equal(painted[0, :4], COLOURS)
    assert painted[0, 4].tolist() == [1.0, 1.0, 1.0]


def test_claims_look_at_levels_that_are_measured():
    study = segmentation()
    levels = {c.estimand.where["noise"] for c in study.claims if "noise" in c.estimand.where}

    assert levels == set(LEVELS)
    assert study.flow.steps["swept"].params["levels"] == list(LEVELS)
    of = {claim.id: claim for claim in study.claims}
    assert of["N4"].margin == -0.05
    assert of["B4"].margin == 0.0
    assert of["C2"].direction == "below"
