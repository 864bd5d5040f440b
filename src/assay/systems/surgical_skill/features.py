"""What a recording's tracks say of skill, as one row of numbers with names."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float

from assay.parts.detection.boxes import UNKNOWN
from assay.systems.surgical_skill.counting import distance_to_needle, smooth_path
from assay.systems.surgical_skill.tracking import NEEDLE_TRACK, TRACKS, Tracks, runs

__all__ = ["ABSENCES_S", "FEATURES", "features", "spectral_arc_length", "table"]

SMOOTH_S = 0.2
IDLE = 0.02
"""Slower than this a driver rests (image widths per second)."""
NEAR = 0.12
"""Closer than this a driver is at the needle (image widths)."""
ABSENCES_S = (0.0, 0.2, 0.5, 1.0, 2.0, np.inf)
"""Edges of the histogram of absences (s)."""
_BINS = tuple(f"{low:g}_to_{high:g}_s" for low, high in pairwise(ABSENCES_S))
_MOTION = ("path", "speed", "speed_sd", "jerk", "spectral_arc_length", "idle_share")
_SEEN = (
    "absent_share", *(f"absences_{name}" for name in _BINS), "score", "score_sd", "score_low",
)  # fmt: skip
_DRIVER = (*_MOTION, *_SEEN)
_NEEDLE = ("distance", "distance_sd", "near_share", "dropped_share", "state_changes")
FEATURES = (
    "duration_s",
    *(f"{name.replace(' ', '_')}_{what}" for name in TRACKS[:NEEDLE_TRACK] for what in _DRIVER),
    *(f"needle_{what}" for what in (*_SEEN, *_NEEDLE)),
)
"""Names, in the order of every row."""


def features(tracks: Tracks) -> dict[str, float]:
    """Describe the tracks of a recording.

    Args:
        tracks: Tracks; they may be empty.

    Returns:
        By the names of `FEATURES`: paths in image widths, speeds in image widths per second, the
        jerk as the logarithm of 1 + its root mean square in image widths per second cubed, absences
        as numbers of them by their length. Of what was never seen the absences say so, and
        everything else is 0.
    """
    values = [len(tracks) / tracks.fps]
    for number in range(NEEDLE_TRACK):
        values += _motion(smooth_path(tracks, number, SMOOTH_S), tracks.fps)
        values += _sight(tracks, number)
    values += _sight(tracks, NEEDLE_TRACK) + _needle(tracks)
    return dict(zip(FEATURES, values, strict=True))


def table(rows: list[dict[str, float]]) -> Float[np.ndarray, "case feature"]:
    """The rows of several recordings, with columns in the order of `FEATURES`."""
    return np.array([[row[name] for name in FEATURES] for row in rows]).reshape(-1, len(FEATURES))


def spectral_arc_length(
    speed: Float[np.ndarray, " time"],
    fps: float | int,
    *,
    padding: int = 4,
    highest_hz: float = 10.0,
    threshold: float = 0.05,
) -> float:
    """How smooth a movement is: the length of its speed's normalised spectrum, negative.

    The spectrum of magnitudes, divided by its largest value, is followed up to the last frequency
    at which it is not below the threshold; frequencies are divided by that one.

    Source: Balasubramanian, Melendez-Calderon and Burdet 2012, IEEE Trans. Biomed. Eng. 59, 2126;
    with the adaptive threshold (SPARC) of Balasubramanian et al. 2015, J. NeuroEng. Rehabil. 12,
    112.

    Args:
        speed: Speed, in any unit.
        fps: Samples per second.
        padding: The transform has the next power of two of samples, and so many times twice that.
        highest_hz: No frequency above this counts, nor any above half the sampling rate.
        threshold: Share of the largest magnitude.

    Returns:
        A number below -1, and the closer to it the smoother; 0 where nothing moved.

    Example:
        >>> time = np.arange(-1, 1, 0.01)
        >>> round(spectral_arc_length(np.exp(-5 * time**2), 100), 5)
        -1.41403
    """
    if not speed.any():
        return 0.0
    samples = 2 ** (int(np.ceil(np.log2(len(speed)))) + padding)
    magnitude = np.abs(np.fft.rfft(speed, samples))
    magnitude = (magnitude / magnitude.max())[np.fft.rfftfreq(samples, 1 / fps) <= highest_hz]
    loud = np.flatnonzero(magnitude >= threshold)
    if len(loud) < 2:
        return -1.0
    kept = magnitude[loud[0] : loud[-1] + 1]
    return -float(np.hypot(1.0 / (len(kept) - 1), np.diff(kept)).sum())


def _motion(way: Float[np.ndarray, "n 2"], fps: float | int) -> list[float]:
    if len(way) < 2:
        return [0.0] * len(_MOTION)
    velocity = np.diff(way, axis=0) * fps
    speed = np.linalg.norm(velocity, axis=1)
    jerk = np.diff(velocity, 2, axis=0) * fps**2
    rms = float(np.sqrt(np.square(jerk).sum(axis=1).mean())) if len(jerk) else 0.0
    return [
        float(speed.sum() / fps),
        float(speed.mean()),
        float(speed.std()),
        float(np.log1p(rms)),
        spectral_arc_length(speed, fps),
        float((speed < IDLE).mean()),
    ]


def _sight(tracks: Tracks, number: int) -> list[float]:
    seen = tracks.seen[:, number]
    if not len(seen):
        return [1.0, *[0.0] * (len(_SEEN) - 1)]
    start, end = runs(~seen)
    lengths = np.histogram((end - start) / tracks.fps, ABSENCES_S)[0]
    score = tracks.score[seen, number] if seen.any() else np.zeros(1)
    return [
        float(1.0 - seen.mean()),
        *lengths.astype(float).tolist(),
        float(score.mean()),
        float(score.std()),
        float(np.quantile(score, 0.1)),
    ]


def _needle(tracks: Tracks) -> list[float]:
    distance = distance_to_needle(tracks)
    distance = distance[np.isfinite(distance)]
    told = tracks.state[tracks.state != UNKNOWN]
    near = [0.0] * 3
    if len(distance):
        near = [distance.mean(), distance.std(), (distance < NEAR).mean()]
    return [
        *map(float, near),
        float((told == 1).mean()) if len(told) else 0.0,
        float((np.diff(told) != 0).sum()),
    ]
