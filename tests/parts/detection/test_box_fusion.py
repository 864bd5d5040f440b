"""Weighted box fusion against the published steps, written out once more without any speed."""

import numpy as np
import pytest

from assay.errors import ParameterError
from assay.parts.detection.box_fusion import weighted_box_fusion
from assay.parts.detection.boxes import UNKNOWN, Boxes


def found_by_a_model(random: np.random.Generator) -> Boxes:
    """Boxes around a few objects of three images, scores all different."""
    n = int(random.integers(0, 15))
    centre = random.integers(0, 3, (n, 2)) * 8
    xywh = np.hstack([centre + random.normal(0, 1.2, (n, 2)), random.uniform(6, 10, (n, 2))])
    return Boxes.of(
        random.integers(3, size=n), random.integers(2, size=n), xywh, random.uniform(0.05, 1, n),
        random.integers(-1, 2, n),
    )  # fmt: skip


def overlap(a: list[float], b: list[float]) -> float:
    """IoU of two boxes given by their corners."""
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return wide * high / (sum(areas) - wide * high)


def naive(models: list[Boxes], weights: list[float], limit: float) -> list[tuple]:
    """Steps 1 to 7 of section 3.3 of the paper for every image and class; clusters from scratch."""
    done = []
    keys = {(i, c) for m in models for i, c in zip(m.image.tolist(), m.label.tolist(), strict=True)}
    for key in keys:
        listed = []
        for model, weight in zip(models, weights, strict=True):
            for row in range(len(model)):
                if (model.image[row], model.label[row]) == key:
                    x, y, w, h = model.xywh[row].tolist()
                    confidence = float(model.score[row]) * weight
                    listed.append((confidence, [x, y, x + w, y + h], int(model.state[row])))
        listed.sort(key=lambda box: -box[0])
        clusters, fused = [], []
        for box in listed:
            best, where = limit, None
            for k, (corners, _, _) in enumerate(fused):
                if overlap(corners, box[1]) > best:
                    best, where = overlap(corners, box[1]), k
            if where is None:
                clusters.append([])
                fused.append(None)
                where = len(clusters) - 1
            members = clusters[where]
            members.append(box)
            total = sum(c for c, _, _ in members)
            corners = [sum(c * p[k] for c, p, _ in members) / total for k in range(4)]
            votes = {s: sum(c for c, _, t in members if t == s) for _, _, s in members}
            votes.pop(UNKNOWN, None)
            state = max(sorted(votes), key=lambda s: votes[s], default=UNKNOWN)
            fused[where] = (corners, total / len(members), state)
        for members, (corners, confidence, state) in zip(clusters, fused, strict=True):
            rescaled = confidence * min(len(members), len(models)) / sum(weights)
            done.append((*key, *corners, min(rescaled, 1.0), state))
    return sorted(done)


def as_rows(boxes: Boxes) -> list[tuple]:
    corners = np.hstack([boxes.xywh[:, :2], boxes.xywh[:, :2] + boxes.xywh[:, 2:]])
    columns = (boxes.image, boxes.label, *corners.T, boxes.score, boxes.state)
    return sorted(zip(*(c.tolist() for c in columns), strict=True))


@pytest.mark.parametrize("seed", range(60))
def test_it_is_the_published_algorithm(seed):
    random = np.random.default_rng(seed)
    models = [found_by_a_model(random) for _ in range(int(random.integers(1, 5)))]
    weights = random.choice([0.5, 1.0, 3.0], len(models)).tolist()
    limit = float(random.choice([0.3, 0.55, 0.8]))

    fused = weighted_box_fusion(models, weights=weights, iou_above=limit)

    wanted = naive(models, weights, limit)
    assert len(fused) == len(wanted)
    np.testing.assert_allclose(as_rows(fused), wanted, rtol=1e-12, atol=1e-12)


def test_what_one_of_three_models_saw_counts_a_third():
    seen, nothing = Boxes.of([2], [0], [[3, 4, 5, 6]], [0.9], [1]), Boxes.of()

    fused = weighted_box_fusion([nothing, seen, nothing])

    assert as_rows(fused) == [(2, 0, 3.0, 4.0, 8.0, 10.0, pytest.approx(0.3), 1)]


def test_a_heavier_model_draws_the_box_and_the_state_to_itself():
    one = Boxes.of([0], [0], [[0, 0, 10, 10]], [0.5], [0])
    other = Boxes.of([0], [0], [[2, 0, 10, 10]], [0.5], [1])

    fused = weighted_box_fusion([one, other], weights=[1.0, 3.0])

    assert fused.xywh.tolist() == [[1.5, 0.0, 10.0, 10.0]]
    assert fused.score.tolist() == [0.5]
    assert fused.state.tolist() == [1]


def test_a_box_joins_the_cluster_that_it_overlaps_most():
    """Two boxes too far apart to be one, and a third near both and nearer to the lower one."""
    boxes = Boxes.of([0] * 3, [0] * 3, [[0, 0, 10, 10], [4, 0, 10, 10], [2.5, 0, 10, 10]],
                     [0.9, 0.8, 0.1])  # fmt: skip

    fused = weighted_box_fusion([boxes])

    assert fused.xywh[0].tolist() == [0, 0, 10, 10]
    assert fused.xywh[1, 0] == pytest.approx((0.8 * 4 + 0.1 * 2.5) / 0.9)


def test_a_state_that_is_unknown_has_no_vote():
    unsure = Boxes.of([0], [0], [[0, 0, 10, 10]], [0.9])
    sure = Boxes.of([0], [0], [[0, 0, 10, 10]], [0.1], [1])

    assert weighted_box_fusion([unsure, sure]).state.tolist() == [1]
    assert weighted_box_fusion([unsure, unsure]).state.tolist() == [UNKNOWN]


def test_the_order_is_by_image_and_score():
    lower = Boxes.of([1, 0, 1], [0, 1, 1], [[0, 0, 4, 4]] * 3, [0.2, 0.3, 0.8])

    fused = weighted_box_fusion([lower])

    assert fused.image.tolist() == [0, 1, 1]
    assert fused.score.tolist() == [0.3, 0.8, 0.2]


def test_a_score_stays_at_one_and_scores_of_zero_are_fused():
    twice = Boxes.of([0, 0], [0, 0], [[0, 0, 4, 4]] * 2, [1.0, 1.0])

    assert weighted_box_fusion([twice, Boxes.of()], weights=[3.0, 1.0]).score.tolist() == [1.0]
    none = Boxes.of([0, 0], [0, 0], [[0, 0, 4, 4]] * 2, [0.0, 0.0])
    assert weighted_box_fusion([none]).xywh.tolist() == [[0, 0, 4, 4]]


@pytest.mark.parametrize(
    ("models", "values"),
    [(0, {}), (2, {"weights": [1.0]}), (2, {"weights": [1.0, 0.0]}), (1, {"iou_above": 1.5}),
     (1, {"weights": [float("nan")]})],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(models, values):
    with pytest.raises(ParameterError, match=r"weighted box fusion: .*expected"):
        weighted_box_fusion([Boxes.of()] * models, **values)
