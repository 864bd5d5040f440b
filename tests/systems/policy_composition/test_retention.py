"""What is retained: random walks, how many strips, whose."""

import numpy as np
import pytest

from assay.errors import ParameterError
from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.experience import joined
from assay.systems.policy_composition.retention import retain, wander


@pytest.fixture(scope="module")
def walked():
    return wander(environment_steps=4000, seed=1)


@pytest.fixture(scope="module")
def other():
    return wander(environment_steps=1600, seed=2)


def same(one, other):
    return all(np.array_equal(getattr(one, k), getattr(other, k)) for k in vars(one))


def test_a_walk_is_as_long_as_its_budget_in_whole_rounds_and_repeats(walked, other):
    assert walked.rewards.shape == (128, 25)
    assert same(walked, wander(environment_steps=4000, seed=1))
    assert not np.array_equal(other.states, walked.states[:64])


def test_every_action_is_as_likely_and_that_is_known(walked):
    """The mean of n numbers uniform on [-1, 1] deviates by 1 / sqrt(3 n)."""
    actions = walked.actions.reshape(-1, 2)

    assert walked.log_density == pytest.approx(0.0)
    assert np.abs(actions.mean(axis=0)).max() < 4 / np.sqrt(3 * len(actions))
    assert actions.var(axis=0) == pytest.approx(1 / 3, rel=0.06)
    assert walked.kept.all()


def test_its_steps_are_those_of_the_world(walked):
    states, actions, ends = (
        a.reshape(-1, 2) for a in (walked.states, walked.actions, walked.next_states)
    )
    assert navigation.move(states, actions) == pytest.approx(ends)
    assert walked.rewards.ravel().tolist() == navigation.rewards(ends)[:, 1].tolist()
    assert not walked.terminated.any()
    noisy = wander(environment_steps=1600, sigma=0.5, seed=1)
    moved = navigation.move(noisy.states.reshape(-1, 2), noisy.actions.reshape(-1, 2))
    inside = (np.abs(moved) < 7).all(axis=1)
    off = noisy.next_states.reshape(-1, 2)[inside] - moved[inside]
    assert off.std() == pytest.approx(0.5, rel=0.1)


def test_the_latest_are_the_last_and_any_are_drawn_from_all_in_order(walked):
    assert same(retain(walked, seed=3), walked)
    assert same(retain(walked, strips=128, seed=3), walked)
    assert same(retain(walked, strips=10, seed=3), walked.pick(np.arange(118, 128)))
    drawn = retain(walked, strips=32, which="any", seed=3)
    found = [np.flatnonzero((walked.states == s).all(axis=(1, 2))) for s in drawn.states]
    places = np.concatenate(found)

    assert len(set(places.tolist())) == len(places) == 32
    assert (np.diff(places) > 0).all()
    assert places.min() < 40
    assert places.max() > 88
    assert not same(drawn, retain(walked, strips=32, which="any", seed=4))


def test_a_share_is_the_others(walked, other):
    mixed = retain(walked, other, strips=16, other_share=0.25, seed=3)

    assert same(mixed.pick(np.arange(12)), walked.pick(np.arange(116, 128)))
    theirs = joined([other, walked]).states.tolist()
    assert all(theirs.index(s) < 64 for s in mixed.states[12:].tolist())
    assert same(retain(walked, other, strips=16, other_share=1.0, seed=3),
                retain(other, strips=16, which="any", seed=3))  # fmt: skip


def test_more_than_there_are_are_refused(walked, other):
    with pytest.raises(ParameterError, match="129 strips to keep; expected at most the 128"):
        retain(walked, strips=129, seed=1)
    with pytest.raises(ParameterError, match="80 strips to keep; expected at most the 64"):
        retain(walked, other, strips=80, other_share=1.0, seed=1)
    with pytest.raises(ParameterError, match="4 strips to keep; expected at most the 0"):
        retain(walked, strips=8, other_share=0.5, seed=1)
