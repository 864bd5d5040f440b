"""Critics of others as levels: a table, or a critic of Stable-Baselines3."""

from typing import Any

import numpy as np

from assay.errors import DataError
from assay.systems.policy_composition.indifference import Quality

__all__ = ["from_stable_baselines3", "from_table"]


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
    action. Actions are given in the unit of the environment.

    Args:
        model: The model, loaded by Stable-Baselines3.

    Raises:
        DataError: If the model has no critic of actions, such as PPO.
    """
    network = getattr(model, "critic", None) or getattr(model, "q_net", None)
    if network is None:
        raise DataError(
            f"a {type(model).__name__} has no critic of actions",
            accepted="a SAC, TD3, DDPG or DQN of Stable-Baselines3",
        )
    discrete = not hasattr(model, "critic")

    def quality(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        import torch

        with torch.no_grad():
            if discrete:
                seen, _ = model.policy.obs_to_tensor(np.asarray(states))
                values = network(seen).cpu().numpy()
                return np.take_along_axis(values, np.asarray(actions), axis=1)
            batch, count = actions.shape[:2]
            seen, _ = model.policy.obs_to_tensor(np.repeat(states, count, axis=0))
            scaled = model.policy.scale_action(actions.reshape(batch * count, -1))
            twins = network(seen, torch.as_tensor(scaled, dtype=torch.float32, device=model.device))
            least = torch.cat(list(twins), dim=1).min(dim=1).values
            return least.reshape(batch, count).cpu().numpy()

    return quality
