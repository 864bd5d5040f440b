"""The network: who reads what, where gradients go, and bad input by its name."""

import pytest
import torch
from torch import nn

from assay.errors import DataError, ParameterError
from assay.systems.product_of_experts.fusion import WEIGHTINGS
from assay.systems.product_of_experts.model import FusionModel, Seen, perceptron, sensor_model

SIZES = {"left": 3, "right": 5}


def model_of(weighting: str, prior="none") -> FusionModel:
    torch.manual_seed(1)
    model = sensor_model(SIZES, latent=2, width=8, weighting=weighting, prior=prior)
    for parameter in model.parameters():  # not the zeros it begins with
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3)
    return model


def inputs(batch: int = 4) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {name: torch.randn(batch, size, generator=random) for name, size in SIZES.items()}


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_every_weighting_makes_a_belief_and_trains_all_that_it_has(weighting):
    model = model_of(weighting)

    fused = model.belief(Seen(inputs()))
    (fused.gaussian.mean.square() + fused.gaussian.logvar).sum().backward()

    assert fused.share.shape == (2, 4, 2)
    assert all(p.grad is not None for p in model.parameters())


def test_a_new_model_is_as_ignorant_as_the_prior():
    model = sensor_model(SIZES, latent=2, width=8, weighting="learned", prior="none")

    belief = model.belief(Seen(inputs())).gaussian

    assert not belief.mean.any()
    assert torch.allclose(belief.logvar, torch.zeros(4, 2), atol=1e-6)


def test_credibility_is_a_network_of_its_own():
    """A change of one leaves the encoders' means as they are and moves only the weights."""
    model = model_of("learned")
    before = model.experts(Seen(inputs()))
    with torch.no_grad():
        for parameter in model.credibility["left"].parameters():
            parameter.add_(0.5)

    after = model.experts(Seen(inputs()))

    assert torch.equal(before.mean, after.mean)
    assert torch.equal(before.scores[1], after.scores[1])
    assert not torch.equal(before.scores[0], after.scores[0])
    encoders = {id(p) for p in model.encoders.parameters()}
    assert not encoders & {id(p) for p in model.credibility.parameters()}


def test_static_weights_begin_at_equal_parts_and_do_not_see_the_input():
    model = sensor_model(SIZES, latent=2, width=8, weighting="static", prior="none")

    found = model.belief(Seen(inputs()))

    assert torch.allclose(found.weight, torch.full_like(found.weight, 0.5))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_what_a_missing_modality_holds_is_never_read_and_no_gradient_is_nan(weighting):
    model, present = model_of(weighting), torch.tensor([[1, 0, 1, 0], [1, 1, 0, 0]]).bool()
    spoilt = inputs()
    spoilt["left"][1] = torch.nan
    spoilt["right"][2] = torch.inf
    spoilt["left"][3] = spoilt["right"][3] = torch.nan

    found = model.belief(Seen(spoilt, present))
    (found.gaussian.mean.square() + found.gaussian.logvar).sum().backward()
    clean = model.belief(Seen(inputs(), present))

    assert torch.equal(found.gaussian.mean, clean.gaussian.mean)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_modalities_are_taken_by_name_and_not_by_their_order():
    model = model_of("learned")
    turned = dict(reversed(inputs().items()))

    assert torch.equal(
        model.belief(Seen(inputs())).gaussian.mean, model.belief(Seen(turned)).gaussian.mean
    )


def test_any_encoders_will_do():
    nets = {"picture": nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(4)),
            "text": nn.Sequential(nn.EmbeddingBag(10, 4))}  # fmt: skip
    model = FusionModel(nets, {}, {"mask": nn.Linear(2, 7)}, latent=2, weighting="poe")
    seen = Seen({"picture": torch.rand(3, 3, 8, 8), "text": torch.randint(0, 10, (3, 5))})

    belief = model.belief(seen).gaussian

    assert belief.mean.shape == (3, 2)
    assert model.decode(belief.mean)["mask"].shape == (3, 7)


def test_a_straight_line_is_within_reach_of_a_net():
    net = perceptron(2, 1, 8)
    with torch.no_grad():
        net.line.weight.copy_(torch.tensor([[2.0, -1.0]]))

    assert net(torch.tensor([[1.0, 5.0]])).item() == -3.0


# -- bad input, each by its name ---------------------------------------------------------------


def test_modalities_of_unequal_length_are_named():
    uneven = inputs() | {"right": torch.zeros(3, 5)}

    with pytest.raises(DataError, match="modality 'right': 3 samples; expected 4, as of 'left'"):
        model_of("poe").belief(Seen(uneven))


def test_a_modality_of_another_size_is_named():
    wide = inputs() | {"right": torch.zeros(4, 7)}

    with pytest.raises(
        DataError, match=r"modality 'right': samples of \(7,\) numbers; expected \(5,"
    ):
        model_of("poe").belief(Seen(wide))


def test_a_value_that_is_no_number_is_named_with_its_sample():
    spoilt = inputs()
    spoilt["right"][2, 1] = torch.nan

    with pytest.raises(DataError, match="modality 'right': sample 2 holds a value that is not fin"):
        model_of("poe").belief(Seen(spoilt))


def test_a_modality_that_is_not_given_is_named():
    with pytest.raises(DataError, match="no 'right'; expected left, right"):
        model_of("poe").belief(Seen({"left": inputs()["left"]}))


def test_a_table_of_another_size_is_refused():
    with pytest.raises(DataError, match="2 modalities of 4 samples"):
        model_of("poe").belief(Seen(inputs(), torch.ones(4, 2, dtype=torch.bool)))


def test_credibility_networks_have_to_be_those_of_the_modalities():
    encoders = {"left": nn.Linear(3, 4)}
    with pytest.raises(ParameterError, match=r"weighting 'learned'.*expected of left"):
        FusionModel(encoders, {}, {}, latent=2, weighting="learned")
    with pytest.raises(ParameterError, match=r"weighting 'poe'.*expected of nothing"):
        FusionModel(encoders, {"left": nn.Linear(3, 2)}, {}, latent=2, weighting="poe")
