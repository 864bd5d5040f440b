"""Cross-entropy on the rows that count equals the plain one, in value and in gradient."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st

from assay.parts.training import losses
from assay.parts.training.losses import token_loss


def problem(rows, vocabulary=11, width=5, ignored=0.3, seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    hidden = torch.randn(2, rows, width, dtype=dtype, requires_grad=True)
    weight = torch.randn(vocabulary, width, dtype=dtype, requires_grad=True)
    bias = torch.randn(vocabulary, dtype=dtype, requires_grad=True)
    targets = torch.randint(vocabulary, (2, rows))
    targets[torch.rand(2, rows) < ignored] = -100
    return hidden, weight, bias, targets


def plain(hidden, weight, bias, targets, smoothing):
    logits = F.linear(hidden, weight, bias).flatten(0, 1)
    return F.cross_entropy(logits, targets.flatten(), reduction="sum", label_smoothing=smoothing)


def gradients(total, *of):
    return torch.autograd.grad(3.0 * total, of)


@given(
    st.integers(1, 90), st.sampled_from([0.0, 0.3, 0.9]), st.sampled_from([0.0, 0.1]),
    st.sampled_from([None, 1, 7, 64]), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_value_and_gradients_are_those_of_the_plain_one(
    rows, ignored, smoothing, chunk, biased, seed
):
    hidden, weight, bias, targets = problem(rows, ignored=ignored, seed=seed)
    of = (hidden, weight, bias) if biased else (hidden, weight)
    given_bias = bias if biased else None
    wanted = plain(hidden, weight, given_bias, targets, smoothing)

    total, count = token_loss(
        hidden, weight, targets, bias=given_bias, smoothing=smoothing, chunk=chunk
    )

    assert count == int((targets != -100).sum())
    assert total.item() == pytest.approx(wanted.item(), rel=1e-6, abs=1e-6)
    for found, right in zip(gradients(total, *of), gradients(wanted, *of), strict=True):
        assert torch.allclose(found, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("block", [1, 40, 10**6])
def test_the_size_of_a_block_changes_nothing(monkeypatch, block):
    monkeypatch.setattr(losses, "CACHED", block)
    hidden, weight, _, targets = problem(40)

    total, _ = token_loss(hidden, weight, targets)

    wanted = plain(hidden, weight, None, targets, 0.0)
    assert total.item() == pytest.approx(wanted.item(), rel=1e-6)
    for found, right in zip(
        gradients(total, hidden, weight), gradients(wanted, hidden, weight), strict=True
    ):
        assert torch.allclose(found, right, atol=1e-5)


def test_in_bf16_it_is_as_near_to_the_truth_as_bf16_is():
    hidden, weight, _, targets = problem(64, vocabulary=200, width=32, dtype=torch.float32)
    half = [t.detach().bfloat16().requires_grad_() for t in (hidden, weight)]
    exact = [t.detach().double().requires_grad_() for t in half]
    wanted = plain(*exact, None, targets, 0.0)

    total, count = token_loss(*half, targets)

    assert total.dtype == torch.float32
    assert total.item() / count == pytest.approx(wanted.item() / count, rel=2e-3)
    for found, right in zip(
        torch.autograd.grad(total, half), torch.autograd.grad(wanted, exact), strict=True
    ):
        assert found.dtype == torch.bfloat16
        assert (found.double() - right).norm() < 0.01 * right.norm()


def test_logits_that_are_there_already_are_taken():
    hidden, weight, bias, targets = problem(20)
    logits = F.linear(hidden, weight, bias)

    total, _ = token_loss(logits, None, targets, smoothing=0.1)

    wanted = plain(hidden, weight, bias, targets, 0.1)
    assert total.item() == pytest.approx(wanted.item(), rel=1e-6)
    assert torch.allclose(
        torch.autograd.grad(total, hidden, retain_graph=True)[0],
        torch.autograd.grad(wanted, hidden)[0],
        atol=1e-5,
    )


def test_logits_are_made_only_where_a_target_counts(monkeypatch):
    made = []
    monkeypatch.setattr(
        losses, "_into_gradient", lambda logits, *_: made.append(len(logits)) or torch.zeros(())
    )
    hidden, weight, _, targets = problem(500, ignored=0.9)

    _, count = token_loss(hidden, weight, targets)

    assert made == [-(-count // 64) * 64]
    assert made[0] < 200


def test_where_nothing_counts_the_loss_is_nothing():
    hidden, weight, _, targets = problem(8, ignored=1.1)

    total, count = token_loss(hidden, weight, targets)
    total.backward()

    assert (total.item(), count) == (0.0, 0)
    assert (hidden.grad == 0).all()
    assert (weight.grad == 0).all()


def test_frozen_weights_and_evaluation_need_no_gradient():
    hidden, weight, _, targets = problem(8)
    total, _ = token_loss(hidden, weight.detach(), targets)
    (found,) = torch.autograd.grad(total, hidden)
    (wanted,) = torch.autograd.grad(plain(hidden, weight, None, targets, 0.0), hidden)

    assert torch.allclose(found, wanted, atol=1e-5)
    with torch.no_grad():
        assert token_loss(hidden, weight, targets).total.item() == pytest.approx(total.item())
