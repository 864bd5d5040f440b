"""Two streams: one pass says what one row per predicted position would say, and nothing leaks.

The rows of the reference go through torch's own encoder layers.
"""

import pytest
import torch
from torch import nn
from transformers import AutoModel

from assay.systems.denoising.model import Size, new_model

torch.set_num_threads(1)
LENGTH, VOCABULARY, MASK = 9, 30, 29
SIZE = Size(layers=2, width=16, heads=2, inner=32)


@pytest.fixture(scope="module")
def model():
    return new_model(
        "two_stream", SIZE, VOCABULARY, positions=16, seed=3, initial_deviation=0.4
    ).eval()


@pytest.fixture
def ids():
    return torch.randint(4, MASK, (1, LENGTH), generator=torch.Generator().manual_seed(1))


def orders():
    place = torch.arange(LENGTH)
    shuffled = torch.zeros(LENGTH, dtype=torch.long)
    shuffled[torch.tensor([6, 2, 4])] = torch.tensor([1, 2, 3])
    return {
        "left to right": (place, range(1, LENGTH)),
        "right to left": (place.flip(0), range(LENGTH - 1)),
        "prefix": ((place - 3).clamp(min=0), range(4, LENGTH)),
        "permuted": (shuffled, [6, 2, 4]),
    }


ORDERS = orders()
FULL_SIGHT = torch.zeros(LENGTH, dtype=torch.long)


def torch_layer(layer, width):
    """The same weights in a layer of torch."""
    peer = nn.TransformerEncoderLayer(
        width, layer.heads, layer.up.out_features, 0.0, "gelu", batch_first=True
    )
    linear = [layer.query, layer.key, layer.value]
    peer.self_attn.in_proj_weight.data = torch.cat([each.weight for each in linear]).detach()
    peer.self_attn.in_proj_bias.data = torch.cat([each.bias for each in linear]).detach()
    peer.self_attn.out_proj = layer.out
    peer.linear1, peer.linear2 = layer.up, layer.down
    peer.norm1, peer.norm2 = layer.attention_norm, layer.norm
    return peer.train()  # its dropout is 0; in evaluation it would take a fused path


def one_row(model, ids, order, position):
    """The position predicted alone: what it sees of the row, and a last element in its place.

    Only what is visible stands in the row, and the position itself if a mask hides its token;
    nothing sees the last element.
    """
    stand = [j for j in range(LENGTH) if order[j] <= order[position]]
    stand = [j for j in stand if j != position or ids[0, j] == MASK]
    places = model.positions.weight
    rows = [model.tokens.weight[ids[0, j]] + places[j] for j in stand]
    x = model.embedding_norm(torch.stack([*rows, model.place + places[position]]))[None]
    hidden = torch.ones(len(stand) + 1, len(stand) + 1, dtype=torch.bool)
    hidden[:-1, :-1] = order[stand][None, :] > order[stand][:, None]
    hidden[-1, :-1] = torch.tensor(stand) == position
    for layer in model.layers:
        x = torch_layer(layer, SIZE.width)(x, src_mask=hidden)
    return x[0, -1]


@pytest.mark.parametrize("name", [*ORDERS, "full sight"])
def test_one_pass_is_one_row_per_predicted_position(model, ids, name):
    order, predicted = ORDERS.get(name, (FULL_SIGHT, [2, 5]))
    predicted = list(predicted)
    if name == "full sight":
        ids[0, predicted] = MASK
    with torch.no_grad():
        found = model(ids, order[None], torch.tensor([predicted])).last_hidden_state[0]
        expected = torch.stack([one_row(model, ids, order, i) for i in predicted])
        weight = model.tokens.weight
        likelihoods = [(x @ weight.T).log_softmax(-1) for x in (found, expected)]
    torch.testing.assert_close(*likelihoods, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ORDERS)
def test_a_prediction_depends_on_what_its_order_shows_and_on_nothing_else(model, ids, name):
    order, predicted = ORDERS[name]
    with torch.no_grad():
        for i in predicted:
            told = model(ids, order[None], torch.tensor([[i]])).last_hidden_state
            for j in range(LENGTH):
                changed = ids.clone()
                changed[0, j] = 4 + (ids[0, j] - 3) % 20
                new = model(changed, order[None], torch.tensor([[i]])).last_hidden_state
                assert torch.equal(new, told) == bool(order[j] > order[i] or j == i)


def test_a_masked_token_does_not_reach_its_own_prediction(model, ids):
    """In full sight others of a row see a place, so its token must not stand there."""
    masked = ids.clone()
    masked[0, [2, 5]] = MASK
    with torch.no_grad():
        both = model(masked, predicted=torch.tensor([[2, 5]])).last_hidden_state
        first = model(masked, predicted=torch.tensor([[2]])).last_hidden_state
    torch.testing.assert_close(both[:, :1], first, atol=1e-5, rtol=0)


def test_padding_of_tokens_and_of_predictions_changes_nothing(model, ids):
    order, predicted = ORDERS["permuted"]
    wider = torch.cat([ids, torch.ones(1, 4, dtype=torch.long)], 1)
    far = torch.cat([order, torch.full((4,), LENGTH + 4)])
    with torch.no_grad():
        told = model(ids, order[None], torch.tensor([predicted])).last_hidden_state
        padded = model(wider, far[None], torch.tensor([[*predicted, 0, 0]])).last_hidden_state
        mask = (wider != 1).long()
        masked = model(
            wider,
            torch.cat([order, 0 * far[-4:]])[None],
            torch.tensor([predicted]),
            attention_mask=mask,
        ).last_hidden_state
    torch.testing.assert_close(padded[:, :3], told, atol=3e-5, rtol=0)
    torch.testing.assert_close(masked, told, atol=3e-5, rtol=0)


def test_a_query_that_sees_nothing_has_finite_gradients(ids):
    model = new_model("two_stream", SIZE, VOCABULARY, positions=16)
    model(ids, torch.arange(LENGTH)[None]).last_hidden_state.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert model.place.grad.abs().sum() > 0


def test_every_position_is_predicted_unless_told(model, ids):
    with torch.no_grad():
        left_out = model(ids).last_hidden_state
        told = model(ids, torch.zeros_like(ids), torch.arange(LENGTH)[None]).last_hidden_state
    assert torch.equal(left_out, told)


def test_places_can_be_told(model, ids):
    with torch.no_grad():
        told = model(ids, position_ids=torch.arange(LENGTH)[None]).last_hidden_state
        moved = model(ids, position_ids=torch.arange(1, LENGTH + 1)[None]).last_hidden_state
    assert torch.equal(told, model(ids).last_hidden_state)
    assert not torch.allclose(told, moved)


def test_dropout_acts_in_training_only(ids):
    model = new_model("two_stream", SIZE, VOCABULARY, positions=16, dropout=0.5)
    assert not torch.equal(*(model(ids).last_hidden_state for _ in range(2)))
    model.eval()
    assert torch.equal(*(model(ids).last_hidden_state for _ in range(2)))


def test_the_auto_class_loads_it(model, ids, tmp_path):
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path, local_files_only=True)
    with torch.no_grad():
        assert torch.equal(again(ids).last_hidden_state, model(ids).last_hidden_state)
