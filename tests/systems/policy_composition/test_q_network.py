"""The network of a learned level: the same values with and without a gradient, for any shape."""

import numpy as np
import pytest
import torch

from assay.systems.policy_composition import q_network
from assay.systems.policy_composition.q_network import QNetwork, Quality, tanh, tensor


def network():
    torch.manual_seed(0)
    made = QNetwork(2, 3, width=16, depth=3, scale=2.0)
    with torch.no_grad():
        for weights in made.parameters():
            weights.mul_(3.0)  # far enough from 0 that tanh bends
    return made


def by_hand(made, states, actions):
    """The layers one by one, of every pair of state and action, in double precision."""
    made = made.double()
    flow = torch.tanh(
        made.of_state(torch.from_numpy(states) / 2.0)[:, None]
        + made.of_action(torch.from_numpy(np.array(actions)))
    )
    for layer in made.hidden:
        flow = torch.tanh(layer(flow))
    return made.out(flow)[..., 0].detach().numpy()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("batch", [1, 2, 50])
def test_values_are_those_of_the_layers(monkeypatch, shared, batch):
    monkeypatch.setattr(q_network, "ROWS", 20)  # several parts
    random = np.random.default_rng(0)
    states, actions = random.normal(size=(batch, 2)), random.normal(size=(batch, 5, 3))
    if shared:
        actions = np.broadcast_to(actions[:1], actions.shape)
    given = states.copy(), actions.copy()

    found = Quality(network())(states, actions)

    assert found.shape == (batch, 5)
    assert np.allclose(found, by_hand(network(), states, actions), atol=1e-5)
    assert np.array_equal(states, given[0])  # nothing given is overwritten
    assert np.array_equal(actions, given[1])


def test_values_are_the_same_while_a_gradient_is_asked_for():
    made = network()
    states, actions = torch.randn(7, 2), torch.randn(7, 5, 3)

    values = made(states, actions)
    values.sum().backward()

    assert np.allclose(values.detach(), Quality(made)(states.numpy(), actions.numpy()), atol=1e-5)
    assert all(float(p.grad.abs().sum()) > 0 for p in made.parameters())


def test_of_one_action_in_each_state_there_is_one_value():
    made, states, actions = network(), torch.randn(7, 2), torch.randn(7, 3)

    assert torch.allclose(made(states, actions), made(states, actions[:, None])[:, 0], atol=1e-6)


def test_the_hyperbolic_tangent_without_a_gradient_is_that_with_one():
    at = torch.cat([torch.linspace(-20, 20, 4001), torch.tensor([0.0, 1e-6, -200.0, 200.0])])
    exact = torch.tanh(at.double())

    with torch.no_grad():
        found = tanh(at.clone())

    assert (found.double() - exact).abs().max() < 2e-7
    assert found[-4] == 0.0
    assert torch.equal(tanh(at), torch.tanh(at))


def test_arrays_are_taken_in_single_precision_and_in_one_piece():
    found = tensor(np.arange(6.0).reshape(2, 3).T)

    assert found.dtype == torch.float32
    assert found.is_contiguous()
