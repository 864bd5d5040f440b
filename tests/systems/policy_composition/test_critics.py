"""Critics of others as levels."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from assay.errors import DataError
from assay.systems.policy_composition import critics
from assay.systems.policy_composition.actions import actions_of, discrete
from assay.systems.policy_composition.critics import from_stable_baselines3, from_table
from assay.systems.policy_composition.environments import GridNavigation
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack

EXAMPLE = Path(__file__).parents[3] / "examples" / "prioritised_critics.py"
LOW, HIGH = np.array([-2.0, 0.0]), np.array([2.0, 0.5])


def small():
    """Arguments of a model; a fresh one for each, for it adds to them."""
    net = {"net_arch": [16]}
    return {"policy_kwargs": net, "device": "cpu", "seed": 0, "buffer_size": 100}


class Policy:
    """What the adapter asks of a Stable-Baselines3 policy; actions lie in [-2, 2]."""

    @staticmethod
    def obs_to_tensor(states):
        import torch

        return torch.as_tensor(states, dtype=torch.float32), True

    @staticmethod
    def scale_action(actions):
        return actions / 2.0

    @staticmethod
    def set_training_mode(mode):
        assert not mode


class Model:
    """What it asks of a model, but for the critic."""

    policy, device = Policy(), "cpu"

    @staticmethod
    def get_vec_normalize_env():
        return None


class Twins(Model):
    """A model with two critics: s + a and s - a, of scaled actions."""

    @staticmethod
    def critic(states, actions):
        return states + actions, states - actions


class Quantiles(Model):
    """A model with one critic of two quantiles."""

    @staticmethod
    def critic(states, actions):
        return (states + actions)[:, :, None].repeat(1, 1, 2)


class Tabular(Model):
    """A model with a value for each of three actions: s, 2 s, 3 s."""

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
    assert q(states[:0], actions[:0]).shape == (0, 2)


def test_a_network_with_a_value_per_action_is_a_level_too():
    level = IndifferenceSpace(from_stable_baselines3(Tabular()), 1.0, discrete(3), "net")
    stack = PriorityStack([level, level])

    assert stack.mask(np.array([[1.0], [-0.4]])).tolist() == [[False, True, True], [True] * 3]


def test_a_model_without_a_critic_of_actions_is_refused():
    with pytest.raises(DataError, match=r"object has no critic of actions; expected a SAC"):
        from_stable_baselines3(object())
    with pytest.raises(DataError, match=r"Quantiles has a critic of quantiles; expected a SAC"):
        from_stable_baselines3(Quantiles())(np.ones((2, 1)), np.ones((2, 3, 1)))


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("stable_baselines3", reason="needs stable-baselines3, of extra dev")


@pytest.fixture(scope="module")
def plane():
    """A world whose box of actions is neither symmetric nor [-1, 1]; it keeps what it was given."""
    import gymnasium
    from gymnasium.spaces import Box

    class Plane(gymnasium.Env):
        observation_space = Box(-10, 10, (3,), np.float32)
        action_space = Box(LOW.astype(np.float32), HIGH.astype(np.float32))

        def __init__(self):
            self.taken = []

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.observation_space.sample(), {}

        def step(self, action):
            self.taken.append(np.array(action))
            return self.np_random.uniform(-9, 9, 3).astype(np.float32), 1.0, False, False, {}

    return Plane


def least_of_twins(model, states, scaled):
    """Pair by pair, as Stable-Baselines3 computes it."""
    import torch

    with torch.no_grad():
        pairs = [
            model.critic(torch.as_tensor(s)[None].float(), torch.as_tensor(a)[None].float())
            for s, a in zip(states, scaled, strict=True)
        ]
    return [min(float(one), float(other)) for one, other in pairs]


@pytest.mark.parametrize("kind", ["SAC", "TD3"])
def test_a_genuine_actor_critic_says_what_its_own_twins_say(library, plane, kind, monkeypatch):
    model = getattr(library, kind)("MlpPolicy", plane(), **small())
    rng = np.random.default_rng(0)
    states, actions = rng.uniform(-9, 9, (7, 3)), rng.uniform(LOW, HIGH, (7, 5, 2))
    by_hand = 2 * (actions - [-2.0, 0.0]) / [4.0, 0.5] - 1
    expected = least_of_twins(model, np.repeat(states, 5, axis=0), by_hand.reshape(35, 2))
    q = from_stable_baselines3(model)

    assert q(states, actions).ravel() == pytest.approx(expected, abs=1e-6)
    monkeypatch.setattr(critics, "ROWS", 11)  # two states at a time, and one that is left
    assert q(states, actions).ravel() == pytest.approx(expected, abs=1e-6)


def test_actions_are_scaled_as_in_the_replay_buffer_of_the_model(library, plane):
    env = plane()
    model = library.SAC("MlpPolicy", env, learning_starts=30, **small()).learn(20)
    states, scaled = model.replay_buffer.observations[:20, 0], model.replay_buffer.actions[:20, 0]
    expected = least_of_twins(model, states, scaled)
    found = from_stable_baselines3(model)(states, np.array(env.taken)[:, None])

    assert np.ptp(np.array(env.taken), axis=0) == pytest.approx(HIGH - LOW, rel=0.4)
    assert found[:, 0] == pytest.approx(expected, abs=1e-6)


def test_a_zip_that_is_loaded_says_the_same(library, plane, tmp_path):
    model = library.TD3("MlpPolicy", plane(), learning_starts=4, batch_size=4, **small()).learn(8)
    model.save(tmp_path / "critic.zip")
    loaded = library.TD3.load(tmp_path / "critic.zip")
    rng = np.random.default_rng(0)
    states, actions = rng.uniform(-9, 9, (4, 3)), rng.uniform(LOW, HIGH, (4, 6, 2))
    found = from_stable_baselines3(loaded)(states, actions)

    assert found == pytest.approx(from_stable_baselines3(model)(states, actions), abs=1e-6)
    assert np.ptp(found) > 1e-3
    level = IndifferenceSpace(
        from_stable_baselines3(loaded), 0.0, actions_of(plane.action_space, 3)
    )
    mask = PriorityStack([level, level]).mask(states)
    assert mask.sum(axis=1).tolist() == [1] * 4


def test_states_are_normalised_as_the_model_saw_them(library, plane):
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    seen = VecNormalize(DummyVecEnv([plane]), clip_obs=5.0)
    model = library.SAC("MlpPolicy", seen, **small())
    seen.obs_rms.mean, seen.obs_rms.var = np.array([3.0, 0.0, 0.0]), np.array([4.0, 1.0, 1.0])
    expected = least_of_twins(model, [[-2.0, 0.5, 5.0]], [[-1.0, 1.0]])
    q = from_stable_baselines3(model)

    found = q(np.array([[-1.0, 0.5, 9.0]]), np.array([[[LOW[0], HIGH[1]]]]))
    assert found.ravel() == pytest.approx(expected, abs=1e-4)  # a hundred-millionth in the variance


def test_a_batch_does_not_change_what_a_network_that_normalises_says(library, plane):
    import torch

    model = library.SAC("MlpPolicy", plane(), **small())
    norm = torch.nn.BatchNorm1d(5)
    model.critic.qf0.insert(0, norm)
    model.policy.set_training_mode(True)
    q, rng = from_stable_baselines3(model), np.random.default_rng(0)
    states, actions = rng.uniform(-9, 9, (4, 3)), rng.uniform(LOW, HIGH, (4, 2, 2))

    assert q(states[:1], actions[:1]) == pytest.approx(q(states, actions)[:1], abs=1e-6)
    assert norm.num_batches_tracked == 0


def test_a_genuine_network_of_discrete_actions_says_what_its_own_network_says(library):
    import torch

    env = GridNavigation("goal")
    model = library.DQN("MlpPolicy", env, **small())
    level = IndifferenceSpace(from_stable_baselines3(model), 0.0, actions_of(env.action_space))
    ones = torch.eye(30)
    with torch.no_grad():
        expected = model.q_net.q_net(ones).numpy()

    assert level.values(np.arange(30)) == pytest.approx(expected, abs=1e-6)
    picked = level.values(np.array([4, 9]), np.array([[2, 0], [1, 1]]))
    assert picked == pytest.approx(np.array([expected[4, [2, 0]], expected[9, [1, 1]]]), abs=1e-6)
    said, _ = model.predict(np.arange(30), deterministic=True)
    assert level.mask(np.arange(30)).argmax(axis=1).tolist() == said.ravel().tolist()


def test_a_policy_gradient_has_nothing_to_stack(library, plane):
    with pytest.raises(DataError, match=r"a PPO has no critic of actions; expected a SAC"):
        from_stable_baselines3(library.PPO("MlpPolicy", plane(), device="cpu"))


@pytest.mark.slow
def test_the_example_keeps_clear_of_the_disc_and_says_who_refuses(library, tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    alone, stacked = (int(part.split()[-1].split("%")[0]) for part in done.stdout.split("%", 2)[:2])

    assert alone > 50
    assert stacked <= 1
    assert "allowed=False, forbidden_by='clear'" in done.stdout
