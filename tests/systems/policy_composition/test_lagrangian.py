"""The constrained baseline: its multiplier by hand and by theory, its learner, its component."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from assay.errors import ParameterError
from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.actions import box
from assay.systems.policy_composition.agents import load_agent
from assay.systems.policy_composition.experience import strips
from assay.systems.policy_composition.gridworld import GridWorld
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack
from assay.systems.policy_composition.lagrangian import NAME, Weighed, dual_ascent, learn_lagrangian
from assay.systems.policy_composition.learning import learn
from assay.systems.policy_composition.oracle import World, exact, rollouts, weights_of
from assay.systems.policy_composition.practice import Schedule
from assay.systems.policy_composition.q_network import QNetwork, Quality
from assay.systems.policy_composition.soft_q import learn_soft_q
from assay.systems.policy_composition.surroundings import Landed
from assay.systems.policy_composition.value_iteration import action_values, solve

FEW = {"environment_steps": 4800, "turns": 3, "updates": 10, "width": 16, "depth": 2, "seed": 1,
       "episodes": 8}  # fmt: skip


def measured(records, measure, **keys):
    return [r["value"] for r in records if r["measure"] == measure and keys.items() <= r.items()]


def weights(made):
    return {k: v.numpy() for k, v in load_agent(made.agent).network.state_dict().items()}


def test_the_multiplier_moves_by_the_excess_and_never_below_zero():
    given = iter([5.0, 1.0, 0.0, 0.0])
    made = dual_ascent(lambda m: next(given), budget=2.0, rate=0.5, turns=4, first=0.25)

    assert [tuple(t) for t in made] == [(0.25, 5.0), (1.75, 1.0), (1.25, 0.0), (0.25, 0.0)]
    made = dual_ascent(lambda m: 0.0, budget=1.0, rate=0.3, turns=6, first=1.0)
    assert [t.multiplier for t in made] == pytest.approx([1.0, 0.7, 0.4, 0.1, 0.0, 0.0])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"budget": -1.0}, "a budget of -1; expected 0 or more"), ({"rate": 0.0}, "a rate of 0"),
     ({"turns": 0}, "0 turns"), ({"first": np.nan}, "a first multiplier of nan")],
)  # fmt: skip
def test_what_is_out_of_range_is_refused(wrong, told):
    with pytest.raises(ParameterError, match=told):
        dual_ascent(lambda m: 0.0, **{"budget": 1.0, "rate": 1.0, "turns": 1} | wrong)


def test_in_a_world_of_cells_it_keeps_to_the_price_at_which_both_ways_are_equally_good():
    """Through the hazard: -1 and -m at once. Round it: -1, -1, -1 in time, 0 at last.

    So with discount g both are worth the same at m = g + g^2; a smaller price pays for the hazard.
    A deterministic policy cannot enter it a quarter of the times, but turns can, in their mean.
    """
    world, discount, rate, turns = GridWorld(("SHG", "...")), 0.9, 0.1, 120
    goal, hazard = world.model("goal"), world.model("hazard")

    def visits(multiplier):
        model = goal._replace(rewards=goal.rewards + multiplier * hazard.rewards)
        found = solve(model, discount=discount, temperature=0.0, tolerance=1e-9)
        moves = action_values(model, found.values, discount).argmax(axis=1)
        at, met = world.start, 0
        for _ in range(6):
            at = world.destinations[at, moves[at]]
            met += int(world.cells[at] == "H")
        return float(met)

    made = dual_ascent(visits, budget=0.25, rate=rate, turns=turns)
    price = discount + discount**2
    settled = np.array([t.multiplier for t in made[turns // 2 :]])

    assert price - 0.25 * rate <= settled.min() <= settled.max() <= price + 0.75 * rate
    assert np.mean([t.violation for t in made[turns // 2 :]]) == pytest.approx(0.25, abs=0.02)
    unpriced = dual_ascent(visits, budget=2.0, rate=rate, turns=3, first=0.15)
    assert [t.multiplier for t in unpriced] == pytest.approx([0.15, 0.05, 0.0])


def test_by_the_oracle_the_budget_is_kept_at_the_multiplier_that_bisection_finds():
    world = World(nodes=21, per_axis=5)
    begin = navigation.starts(200, np.random.default_rng(0))

    def paid(multiplier):
        policy, _ = exact(world, weights_of({"top": 1.0, "obstacle": multiplier}))
        stack = PriorityStack([policy.level(0.0, NAME)])
        return -rollouts(stack, begin, np.random.default_rng(1)).returns[:, 0].mean()

    price = brentq(lambda m: paid(m) - 10.0, 0.0, 20.0, xtol=0.01)
    made = dual_ascent(paid, budget=10.0, rate=0.05, turns=25)

    assert made[0].violation > 30
    assert made[-1].multiplier == pytest.approx(price, abs=0.15)
    assert made[-1].violation == pytest.approx(10.0, abs=1.0)


@dataclass(frozen=True)
class Jump:
    """An action is the next state."""

    observations: int = 1
    actions = box([-1.0], [1.0], 41)

    def begin(self, count, rng):
        return rng.uniform(-1, 1, (count, 1))

    def step(self, states, actions, rng):
        return Landed(actions, np.full(len(states), np.nan), np.zeros(len(states), bool))


def both(states):
    """2 x of the goal, and -(1 + x) of what is constrained."""
    return np.hstack([2 * states, -1 - states])


def mean_of_exponential(k):
    """Mean of x on [-1, 1] with a density as exp(k x): Langevin's function."""
    return 1 / np.tanh(k) - 1 / k


def test_a_learner_in_turns_comes_to_the_multiplier_that_theory_gives():
    """The soft policy of 2 x - m (1 + x) is exp((2 - m) x); -0.3 on average is a budget of 0.7."""
    schedule = Schedule(
        rounds=3, environments=16, steps=8, proposals=8, retained=64, replayed=32, updates=30,
        batch=64, learning_rate=1e-2, discount=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    network, retained, states = QNetwork(1, 1, 16, 2), [], np.random.default_rng(0)
    states = states.uniform(-1, 1, (2000, 1))

    def paid(multiplier):
        space = Weighed(Jump(), both, multiplier)
        kept = space.rewarded(retained.pop()) if retained else None
        made = learn_soft_q(
            schedule, 0, network, space.actions, surroundings=space, experience=kept
        )
        retained.append(made.experience)
        level = IndifferenceSpace(Quality(network), 0.0, space.actions)
        drawn = PriorityStack([level]).sample(states, np.random.default_rng(0))
        return float(1 + drawn.mean())

    made = dual_ascent(paid, budget=0.7, rate=2.0, turns=10)
    price = 2 - brentq(lambda k: mean_of_exponential(k) + 0.3, -5, -0.1)

    assert made[0].violation == pytest.approx(1 + mean_of_exponential(2.0), abs=0.08)
    assert np.mean([t.multiplier for t in made[5:]]) == pytest.approx(price, abs=0.15)
    assert np.mean([t.violation for t in made[5:]]) == pytest.approx(0.7, abs=0.04)


def test_what_was_retained_is_rewarded_anew_and_only_that():
    rng = np.random.default_rng(0)
    states, actions, ends = rng.uniform(-1, 1, (3, 12, 1))
    flags = np.zeros(12, bool)
    old = strips(states, actions, np.zeros(12), ends, flags, flags, steps=4)
    space = Weighed(Jump(), both, 3.0)
    new = space.rewarded(old.without(np.arange(12) < 3))

    assert new.rewards.ravel() == pytest.approx((2 * ends - 3 * (1 + ends)).ravel())
    assert new.kept.sum() == 9
    assert np.array_equal(new.next_states, old.next_states)
    landed = space.step(states, actions, rng)
    assert landed.rewards == pytest.approx((2 * actions - 3 * (1 + actions)).ravel())
    assert (space.observations, space.actions, len(space.begin(5, rng))) == (1, Jump.actions, 5)


@pytest.fixture(scope="module")
def made():
    return learn_lagrangian(**FEW, rate=0.05, budget=2.0, first_multiplier=0.5)


def test_the_records_tell_every_turn_and_the_multiplier_follows_the_rule(made):
    turns, paid = (measured(made.records, m) for m in ("multiplier", "training_violation"))

    assert turns[0] == 0.5
    for now, then, violation in zip(turns, turns[1:], paid, strict=False):
        assert then == pytest.approx(max(0.0, now + 0.05 * (violation - 2.0)))
    assert len(set(turns)) == 3
    rows = [r for r in made.records if r["measure"] == "training_return"]
    assert [(r["training_step"], r["training_round"]) for r in rows] == [
        (1600, 1), (3200, 2), (4800, 3),
    ]  # fmt: skip
    assert all(-100 <= r["value"] <= 0 for r in rows)
    rates = measured(made.records, "training_collision_rate")
    assert all(paid >= 10 * rate for paid, rate in zip(paid, rates, strict=True))
    assert measured(made.records, "last_multiplier") == turns[-1:]
    assert measured(made.records, "last_violation") == paid[-1:]
    assert measured(made.records, "environment_steps") == [4800]
    assert measured(made.records, "kept_share") == [1.0]


def test_what_it_gives_is_what_learning_gives(made):
    alone = learn(task="top", environment_steps=1600, updates=1, width=16, depth=2, seed=1)
    ends = made.experience.next_states.reshape(-1, 2)
    last = measured(made.records, "last_multiplier")[0]
    obstacle, top = navigation.rewards(ends)[:, :2].T

    assert made.experience.rewards.size == 4800
    assert made.experience.rewards.ravel() == pytest.approx(top + last * obstacle)
    assert weights(made).keys() == weights(alone).keys()
    agent = load_agent(made.agent)
    assert (agent.of.task, agent.of.width, agent.of.trained["multiplier"]) == (NAME, 16, last)
    assert set(measured(alone.records, "parameters")) == set(measured(made.records, "parameters"))


def test_equal_seeds_learn_the_same_and_turns_are_paid_for(made):
    again = learn_lagrangian(**FEW, rate=0.05, budget=2.0, first_multiplier=0.5)

    assert made.records == again.records
    assert all(np.array_equal(v, weights(again)[k]) for k, v in weights(made).items())
    with pytest.raises(
        ParameterError, match="4800 environment steps for 4 turns; expected at leas"
    ):
        learn_lagrangian(**FEW | {"turns": 4})


def test_with_a_multiplier_that_stays_zero_the_task_alone_is_learnt_noise_and_all():
    few = FEW | {"turns": 2, "environment_steps": 3200, "seed": 2}
    free = learn_lagrangian(**few, budget=1e9, task="side", sigma=0.5)
    each = free.experience
    states, actions, ends = (
        a.reshape(-1, 2) for a in (each.states, each.actions, each.next_states)
    )

    assert measured(free.records, "multiplier") == [0.0, 0.0]
    assert np.array_equal(each.rewards.ravel(), navigation.rewards(ends)[:, 2])
    inside = np.abs(ends).max(axis=1) < 9.9
    noise = (ends - navigation.move(states, actions))[inside]
    assert noise.std() == pytest.approx(0.5, rel=0.1)
    assert weights(free)["out.weight"].shape == (1, 16)
