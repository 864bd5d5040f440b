"""Learning of point navigation beside SAC of Stable-Baselines3, and what a mask costs.

    python benchmarks/policy_composition.py [--quick] [--json FILE]

One process, one thread, rounds interleaved, CPU time; ratios are medians over rounds.

* steps: environment steps of training per CPU second, on the task `top`. Equal on both sides are
  the width and depth of every network (64, 3, tanh), the batch (256), the environments stepped
  together and the environment steps per gradient step (16). Not equal is what a gradient step
  does: SAC updates two critics, an actor and its temperature, and asks three networks for targets;
  ours updates one critic, and asks one network for the targets of 16 proposals, of as many
  transitions as four gradient steps in a hundred see. SAC steps `PointNavigation` of Gymnasium,
  ours the same world as one array. `SAC, as it comes` takes a gradient step for every step of one
  environment, as its defaults do, with the same networks.
* return: CPU seconds of training until both, acting greedily from the same 300 starts, earn a mean
  return of the task of -15 in 100 steps; evaluation is not counted. SAC is asked every so many
  steps, and has its defaults but for the networks and, in one way, the steps per gradient step; it
  is cut short after 120 CPU seconds, after 5 with --quick, and its ratio is then a lower bound.
  Ours, whose learning rate falls to the end, is trained anew with twice the budget until it
  suffices, and what the smaller budgets cost is told too.
* mask: CPU microseconds per state for what k levels of such networks leave of 17 x 17 candidates,
  beside the candidates' values by one of these networks.

Only the ratios travel between machines.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv

from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.actions import box
from assay.systems.policy_composition.environments import PointNavigation
from assay.systems.policy_composition.indifference import IndifferenceSpace
from assay.systems.policy_composition.navigation import TASKS
from assay.systems.policy_composition.oracle import joint_mask
from assay.systems.policy_composition.practice import Schedule
from assay.systems.policy_composition.q_network import QNetwork, Quality
from assay.systems.policy_composition.soft_q import learn_soft_q
from assay.systems.policy_composition.surroundings import PointSurroundings

WIDTH, DEPTH, TOGETHER, GOAL, RETURN = 64, 3, 16, 5.0, -15.0
MOVES = box([-1, -1], [1, 1], 17)
Policy = Callable[[np.ndarray], np.ndarray]


def timed(run: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def sac(together: int, **given: Any) -> SAC:
    """A SAC with networks as wide and deep as ours and a gradient step after every step of all."""
    environments = DummyVecEnv([lambda: PointNavigation("top")] * together)
    net = {"net_arch": [WIDTH] * DEPTH, "activation_fn": torch.nn.Tanh}
    return SAC(
        "MlpPolicy", environments, policy_kwargs=net, device="cpu", batch_size=256, train_freq=1,
        gradient_steps=1, **given,
    )  # fmt: skip


def network(seed: int) -> QNetwork:
    """What actions are worth, untrained."""
    torch.manual_seed(seed)
    return QNetwork(2, 2, WIDTH, DEPTH)


def ours(rounds: int, seed: int) -> Policy:
    """Train for so many rounds of 1,600 environment steps; the greedy policy."""
    trained = network(seed)
    space = PointSurroundings("top")
    learn_soft_q(Schedule(rounds=rounds), seed, trained, MOVES, surroundings=space)
    level = IndifferenceSpace(Quality(trained), 0.0, MOVES)
    return lambda states: MOVES.candidates[level.values(states).argmax(axis=1)]


def earned(policy: Policy) -> float:
    """Mean return of the task in 300 episodes of 100 steps."""
    states, total = navigation.starts(300, np.random.default_rng(0)), np.zeros(300)
    for _ in range(100):
        states = navigation.move(states, policy(states).astype(float))
        total += navigation.rewards(states)[:, TASKS.index("top")]
    return float(total.mean())


def measure_steps(rounds: int, quick: bool) -> list[dict[str, Any]]:
    """Environment steps per CPU second of training."""
    parts = {"SAC, 16 steps a gradient": (800 if quick else 3200, TOGETHER),
             "SAC, as it comes": (50 if quick else 200, 1)}  # fmt: skip
    models = {way: sac(n, learning_starts=0, seed=0) for way, (_, n) in parts.items()}
    speeds: dict[str, list[float]] = {name: [] for name in (*parts, "ours")}
    for number in range(rounds + 1):
        for way, (steps, _) in parts.items():
            model = models[way]
            spent = timed(lambda m=model, s=steps: m.learn(s, reset_num_timesteps=False))
            speeds[way].append(steps / spent)
        some = 1 if quick else 4
        speeds["ours"].append(1600 * some / timed(lambda n=some, k=number: ours(n, k)))
    rows = []
    for way, each in speeds.items():
        ratios = [a / b for a, b in zip(speeds["ours"][1:], each[1:], strict=True)]  # 0 warms up
        goal = GOAL if way == "SAC, 16 steps a gradient" else None
        rows.append(row("steps per CPU s", way, statistics.median(each[1:]), ratios, goal))
    return rows


def seconds_of_sac(together: int, every: int, most: float, seed: int) -> tuple[float, float]:
    """CPU seconds of training until it earns enough or they are spent, and what it earns then."""
    model, spent, got = sac(together, seed=seed), 0.0, -np.inf
    while got < RETURN and spent < most:
        spent += timed(lambda: model.learn(every, reset_num_timesteps=False))
        got = earned(lambda states: model.predict(states, deterministic=True)[0])
    return spent, got


def seconds_of_ours(most: int, seed: int) -> tuple[float, float, float]:
    """CPU seconds of the budget that suffices, of the smaller ones before it, and what it earns."""
    spent, before, got, rounds, found = 0.0, 0.0, -np.inf, 5, []
    while got < RETURN and rounds <= most:
        before += spent
        spent = timed(lambda n=rounds: found.append(ours(n, seed)))
        got, rounds = earned(found[-1]), 2 * rounds
    return spent, before, got


def measure_return(rounds: int, quick: bool) -> list[dict[str, Any]]:
    """CPU seconds until a return is earned, one seed a round."""
    most = 5.0 if quick else 120.0
    names = ("SAC, 16 steps a gradient", "SAC, as it comes", "ours", "ours, with smaller budgets")
    spent: dict[str, list[float]] = {name: [] for name in names}
    got: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(rounds):
        for name, together, every in ((names[0], TOGETHER, 1600), (names[1], 1, 500)):
            seconds, last = seconds_of_sac(together, every, most, seed)
            spent[name].append(seconds)
            got[name].append(last)
        seconds, before, last = seconds_of_ours(10 if quick else 80, seed)
        spent[names[2]].append(seconds)
        spent[names[3]].append(seconds + before)
        got[names[2]].append(last)
        got[names[3]].append(last)
    rows = []
    for name in names:
        ratios = [a / b for a, b in zip(spent[name], spent["ours"], strict=True)]
        short = sum(g < RETURN for g in got[name])
        text = f"CPU s to {RETURN:g}" + (f", {short} of {rounds} cut short" if short else "")
        goal = GOAL if name.startswith("SAC") and not quick else None
        rows.append(row(text, name, statistics.median(spent[name]), ratios, goal))
        rows[-1]["returns"] = got[name]
    return rows


def measure_masks(rounds: int) -> list[dict[str, Any]]:
    """CPU microseconds per state of values, and of masks of one to five levels."""
    levels = [IndifferenceSpace(Quality(network(k)), 0.1, MOVES, str(k)) for k in range(5)]
    states = np.random.default_rng(0).uniform(-10, 10, (64, 2))
    ways: dict[str, Callable[[], Any]] = {"values": lambda: levels[0].values(states)}
    for k in range(1, 6):
        ways[f"mask of {k}"] = lambda n=k: joint_mask(levels[:n], states)
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, run in ways.items():
            seconds = timed(lambda r=run: [r() for _ in range(3)]) / 3
            if number:
                spent[name].append(1e6 * seconds / len(states))
    return [
        row("CPU us per state", name, statistics.median(each),
            [a / b for a, b in zip(each, spent["values"], strict=True)])
        for name, each in spent.items()
    ]  # fmt: skip


def row(
    case: str, way: str, value: float, ratios: list[float], goal: float | None = None
) -> dict[str, Any]:
    """A line of the table."""
    return {"case": case, "way": way, "value": value, "ratio": statistics.median(ratios),
            "lowest": min(ratios), "highest": max(ratios), "goal": goal}  # fmt: skip


def main() -> int:
    """Run the benchmark and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few short rounds, no return reached")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="stable_baselines3")
    torch.set_num_threads(1)
    rounds, seeds = (2, 1) if options.quick else (5, 3)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, torch {torch.__version__}, one thread, CPU time, {rounds} rounds\n")
    print(f"{'case':37}{'way':28}{'value':>9}{'ratio':>7}{'range':>15}{'goal':>8}")
    rows = list[dict[str, Any]]()
    for measured in (
        measure_steps(rounds, options.quick), measure_masks(rounds),
        measure_return(seeds, options.quick),
    ):  # fmt: skip
        for one in measured:
            spread = f"{one['lowest']:.2f} to {one['highest']:.2f}"
            goal = f">= {one['goal']:.0f}" if one["goal"] else ""
            print(
                f"{one['case']:37}{one['way']:28}{one['value']:>9.4g}{one['ratio']:>7.2f}"
                f"{spread:>15}{goal:>8}", flush=True,
            )  # fmt: skip
        rows += measured
    print("\nratio: ours / way for steps, way / ours for seconds, way / values for masks")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
