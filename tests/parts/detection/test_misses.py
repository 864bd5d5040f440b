"""What was missed and invented, by image and by class."""

import numpy as np
import pytest

from assay.parts.detection.boxes import Boxes
from assay.parts.detection.misses import Panel, misses, panels

HERE, THERE = [0.0, 0, 10, 10], [50.0, 0, 10, 10]


def test_an_object_is_missed_that_no_box_of_its_class_overlaps_enough():
    truth = Boxes.of([0, 0, 1, 3], [0, 1, 0, 1], [HERE, THERE, HERE, HERE])
    found = Boxes.of([0, 0, 1, 2], [0, 0, 1, 0], [HERE, THERE, HERE, HERE])

    missed, invented = misses(truth, found, 5)

    assert missed.tolist() == [1, 1, 0, 1, 0]
    assert invented.tolist() == [1, 1, 1, 0, 0]


@pytest.mark.parametrize(("width", "missed"), [(5.0, 0), (4.99, 1)])
def test_half_is_enough(width, missed):
    truth, found = Boxes.of([0], [0], [HERE]), Boxes.of([0], [0], [[0, 0, width, 10]])
    assert misses(truth, found, 1).missed.tolist() == [missed]
    assert misses(truth, found, 1, overlap=0.6).missed.tolist() == [1]


def test_two_boxes_on_one_object_are_both_of_it():
    truth = Boxes.of([0], [0], [HERE])
    found = Boxes.of([0, 0], [0, 0], [HERE, [0, 0, 10, 9]])
    assert misses(truth, found, 1).invented.tolist() == [0]


def test_where_nothing_was_found_everything_is_missed():
    assert misses(Boxes.of([1], [0], [HERE]), Boxes.of(), 2).missed.tolist() == [0, 1]


def test_boxes_are_drawn_over_the_picture_or_on_grey_that_they_fit_on():
    truth, found = Boxes.of([0], [0], [THERE]), Boxes.of([0, 0], [0, 1], [HERE, THERE], [0.5, 0.25])
    picture = np.zeros((90, 160, 3), np.uint8)
    drawing = panels(
        [Panel("one", picture, truth, found), Panel("two", picture[:0], truth, found)],
        lambda boxes, row: f"{boxes.score[row]:.2f}",
    )
    one, two, empty = drawing.axes
    assert [p.get_xy() for p in one.patches] == [(50, 0), (0, 0), (50, 0)]
    assert [t.get_text() for t in one.texts] == ["0.50", "0.25"]
    assert one.images[0].get_size() == (90, 160)
    assert two.images[0].get_size()[1] >= 60
    assert not empty.patches
