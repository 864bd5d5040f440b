"""Null-space control: what lower tasks may not do, what higher ones leave, and the arm's policy."""

import numpy as np
import pytest

from assay.errors import ParameterError
from assay.systems.policy_composition import arm as world
from assay.systems.policy_composition.arm import Arm
from assay.systems.policy_composition.null_space import (
    LinearTask,
    arm_actions,
    arm_tasks,
    damped_inverse,
    kernel,
    prioritised_speeds,
)

RNG = np.random.default_rng(0)
BATCH, JOINTS = 40, 7
OPEN = Arm(discs=((0.72, 0.05, 0.1), (0.1, 0.6, 0.1)))
"""An arm to whose target a greedy way leads."""


def task(rows, rng=RNG):
    return LinearTask(rng.normal(size=(BATCH, rows, JOINTS)), rng.normal(size=(BATCH, rows)))


def change(task, speeds):
    return np.einsum("bmj,bj->bm", task.jacobian, speeds)


@pytest.mark.parametrize("variant", ["plain", "strict"])
@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_lower_tasks_do_not_move_higher_ones(variant, damping):
    """On a linear arm, whose tasks are J q: adding levels changes nothing above them."""
    tasks = [task(2), task(1), task(2), task(4)]
    settings = {"variant": variant, "damping": damping}
    alone = [prioritised_speeds(tasks[:n], **settings) for n in range(1, 5)]
    for level in range(3):
        for more in alone[level + 1 :]:
            difference = change(tasks[level], more) - change(tasks[level], alone[level])
            assert np.abs(difference).max() < 1e-10


def test_over_many_steps_of_a_linear_arm_the_first_task_stays_as_it_is():
    first, second = task(2), task(3)
    q, still = RNG.normal(size=(BATCH, JOINTS)), np.zeros((BATCH, 2))
    before = change(first, q)
    for _ in range(200):
        wanted = 0.1 * (second.wanted - change(second, q))
        levels = [LinearTask(first.jacobian, still), LinearTask(second.jacobian, wanted)]
        q = q + prioritised_speeds(levels)

    assert np.abs(change(first, q) - before).max() < 1e-10
    assert change(second, q) == pytest.approx(second.wanted, abs=1e-6)


def test_strict_follows_every_task_that_can_be_followed_and_plain_does_not():
    tasks = [task(2), task(2), task(3)]
    strict, plain = (prioritised_speeds(tasks, variant=v) for v in ("strict", "plain"))

    for each in tasks:
        assert change(each, strict) == pytest.approx(each.wanted, abs=1e-8)
    assert change(tasks[0], plain) == pytest.approx(tasks[0].wanted, abs=1e-8)
    assert np.abs(change(tasks[1], plain) - tasks[1].wanted).max() > 0.1


def test_where_not_all_can_be_had_strict_comes_as_near_as_the_higher_task_allows():
    """Against the constrained least squares problem, solved through its optimality conditions."""
    first, second = task(5), task(4)
    found = prioritised_speeds([first, second])
    for b in range(BATCH):
        a, c = first.jacobian[b], second.jacobian[b]
        conditions = np.block([[c.T @ c, a.T], [a, np.zeros((5, 5))]])
        right = np.concatenate([c.T @ second.wanted[b], first.wanted[b]])
        best = np.linalg.lstsq(conditions, right, rcond=None)[0][:JOINTS]
        assert found[b] == pytest.approx(best, abs=1e-7)


def test_the_plain_variant_is_the_formula_written_out():
    first, second = task(2), task(3)
    found = prioritised_speeds([first, second], variant="plain")
    for b in range(BATCH):
        j1, j2 = np.linalg.pinv(first.jacobian[b]), np.linalg.pinv(second.jacobian[b])
        free = np.eye(JOINTS) - j1 @ first.jacobian[b]
        expected = j1 @ first.wanted[b] + free @ j2 @ second.wanted[b]
        assert found[b] == pytest.approx(expected)


def test_the_damped_inverse_is_its_formula():
    jacobian = RNG.normal(size=(BATCH, 3, JOINTS))
    square = jacobian @ jacobian.transpose(0, 2, 1) + 0.2**2 * np.eye(3)
    expected = jacobian.transpose(0, 2, 1) @ np.linalg.inv(square)

    assert damped_inverse(jacobian, 0.2) == pytest.approx(expected)
    assert damped_inverse(jacobian, 0.0) == pytest.approx(np.linalg.pinv(jacobian))


def test_a_kernel_is_a_projector_of_the_rank_that_is_left():
    a, b = RNG.normal(size=(BATCH, 2, JOINTS)), RNG.normal(size=(BATCH, 3, JOINTS))
    repeated = np.concatenate([b, 1e6 * b[:, :1] + a[:, :1]], axis=1)
    found = kernel([1e-6 * a, repeated])

    assert found @ found == pytest.approx(found, abs=1e-12)
    assert found == pytest.approx(found.transpose(0, 2, 1), abs=1e-12)
    assert np.trace(found, axis1=1, axis2=2) == pytest.approx(np.full(BATCH, 7 - 5))
    assert np.abs(a @ found).max() < 1e-10


@pytest.mark.parametrize("variant", ["plain", "strict"])
@pytest.mark.parametrize("damping", [0.0, 0.02])
def test_singular_poses_and_empty_tasks_stay_finite(variant, damping):
    straight = np.zeros((1, 7))  # its end cannot move along the arm
    arm = Arm(home=(1.0,) + (0.0,) * 6)
    nothing = LinearTask(np.zeros((1, 2, 7)), np.ones((1, 2)))
    along = LinearTask(world.tip_jacobian(arm, straight), np.array([[-1.0, 0.0]]))
    twice = LinearTask(np.repeat(along.jacobian, 2, axis=1), np.ones((1, 4)))
    found = prioritised_speeds([nothing, along, twice, along], variant=variant, damping=damping)

    assert np.isfinite(found).all()
    assert np.abs(found).max() < 10
    assert not prioritised_speeds([nothing], variant=variant, damping=damping).any()


def test_damping_bounds_the_speeds_near_a_singular_pose():
    almost = np.full((1, 7), 1e-6)
    along = LinearTask(world.tip_jacobian(Arm(), almost), np.array([[-1.0, 0.0]]))

    assert np.linalg.norm(prioritised_speeds([along])) > 1e4
    assert np.linalg.norm(prioritised_speeds([along], damping=0.02)) <= 1 / (2 * 0.02) + 1e-9


def test_a_task_of_the_arm_asks_for_what_it_says():
    poses = world.starts(OPEN, 50, np.random.default_rng(0))
    avoid, reach, posture = arm_tasks(OPEN, poses, ("avoid", "reach", "posture"), keep_off=0.2)
    gap = world.gaps(OPEN, poses).gaps.reshape(50, -1)
    off = OPEN.target - world.joints(OPEN, poses)[:, -1]

    assert 0 < (gap < 0.2).mean() < 1
    assert avoid.wanted == pytest.approx(
        np.where(gap < 0.2, np.minimum(0.5 * (0.2 - gap), 0.03), 0)
    )
    assert not avoid.jacobian[gap >= 0.2].any()
    assert np.linalg.norm(reach.wanted, axis=1) == pytest.approx(np.full(50, 0.03))
    assert reach.wanted[:, 0] * off[:, 1] == pytest.approx(reach.wanted[:, 1] * off[:, 0])
    assert posture.wanted == pytest.approx(0.5 * (np.array(OPEN.home) - poses))


@pytest.mark.parametrize("variant", ["plain", "strict"])
def test_avoiding_first_the_arm_reaches_its_target_and_touches_nothing(variant):
    poses = world.starts(OPEN, 40, np.random.default_rng(1))
    touched = np.zeros(40, bool)
    for _ in range(150):
        actions = arm_actions(OPEN, poses, variant=variant)
        assert np.abs(actions).max() <= 1
        poses = world.move(OPEN, poses, actions)
        touched |= world.touches(OPEN, poses)

    assert not touched.any()
    assert (world.rewards(OPEN, poses)[:, 1] == 0).all()


def test_without_avoiding_some_arms_touch_a_disc():
    poses = world.starts(OPEN, 40, np.random.default_rng(1))
    touched = np.zeros(40, bool)
    for _ in range(150):
        poses = world.move(OPEN, poses, arm_actions(OPEN, poses, ("reach",)))
        touched |= world.touches(OPEN, poses)

    assert touched.any()


def test_the_target_of_the_arm_that_comes_with_it_can_be_reached_without_a_touch():
    """Fold, turn, unfold: within the 200 steps of an episode, so there is something to learn."""
    arm, poses = Arm(), np.array([Arm().home])
    folded = np.array([-2.4, 2.6, -2.6, 2.6, -2.6, 2.6, -2.6])
    up, taken = np.array([0.7, *folded[1:]]), 0
    for goal in (folded, up, None):
        while taken < 200:
            if goal is None:
                actions = arm_actions(arm, poses)
            else:
                actions = (goal - poses) / arm.stride
                actions = actions / max(1.0, np.abs(actions).max())
            poses, taken = world.move(arm, poses, actions), taken + 1
            assert not world.touches(arm, poses)[0]
            arrived = world.rewards(arm, poses)[0, 1] == 0
            if arrived or (goal is not None and np.abs(goal - poses).max() < 1e-9):
                break

    assert arrived


def test_a_batch_acts_as_its_rows_do():
    poses = world.starts(OPEN, 8, np.random.default_rng(2))
    together = arm_actions(OPEN, poses)
    alone = np.concatenate([arm_actions(OPEN, pose[None]) for pose in poses])

    assert together == pytest.approx(alone, abs=1e-9)


def test_what_does_not_fit_is_refused():
    first = task(2)
    with pytest.raises(ParameterError, match="without a task"):
        prioritised_speeds([])
    with pytest.raises(ParameterError, match="no variant 'soft'"):
        prioritised_speeds([first], variant="soft")
    with pytest.raises(ParameterError, match="damping of -1"):
        prioritised_speeds([first], damping=-1.0)
    with pytest.raises(ParameterError, match=r"task 2: .*expected \(40, m, 7\) and \(40, m\)"):
        prioritised_speeds([first, LinearTask(first.jacobian[..., :6], first.wanted)])
    with pytest.raises(ParameterError, match="no task 'rest'; expected avoid, reach, posture"):
        arm_tasks(OPEN, np.zeros((1, 7)), ("rest",))
