"""What the ablation changes: heads on encoders, one score per sensor, sigmoids, latent sizes."""

import numpy as np
import pytest
import torch

from assay.core.component import describe
from assay.errors import ParameterError
from assay.systems.product_of_experts import data
from assay.systems.product_of_experts.ablation import error_of_variant
from assay.systems.product_of_experts.credibility import credibility_net
from assay.systems.product_of_experts.data import Sensors
from assay.systems.product_of_experts.folders import read_model
from assay.systems.product_of_experts.fusion import Experts, fuse
from assay.systems.product_of_experts.model import Seen, perceptron, sensor_model
from assay.systems.product_of_experts.study_ablation import VARIANTS, ablation
from assay.systems.product_of_experts.train import train_fusion

TWO = Sensors(np.array([[0.3, 0.5], [0.6, 0.2]]))
TINY = {"steps": 5, "batch": 16, "width": 8}
SIZES = {"a": 4, "b": 3}


def of_sensors(**values):
    torch.manual_seed(0)
    chosen = {"latent": 2, "width": 8, "weighting": "learned", "prior": "fixed"} | values
    return sensor_model(SIZES, **chosen)


def shown(rows=5):
    return Seen({name: torch.randn(rows, size) for name, size in SIZES.items()})


def woken(model):
    """Last layers begin at 0; here they do not."""
    with torch.no_grad():
        for values in model.parameters():
            values.add_(0.3 * torch.randn_like(values))
    return model


def gradient_of_scores(how):
    encoder = woken(perceptron(4, 6, 8))
    net = woken(credibility_net(how, encoder, inputs=4, latent=3, width=8))
    net(torch.randn(5, 4)).sum().backward()
    first = encoder.curve[0].weight.grad
    return encoder, net, 0.0 if first is None else float(first.abs().sum())


@pytest.mark.parametrize(("how", "reaches"), [("own", False), ("shared", True), ("stopped", False)])
def test_a_gradient_of_credibility_reaches_the_encoder_of_a_shared_head_only(how, reaches):
    _, net, found = gradient_of_scores(how)

    assert (found > 0) is reaches
    assert all(float(p.grad.abs().sum()) > 0 for p in net.parameters())


@pytest.mark.parametrize("how", ["shared", "stopped"])
def test_a_head_is_a_line_of_what_the_encoder_sees_before_its_last_layer(how):
    encoder, net, _ = gradient_of_scores(how)
    values = torch.randn(5, 4)

    hidden = encoder.curve[:-1](values)

    assert torch.allclose(net(values), hidden @ net.last.weight.T + net.last.bias, atol=1e-6)
    assert sum(p.numel() for p in net.parameters()) == 8 * 3 + 3


@pytest.mark.parametrize("how", ["own", "shared", "stopped"])
def test_one_score_of_a_sensor_stands_for_every_dimension(how):
    model = woken(of_sensors(credibility=how, scalar=True))
    weight = model.belief(shown()).weight

    assert torch.allclose(weight[..., 0], weight[..., 1])
    assert weight.std(1).min() > 1e-4  # it sees the input
    full = woken(of_sensors(credibility=how)).belief(shown()).weight
    assert (full[..., 0] - full[..., 1]).abs().max() > 1e-3


def test_gates_by_hand():
    """Precisions 1 and 4, sigmoids 3/4 and 1/4: total 7/4, mean (3/4 x 0 + 1 x 7) / (7/4)."""
    says = torch.tensor([[[0.0]], [[7.0]]]), torch.tensor([[[0.0]], [[-np.log(4.0)]]]).float()
    scores = torch.tensor([[[np.log(3.0)]], [[-np.log(3.0)]]]).float()
    both = torch.ones(2, 1, dtype=torch.bool)

    fused = fuse(Experts(*says, both, scores), "gated")

    assert fused.weight.ravel().tolist() == pytest.approx([0.75, 0.25])
    assert fused.gaussian.mean.item() == pytest.approx(4.0)
    assert fused.gaussian.logvar.exp().item() == pytest.approx(4 / 7)
    assert fused.share.ravel().tolist() == pytest.approx([3 / 7, 4 / 7])


def test_a_gate_of_one_sensor_does_not_move_that_of_another():
    says = torch.zeros(2, 1, 1), torch.zeros(2, 1, 1)
    both = torch.ones(2, 1, dtype=torch.bool)

    weights = [
        fuse(Experts(*says, both, torch.tensor([[[s]], [[0.0]]])), "gated").weight[1].item()
        for s in (-5.0, 5.0)
    ]

    assert weights == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_every_variant_trains_is_read_back_and_is_measured(step, variant):
    readings = data.sensor_readings(TWO, samples=200, seed=0)
    values = dict(VARIANTS[variant])
    fit = step(f"fit_{variant}", train_fusion, TWO, readings, **TINY, **values, seed=0)

    net, of = read_model(fit.model)
    frame = error_of_variant(TWO, fit.model, levels=[0.0, 3.0], samples=50, seed=0).frame()

    assert net.latent == of.latent == values.get("latent", 2)
    assert set(frame["measure"]) == {
        "squared_error", "optimal_squared_error", "credibility", "share",
    }  # fmt: skip
    assert np.isfinite(frame["value"]).all()
    table = frame.set_index(["measure", "noised", "noise"])["value"]
    assert table["squared_error", "one", 0.0] > table["optimal_squared_error", "one", 0.0]


def test_the_exact_posterior_stands_beside_the_error(step):
    """Without noise its squared error is 1 over the precision: 1 + 1/s_1^2 + 1/s_2^2."""
    readings = data.sensor_readings(TWO, samples=200, seed=0)
    fit = step("beside", train_fusion, TWO, readings, **TINY, seed=0)

    frame = error_of_variant(TWO, fit.model, levels=[0.0], samples=20_000, seed=0).frame()
    found = frame[frame["measure"] == "optimal_squared_error"]["value"]

    wanted = np.mean(1 / (1 + (TWO.sd**-2.0).sum(0)))
    assert found.to_numpy() == pytest.approx(wanted, rel=0.03)


def test_a_likelihood_of_a_latent_state_of_another_size_is_refused():
    readings = data.sensor_readings(TWO, samples=20, seed=0)

    with pytest.raises(ParameterError, match="5 numbers and the objective likelihood"):
        train_fusion(TWO, readings, latent=5, objective="likelihood", seed=0)


def test_the_full_method_is_what_training_does_by_itself():
    """Its variant names a default, so that it is the same step as that of another study."""
    assert [describe(train_fusion).params[p].default for p, _ in VARIANTS["full"]] == ["own"]


def test_claims_are_about_variants_that_are_there():
    for claim in ablation().claims:
        if hasattr(claim.estimand, "decision"):
            assert {claim.estimand.a, claim.estimand.b} <= set(VARIANTS)
