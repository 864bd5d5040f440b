"""Packing: nothing lost, nothing cut, little left empty, and the same gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from assay.errors import DataError
from assay.parts.text.packing import attention_mask, pack, packed_batch

CAPACITY = 24
LENGTHS = st.lists(st.integers(1, CAPACITY), max_size=60)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def best_fit_decreasing(lengths, capacity):
    """Tokens in each row by the definition of the rule; it does not matter which of two equals."""
    rows = []
    for length in sorted(lengths, reverse=True):
        fits = [row for row in range(len(rows)) if rows[row] + length <= capacity]
        if fits:
            rows[max(fits, key=rows.__getitem__)] += length
        else:
            rows.append(length)
    return sorted(rows)


# -- which sequences share a row ----------------------------------------------------------------


@given(LENGTHS)
def test_every_sequence_is_in_one_row_and_no_row_is_too_full(lengths):
    packing = pack(lengths, CAPACITY)
    rows = [packing.members(row).tolist() for row in range(len(packing.rows) - 1)]

    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(1 <= sum(lengths[k] for k in row) <= CAPACITY for row in rows)
    assert packing.fill == pytest.approx(sum(lengths) / max(len(rows) * CAPACITY, 1))


@given(LENGTHS)
def test_rows_are_those_of_best_fit_decreasing(lengths):
    packing = pack(np.array(lengths, dtype=np.int32), CAPACITY)
    rows = [packing.members(row) for row in range(len(packing.rows) - 1)]

    found = sorted(sum(lengths[k] for k in row) for row in rows)
    assert found == best_fit_decreasing(lengths, CAPACITY)


def test_little_is_left_empty():
    random = np.random.default_rng(11)
    lengths = np.clip(random.lognormal(5.3, 1.0, 13_000), 1, 2048).astype(int)
    packing = pack(lengths, 2048)

    assert packing.fill >= 0.99
    assert len(packing.rows) - 1 <= np.ceil(lengths.sum() / 2048) * 1.01


@pytest.mark.parametrize(("lengths", "number"), [([3, 25, 4], 1), ([3, 4, 0], 2), ([-1], 0)])
def test_a_sequence_that_fits_in_no_row_is_refused(lengths, number):
    with pytest.raises(DataError, match=rf"sequence {number}: has .*expected 1 to 24"):
        pack(lengths, 24)


# -- packed rows --------------------------------------------------------------------------------


@given(LENGTHS.filter(bool))
def test_packed_rows_give_the_sequences_back(lengths):
    sequences = [np.full(length, 10 + k) for k, length in enumerate(lengths)]
    packing = pack(lengths, CAPACITY)
    count = len(packing.rows) - 1
    packed = packed_batch(sequences, packing, range(count), length=CAPACITY + 3, pad=1)

    assert packed.ids.shape == (count, CAPACITY + 3)
    for row in range(count):
        used = sum(lengths[k] for k in packing.members(row))
        for number, k in enumerate(packing.members(row).tolist(), 1):
            of_it = packed.documents[row] == number
            assert packed.ids[row, of_it].tolist() == sequences[k].tolist()
            assert packed.positions[row, of_it].tolist() == list(range(lengths[k]))
        assert packed.ids[row, used:].tolist() == [1] * (CAPACITY + 3 - used)
        assert not packed.documents[row, used:].any()
        assert not packed.positions[row, used:].any()


def test_the_mask_is_block_diagonal_and_may_be_causal():
    documents = torch.tensor([[1, 1, 2, 2, 0]])
    expected = torch.tensor(
        [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]
    ).bool()

    assert attention_mask(documents, causal=False).equal(expected[None, None])
    assert attention_mask(documents, causal=True).equal(expected.tril()[None, None])


def test_padding_does_not_make_attention_undefined():
    mask = attention_mask(torch.tensor([[1, 2, 2, 0, 0]]), causal=True)
    states = torch.randn(1, 2, 5, 4, generator=torch.Generator().manual_seed(0))

    assert scaled_dot_product_attention(states, states, states, attn_mask=mask).isfinite().all()


def decoder():
    """A decoder with learned absolute positions, which would notice if they did not restart."""
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = GPT2Config(
            vocab_size=40, n_positions=32, n_embd=16, n_layer=2, n_head=2,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, initializer_range=0.3,
            bos_token_id=0, eos_token_id=2, attn_implementation="sdpa",
        )  # fmt: skip
        return GPT2LMHeadModel(config).train()


def gradients(model, losses):
    model.zero_grad()
    sum(losses).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def test_packed_and_unpacked_gradients_are_equal():
    model, random = decoder(), np.random.default_rng(4)
    lengths = [7, 3, 12, 5, 9, 2, 11]
    sequences = [random.integers(4, 40, length) for length in lengths]
    labels = [np.append(tokens[1:], -100) for tokens in sequences]

    def loss(ids, label, **options):
        logits = model(input_ids=torch.as_tensor(ids), use_cache=False, **options).logits
        return cross_entropy(logits.flatten(0, 1), torch.as_tensor(label).flatten(),
                             reduction="sum", ignore_index=-100)  # fmt: skip

    alone = [loss(ids[None], label[None]) for ids, label in zip(sequences, labels, strict=True)]
    packing = pack(lengths, 20)
    rows = range(len(packing.rows) - 1)
    ids = packed_batch(sequences, packing, rows, length=20, pad=1)
    label = packed_batch(labels, packing, rows, length=20, pad=-100)
    mask = attention_mask(torch.from_numpy(ids.documents), causal=True)
    positions = torch.from_numpy(ids.positions)
    together = loss(ids.ids, label.ids, attention_mask=mask, position_ids=positions)

    assert max(np.diff(packing.rows)) > 1
    assert together.item() == pytest.approx(sum(alone).item(), rel=1e-6)
    one, other = gradients(model, alone), gradients(model, [together])
    for name, expected in one.items():
        torch.testing.assert_close(other[name], expected, rtol=2e-5, atol=2e-5, msg=name)
