"""Transitions in memory: episodes, ends, rewards, and what is refused."""

import numpy as np
import pytest

from assay.errors import DataError
from assay.systems.policy_composition.datasets import Transitions, combined, from_episode

OBSERVATIONS = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 1.0]])
ACTIONS = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def episode(*, terminated=True, **more):
    return from_episode(
        OBSERVATIONS, ACTIONS, np.array([-1.0, -2.0, -3.0]), terminated=terminated, **more
    )


def test_an_episode_of_observations_becomes_steps():
    made = episode()

    assert made.states.tolist() == OBSERVATIONS[:3].tolist()
    assert made.next_states.tolist() == OBSERVATIONS[1:].tolist()
    assert made.reward("reward").tolist() == [-1.0, -2.0, -3.0]
    assert made.terminated.tolist() == [False, False, True]
    assert not made.truncated.any()


def test_what_was_cut_off_counts_on_and_what_ended_does_not():
    both = combined([episode(terminated=False), episode(terminated=True)])

    assert both.truncated.tolist() == [False, False, True, False, False, False]
    assert both.continues.tolist() == [1, 1, 1, 1, 1, 0]
    assert both.episode.tolist() == [0, 0, 0, 1, 1, 1]
    assert (len(both), both.episodes) == (6, 2)


def test_rewards_are_relabelled_by_functions_of_the_transition():
    made = combined([episode(), episode()]).relabelled(
        {"far": lambda s, a, n: n.sum(axis=1), "effort": lambda s, a, n: -np.abs(a).sum(axis=1)}
    )

    assert made.tasks == ("far", "effort")
    assert made.reward("far").tolist() == [1, 2, 3, 1, 2, 3]
    assert made.reward("effort").tolist() == [-1] * 6
    with pytest.raises(DataError, match="no reward 'reward'; expected far, effort"):
        made.reward("reward")
    with pytest.raises(DataError, match=r"rewards of shape \(2,\) for task 'x'; expected \(6,\)"):
        made.relabelled({"x": lambda s, a, n: np.zeros(2)})
    with pytest.raises(DataError, match="episode 1, step 2: rewards hold nan"):
        made.relabelled({"x": lambda s, a, n: np.array([0, 0, 0, 0, 0, np.nan])})
    with pytest.raises(DataError, match="no rewards to relabel with"):
        made.relabelled({})


def test_an_episode_that_loses_its_end_is_cut_off_there():
    made = combined([episode(), episode(), episode()]).kept(
        [True, True, False, False, False, False, True, False, True]
    )

    assert made.episode.tolist() == [0, 0, 2, 2]
    assert made.terminated.tolist() == [False, False, False, True]
    assert made.truncated.tolist() == [False, True, False, False]
    assert made.next_states[1].tolist() == [2.0, 0.0]


def test_all_of_it_can_be_dropped():
    none = episode().kept(np.zeros(3, bool))

    assert len(none) == 0
    assert none.episodes == 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("states", np.nan, "states hold nan"), ("actions", np.inf, "actions hold inf"),
     ("rewards", np.nan, "rewards hold nan"), ("next_states", -np.inf, "next_states hold -inf")],
)  # fmt: skip
def test_a_number_that_is_none_is_named_by_episode_and_step(name, value, said):
    whole = combined([episode(), episode()])
    arrays = {n: getattr(whole, n).copy() for n in ("states", "actions", "rewards", "next_states")}
    arrays[name][4, -1] = value

    with pytest.raises(DataError, match=f"^here, episode 1, step 1: {said}; expected finite"):
        Transitions(
            **arrays, terminated=whole.terminated, truncated=whole.truncated,
            episode=whole.episode, source="here",
        )  # fmt: skip


def replaced(**arrays):
    whole = combined([episode(), episode(terminated=False)])
    names = ("states", "actions", "rewards", "next_states", "terminated", "truncated", "episode")
    return Transitions(**({n: getattr(whole, n) for n in names} | arrays))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [({"actions": np.zeros((5, 2))}, r"actions of shape \(5, 2\); expected shape \(6, 2\)"),
     ({"rewards": np.zeros((6, 2))}, r"rewards of shape \(6, 2\); expected shape \(6, 1\)"),
     ({"next_states": np.zeros((6, 3))}, "next_states of shape"),
     ({"terminated": np.zeros((6, 1), bool)}, "terminated of shape"),
     ({"states": np.array(["a"] * 6), "next_states": np.array(["a"] * 6)}, "states are <U1"),
     ({"states": np.array(1.0)}, "states are one number"),
     ({"episode": np.array([1, 1, 1, 0, 0, 0])}, "episode 0, step 0: episode numbers fall"),
     ({"truncated": np.array([0, 1, 0, 0, 0, 1], bool)}, "step 1: the episode goes on after its"),
     ({"truncated": np.zeros(6, bool)}, "episode 1, step 2: the episode stops without an end")],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(arrays, said):
    with pytest.raises(DataError, match=said):
        replaced(**arrays)


def test_numbers_of_steps_have_to_fit():
    with pytest.raises(DataError, match="episode 7: 3 observations, 3 actions and 3 rewards"):
        from_episode(OBSERVATIONS[:3], ACTIONS, np.zeros(3), terminated=True, number=7)
    with pytest.raises(DataError, match="T at least 1"):
        from_episode(OBSERVATIONS[:1], ACTIONS[:0], np.zeros(0), terminated=True)


def test_only_what_is_alike_is_combined():
    with pytest.raises(DataError, match="no transitions"):
        combined([])
    other = episode(tasks=("top",))
    with pytest.raises(DataError, match=r"tasks \('top',\); expected \('reward',\)"):
        combined([episode(), other])
    flat = from_episode(OBSERVATIONS, ACTIONS[:, 0], np.zeros(3), terminated=True)
    with pytest.raises(DataError, match=r"actions of shape \(\); expected \(2,\)"):
        combined([episode(), flat])
