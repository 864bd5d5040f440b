"""Average precision: COCO's own code is the oracle."""

import contextlib
import io

import numpy as np
import pytest

from assay.parts.detection.average_precision import AREAS, average_precision
from assay.parts.detection.boxes import Boxes

CLASSES = 3


def some_boxes(rng, images, most, classes=CLASSES, scored=False):
    """Boxes on a coarse grid, so that overlaps and scores are often equal."""
    image = np.repeat(np.arange(images), rng.integers(0, most + 1, images))
    n = len(image)
    place = rng.integers(0, 12, (n, 2)) * 5.0
    size = rng.choice([10.0, 15.0, 40.0, 110.0], (n, 2))
    score = rng.choice([0.1, 0.25, 0.5, 0.9], n) if scored else None
    return Boxes.of(image, rng.integers(0, classes, n), np.hstack([place, size]), score)


def shaken(rng, truth):
    """Detections that often are nearly right, and some in vain."""
    near = truth.take(rng.random(len(truth)) < 0.8)
    moved = near.xywh + rng.choice([0.0, 0.5, 1.0, 3.0], near.xywh.shape)
    score = rng.choice([0.2, 0.5, 0.6, 0.9], len(near))
    return Boxes.joined(
        [
            Boxes.of(near.image, near.label, moved, score),
            some_boxes(rng, int(truth.image.max(initial=0)) + 1, 5, scored=True),
        ]
    )


def coco(truth, found, images, classes, most=100):
    """The twelve numbers, and the precision of each class, by the reference."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    boxes = [
        {"id": n + 1, "image_id": int(i), "category_id": int(c), "bbox": b.tolist(),
         "area": float(b[2] * b[3]), "iscrowd": 0}
        for n, (i, c, b) in enumerate(zip(truth.image, truth.label, truth.xywh, strict=True))
    ]  # fmt: skip
    results = [
        {"image_id": int(i), "category_id": int(c), "bbox": b.tolist(), "score": float(s)}
        for i, c, b, s in zip(found.image, found.label, found.xywh, found.score, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        said = COCO()
        said.dataset = {
            "images": [{"id": n} for n in range(images)],
            "annotations": boxes,
            "categories": [{"id": n} for n in range(classes)],
        }
        said.createIndex()
        judged = COCOeval(said, said.loadRes(results) if results else COCO(), "bbox")
        if not results:
            judged.cocoDt.dataset = said.dataset | {"annotations": []}
            judged.cocoDt.createIndex()
        judged.params.maxDets = [1, 2, most]  # which it sorts
        judged.evaluate()
        judged.accumulate()
    return judged.eval


def agree(truth, found, images, classes=CLASSES, most=100):
    theirs = coco(truth, found, images, classes, most)
    limits = [None, *AREAS.values()]
    for number, area in enumerate(limits):
        ours = average_precision(truth, found, classes=classes, max_found=most, area=area)
        for mine, reference in (
            (ours.curve, theirs["precision"][..., number, 2]),
            (ours.recall, theirs["recall"][:, :, number, 2]),
        ):
            told = reference > -1
            assert np.array_equal(told, ~np.isnan(mine))
            np.testing.assert_allclose(mine[told], reference[told], rtol=0, atol=1e-12)


@pytest.mark.parametrize("block", range(6))
def test_fifty_random_sets_agree_with_the_reference(block):
    for seed in range(50):
        rng = np.random.default_rng([block, seed])
        images = int(rng.integers(1, 7))
        truth = some_boxes(rng, images, 8, classes=int(rng.integers(1, CLASSES + 1)))
        found = shaken(rng, truth) if seed % 2 else some_boxes(rng, images, 12, scored=True)
        found = found.take(found.image < images)
        agree(truth, found, images)


def test_only_the_best_of_an_image_count():
    rng = np.random.default_rng(7)
    truth = some_boxes(rng, 4, 8)
    found = shaken(rng, truth)
    agree(truth, found, 4, most=3)
    few = average_precision(truth, found, classes=CLASSES, max_found=3)
    assert few.ap != average_precision(truth, found, classes=CLASSES).ap


def test_what_is_known_scores_one_and_nothing_scores_nought():
    truth = some_boxes(np.random.default_rng(1), 5, 3)
    assert average_precision(truth, truth, classes=CLASSES).ap == 1.0
    assert average_precision(truth, Boxes.of(), classes=CLASSES).ap == 0.0


def test_a_class_without_objects_is_left_out_and_no_object_at_all_is_not_a_number():
    truth = Boxes.of([0], [1], [[0, 0, 10, 10]])
    found = Boxes.joined([truth, Boxes.of([0], [0], [[0, 0, 10, 10]])])
    precision = average_precision(truth, found, classes=2)
    assert precision.ap == 1.0
    assert np.isnan(precision.by_class[0])
    assert precision.by_class[1] == 1.0
    assert np.isnan(average_precision(Boxes.of(), found, classes=2).ap)


def test_pooled_differs_from_the_mean_over_videos():
    truth = Boxes.of([0, 1], [0, 0], [[0, 0, 10, 10]] * 2)
    found = Boxes.of([0, 1, 1], [0, 0, 0], [[0, 0, 10, 10], [0, 0, 10, 10], [50, 0, 10, 10]],
                     [0.5, 0.4, 0.9])  # fmt: skip
    pooled = average_precision(truth, found, classes=1).ap
    apart = [
        average_precision(truth.take(truth.image == n), found.take(found.image == n), classes=1).ap
        for n in (0, 1)
    ]
    assert pooled == pytest.approx(2 / 3)
    assert np.mean(apart) == pytest.approx(0.75)
