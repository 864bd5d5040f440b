"""Critics of others as levels."""

import numpy as np
import pytest

from assay.errors import DataError
from assay.systems.policy_composition.actions import actions_of, box, discrete
from assay.systems.policy_composition.critics import from_stable_baselines3, from_table
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack


class Policy:
    """What the adapter asks of a Stable-Baselines3 policy; actions lie in [-2, 2]."""

    def obs_to_tensor(self, states):
        import torch

        return torch.as_tensor(states, dtype=torch.float32), True

    def scale_action(self, actions):
        return actions / 2.0


class Twins:
    """A model with two critics: s + a and s - a, of scaled actions."""

    policy, device = Policy(), "cpu"

    @staticmethod
    def critic(states, actions):
        return states + actions, states - actions


class Tabular:
    """A model with a value for each of three actions: s, 2 s, 3 s."""

    policy, device = Policy(), "cpu"

    @staticmethod
    def q_net(states):
        import torch

        return states * torch.tensor([1.0, 2.0, 3.0])


def test_a_table_is_looked_up_row_by_row():
    q = from_table(np.arange(6.0).reshape(2, 3))

    assert q(np.array([1, 0]), np.array([[0, 2], [1, 1]])).tolist() == [[3.0, 5.0], [1.0, 1.0]]
    with pytest.raises(DataError, match=r"shape \(3,\)"):
        from_table(np.zeros(3))


def test_of_twin_critics_the_least_counts_and_actions_are_scaled():
    q = from_stable_baselines3(Twins())
    states, actions = np.array([[1.0], [5.0]]), np.array([[[2.0], [-1.0]], [[0.0], [2.0]]])

    assert q(states, actions).tolist() == [[0.0, 0.5], [5.0, 4.0]]


def test_a_network_with_a_value_per_action_is_a_level_too():
    level = IndifferenceSpace(from_stable_baselines3(Tabular()), 1.0, discrete(3), "net")
    stack = PriorityStack([level, level])

    assert stack.mask(np.array([[1.0], [-0.4]])).tolist() == [[False, True, True], [True] * 3]


def test_a_model_without_a_critic_of_actions_is_refused():
    with pytest.raises(DataError, match=r"object has no critic of actions; expected a SAC"):
        from_stable_baselines3(object())


@pytest.mark.slow
def test_critics_of_stable_baselines3_itself_stack():
    library = pytest.importorskip("stable_baselines3")
    from assay.systems.policy_composition.environments import GridNavigation, PointNavigation

    def made(kind, env, **more):
        net = {"net_arch": [16]}
        return from_stable_baselines3(
            kind("MlpPolicy", env, policy_kwargs=net, device="cpu", **more)
        )

    env = PointNavigation("top")
    actions = actions_of(env.action_space, 5)
    kinds = {"sac": library.SAC, "td3": library.TD3}
    levels = [IndifferenceSpace(made(k, env), 0.1, actions, name) for name, k in kinds.items()]
    states = np.random.default_rng(0).uniform(-10, 10, (7, 2))
    assert PriorityStack(levels).mask(states).any(axis=1).all()
    assert actions.same_space(box([-1, -1], [1, 1]))

    cells = GridNavigation("goal")
    net = made(library.DQN, cells, buffer_size=10)
    level = IndifferenceSpace(net, 0.1, actions_of(cells.action_space))
    assert level.mask(np.arange(30)).shape == (30, 5)
