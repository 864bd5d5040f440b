r"""One file of boxes: JSON of one object after another, by its number.

    {"0": {"obj_class": "needle driver", "label_type": "box", "orientation": "left",
           "coordinate": "{\"h\": 63, \"w\": 55, \"x\": 600, \"y\": 345}",
           "frame_id": 1.0, "objects": true, "case_id": 1, "fps": 1}, ...}

The coordinate is JSON inside JSON: left, top, width and height (pixels). A frame that was looked at
and shows nothing has one entry, with ``objects`` false.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from assay.errors import DataError
from assay.parts.detection.boxes import UNKNOWN, Boxes
from assay.systems.surgical_skill.classes import CLASSES, STATES

__all__ = ["Annotation", "read_boxes", "write_boxes"]


class Annotation(NamedTuple):
    """What a file says.

    Attributes:
        boxes: Objects by frame, from 0.
        listed: The frames that were looked at, in order.
        orientations: By box, what is said where it is no state that is known; else empty.
        notes: What was found out or mended, in words.
    """

    boxes: Boxes
    listed: Int[np.ndarray, " frame"]
    orientations: tuple[str, ...]
    notes: tuple[str, ...]


def write_boxes(path: Path, boxes: Boxes, frames: int, *, case: int, frame_base: int = 1) -> None:
    """Write the boxes of all frames of a case.

    Args:
        path: The file.
        boxes: Objects; ``image`` is the number of the frame, from 0.
        frames: How many frames there are; those without a box are written as negative.
        case: Number of the case.
        frame_base: Number that the first frame is given.
    """
    entries: list[dict[str, Any]] = []
    for frame in range(frames):
        rows = np.flatnonzero(boxes.image == frame)
        common = {"frame_id": float(frame + frame_base), "case_id": case, "fps": 1}
        for row in rows.tolist():
            label, state = int(boxes.label[row]), int(boxes.state[row])
            x, y, w, h = (int(n) if n.is_integer() else n for n in boxes.xywh[row].tolist())
            entries.append(
                {
                    "obj_class": CLASSES[label],
                    "label_type": "box",
                    "coordinate": json.dumps({"h": h, "w": w, "x": x, "y": y}),
                    "orientation": STATES[label][state] if state != UNKNOWN else None,
                    "objects": True,
                }
                | common
            )
        if not len(rows):
            nothing = dict.fromkeys(("obj_class", "label_type", "coordinate", "orientation"))
            entries.append(nothing | {"objects": False} | common)
    text = json.dumps(dict(enumerate(entries)), indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def read_boxes(
    path: Path, size: tuple[int, int] | None = None, frame_base: int | None = None
) -> Annotation:
    """Read the boxes of a case.

    Args:
        path: The file.
        size: Width and height of the image (pixels), to which boxes are clipped.
        frame_base: Number of the first frame; if not given, 0 where a frame 0 is listed, else 1.

    Raises:
        DataError: If the file or an entry of it is refused.
    """
    entries = _entries(path)
    numbers = {key: _frame(entry, f"{path}: {key}") for key, entry in entries.items()}
    first = min(numbers.values(), default=0)
    base = min(first, 1) if frame_base is None else frame_base
    notes = [f"frames are counted from {base}" + " (as told)" * (frame_base is not None)]
    rows: list[tuple[int, int, list[float], int, str]] = []
    clipped = 0
    for key, entry in entries.items():
        where = f"{path}: {key}"
        if numbers[key] < base:
            raise DataError(f"frame {numbers[key]}", where=where, accepted=f"{base} or more")
        xywh = _xywh(entry, where)
        if xywh is None:
            continue
        label = _label(entry, where)
        inside = _clipped(xywh, size, where)
        clipped += inside != xywh
        state, words = _state(entry.get("orientation"), label)
        rows.append((numbers[key] - base, label, inside, state, words))
    if clipped:
        notes.append(f"{clipped} boxes clipped to the image")
    strange = sum(bool(row[4]) for row in rows)
    if strange:
        notes.append(f"{strange} boxes with an orientation that is not known")
    rows.sort(key=lambda row: row[0])
    image, label, xywh, state, words = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    listed = np.unique(np.array(list(numbers.values()), np.int64)) - base
    boxes = Boxes.of(image, label, xywh, state=state)
    return Annotation(boxes, listed, tuple(words), tuple(notes))


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    try:
        said = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot be read as JSON ({error})", where=str(path)) from error
    if not isinstance(said, dict):
        raise DataError("not a mapping", where=str(path), accepted="objects by their number")
    for key, entry in said.items():
        if not isinstance(entry, dict):
            raise DataError("not a mapping", where=f"{path}: {key}", accepted="one object")
    return said


def _frame(entry: dict[str, Any], where: str) -> int:
    number = _number(entry.get("frame_id"))
    if not (number.is_integer() and 0 <= number < 1e9):
        raise DataError(
            f"frame_id is {entry.get('frame_id')!r}", where=where, accepted="a whole number from 0"
        )
    return int(number)


def _xywh(entry: dict[str, Any], where: str) -> list[float] | None:
    """Left, top, width and height; None for a frame without objects."""
    if str(entry.get("objects", True)).lower() == "false":
        return None
    said = entry.get("coordinate")
    if isinstance(said, str):
        try:
            said = json.loads(said)
        except ValueError:
            raise DataError(f"coordinate is {said!r}", where=where, accepted="JSON") from None
    if said is None or said == {}:
        return None
    numbers = [_number(said.get(name)) for name in "xywh"] if isinstance(said, dict) else [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise DataError(f"coordinate is {said!r}", where=where, accepted="numbers x, y, w and h")
    if min(numbers[2:]) <= 0:
        raise DataError(
            f"a box of {numbers[2]:g} x {numbers[3]:g}", where=where, accepted="above 0"
        )
    return numbers


def _number(said: Any) -> float:
    """A number, also where it is written as text; NaN for anything else."""
    try:
        return math.nan if isinstance(said, bool | None) else float(said)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _label(entry: dict[str, Any], where: str) -> int:
    name = str(entry.get("obj_class")).strip().lower().replace("_", " ").replace("-", " ")
    if name not in CLASSES:
        raise DataError(
            f"obj_class is {entry.get('obj_class')!r}", where=where, accepted=" or ".join(CLASSES)
        )
    return CLASSES.index(name)


def _clipped(xywh: list[float], size: tuple[int, int] | None, where: str) -> list[float]:
    """The part of a box that is in the image."""
    x, y, w, h = xywh
    right, bottom = size or (math.inf, math.inf)
    x0, y0, x1, y1 = max(x, 0.0), max(y, 0.0), min(x + w, right), min(y + h, bottom)
    if x1 <= x0 or y1 <= y0:
        shown = f"{right} x {bottom}" if size else "at 0 or above"
        raise DataError(f"box {xywh} lies outside of the image", where=where, accepted=shown)
    return xywh if [x0, y0, x1, y1] == [x, y, x + w, y + h] else [x0, y0, x1 - x0, y1 - y0]


def _state(said: Any, label: int) -> tuple[int, str]:
    """The state, or what is said instead."""
    if said is None:
        return UNKNOWN, ""
    name = str(said).strip().lower()
    return (STATES[label].index(name), "") if name in STATES[label] else (UNKNOWN, str(said))
