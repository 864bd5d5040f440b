"""A challenge from simulated operations to a board, with three entries.

python examples/surgical_challenge.py my-challenge 24 30 600     operations, seconds, steps
assay challenge report my-challenge
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from assay.parts.detection.boxes import Boxes
from assay.systems.surgical_skill.clips import Clips, labelled_frames
from assay.systems.surgical_skill.data import simulated_surgery
from assay.systems.surgical_skill.evaluate import detect
from assay.systems.surgical_skill.events import DROPS, OUT_OF_VIEW
from assay.systems.surgical_skill.handing_in import hand_in, write_challenge
from assay.systems.surgical_skill.operations import count
from assay.systems.surgical_skill.train import train_detector
from assay.systems.surgical_skill.watching import watched


def of_cases(found: Boxes, clips: Clips) -> dict[int, Boxes]:
    """Boxes by case, numbered by the frames of the case."""
    parts = {}
    for case in np.unique(clips.case).tolist():
        rows = np.flatnonzero(clips.case == case)
        own = found.take(np.isin(found.image, rows))
        parts[case] = Boxes(own.image - rows[0], own.label, own.xywh, own.score, own.state)
    return parts


def main(folder: str = "my-challenge", cases: str = "6", seconds: str = "2", steps: str = "3"):
    """Simulate, train, make the challenge, and hand in."""
    print("Simulating operations: everything here is SYNTHETIC.", flush=True)
    sizes = {"train_cases": int(cases), "test_cases": 6, "seconds": float(seconds)}
    surgery = simulated_surgery(**sizes, seed=1)
    day = datetime.now(UTC).replace(microsecond=0)
    hidden = write_challenge(surgery, Path(folder), name="simulated_surgery",
                             opens=day, closes=day + timedelta(days=30))  # fmt: skip
    print("Training a detector.", flush=True)
    clips, unseen = (labelled_frames(surgery, split=name) for name in ("train_v1", "test"))
    model = train_detector(clips.frames, clips.truth, steps=int(steps), seed=1).model
    found = of_cases(detect([model], unseen.frames), unseen)
    videos = watched([model], surgery)
    given = count([], videos, counter="rules", fps=10, seed=1).given[:, :2].tolist()
    counts = {one.case: tuple(row) for one, row in zip(videos, given, strict=True)}
    for entry, boxes, told in (
        ("known", {one.case: one.boxes for one in hidden},
         {one.case: (one.metrics[DROPS], one.metrics[OUT_OF_VIEW]) for one in hidden}),
        ("detector", found, counts),
        ("no_mistakes", found, dict.fromkeys(found, (0.0, 0.0))),
    ):  # fmt: skip
        hand_in(Path(folder), entry, team=entry, method="see example", boxes=boxes, counts=told)
    print(f"Then: assay challenge lint {folder}; assay challenge report {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
