"""The arm's world: geometry, rewards, moves, derivatives, and the environment round it."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from assay.errors import ParameterError, StepError
from assay.systems.policy_composition import arm as world
from assay.systems.policy_composition.arm import LIMIT, TASKS, Arm
from assay.systems.policy_composition.arm_environment import PlanarArm
from assay.systems.policy_composition.datasets import combined, from_episode

ARM = Arm()
POSES = np.random.default_rng(0).uniform(-LIMIT, LIMIT, (200, 7))
BENT = np.random.default_rng(1).normal(0, 0.5, (60, 7))
TWO = Arm((0.6, 0.4), ((0.6, 0.5, 0.2), (-0.5, 0.0, 0.1)), (0.6, 0.0), (0.0, 0.0))


def test_the_end_of_a_straight_arm_is_one_away_whichever_way_it_points():
    turned = np.zeros((5, 7))
    turned[:, 0] = np.linspace(-LIMIT, LIMIT, 5)
    ends = world.joints(ARM, turned)[:, -1]

    assert ends == pytest.approx(
        np.stack([np.cos(turned[:, 0]), np.sin(turned[:, 0])], axis=1), abs=1e-12
    )


def test_joints_are_partial_sums_of_links_as_complex_numbers():
    turned = np.cumsum(POSES, axis=1)
    expected = np.cumsum(np.exp(1j * turned) / 7, axis=1)
    found = world.joints(ARM, POSES)

    assert not found[:, 0].any()
    assert found[:, 1:, 0] == pytest.approx(expected.real)
    assert found[:, 1:, 1] == pytest.approx(expected.imag)


def test_gaps_of_a_hand_drawn_arm():
    """Discs at (0.6, 0.5) with radius 0.2 and at (-0.5, 0) with radius 0.1; links 0.6 and 0.4."""
    poses = np.array([[0.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]) * np.pi / 2
    straight, up, down = world.gaps(TWO, poses).gaps

    assert straight == pytest.approx(np.array([[0.3, 0.4], [0.3, 1.0]]))  # beside both, behind
    assert up[1, 0] == pytest.approx(-0.1)  # the end stops 0.1 short of the centre
    assert up[0] == pytest.approx([0.3, 0.4])
    assert down[0] == pytest.approx([np.hypot(0.6, 0.5) - 0.2, 0.4])  # the base is nearest


def test_gaps_are_those_of_points_along_the_links():
    t = np.linspace(0, 1, 2001)[:, None, None, None]
    points = world.joints(ARM, BENT)
    along = points[:, :-1] + t * (points[:, 1:] - points[:, :-1])  # [t, batch, links, 2]
    found = world.gaps(ARM, BENT).gaps
    for number, (x, y, radius) in enumerate(ARM.discs):
        away = np.hypot(along[..., 0] - x, along[..., 1] - y).min(axis=0) - radius
        assert found[..., number] == pytest.approx(away, abs=1e-4)


def test_an_arm_touches_a_disc_from_its_edge_on():
    edge = Arm((1.0,), ((0.5, 0.25, 0.25),), (1.0, 0.0), (-1.0,))

    assert world.touches(edge, np.array([[0.0], [-1e-9], [1e-9], [0.5], [-1.0]])).tolist() == [
        True, False, True, True, False,
    ]  # fmt: skip
    assert world.rewards(edge, np.zeros((1, 1)))[0, 0] == -11.0
    assert 0.05 < world.touches(ARM, POSES).mean() < 0.95


def test_rewards_are_those_described():
    gap = world.gaps(ARM, BENT).gaps.min(axis=(1, 2))
    d = np.maximum(gap, 0.0)
    off = np.linalg.norm(world.joints(ARM, BENT)[:, -1] - ARM.target, axis=1)
    found = world.rewards(ARM, BENT)

    assert found[:, 0] == pytest.approx(-np.exp(-((d / 0.05) ** 2) / 2) - 10.0 * (gap <= 0))
    assert found[:, 1] == pytest.approx(np.where(off <= 0.05, 0.0, -1.0 - off))
    assert found[:, 2] == pytest.approx(-((BENT - ARM.home) ** 2).mean(axis=1))
    assert 0 < (gap <= 0).mean() < 1


def test_transitions_are_relabelled_with_the_rewards_of_tasks():
    ways = np.stack([POSES[:4], POSES[4:8]], axis=1)
    parts = [from_episode(w, np.zeros((1, 7)), np.zeros(1), terminated=False) for w in ways]
    found = combined(parts).relabelled({task: world.reward_of(ARM, task) for task in TASKS[::-1]})

    assert found.tasks == TASKS[::-1]
    assert (found.rewards == world.rewards(ARM, POSES[4:8])[:, ::-1]).all()
    with pytest.raises(ParameterError, match="no task 'top'"):
        world.reward_of(ARM, "top")


def test_at_the_target_a_step_costs_nothing():
    there = Arm(target=(0.0, 1.0))
    up = np.zeros((2, 7))
    up[:, 0] = np.pi / 2 + np.array([0.04, 0.06])

    assert world.rewards(there, up)[:, 1] == pytest.approx([0.0, -1.06], abs=1e-4)


def test_joints_turn_by_a_stride_at_most_and_stop_at_their_limits():
    poses = np.array([[0.0, LIMIT, -LIMIT, 1.0, 0, 0, 0]])
    actions = np.array([[0.5, 1.0, -1.0, -7.0, 0, 0, 0]])

    assert world.move(ARM, poses, actions)[0].tolist() == [
        0.025, LIMIT, -LIMIT, 0.95, 0, 0, 0,
    ]  # fmt: skip


def test_first_poses_are_seeded_lie_round_home_and_are_clear_where_they_have_to_be():
    wide = Arm(spread=0.6)
    clear = world.starts(wide, 3000, np.random.default_rng(0))
    any_ = world.starts(wide, 3000, np.random.default_rng(0), clear=False)

    assert not world.touches(wide, clear).any()
    assert world.touches(wide, any_).any()
    assert any_.mean(axis=0) == pytest.approx(wide.home, abs=5 * 0.6 / 3000**0.5)
    assert any_.std(axis=0) == pytest.approx([0.6] * 7, rel=0.07)
    assert (clear == world.starts(wide, 3000, np.random.default_rng(0))).all()


def differences(value, poses, by=1e-6):
    """Central differences of a function of poses, one column per joint."""
    each = np.eye(poses.shape[1]) * by
    return np.stack([(value(poses + e) - value(poses - e)) / (2 * by) for e in each], axis=-1)


def test_the_jacobian_of_the_end_is_its_derivative():
    expected = differences(lambda q: world.joints(ARM, q)[:, -1], POSES)

    assert world.tip_jacobian(ARM, POSES) == pytest.approx(expected, abs=1e-8)


def test_the_jacobian_of_the_gaps_is_their_derivative():
    expected = differences(lambda q: world.gaps(ARM, q).gaps, POSES)
    gap, found = world.gap_jacobian(ARM, POSES)

    assert (gap == world.gaps(ARM, POSES).gaps).all()
    # where the nearest point changes from within a link to its end, the second derivative jumps
    assert np.quantile(np.abs(found - expected), 0.999) < 1e-7
    assert found == pytest.approx(expected, abs=1e-4)


def test_through_the_centre_of_a_disc_the_gap_grows_to_the_left():
    through = Arm((1.0,), ((0.5, 0.0, 0.1),), (1.0, 0.0), (2.0,))
    gap, slope = world.gap_jacobian(through, np.zeros((1, 1)))

    assert gap[0, 0, 0] == pytest.approx(-0.1)
    assert slope[0, 0, 0, 0] == pytest.approx(0.5)


@pytest.mark.parametrize("task", TASKS)
def test_the_arm_passes_gymnasiums_checker(task):
    check_env(PlanarArm(task), skip_render_check=True)


def test_a_vector_of_rewards_lies_in_its_space():
    env = PlanarArm()
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(30):
        _, reward, *_ = env.step(env.action_space.sample())
        assert isinstance(reward, np.ndarray)
        assert reward in env.reward_space


def test_a_batch_of_arms_does_exactly_what_environments_do_one_by_one():
    actions = np.random.default_rng(3).uniform(-1.5, 1.5, (40, 5, 7))
    batch = world.starts(ARM, 5, np.random.default_rng(2))
    envs = [PlanarArm() for _ in range(5)]
    for env, pose in zip(envs, batch, strict=True):
        env.reset(options={"state": pose})
    for taken in actions:
        batch = world.move(ARM, batch, taken)
        rewards, touched = world.rewards(ARM, batch), world.touches(ARM, batch)
        for row, env in enumerate(envs):
            state, reward, *_, info = env.step(taken[row])
            assert (state == batch[row]).all()
            assert (reward == rewards[row]).all()
            assert info["collision"] == touched[row]


def test_an_environment_begins_as_a_batch_of_one_does():
    for seed in range(3):
        state, info = PlanarArm("avoid").reset(seed=seed)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        assert (state == world.starts(ARM, 1, rng)[0]).all()
        assert not info["collision"]


def test_one_reward_is_its_part_of_the_vector():
    for number, task in enumerate(TASKS):
        env = PlanarArm(task)
        env.reset(seed=1)
        _, reward, _, _, info = env.step(np.ones(7))
        assert reward == info["rewards"][number]


def test_a_touch_ends_the_episode_of_the_task_avoid_only():
    wall = Arm((1.0,), ((0.5, 0.3, 0.1),), (1.0, 0.0), (0.0,), stride=1.0)
    for task, ends in (("avoid", True), ("reach", False), ("vector", False)):
        env = PlanarArm(task, arm=wall)
        env.reset(options={"state": [0.0]})
        _, _, terminated, truncated, info = env.step(np.array([0.5]))
        assert info["collision"]
        assert (terminated, truncated) == (ends, False)


def test_an_episode_is_cut_after_its_steps_and_not_at_the_target():
    there = Arm((1.0,), ((0.0, 1.0, 0.1),), (1.0, 0.0), (0.0,))
    env = PlanarArm("reach", arm=there, max_steps=3)
    env.reset(options={"state": [0.0]})
    steps = [env.step(np.zeros(1)) for _ in range(3)]

    assert [s[2] for s in steps] == [False] * 3
    assert [s[3] for s in steps] == [False, False, True]
    assert all(s[4]["arrived"] for s in steps)


@pytest.mark.parametrize("action", [[np.nan] * 7, [0.0], "up"])
def test_an_action_that_is_none_is_refused(action):
    env = PlanarArm()
    env.reset(seed=0)

    with pytest.raises(ParameterError, match="7 finite numbers"):
        env.step(np.array(action))


def test_a_step_before_a_reset_is_refused():
    with pytest.raises(StepError, match="before the first reset"):
        PlanarArm().step(np.zeros(7))


@pytest.mark.parametrize("state", ["a", [0.0], [4.0, *[0.0] * 6]])
def test_a_state_that_is_no_pose_is_refused(state):
    with pytest.raises(
        ParameterError, match=r"options: no state .*expected 7 angles from -pi to pi"
    ):
        PlanarArm().reset(options={"state": state})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"lengths": (0.1,) * 6 + (-0.1,)}, "length 7 is -0.1"), ({"stride": 0.0}, "stride is 0"),
     ({"discs": ()}, "without a link or a disc"),
     ({"discs": ((0.5, 0.5, -1.0),)}, "radius 1 is -1"),
     ({"discs": ((0.05, 0.0, 0.1),)}, "disc 1 holds the base"),
     ({"target": (1.0, 1.0)}, "distance of 1.41421"),
     ({"home": (0.0,) * 6}, "7 angles"), ({"home": (0.0,) * 7}, "home: a link touches a disc"),
     ({"spread": np.nan}, "spread is nan")],
)  # fmt: skip
def test_an_arm_that_is_none_is_refused(wrong, said):
    with pytest.raises(ParameterError, match=said):
        Arm(**wrong)


def test_parameters_out_of_range_are_refused():
    with pytest.raises(
        ParameterError, match="no task 'top'; expected avoid, reach, posture, vector"
    ):
        PlanarArm("top")
    with pytest.raises(ParameterError, match="0 steps"):
        PlanarArm(max_steps=0)
