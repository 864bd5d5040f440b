"""Critics of others as levels: a table, or a critic of Stable-Baselines3."""

from typing import Any

import numpy as np

from assay.errors import DataError
from assay.systems.policy_composition.indifference import Quality

__all__ = ["from_stable_baselines3", "from_table"]

ROWS = 1 << 13
"""Most rows of a network at once."""


def from_table(table: np.ndarray) -> Quality:
    """A table ``[states, actions]`` of action values, for states and actions that are numbers.

    Raises:
        DataError: If it has another shape.

    Example:
        >>> q = from_table(np.array([[0.0, 1.0], [2.0, 3.0]]))
        >>> q(np.array([1]), np.array([[1, 0]])).tolist()
        [[3.0, 2.0]]
    """
    if np.ndim(table) != 2:
        raise DataError(f"a table of shape {np.shape(table)}", accepted="[states, actions]")
    values = np.asarray(table)
    return lambda states, actions: values[np.asarray(states)[:, None], actions]


def from_stable_baselines3(model: Any) -> Quality:
    """The critic of a trained SAC, TD3 or DDPG (the least of its twins) or DQN as a level.

    The values are those of the critic; of SAC they are soft values without the entropy of the next
    action. States and actions are given in the unit of the environment: states are normalised as
    the model's ``VecNormalize`` does, if it has one, which a zip does not hold. Values, and with
    them epsilon, are in the unit of the rewards that the model saw.

    Args:
        model: The model, loaded by Stable-Baselines3; as by its ``predict``, the network is set to
            evaluation.

    Raises:
        DataError: If the model has no critic of actions, such as PPO, or one of quantiles.
    """
    network = getattr(model, "critic", None) or getattr(model, "q_net", None)
    if network is None:
        raise _no_critic(model, "has no critic of actions")
    worth = _of_actions if hasattr(model, "critic") else _per_action

    def quality(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        rows, normaliser = max(ROWS // actions.shape[1], 1), model.get_vec_normalize_env()
        model.policy.set_training_mode(False)
        seen = states if normaliser is None else normaliser.normalize_obs(states)
        parts = [
            worth(model, network, seen[at : at + rows], actions[at : at + rows])
            for at in range(0, len(states), rows)
        ]
        return np.concatenate(parts) if parts else np.empty(actions.shape[:2], np.float32)

    return quality


def _no_critic(model: Any, why: str) -> DataError:
    return DataError(
        f"a {type(model).__name__} {why}", accepted="a SAC, TD3, DDPG or DQN of Stable-Baselines3"
    )


def _per_action(model: Any, network: Any, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Values by a network that has one for each action."""
    import torch

    with torch.no_grad():
        values = network(model.policy.obs_to_tensor(np.asarray(states))[0]).cpu().numpy()
    return np.take_along_axis(values, np.asarray(actions), axis=1)


def _of_actions(model: Any, network: Any, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Values by twins that are given the action, scaled to [-1, 1]."""
    import torch

    batch, count = actions.shape[:2]
    with torch.no_grad():
        seen, _ = model.policy.obs_to_tensor(np.repeat(states, count, axis=0))
        scaled = model.policy.scale_action(actions.reshape(batch * count, -1))
        twins = network(seen, torch.as_tensor(scaled, dtype=torch.float32, device=model.device))
        if not isinstance(twins, tuple):
            raise _no_critic(model, "has a critic of quantiles")
        least = torch.cat(twins, dim=1).min(dim=1).values
        return least.reshape(batch, count).cpu().numpy()
