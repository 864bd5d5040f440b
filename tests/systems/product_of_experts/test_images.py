"""Networks of images: shapes, what shares nothing, what is local, and what is refused."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from assay.errors import DataError, ParameterError
from assay.systems.product_of_experts.fusion import WEIGHTINGS
from assay.systems.product_of_experts.images import image_fusion, stacked, standardise
from assay.systems.product_of_experts.model import FusionModel, Seen
from assay.systems.product_of_experts.objective import (
    Objective,
    gaussian_nll,
    loss,
    segmentation_nll,
)

CHANNELS = {"color": 3, "depth": 1}


def woken(model: FusionModel) -> FusionModel:
    """Without the zeros that its last layers begin with."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.1)
    return model


def shown(batch: int = 2, size: tuple[int, int] = (16, 24)) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(batch, count, *size, generator=random) for name, count in CHANNELS.items()
    }


@pytest.mark.parametrize("spatial", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (16, 24), (32, 16)])
def test_any_size_of_whole_patches_has_a_belief_and_both_outputs(size, spatial):
    model = image_fusion(
        CHANNELS, size=size, latent=3, points=21, classes=4, width=4, spatial=spatial
    )
    cells = size[0] // 8 * size[1] // 8 if spatial else 1

    belief = model.belief(Seen(shown(2, size))).belief.components
    decoded = model.decode(belief.mean)

    assert belief.mean.shape == (1, 2, 3 * cells)
    assert decoded["points"].shape == (1, 2, 21, 3)
    assert decoded["classes"].shape == (1, 2, 4, *size)
    assert model.decode(belief.mean[0, 0])["classes"].shape == (4, *size)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_every_weighting_trains_all_that_it_has(weighting):
    model = woken(image_fusion(
        CHANNELS, size=(16, 16), latent=2, points=3, classes=2, width=2, weighting=weighting,
    ))  # fmt: skip
    aim = Objective(outputs={"points": gaussian_nll(0.1), "classes": segmentation_nll(0.5)})
    wanted = {"points": torch.ones(2, 3, 3), "classes": torch.ones(2, 16, 16, dtype=torch.int64)}

    loss(model, Seen(shown(2, (16, 16))), wanted, aim).total.backward()

    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_a_new_model_believes_the_prior_and_trusts_all_alike():
    fused = image_fusion(CHANNELS, size=(16, 24), latent=2).belief(Seen(shown()))

    assert not fused.gaussian.mean.any()
    assert torch.allclose(fused.gaussian.logvar, torch.zeros(2, 2), atol=1e-6)
    assert torch.allclose(fused.share, torch.full((2, 2, 2), 0.5))


def test_in_a_map_means_begin_as_something_and_all_else_as_the_prior():
    torch.manual_seed(0)
    model = image_fusion({"color": 3}, size=(16, 24), latent=3, width=4, spatial=True)
    pictures = torch.randn(200, 3, 16, 24)
    mean, logvar = model.encoders["color"](pictures).chunk(2, dim=-1)

    assert 0.2 < mean.std(0).mean() < 2
    assert not logvar.any()
    assert not model.credibility["color"](pictures).any()


def test_encoder_and_credibility_of_a_modality_share_nothing():
    model = image_fusion(CHANNELS, size=(16, 24), latent=2)
    encoders, judges = (
        {p.data_ptr() for p in nets.parameters()} for nets in (model.encoders, model.credibility)
    )

    assert list(model.credibility) == list(CHANNELS)
    assert not encoders & judges
    assert len(encoders) == 2 * (4 + 3) * 2  # modalities, layers and norms, weight and bias


@pytest.mark.parametrize("spatial", [True, False])
def test_layers_pass_on_differences_between_pictures_at_their_size(spatial):
    """With torch's own first weights a fiftieth of them comes through without norms."""
    torch.manual_seed(0)
    model = image_fusion({"color": 3}, size=(32, 32), latent=2, width=8, spatial=spatial)

    passed_on = model.credibility["color"].steps(torch.randn(200, 3, 32, 32))

    assert 0.3 < passed_on.std(0).mean() < 1.5


def test_a_patch_of_the_latent_map_sees_what_is_around_it_alone():
    """Three 3 by 3 layers of stride 2 look 7 pixels to each side of every eighth pixel."""
    model = woken(image_fusion(CHANNELS, size=(24, 32), latent=2, spatial=True))
    before = shown(1, (24, 32))
    after = {name: values.clone() for name, values in before.items()}
    # of rows 0, 8 and 16 only the last looks as far as 23, of columns the first
    after["color"][..., 23, 0] += 1.0

    moved = model.experts(Seen(after)).mean[0, 0] != model.experts(Seen(before)).mean[0, 0]

    places = moved.unflatten(-1, (2, 3, 4))
    assert places[:, 2, 0].all()
    assert places.sum() == 2


def test_a_patch_of_the_latent_map_is_decoded_where_it_lies():
    """A 3 by 3 layer and three of 4 by 4 with stride 2: at most 15 pixels beyond the patch."""
    model = woken(image_fusion(CHANNELS, size=(48, 48), latent=2, classes=2, spatial=True))
    latent = torch.zeros(1, 2, 6, 6)
    before = model.decode(latent.flatten(1))["classes"]
    latent[0, 0, 0, 5] = 1.0

    moved = model.decode(latent.flatten(1))["classes"] != before

    rows, columns = (moved[0].any(0).any(axis).nonzero() for axis in (1, 0))
    assert moved[0, :, :8, 40:].all()
    assert rows.max() < 8 + 16
    assert columns.min() >= 40 - 16


# -- values ---------------------------------------------------------------------------------------


def test_values_are_brought_to_mean_0_and_sd_1_by_channel_of_those_that_are_there():
    model = woken(image_fusion({"x": 2}, size=(8, 8), latent=2))
    plain = deepcopy(model)
    samples = np.empty((3, 2, 8, 8), np.float32)
    samples[:, 0, :, :4], samples[:, 0, :, 4:] = 1.0, 5.0  # mean 3, sd 2
    samples[:, 1] = 7.0  # all alike: sd 1 stands in
    samples[2] = np.nan  # missing

    standardise(model, {"x": samples}, {"x": np.array([True, True, False])})

    there = torch.from_numpy(samples[:2])
    by_hand = (there - torch.tensor([3.0, 7.0])[:, None, None]) / torch.tensor([2.0, 1.0])[
        :, None, None
    ]
    said, expected = model.experts(Seen({"x": there})), plain.experts(Seen({"x": by_hand}))
    assert torch.allclose(said.mean, expected.mean, atol=1e-6)
    assert torch.allclose(said.scores, expected.scores, atol=1e-6)
    assert not torch.allclose(said.mean, plain.experts(Seen({"x": there})).mean, atol=1e-3)


def test_the_figures_of_the_values_lie_with_the_weights():
    model = image_fusion({"x": 1}, size=(8, 8), latent=2)
    standardise(model, {"x": np.full((1, 1, 8, 8), 4.0, np.float32)})
    again = image_fusion({"x": 1}, size=(8, 8), latent=2)

    again.load_state_dict(model.state_dict())

    assert again.encoders["x"].get_buffer("middle").item() == 4.0
    assert again.credibility["x"].get_buffer("middle").item() == 4.0


def test_a_modality_that_no_sample_has_keeps_its_figures():
    model = image_fusion({"x": 1}, size=(8, 8), latent=2)

    standardise(model, {"x": np.zeros((2, 1, 8, 8), np.float32)}, {"x": np.zeros(2, bool)})

    assert model.encoders["x"].get_buffer("spread").item() == 1.0


# -- early fusion ---------------------------------------------------------------------------------


def test_early_fusion_sees_channel_after_channel_and_nothing_of_what_is_missing():
    values = {"a": torch.full((3, 2, 8, 8), 1.0), "b": torch.full((3, 1, 8, 8), 2.0)}
    values["a"][1] = torch.nan
    present = torch.tensor([[True, False, False], [True, True, False]])

    one = stacked(Seen(values, present))

    assert one.inputs["stacked"][..., 0, 0].tolist() == [[1, 1, 2], [0, 0, 2], [0, 0, 0]]
    assert one.present.tolist() == [[True, True, False]]
    everything = stacked(Seen({"a": values["a"][:1], "b": values["b"][:1]}))
    assert everything.present is None
    model = image_fusion({"stacked": 3}, size=(8, 8), latent=2, weighting="poe")
    assert model.belief(one).share.shape == (1, 3, 2)


# -- what it can learn, and what is refused -------------------------------------------------------


@pytest.mark.parametrize("spatial", [False, True])
def test_it_learns_where_a_square_is(spatial):
    """A bright square in one of four corners: its mask and its middle are told from a picture."""
    torch.manual_seed(0)
    image, mask, middle = torch.zeros(4, 1, 16, 16), torch.zeros(4, 16, 16), torch.zeros(4, 1, 3)
    for k, (row, column) in enumerate([(0, 0), (0, 8), (8, 0), (8, 8)]):
        mask[k, row : row + 8, column : column + 8] = 1.0
        middle[k, 0, :2] = torch.tensor([row - 4.0, column - 4.0]) / 4.0
    image[:, 0] = mask
    model = image_fusion(
        {"x": 1}, size=(16, 16), latent=4, points=1, classes=2, width=8, spatial=spatial
    )
    aim = Objective(
        outputs={"points": gaussian_nll(0.3), "classes": segmentation_nll()},
        output_weights={"classes": 50.0},
        beta=0.01,
    )
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(120):
        optimiser.zero_grad()
        wanted = {"points": middle, "classes": mask.long()}
        loss(model, Seen({"x": image}), wanted, aim).total.backward()
        optimiser.step()

    decoded = model.decode(model.belief(Seen({"x": image})).gaussian.mean)

    assert (decoded["classes"].argmax(1) == mask).float().mean() > 0.98
    assert (decoded["points"] - middle).abs().mean() < 0.3


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"size": (16, 20)}, "images.size: 16 by 20 is refused; expected multiples of 8"),
        ({"size": (0, 16)}, "images.size: 0 by 16"),
        ({"latent": 0}, "images.latent: 0"),
        ({"width": 0}, "images.width: 0"),
        ({"points": -1}, "images.points: -1"),
        ({"classes": 1}, "images.classes: 1 is refused; expected 0, or 2 or more"),
        ({"channels": {"x": 0}}, "images.channels of 'x': 0"),
        ({"weighting": "lerned"}, "no weighting 'lerned'"),
    ],
)
def test_sizes_that_cannot_be_are_refused(changed, words):
    given = {"channels": {"x": 1}, "size": (16, 16)} | changed

    with pytest.raises(ParameterError) as refused:
        image_fusion(given.pop("channels"), **given)

    assert words in str(refused.value)


def test_pictures_of_another_size_are_refused_by_modality():
    model = image_fusion(CHANNELS, size=(16, 24), latent=2)
    values = shown() | {"depth": torch.zeros(2, 1, 24, 24)}

    with pytest.raises(
        DataError, match=r"'depth': samples of \(1, 24, 24\).*expected \(1, 16, 24\)"
    ):
        model.belief(Seen(values))
