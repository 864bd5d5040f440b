"""Costs against the paper's formulas and table, and against a peer's counts of a real model."""

from dataclasses import replace

import numpy as np
import pytest

from assay.errors import ParameterError
from assay.systems.mixture_of_experts.costs import (
    PUBLISHED,
    TRAINING_TOKENS,
    Shape,
    active_parameters,
    actual_training_flops,
    computed_slots,
    forward_flops,
    gpu_days,
    parameters,
    published_costs,
    training_flops,
    training_memory,
)

ZETTA = 1e21
TABLE = {  # ZFLOPs and GPU-days as printed, some of them truncated
    "125M": (0.364, 140), "355M": (1.060, 408), "1.3B": (3.568, 1376), "2.7B": (7.077, 2730),
    "6.7B": (17.121, 6605), "13B": (32.675, 12605),
    "15B": (0.431, 166), "52B": (1.30, 502), "207B": (4.534, 1749), "1.1T": (22.275, 8594),
}  # fmt: skip
TINY = Shape(layers=4, width=32, inner=128, heads=2, vocabulary=300, length=16)
SPARSE = replace(TINY, experts=8)


@pytest.mark.parametrize("name", TABLE)
def test_the_papers_table_of_costs(name):
    zflops, days = TABLE[name]
    flops = training_flops(PUBLISHED[name].shape, TRAINING_TOKENS)

    assert flops / ZETTA == pytest.approx(zflops, rel=1e-3, abs=1e-3)
    assert gpu_days(flops) == pytest.approx(days, rel=2e-4, abs=1)


@pytest.mark.parametrize(("name", "zflops", "days"),
                         [("6.7B", 16.477, 6356), ("1.1T", 21.631, 8344)])  # fmt: skip
def test_the_largest_pair_as_it_was_trained(name, zflops, days):
    shape = replace(PUBLISHED[name].shape, length=1024)
    flops = training_flops(shape, TRAINING_TOKENS)

    assert flops / ZETTA == pytest.approx(zflops, rel=1e-3)
    assert gpu_days(flops) == pytest.approx(days, rel=2e-4, abs=1)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_papers_closed_form(name):
    family, _, shape = PUBLISHED[name]
    tokens, layers, d = TRAINING_TOKENS, shape.layers, shape.width
    share = 1 + shape.length / (6 * d) + shape.vocabulary / (16 * layers * d)
    expected = 96 * tokens * layers * d**2 * share
    if family == "sparse":
        expected += 32 * tokens * layers * d**2

    assert training_flops(shape, tokens) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("name", "billions"),
                         [("15B", 14.6), ("52B", 51.8), ("207B", 207), ("1.1T", 1104)])  # fmt: skip
def test_parameters_of_the_published_sparse_models(name, billions):
    count = parameters(PUBLISHED[name].shape) / 1e9
    digits = 1 if billions < 100 else 0

    assert round(count, digits) == billions


@pytest.mark.parametrize("name", ["125M", "1.3B", "13B"])
def test_dense_models_have_the_parameters_they_are_named_for(name):
    named = float(name[:-1]) * {"M": 1e6, "B": 1e9}[name[-1]]

    assert parameters(PUBLISHED[name].shape) == pytest.approx(named, rel=0.02)


def gpt2(shape):
    """The same shape as transformers builds it."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=shape.vocabulary, n_positions=shape.positions, n_embd=shape.width,
        n_layer=shape.layers, n_head=shape.heads, n_inner=shape.inner,
        attn_implementation="eager",
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def test_a_dense_model_has_the_parameters_of_gpt2():
    shape = replace(TINY, positions=24)

    assert parameters(shape) == gpt2(shape).num_parameters()


def test_operations_are_those_that_torch_counts_in_gpt2():
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = gpt2(replace(TINY, positions=TINY.length))
    ids = torch.zeros((3, TINY.length), dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, use_cache=False)

    assert counter.get_total_flops() == ids.numel() * sum(forward_flops(TINY))


def test_experts_are_copies_of_the_feed_forward_layer_and_a_router_chooses():
    d, f, mixtures = TINY.width, TINY.inner, TINY.layers // 2
    expert = 2 * d * f + f + d

    extra = parameters(SPARSE) - parameters(TINY)
    assert extra == mixtures * (7 * expert + 8 * d)
    extra = active_parameters(SPARSE) - active_parameters(TINY)
    assert extra == mixtures * (expert + 8 * d)
    assert active_parameters(TINY) == parameters(TINY)


def test_one_expert_is_a_dense_model():
    assert replace(TINY, experts=1).mixtures == 0
    assert parameters(replace(TINY, experts=1)) == parameters(TINY)
    assert forward_flops(replace(TINY, experts=1)) == forward_flops(TINY)


def test_which_layers_are_mixtures():
    assert [replace(SPARSE, layers=n).mixtures for n in (1, 2, 3, 4)] == [0, 1, 1, 2]
    assert replace(SPARSE, expert_every=1).mixtures == SPARSE.layers


def test_two_experts_cost_one_feed_forward_layer_more():
    dense, sparse = forward_flops(TINY), forward_flops(SPARSE)
    one = 4 * TINY.width * TINY.inner

    assert sparse.feed_forward - dense.feed_forward == 2 * one
    assert (sparse.attention, sparse.head) == (dense.attention, dense.head)


def test_a_gate_is_a_third_matrix():
    gated = replace(TINY, gated=True)

    assert forward_flops(gated).feed_forward == 1.5 * forward_flops(TINY).feed_forward
    d, f = TINY.width, TINY.inner
    assert parameters(gated) - parameters(TINY) == TINY.layers * (d * f - f - d)


def test_the_router_is_an_eighth_of_two_experts_at_width_256_with_512():
    shape = replace(SPARSE, width=256, inner=1024, experts=512, expert_every=1)
    flops = forward_flops(shape)

    assert flops.router / flops.feed_forward == 0.125


def test_the_actual_cost_counts_router_and_empty_slots():
    bare = training_flops(SPARSE, 100, recomputed=False)
    router = 3 * 100 * 2 * 2 * SPARSE.width * SPARSE.experts
    slot = 3 * 100 * 2 * 4 * SPARSE.width * SPARSE.inner

    assert actual_training_flops(SPARSE, 100) == bare + router
    assert actual_training_flops(SPARSE, 100, slots=3.5) == bare + router + 1.5 * slot
    assert actual_training_flops(TINY, 100) == training_flops(TINY, 100, recomputed=False)


def test_recomputing_runs_the_layers_once_more_but_not_the_head():
    once = forward_flops(TINY)

    more = training_flops(TINY, 10) - training_flops(TINY, 10, recomputed=False)
    assert more == 10 * (once.attention + once.feed_forward)


def test_slots_that_are_computed():
    loads = np.array([1, 64, 65, 0])

    assert computed_slots(loads) == 130
    assert computed_slots(loads, multiple=64) == 64 + 64 + 128
    assert computed_slots(loads, capacity=48) == 4 * 48  # dropped and empty places alike


def test_the_state_of_training_takes_sixteen_bytes_a_parameter():
    mixed, full = training_memory(10), training_memory(10, "fp32")

    assert (mixed.weights, mixed.master, mixed.moments, mixed.gradients) == (20, 40, 80, 20)
    assert (full.weights, full.master, full.moments, full.gradients) == (40, 0, 80, 40)
    assert (mixed.total, full.total) == (160, 160)
    assert (mixed.checkpoint, full.checkpoint) == (140, 120)


def test_the_published_models_as_records():
    rows = published_costs().frame()
    values = rows.pivot(index="model", columns="measure", values="value")

    assert set(values.index) == set(TABLE)
    assert rows.set_index("model")["family"]["15B"].iloc[0] == "sparse"
    at = values.loc["15B"]
    assert at["training_flops"] < at["training_flops_actual"] < 1.02 * at["training_flops"]
    assert at["memory_bytes"] == 16 * at["parameters"]
    assert at["active_parameters"] < 0.02 * at["parameters"]


@pytest.mark.parametrize(
    "wrong", [{"layers": 0}, {"heads": 3}, {"experts": 2, "choices": 3}, {"expert_every": 0}]
)
def test_a_shape_that_no_model_has(wrong):
    with pytest.raises(ParameterError):
        replace(TINY, **wrong)
