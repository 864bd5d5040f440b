"""Where the best entry failed: the frames in which it missed most, with their pictures.

Pictures are looked for in the challenge's folder ``public``: ``<case>.mp4``, or a folder ``<case>``
of PNG or JPEG files, one for each frame in the order of their names, at any depth.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from assay.errors import DataError
from assay.parts.competition.schema import Challenge
from assay.parts.competition.submission import check
from assay.parts.competition.truth import true_boxes
from assay.parts.detection.boxes import Boxes
from assay.parts.detection.misses import misses

__all__ = ["Failure", "worst_frames"]

SURE = 0.3
IMAGES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Failure:
    """A frame in which objects were missed.

    Attributes:
        entry: Whose failure it is.
        case: Its case.
        frame: Its number, from 0.
        missed: Objects that no sure box of their class overlaps by half.
        invented: Sure boxes that overlap no object of their class by half.
        truth: Objects in it.
        found: Boxes with a score from .3.
        picture: The frame; of no height if it was not found.
    """

    entry: str
    case: str
    frame: int
    missed: int
    invented: int
    truth: Boxes
    found: Boxes
    picture: UInt8[np.ndarray, "height width 3"]


def worst_frames(
    challenge: Challenge, truth: Path, submission: Path, public: Path | None, phase: str,
    most: int = 6,
) -> list[Failure]:  # fmt: skip
    """The frames in which a submission missed most.

    Args:
        challenge: What it is for.
        truth: The folder of what the cases really are.
        submission: A folder or a zip that is accepted.
        public: Where the pictures are, if there are any.
        phase: Whose cases were to be predicted.
        most: How many frames.

    Returns:
        The worst first; none where the challenge asks for no boxes or nothing was missed.
    """
    task = next((name for name, one in challenge.tasks.items() if one.kind == "boxes"), None)
    given = check(challenge, submission, phase=phase).submission
    if task is None or given is None:
        return []
    failures = []
    for case, there in zip(
        given.cases, true_boxes(challenge, truth, task, given.cases), strict=True
    ):
        found = given.boxes.get(case, Boxes.of())
        found = found.take(found.score >= SURE)
        frames = 1 + max([-1, *there.image.tolist(), *found.image.tolist()])
        missed, invented = misses(there, found, frames)
        failures += [
            (int(missed[n]), int(invented[n]), case, int(n), there, found)
            for n in np.flatnonzero(missed)
        ]
    failures.sort(key=lambda one: (-one[0], -one[1], one[2], one[3]))
    return [
        Failure(submission.stem, case, frame, missed, invented, there.take(there.image == frame),
                found.take(found.image == frame), _picture(public, case, frame))
        for missed, invented, case, frame, there, found in failures[:most]
    ]  # fmt: skip


def _picture(public: Path | None, case: str, frame: int) -> np.ndarray:
    """The picture of a frame; an empty one if there is none that can be read."""
    nothing = np.zeros((0, 0, 3), np.uint8)
    if public is None:
        return nothing
    video = next(iter(sorted(public.rglob(f"{case}.mp4"))), None)
    folder = next((path for path in sorted(public.rglob(case)) if path.is_dir()), None)
    try:
        if video is not None:
            return _frame_of(video, frame)
        images = (
            [p for p in sorted(folder.iterdir()) if p.suffix.lower() in IMAGES] if folder else []
        )
        if frame < len(images):
            return _image(images[frame])
    except (OSError, ValueError, DataError):
        pass  # a page without a picture says more than no page
    return nothing


def _image(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def _frame_of(video: Path, frame: int) -> np.ndarray:
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(video)) as container:
            for number, one in enumerate(container.decode(video=0)):
                if number == frame:
                    return one.to_ndarray(format="rgb24")
    except FFmpegError as error:
        raise DataError("cannot be read as a video", where=str(video)) from error
    raise DataError(f"there is no frame {frame}", where=str(video))
