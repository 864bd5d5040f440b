"""Suppression against a naive one whose overlaps are those of pycocotools."""

import numpy as np
import pytest

from assay.errors import ParameterError
from assay.parts.detection.boxes import Boxes
from assay.parts.detection.suppression import suppress


def crowded(random: np.random.Generator, n: int) -> Boxes:
    """Boxes on a coarse grid: many overlaps, ties of scores and equal boxes."""
    place, size = random.integers(0, 12, (n, 2)), random.integers(2, 10, (n, 2))
    return Boxes.of(
        random.integers(3, size=n), random.integers(2, size=n), np.hstack([place, size]),
        random.integers(0, 6, n) / 5,
    )  # fmt: skip


def naive(boxes: Boxes, iou_above: float) -> list[int]:
    """Rows that stay, by the sentence that defines them."""
    coco = pytest.importorskip("pycocotools.mask")
    left = sorted(range(len(boxes)), key=lambda row: (-boxes.score[row], row))
    stays = []
    while left:
        best = left.pop(0)
        stays.append(best)
        left = [
            row
            for row in left
            if boxes.image[row] != boxes.image[best]
            or boxes.label[row] != boxes.label[best]
            or coco.iou(boxes.xywh[row : row + 1], boxes.xywh[best : best + 1], [0])[0, 0]
            <= iou_above
        ]
    return sorted(stays)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("iou_above", [0.0, 0.3, 0.5, 1.0])
def test_it_is_the_naive_one(seed, iou_above):
    random = np.random.default_rng(seed)
    boxes = crowded(random, int(random.integers(0, 40)))

    kept = suppress(boxes, iou_above=iou_above)

    wanted = boxes.take(naive(boxes, iou_above))
    for name, column in vars(wanted).items():
        np.testing.assert_array_equal(getattr(kept, name), column)


def test_of_equal_scores_the_first_stays():
    same = Boxes.of([0, 0, 0], [0, 0, 0], [[0, 0, 4, 4]] * 3, [0.5] * 3, [7, 8, 9])

    assert suppress(same).state.tolist() == [7]


def test_an_overlap_equal_to_the_limit_stays():
    thirds = Boxes.of([0, 0], [0, 0], [[0, 0, 2, 2], [1, 0, 2, 2]])

    assert len(suppress(thirds, iou_above=1 / 3)) == 2
    assert len(suppress(thirds, iou_above=np.nextafter(1 / 3, 0))) == 1


def test_many_boxes_do_not_take_a_square_of_memory():
    n = 50_000
    apart = Boxes.of(np.zeros(n, int), np.zeros(n, int), [[0, 0, 5, 5]] * n, np.linspace(0, 1, n))

    assert suppress(apart).score.tolist() == [1.0]


@pytest.mark.parametrize("iou_above", [-0.1, 1.1, float("nan")])
def test_a_limit_out_of_range_is_refused(iou_above):
    with pytest.raises(ParameterError, match=r"iou_above is .*expected 0 to 1"):
        suppress(Boxes.of(), iou_above=iou_above)
