"""Tracking: the filter against a textbook's, assignments that greed gets wrong, gaps."""

import itertools

import numpy as np
import pytest

from assay.errors import DataError, ParameterError
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.classes import DRIVER, NEEDLE
from assay.systems.surgical_skill.tracking import Belief, runs, thinned, track
from assay.systems.surgical_skill.tracking import _assigned as assigned

WIDTH = 320.0


def boxes_at(rows) -> Boxes:
    """Boxes from (frame, label, x, y of the centre, state) or the same with a score."""
    rows = [(*row, 1.0)[:6] for row in rows]
    frame, label, x, y, state, score = zip(*rows, strict=True) if rows else [()] * 6
    xywh = [[a - 10, b - 6, 20, 12] for a, b in zip(x, y, strict=True)]
    return Boxes.of(frame, label, xywh, score, state)


def followed(rows, frames, fps=10.0, **options):
    return track(boxes_at(rows), frames=frames, fps=fps, width=WIDTH, **options)


def test_the_filter_is_that_of_the_textbook():
    """Kalman's equations for the eight numbers at once, as matrices, in Joseph's form."""
    rng, t = np.random.default_rng(0), 0.1
    density, noise, first = rng.uniform(1, 9, 4), rng.uniform(0.1, 2, 4), rng.uniform(1, 4, 4)
    zero = np.zeros((4, 4))
    move = np.block([[np.eye(4), t * np.eye(4)], [zero, np.eye(4)]])
    shake = np.block(
        [
            [np.diag(density) * t**3 / 3, np.diag(density) * t**2 / 2],
            [np.diag(density) * t**2 / 2, np.diag(density) * t],
        ]
    )
    look = np.hstack([np.eye(4), zero])
    mean, cov = np.zeros(8), np.diag([*first, *(2 * first)])
    belief = Belief(np.zeros(4), np.zeros(4), first, np.zeros(4), 2 * first)
    for step in range(40):
        mean, cov = move @ mean, move @ cov @ move.T + shake
        belief = belief.later(t, density)
        seen = step % 3 != 2
        measured = rng.normal(size=4)
        if seen:
            gain = cov @ look.T @ np.linalg.inv(look @ cov @ look.T + np.diag(noise))
            mean = mean + gain @ (measured - look @ mean)
            rest = np.eye(8) - gain @ look
            cov = rest @ cov @ rest.T + gain @ np.diag(noise) @ gain.T
        belief = belief.updated(measured, noise, np.full(4, seen))

        assert belief.value == pytest.approx(mean[:4], abs=1e-12)
        assert belief.rate == pytest.approx(mean[4:], abs=1e-12)
        assert belief.variance == pytest.approx(np.diag(cov)[:4], abs=1e-12)
        assert belief.covariance == pytest.approx(np.diag(cov[:4, 4:]), abs=1e-12)
        assert belief.rate_variance == pytest.approx(np.diag(cov)[4:], abs=1e-12)


def test_what_is_not_measured_is_not_read():
    belief = Belief(*np.ones((5, 2)))

    after = belief.updated(np.array([np.nan, 3.0]), np.ones(2), np.array([False, True]))

    assert [float(values[0]) for values in vars(after).values()] == [1.0] * 5
    assert after.value[1] == 2.0


def test_assignments_are_the_best_of_all():
    rng = np.random.default_rng(1)
    for _ in range(200):
        cost = rng.uniform(size=(2, rng.integers(1, 6)))
        rows = np.arange(cost.shape[1]) + 7
        pairs = itertools.permutations(range(cost.shape[1]), min(2, cost.shape[1]))
        if cost.shape[1] == 1:
            best = cost.min()
        else:
            best = min(cost[0, a] + cost[1, b] for a, b in pairs)

        got = assigned(cost, rows)

        given = got >= 0
        assert given.sum() == min(2, cost.shape[1])
        assert cost[np.flatnonzero(given), got[given] - 7].sum() == pytest.approx(best)


def test_two_boxes_go_where_both_fit_though_one_alone_would_rather_be_elsewhere():
    """At 0 s the drivers are at 100 and 130; then boxes at 121 and 150. Greed gives 121 to the
    driver at 130, its nearest, which leaves 150 to the one at 100."""
    rows = [(frame, DRIVER, x, 80, -1) for frame in range(20) for x in (100, 130)]
    rows += [(20, DRIVER, 121, 80, -1), (20, DRIVER, 150, 80, -1)]

    tracks = followed(rows, 21)

    assert tracks.centre[20, :2, 0].tolist() == [121, 150]


def test_drivers_that_cross_keep_their_way():
    """Without a word of sides, by their speed alone."""
    rows = []
    for frame in range(41):
        rows += [(frame, DRIVER, 100 + 2 * frame, 80, -1), (frame, DRIVER, 180 - 2 * frame, 86, -1)]

    tracks = followed(rows, 41, fps=30.0)

    assert tracks.centre[:, 0, 0].tolist() == [100 + 2 * frame for frame in range(41)]
    assert tracks.centre[:, 1, 0].tolist() == [180 - 2 * frame for frame in range(41)]


def test_without_sides_the_left_one_is_the_left_one():
    tracks = followed([(0, DRIVER, 200, 80, -1), (0, DRIVER, 90, 80, -1)], 1)

    assert tracks.centre[0, :2, 0].tolist() == [90, 200]


@pytest.mark.parametrize(("x", "side"), [(40, 0), (290, 1)])
def test_one_without_a_side_begins_on_its_half(x, side):
    tracks = followed([(0, DRIVER, x, 80, -1)], 1)

    assert tracks.present[0, :2].tolist() == [side == 0, side == 1]


def test_told_sides_are_the_tracks_wherever_they_are():
    """Any places, jumps and absences: with an infinite gate the tracks are the boxes."""
    rng = np.random.default_rng(3)
    rows, there = [], rng.random((200, 2)) < 0.7
    places = rng.uniform(20, 300, (200, 2))
    for frame in range(200):
        for side in rng.permutation(2):
            if there[frame, side]:
                rows.append((frame, DRIVER, places[frame, side], 80, side))

    tracks = followed(rows, 200, gate=np.inf)

    assert (tracks.seen[:, :2] == there).all()
    assert (tracks.centre[:, :2, 0][there] == places[there]).all()


def test_a_second_box_of_a_side_is_not_taken_for_the_other_side():
    rows = [(frame, DRIVER, x, 80, 1) for frame in range(5) for x in (60, 200)]

    tracks = followed(rows, 5)

    assert tracks.seen[:, 1].all()
    assert not tracks.present[:, 0].any()


def test_a_side_told_wrongly_for_a_moment_does_not_swap_the_drivers():
    rows = [(frame, DRIVER, 100 + frame, 80, int(frame == 5)) for frame in range(10)]
    rows += [(frame, DRIVER, 200 - frame, 80, 1) for frame in range(10)]

    tracks = followed(rows, 10)

    assert tracks.centre[:, 0, 0].tolist() == [100 + frame for frame in range(10)]
    assert tracks.centre[:, 1, 0].tolist() == [200 - frame for frame in range(10)]


def test_the_needle_is_the_surest_box_that_is_near():
    rows = [(frame, NEEDLE, 100, 80, 0, 0.6) for frame in range(5)]
    rows += [(frame, NEEDLE, 103, 80, 1, 0.7) for frame in range(1, 5)]
    rows += [(frame, NEEDLE, 250, 80, 1, 0.9) for frame in range(1, 5)]

    tracks = followed(rows, 5, fps=30.0)

    assert tracks.centre[:, 2, 0].tolist() == [100, 103, 103, 103, 103]
    assert tracks.state.tolist() == [0, 1, 1, 1, 1]
    assert tracks.score[:, 2].tolist() == [0.6, 0.7, 0.7, 0.7, 0.7]


def test_a_needle_that_was_lost_is_found_anywhere():
    rows = [(0, NEEDLE, 20, 80, 0), (6, NEEDLE, 300, 80, 1), (12, NEEDLE, 20, 80, 1)]

    assert followed(rows, 13, gate=2.0).seen[:, 2].nonzero()[0].tolist() == [0, 12]
    assert followed(rows, 13, gate=2.0, gap_s=0.4).seen[:, 2].nonzero()[0].tolist() == [0, 6, 12]


@pytest.mark.parametrize(("fps", "missing", "filled"), [
    (10.0, 5, True), (10.0, 6, False), (30.0, 15, True), (30.0, 16, False), (1.0, 1, False),
])  # fmt: skip
def test_half_a_second_is_filled_and_more_is_not(fps, missing, filled):
    last = missing + 1
    rows = [(0, DRIVER, 100, 80, 0), (last, DRIVER, 100 + last, 90, 0)]

    tracks = followed(rows, last + 2, fps=fps)

    gap = slice(1, last)
    assert (tracks.filled[gap, 0] == filled).all()
    assert (tracks.present[gap, 0] == filled).all()
    assert not tracks.present[last + 1, 0]
    assert not tracks.seen[gap, 0].any()
    if filled:
        assert tracks.centre[gap, 0, 0] == pytest.approx(100 + np.arange(1, last))
        assert tracks.centre[gap, 0, 1] == pytest.approx(80 + 10 * np.arange(1, last) / last)
        assert (tracks.score[gap, 0] == 0).all()
    else:
        assert np.isnan(tracks.centre[gap, 0]).all()


def test_boxes_below_the_threshold_are_not_looked_at():
    rows = [(0, DRIVER, 100, 80, 0, 0.29), (1, DRIVER, 100, 80, 0, 0.3)]

    assert followed(rows, 2).seen[:, 0].tolist() == [False, True]
    assert followed(rows, 2, score=0.2).seen[:, 0].tolist() == [True, True]


def test_nothing_found_is_nothing_tracked():
    tracks = followed([], 7)

    assert len(tracks) == 7
    assert not tracks.present.any()
    assert np.isnan(tracks.centre).all()


def test_the_order_of_the_boxes_does_not_matter():
    rng = np.random.default_rng(4)
    rows = [(frame, DRIVER, 60 + 3 * frame + 90 * side + rng.normal(), 80, -1)
            for frame in range(30) for side in range(2)]  # fmt: skip
    shuffled = [rows[number] for number in rng.permutation(len(rows))]

    assert np.array_equal(followed(rows, 30).centre, followed(shuffled, 30).centre, equal_nan=True)


def test_thinned_boxes_are_those_of_fewer_frames():
    rows = [(frame, DRIVER, 100 + frame, 80, 0) for frame in range(31)]

    few = thinned(boxes_at(rows), 10)

    assert few.image.tolist() == [0, 1, 2, 3]
    assert few.xywh[:, 0].tolist() == [90, 100, 110, 120]


def test_runs_at_both_ends():
    start, end = runs(np.array([True, True, False, True]))

    assert (start.tolist(), end.tolist()) == ([0, 3], [2, 4])


def test_what_cannot_be_tracked_is_refused():
    with pytest.raises(DataError, match="frames 3 to 3; expected 0 to 2"):
        followed([(3, DRIVER, 100, 80, 0)], 3)
    with pytest.raises(ParameterError, match="0 frames per second"):
        followed([], 3, fps=0.0)
