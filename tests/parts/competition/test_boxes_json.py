"""Boxes as JSON files and as COCO: nothing is lost on the way there and back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import DataError
from assay.parts.competition.boxes_json import (
    Expected,
    boxes_from_json,
    boxes_to_json,
    from_coco,
    to_coco,
)
from assay.parts.competition.json_text import DEEPEST, read_json
from assay.parts.detection.boxes import Boxes

CLASSES = ("needle driver", "needle")
STEP = 2.0**-20


def same(a, b):
    for column, values in vars(a).items():
        np.testing.assert_array_equal(getattr(b, column), values)


def read(text, base=0, **expected):
    boxes, problems = boxes_from_json(
        text.encode(), "f.json", Expected(CLASSES, base, most=1_000, **expected)
    )
    assert not problems.kept
    return boxes


def rows(position, size):
    box = st.tuples(
        st.integers(0, 30), st.integers(0, 1),
        st.tuples(position, position, size, size), st.floats(0, 1),
    )  # fmt: skip
    return st.lists(box, max_size=8, unique_by=lambda row: row[:3]).map(
        lambda found: Boxes.of(*zip(*found, strict=True)) if found else Boxes.of()
    )


exact = rows(
    st.integers(-(2**30), 2**30).map(lambda n: n * STEP),
    st.integers(1, 2**30).map(lambda n: n * STEP),
)
any_boxes = rows(st.floats(-4_000, 4_000), st.floats(1e-3, 4_000))


@given(exact, st.integers(0, 1))
def test_boxes_on_the_grid_come_back_as_they_were(boxes, base):
    same(boxes, read(boxes_to_json(boxes, CLASSES, frame_base=base), base))


@given(any_boxes)
def test_what_was_written_once_is_written_again_without_a_change(boxes):
    once = boxes_to_json(boxes, CLASSES)
    back, problems = boxes_from_json(once.encode(), "f", Expected(CLASSES, most=100))
    if back is not None:  # two boxes may have become one
        assert boxes_to_json(back, CLASSES) == once
        np.testing.assert_allclose(back.xywh, boxes.xywh, rtol=0, atol=STEP)
    else:
        assert {p.code for p in problems.kept} == {"duplicate"}


@given(st.dictionaries(st.sampled_from(["a", "b.1", "c_2"]), any_boxes))
def test_coco_loses_nothing(boxes):
    coco = to_coco(boxes)
    coco = type(coco)(*json.loads(json.dumps(coco)))
    back = from_coco(coco)
    assert list(back) == list(boxes)
    for case, found in boxes.items():
        same(found, back[case])


@given(exact)
def test_the_three_forms_agree(boxes):
    same(read(boxes_to_json(from_coco(to_coco({"a": boxes}))["a"], CLASSES)), boxes)


def test_the_format_is_that_of_the_organisers():
    said = json.loads(boxes_to_json(Boxes.of([17], [0], [[1, 2, 3, 4]], [0.83]), CLASSES))
    assert said == {
        "type": "Multiple 2D bounding boxes",
        "version": {"major": 1, "minor": 0},
        "boxes": [
            {
                "corners": [[1, 2, 0.5], [4, 2, 0.5], [4, 6, 0.5], [1, 6, 0.5]],
                "name": "slice_nr_17_needle_driver",
                "probability": 0.83,
            }
        ],
    }


def test_what_cannot_be_written_or_read_back_is_refused():
    with pytest.raises(DataError, match="too far out"):
        boxes_to_json(Boxes.of([0], [0], [[2e5, 0, 1, 1]]), CLASSES)
    with pytest.raises(DataError, match="'a' is no image"):
        from_coco(type(to_coco({}))([{"id": 1, "file_name": "a"}], []))
    with pytest.raises(DataError, match="image 2 is not there"):
        from_coco(type(to_coco({}))([], [{"image_id": 2}]))


# The strict reader of JSON itself.

texts = st.text('ab"\\/\n{[,:é\u2028\U0001f600', max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(values, st.sampled_from([None, 1]))
def test_json_is_read_as_the_standard_library_does(value, indent):
    text = json.dumps(value, indent=indent)
    made, problems = read_json(text.encode(), "f", lambda said, _: [said])
    assert made == [value]
    assert not problems.kept


@given(values)
def test_every_place_is_found_in_the_line_it_stands_in(value):
    """Every value is complained about; its line, in a text with one value a line, holds it."""
    from assay.parts.competition.json_text import Complaint

    text = json.dumps(value, indent=1)
    lines = text.split("\n")
    expected = []

    def walk(said, at, complaints):
        complaints.add(Complaint(at, "format", "x"))
        expected.append(said)
        for key, inner in said.items() if isinstance(said, dict) else ():
            walk(inner, (*at, key), complaints)
        for n, inner in enumerate(said) if isinstance(said, list) else ():
            walk(inner, (*at, n), complaints)

    _, problems = read_json(text.encode(), "f", lambda said, found: walk(said, (), found))
    assert len(problems.kept) == len(expected)
    for said, problem in zip(expected, problems.kept, strict=True):
        line = lines[problem.line - 1].rstrip(",")
        ends = (
            json.dumps(said)
            if not isinstance(said, list | dict) or not said
            else json.dumps(said)[0]
        )
        assert line.endswith(ends)


def test_levels_are_allowed_up_to_the_deepest():
    from assay.parts.competition.json_text import Complaint

    def refuse(_, found):
        found.add(Complaint((), "format", "refused"))

    for depth, what in (
        (DEEPEST, "refused"),
        (DEEPEST + 1, f"nested in more than {DEEPEST} levels"),
    ):
        _, problems = read_json(b"[" * depth + b"]" * depth, "f", refuse)
        assert problems.kept[0].what == what
