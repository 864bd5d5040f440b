"""Tracks of two needle drivers and a needle, from boxes in the frames of a recording.

Boxes of a frame go to the drivers by the cheapest assignment there is (Hungarian algorithm), where
a box costs the more the less it overlaps and the further it is from where a driver should be by
now; what a detector says of the side outweighs both. The needle is the surest box near where it
should be. Where something should be tells a Kalman filter of constant velocity.

Notable: position and size are filtered for themselves, which under this model is exactly the
filter of all eight numbers, and the filter only assigns: a track holds the boxes as they were.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.errors import DataError, ParameterError
from assay.parts.detection.boxes import UNKNOWN, Boxes, iou
from assay.systems.surgical_skill.classes import DRIVER, NEEDLE

__all__ = ["TRACKS", "Belief", "Tracks", "runs", "thinned", "track"]

TRACKS = ("left driver", "right driver", "needle")
"""What is tracked, in the order of every axis of tracks."""
NEEDLE_TRACK = 2
NOISE = 0.1
"""Standard deviation of a box's place and size, in object sizes."""
AGILITY = 500.0
"""Spectral density of the acceleration, in object sizes squared per second cubed."""
SPEED = 10.0
"""Standard deviation of the speed of what has just appeared, in object sizes per second."""
NEW, OTHER_SIDE, NEVER = 3.0, 10.0, 1e6
"""Costs. To go on costs 3 at most, to begin 3 to 5; so what is told of sides is never outvoted."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """Where the drivers and the needle were, frame by frame.

    Attributes:
        fps: Frames per second.
        width: Width of the image (pixels).
        present: Whether it is known where each is ``[time, 3]``: left driver, right driver, needle.
        centre: Centre of each box (pixels); NaN where not present ``[time, 3, 2]``.
        size: Width and height of each box (pixels); NaN where not present ``[time, 3, 2]``.
        score: Confidence of each box; 0 where it was not found ``[time, 3]``.
        state: State of the needle, as `STATES` numbers them; -1 where it was not told ``[time]``.
        filled: Which were not found, but put on the line between two that were ``[time, 3]``.
    """

    fps: float | int
    width: float | int
    present: Bool[np.ndarray, "time 3"]
    centre: Float[np.ndarray, "time 3 2"]
    size: Float[np.ndarray, "time 3 2"]
    score: Float[np.ndarray, "time 3"]
    state: Int[np.ndarray, " time"]
    filled: Bool[np.ndarray, "time 3"]

    def __len__(self) -> int:
        """How many frames."""
        return len(self.present)

    @property
    def seen(self) -> Bool[np.ndarray, "time 3"]:
        """Which were found in a frame."""
        return self.present & ~self.filled


@dataclass(frozen=True, eq=False)
class Belief:
    """What a Kalman filter of constant velocity believes of numbers that move independently.

    Attributes:
        value: Mean of each number.
        rate: Mean of its change per second.
        variance: Variance of the value.
        covariance: Covariance of value and rate.
        rate_variance: Variance of the rate.
    """

    value: Float[np.ndarray, "*n"]
    rate: Float[np.ndarray, "*n"]
    variance: Float[np.ndarray, "*n"]
    covariance: Float[np.ndarray, "*n"]
    rate_variance: Float[np.ndarray, "*n"]

    def later(self, seconds: float, density: Float[np.ndarray, "*n"]) -> "Belief":
        """The belief after a while in which white noise accelerated.

        Source: Bar-Shalom, Li and Kirubarajan 2001, Estimation with Applications to Tracking and
        Navigation, section 6.2.2 (continuous white noise acceleration).

        Args:
            seconds: The while.
            density: Spectral density of the acceleration, per number.
        """
        t, drift = seconds, 2 * seconds * self.covariance + seconds**2 * self.rate_variance
        return Belief(
            self.value + self.rate * t,
            self.rate,
            self.variance + drift + density * t**3 / 3,
            self.covariance + t * self.rate_variance + density * t**2 / 2,
            self.rate_variance + density * t,
        )  # fmt: skip

    def updated(
        self,
        measured: Float[np.ndarray, "*n"],
        noise: Float[np.ndarray, "*n"],
        where: Bool[np.ndarray, "*n"],
    ) -> "Belief":
        """The belief after the values were measured.

        Args:
            measured: What was measured; not read elsewhere.
            noise: Variance of the measurement.
            where: Which were measured.
        """
        off = np.where(where, measured - self.value, 0.0)
        sure = np.where(where, 1.0 / (self.variance + noise), 0.0)
        gain, rate_gain = self.variance * sure, self.covariance * sure
        return Belief(
            self.value + gain * off,
            self.rate + rate_gain * off,
            (1.0 - gain) * self.variance,
            (1.0 - gain) * self.covariance,
            self.rate_variance - rate_gain * self.covariance,
        )

    def restarted(
        self, at: Float[np.ndarray, "*n"], noise: Float[np.ndarray, "*n"],
        rate_variance: Float[np.ndarray, "*n"], where: Bool[np.ndarray, "*n"],
    ) -> "Belief":  # fmt: skip
        """The belief with some numbers begun anew, where they were measured first."""
        fresh = (at, np.zeros_like(at), noise, np.zeros_like(at), rate_variance)
        return Belief(*(np.where(where, new, old)
                        for new, old in zip(fresh, vars(self).values(), strict=True)))  # fmt: skip


def track(
    boxes: Boxes,
    *,
    frames: int,
    fps: float | int,
    width: float | int,
    score: float = 0.3,
    gap_s: float = 0.5,
    gate: float = 4.0,
) -> Tracks:
    """Follow the two drivers and the needle.

    Where every driver's side is told, no two have the same side in a frame and the gate is
    infinite, the tracks are those boxes.

    Args:
        boxes: Objects found; ``image`` is the number of the frame.
        frames: How many frames there are.
        fps: Frames per second.
        width: Width of the image (pixels).
        score: Boxes below this confidence are not looked at.
        gap_s: Longest gap (s) that is filled, and longest time something is expected where it was
            going. After it, it may begin anew anywhere.
        gate: Furthest from where it is expected, in standard deviations.

    Raises:
        DataError: If a box is in no frame.
        ParameterError: If there is no frame rate or width.
    """
    if not (fps > 0 and width > 0):
        raise ParameterError(
            f"{fps:g} frames per second, {width:g} pixels wide", where="track", accepted="above 0"
        )
    if len(boxes) and not 0 <= boxes.image.min() <= boxes.image.max() < frames:
        raise DataError(
            f"boxes in frames {boxes.image.min()} to {boxes.image.max()}", where="track",
            accepted=f"0 to {frames - 1}",
        )  # fmt: skip
    kept = boxes.take((boxes.score >= score) & np.isin(boxes.label, (DRIVER, NEEDLE)))
    kept = kept.take(np.lexsort((kept.label, kept.image)))
    chosen = _followed(kept, frames, fps, width, gap_s, gate)
    seen = chosen >= 0
    state = np.full(frames, UNKNOWN)
    found = seen[:, NEEDLE_TRACK]
    state[found] = kept.state[chosen[found, NEEDLE_TRACK]]
    centre, size = np.full((2, frames, len(TRACKS), 2), np.nan)
    confidence = np.zeros(seen.shape)
    centre[seen] = (kept.xywh[:, :2] + kept.xywh[:, 2:] / 2)[chosen[seen]]
    size[seen] = kept.xywh[chosen[seen], 2:]
    confidence[seen] = kept.score[chosen[seen]]
    none = np.zeros_like(seen)
    return _filled(Tracks(fps, width, seen, centre, size, confidence, state, none), gap_s)


def thinned(boxes: Boxes, every: int) -> Boxes:
    """The boxes of every so manieth frame, as of a recording with so many fewer frames per second.

    Example:
        >>> boxes = Boxes.of([0, 1, 2, 3, 4], [0] * 5, [[0, 0, 1, 1]] * 5)
        >>> thinned(boxes, 2).image.tolist()
        [0, 1, 2]
    """
    kept = boxes.take(boxes.image % every == 0)
    return replace(kept, image=kept.image // every)


def runs(mask: Bool[np.ndarray, " time"]) -> tuple[np.ndarray, np.ndarray]:
    """Where a mask begins to hold, and where it no longer does.

    Example:
        >>> [ends.tolist() for ends in runs(np.array([True, False, True, True]))]
        [[0, 2], [1, 4]]
    """
    change = np.diff(mask.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(change > 0), np.flatnonzero(change < 0)


def _followed(
    boxes: Boxes, frames: int, fps: float | int, width: float | int, gap_s: float, gate: float
) -> Int[np.ndarray, "time 3"]:
    """Which box each track has in each frame; -1 for none.

    Args:
        boxes: By frame, and in a frame the drivers first.
        frames: How many frames there are.
        fps: Frames per second.
        width: Width of the image (pixels).
        gap_s: How long something is expected where it was going.
        gate: Furthest from there, in standard deviations.
    """
    places = boxes.xywh.copy()
    places[:, :2] += places[:, 2:] / 2
    scale = _sizes(boxes)
    noise, density, speed = (NOISE * scale) ** 2, AGILITY * scale**2, (SPEED * scale) ** 2
    begin, told = _costs_of_sides(boxes, places[:, 0] / width)
    belief = Belief(*np.zeros((5, len(TRACKS), 4)))
    missed = np.full(len(TRACKS), np.inf)  # seconds since it was seen
    chosen = np.full((frames, len(TRACKS)), -1)
    ends = np.searchsorted(2 * boxes.image + boxes.label, np.arange(2 * frames + 1))
    for frame in range(frames):
        belief, missed = belief.later(1 / fps, density), missed + 1 / fps
        first, needles, last = ends[2 * frame : 2 * frame + 3]
        if first == last:
            continue
        alive = missed <= gap_s + 1 / fps + 1e-9
        reach = gate * np.sqrt(belief.variance[:, :1] + noise[:, :1])
        near = _distances(belief, places[first:last]) / reach
        here = chosen[frame]
        if first < needles:
            rows = slice(first, needles)
            go_on = _costs_of_going_on(belief, boxes.xywh[rows], near[:2, : needles - first])
            cost = np.where(alive[:2, None], go_on + told[:, rows], begin[:, rows])
            here[:2] = _assigned(cost, np.arange(first, needles))
        of_needle = np.arange(needles, last)
        if alive[NEEDLE_TRACK]:
            of_needle = of_needle[near[NEEDLE_TRACK, needles - first :] <= 1]
        if len(of_needle):
            here[NEEDLE_TRACK] = of_needle[boxes.score[of_needle].argmax()]
        belief = _learned(belief, places[here], noise, speed, here >= 0, alive)
        missed[here >= 0] = 0.0
    return chosen


def _learned(
    belief: Belief, measured: np.ndarray, noise: np.ndarray, speed: np.ndarray, seen: np.ndarray,
    alive: np.ndarray,
) -> Belief:  # fmt: skip
    """The belief after a frame: what is alive goes on, and what appears begins."""
    on, anew = seen & alive, seen & ~alive
    belief = belief.updated(measured, noise, np.repeat(on[:, None], 4, axis=1))
    if anew.any():
        belief = belief.restarted(measured, noise, speed, np.repeat(anew[:, None], 4, axis=1))
    return belief


def _sizes(boxes: Boxes) -> Float[np.ndarray, "3 4"]:
    """How large each object is (pixels), for each of its four numbers."""
    size = np.sqrt(boxes.xywh[:, 2:].prod(axis=1))
    each = [np.median(size[of]) if (of := boxes.label == label).any() else 1.0
            for label in (DRIVER, DRIVER, NEEDLE)]  # fmt: skip
    return np.repeat(np.array(each)[:, None], 4, axis=1)


def _distances(belief: Belief, places: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "3 n"]:
    """How far each box is from where each object is expected (pixels)."""
    off = belief.value[:, None, :2] - places[:, :2]
    return np.hypot(off[..., 0], off[..., 1])


def _costs_of_sides(
    boxes: Boxes, across: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "2 n"], Float[np.ndarray, "2 n"]]:
    """What it costs the left and the right driver to begin with each box, and to own its side."""
    unsure, unknown = 1.0 - boxes.score, boxes.state == UNKNOWN
    other = ~unknown & (boxes.state != np.arange(2)[:, None])
    across = np.clip(across, 0.0, 1.0)
    by_order = np.where(unknown, np.stack([across, 1.0 - across]), 0.0)
    begin = np.where(other, NEVER, NEW + by_order)
    return begin + unsure, OTHER_SIDE * other + unsure


def _costs_of_going_on(
    belief: Belief, xywh: Float[np.ndarray, "n 4"], near: Float[np.ndarray, "2 n"]
) -> Float[np.ndarray, "2 n"]:
    """What it costs the left and the right driver to go on with each box, by where it is."""
    expected = belief.value[:2].copy()
    expected[:, 2:] = np.maximum(expected[:, 2:], 1e-9)
    expected[:, :2] -= expected[:, 2:] / 2
    return np.where(near <= 1, 1.0 - iou(expected, xywh) + near, NEVER)


def _assigned(cost: Float[np.ndarray, "2 n"], rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " 2"]:
    """The row of each driver at the least cost together; -1 for none."""
    from scipy.optimize import linear_sum_assignment

    of, to = linear_sum_assignment(cost)
    allowed = cost[of, to] < NEVER
    assigned = np.full(len(cost), -1)
    assigned[of[allowed]] = rows[to[allowed]]
    return assigned


def _filled(tracks: Tracks, gap_s: float) -> Tracks:
    """The tracks with short gaps bridged by straight lines."""
    filled = np.zeros_like(tracks.present)
    centre, size, time = tracks.centre.copy(), tracks.size.copy(), np.arange(len(tracks))
    for number, seen in enumerate(tracks.present.T):
        if not seen.any():
            continue
        for start, end in zip(*runs(~seen), strict=True):
            inside = 0 < start and end < len(tracks)
            filled[start:end, number] = inside and (end - start) / tracks.fps <= gap_s + 1e-9
        gap = filled[:, number]
        for values in (centre, size):
            for axis in range(2):
                known = values[seen, number, axis]
                values[gap, number, axis] = np.interp(time[gap], time[seen], known)
    return replace(tracks, present=tracks.present | filled, centre=centre, size=size, filled=filled)
