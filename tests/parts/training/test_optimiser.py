"""AdamW on one flat tensor: it equals torch's, and small updates are not lost."""

import pytest
import torch
from torch import nn

from assay.parts.training import optimiser
from assay.parts.training.optimiser import FlatAdamW, in_order
from assay.parts.training.recipe import Recipe

PLAIN = Recipe(steps=1, rate=1e-4, weight_decay=0.0, betas=(0.9, 0.99))


class Tied(nn.Module):
    """An embedding that is the head as well, a norm, and a matrix that is frozen."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.norm = nn.LayerNorm(4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.head = nn.Linear(4, 7)
        self.head.weight = self.embedding.weight

    def forward(self, ids):
        return self.head(self.norm(self.frozen(self.embedding(ids))))


def loss_of(model):
    return model(torch.arange(7)).square().sum()


def test_updates_of_a_ten_thousandth_move_the_flat_weights_and_are_lost_in_bf16():
    flat, lost = (nn.Parameter(torch.ones(3, 2, dtype=torch.bfloat16)) for _ in range(2))
    ours = FlatAdamW([flat], PLAIN)
    torchs = torch.optim.AdamW([lost], lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0)
    for _ in range(1000):
        flat.grad, lost.grad = torch.ones_like(flat), torch.ones_like(lost)
        ours.collect()
        ours.update(1e-4, 1.0)
        torchs.step()

    assert ours.weights.numpy() == pytest.approx(0.9, abs=1e-4)
    assert flat.detach().float().numpy() == pytest.approx(0.9, abs=2**-8)
    assert (lost == 1.0).all()


def test_it_takes_the_steps_that_torch_takes():
    torch.manual_seed(0)
    model, other = Tied(), Tied()
    other.load_state_dict(model.state_dict())
    ours = FlatAdamW(list(model.parameters()), Recipe(steps=9, rate=1e-2, weight_decay=0.3))
    named = dict(other.named_parameters())
    matrices = [p for p in named.values() if p.requires_grad and p.ndim > 1]
    others = [p for p in named.values() if p.requires_grad and p.ndim < 2]
    torchs = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.3}, {"params": others, "weight_decay": 0.0}],
        lr=1e-2,
    )
    frozen = model.frozen.weight.clone()
    for _ in range(9):
        loss_of(model).backward()
        ours.collect()
        ours.update(1e-2, 0.5)
        (0.5 * loss_of(other)).backward()
        torchs.step()
        torchs.zero_grad()

    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter, named[name], atol=1e-6), name
    assert torch.equal(model.frozen.weight, frozen)
    assert model.head.weight is model.embedding.weight
    assert ours.weights.numel() == 7 * 4 + 4 + 4 + 7


@pytest.mark.parametrize("limit", [1, 8, 11, 10**9])
def test_weights_are_updated_alike_however_they_are_cut(monkeypatch, limit):
    shapes = [(5, 2), (3, 2, 2), (1, 9), (4,), (), (0, 3), (6,)]
    torch.manual_seed(3)
    given = [torch.randn(shape) for shape in shapes]
    given[0] = torch.randn(2, 5).T  # its rows are not contiguous
    monkeypatch.setattr(optimiser, "CHUNK", limit)
    cut = [nn.Parameter(values.clone()) for values in given]
    plain = [nn.Parameter(values.clone()) for values in given]
    ours = FlatAdamW(cut, Recipe(steps=9, rate=1e-2, weight_decay=0.3))
    decayed, others = ([p for p in plain if (p.ndim > 1) is wanted] for wanted in (True, False))
    torchs = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.3}, {"params": others, "weight_decay": 0.0}],
        lr=1e-2,
    )
    for _ in range(3):
        for one, other in zip(cut, plain, strict=True):
            one.grad = torch.randn(one.shape)
            other.grad = one.grad.clone()
        ours.collect()
        ours.update(1e-2, 1.0)
        torchs.step()

    assert sum(len(ours.weights[chunk.where]) for chunk in ours._chunks) == len(ours.weights)
    for one, other in zip(cut, plain, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_gradient_that_nothing_was_collected_for_is_zero():
    parameter = nn.Parameter(torch.ones(4, 4))
    ours = FlatAdamW([parameter], PLAIN)
    parameter.grad = torch.ones_like(parameter)
    ours.collect()
    ours.update(1e-2, 1.0)

    assert (ours.gradient == 0).all()


def test_gradients_are_added_up_in_fp32():
    parameter = nn.Parameter(torch.ones(4, 4, dtype=torch.bfloat16))
    ours = FlatAdamW([parameter], PLAIN)
    for value in (1.0, 2**-10, 2**-10):
        parameter.grad = torch.full_like(parameter, value)
        ours.collect()

    assert (ours.gradient == 1.0 + 2**-9).all()
    assert parameter.grad is None


def test_what_has_no_gradient_stays_but_for_decay():
    used, unused = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(3, 3))
    ours = FlatAdamW([used, unused], PLAIN)
    used.grad = torch.ones_like(used)
    ours.collect()
    ours.update(1e-2, 1.0)

    assert (used < 1).all()
    assert (unused == 1).all()


def test_its_state_brings_it_back_to_the_same_bits():
    def steps(ours, model, count):
        for _ in range(count):
            loss_of(model).backward()
            ours.collect()
            ours.update(1e-2, 1.0)

    torch.manual_seed(1)
    one = Tied()
    ours = FlatAdamW(list(one.parameters()), PLAIN)
    steps(ours, one, 3)
    kept = {name: value.clone() for name, value in ours.state().items()}
    steps(ours, one, 3)
    two = Tied()
    two.frozen.load_state_dict(one.frozen.state_dict())
    again = FlatAdamW(list(two.parameters()), PLAIN)
    again.restore(kept)
    steps(again, two, 3)

    for wanted, found in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(wanted, found)


def test_what_all_processes_have_lies_together_and_what_decays_comes_first():
    shapes = {"a": (2, 3), "b": (3,), "own c": (4, 1), "own d": (5,), "e": (1, 6)}
    given = {
        name: nn.Parameter(torch.full(shape, float(k)))
        for k, (name, shape) in enumerate(shapes.items())
    }
    own = {parameter for name, parameter in given.items() if name.startswith("own")}

    found = FlatAdamW(list(given.values()), PLAIN, own)

    names = {parameter: name for name, parameter in given.items()}
    order = [names[parameter] for parameter in in_order(given.values(), own)]
    assert order == ["own c", "a", "e", "b", "own d"]
    assert found.weights[found.shared].tolist() == [0.0] * 6 + [4.0] * 6 + [1.0] * 3
    assert [(chunk.where, chunk.decays) for chunk in found._chunks] == [
        (slice(0, 16), True),
        (slice(16, 24), False),
    ]
    assert FlatAdamW(list(given.values()), PLAIN).shared == slice(0, 24)
