"""A small challenge with boxes and counts, and submissions to it that are right as they stand."""

import json
import zipfile
from pathlib import Path

from assay.parts.competition.boxes_json import boxes_to_json
from assay.parts.competition.challenge import parse_challenge
from assay.parts.detection.boxes import Boxes

CLASSES = ("needle driver", "needle")
CASES = ("case_1", "case_2", "case_3")
TRUTH = {
    "case_1": Boxes.of([0, 0, 3], [0, 1, 0], [[10, 10, 20, 20], [50, 50, 8, 4], [12, 10, 20, 20]]),
    "case_2": Boxes.of([1], [1], [[5.5, 5.25, 10, 10]]),
    "case_3": Boxes.of(),
}
YAML = """version: 1
name: hosted
title: A challenge of the tests
organisers: [Nobody]
classes: [needle driver, needle]
frame_base: 1
cases:
  all: [case_1, case_2, case_3]
tasks:
  tools:
    kind: boxes
    truth: boxes
    missing: MISSING
    frames: 10
    metrics: [{name: average_precision}, {name: average_precision_per_video}]
  skill:
    kind: table
    truth: skill.csv
    missing: MISSING
    columns: {drops: [0, 20], path: [0.5, 40]}
    metrics:
      - {name: absolute_error, column: drops}
      - {name: spearman, column: drops}
      - {name: log_absolute_error, column: path}
limits: {bytes: 200000, members: 8, ratio: 50, boxes_per_image: 3}
phases:
  - {name: final, opens: 2030-01-01T00:00:00+01:00, closes: 2030-02-01T00:00:00Z, cases: all}
"""
SKILL = "case,drops,path\ncase_1,0,12.5\ncase_2,3,8\ncase_3,1,20\n"
MANIFEST = '{\n  "team": "A",\n  "method": "rules",\n  "seeds": [1, 2],\n  "minutes": 2.5\n}\n'


def hosted(missing="refuse", **replaced):
    """The challenge; keyword arguments replace pieces of its file."""
    text = YAML.replace("MISSING", missing)
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return parse_challenge(text, "challenge.yaml")


def hosted_folder(path: Path, skill: str = SKILL) -> Path:
    """Its folder, with the truth."""
    (path / "truth" / "boxes").mkdir(parents=True)
    (path / "challenge.yaml").write_text(YAML.replace("MISSING", "refuse"))
    (path / "truth" / "skill.csv").write_text(skill)
    for case, boxes in TRUTH.items():
        (path / "truth" / "boxes" / f"{case}.json").write_text(as_json(boxes))
    return path


def as_json(boxes: Boxes) -> str:
    return boxes_to_json(boxes, CLASSES, frame_base=1)


def right() -> dict[str, str | bytes]:
    """The files of a submission that predicts the truth."""
    files: dict[str, str | bytes] = {f"boxes/{c}.json": as_json(b) for c, b in TRUTH.items()}
    return {**files, "manifest.json": MANIFEST, "skill.csv": SKILL}


def as_folder(path: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def as_zip(path: Path, files: dict[str, str | bytes], *, tight: bool = True) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if tight else 0) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def one_box(**replaced):
    """A file with one box, in lines that a test can count; the box lies in lines 5 to 9."""
    box = {
        "corners": [[1, 1, 0.5], [9, 1, 0.5], [9, 9, 0.5], [1, 9, 0.5]],
        "name": "slice_nr_1_needle",
        "probability": 0.5,
    }
    lines = [f'    "{key}": {json.dumps(value)}' for key, value in {**box, **replaced}.items()]
    head = '{\n  "type": "Multiple 2D bounding boxes",\n  "version": {"major": 1, "minor": 0},\n'
    return f'{head}  "boxes": [\n   {{\n' + ",\n".join(lines) + "\n   }\n  ]\n}\n"
