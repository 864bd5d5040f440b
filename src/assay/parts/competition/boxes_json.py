"""Boxes of one case as a JSON file, in the format of the SurgToolLoc 2022 containers; and as COCO.

    {"type": "Multiple 2D bounding boxes", "version": {"major": 1, "minor": 0}, "boxes": [
    {"corners": [[x0, y0, 0.5], [x1, y0, 0.5], [x1, y1, 0.5], [x0, y1, 0.5]],
     "name": "slice_nr_17_needle_driver", "probability": 0.83}]}

Notable: the file holds both corners, `Boxes` a corner and a size, and their sum or difference may
be rounded. Whoever writes snaps the far corner to 2^-20 pixels: boxes on that grid come back as
they were, and what was written once is read and written again without any change. The state of an
object has no place in the format.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from assay.errors import DataError
from assay.parts.competition.json_text import Complaint, Place, number, read_json, require_keys
from assay.parts.competition.problems import Capped, Problem, shown
from assay.parts.detection.boxes import Boxes

__all__ = ["Coco", "Expected", "boxes_from_json", "boxes_to_json", "from_coco", "to_coco"]

TYPE, VERSION = "Multiple 2D bounding boxes", {"major": 1, "minor": 0}
NAME = re.compile(r"slice_nr_([0-9]{1,9})_(.+)", re.DOTALL)
FARTHEST = 100_000.0
"""A corner lies within this many pixels of the origin."""
STEP = 2.0**-20
Row = tuple[int, int, tuple[float, float, float, float], float]


class Expected(NamedTuple):
    """What a file of boxes may hold.

    Attributes:
        classes: In the order of their labels.
        frame_base: Number of the first frame in the file.
        frames: Of the case.
        most: Boxes in one frame.
    """

    classes: tuple[str, ...]
    frame_base: int = 0
    frames: int = 10_000_000
    most: int = 100


def boxes_from_json(
    data: bytes, file: str, expected: Expected
) -> tuple[Boxes | None, Capped[Problem]]:
    """Read a file; images of the boxes are frames from 0.

    Returns:
        The boxes, None if anything is wrong; and the problems.
    """
    return read_json(data, file, lambda value, found: _boxes(value, found, expected))


def boxes_to_json(boxes: Boxes, classes: Sequence[str], *, frame_base: int = 0) -> str:
    """Write a file: one box in each line.

    Raises:
        DataError: If a box would be refused when it is read.
    """
    names = [name.replace(" ", "_") for name in classes]
    lines = []
    low = boxes.xywh[:, :2] + 0.0  # no -0.0, which is equal to 0.0 and written otherwise
    high = np.maximum(np.round((low + boxes.xywh[:, 2:]) / STEP) * STEP, low + STEP) + 0.0
    if len(boxes) and not (np.abs(low).max() <= FARTHEST and np.abs(high).max() <= FARTHEST):
        raise DataError("a box lies too far out", accepted=f"within {FARTHEST:g} pixels")
    for row, ((x0, y0), (x1, y1)) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        frame = int(boxes.image[row]) + frame_base
        box = {
            "corners": [[x0, y0, 0.5], [x1, y0, 0.5], [x1, y1, 0.5], [x0, y1, 0.5]],
            "name": f"slice_nr_{frame}_{names[boxes.label[row]]}",
            "probability": float(boxes.score[row]) + 0.0,
        }
        lines.append(json.dumps(box, allow_nan=False))
    head = f'{{"type": {json.dumps(TYPE)}, "version": {json.dumps(VERSION)}, "boxes": ['
    return head + ",".join(f"\n{line}" for line in lines) + "\n]}\n"


def _boxes(value: Any, complaints: Capped[Complaint], expected: Expected) -> Boxes:
    require_keys(value, ("type", "version", "boxes"), ())
    if value["type"] != TYPE or value["version"] != VERSION:
        at = "type" if value["type"] != TYPE else "version"
        wanted = TYPE if at == "type" else "major 1, minor 0"
        raise Complaint((at,), "format", f"{shown(value[at])} is another {at}", wanted)
    if not isinstance(value["boxes"], list):
        raise Complaint(("boxes",), "format", f"{shown(value['boxes'])} is no list", "a list")
    labels = {name.replace(" ", "_"): n for n, name in enumerate(expected.classes)}
    rows: list[Row] = []
    seen: set[tuple[Any, ...]] = set()
    count: dict[int, int] = {}
    for n, box in enumerate(value["boxes"]):
        at = ("boxes", n)
        try:
            row = _box(box, at, labels, expected)
            count[row[0]] = many = count.get(row[0], 0) + 1
            if many == expected.most + 1:  # said once for each frame
                wanted = f"at most {expected.most}"
                raise Complaint(at, "too_many", f"{many} boxes in frame {_frame(box)}", wanted)
            if row[:3] in seen:
                raise Complaint(at, "duplicate", f"the same box as before in frame {_frame(box)}")
            seen.add(row[:3])
            rows.append(row)
        except Complaint as complaint:
            complaints.add(complaint)
    return _columns(rows)


def _columns(rows: list[Row]) -> Boxes:
    return Boxes.of(*zip(*rows, strict=True)) if rows else Boxes.of()


def _frame(box: Mapping[str, Any]) -> str:
    return str(box["name"]).split("_")[2]


def _box(box: Any, at: Place, labels: Mapping[str, int], expected: Expected) -> Row:
    """One box as frame, label, left, top, width, height, and score."""
    require_keys(box, ("corners", "name", "probability"), at)
    frame, label = _name(box["name"], (*at, "name"), labels, expected)
    score = number(box["probability"], (*at, "probability"), 0.0, 1.0)
    return frame, label, _corners(box["corners"], (*at, "corners")), score


def _name(name: Any, at: Place, labels: Mapping[str, int], expected: Expected) -> tuple[int, int]:
    match = NAME.fullmatch(name) if isinstance(name, str) else None
    if not match:
        wanted = "`slice_nr_N_class` with the number of the frame"
        raise Complaint(at, "format", f"{shown(name)} is no name", wanted)
    frame, base = int(match[1]) - expected.frame_base, expected.frame_base
    if not 0 <= frame < expected.frames:
        wanted = f"from {base} to {base + expected.frames - 1}"
        raise Complaint(at, "out_of_range", f"there is no frame {int(match[1])}", wanted)
    if match[2] not in labels:
        known = ", ".join(list(labels)[:12])
        raise Complaint(at, "unknown_class", f"no class {shown(match[2])}", known)
    return frame, labels[match[2]]


def _corners(corners: Any, at: Place) -> tuple[float, float, float, float]:
    wanted = "[[x0, y0, 0.5], [x1, y0, 0.5], [x1, y1, 0.5], [x0, y1, 0.5]]"
    triples = isinstance(corners, list) and all(
        isinstance(c, list) and len(c) == 3 for c in corners
    )
    if not triples or len(corners) != 4:
        raise Complaint(at, "format", "not four corners of three numbers", wanted)
    points = [
        [number(value, (*at, n, axis), -FARTHEST, FARTHEST) for axis, value in enumerate(corner)]
        for n, corner in enumerate(corners)
    ]
    (x0, y0, _), _, (x1, y1, _), _ = points
    if [point[2] for point in points] != [0.5] * 4:
        raise Complaint(at, "format", "a third coordinate is not 0.5", wanted)
    if [point[:2] for point in points] != [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]:
        raise Complaint(at, "format", "not the corners of an upright box, clockwise", wanted)
    if not (x1 > x0 and y1 > y0):
        raise Complaint(at, "out_of_range", "a box without an area", "x1 > x0 and y1 > y0")
    return x0, y0, x1 - x0, y1 - y0


class Coco(NamedTuple):
    """Boxes as COCO has them.

    Attributes:
        images: ``id`` from 1, and ``file_name`` as ``case/frame``.
        results: ``image_id``, ``category_id`` from 1, ``bbox`` as x, y, width, height, ``score``.
    """

    images: list[dict[str, Any]]
    results: list[dict[str, Any]]


def to_coco(boxes: Mapping[str, Boxes]) -> Coco:
    """Boxes by case as a COCO results list; a case without boxes keeps its first frame."""
    images: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for case, found in boxes.items():
        ids: dict[int, int] = {}
        for frame in sorted(set(found.image.tolist())) or [0]:
            ids[frame] = len(images) + 1
            images.append({"id": ids[frame], "file_name": f"{case}/{frame}"})
        columns = (found.image, found.label, found.xywh, found.score)
        for frame, label, xywh, score in zip(*(c.tolist() for c in columns), strict=True):
            results.append(
                {"image_id": ids[frame], "category_id": label + 1, "bbox": xywh, "score": score}
            )
    return Coco(images, results)


def from_coco(coco: Coco) -> dict[str, Boxes]:
    """The inverse of `to_coco`.

    Raises:
        DataError: If a result is of no image, or a name is not ``case/frame``.
    """
    places: dict[int, tuple[str, int]] = {}
    for image in coco.images:
        case, _, frame = str(image["file_name"]).rpartition("/")
        if not case or not frame.isdecimal():
            raise DataError(f"{image['file_name']!r} is no image", accepted="case/frame")
        places[image["id"]] = case, int(frame)
    rows: dict[str, list[Row]] = {case: [] for case, _ in places.values()}
    for n, result in enumerate(coco.results):
        if result["image_id"] not in places:
            where = f"result {n + 1}"
            raise DataError(f"image {result['image_id']} is not there", where=where)
        case, frame = places[result["image_id"]]
        label = result["category_id"] - 1
        rows[case].append((frame, label, tuple(result["bbox"]), result["score"]))
    return {case: _columns(found) for case, found in rows.items()}
