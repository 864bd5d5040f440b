"""Targets given their sources: what counts is the same for every family, and so is its meaning."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from assay.errors import DataError
from assay.systems.denoising.batches import conditional_batch
from assay.systems.denoising.likelihood import greedy_answers, model_loss, score, target_loss
from assay.systems.denoising.model import Size, new_model

torch.set_num_threads(1)
FAMILIES = ("bart", "causal", "two_stream")
SOURCES = [[5, 6, 7], [8], [9, 10, 11, 12]]
TARGETS = [[4], [5, 6, 13], []]
COUNTED = sum(len(target) + 1 for target in TARGETS)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return new_model(
        request.param, Size(1, 16, 2, 32), 30, positions=24, seed=2, initial_deviation=0.4
    ).eval()


def family(model):
    return {"bart": "bart", "gpt2": "causal"}.get(model.config.model_type, "two_stream")


def log_probability(model, source, target):
    """Of a target and its end, token by token, each from a row of its own."""
    total = 0.0
    for i, token in enumerate([*target, 2]):
        prefix = torch.tensor([[0, *source, 2]])
        if family(model) == "bart":
            decoder = torch.tensor([[2, 0, *target[:i]]])
            logits = model(input_ids=prefix, decoder_input_ids=decoder).logits[0, -1]
        elif family(model) == "causal":
            logits = model(torch.tensor([[0, *source, 2, *target[:i]]])).logits[0, -1]
        else:
            row = [0, *source, 2, *target[:i], 29]
            order = [0] * (len(source) + 2) + list(range(1, i + 2))
            last = torch.tensor([[len(row) - 1]])
            hidden = model(torch.tensor([row]), torch.tensor([order]), last).last_hidden_state
            logits = hidden[0, 0] @ model.tokens.weight.T
        total += logits.log_softmax(-1)[token].item()
    return total


def test_the_loss_is_the_likelihood_of_the_targets_written_one_by_one(model):
    with torch.no_grad():
        found = target_loss(model, SOURCES, TARGETS)
        expected = sum(log_probability(model, *each) for each in zip(SOURCES, TARGETS, strict=True))
    assert int(found.count) == COUNTED
    assert -found.total.item() == pytest.approx(expected, abs=1e-4)


def test_scores_are_those_of_the_loss_token_by_token(model):
    batch = conditional_batch(family(model), SOURCES, TARGETS)
    found = score(model, batch)
    assert int(found.counted.sum()) == COUNTED
    with torch.no_grad():
        total = model_loss(model, batch).total.item()
    assert found.log_likelihood.sum().item() == pytest.approx(-total, abs=1e-4)
    assert (found.log_likelihood[~found.counted] == 0).all()
    assert not found.correct[~found.counted].any()


def test_scoring_leaves_a_model_in_training_as_it_was():
    model = new_model("causal", Size(1, 16, 2, 32), 30, positions=24, dropout=0.5).train()
    batch = conditional_batch("causal", SOURCES, TARGETS)
    first, second = score(model, batch), score(model, batch)
    assert torch.equal(first.log_likelihood, second.log_likelihood)
    assert model.training


def test_a_greedy_answer_is_all_correct_under_its_own_scores(model):
    answers = greedy_answers(model, SOURCES, 5)
    assert all(len(answer) <= 5 and 2 not in answer for answer in answers)
    found = score(model, conditional_batch(family(model), SOURCES, answers))
    for row, answer in enumerate(answers):
        correct = found.correct[row][found.counted[row]].tolist()
        ended = len(answer) < 5
        assert correct[: len(answer) + ended] == [True] * (len(answer) + ended)


def test_an_answer_does_not_depend_on_the_rows_beside_it(model):
    together = greedy_answers(model, SOURCES, 5)
    assert together == [greedy_answers(model, [source], 5)[0] for source in SOURCES]


def test_answers_end():
    """A model sure of </s> answers nothing; one that never says it stops at the limit."""
    model = new_model("bart", Size(1, 16, 2, 32), 30, positions=24).eval()
    model.final_logits_bias[0, 2] = 50.0
    assert greedy_answers(model, SOURCES, 4) == [[], [], []]
    model.final_logits_bias[0, 2] = -50.0
    assert [len(answer) for answer in greedy_answers(model, SOURCES, 4)] == [4, 4, 4]


def test_bart_counts_as_transformers_does_but_for_the_begin_it_is_told():
    model = new_model("bart", Size(1, 16, 2, 32), 30, positions=24, initial_deviation=0.4).eval()
    labels = torch.tensor([[0, 5, 6, 13, 2]])
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[0, 8, 2]]), labels=labels).logits[0]
        found = target_loss(model, [SOURCES[1]], [TARGETS[1]])
    expected = cross_entropy(logits[1:], labels[0, 1:], reduction="sum")
    torch.testing.assert_close(found.total, expected, rtol=1e-5, atol=0)


def test_the_loss_can_be_computed_in_bf16(model):
    """As training does it: parameters in bf16, buffers as they are."""
    half = copy.deepcopy(model)
    for parameter in half.parameters():
        parameter.data = parameter.data.bfloat16()
    with torch.no_grad():
        found, expected = (target_loss(each, SOURCES, TARGETS) for each in (half, model))
    assert found.total.dtype == torch.float32
    torch.testing.assert_close(found.total, expected.total, rtol=0.05, atol=0)


def test_a_row_longer_than_the_positions_is_refused(model):
    with pytest.raises(DataError, match=r"row of 2[7-9] tokens.*at most the 24 positions"):
        target_loss(model, [[5] * 25], [[4]])
