"""How simulated hands move: what skill does, and what cannot happen."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from assay.systems.surgical_skill.events import drops, economy_of_motion, is_dropped
from assay.systems.surgical_skill.hands import (
    ARC,
    NEEDLE_RADIUS,
    Hand,
    World,
    _spring,
    manner,
    move,
)
from assay.systems.surgical_skill.kinematics import VARIANTS, episode


@pytest.fixture(scope="module")
def episodes():
    """60 people of all skills, 25 s each."""
    skills = np.random.default_rng(0).random(60)
    return skills, [
        episode(skill, 25.0, np.random.default_rng([1, n]), variant=VARIANTS[n % 3])
        for n, skill in enumerate(skills)
    ]


def test_the_skilled_drop_less(episodes):
    skills, motions = episodes
    assert spearmanr(skills, [drops(m.held, m.resting) for m in motions]).statistic < -0.5


def test_the_skilled_move_less(episodes):
    skills, motions = episodes
    assert spearmanr(skills, [economy_of_motion(m.tips) for m in motions]).statistic < -0.3


def test_nothing_jumps(episodes):
    for motion in episodes[1]:
        steps = np.linalg.norm(np.diff(motion.tips, axis=0), axis=2)
        assert steps.max() < 0.05
        assert np.linalg.norm(np.diff(motion.needle[:, :2], axis=0), axis=1).max() < 0.08


def test_a_needle_that_is_held_is_in_the_jaws(episodes):
    for motion in episodes[1]:
        carried = np.flatnonzero((motion.held >= 0) & ~motion.resting)
        tips = motion.tips[carried, motion.held[carried]]
        far = np.linalg.norm(motion.needle[carried, :2] - tips, axis=1)
        assert abs(far - NEEDLE_RADIUS).max() < 0.06
        assert np.median(abs(far - NEEDLE_RADIUS)) < 0.002


def test_a_dropped_needle_lies_for_a_second_or_more_and_is_in_sight(episodes):
    found = 0
    for motion in episodes[1]:
        lies = is_dropped(motion.held, motion.resting).astype(int)
        start = np.flatnonzero(np.diff(lies) > 0) + 1
        end = np.flatnonzero(np.diff(lies) < 0) + 1
        for a, b in zip(start, end, strict=False):
            assert b - a >= motion.fps - 2
            assert (np.abs(motion.needle[a:b, 0] - 0.5) < 0.5).all()
            assert motion.needle_depth[a + 10 : b].max(initial=0) < 0.05
            found += 1
    assert found > 20


def test_only_a_needle_in_tissue_is_buried(episodes):
    for motion in episodes[1]:
        hidden = motion.buried[:, 1] - motion.buried[:, 0]
        assert (hidden[~motion.resting] == 0).all()
        assert (hidden[motion.resting & (motion.held < 0)] > 0.3).all()
        if motion.variant != "needle drive":
            assert not motion.resting.any()


def test_every_task_does_what_it_is_called():
    motions = {v: episode(0.8, 60.0, np.random.default_rng(4), variant=v) for v in VARIANTS}
    assert motions["needle drive"].resting.any()
    assert (motions["ring pass"].inside >= 0).any()
    held = motions["hand-over"].held
    assert {(0, 1), (1, 0)} <= set(zip(held[:-1].tolist(), held[1:].tolist(), strict=True))


def test_equal_seeds_give_equal_motion():
    a, b = (episode(0.3, 5.0, np.random.default_rng(9)) for _ in range(2))
    assert all(np.array_equal(x, vars(b)[name]) for name, x in vars(a).items())
    c = episode(0.3, 5.0, np.random.default_rng(10))
    assert not np.array_equal(a.tips, c.tips)


def test_the_tremor_of_a_resting_spring_is_the_one_declared():
    rng, fps = np.random.default_rng(2), 240  # fine steps: the formula is that of continuous time
    world = World(0.5, fps, rng, [])
    world.hands = [Hand(n, 0.5 + 0.3j, 0.5 + 0.3j, free=False) for n in (0, 1)]
    how = manner(0.5, fps)._replace(carrying=_spring(5.0, 0.8, 0.01, fps))
    told = []
    for shake in rng.standard_normal((40_000, 4)).tolist():
        move(world, how, shake, [1.0, 1.0])
        told.append([world.hands[0].at, world.hands[1].at])
    away = np.array(told)[1000:] - (0.5 + 0.3j)
    assert away.real.std() == pytest.approx(0.01, rel=0.1)
    assert away.imag.std() == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize(("skill", "seconds"), [(-0.1, 1.0), (1.1, 1.0), (0.5, 0.0)])
def test_what_cannot_be_is_refused(skill, seconds):
    with pytest.raises(ValueError, match="skill"):
        episode(skill, seconds, np.random.default_rng(0))


def test_arc_is_150_degrees():
    assert np.degrees(ARC) == pytest.approx(150)
