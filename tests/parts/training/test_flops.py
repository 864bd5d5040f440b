"""Operations are counted as the formula says, attention included."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from assay.parts.training.cpu import OnCpu
from assay.parts.training.flops import FlopMeter, shape_of, training_flops


def test_a_product_forward_and_backward_is_six_per_weight_and_row():
    meter, batch = FlopMeter(), torch.randn(5, 7, requires_grad=True)
    with meter.of(batch):
        F.linear(batch, torch.randn(3, 7, requires_grad=True)).sum().backward()

    assert meter(batch) == training_flops(3 * 7, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_is_counted_whichever_way_it_is_computed(dtype):
    meter, batch = FlopMeter(), torch.randn(2, 3, 6, 8, dtype=dtype, requires_grad=True)
    with OnCpu(), meter.of(batch):
        F.scaled_dot_product_attention(batch, batch, batch).sum().backward()

    by_formula = training_flops(0, 2 * 6, layers=1, width=3 * 8, length=6)
    again = by_formula // 6 if dtype == torch.float32 else 0  # the fused one makes scores twice
    assert meter(batch) == by_formula + again


def test_a_shape_is_counted_once():
    meter = FlopMeter()
    for rows in (4, 4, 8):
        batch = torch.randn(rows, 2)
        with meter.of(batch):
            batch @ torch.randn(2, 2)

    assert meter.known == {(4, 2): 4 * 2 * 2 * 2, (8, 2): 8 * 2 * 2 * 2}


def test_the_shape_of_a_batch_is_that_of_all_in_it():
    a, b = torch.zeros(2, 3), torch.zeros(4)

    assert shape_of({"y": b, "x": (a, "text", 5)}) == (("x", ((2, 3), (), ())), ("y", (4,)))
    assert shape_of([a]) != shape_of([b])


def test_a_step_that_is_counted_computes_the_same_bits():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.SiLU(), torch.nn.Linear(64, 1))
    batch, meter, gradients = torch.randn(256, 64), FlopMeter(), []
    for _ in range(2):  # the first of a shape is counted
        net.zero_grad()
        with meter.of(batch):
            net(batch).square().sum().backward()
        gradients.append([p.grad.clone() for p in net.parameters()])

    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
