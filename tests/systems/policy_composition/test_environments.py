"""The environments through Gymnasium's API and its own checker."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from assay.errors import ParameterError, StepError
from assay.systems.policy_composition import navigation
from assay.systems.policy_composition.environments import GridNavigation, PointNavigation
from assay.systems.policy_composition.gridworld import GridWorld
from assay.systems.policy_composition.navigation import TASKS


@pytest.mark.parametrize("task", [*TASKS, "obstacle_top"])
def test_point_navigation_passes_gymnasiums_checker(task):
    check_env(PointNavigation(task, sigma=0.1), skip_render_check=True)


@pytest.mark.parametrize("task", ["hazard", "goal", "mud"])
def test_the_world_of_cells_passes_gymnasiums_checker(task):
    check_env(GridNavigation(task, world=GridWorld(slip=0.1)), skip_render_check=True)


def test_a_vector_of_rewards_lies_in_its_space():
    for made in (PointNavigation(), GridNavigation()):
        made.reset(seed=0)
        made.action_space.seed(0)
        for _ in range(30):
            _, reward, *_ = made.step(made.action_space.sample())
            assert isinstance(reward, np.ndarray)
            assert reward in made.reward_space


def test_one_reward_is_its_part_of_the_vector():
    for number, task in enumerate(TASKS):
        env = PointNavigation(task)
        env.reset(options={"state": [0.0, 6.5]})
        _, reward, _, _, info = env.step(np.array([0.0, 1.0]))
        assert reward == info["rewards"][number]


def test_obstacle_top_takes_five_off_below_the_top():
    env = PointNavigation("obstacle_top")
    env.reset(options={"state": [0.0, 9.0]})
    above = env.step(np.array([0.0, 0.0]))
    env.reset(options={"state": [9.0, -9.0]})
    below = env.step(np.array([0.0, 0.0]))

    assert above[1] == above[4]["rewards"][0]
    assert below[1] == below[4]["rewards"][0] - 5.0


def test_the_environment_moves_as_the_oracle_does():
    env = PointNavigation()
    state, _ = env.reset(seed=4)
    for action in np.random.default_rng(0).uniform(-1, 1, (50, 2)):
        expected = navigation.move(state[None], action[None])[0]
        state, rewards, *_ = env.step(action)
        assert (state == expected).all()
        assert (rewards == navigation.rewards(expected[None])[0]).all()


def test_a_collision_ends_the_episode_of_the_obstacles_task_only():
    for task, ends in (("obstacle", True), ("top", False), ("vector", False)):
        env = PointNavigation(task)
        env.reset(options={"state": [0.0, 2.5]})
        _, _, terminated, truncated, info = env.step(np.array([0.0, 1.0]))
        assert info["collision"]
        assert (terminated, truncated) == (ends, False)


def test_episodes_of_the_obstacles_task_begin_outside_it():
    env, free = PointNavigation("obstacle"), PointNavigation("top")
    begun = [env.reset(seed=s)[1]["collision"] for s in range(200)]
    inside = [free.reset(seed=s)[1]["collision"] for s in range(200)]

    assert not any(begun)
    assert any(inside)


def test_an_episode_is_cut_after_its_steps():
    env = PointNavigation("top", max_steps=3)
    env.reset(seed=0)

    assert [env.step(np.zeros(2))[3] for _ in range(3)] == [False, False, True]


def test_equal_seeds_give_equal_episodes():
    def run(seed):
        env = PointNavigation(sigma=0.3)
        states = [env.reset(seed=seed)[0]]
        return np.array(states + [env.step(np.ones(2))[0] for _ in range(5)])

    assert (run(1) == run(1)).all()
    assert (run(1) != run(2)).any()


def test_a_goal_ends_the_walk_over_cells():
    env = GridNavigation("goal", world=GridWorld(("SG",)))
    env.reset()
    state, reward, terminated, truncated, _ = env.step(1)

    assert (state, reward, terminated, truncated) == (1, 0.0, True, False)


def test_slips_have_their_frequency():
    env = GridNavigation(world=GridWorld(("..G", ".S.", "..."), slip=0.4))
    env.reset(seed=0)
    ends = []
    for _ in range(4000):
        env.reset()
        ends.append(int(env.step(4)[0]))

    share = np.bincount(ends, minlength=9) / 4000
    assert share[[1, 3, 5, 7]] == pytest.approx([0.1] * 4, abs=5 * np.sqrt(0.09 / 4000))


@pytest.mark.parametrize("action", [[np.nan, 0.0], [0.0], [0.0, 0.0, 0.0], "up"])
def test_an_action_that_is_none_is_refused(action):
    env = PointNavigation()
    env.reset(seed=0)

    with pytest.raises(ParameterError, match="two finite numbers"):
        env.step(np.array(action))


@pytest.mark.parametrize("made", [PointNavigation(), GridNavigation()], ids=["point", "cells"])
def test_a_step_before_a_reset_is_refused(made):
    with pytest.raises(StepError, match="before the first reset"):
        made.step(made.action_space.sample())


def test_parameters_out_of_range_are_refused():
    for wrong in ({"task": "up"}, {"max_steps": 0}, {"sigma": -1.0}):
        with pytest.raises(ParameterError):
            PointNavigation(**wrong)
    with pytest.raises(ParameterError, match="no task 'top'; expected hazard, goal, mud, vector"):
        GridNavigation("top")
    env = PointNavigation()
    with pytest.raises(ParameterError, match="no state"):
        env.reset(options={"state": [0.0, 11.0]})
    walk = GridNavigation()
    walk.reset()
    with pytest.raises(ParameterError, match="0 to 4"):
        walk.step(5)


@pytest.mark.parametrize("state", ["a", None, [[0.0], [1.0, 2.0]], [0.0]])
def test_a_state_that_is_no_pair_of_numbers_is_refused(state):
    with pytest.raises(ParameterError, match=r"options: no state .*expected two numbers from -10"):
        PointNavigation().reset(options={"state": state})
