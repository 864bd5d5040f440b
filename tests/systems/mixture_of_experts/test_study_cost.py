"""The published models against what is reported of them and a peer; pairs of equal operations."""

from dataclasses import replace

import pytest
import torch
from transformers import XGLMConfig, XGLMForCausalLM

from assay.errors import ParameterError
from assay.parts.text.stories import story
from assay.systems.mixture_of_experts import published
from assay.systems.mixture_of_experts.costs import (
    PUBLISHED,
    Shape,
    actual_training_flops,
    dense_twin,
    forward_flops,
    parameters,
    training_flops,
)
from assay.systems.mixture_of_experts.data import kind_tokens, shared_tokenizer, text_kinds
from assay.systems.mixture_of_experts.figures_studies import (
    published_costs_table,
    step_ratios,
    steps_costs_table,
)
from assay.systems.mixture_of_experts.model import new_decoder
from assay.systems.mixture_of_experts.pairs import paired_costs, slots_of_a_step
from assay.systems.mixture_of_experts.published import built_parameters, published_models
from assay.systems.mixture_of_experts.study_cost import cost

SPARSE = Shape(layers=4, width=32, inner=128, heads=2, vocabulary=300, length=16, experts=8)


def values(records, measure, **keys):
    rows = [row for row in records if row["measure"] == measure]
    return [r["value"] for r in rows if all(r[k] == v for k, v in keys.items())]


# -- the published models -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def counted():
    return published_models()


def test_published_models_are_what_is_reported_of_them(counted):
    assert values(counted, "parameter_error") == [0.0] * 10
    assert max(values(counted, "closed_form_error")) < 1e-12
    assert max(values(counted, "gpu_days_error")) < 1.5
    assert len(values(counted, "published_parameter_error")) == 4
    assert max(values(counted, "published_parameter_error")) < 0.01


@pytest.mark.parametrize("name", ["125M", "13B"])
def test_a_dense_model_has_the_parameters_of_the_peer_of_its_shape(name):
    shape = PUBLISHED[name].shape
    with torch.device("meta"):
        peer = XGLMForCausalLM(
            XGLMConfig(
                vocab_size=shape.vocabulary, d_model=shape.width, num_layers=shape.layers,
                attention_heads=shape.heads, ffn_dim=shape.inner,
            )
        )  # fmt: skip

    assert built_parameters(shape) == peer.num_parameters()


def test_a_model_that_is_not_the_one_reported_is_told(monkeypatch):
    more = replace(PUBLISHED["15B"].shape, experts=520)
    monkeypatch.setitem(PUBLISHED, "15B", PUBLISHED["15B"]._replace(shape=more))
    found = published_models(models=["15B"])
    assert values(found, "parameter_error") == [0.0]
    assert values(found, "published_parameter_error")[0] > 0.01

    monkeypatch.setattr(published, "built_parameters", lambda shape: parameters(shape) + 3)
    assert values(published_models(models=["125M"]), "parameter_error") == [3.0]


def test_the_table_tells_what_a_sparse_model_costs_over_its_skeleton(counted):
    table = published_costs_table(counted.frame()).set_index("model")

    assert list(table.index) == list(PUBLISHED)
    over = table["over its dense model"]
    ratios = {"15B": 1.19, "52B": 1.23, "207B": 1.27, "1.1T": 1.30}
    assert {name: round(over[name], 2) for name in ratios} == ratios
    assert (over[["125M", "13B"]] == 1).all()
    assert table.loc["1.1T", "weights (GB)"] == pytest.approx(2208, rel=0.01)


def test_the_preset_paper_builds_the_models_and_nothing_else(tmp_path):
    plan = cost().plan("paper")
    assert {node.step for node in plan.nodes.values()} == {"counted"}

    run = cost().run("paper", store=tmp_path, workers=0, progress=False)
    assert run.ok, run.summary["errors"]
    assert {c["id"]: c["passed"] for c in run.checks} == {
        **dict.fromkeys(("K1", "K2", "K3", "K4"), True),
        "K5": None,
    }
    page = (run.folder / "report" / "report.md").read_text()
    assert "What the published models cost" in page
    assert "1.1T" in page


# -- pairs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [SPARSE, replace(SPARSE, choices=1), replace(SPARSE, expert_every=1)]
)
def test_a_dense_twin_costs_the_same_by_the_papers_count(shape):
    twin = dense_twin(shape)

    assert twin.family == "dense"
    assert training_flops(twin, 7) == training_flops(shape, 7)
    assert forward_flops(twin).feed_forward == forward_flops(shape).feed_forward


def test_a_dense_twin_of_uneven_layers_is_refused():
    with pytest.raises(ParameterError, match="no dense twin"):
        dense_twin(replace(SPARSE, layers=3, inner=128))


def test_the_rows_that_are_computed_are_those_that_were_taken_or_fill_up():
    ids = torch.randint(3, 50, (4, 33), generator=torch.Generator().manual_seed(1))
    given = {"vocabulary": 50, "width": 16, "layers": 2, "heads": 2, "positions": 32, "seed": 1}
    free, tight, dense = (
        new_decoder(**given, **more)
        for more in (
            {"experts": 4, "capacity_factor": None},
            {"experts": 4, "capacity_factor": 0.25},
            {},
        )
    )

    assert slots_of_a_step(free, ids, "fp32") == 2.0
    assert slots_of_a_step(tight, ids, "fp32") <= 4 * (2 * 8) / 128
    filled = slots_of_a_step(free, ids, "bf16") * 128
    assert filled % 64 == 0
    assert filled > 256  # what the four experts took, had nothing filled up
    assert slots_of_a_step(dense, ids, "fp32") is None


@pytest.fixture(scope="module")
def pairs(step, tmp_path_factory):
    """Records of two pairs of one width."""
    mine = tmp_path_factory.mktemp("mine")
    for k in range(20):
        (mine / f"{k}.txt").write_text(story(1, k).text)
    texts = step("texts", text_kinds, path=mine)
    tokenizer = step("tokenizer", shared_tokenizer, texts, vocabulary=300)
    tokens = step("tokens", kind_tokens, texts, tokenizer).tokens
    return step(
        "pairs", paired_costs, tokens, tokenizer, widths=[16], experts=[2, 4], layers=2, heads=2,
        length=16, batch=4, steps=2, precision="fp32", seed=1,
    )  # fmt: skip


def test_a_pair_costs_the_same_by_one_count_and_not_by_the_other(pairs):
    assert values(pairs, "flops_error") == [0.0, 0.0]
    for experts in (2, 4):
        dense, sparse = (
            values(pairs, "step_flops", experts=experts, family=family)
            for family in ("dense", "sparse")
        )
        assert dense == sparse
    shape = Shape(layers=2, width=16, inner=96, heads=2, vocabulary=300, length=16)
    twin = values(pairs, "step_flops_computed", experts=4, family="dense")
    assert twin == [actual_training_flops(shape, 64)]
    made = replace(shape, inner=64, experts=4)
    computed = values(pairs, "step_flops_computed", experts=4, family="sparse")
    assert computed == [actual_training_flops(made, 64, slots=2.0)]  # in fp32 nothing fills up
    assert all(seconds > 0 for seconds in values(pairs, "step_seconds"))
    [files] = values(pairs, "weights_bytes", experts=4, family="sparse")
    [count] = values(pairs, "parameters", experts=4, family="sparse")
    assert 4 * count < files < 4 * count + 8192


def test_ratios_and_table_are_those_of_the_records(pairs):
    frame = pairs.frame().assign(seed=0, trial=0)
    ratios = step_ratios(frame)
    at = ratios[(ratios["experts"] == 4) & (ratios["cost"] == "seconds")]
    dense, sparse = (
        values(pairs, "step_seconds", experts=4, family=family)[0] for family in ("dense", "sparse")
    )
    assert at["value"].tolist() == [pytest.approx(sparse / dense)]
    paper = ratios[ratios["cost"] == "operations, paper's count"]
    assert paper["value"].tolist() == [1.0, 1.0]

    table = steps_costs_table(frame)
    assert table["model"].tolist() == ["16 wide", "16 wide, 2 experts", "16 wide, 4 experts"]
