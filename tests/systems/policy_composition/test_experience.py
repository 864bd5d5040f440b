"""Strips of transitions, and targets along them."""

from dataclasses import replace

import numpy as np
import pytest

from assay.errors import DataError
from assay.systems.policy_composition.experience import (
    Experience,
    as_transitions,
    experience_of,
    joined,
    strips,
    trace_targets,
)

STEP = {"discount": 0.9, "temperature": 2.0}


def made(rng, number=3, steps=6):
    shape = number, steps
    terminated = rng.random(shape) < 0.2
    return Experience(
        rng.normal(size=(*shape, 2)), rng.normal(size=(*shape, 1)), rng.normal(size=shape),
        rng.normal(size=(*shape, 2)), terminated, terminated | (rng.random(shape) < 0.2),
        rng.normal(size=shape), np.ones(shape, bool),
    )  # fmt: skip


def one_by_one(e, q, values, trace, *, discount, temperature):
    """The published sum, step by step: Q + sum of discounted, weighed surprises."""
    out = np.empty(q.shape)
    for strip in range(q.shape[0]):
        for first in range(q.shape[1]):
            total, weight = q[strip, first], 1.0
            for step in range(first, q.shape[1]):
                ahead = 0.0 if e.terminated[strip, step] else values[strip, step]
                total += weight * (e.rewards[strip, step] + discount * ahead - q[strip, step])
                if e.last[strip, step] or step + 1 == q.shape[1]:
                    break
                policy = np.exp((q[strip, step + 1] - values[strip, step]) / temperature)
                ratio = policy / np.exp(e.log_density[strip, step + 1])
                weight *= discount * trace * min(1.0, ratio)
            out[strip, first] = total
    return out


@pytest.mark.parametrize("trace", [0.0, 0.7, 1.0])
def test_targets_are_those_of_the_published_sum(trace):
    rng = np.random.default_rng(3)
    e = made(rng, 20)
    q, values = rng.normal(size=(2, 20, 6))

    found = trace_targets(e, q, values, trace=trace, **STEP)
    assert found == pytest.approx(one_by_one(e, q, values, trace, **STEP))
    assert e.terminated.any()
    assert (e.last & ~e.terminated).any()


def test_the_right_values_stay_whatever_the_trace():
    """Where reward + discount V(s') = Q(s, a) everywhere there is no surprise."""
    rng = np.random.default_rng(4)
    e = made(rng)
    values = rng.normal(size=e.rewards.shape)
    q = e.rewards + 0.9 * np.where(e.terminated, 0.0, values)

    assert trace_targets(e, q, values, trace=0.9, **STEP) == pytest.approx(q)


def test_a_cut_episode_is_worth_what_it_would_have_been_and_an_ended_one_nothing():
    flags = np.array([[True], [False]])
    one, two = np.ones((2, 1)), np.full((2, 1), 2.0)
    e = Experience(
        one[..., None], one[..., None], one, one[..., None], flags, one > 0, one, one > 0
    )

    assert trace_targets(e, one, two, trace=1.0, **STEP).ravel() == pytest.approx([1.0, 2.8])


def test_news_does_not_pass_what_is_not_kept_or_forbidden_or_of_unknown_density():
    rng = np.random.default_rng(5)
    e = made(rng, 1, 3)
    e = replace(e, terminated=np.zeros((1, 3), bool), last=np.zeros((1, 3), bool))
    q, values = rng.normal(size=(2, 1, 3))
    ahead = e.rewards[0, 0] + 0.9 * values[0, 0]

    removed = e.without(np.array([False, True, False]))
    forbidden = q.copy()
    forbidden[0, 1] = -np.inf
    unknown = replace(e, log_density=np.full((1, 3), np.inf))
    for given, worth in ((removed, q), (e, forbidden), (unknown, q)):
        assert trace_targets(given, worth, values, trace=1.0, **STEP)[0, 0] == pytest.approx(ahead)
    assert trace_targets(e, q, values, trace=1.0, **STEP)[0, 0] != pytest.approx(ahead)


def test_transitions_in_order_are_cut_into_strips_and_the_rest_is_not_kept():
    number = np.arange(7.0)
    truncated = number == 4
    e = strips(number[:, None], number[:, None], number, number[:, None] + 1, number == 2,
               truncated, steps=3)  # fmt: skip

    assert e.rewards.tolist() == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
    assert e.kept.tolist() == [[True] * 3, [True] * 3, [True, False, False]]
    assert e.terminated.tolist() == [[False, False, True], [False] * 3, [False] * 3]
    assert e.last.tolist() == [[False, False, True], [False, True, False], [False] * 3]
    assert (e.log_density == np.inf).all()
    with pytest.raises(DataError, match="no transition"):
        strips(*(np.empty((0, 1)),) * 2, np.empty(0), np.empty((0, 1)), *(np.empty(0, bool),) * 2)


def test_strips_become_transitions_of_episodes_and_back():
    e = made(np.random.default_rng(8))
    rows = as_transitions(e, "top")
    again = experience_of(rows, "top", steps=6)

    assert rows.tasks == ("top",)
    assert np.array_equal(rows.next_states, e.next_states.reshape(18, 2))
    assert np.array_equal(rows.terminated, e.terminated.ravel())
    ends = e.last.copy()
    ends[:, -1] = True
    assert np.array_equal(rows.terminated | rows.truncated, ends.ravel())
    assert rows.episodes == ends.sum()
    assert not (rows.terminated & rows.truncated).any()
    for name in ("states", "actions", "rewards", "next_states", "terminated", "kept"):
        assert np.array_equal(getattr(again, name), getattr(e, name))
    assert np.array_equal(again.last, ends)


def test_strips_are_picked_joined_and_thinned():
    e = made(np.random.default_rng(6))
    again = joined([e.pick(np.array([2])), e.pick(np.array([0, 1]))])
    thinned = e.without(np.arange(18) % 4 == 0)

    assert np.array_equal(again.rewards, e.rewards[[2, 0, 1]])
    assert np.array_equal(again.log_density, e.log_density[[2, 0, 1]])
    assert np.array_equal(thinned.kept.ravel(), np.arange(18) % 4 != 0)
    assert e.kept.all()
    with pytest.raises(DataError, match="5 flags for 18 transitions"):
        e.without(np.zeros(5, bool))


def test_a_reward_that_is_no_number_is_named_and_so_is_a_part_of_another_length():
    e = made(np.random.default_rng(7))
    rewards = e.rewards.copy()
    rewards[1, 4] = np.nan

    with pytest.raises(DataError, match=r"strip 1, step 4: a reward of nan"):
        replace(e, rewards=rewards)
    with pytest.raises(DataError, match=r"next_states of shape \(3, 2, 2\).*rewards \(3, 6\)"):
        replace(e, next_states=e.next_states[:, :2])
