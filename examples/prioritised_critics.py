"""Two critics of Stable-Baselines3 in order of priority: keep out of a disc, then reach a goal.

Each SAC learns a reward of its own. The first then says which moves it would not mind; the second
chooses among them. Epsilon, what the first gives up, is searched for by the walks it leads to.
"""

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from stable_baselines3 import SAC

from assay.systems.policy_composition.actions import actions_of
from assay.systems.policy_composition.critics import from_stable_baselines3
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack
from assay.systems.policy_composition.thresholds import calibrate


class Plane(gymnasium.Env):
    """A point walks in a square; a disc of radius 0.4 lies in its way to the goal."""

    observation_space, action_space = Box(-1, 1, (2,)), Box(-0.2, 0.2, (2,))

    def __init__(self, task):
        self.costs = task == "clear", task == "goal"

    def reset(self, *, seed=None, options=None):
        """Begin anywhere, the disc included."""
        super().reset(seed=seed)
        self.at, self.taken = self.np_random.uniform(-1, 1, 2).astype(np.float32), 0
        return self.at, {}

    def step(self, action):
        """Move, 20 times in all."""
        self.at, self.taken = np.clip(self.at + action, -1, 1), self.taken + 1
        disc, goal = np.hypot(*self.at), np.hypot(*(self.at - [0.7, 0]))
        cost = self.costs @ np.array([np.exp(-12.5 * disc**2) + (disc < 0.4), goal])
        return self.at, -float(cost), False, self.taken == 20, {}


def walks(epsilon, *tasks):
    """Shares of 100 walks from the left that meet the disc and that end at the goal; the policy."""
    stack = PriorityStack([IndifferenceSpace(CRITICS[t], epsilon, MOVES, t) for t in tasks])
    at, met = np.column_stack([np.full(100, -0.8), np.linspace(-0.5, 0.5, 100)]), False
    for _ in range(20):
        at = np.clip(at + stack.sample(at, np.random.default_rng(0), greedy=True), -1, 1)
        met |= np.hypot(*at.T) < 0.4
    return np.mean(met), np.mean(np.hypot(*(at - [0.7, 0]).T) < 0.2), stack


HOW = {"learning_starts": 200, "learning_rate": 5e-3, "gamma": 0.8, "ent_coef": 0.01, "seed": 0}
MOVES, CRITICS = actions_of(Plane.action_space, per_axis=9), {}
for task in ("clear", "goal"):  # or SAC.load("mine.zip"), trained before
    model = SAC("MlpPolicy", Plane(task), policy_kwargs={"net_arch": [32, 32]}, **HOW).learn(500)
    CRITICS[task] = from_stable_baselines3(model)
found = calibrate(lambda epsilon: walks(epsilon, *CRITICS)[0], target=0.01, evaluations=8)
met, arrived, stack = walks(found.epsilon, *CRITICS)
print(f"Walks that meet the disc: {walks(0, 'goal')[0]:.0%}, or {met:.0%} in order of priority,")
print(f"at an epsilon of {found.epsilon:.2g}; {arrived:.0%} then end at the goal.")
print(stack.explain(np.array([-0.5, 0.0]), np.array([0.2, 0.0])))
