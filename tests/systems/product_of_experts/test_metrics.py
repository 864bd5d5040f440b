"""Scores of key points and masks against numbers counted by hand."""

import jaxtyping
import numpy as np
import pytest

from assay.errors import DataError, ParameterError
from assay.systems.product_of_experts.metrics import key_point_scores, mask_scores


def off_by(distances) -> tuple[np.ndarray, np.ndarray]:
    """Key points that are so far off, along one axis ``[sample point]``."""
    distances = np.array(distances, float)
    truth = np.random.default_rng(0).normal(size=(*distances.shape, 3))
    return truth + distances[..., None] * np.array([1.0, 0.0, 0.0]), truth


def test_perfect_key_points_have_no_error_and_an_area_of_one():
    _, truth = off_by(np.zeros((4, 21)))

    scores = key_point_scores(truth, truth)

    assert (scores.epe_mean, scores.epe_median, scores.auc) == (0.0, 0.0, 1.0)
    assert len(scores.thresholds) == 20
    assert scores.thresholds[[0, -1]].tolist() == [0.0, 0.05]


def test_key_points_far_off_have_an_area_of_zero():
    assert key_point_scores(*off_by([[1.0, 2.0]])).auc == 0.0


def test_errors_are_averaged_per_key_point_first():
    """Point 0 is visible three times with 1, 2, 6; point 1 once with 10; point 2 never."""
    found, truth = off_by([[1.0, 10.0, 99.0], [2.0, 50.0, 99.0], [6.0, 50.0, 99.0]])
    visible = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]], bool)

    scores = key_point_scores(found, truth, visible, low=0.0, high=10.0, steps=3)

    assert scores.epe_mean == pytest.approx((3.0 + 10.0) / 2)
    assert scores.epe_median == pytest.approx((2.0 + 10.0) / 2)
    # within 0, 5 and 10: of point 0 none, two of three, all; of point 1 none, none, all
    assert scores.pck.tolist() == pytest.approx([0.0, (2 / 3 + 0) / 2, 1.0])
    # trapezoids of width 5 over 10: point 0 (2/3 x 5/2 + 5 x 5/6) / 10, point 1 (5/2) / 10
    assert scores.auc == pytest.approx(((5 / 3 + 25 / 6) / 10 + 0.25) / 2)


def test_a_distance_equal_to_a_threshold_is_within_it():
    found, truth = np.array([[[3.0, 4.0]]]), np.zeros((1, 1, 2))

    assert key_point_scores(found, truth, low=0.0, high=10.0, steps=3).pck.tolist() == [0, 1, 1]


def test_what_is_not_visible_is_not_read():
    found, truth = off_by([[1.0, 1.0]])
    truth[0, 1] = np.nan

    assert key_point_scores(found, truth, np.array([[True, False]])).epe_mean == pytest.approx(1.0)
    with pytest.raises(DataError, match="key point 1 of sample 0 is not finite"):
        key_point_scores(found, truth)


def test_visible_may_be_ones_and_zeros():
    found, truth = off_by([[1.0, 10.0], [3.0, 50.0]])
    visible = np.array([[1, 1], [1, 0]])

    scores = [
        key_point_scores(found, truth, visible.astype(kind), high=10.0)
        for kind in (bool, int, np.uint8)
    ]

    assert [s.epe_mean for s in scores] == [scores[0].epe_mean] * 3
    assert scores[0].epe_mean == pytest.approx((2.0 + 10.0) / 2)


def test_key_points_that_do_not_fit_together_are_refused_and_not_broadcast(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside the tests
    found, truth = off_by([[1.0, 2.0], [3.0, 4.0]])

    with pytest.raises(DataError, match=r"key points: arrays of \(1, 2, 3\) and \(2, 2, 3\)"):
        key_point_scores(found[:1], truth)
    with pytest.raises(DataError, match="one shape of 3 axes"):
        key_point_scores(found[0], truth[0])
    with pytest.raises(DataError, match=r"visible: arrays of \(2,\) and \(2, 2\)"):
        key_point_scores(found, truth, np.ones(2, bool))


def test_no_visible_key_point_and_no_thresholds_are_refused():
    with pytest.raises(DataError, match="no key point is visible"):
        key_point_scores(*off_by([[1.0]]), np.zeros((1, 1), bool))
    with pytest.raises(ParameterError, match="1 thresholds"):
        key_point_scores(*off_by([[1.0]]), steps=1)


# -- masks ---------------------------------------------------------------------------------------

TRUTH = np.array([[[0, 0, 1, 1]], [[0, 0, 0, 0]]])
FOUND = np.array([[[0, 1, 1, 1]], [[0, 0, 0, 1]]])
"""Frame 0: class 0 hits 1 of 2, class 1 hits 2 and one false. Frame 1: class 1 is false only."""


def test_pooled_scores_by_hand():
    scores = mask_scores(FOUND, TRUTH, 2)

    assert scores.iou.tolist() == pytest.approx([4 / 6, 2 / 4])
    assert scores.dice.tolist() == pytest.approx([8 / 10, 4 / 6])
    assert scores.mean_iou == pytest.approx((4 / 6 + 2 / 4) / 2)
    assert mask_scores(FOUND, TRUTH, 2, background=False).mean_iou == pytest.approx(0.5)


def test_scores_per_frame_by_hand():
    scores = mask_scores(FOUND, TRUTH, 2, average="per_frame")

    assert scores.iou.tolist() == pytest.approx([(1 / 2 + 3 / 4) / 2, (2 / 3 + 0) / 2])
    assert scores.dice.tolist() == pytest.approx([(2 / 3 + 6 / 7) / 2, (4 / 5 + 0) / 2])


@pytest.mark.parametrize(("empty", "iou", "mean"), [("skip", 1.0, 1.0), ("one", 1.0, 1.0)])
def test_a_class_that_is_nowhere_is_skipped_or_perfect(empty, iou, mean):
    scores = mask_scores(TRUTH, TRUTH, 3, empty=empty)

    assert scores.iou[:2].tolist() == [iou, iou]
    assert np.isnan(scores.iou[2]) if empty == "skip" else scores.iou[2] == 1.0
    assert scores.mean_iou == mean


def test_the_conventions_of_empty_classes_differ_where_a_frame_lacks_a_class():
    """Class 1 stands in frame 0 only, where half of it is found; frame 1 is as it should be."""
    truth = np.array([[[1, 1, 0]], [[0, 0, 0]]])
    found = np.array([[[1, 0, 0]], [[0, 0, 0]]])

    skipped = mask_scores(found, truth, 2, average="per_frame")
    counted = mask_scores(found, truth, 2, average="per_frame", empty="one")

    assert skipped.iou[1] == pytest.approx(0.5)
    assert counted.iou[1] == pytest.approx((0.5 + 1.0) / 2)


def test_pixels_to_ignore_count_nowhere():
    truth = np.array([[[0, 1, 255, 255]]])
    found = np.array([[[0, 1, 0, 1]]])

    assert mask_scores(found, truth, 2, ignore=255).iou.tolist() == [1.0, 1.0]


def test_dice_and_iou_agree_pooled():
    """Dice is 2 IoU / (1 + IoU), an identity."""
    random = np.random.default_rng(0)
    found, truth = random.integers(0, 4, (2, 3, 16, 16))

    scores = mask_scores(found, truth, 4)

    assert np.allclose(scores.dice, 2 * scores.iou / (1 + scores.iou))


def test_a_class_that_is_not_known_is_named_with_its_place():
    truth = TRUTH.copy()
    truth[1, 0, 2] = 50

    with pytest.raises(DataError, match="truth: class 50 at row 0, column 2 of frame 1"):
        mask_scores(FOUND, truth, 2)
    with pytest.raises(DataError, match="prediction: class 50"):
        mask_scores(truth, FOUND, 2)


def test_masks_that_do_not_fit_together_and_unknown_options_are_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside the tests
    with pytest.raises(DataError, match=r"masks: arrays of \(1, 1, 4\) and \(2, 1, 4\)"):
        mask_scores(FOUND[:1], TRUTH, 2)
    with pytest.raises(ParameterError, match="empty: 'drop' is refused; expected skip or one"):
        mask_scores(FOUND, TRUTH, 2, empty="drop")
    with pytest.raises(ParameterError, match="average: 'frames' is refused"):
        mask_scores(FOUND, TRUTH, 2, average="frames")
