"""Features: smoothness against closed forms and its published value, and what is never seen."""

import numpy as np
import pytest
from scipy.integrate import quad

from assay.systems.surgical_skill.features import _MOTION as MOTION
from assay.systems.surgical_skill.features import (
    FEATURES,
    features,
    spectral_arc_length,
    table,
)
from assay.systems.surgical_skill.features import _motion as motion
from assay.systems.surgical_skill.tracking import Tracks

WIDTH = 320.0


def tracks_of(way, seen=None, fps=30.0) -> Tracks:
    """Tracks whose left driver goes this way (image widths ``[time, 2]``); the rest stands."""
    time = len(way)
    centre = np.zeros((time, 3, 2))
    centre[:, 0] = np.asarray(way) * WIDTH
    present = np.ones((time, 3), bool)
    if seen is not None:
        present[:, 0] = seen
    centre[~present] = np.nan
    return Tracks(fps, WIDTH, present, centre, np.where(np.isnan(centre), np.nan, 20.0),
                  present * 0.8, np.full(time, -1), np.zeros_like(present))  # fmt: skip


def arc_length(slope, cut) -> float:
    """The integral of the definition (Balasubramanian et al. 2012)."""
    return -quad(lambda f: np.hypot(1 / cut, slope(f)), 0, cut, limit=200)[0]


@pytest.mark.parametrize("width", [0.1, 0.2, 0.4])
def test_the_arc_length_of_a_bell_is_the_integral_over_its_transform(width):
    """The transform of a Gaussian of width s is exp(-(2 pi f s)^2 / 2), .05 at the cut."""
    time = np.arange(-6, 6, 0.01)
    rate = 2 * np.pi * width
    cut = np.sqrt(2 * np.log(20)) / rate
    expected = arc_length(lambda f: -(rate**2) * f * np.exp(-((rate * f) ** 2) / 2), cut)

    found = spectral_arc_length(np.exp(-(time**2) / (2 * width**2)), 100, padding=6)

    assert found == pytest.approx(expected, abs=2e-3)


def test_the_arc_length_of_a_triangular_spectrum_is_that_of_its_two_sides():
    """The transform of (sin(pi b t) / (pi b t))^2 falls in a line from 1 at 0 to 0 at b Hz; up to
    where it is .05 the line is 1 wide and .95 high."""
    time = np.arange(-40, 40, 0.01)

    found = spectral_arc_length(np.sinc(4 * time) ** 2, 100)

    assert found == pytest.approx(-np.hypot(1, 0.95), abs=2e-3)


def test_the_published_example():
    """Of the reference implementation's own documentation (siva82kb/SPARC)."""
    time = np.arange(-1, 1, 0.01)

    assert f"{spectral_arc_length(np.exp(-5 * time**2), 100.0):.5f}" == "-1.41403"


def test_smoothness_depends_on_neither_size_nor_duration():
    time = np.arange(-1, 1, 0.01)
    bell = np.exp(-5 * time**2)

    assert spectral_arc_length(7 * bell, 100) == pytest.approx(spectral_arc_length(bell, 100))
    slow = np.exp(-5 * (np.arange(-2, 2, 0.01) / 2) ** 2)
    assert spectral_arc_length(slow, 100) == pytest.approx(spectral_arc_length(bell, 100), abs=0.01)


def test_two_bells_are_less_smooth_than_one():
    time = np.arange(-3, 3, 0.01)
    one = np.exp(-5 * time**2)
    two = np.exp(-5 * (time - 1) ** 2) + np.exp(-5 * (time + 1) ** 2)

    assert spectral_arc_length(two, 100) < spectral_arc_length(one, 100) - 0.2


def test_noise_above_ten_hertz_does_not_count():
    time = np.arange(-1, 1, 0.005)
    bell = np.exp(-5 * time**2)
    trembling = bell + 0.2 * np.sin(2 * np.pi * 40 * time) * bell

    assert spectral_arc_length(trembling, 200) == pytest.approx(
        spectral_arc_length(bell, 200), abs=1e-3
    )
    assert spectral_arc_length(trembling, 200, highest_hz=100.0) < -2


def test_what_stands_has_no_smoothness():
    assert spectral_arc_length(np.zeros(50), 30) == 0.0
    assert spectral_arc_length(np.ones(1), 30) == pytest.approx(-1.0)


def test_a_steady_way():
    """Half an image width a second for four seconds; then two of rest."""
    x = np.minimum(np.arange(181) / 30 * 0.125, 0.5)

    row = features(tracks_of(np.stack([x, 0 * x], axis=1)))

    assert row["duration_s"] == pytest.approx(181 / 30)
    assert row["left_driver_path"] == pytest.approx(0.5, abs=0.005)  # the ends are averaged
    assert row["left_driver_speed"] == pytest.approx(0.5 / 6, abs=0.001)
    assert row["left_driver_idle_share"] == pytest.approx(1 / 3, abs=0.02)
    assert row["right_driver_idle_share"] == 1.0
    assert row["right_driver_path"] == 0.0


def test_the_jerk_of_a_cube_is_six_and_that_of_a_square_none():
    time = np.arange(0, 2, 1 / 30)

    cube, square = (motion(np.stack([0 * time, time**power], axis=1), 30.0) for power in (3, 2))

    assert cube[MOTION.index("jerk")] == pytest.approx(np.log(7))
    assert square[MOTION.index("jerk")] == pytest.approx(0.0, abs=1e-6)
    assert cube[MOTION.index("path")] == pytest.approx(time[-1] ** 3)


def test_absences_are_counted_by_their_length():
    seen = np.ones(300, bool)
    for start, length in ((10, 3), (30, 9), (60, 15), (100, 30), (150, 120)):
        seen[start : start + length] = False

    row = features(tracks_of(np.zeros((300, 2)), seen))

    bins = [row[name] for name in FEATURES if name.startswith("left_driver_absences")]
    assert bins == [1, 1, 1, 1, 1]
    assert row["left_driver_absent_share"] == pytest.approx(177 / 300)
    assert row["left_driver_score"] == pytest.approx(0.8)


def test_the_needle_is_described_by_distance_and_state():
    tracks = tracks_of(np.full((100, 2), [0.3, 0.4]))
    tracks.centre[:, 1] = 2 * WIDTH
    tracks.state[:60], tracks.state[60:80] = 0, 1

    row = features(tracks)

    assert row["needle_distance"] == pytest.approx(0.5)
    assert row["needle_near_share"] == 0.0
    assert row["needle_dropped_share"] == 0.25
    assert row["needle_state_changes"] == 1.0


@pytest.mark.parametrize("frames", [0, 1, 2, 50])
def test_of_nothing_everything_is_still_a_number(frames):
    empty = tracks_of(np.zeros((frames, 2)))
    empty.present[:] = False
    empty.centre[:] = np.nan

    row = features(empty)

    assert tuple(row) == FEATURES
    assert np.isfinite(list(row.values())).all()
    assert row["left_driver_absent_share"] == row["needle_absent_share"] == 1.0
    assert row["left_driver_path"] == 0.0


def test_one_frame_is_enough():
    assert np.isfinite(list(features(tracks_of(np.zeros((1, 2)))).values())).all()


def test_a_table_has_the_columns_of_the_names():
    row = features(tracks_of(np.random.default_rng(0).random((90, 2))))

    rows = table([dict(reversed(row.items())), row])

    assert rows.shape == (2, len(FEATURES))
    assert (rows[0] == rows[1]).all()
    assert table([]).shape == (0, len(FEATURES))
