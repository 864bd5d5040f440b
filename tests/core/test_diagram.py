"""The picture of a workflow: valid XML, every step in it, and no text that becomes markup."""

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
def test_no_box_lies_on_another_and_every_edge_goes_to_the_right(step_count, data):
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

    assert len(set(placed.values())) == step_count
    _, _, width, height = map(float, svg.get("viewBox").split())
    for x, y in placed.values():
        assert 0 <= x <= width - WIDTH
        assert 0 <= y <= height - HEIGHT
    for name, sources in feeds.items():
        assert all(placed[s][0] < placed[name][0] for s in sources)
    edges = [re.findall(r"-?[\d.]+", p.get("d")) for p in svg.iter("path")]
    assert len(edges) == sum(map(len, feeds.values()))
    ends = {(float(e[0]) - WIDTH, float(e[-2])) for e in edges}
    assert ends == {(placed[s][0], placed[n][0]) for n, ss in feeds.items() for s in ss}


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
