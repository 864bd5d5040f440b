"""What is counted in a recording: drops, departures from view, and the length of the ways.

The organisers' own definitions are not published; these are ours. Each takes the truth of every
frame of the 30 fps stream.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = ["DROPS", "ECONOMY", "METRICS", "OUT_OF_VIEW", "drops", "economy_of_motion",
           "is_dropped", "out_of_view"]  # fmt: skip

DROPS, OUT_OF_VIEW = "needle_drop_counts", "instrument_out_of_view_counts"
ECONOMY = "economy_of_motion"
METRICS = (DROPS, OUT_OF_VIEW, ECONOMY)
"""Names of the metrics, as in the table of the data set."""
LEAST_GAP = 3
VIEW_SHARE = 0.25
VIEW_FRAMES = 15


def is_dropped(
    held: Int[np.ndarray, " time"], resting: Bool[np.ndarray, " time"]
) -> Bool[np.ndarray, " time"]:
    """Whether the needle lies free: nobody holds it, and it does not rest in tissue."""
    return (held < 0) & ~resting


def drops(held: Int[np.ndarray, " time"], resting: Bool[np.ndarray, " time"]) -> int:
    """How often the needle was dropped: held in one frame, in the next neither held nor resting.

    A needle that nobody holds in the first frame has not been dropped, and one that is let go while
    it rests in tissue is not dropped, even if it slips out later. A drop fewer than 3 frames after
    one that counts does not count: it is the same loss of grip.

    Args:
        held: Who holds the needle: -1 nobody, 0 left, 1 right.
        resting: Whether it rests in tissue.

    Example:
        >>> drops(np.array([0, -1, -1, 1, -1]), np.zeros(5, bool))
        2
        >>> drops(np.array([0, -1, 0, -1]), np.array([False, False, False, False]))
        1
    """
    lost = np.flatnonzero((held[:-1] >= 0) & is_dropped(held, resting)[1:])
    count, last = 0, -LEAST_GAP
    for frame in lost:
        if frame - last >= LEAST_GAP:
            count, last = count + 1, frame
    return count


def out_of_view(
    visible_share: Float[np.ndarray, "time instrument"],
    frames: int = VIEW_FRAMES,
    share: float = VIEW_SHARE,
) -> int:
    """How often an instrument left the view: little of it to be seen for a while, counted on entry.

    An instrument that is out of view in the first frame has not left it in this recording; one that
    leaves and does not come back has, if it is long enough out before the end.

    Args:
        visible_share: Share of each instrument that is seen, in [0, 1].
        frames: Least length of an absence.
        share: Below this share it is out of view.

    Example:
        >>> seen = np.ones((60, 2)); seen[10:25, 0] = 0.2; seen[30:44, 1] = 0.0; seen[50:, 1] = 0.0
        >>> out_of_view(seen), out_of_view(seen, frames=10)
        (1, 3)
    """
    out = (visible_share < share).astype(np.int8).T
    count = 0
    for each in out:
        change = np.diff(each, append=np.int8(0))
        start, end = np.flatnonzero(change[:-1] > 0), np.flatnonzero(change < 0)
        end = end[len(end) - len(start) :]
        count += int((end - start >= frames).sum())
    return count


def economy_of_motion(tips: Float[np.ndarray, "time instrument 2"]) -> float:
    """Length of the ways of all tips together, in image widths: the less, the more economical.

    Args:
        tips: Where each tip is, in image widths.

    Example:
        >>> economy_of_motion(np.array([[[0.0, 0.0], [1.0, 0.0]], [[0.3, 0.4], [1.0, 0.0]]]))
        0.5
    """
    return float(np.linalg.norm(np.diff(tips, axis=0), axis=2).sum())
