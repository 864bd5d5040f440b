"""Counts against cases that can be counted on the fingers, and a recount in another way."""

import numpy as np
import pytest

from assay.systems.surgical_skill.events import drops, economy_of_motion, is_dropped, out_of_view


def resting(*frames, length):
    at = np.zeros(length, bool)
    at[list(frames)] = True
    return at


@pytest.mark.parametrize(
    ("held", "rests", "expected"),
    [
        ([0, 0, 0, 0], (), 0),
        ([0, 0, -1, -1], (), 1),
        ([-1, -1, 1, 1], (), 0),  # lying at the start is no drop
        ([0, -1, -1, -1], (1, 2, 3), 0),  # left in tissue
        ([0, -1, -1, -1], (1, 2), 0),  # left in tissue, slips out later
        ([0, -1, 0, -1], (), 1),  # the same loss of grip
        ([0, -1, 0, 0, -1], (), 2),  # three frames apart
        ([0, 1, 0, 1], (), 0),  # handed over
        ([0, -1, 0, -1, 0, -1], (), 2),  # the second of three is too close
        ([1], (), 0),
    ],
)
def test_drops(held, rests, expected):
    assert drops(np.array(held), resting(*rests, length=len(held))) == expected


def test_a_needle_is_dropped_only_if_free():
    held, rests = np.array([0, -1, -1]), np.array([False, True, False])
    assert is_dropped(held, rests).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("absences", "expected"),
    [
        ([], 0),
        ([(10, 25)], 1),
        ([(10, 24)], 0),  # 14 frames
        ([(0, 40)], 0),  # out at the start: it has not left
        ([(0, 40), (50, 70)], 1),
        ([(80, 100)], 1),  # does not come back
        ([(90, 100)], 0),  # too short before the end
        ([(10, 20), (21, 31)], 0),  # seen for one frame in between
    ],
)
def test_departures_from_view(absences, expected):
    seen = np.ones((100, 2))
    for begin, end in absences:
        seen[begin:end, 1] = 0.2
    assert out_of_view(seen) == expected


def test_a_quarter_is_in_view_and_both_instruments_count():
    seen = np.full((40, 2), 0.25)
    assert out_of_view(seen) == 0
    seen[5:20] = 0.249
    assert out_of_view(seen) == 2


def test_counts_are_those_of_a_plain_loop():
    rng = np.random.default_rng(3)
    for _ in range(50):
        held = np.repeat(rng.integers(-1, 2, 60), rng.integers(1, 6, 60))
        rests = np.repeat(rng.random(60) < 0.3, 6)[: len(held)]
        rests = np.resize(rests, len(held))
        count, last = 0, -99
        for t in range(1, len(held)):
            lost = held[t - 1] != -1 and held[t] == -1 and not rests[t]
            if lost and t - last >= 3:
                count, last = count + 1, t
        assert drops(held, rests) == count
        seen = np.repeat(rng.random((30, 2)), 9, axis=0)
        left = 0
        for side in (0, 1):
            run, was_seen = 0, False
            for share in [*seen[:, side], 1.0]:
                if share < 0.25:
                    run += 1
                else:
                    left += run >= 15 and was_seen
                    run, was_seen = 0, True
        assert out_of_view(seen) == left


def test_economy_is_the_length_of_both_ways():
    t = np.linspace(0, 1, 2001)
    circle = np.stack([np.cos(2 * np.pi * t), np.sin(2 * np.pi * t)], axis=1) * 0.1
    line = np.stack([t, 0 * t], axis=1)
    tips = np.stack([circle, line], axis=1)
    assert economy_of_motion(tips) == pytest.approx(0.2 * np.pi + 1, rel=1e-5)
