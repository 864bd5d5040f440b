"""The loop: it repeats, resumes to the same bits, weights every token alike, and tells."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from assay.core.task import Task, _current
from assay.errors import DataError, ParameterError, StepError
from assay.parts.training.fit import fit
from assay.parts.training.losses import Loss, token_loss
from assay.parts.training.recipe import Recipe, share_of_rate

RECIPE = Recipe(steps=8, rate=1e-2, precision="fp32", checkpoint_every=3)
VOCABULARY, WIDTH = 13, 16


class Small(nn.Module):
    """One layer of attention with dropout, statistics of a batch, and a tied head."""

    def __init__(self, dropout=0.2, statistics=True):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.mix = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.norm = nn.BatchNorm1d(WIDTH) if statistics else nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids):
        x = self.dropout(self.embedding(ids))
        q, k, v = self.mix(x).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        x = x + F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        return self.norm(x.flatten(0, 1)).view_as(x)


def small(seed=0, **fields):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Small(**fields)


def batches(step, micro=3):
    """Micro-batches of unequal length and with unequal numbers of targets."""
    random = np.random.default_rng([7, step])
    ids = torch.from_numpy(random.integers(VOCABULARY, size=(micro, 4, 6)))
    targets = ids.roll(-1, -1).clone()
    for k in range(micro):
        targets[k, :, 2 + k :] = -100
    return list(zip(ids, targets, strict=True))


def loss(model, batch):
    return token_loss(model(batch[0]), model.head.weight, batch[1])


def trained(folder, recipe=RECIPE, model=None, given=batches, **fields):
    model = small() if model is None else model
    return model, fit(model, given, loss, recipe, folder=folder, threads=1, **fields)


def same(one, two):
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def plainly(recipe, steps):
    """The same training in plain torch: one mean over all tokens of a step, one AdamW."""
    model = small(dropout=0.0, statistics=False)
    named = list(dict(model.named_parameters()).values())
    groups = [
        {"params": [p for p in named if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in named if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=recipe.rate, betas=recipe.betas, eps=recipe.epsilon)
    losses = []
    for step in range(steps):
        for group in adamw.param_groups:
            group["lr"] = recipe.rate * share_of_rate(step, recipe)
        logits = [F.linear(model(ids), model.head.weight) for ids, _ in batches(step)]
        targets = torch.cat([t.flatten() for _, t in batches(step)])
        mean = F.cross_entropy(torch.cat([x.flatten(0, 1) for x in logits]), targets)
        adamw.zero_grad()
        mean.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip or np.inf)
        adamw.step()
        losses.append(mean.item())
    return model, losses


@pytest.mark.parametrize("clip", [None, 0.05])
def test_it_trains_as_plain_torch_does_with_every_token_of_equal_weight(tmp_path, clip):
    recipe = dataclasses.replace(RECIPE, weight_decay=0.5, clip=clip)
    model, fitted = trained(tmp_path, recipe, small(dropout=0.0, statistics=False))
    wanted, losses = plainly(recipe, 8)

    assert fitted.losses == pytest.approx(losses, rel=1e-5)
    for one, two in zip(model.parameters(), wanted.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-5)
    assert (fitted.counts == 4 * (2 + 3 + 4)).all()
    assert fitted.tokens == 8 * 36


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, precision):
    recipe = dataclasses.replace(RECIPE, precision=precision, keep_at=(0, 4, 7))
    kept = {"whole": [], "killed": []}

    def keep(name):
        return lambda step, model: kept[name].append((step, model.mix.weight.clone()))

    whole, wanted = trained(tmp_path / "whole", recipe, on_keep=keep("whole"))
    taken = []

    def killed(step):
        taken.append(step)
        if len(taken) == 6:
            raise KeyboardInterrupt
        return batches(step)

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", recipe, given=killed, on_keep=keep("killed"))
    resumed, found = trained(tmp_path / "killed", recipe, given=killed, on_keep=keep("killed"))

    assert taken[6:] == [3, 4, 5, 6, 7]  # from the checkpoint, not from the start
    assert same(whole, resumed)
    assert (found.losses == wanted.losses).all()
    assert (found.counts == wanted.counts).all()
    assert (found.step_flops == wanted.step_flops).all()
    assert found.records() == wanted.records()
    by_step = dict(kept["killed"])
    assert [step for step, _ in kept["whole"]] == [0, 4, 7]
    assert all(torch.equal(by_step[step], weights) for step, weights in kept["whole"])


def test_a_run_that_is_done_is_not_done_again(tmp_path):
    one, wanted = trained(tmp_path)

    def nothing(step):
        raise AssertionError("no step is left")

    two, found = trained(tmp_path, given=nothing)

    assert same(one, two)
    assert (found.losses == wanted.losses).all()


def test_the_seed_decides_the_dropout_and_each_step_draws_anew(tmp_path):
    drawn = []

    class Noting(Small):
        def forward(self, ids):
            drawn.append(self.dropout(torch.ones(99)).tolist())
            return super().forward(ids)

    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        trained(tmp_path / name, model=Noting(), seed=seed)
    runs = [drawn[k : k + 24] for k in (0, 24, 48)]

    assert runs[0] == runs[1]
    assert all(x != y for x, y in zip(runs[0], runs[2], strict=True))
    assert len({tuple(mask) for mask in runs[0]}) == 24


def test_the_last_share_goes_without_dropout(tmp_path):
    dropped = []

    class Noting(Small):
        def forward(self, ids):
            dropped.append(bool((self.dropout(torch.ones(99)) == 0).any()))
            return super().forward(ids)

    recipe = dataclasses.replace(RECIPE, dropout_off_share=0.25)
    trained(tmp_path, recipe, Noting())

    assert dropped == [True] * 18 + [False] * 6


def test_in_bf16_the_model_that_was_given_keeps_fp32_weights(tmp_path):
    computed, kept = set(), []

    def watched(model, batch):
        hidden = model(batch[0])
        computed.add(hidden.dtype)
        return token_loss(hidden, model.head.weight, batch[1])

    model, recipe = small(), dataclasses.replace(RECIPE, precision="bf16", keep_at=(2, 8))
    fitted = fit(
        model, batches, watched, recipe, folder=tmp_path, threads=1,
        on_keep=lambda step, m: kept.append((m is model, m.training, m.mix.weight.clone())),
    )  # fmt: skip

    assert computed == {torch.bfloat16}
    assert fitted.precision == "bf16"
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not torch.equal(model.mix.weight, model.mix.weight.bfloat16().float())
    assert [(a, b) for a, b, _ in kept] == [(True, False)] * 2
    assert torch.equal(kept[1][2], model.mix.weight)
    assert not torch.equal(kept[0][2], model.mix.weight)
    assert model.norm.running_mean.abs().max() > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("training", [True, False])
def test_the_model_comes_back_in_the_mode_it_came_in(tmp_path, precision, training):
    recipe = dataclasses.replace(RECIPE, steps=1, precision=precision)

    model, _ = trained(tmp_path, recipe, small().train(training))

    assert model.training is training


def test_what_is_frozen_stays_and_what_is_tied_stays_tied(tmp_path):
    model = small()
    model.mix.requires_grad_(False)
    before = model.mix.weight.clone()

    _, fitted = trained(tmp_path, model=model)

    assert torch.equal(model.mix.weight, before)
    assert model.head.weight is model.embedding.weight
    assert fitted.parameters == VOCABULARY * WIDTH + 2 * WIDTH


@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_what_is_not_finite_is_refused_with_its_step_before_it_reaches_the_weights(tmp_path, bad):
    def poisoned(model, batch):
        total, count = loss(model, batch)
        if batch[2] == 4:
            weights = model.mix.weight
            root = (weights - weights.detach()).square().sum().sqrt()  # 0, with no derivative
            total = total + (torch.nan if bad == "loss" else root)
        return Loss(total, count)

    model = small()
    with pytest.raises(StepError) as caught:
        fit(
            model, lambda step: [(*b, step) for b in batches(step)], poisoned, RECIPE,
            folder=tmp_path, threads=1,
        )  # fmt: skip

    assert str(caught.value).startswith("training step 5: the loss is")
    assert "nan" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert all(p.isfinite().all() for p in model.parameters())


def test_an_error_of_a_micro_batch_is_told_with_its_step_once(tmp_path):
    def refusing(model, batch):
        raise StepError("no", where="layer 1")

    with pytest.raises(StepError) as caught:
        fit(small(), batches, refusing, RECIPE, folder=tmp_path)

    assert str(caught.value) == "training step 1: layer 1: no"


def test_a_step_in_which_nothing_counts_is_refused(tmp_path):
    def empty(step):
        return [(ids, targets.fill_(-100)) for ids, targets in batches(step)]

    with pytest.raises(DataError, match="training step 1: nothing in the batch counts"):
        trained(tmp_path, given=empty)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"rate": 0.5}, "rate"), ({"steps": 9}, "steps"), ({"precision": "bf16"}, "precision")],
)
def test_a_checkpoint_of_another_recipe_is_refused(tmp_path, change, said):
    trained(tmp_path)

    with pytest.raises(DataError, match=f"its {said} is"):
        trained(tmp_path, dataclasses.replace(RECIPE, **change))


def test_a_checkpoint_of_another_model_or_seed_is_refused(tmp_path):
    trained(tmp_path)

    with pytest.raises(DataError, match="its model is Small"):
        trained(tmp_path, model=small(statistics=False))
    with pytest.raises(DataError, match="its seed is 0; expected 1"):
        trained(tmp_path, seed=1)
    trained(tmp_path, dataclasses.replace(RECIPE, checkpoint_every=5))


def test_steps_to_keep_need_somebody_who_keeps(tmp_path):
    with pytest.raises(ParameterError, match="on_keep"):
        trained(tmp_path, dataclasses.replace(RECIPE, keep_at=(1,)))


def test_threads_and_random_numbers_of_the_process_stay_its_own(tmp_path):
    before, threads, seen = torch.random.get_rng_state(), torch.get_num_threads(), set()

    def noting(step):
        seen.add(torch.get_num_threads())
        return batches(step)

    fit(small(), noting, loss, RECIPE, folder=tmp_path, threads=threads + 1)

    assert seen == {threads + 1}
    assert (torch.random.get_rng_state() == before).all()
    assert torch.get_num_threads() == threads


def test_it_tells_of_precision_progress_throughput_and_memory(tmp_path):
    events = []
    token = _current.set(Task("fit", "key", 1, tmp_path, events.append))
    try:
        _, fitted = trained(tmp_path)
    finally:
        _current.reset(token)

    begun, *told = [e for e in events if e["kind"] == "training"]
    assert (begun["precision"], begun["reason"]) == ("fp32", "asked for")
    assert [e["training_step"] for e in told] == [*range(1, 9)]
    assert [e["loss"] for e in told] == fitted.losses.tolist()
    assert all(e["tokens_per_s"] > 0 and e["memory_mib"] > 0 for e in told)
    assert all(e["step"] == "fit" for e in events)
    progress = [e for e in events if e["kind"] == "progress"]
    assert (progress[-1]["done"], progress[-1]["unit"]) == (8.0, "steps")


def test_the_curve_has_as_many_points_as_asked_for(tmp_path):
    _, fitted = trained(tmp_path)

    rows = fitted.records(points=3).frame().pivot_table("value", "training_step", "measure")
    assert list(rows.index) == [3, 6, 8]
    assert rows["training_tokens"].tolist() == [108, 216, 288]
    assert rows["training_loss"][8] == pytest.approx(fitted.losses[6:].mean())
    assert rows["training_flops"][8] == fitted.flops == 8 * fitted.step_flops[0] > 0


def test_a_net_on_numbers_with_a_loss_over_cells_is_trained_alike(tmp_path):
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 1))

    def planes(step):
        x = torch.from_numpy(np.random.default_rng(step).standard_normal((2, 1, 6, 6))).float()
        return [(x, 2 * x, (x > -1).float())]

    def squares(net, batch):
        x, y, known = batch
        return Loss((known * (net(x) - y)).square().sum(), known.sum())

    recipe = Recipe(steps=100, rate=5e-2)
    fitted = fit(net, planes, squares, recipe, folder=tmp_path, threads=1)

    assert fitted.precision == "fp32"
    assert fitted.losses[-5:].mean() < 0.1 * fitted.losses[0]
