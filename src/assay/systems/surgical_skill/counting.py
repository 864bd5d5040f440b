"""Counts by rule, from tracks: drops, departures from view, and the length of the ways.

Drops and departures equal the simulator's own when the input is its oracle: the boxes of every
frame of the 30 fps stream, where a driver is boxed if and only if at least a quarter of it is seen,
sides and the needle's state are told, and the gate of the tracker is infinite. Then a track is seen
where its driver is not out of view; and the needle is seen held before a drop and dropped after it,
before it is held again. Two rules could differ from the definitions and do not in the simulator,
where nobody drops the needle twice in a second, or lets it go in tissue out of which it slips. Ways
are shorter than those of the tips, which turn around the boxes' centres and also move out of sight.

At fewer frames a second an event may fall between two frames; in boxes of a detector it may be a
fault of the detector.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.parts.detection.boxes import UNKNOWN, Boxes
from assay.systems.surgical_skill.events import DROPS, ECONOMY, OUT_OF_VIEW
from assay.systems.surgical_skill.tracking import NEEDLE_TRACK, Tracks, runs, track

__all__ = ["Rules", "counted", "distance_to_needle", "followed", "smooth_path"]

DROPPED = 1


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What counts.

    Attributes:
        score: Least confidence of a box.
        gap_s: Longest gap in a track that is filled (s).
        gate: Furthest a box may be from where it is expected, in standard deviations.
        absent_s: A driver not found for so long has left the view (s).
        sighted_s: A driver found for less than this has not come back (s): a detector that takes
            one driver for the other for a moment makes two departures of one.
        settle_s: The needle is held or dropped when it has been so for this long (s), where its
            state is told.
        far: Where it is not told, the needle is dropped when it is further than this from the
            nearest driver (image widths),
        far_s: for this long (s).
        refractory_s: Least time between two drops (s).
        smooth_s: Places are averaged over so long before a way is measured (s).
    """

    score: float = 0.3
    gap_s: float = 0.5
    gate: float = 4.0
    absent_s: float = 0.5
    sighted_s: float = 0.0
    settle_s: float = 0.0
    far: float = 0.12
    far_s: float = 0.3
    refractory_s: float = 1.0
    smooth_s: float = 0.2


def counted(tracks: Tracks, rules: Rules) -> dict[str, float]:
    """Count in tracks.

    Args:
        tracks: Where the drivers and the needle were.
        rules: What counts.

    Returns:
        By the names of `METRICS`. The economy of motion is that of the centres of the drivers'
        boxes, in image widths; where a driver is not to be seen it goes straight.
    """
    ways = (smooth_path(tracks, number, rules.smooth_s) for number in range(NEEDLE_TRACK))
    return {
        DROPS: float(_drops(tracks, rules)),
        OUT_OF_VIEW: float(
            sum(_departures(seen, tracks.fps, rules) for seen in tracks.seen.T[:NEEDLE_TRACK])
        ),
        ECONOMY: float(sum(np.linalg.norm(np.diff(way, axis=0), axis=1).sum() for way in ways)),
    }  # fmt: skip


def followed(
    boxes: Boxes, *, frames: int, fps: float | int, width: float | int, rules: Rules
) -> Tracks:
    """Follow boxes, with what the rules say of that.

    Args:
        boxes: Objects found; ``image`` is the number of the frame.
        frames: How many frames there are.
        fps: Frames per second.
        width: Width of the image (pixels).
        rules: Which boxes are looked at, and how far one may be from where it is expected.
    """
    return track(
        boxes, frames=frames, fps=fps, width=width, score=rules.score, gap_s=rules.gap_s,
        gate=rules.gate,
    )  # fmt: skip


def distance_to_needle(tracks: Tracks) -> Float[np.ndarray, " time"]:
    """From the needle to the nearest driver, in image widths; NaN where one is not to be seen."""
    off = tracks.centre[:, :NEEDLE_TRACK] - tracks.centre[:, NEEDLE_TRACK:]
    nearest = np.nan_to_num(np.linalg.norm(off, axis=2), nan=np.inf).min(axis=1)
    return np.where(np.isfinite(nearest), nearest / tracks.width, np.nan)


def smooth_path(tracks: Tracks, number: int, smooth_s: float) -> Float[np.ndarray, "n 2"]:
    """A way from where it was first seen to where it last was, averaged over a moving window.

    Args:
        tracks: Tracks.
        number: Which of them.
        smooth_s: Length of the window (s); the nearest odd number of frames.

    Returns:
        Places in image widths, on a straight line where it was not seen; empty if it never was.
    """
    from scipy.ndimage import uniform_filter1d

    at = np.flatnonzero(tracks.present[:, number])
    if not len(at):
        return np.zeros((0, 2))
    time = np.arange(at[0], at[-1] + 1)
    places = tracks.centre[at, number] / tracks.width
    way = np.stack([np.interp(time, at, places[:, axis]) for axis in range(2)], axis=1)
    window = 2 * int(smooth_s * tracks.fps / 2) + 1
    return uniform_filter1d(way, window, axis=0, mode="nearest")


def _departures(seen: Bool[np.ndarray, " time"], fps: float | int, rules: Rules) -> int:
    """How often a driver left: what was not there from the start has not left."""
    seen = seen.copy()
    for start, end in zip(*runs(seen), strict=True):
        seen[start:end] = (end - start) / fps >= rules.sighted_s - 1e-9
    start, end = runs(~seen)
    return int(((start > 0) & ((end - start) / fps >= rules.absent_s - 1e-9)).sum())


def _drops(tracks: Tracks, rules: Rules) -> int:
    told = tracks.state != UNKNOWN
    if told.any():
        at, hold = np.flatnonzero(told), rules.settle_s
        loose = tracks.state[at] == DROPPED
    else:
        distance = distance_to_needle(tracks)
        at, hold = np.flatnonzero(np.isfinite(distance)), rules.far_s
        loose = distance[at] > rules.far
    lost = _losses(at, loose, len(tracks), hold * tracks.fps)
    count, last = 0, -np.inf
    for frame in lost:
        if frame - last >= rules.refractory_s * tracks.fps - 1e-9:
            count, last = count + 1, frame
    return count


def _losses(
    at: Int[np.ndarray, " n"], loose: Bool[np.ndarray, " n"], frames: int, hold: float
) -> Int[np.ndarray, " drop"]:
    """Frames in which the needle is loose after it was held.

    Args:
        at: Frames in which it is known which it is.
        loose: Which.
        frames: How many frames there are.
        hold: What does not last so many frames did not happen.
    """
    if not len(at):
        return at
    first = np.flatnonzero(np.diff(loose, prepend=~loose[:1]))
    start, kind = at[first], loose[first]
    lasting = np.diff(start, append=frames) >= hold - 1e-9
    start, kind = start[lasting], kind[lasting]
    return start[1:][~kind[:-1] & kind[1:]]
