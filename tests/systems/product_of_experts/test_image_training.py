"""Training on a manifest: noise by sample and epoch, what is refused, and the folder it leaves."""

import csv
import json

import numpy as np
import pytest
import torch
from torch import nn

from assay.errors import AssayError, DataError
from assay.systems.product_of_experts.folders import (
    ImageConfiguration,
    new_image_model,
    read_image_model,
    read_model,
    write_image_model,
)
from assay.systems.product_of_experts.image_predict import predict_images, predict_on_manifest
from assay.systems.product_of_experts.image_training import (
    Noise,
    _batches,
    corrupted,
    left_after,
    train_on_manifest,
)
from assay.systems.product_of_experts.manifest import Entry, write_manifest
from assay.systems.product_of_experts.objective import Objective
from assay.systems.product_of_experts.pictures import write_png
from assay.systems.product_of_experts.samples import Samples

CONFIG = {"channels": {"x": 1, "y": 2}, "size": (8, 8), "latent": 2, "width": 2, "prior": "none"}
QUICK = {"steps": 4, "batch": 4, "width": 2, "latent": 2, "seed": 3}


def corners(root, count=16, *, kind="points", without=()):
    """A bright corner of a grey picture and the same in depth; its place, or its mask, is told."""
    entries = []
    for folder in ("pic", "depth", "target"):
        (root / folder).mkdir(parents=True)
    for k in range(count):
        row, column = k % 2 * 4, k // 2 % 2 * 4
        mask = np.zeros((8, 8), np.uint8)
        mask[row : row + 4, column : column + 4] = 1
        name = f"s{k:02d}"
        files = {"pic": root / f"pic/{name}.png", "depth": root / f"depth/{name}.npy"}
        write_png(files["pic"], mask * np.uint8(255))
        np.save(files["depth"], 1.0 + mask[None].astype(np.float32))
        if kind == "points":
            target = root / f"target/{name}.npy"
            np.save(target, np.array([[row / 2 - 1, column / 2 - 1, 1.0]], np.float32))
        else:
            target = root / f"target/{name}.png"
            write_png(target, mask)
        if k in without:
            del files["depth"]
        entries.append(Entry(name, "train" if k < count // 2 else "test", name, files, target))
    write_manifest(root, entries)
    return root


def samples_of(count=6):
    random = np.random.default_rng(0)
    inputs = {
        name: random.uniform(0.2, 0.8, (count, 1, 8, 8)).astype(np.float32) for name in ("x", "y")
    }
    present = {name: np.ones(count, bool) for name in inputs}
    ids = tuple(map(str, range(count)))
    return Samples(inputs, present, np.zeros((count, 1, 3), np.float32), ids, ids)


# -- noise of training ----------------------------------------------------------------------------


def noise_of(**values) -> Noise:
    layouts = {"x": "image", "y": "image"}
    given = {"kinds": {"x": ["gaussian", "occlusion"]}, "chance": 1.0, "largest": 1.0} | values
    return Noise(given["kinds"], layouts, given["chance"], given["largest"], 0.0)


def test_the_noise_of_a_sample_depends_on_seed_epoch_and_sample_alone():
    samples = samples_of()

    one = corrupted(samples, np.array([4, 1]), noise_of(), 7, 2)["x"]
    other = corrupted(samples, np.array([1, 0, 4]), noise_of(), 7, 2)["x"]

    assert np.array_equal(one[0], other[2])
    assert np.array_equal(one[1], other[0])
    for seed, epoch in ((8, 2), (7, 3)):
        again = corrupted(samples, np.array([4, 1]), noise_of(), seed, epoch)["x"]
        assert not np.array_equal(one[0], again[0])


def test_what_is_not_to_be_corrupted_stays_as_it_is():
    samples, rows = samples_of(), np.arange(6)
    missing = samples._replace(present={**samples.present, "x": np.arange(6) > 2})

    found = corrupted(missing, rows, noise_of(), 7, 0)

    assert np.array_equal(found["y"], samples.inputs["y"])
    assert np.array_equal(found["x"][:3], samples.inputs["x"][:3])
    assert all((found["x"][k] != samples.inputs["x"][k]).any() for k in (3, 4, 5))
    for quiet in (noise_of(chance=0.0), noise_of(largest=0.0)):
        assert np.array_equal(corrupted(samples, rows, quiet, 7, 0)["x"], samples.inputs["x"])


def test_every_kind_named_is_drawn_for_some():
    """Of noise every pixel moves, of a dropped picture all are 0."""
    samples = samples_of(40)

    found = corrupted(samples, np.arange(40), noise_of(kinds={"x": ["gaussian", "dropout"]}), 1, 0)

    zeros = (found["x"] == 0).all((1, 2, 3))
    noisy = (found["x"] != samples.inputs["x"]).any((1, 2, 3)) & ~zeros
    assert 4 <= zeros.sum() <= 20  # 20 in expectation for the kind, of which half is dropped
    assert 12 <= noisy.sum() <= 28


def test_modalities_are_left_out_at_their_chance_and_one_always_stays():
    present = np.ones((20_000, 3), bool)
    present[:1000, 0] = False

    kept = left_after(present, np.arange(20_000), 0.5, 3, 0)

    assert not (kept & ~present).any()
    assert kept.any(1).all()
    # of 3 that are there, each is out with chance 1/2, less 1/3 of the 1/8 where all would be
    assert kept[1000:].mean() == pytest.approx(1 - (0.5 - 0.125 / 3), abs=0.01)
    assert np.array_equal(left_after(present, np.arange(5), 0.0, 3, 0), present[:5])
    alike = left_after(present, np.array([9, 5]), 0.5, 3, 0)
    assert np.array_equal(alike, kept[[9, 5]])


def test_a_batch_depends_on_its_step_alone():
    """So that a training that was killed goes on as it would have."""
    samples, wanted = samples_of(), {"points": np.zeros((6, 1, 3), np.float32)}
    of = ImageConfiguration(**CONFIG, weighting="poe", points=1)

    def batches():
        return _batches(samples, wanted, noise_of(), Objective(), of, 9, 2, seed=5)

    in_order = batches()
    each = [in_order(step)[0] for step in range(8)]
    late = batches()(7)[0]
    for name in ("x", "y"):
        assert torch.equal(late["seen"][name], each[7]["seen"][name])
    assert not torch.equal(each[6]["seen"]["x"], each[7]["seen"]["x"])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"corruptions": {"flow": ["gaussian"]}}, "corruptions of 'flow': no such modality"),
        ({"corruptions": {"pic": ["gausian"]}}, "corruptions of 'pic': no 'gausian'"),
        ({"corruptions": {"depth": ["depth_holes"]}}, "corruptions of 'depth': depth_holes of a v"),
        ({"layouts": {"flow": "flow"}}, "layouts: a layout of 'flow'"),
        ({"split": "val"}, "no split 'val'"),
    ],
)
def test_what_cannot_be_is_refused_before_the_training(values, words, tmp_path, step):
    folder = corners(tmp_path / "own", 4)

    with pytest.raises(AssayError, match=words):
        step(str(tmp_path), train_on_manifest, folder, **{**QUICK, **values})


# -- a user's own samples, from end to end --------------------------------------------------------


@pytest.fixture(scope="module")
def taught(tmp_path_factory, step):
    """A model that has learned where the bright corner is, with noise on the depth."""
    folder = corners(tmp_path_factory.mktemp("own") / "corners", without=(3, 9))
    fit = step(
        "taught", train_on_manifest, folder, layouts={"depth": "depth"}, unimodal=True,
        corruptions={"depth": ["gaussian", "depth_holes"]}, noise_chance=0.5,
        largest_severity=1.0, width=4, latent=4, steps=150, batch=8, rate=1e-2, seed=1,
    )  # fmt: skip
    return folder, fit


def test_a_model_of_ones_own_samples_tells_of_new_ones(taught, step):
    folder, fit = taught

    told = step("told", predict_on_manifest, folder, fit.model, seed=0)

    with (told / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with np.load(told / "predictions.npz") as kept:
        ids, value, unsure = kept["id"], kept["value"], kept["unsure"]
    truth = np.stack([np.load(folder / f"target/{name}.npy") for name in ids])
    assert list(ids) == [f"s{k:02d}" for k in range(8, 16)] == [row["id"] for row in rows]
    assert (np.abs(value - truth) < 0.5).all()  # the corners are 2 apart
    assert (unsure >= 0.2).all()  # the standard deviation of the output itself
    for row in rows:
        shares = [float(row[f"share_{name}"]) for name in ("pic", "depth")]
        assert sum(shares) + float(row["share_prior"]) == pytest.approx(1.0, abs=1e-5)
        weights = [float(row[f"weight_{name}"]) for name in ("pic", "depth")]
        assert sum(weights) == pytest.approx(1.0, abs=1e-5)
    assert float(rows[1]["share_depth"]) == 0.0  # s09 has no depth
    assert float(rows[0]["share_depth"]) > 0.0


def test_the_folder_of_a_model_says_what_it_is_and_which_noise_it_saw(taught):
    config = json.loads((taught[1].model / "config.json").read_text())
    card = (taught[1].model / "README.md").read_text()

    assert config["channels"] == {"pic": 1, "depth": 1}
    assert (config["points"], config["classes"], config["size"]) == (1, 0, [8, 8])
    assert config["layouts"] == {"pic": "image", "depth": "depth"}
    assert "depth_holes of depth, severity up to 1" in card
    assert "chance of it 0.5" in card
    assert "No noise was seen" not in card
    with pytest.raises(DataError, match="a assay_image_fusion of format 1"):
        read_model(taught[1].model)


def test_new_samples_of_another_size_or_without_a_modality_are_refused(taught, tmp_path, step):
    larger = tmp_path / "larger"
    larger.mkdir()
    write_png(larger / "a.png", np.zeros((16, 16), np.uint8))
    np.save(larger / "a.npy", np.ones((1, 16, 16), np.float32))
    files = {"pic": larger / "a.png", "depth": larger / "a.npy"}
    write_manifest(larger, [Entry("a", "test", "a", files)])

    with pytest.raises(DataError, match=r"'pic'.*samples of \(1, 16, 16\).*\(1, 8, 8\)"):
        step("larger", predict_on_manifest, larger, taught[1].model, seed=0)
    write_manifest(larger, [Entry("a", "test", "a", {"depth": files["depth"]})])
    with pytest.raises(DataError, match="no modality 'pic'"):
        step("fewer", predict_on_manifest, larger, taught[1].model, seed=0)


@pytest.mark.parametrize(
    "values", [{}, {"early": True, "weighting": "poe"}, {"spatial": True, "missing_chance": 0.3}]
)
def test_masks_are_told_by_every_build_and_equal_seeds_give_equal_models(values, tmp_path, step):
    folder = corners(tmp_path / "own", 8, kind="classes")
    fits = [
        step(f"{tmp_path.name}-{k}", train_on_manifest, folder, **QUICK, **values) for k in (1, 2)
    ]
    weights = [(fit.model / "model.safetensors").read_bytes() for fit in fits]

    told = step(f"{tmp_path.name}-told", predict_on_manifest, folder, fits[0].model, seed=0)

    assert weights[0] == weights[1]
    net, of = read_image_model(fits[0].model)
    assert of.classes == 2
    assert list(net.modalities) == (["stacked"] if of.early else ["pic", "depth"])
    noisy = "chance that a modality is left out" in of.noise_seen
    assert noisy == ("missing_chance" in values)
    with np.load(told / "predictions.npz") as kept:
        assert kept["value"].shape == (4, 8, 8)
        assert set(np.unique(kept["value"])) <= {0, 1}
        assert (kept["unsure"] <= np.log(2) + 1e-6).all()


# -- prediction -----------------------------------------------------------------------------------


def linear_model(weighting: str, matrix: torch.Tensor):
    """A model whose points are a matrix times the latent state, and whose experts say more."""
    of = ImageConfiguration(**CONFIG, weighting=weighting, points=1, output_sd=0.5)
    torch.manual_seed(0)
    model = new_image_model(of)
    for net in model.encoders.values():
        nn.init.normal_(net.last.bias)
    linear = nn.Linear(2, 3, bias=False)
    linear.weight = nn.Parameter(matrix)
    model.decoders["points"] = nn.Sequential(linear, nn.Unflatten(-1, (1, 3)))
    return model.eval(), of


INPUTS = {"x": np.zeros((200, 1, 8, 8), np.float32), "y": np.zeros((200, 2, 8, 8), np.float32)}
MATRIX = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, -1.0]])


def test_how_unsure_points_are_is_the_spread_of_the_belief_and_of_the_output():
    """For points A z with z of variances v: the root of (A * A) v + sd^2."""
    model, of = linear_model("poe", MATRIX)
    present = np.ones((200, 2), bool)

    found = predict_images(model, of, INPUTS, present, draws=50, seed=1)

    both = [net.last.bias.detach() for net in model.encoders.values()]
    precision = sum(torch.exp(-bias[2:]) for bias in both)
    mean = sum(bias[:2] * torch.exp(-bias[2:]) for bias in both) / precision
    spread = MATRIX.square() @ (1 / precision) + 0.25
    assert np.allclose(found.value, (MATRIX @ mean).numpy(), atol=1e-5)
    assert np.sqrt(np.square(found.unsure).mean(0))[0] == pytest.approx(spread.sqrt(), rel=0.03)
    assert np.allclose(found.share.sum(0) + found.prior_share, 1.0)
    assert np.allclose(found.share[0], (torch.exp(-both[0][2:]) / precision).mean().item())


def test_a_mixture_is_unsure_where_its_components_differ():
    model, of = linear_model("moe", MATRIX)

    found = predict_images(model, of, INPUTS, np.ones((200, 2), bool), draws=50, seed=1)

    both = [net.last.bias.detach() for net in model.encoders.values()]
    means = torch.stack([MATRIX @ bias[:2] for bias in both])
    within = sum(MATRIX.square() @ bias[2:].exp() for bias in both) / 2
    spread = within + (means - means.mean(0)).square().mean(0) + 0.25
    assert np.allclose(found.value, means.mean(0).numpy(), atol=1e-5)
    assert np.sqrt(np.square(found.unsure).mean(0))[0] == pytest.approx(spread.sqrt(), rel=0.03)


def test_predictions_do_not_depend_on_how_samples_are_cut_up_or_on_what_is_missing():
    model, of = linear_model("learned", MATRIX)
    present = np.ones((200, 2), bool)
    present[150, 1] = False
    holed = {**INPUTS, "y": INPUTS["y"].copy()}
    holed["y"][150] = np.nan

    found = predict_images(model, of, holed, present, draws=1)

    only = model.encoders["x"].last.bias.detach()
    assert np.allclose(found.value[150, 0], (MATRIX @ only[:2]).numpy(), atol=1e-5)
    assert found.share[:, 150].tolist() == [1.0, 0.0]
    assert found.value.shape == (200, 1, 3)
    assert found.credibility.shape == (2, 200)


def test_arrays_that_do_not_fit_are_refused_with_the_place_of_the_sample():
    model, of = linear_model("learned", MATRIX)
    present = np.ones((200, 2), bool)
    holed = {**INPUTS, "y": INPUTS["y"].copy()}
    holed["y"][150] = np.nan

    with pytest.raises(DataError, match=r"samples counted from 128: modality 'y': sample 22 holds"):
        predict_images(model, of, holed, present)
    with pytest.raises(DataError, match=r"modality 'y': 62 samples; expected 72, as of 'x'"):
        predict_images(model, of, {**INPUTS, "y": INPUTS["y"][:190]}, present)


def test_a_damaged_folder_is_refused_in_our_words(tmp_path):
    of = linear_model("poe", MATRIX)[1]
    with pytest.raises(DataError, match="holds no trained fusion model"):
        read_image_model(tmp_path)
    fresh = new_image_model(of)
    write_image_model(tmp_path, fresh, of)
    again, told = read_image_model(tmp_path)
    assert told == of
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in fresh.state_dict().items())
    config = json.loads((tmp_path / "config.json").read_text())
    for broken in ({"size": [8]}, {"size": [12, 8]}, {"points": 2}, {"latent": "x"}):
        (tmp_path / "config.json").write_text(json.dumps({**config, **broken}))
        with pytest.raises(DataError, match=r"expected config\.json and model\.safetensors"):
            read_image_model(tmp_path)
