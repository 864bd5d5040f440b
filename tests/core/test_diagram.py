"""The picture of a workflow: valid XML, every step in it, and no text that becomes markup."""

import itertools
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.component import component
from assay.core.diagram import HEIGHT, WIDTH, workflow_svg
from assay.core.workflow import Workflow
from core import toys


@component
def hostile(x: float) -> float:
    """</title><script>alert("1")</script> & \x00\x1b[1m 'quotes'."""
    return x


def drawn(flow):
    return ElementTree.fromstring(workflow_svg(flow))


def texts(svg, tag):
    return [e.text or "" for e in svg.iter(tag)]


def boxes(svg):
    """Place of every step's box by name."""
    found = {}
    for group in svg.iter("g"):
        name = group.find("title").text.partition(":")[0]
        box = group.findall("rect")[-1]
        found[name] = (float(box.get("x")), float(box.get("y")))
    return found


def test_every_step_is_drawn_with_its_component():
    flow = Workflow("flow")
    x = flow.step("x", toys.number)
    flow.step("m", toys.measure, x=flow.step("y", toys.scale, x=x))
    svg = drawn(flow)

    assert texts(svg, "text") == ["x", "number", "y", "scale", "m", "measure"]
    assert texts(svg, "title") == ["x: Give a number.", "y: Multiply.", "m: Record a number."]
    assert svg.get("aria-label") == "Workflow flow: x, y, m"
    assert svg.get("role") == "img"


def test_a_step_per_member_says_how_many():
    flow = Workflow("flow")
    a = flow.each("a", toys.number, over={"value": [1, 2]})
    b = flow.each("b", toys.shift, x=a, over={"amount": [1, 2, 3]})
    flow.step("t", toys.total, xs=b)

    assert texts(drawn(flow), "text")[::2] == ["a × 2", "b × 6", "t"]


def test_texts_cannot_become_markup():
    flow = Workflow("flow")
    flow.step("h", hostile, x=flow.step("x", toys.number))
    svg = drawn(flow)

    assert {e.tag for e in svg.iter()} == {"svg", "path", "g", "title", "rect", "text"}
    assert "<script>alert" in texts(svg, "title")[1]
    assert "\x00" not in workflow_svg(flow)


def test_a_long_or_foreign_name_is_whole_in_the_tooltip():
    flow = Workflow("flow")
    long, foreign = "a" * 120, "Überschwemmung_水文"
    flow.step(long, toys.number)
    flow.step(foreign, toys.number)
    svg = drawn(flow)

    assert texts(svg, "title")[0].startswith(f"{long}: ")
    assert all(len(t) <= 22 for t in texts(svg, "text"))
    assert foreign in texts(svg, "text")
    assert long in svg.get("aria-label")


def test_a_nested_workflow_is_drawn_as_the_steps_it_became():
    inner = Workflow("inner")
    inner.output("o", inner.step("s", toys.scale, x=inner.input("x")))
    flow = Workflow("flow")
    flow.step("m", toys.measure, x=flow.step("made", inner, x=flow.step("x", toys.number)))

    assert list(boxes(drawn(flow))) == ["x", "made/s", "m"]


def test_a_workflow_with_open_inputs_can_be_drawn():
    inner = Workflow("inner")
    inner.step("s", toys.scale, x=inner.input("x"))

    assert not list(drawn(inner).iter("path"))


@pytest.mark.parametrize("step_count", [1, 7])
@given(data=st.data())
def test_boxes_lie_apart_and_lines_lead_down_from_each_step_to_those_it_feeds(step_count, data):
    flow = Workflow("flow")
    feeds = {}
    for n in range(step_count):
        if n:
            several = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=3))
            feeds[f"s{n}"] = {f"s{k}" for k in several}
            flow.step(f"s{n}", toys.total, xs=[flow_ref(flow, k) for k in several])
        else:
            flow.step("s0", toys.number)
    svg = drawn(flow)
    placed = boxes(svg)

    _, _, width, height = map(float, svg.get("viewBox").split())
    for x, y in placed.values():
        assert 0 <= x <= width - WIDTH
        assert 0 <= y <= height - HEIGHT
    for (x, y), (other, below) in itertools.combinations(placed.values(), 2):
        assert abs(x - other) >= WIDTH or abs(y - below) >= HEIGHT
    lines = [line_ends(path.get("d")) for path in svg.iter("path")]
    for (x, top), (end, bottom) in lines:
        assert top < bottom
        for left, y in placed.values():  # a line through a row of boxes is upright, beside them
            assert bottom <= y or top >= y + HEIGHT or (x == end and not left <= x <= left + WIDTH)
    for name, (x, y) in placed.items():
        reached = {(x + WIDTH / 2, y + HEIGHT)}
        for _ in lines:
            reached |= {end for start, end in lines if start in reached}
        fed = {n for n, (left, top) in placed.items() if (left + WIDTH / 2, top) in reached}
        assert fed == {n for n, sources in feeds.items() if name in sources}


def line_ends(path):
    """First and last point of a path; ``V`` keeps the x where it is."""
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", path)]
    return tuple(numbers[:2]), ((numbers[0], numbers[2]) if "V" in path else tuple(numbers[-2:]))


def flow_ref(flow, n):
    from assay.core.workflow import Ref

    assert f"s{n}" in flow.steps
    return Ref(f"s{n}")


def test_a_thousand_steps_are_drawn_without_delay():
    flow = Workflow("flow")
    last = flow.step("s0", toys.number)
    for n in range(1, 1000):
        last = flow.step(f"s{n}", toys.shift, x=last)

    assert len(boxes(drawn(flow))) == 1000
