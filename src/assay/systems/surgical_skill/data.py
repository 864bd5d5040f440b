"""Components that bring in recordings: simulated (SYNTHETIC) or the user's."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from assay.core.component import Folder, Seed, component
from assay.core.task import task
from assay.errors import DataError, ParameterError
from assay.systems.surgical_skill.events import METRICS
from assay.systems.surgical_skill.kinematics import VARIANTS, Variant
from assay.systems.surgical_skill.layout import (
    filming_case,
    read_dataset,
    write_case,
    write_every_frame,
)
from assay.systems.surgical_skill.simulate import simulate_case
from assay.systems.surgical_skill.styles import STYLES
from assay.systems.surgical_skill.tables import write_metrics, write_surgeons

__all__ = ["simulated_surgery", "surgery"]

CASES_EACH = (3, 6)
"""Fewest and most cases of a surgeon."""
README = """SYNTHETIC recordings of two needle drivers and a needle, drawn by a program.

The folders and files are those of the SimSurgSkill 2021 data set. Surgeons, skills and tasks are in
surgeons.csv. Scores on these recordings are not comparable with scores on real ones.
"""
Count = Annotated[int, Field(ge=0, le=10_000)]


class Plan(NamedTuple):
    """A case before it is simulated."""

    split: str
    case: int
    surgeon: int
    skill: float
    full: bool


@component(version="1", requires=("numpy", "opencv-python-headless", "av", "scipy"))
def simulated_surgery(
    *,
    train_cases: Annotated[int, Field(ge=1, le=10_000)] = 48,
    shifted_cases: Count = 0,
    test_cases: Count = 24,
    seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0,
    width: Annotated[int, Field(ge=96, le=1920)] = 320,
    height: Annotated[int, Field(ge=54, le=1080)] = 180,
    missing_share: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    broken_files: Annotated[int, Field(ge=0, le=4)] = 0,
    seed: Seed,
) -> Path:
    """Simulate recordings, in the folders and files of the real data set. SYNTHETIC.

    Surgeons have 3 to 6 cases each and one skill; those of the splits are different people.

    Args:
        train_cases: Cases of ``train_v1``.
        shifted_cases: Cases of ``train_v2``, with other light and three quarters of the width; one
            in five has a 30 fps video.
        test_cases: Cases of ``test``.
        seconds: Length of each.
        width: Of the image (pixels), a multiple of 32.
        height: Of the image (pixels); 9 for each 16 of the width.
        missing_share: Share of the metrics in the tables that is left empty.
        broken_files: How many files of ``train_v1`` are damaged, each in another way.
        seed: Of everything.

    Returns:
        The folder, with ``surgeons.csv`` beside the splits.
    """
    import cv2

    _refuse_sizes(width, height, train_cases, broken_files)
    cv2.setNumThreads(1)
    here = task()
    root, marks = here.scratch() / "surgery", here.scratch() / "done"
    root.mkdir(exist_ok=True)
    marks.mkdir(exist_ok=True)
    counts = {"train_v1": train_cases, "train_v2": shifted_cases, "test": test_cases}
    plans = _plans(counts, np.random.default_rng([seed, 0]))

    def film(plan: Plan) -> dict[str, float]:
        return _film(root, marks, plan, (width, height), seconds, seed)

    metrics = {split: dict[int, dict[str, float]]() for split in counts}
    with ThreadPoolExecutor(here.threads) as pool:
        for done, (plan, told) in enumerate(zip(plans, pool.map(film, plans), strict=True), 1):
            metrics[plan.split][plan.case] = told
            here.progress(done, len(plans), "cases")
    gaps = np.random.default_rng([seed, 1])
    for split, told in metrics.items():
        if told:
            write_metrics(root, split, _with_gaps(told, missing_share, gaps))
    write_surgeons(root, [(p.split, p.case, p.surgeon, round(p.skill, 4), _variant(p.case))
                          for p in plans])  # fmt: skip
    (root / "README.txt").write_text(README + _damage(root, broken_files), encoding="utf-8")
    return root


def _refuse_sizes(width: int, height: int, cases: int, broken: int) -> None:
    if width % 32 or width * 9 != height * 16:
        raise ParameterError(
            f"a size of {width} x {height}", where="simulated_surgery.width",
            accepted="16 to 9, the width a multiple of 32, for example 320 x 180",
        )  # fmt: skip
    if broken > cases:
        raise ParameterError(
            f"{broken} broken files of {cases} cases", where="simulated_surgery.broken_files",
            accepted="no more than there are cases",
        )  # fmt: skip


def _plans(counts: dict[str, int], rng: np.random.Generator) -> list[Plan]:
    """Who works in which case; skills of the surgeons of a split are spread over [0, 1]."""
    plans: list[Plan] = []
    for split, count in counts.items():
        groups = []
        while sum(groups) < count:
            groups.append(int(rng.integers(CASES_EACH[0], CASES_EACH[1] + 1)))
        skills = (rng.permutation(len(groups)) + rng.random(len(groups))) / max(len(groups), 1)
        first = 1 + max((plan.surgeon for plan in plans), default=0)
        owners = np.repeat(np.arange(len(groups)), groups)[:count]
        base = len(plans)
        for number, owner in enumerate(rng.permutation(owners).tolist()):
            full = split != "train_v2" or number % 5 == 0
            plans.append(Plan(split, base + number + 1, first + owner, float(skills[owner]), full))
    return plans


def _variant(case: int) -> Variant:
    return VARIANTS[case % len(VARIANTS)]


def _film(
    root: Path, marks: Path, plan: Plan, size: tuple[int, int], seconds: float, seed: int
) -> dict[str, float]:
    """Write the files of a case, unless an earlier attempt at this step has."""
    mark = marks / f"{plan.case}.json"
    if mark.exists():
        return json.loads(mark.read_text(encoding="utf-8"))
    shifted = plan.split == "train_v2"
    if shifted:
        size = (size[0] * 3 // 128 * 32, size[0] * 3 // 128 * 18)
    with filming_case(root, plan.split, plan.case, size, full=plan.full) as show:
        made = simulate_case(
            plan.case,
            plan.surgeon,
            plan.skill,
            seconds=seconds,
            size=size,
            seed=seed,
            style=STYLES["v2" if shifted else "v1"],
            variant=_variant(plan.case),
            show=show,
        )
    write_case(root, plan.split, made)
    write_every_frame(root, plan.split, made)
    part = mark.with_suffix(".part")
    part.write_text(json.dumps(made.metrics), encoding="utf-8")
    part.replace(mark)
    return made.metrics


def _with_gaps(
    told: dict[int, dict[str, float]], share: float, rng: np.random.Generator
) -> dict[int, dict[str, float]]:
    """Leave out cells, at most one of a case: most real cases have two metrics too."""
    gaps = rng.random(len(told)) < min(share * len(METRICS), 1.0)
    which = rng.integers(len(METRICS), size=len(told))
    return {
        case: row | ({METRICS[k]: math.nan} if gap else {})
        for (case, row), gap, k in zip(sorted(told.items()), gaps, which, strict=True)
    }


def _damage(root: Path, count: int) -> str:
    """Damage files of the first cases; says which."""
    folder = root / "train_v1"
    boxes = sorted((folder / "annotations" / "bounding_box_gt").glob("*.json"))
    videos = sorted((folder / "videos" / "fps30").glob("*.mp4"))
    ways = [
        (boxes, "cut off", lambda text: text[: len(text) // 2]),
        (videos, "cut off", lambda data: data[: len(data) // 2]),
        (boxes, "a box without width", lambda text: text.replace(b'\\"w\\": ', b'\\"w\\": -', 1)),
        (boxes, "a class that is not known", lambda text: text.replace(b"needle", b"thread", 1)),
    ]
    said = []
    for number, (files, what, change) in enumerate(ways[:count]):
        path = files[number]
        path.write_bytes(change(path.read_bytes()))
        said.append(f"{path.relative_to(root)}: {what}\n")
    return "\nDamaged on purpose:\n" + "".join(said) if said else ""


@component(version="1", requires=("av",))
def surgery(*, path: Folder) -> Path:
    """Take the user's own recordings, in the folders and files of the real data set.

    Args:
        path: The folder with the splits; of each, every file of boxes and every table is checked.

    Returns:
        The folder.
    """
    found = [split for split in sorted(path.glob("*")) if (split / "videos").is_dir()]
    if not found:
        raise DataError("no split in it", where=str(path), accepted="train_v1/videos and so on")
    for split in found:
        read_dataset(path, split.name)
    return path
