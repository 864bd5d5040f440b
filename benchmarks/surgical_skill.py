"""Average precision and rankings beside their peers, and frames per second of everything seen.

    python benchmarks/surgical_skill.py [--quick] [--json FILE]

One process, one thread, rounds interleaved, CPU time; ratios of medians. What is timed:

* average precision: detections of two classes in a few hundred images, by COCO's own code
  (pycocotools, its matching and accumulation alone, without loading and without its summary) and
  by ours. Both give the same number to 1e-12, which is checked first.
* rankings: 1,000 resamples of 50 cases and 5 algorithms, ranked by each way. The peer is the same
  written plainly: pandas for means, medians and ranks, scipy's Wilcoxon for tests, one resample
  after another; it is timed on a part of the resamples, for it is slow, and counted per resample.
* frames: rendered, written and read back as video, and looked at by a detector of first weights,
  at 320 x 180. The peer of reading is OpenCV; the others have none, and stand here as frames per
  CPU second of this machine.

Only the ratios travel between machines.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from assay.parts.detection.average_precision import average_precision
from assay.parts.detection.boxes import Boxes
from assay.parts.ranking.example_tasks import example_tasks
from assay.parts.ranking.schemes import Scheme, rank_draws
from assay.parts.ranking.stability import case_draws, stability

CLASSES = 2


def scenes(images: int) -> tuple[Boxes, Boxes]:
    """Two to four objects in an image, most of them found, and some detections in vain."""
    rng = np.random.default_rng(0)
    image = np.repeat(np.arange(images), rng.integers(2, 5, images))
    n = len(image)
    xywh = np.hstack([rng.uniform(0, 500, (n, 2)), rng.uniform(15, 120, (n, 2))])
    truth = Boxes.of(image, rng.integers(0, CLASSES, n), xywh)
    kept = np.flatnonzero(rng.random(n) < 0.9)
    near = xywh[kept] * (1 + 0.05 * rng.standard_normal((len(kept), 4)))
    vain = rng.integers(0, images, 4 * images)
    wrong = np.hstack([rng.uniform(0, 500, (4 * images, 2)), rng.uniform(15, 120, (4 * images, 2))])
    found = Boxes.of(
        np.r_[image[kept], vain],
        np.r_[truth.label[kept], rng.integers(0, CLASSES, len(vain))],
        np.vstack([near, wrong]),
        np.r_[rng.uniform(0.3, 1, len(kept)), rng.uniform(0, 0.7, len(vain))],
    )
    return truth, found


def coco_judge(truth: Boxes, found: Boxes, images: int) -> Any:
    """COCO's evaluator with everything loaded, asked for one size of objects as ours is."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        said = COCO()
        said.dataset = {
            "images": [{"id": n} for n in range(images)],
            "annotations": [
                {"id": n + 1, "image_id": int(i), "category_id": int(c), "bbox": b.tolist(),
                 "area": float(b[2] * b[3]), "iscrowd": 0}
                for n, (i, c, b) in enumerate(
                    zip(truth.image, truth.label, truth.xywh, strict=True)
                )
            ],
            "categories": [{"id": n} for n in range(CLASSES)],
        }  # fmt: skip
        said.createIndex()
        results = [
            {"image_id": int(i), "category_id": int(c), "bbox": b.tolist(), "score": float(s)}
            for i, c, b, s in zip(found.image, found.label, found.xywh, found.score, strict=True)
        ]
        judge = COCOeval(said, said.loadRes(results), "bbox")
        judge.params.areaRng = judge.params.areaRng[:1]
        judge.params.areaRngLbl = ["all"]
        judge.params.maxDets = [100]
    return judge


def coco_precision(judge: Any) -> float:
    """Matching and accumulation."""
    with contextlib.redirect_stdout(io.StringIO()):
        judge.evaluate()
        judge.accumulate()
    told = judge.eval["precision"]
    return float(told[told > -1].mean())


def plain_ranks(table: pd.DataFrame, way: str) -> pd.Series:
    """The same rankings as anybody would write them."""
    if way == "mean":
        return table.mean().rank(ascending=False, method="min")
    if way == "median":
        return table.median().rank(ascending=False, method="min")
    if way == "rank, then mean":
        return table.rank(axis=1, ascending=False, method="min").mean().rank(method="min")
    names = list(table)
    beaten = {
        a: sum(
            wilcoxon(table[a] - table[b], zero_method="wilcox", correction=True,
                     alternative="greater", method="asymptotic").pvalue <= 0.05
            for b in names if b != a
        ) / (len(names) - 1)
        for a in names
    }  # fmt: skip
    return pd.Series(beaten).rank(ascending=False, method="min")


WAYS = {
    "mean": Scheme(),
    "median": Scheme(aggregate="median"),
    "rank, then mean": Scheme("rank-then-aggregate"),
    "tests": Scheme("test-then-rank"),
}


def timed(run: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def measure_precision(rounds: int, images: int) -> list[dict[str, Any]]:
    """CPU seconds of both, on the same boxes."""
    truth, found = scenes(images)
    judge = coco_judge(truth, found, images)
    ours = average_precision(truth, found, classes=CLASSES).ap  # compiles
    gap = abs(ours - coco_precision(judge))
    assert gap <= 1e-12, f"average precision differs by {gap}"
    seconds: dict[str, list[float]] = {"pycocotools": [], "ours": []}
    for _ in range(rounds):
        seconds["pycocotools"].append(timed(lambda: coco_precision(judge)))
        seconds["ours"].append(timed(lambda: average_precision(truth, found, classes=CLASSES)))
    peer = statistics.median(seconds["pycocotools"])
    return [
        {"case": "average precision", "way": name, "seconds": statistics.median(s),
         "x peer": peer / statistics.median(s)}
        for name, s in seconds.items()
    ]  # fmt: skip


def measure_ranking(rounds: int, draws: int, part: int) -> list[dict[str, Any]]:
    """CPU seconds for 1,000 resamples, and how many times the plain way's they are."""
    scores = example_tasks()["c_random"]
    drawn = case_draws(len(scores.cases), draws, np.random.default_rng(0))
    tables = [pd.DataFrame(scores.values[d], columns=list(scores.algorithms)) for d in drawn[:part]]
    rows = []
    for way, scheme in WAYS.items():
        plain = np.stack([plain_ranks(table, way).to_numpy() for table in tables])
        _, ours = rank_draws(scores, scheme, drawn)
        assert np.array_equal(plain, ours[:part]), way
        seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        for _ in range(rounds):
            per_draw = timed(lambda w=way: [plain_ranks(table, w) for table in tables]) / part
            seconds["plain"].append(per_draw * draws)
            seconds["ours"].append(timed(lambda s=scheme: stability(scores, s, drawn=drawn)))
        peer = statistics.median(seconds["plain"])
        rows += [
            {"case": f"{draws} resamples, {way}", "way": name, "seconds": statistics.median(s),
             "x peer": peer / statistics.median(s)}
            for name, s in seconds.items()
        ]  # fmt: skip
    return rows


def measure_frames(rounds: int, seconds: float) -> list[dict[str, Any]]:
    """CPU seconds of each thing that is done with the frames of one recording."""
    import cv2
    import torch

    from assay.systems.surgical_skill.detector import Detector, DetectorConfig
    from assay.systems.surgical_skill.predict import predict
    from assay.systems.surgical_skill.simulate import simulate_case
    from assay.systems.surgical_skill.video import read_frames, write_video

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    frames: list[np.ndarray] = []
    simulate_case(1, 1, 0.5, seconds=seconds, seed=0, show=lambda f: frames.append(f.copy()))
    detector = Detector(DetectorConfig()).eval()
    some = np.stack(frames[:64])
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "a.mp4"
        write_video(video, frames, 30)

        def by_opencv() -> int:
            opened, count = cv2.VideoCapture(str(video)), 0
            while opened.read()[0]:
                count += 1
            return count

        assert by_opencv() == len(read_frames(video)) == len(frames)
        ways: dict[str, tuple[Callable[[], Any], int]] = {
            "labels alone": (
                lambda: simulate_case(1, 1, 0.5, seconds=seconds, seed=0),
                len(frames),
            ),
            "rendered": (
                lambda: simulate_case(1, 1, 0.5, seconds=seconds, seed=0, show=lambda f: None),
                len(frames),
            ),
            "written": (lambda: write_video(video, frames, 30), len(frames)),
            "read by OpenCV": (by_opencv, len(frames)),
            "read": (lambda: read_frames(video), len(frames)),
            "looked at": (lambda: predict(detector, [some]), len(some)),
        }
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (run, count) in ways.items():
                spent[name].append(timed(run) / count)
    each = {name: statistics.median(s) for name, s in spent.items()}
    peer = {"read": each["read by OpenCV"], "read by OpenCV": each["read by OpenCV"]}
    return [
        {"case": f"{1 / s:,.0f} frames per CPU s", "way": name, "seconds": s,
         "x peer": peer.get(name, float("nan")) / s}
        for name, s in each.items()
    ]  # fmt: skip


def main() -> int:
    """Run the benchmark and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="3 short rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    options = parser.parse_args()
    rounds, images, part = (3, 200, 10) if options.quick else (9, 1000, 50)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, Python {platform.python_version()}, one thread, {rounds} rounds\n")
    rows = measure_precision(rounds, images) + measure_ranking(rounds, 1000, part)
    rows += measure_frames(rounds, 3.0 if options.quick else 10.0)
    print(f"{'case':36}{'way':16}{'CPU s':>10}{'x peer':>10}")
    for row in rows:
        gain = "" if np.isnan(row["x peer"]) else f"{row['x peer']:.1f}"
        print(f"{row['case']:36}{row['way']:16}{row['seconds']:>10.4f}{gain:>10}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
