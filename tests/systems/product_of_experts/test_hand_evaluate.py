"""Errors and trust of a fusion on drawn hands, by hand calculation on models that say one thing."""

import numpy as np
import pytest
import torch

from assay.errors import DataError, ParameterError
from assay.systems.product_of_experts.folders import (
    ImageConfiguration,
    new_image_model,
    write_image_model,
)
from assay.systems.product_of_experts.hand_data import hands_from_rhd, rendered_hands
from assay.systems.product_of_experts.hand_evaluate import (
    ALL,
    example_hands,
    hand_error_by_noise,
    hands_without,
)
from assay.systems.product_of_experts.hand_folders import read_labels
from assay.systems.product_of_experts.image_samples import image_samples, manifest_of_folder
from assay.systems.product_of_experts.study_hand_pose import LEVELS, hand_pose

CHANNELS = {"color": 3, "depth": 1, "mask": 1}
LAYOUTS = {"color": "image", "depth": "depth", "mask": "image"}


@pytest.fixture(scope="module")
def hands(step):
    """Twelve drawn hands of people to train on, twelve of others."""
    folder = step(
        "drawn", rendered_hands, training=12, evaluation=12, people=2, evaluation_people=2, seed=5
    )
    return step("hands", hands_from_rhd, folder, size=32, depth_grain=1)


def model_at(folder, *, hears=(), weighting="uniform", **values):
    """A model that tells one hand of everything, but for the modalities that it hears."""
    of = ImageConfiguration(
        channels=CHANNELS, size=(32, 32), latent=2, width=2, weighting=weighting, prior="fixed",
        points=21, output_sd=0.3, layouts=LAYOUTS, **values,
    )  # fmt: skip
    torch.manual_seed(2)
    model = new_image_model(of)
    for name in hears:
        torch.nn.init.normal_(model.encoders[name].last.weight, std=0.1)
    write_image_model(folder, model, of)
    return folder


def told(records, measure, **keys):
    found = [
        row["value"] for row in records
        if row["measure"] == measure and all(row.get(k) == v for k, v in keys.items())
    ]  # fmt: skip
    assert len(found) == 1, (measure, keys, len(found))
    return found[0]


def test_the_error_is_in_mm_over_visible_key_points(hands, tmp_path):
    """Of a model that always tells the same, point by point and hand by hand."""
    folder = model_at(tmp_path)
    from assay.systems.product_of_experts.folders import read_image_model

    constant = read_image_model(folder)[0].decoders["points"](torch.zeros(2)).detach().numpy()
    samples = image_samples(manifest_of_folder(hands), "test")
    labels = read_labels(hands)
    each: list[list[float]] = [[] for _ in range(21)]
    for name, target in zip(samples.id, samples.target, strict=True):
        row = labels.id.index(name)
        for point in range(21):
            if labels.visible[row, point]:
                apart = np.linalg.norm(constant[point] - target[point])
                each[point].append(1000 * labels.scale_m[row] * apart)
    by_hand = np.mean([np.mean(errors) for errors in each if errors])

    records = hand_error_by_noise(hands, folder, levels=[0.0, 1.0], draws=1, seed=1)

    assert told(records, "epe_mm", noised="depth", noise=0.0) == pytest.approx(by_hand, rel=1e-5)
    assert told(records, "epe_mm", noised=ALL, noise=1.0) == pytest.approx(by_hand, rel=1e-5)
    assert told(records, "beside_missing", noised="depth", noise=1.0) == pytest.approx(0, abs=1e-6)
    assert {row["unit"] for row in records if row["measure"] == "epe_mm"} == {"mm"}


def test_only_the_modality_named_is_noised(hands, tmp_path):
    deaf = model_at(tmp_path / "deaf", hears=("color",))
    hearing = model_at(tmp_path / "hearing", hears=("depth",))

    records = [
        hand_error_by_noise(hands, model, levels=[0.0, 1.0], draws=1, seed=1)
        for model in (deaf, hearing)
    ]

    for found, moves in zip(records, (False, True), strict=True):
        apart = [told(found, "epe_mm", noised="depth", noise=n) for n in (0.0, 1.0)]
        assert (apart[0] != apart[1]) == moves
        assert told(found, "epe_mm", noised=ALL, noise=0.0) == apart[0]
        assert told(found, "epe_mm", noised=ALL, noise=1.0) != apart[0]


def test_weights_that_see_nothing_have_no_order(hands, tmp_path):
    """Equal weights are 1/3 at every noise; new experts are all alike, so the shares are too."""
    records = hand_error_by_noise(
        hands, model_at(tmp_path), levels=[0.0, 0.5, 1.0], draws=1, seed=1
    )

    for level in (0.0, 0.5, 1.0):
        for measure in ("credibility", "share"):
            value = told(records, measure, noised="depth", noise=level)
            assert value == pytest.approx(1 / 3, abs=1e-6)
    assert not [row for row in records if row["measure"].endswith("_order")]
    assert not [row for row in records if row["measure"] == "share" and row["noised"] == ALL]


def test_the_order_of_trust_is_its_rank_correlation_with_the_noise(hands, tmp_path):
    model = model_at(tmp_path, hears=("depth",), weighting="poe")
    levels = [0.0, 0.3, 0.6, 1.0]

    records = hand_error_by_noise(hands, model, levels=levels, draws=1, seed=1)

    shares = [told(records, "share", noised="depth", noise=level) for level in levels]
    ranks = np.argsort(np.argsort(shares))
    spearman = 1 - 6 * np.square(ranks - np.arange(4)).sum() / (4 * 15)
    assert told(records, "share_order") == pytest.approx(spearman)


def test_intervals_hold_what_they_should(hands, tmp_path):
    """All of them with an output so uncertain, next to none with one so certain."""
    for sd, low, high in ((30.0, 0.999, 1.0), (1e-3, 0.0, 0.3)):
        of_sd = tmp_path / str(sd)
        model = model_at(of_sd)
        config = (model / "config.json").read_text().replace("0.3", str(sd))
        (model / "config.json").write_text(config)
        records = hand_error_by_noise(hands, model, levels=[0.0], draws=2, seed=1)
        assert low <= told(records, "coverage", noised="depth", noise=0.0) <= high


def test_every_subset_of_the_modalities_is_tried(hands, tmp_path):
    records = hands_without(hands, model_at(tmp_path, hears=("depth",), weighting="learned"))

    found = {row["left"]: row["value"] for row in records if row["measure"] == "missing_epe_mm"}
    assert len(found) == 7
    assert found["color"] == found["mask"] == found["color+mask"]  # they are not heard
    assert found["depth"] != found["color"]
    assert told(records, "missing_share") == 0.0
    assert told(records, "share_sum_error") < 1e-5


def test_early_fusion_has_errors_and_no_shares(hands, tmp_path):
    model = model_at(tmp_path, weighting="poe", early=True)

    swept = hand_error_by_noise(hands, model, levels=[0.0], draws=1, seed=1)
    without = hands_without(hands, model)

    assert {row["measure"] for row in swept} >= {"epe_mm", "auc", "coverage", "beside_missing"}
    assert not {row["measure"] for row in swept} & {"share", "credibility"}
    assert len([row for row in without if row["measure"] == "missing_epe_mm"]) == 7


def test_examples_lie_where_the_hand_is(hands, tmp_path):
    """The truth, brought into the picture by the camera alone, lies on the drawn outline."""
    made = example_hands(hands, model_at(tmp_path), count=12, levels=[0.0, 1.0], seed=1)

    with np.load(made.examples / "examples.npz") as kept:
        of = {name: kept[name] for name in kept.files}
    masks = image_samples(manifest_of_folder(hands), "test").inputs["mask"][:, 0]
    labels = read_labels(hands)
    seen = labels.visible[[labels.id.index(n) for n in labels.id if n.startswith("test")]]
    at = np.rint(of["truth"]).astype(int)
    assert of["color"].shape == (12, 32, 32, 3)
    inside = ((at >= 0) & (at < 32)).all(-1) & seen
    on_hand = [
        masks[hand, at[hand, point, 1], at[hand, point, 0]] > 0
        for hand, point in np.argwhere(inside)
    ]
    assert len(on_hand) > 100
    assert np.mean(on_hand) > 0.95
    assert np.array_equal(of["found"][0], of["found"][1])  # the model hears nothing
    assert (of["shown"][0] != of["shown"][1]).any((1, 2)).all()
    assert of["error_mm"].shape == of["share"].shape == (2, 12)
    recorded = [row["value"] for row in made.records]
    assert recorded == pytest.approx(of["error_mm"].mean(1))


def test_what_is_not_there_is_named(hands, tmp_path):
    model = model_at(tmp_path)

    with pytest.raises(ParameterError, match="no modality 'flow'; expected color, depth, mask"):
        hand_error_by_noise(hands, model, noised="flow", levels=[1.0], seed=1)
    with np.load(hands / "labels.npz") as kept:
        arrays = dict(kept)
    arrays["id"] = np.array([name.upper() for name in arrays["id"]])
    other = tmp_path / "other"
    other.mkdir()
    for part in ("color", "depth", "mask", "target", "manifest.jsonl"):
        (other / part).symlink_to(hands / part)
    np.savez(other / "labels.npz", **arrays)
    with pytest.raises(DataError, match=r"labels\.npz: nothing of sample 'test_00000'"):
        hands_without(other, model)


def test_the_study_asks_at_every_level_of_noise():
    study = hand_pose()

    claims = {claim.id: claim for claim in study.claims}
    for k, level in enumerate(LEVELS):
        for name, margin in ((f"N{k}", 0.05), (f"B{k}", 0.0)):
            assert claims[name].margin == margin
            assert claims[name].direction == "below"
            assert claims[name].estimand.where == {"noise": level, "noised": "depth"}
            assert (claims[name].estimand.a, claims[name].estimand.b) == ("learned", "poe")
    assert claims["C2"].margin == -0.9
