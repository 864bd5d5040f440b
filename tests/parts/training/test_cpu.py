"""Attention and dropout as they are computed on a CPU equal torch's own."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from assay.parts.training.cpu import OnCpu, fast_dropout, plain_attention

MASKS = ["none", "causal", "boolean", "added"]


def given_mask(kind, queries, keys):
    if kind == "boolean":
        return (torch.rand(2, 1, queries, keys) < 0.6).index_fill_(-1, torch.tensor(0), True)
    if kind == "added":
        return torch.randn(2, 1, queries, keys).masked_fill(
            ~given_mask("boolean", queries, keys), -torch.inf
        )
    return None


def inputs(dtype, queries=7, keys=9):
    torch.manual_seed(3)
    sizes = (queries, keys, keys)
    return [torch.randn(2, 3, n, 8, dtype=dtype, requires_grad=True) for n in sizes]


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("scale", [None, 0.7])
def test_attention_equals_torchs_in_value_and_gradient(kind, scale):
    q, k, v = inputs(torch.float32)
    mask, causal = given_mask(kind, 7, 9), kind == "causal"
    wanted = F.scaled_dot_product_attention(q, k, v, mask, 0.0, causal, scale=scale)
    found = plain_attention(q, k, v, mask=mask, causal=causal, scale=scale)

    assert torch.allclose(found, wanted, atol=1e-5)
    way = torch.randn_like(wanted)
    for one, two in zip(
        torch.autograd.grad(found, (q, k, v), way),
        torch.autograd.grad(wanted, (q, k, v), way),
        strict=True,
    ):
        assert torch.allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("kind", ["boolean", "added"])
def test_a_query_that_may_look_nowhere_sees_nothing(kind):
    q, k, v = inputs(torch.float32)
    mask = given_mask(kind, 7, 9)
    mask[:, :, 2] = False if kind == "boolean" else -torch.inf

    found = plain_attention(q, k, v, mask=mask)

    assert (found[:, :, 2] == 0).all()
    assert torch.allclose(found, F.scaled_dot_product_attention(q, k, v, mask), atol=1e-5)
    grads = torch.autograd.grad(found.sum(), (q, k, v))
    assert all(g.isfinite().all() for g in grads)
    assert (grads[0][:, :, 2] == 0).all()


def test_bf16_attention_is_replaced_wherever_it_is_called_from_and_fp32_is_not(monkeypatch):
    called = []
    monkeypatch.setattr(
        "assay.parts.training.cpu.plain_attention",
        lambda *a, **k: called.append(a[0].dtype) or plain_attention(*a, **k),
    )
    with OnCpu():
        F.scaled_dot_product_attention(*inputs(torch.float32))
        assert called == []
        torch.nn.functional.scaled_dot_product_attention(*inputs(torch.bfloat16))
    assert called == [torch.bfloat16]
    F.scaled_dot_product_attention(*inputs(torch.bfloat16))
    assert len(called) == 1


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
def test_dropout_drops_the_share_and_keeps_the_mean(p):
    torch.manual_seed(1)
    n = 200_001
    x = torch.ones(n, requires_grad=True)

    y = fast_dropout(x, p)

    dropped = float((y == 0).double().mean())
    assert abs(dropped - p) < 5 * (p * (1 - p) / n) ** 0.5 + 2**-16
    assert y[y != 0].detach().numpy() == pytest.approx(1 / (1 - p), rel=1e-3)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert (gradient == y).all()


def test_dropout_takes_independent_bits_from_torchs_generator():
    torch.manual_seed(5)
    one, two = fast_dropout(torch.ones(40_000), 0.5), fast_dropout(torch.ones(40_000), 0.5)
    torch.manual_seed(5)

    assert (fast_dropout(torch.ones(40_000), 0.5) == one).all()
    kept = torch.stack([one, two]).bool().double() - 0.5
    for lag in range(1, 9):  # four values come from one word: none tells of another
        assert abs(float((kept[0, lag:] * kept[0, :-lag]).mean())) < 5 * 0.25 / 200
    assert abs(float((kept[0] * kept[1]).mean())) < 5 * 0.25 / 200
    assert kept[0].view(-1, 4).mean(0).abs().max() < 5 * 0.5 / 100


def test_dropout_goes_on_and_off_wherever_it_is_called_from():
    x = torch.ones(1000)
    with OnCpu():
        assert (torch.nn.Dropout(0.5)(x) == 0).any()
        assert (F.dropout(x, 0.5, training=False) == 1).all()
        assert (F.dropout(x, 1.0) == 0).all()
    with OnCpu(dropout=False):
        assert (torch.nn.Dropout(0.5)(x) == 1).all()
        assert (torch.nn.Dropout2d(0.5)(x.view(1, 10, 10, 10)) == 1).all()
        assert (F.alpha_dropout(input=x, p=0.5, training=True) == 1).all()
        layer = torch.nn.MultiheadAttention(8, 2, dropout=0.5)
        y = torch.randn(5, 8)
        assert torch.equal(layer(y, y, y)[0], layer(y, y, y)[0])
        q, k, v = inputs(torch.float32)
        wanted = F.scaled_dot_product_attention(q, k, v)
        assert torch.equal(F.scaled_dot_product_attention(q, k, v, dropout_p=0.5), wanted)
