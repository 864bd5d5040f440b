"""Recordings as a challenge of one's own, and predictions as submissions to it.

    my-challenge/  challenge.yaml
                   truth/boxes/<case>.json      what is in each frame of the 1 fps video
                   truth/counts.csv             drops and departures
                   public/<case>.mp4            the 1 fps video, which participants get
                   submissions/<entry>/         what `hand_in` writes

From there on `assay challenge` does everything.
"""

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from assay.core.disk import writing
from assay.errors import DataError, UsageError
from assay.parts.competition.boxes_json import boxes_to_json
from assay.parts.competition.challenge import CHALLENGE, parse_challenge
from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.classes import CLASSES
from assay.systems.surgical_skill.events import DROPS, OUT_OF_VIEW
from assay.systems.surgical_skill.layout import Recording, read_dataset

__all__ = ["case_name", "hand_in", "write_challenge"]

COUNTS = (DROPS, OUT_OF_VIEW)
MOST = 50
"""Largest count there can be."""

BIAS = {
    "mission": "To find needle drivers and the needle, and to count a surgeon's mistakes.",
    "organisation": "Predictions are handed in as files; participants get the videos.",
    "data": "Recordings of one split; surgeons of other splits are other people.",
    "metrics": "Average precision of boxes as COCO has it, video by video; errors of counts.",
    "ranking": "By the mean over cases, then by the mean of the ranks by all metrics.",
    "statistics": "The same ranking on cases that are drawn anew; signed-rank tests with Holm.",
}
"""What the challenge design says; to be changed into one's own words."""


def case_name(case: int) -> str:
    """The name of a case in a challenge."""
    return f"case_{case:06d}"


def write_challenge(
    surgery: Path, folder: Path, *, name: str, opens: datetime, closes: datetime,
    split: str = "test",
) -> tuple[Recording, ...]:  # fmt: skip
    """Make a challenge of the recordings of a split: find the tools, count the mistakes.

    Args:
        surgery: Folder with the splits.
        folder: Where the challenge is made; not there yet.
        name: Of the challenge: small letters, digits and ``_``.
        opens: When submissions begin, with an offset from UTC.
        closes: When they end.
        split: Whose recordings.

    Returns:
        The recordings, by number; those without a 1 fps video are left out.

    Raises:
        UsageError: If something is there already.
        DataError: If no case has a 1 fps video, or a moment has no offset.
    """
    if folder.exists():
        raise UsageError("is there already", where=str(folder), next="Choose another folder.")
    cases = tuple(one for one in read_dataset(surgery, split).cases if one.video_1fps is not None)
    if not cases:
        raise DataError("no case with a 1 fps video", where=f"{surgery}/{split}")
    text = _rules(name, [case_name(one.case) for one in cases], opens, closes)
    parse_challenge(text, CHALLENGE)
    with writing(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            _fill(unfinished, text, cases)
            unfinished.chmod(0o755)
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    return cases


def hand_in(
    folder: Path, entry: str, *, team: str, method: str, boxes: Mapping[int, Boxes],
    counts: Mapping[int, tuple[float, float]],
) -> Path:  # fmt: skip
    """Write a submission into a challenge's folder.

    Args:
        folder: Of the challenge.
        entry: Name of the submission's folder.
        team: Who predicts.
        method: How, in a few words.
        boxes: By number of the case; images are frames of the 1 fps video, from 0.
        counts: Drops and departures by number of the case; rounded to whole numbers.

    Returns:
        The submission's folder.
    """
    place = folder / "submissions" / entry
    with writing(folder):
        (place / "boxes").mkdir(parents=True)
        manifest = {"team": team, "method": method}
        (place / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        _write_boxes(place / "boxes", boxes)
        _write_counts(place / "counts.csv", counts)
    return place


def _fill(folder: Path, text: str, cases: tuple[Recording, ...]) -> None:
    """Write everything that a challenge holds before it opens."""
    for below in ("truth/boxes", "public", "submissions"):
        (folder / below).mkdir(parents=True)
    (folder / CHALLENGE).write_text(text, encoding="utf-8")
    _write_boxes(folder / "truth/boxes", {one.case: one.boxes for one in cases})
    counts = {one.case: (one.metrics[DROPS], one.metrics[OUT_OF_VIEW]) for one in cases}
    _write_counts(folder / "truth/counts.csv", counts)
    for one in cases:
        assert one.video_1fps is not None  # noqa: S101
        shutil.copyfile(one.video_1fps, folder / "public" / f"{case_name(one.case)}.mp4")


def _write_boxes(folder: Path, boxes: Mapping[int, Boxes]) -> None:
    for case, found in boxes.items():
        text = boxes_to_json(found, CLASSES)
        (folder / f"{case_name(case)}.json").write_text(text, encoding="utf-8")


def _write_counts(path: Path, counts: Mapping[int, tuple[float, float]]) -> None:
    lines = [",".join(("case", *COUNTS))]
    for case, row in counts.items():
        cells = ("" if math.isnan(n) else str(min(max(round(n), 0), MOST)) for n in row)
        lines.append(",".join((case_name(case), *cells)))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _rules(name: str, cases: list[str], opens: datetime, closes: datetime) -> str:
    """The file of the challenge."""
    said = {
        "version": 1,
        "name": name,
        "title": "Find the tools, count the mistakes",
        "organisers": ["The organisers"],
        "classes": list(CLASSES),
        "tasks": {
            "tools": {
                "kind": "boxes",
                "truth": "boxes",
                "missing": "worst",
                "metrics": [{"name": "average_precision_per_video"}],
            },
            "counts": {
                "kind": "table",
                "truth": "counts.csv",
                "missing": "worst",  # where the truth has a gap, nothing can be predicted
                "columns": {column: [0, MOST] for column in COUNTS},
                "metrics": [{"name": "absolute_error", "column": column} for column in COUNTS],
            },
        },
        "cases": {"all": cases},
        "ranking": {"method": "aggregate-then-rank", "missing": "worst"},
        "phases": [
            {"name": "final", "opens": opens.isoformat(), "closes": closes.isoformat(),
             "cases": "all"}
        ],
        "bias": BIAS,
    }  # fmt: skip
    return json.dumps(said, indent=2) + "\n"  # JSON is YAML, with every name and moment in quotes
