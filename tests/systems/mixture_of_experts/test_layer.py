"""A mixture as a layer: a dense layer in the limit, padding, precision, copies, errors."""

import copy
import pickle

import pytest
import torch
from torch import nn

from assay.errors import StepError
from assay.parts.training.fit import fit
from assay.parts.training.losses import Loss
from assay.parts.training.precision import bf16_copy
from assay.parts.training.recipe import Recipe
from assay.systems.mixture_of_experts.layer import Mixture
from assay.systems.mixture_of_experts.routing import RoutingPolicy

WIDTH, INNER = 16, 24
DROPLESS = RoutingPolicy(capacity_factor=None)
KERNELS = ("one_hot", "grouped", "padded")


def mixture(policy=DROPLESS, experts=4, **more):
    torch.manual_seed(0)
    return Mixture(WIDTH, INNER, experts, policy, **more)


def hidden(*shape):
    return torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_expert_is_a_dense_layer(kernel):
    layer = mixture(RoutingPolicy(choices=1), experts=1, kernel=kernel)
    dense = nn.Sequential(nn.Linear(WIDTH, INNER), nn.GELU(), nn.Linear(INNER, WIDTH))
    with torch.no_grad():
        pairs = zip((layer.up, layer.up_bias, layer.down, layer.down_bias), dense.parameters(),
                    strict=True)  # fmt: skip
        for ours, theirs in pairs:
            theirs.copy_(ours[0])
    x, y = hidden(2, 9).requires_grad_(), hidden(2, 9).requires_grad_()

    layer(x).square().sum().backward()
    dense(y).square().sum().backward()

    torch.testing.assert_close(layer(x), dense(y))
    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(layer.up.grad[0], dense[0].weight.grad)
    torch.testing.assert_close(layer.down_bias.grad[0], dense[2].bias.grad)


def test_tokens_that_nobody_took_and_padding_come_out_as_zeros():
    layer, x = mixture(RoutingPolicy(capacity_factor=0.3)), hidden(3, 20)
    routed = torch.rand(3, 20) < 0.7

    out = layer(x, routed)

    taken = layer.last.kept.any(1).view(3, 20)
    assert not taken[~routed].any()
    assert not taken[routed].all()
    assert (out != 0).any(-1).equal(taken)


@pytest.mark.parametrize("kernel", KERNELS)
def test_in_evaluation_a_row_comes_out_alike_in_any_company(kernel):
    layer, x = mixture(RoutingPolicy(capacity_factor=0.2), kernel=kernel).eval(), hidden(5, 12)

    together = layer(x)

    assert layer.last.kept.all()
    for row, wanted in zip(x, together, strict=True):
        torch.testing.assert_close(layer(row), wanted, atol=1e-6, rtol=1e-5)


def test_the_balance_loss_moves_the_gate_and_nothing_else():
    layer = mixture()
    layer(hidden(40))

    layer.last.balance_loss.backward()

    assert {n for n, p in layer.named_parameters() if p.grad is not None} == {"gate.weight"}
    assert layer.gate.weight.grad.any()


@pytest.mark.parametrize("choices", [1, 2])
def test_the_gate_learns_from_the_output(choices):
    layer = mixture(RoutingPolicy(choices=choices))

    layer(hidden(40)).square().sum().backward()

    assert layer.gate.weight.grad.any()


def test_every_expert_has_its_own_draw_from_the_distribution_of_a_linear_layer():
    layer, dense = Mixture(64, 256, 8, DROPLESS), nn.Linear(64, 256)

    assert len({w.flatten()[0].item() for w in layer.up}) == 8
    assert layer.up.std().item() == pytest.approx(dense.weight.std().item(), rel=0.05)
    assert layer.up.abs().max() <= 1 / 8
    assert layer.down.abs().max() <= 1 / 16


# -- precision ------------------------------------------------------------------------------------


def test_the_gate_is_in_fp32_under_autocast():
    layer, x = mixture(), hidden(30)
    layer(x)
    wanted = layer.last.probabilities

    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)

    assert layer.last.probabilities.equal(wanted)
    assert out.dtype == torch.float32


def test_the_gate_is_in_fp32_in_the_copy_that_computes_in_bf16():
    layer, x = mixture(), hidden(30)
    low = bf16_copy(layer)

    out = low(x.bfloat16())

    assert low.gate.weight.dtype == torch.float32
    assert {p.dtype for p in low.parameters(recurse=False)} == {torch.bfloat16}
    wanted = (x.bfloat16().float() @ layer.gate.weight.T).softmax(1)
    torch.testing.assert_close(low.last.probabilities, wanted)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), layer(x), atol=0.02, rtol=0.1)


# -- copies and errors ----------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_layer_that_was_used_can_be_copied(copied):
    layer, x = mixture(), hidden(6)
    wanted = layer(x)

    made = copied(layer)

    assert made.last is None
    assert layer.last is not None
    torch.testing.assert_close(made(x), wanted)


def test_a_gate_that_is_not_finite_is_told_with_step_and_layer(tmp_path):
    model = mixture(layer=3)
    nn.init.constant_(model.gate.weight, float("nan"))

    def loss(model, batch):
        return Loss(model(batch).sum(), len(batch))

    with pytest.raises(StepError, match=r"training step 1: mixture of layer 3: the gate gives"):
        fit(model, lambda step: [hidden(5)], loss, Recipe(steps=1, rate=1e-3), folder=tmp_path)
