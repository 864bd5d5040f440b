"""The choice of precision, and the copy that computes in bf16."""

import pytest
import torch
from torch import nn

from assay.errors import ParameterError
from assay.parts.training import precision
from assay.parts.training.precision import bf16_copy, choose


@pytest.mark.parametrize(
    ("fast", "width", "wanted"),
    [(True, 256, "bf16"), (True, 128, "bf16"), (True, 64, "fp32"), (False, 256, "fp32")],
)
def test_auto_goes_by_the_machine_and_the_width(monkeypatch, fast, width, wanted):
    monkeypatch.setattr(precision, "fast_bf16", lambda device: fast)

    choice = choose(nn.Sequential(nn.Embedding(3, 4), nn.Embedding(3, width)), "auto")

    assert choice.precision == wanted
    assert choice.reason


def test_a_model_whose_inputs_are_numbers_stays_in_fp32(monkeypatch):
    monkeypatch.setattr(precision, "fast_bf16", lambda device: True)

    assert choose(nn.Linear(512, 512), "auto").precision == "fp32"
    assert choose(nn.Linear(2, 2), "bf16").precision == "bf16"


@pytest.mark.parametrize(
    ("has", "fast"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, True),
        ({"amx_bf16": False, "avx512_bf16": True}, True),
        ({"amx_bf16": False, "avx512_bf16": False, "avx512_f": True}, False),
        ({}, False),  # a processor of another make
    ],
)
def test_whether_the_machine_is_fast_is_what_torch_says(monkeypatch, has, fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)

    assert precision.fast_bf16(torch.device("cpu")) is fast


def test_a_model_that_is_not_fp32_is_refused():
    with pytest.raises(ParameterError, match=r"torch\.float64.*expected float32"):
        choose(nn.Linear(2, 2).double(), "auto")


def test_the_copy_keeps_ties_and_buffers_and_leaves_the_model_alone():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3))
    model[1].weight = model[0].weight

    copied = bf16_copy(model)

    assert copied[1].weight is copied[0].weight
    assert {p.dtype for p in copied[:2].parameters()} == {torch.bfloat16}
    assert {t.dtype for t in (copied[2].weight, copied[2].running_mean)} == {torch.float32}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert copied[0].weight is not model[0].weight


def test_a_module_that_says_so_keeps_its_weights_in_fp32():
    class Gate(nn.Linear):
        fp32 = True

    model = nn.Sequential(nn.Linear(3, 3), Gate(3, 2))

    copied = bf16_copy(model)

    assert {p.dtype for p in copied[0].parameters()} == {torch.bfloat16}
    assert {p.dtype for p in copied[1].parameters()} == {torch.float32}
    assert copied[1].weight is not model[1].weight
