"""Joining components: names, types and members at the joints, nesting, copies that stay apart."""

import numpy as np
import pytest

from assay.core.component import component
from assay.core.steps import in_order
from assay.core.workflow import Ref, Step, Workflow
from assay.errors import WorkflowError
from core import toys


@component
def listed() -> list[float]:
    return [1.0]


@component
def takes_pair(pair: toys.Halves) -> float:
    return pair.low


@component
def refers(x: float) -> float:
    return x


@component
def crossed(a: float, b: float) -> float:
    return a + b


@pytest.fixture
def flow():
    return Workflow("flow")


def refused(*parts):
    return pytest.raises(WorkflowError, match=".*".join(parts))


# -- steps and joints ---------------------------------------------------------------------------


def test_a_step_is_fed_by_the_output_or_a_port_of_another(flow):
    x = flow.step("x", toys.number, value=3)
    cut = flow.step("cut", toys.halve, x=x)
    flow.step("low", toys.shift, x=cut.low, amount=2)
    flow.step("pair", takes_pair, pair=cut)

    assert flow.steps["low"].inputs == {"x": Ref("cut", "low")}
    assert flow.steps["low"].params == {"amount": 2}
    assert flow.steps["pair"].inputs == {"pair": Ref("cut")}
    assert [s.name for s in flow.order()] == ["x", "cut", "low", "pair"]


def test_a_list_of_outputs_is_gathered(flow):
    a, b = flow.step("a", toys.number), flow.step("b", toys.number)
    flow.step("sum", toys.total, xs=[a, b])

    assert flow.steps["sum"].inputs == {"xs": (Ref("a"), Ref("b"))}


def test_numpy_values_become_numbers_and_lists(flow):
    flow.step("a", toys.number, value=np.float32(0.5))
    flow.each("b", toys.number, over={"value": np.arange(3)})

    assert type(flow.steps["a"].params["value"]) is float
    assert flow.steps["b"].over == {"value": (0, 1, 2)}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda f, x: f.step("s", toys.scale, x=x, bye=1), "no parameter of scale is named 'bye'"),
        (lambda f, x: f.step("s", toys.scale, x=x, bye=1), "Did you mean 'by'"),
        (lambda f, x: f.step("s", toys.scale, y=x), "no input of scale is named 'y'"),
        (lambda f, x: f.step("s", toys.scale), "input 'x' of scale is not fed"),
        (lambda f, x: f.step("s", toys.scale, x=1.0), "'x' is an input of scale and got a plain"),
        (lambda f, x: f.step("s", toys.scale, x=x, by=x), "'by' is a parameter of scale and got"),
        (lambda f, x: f.step("s", toys.scale, x=[x, x]), "input 'x' takes one value, not a list"),
        (lambda f, x: f.step("s", toys.total, xs=[x, 1.0]), "a list mixes outputs of steps and"),
        (lambda f, x: f.step("x", toys.number), "the name 'x' is taken"),
        (lambda f, x: f.step("a.b", toys.number), "'a.b' is not a name; expected letters, digits"),
        (lambda f, x: f.step("", toys.number), "'' is not a name"),
        (lambda f, x: f.step("inputs", toys.number), "'inputs' is not a name"),
        (lambda f, x: f.step("x/y", toys.number), "the name 'x/y' is taken"),
        (lambda f, x: f.step("s", len), "len is not a component"),
        (lambda f, x: f.step("s", toys.scale, x=Ref("y")), "no step 'y'. Known: x"),
        (lambda f, x: f.step("s", toys.scale, x=x.low), "no output of step 'x' is named 'low'"),
        (lambda f, x: f.step("s", toys.scale, x=x.low.high), "x.low is one output and has no"),
        (lambda f, x: f.step("s", toys.first_line, path=x), "input 'path' got x \\(float\\); exp"),
        (
            lambda f, x: f.step("s", toys.in_metres, x=x),
            "input 'x' got x \\(float\\); expected Met",
        ),
        (lambda f, x: f.output("o", 3), "flow, output 'o': is not the output of a step"),
        (lambda f, x: [f.output("o", x), f.output("o", x)], "output 'o': is declared twice"),
        (lambda f, x: f.output("o", Ref("y")), "no step 'y'"),
    ],
)
def test_what_does_not_fit_is_refused_where_the_step_is_added(flow, build, message):
    x = flow.step("x", toys.number)

    with pytest.raises(WorkflowError, match=message.replace(".", r"\.")):
        build(flow, x)
    assert list(flow.steps) == ["x"]


def test_feet_do_not_enter_where_metres_are_wanted(flow):
    flow.step("right", toys.in_metres, x=flow.step("m", toys.metres))

    with refused("step 'wrong': input 'x' got f \\(Feet\\); expected Metres"):
        flow.step("wrong", toys.in_metres, x=flow.step("f", toys.feet))


def test_a_list_input_that_gets_one_list_is_explained(flow):
    with refused(
        "got one \\(list\\[float\\]\\); expected float", "It gathers: list\\[float\\] tak"
    ):
        flow.step("sum", toys.total, xs=flow.step("one", listed))


# -- members ------------------------------------------------------------------------------------


def test_each_runs_over_its_own_members_and_those_that_feed_it(flow):
    a = flow.each("a", toys.number, over={"value": [1, 2]})
    b = flow.each("b", toys.shift, x=a, over={"amount": [10, 20, 30]})
    c = flow.each("c", toys.scale, x=b)
    flow.step("sum", toys.total, xs=c)

    assert flow.axes() == {"a": ("a",), "b": ("a", "b"), "c": ("a", "b"), "sum": ()}


def test_two_axes_cross_and_one_axis_reached_twice_does_not(flow):
    a = flow.each("a", toys.number, over={"value": [1, 2]})
    b = flow.each("b", toys.number, over={"value": [3, 4]})
    half = flow.each("half", toys.halve, x=a)
    flow.each("cross", crossed, a=a, b=b)
    flow.each("same", crossed, a=half.low, b=half.high)

    assert flow.axes()["cross"] == ("a", "b")
    assert flow.axes()["same"] == ("a",)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda f, a: f.step("s", toys.scale, x=a),
            "from an `each` step \\('a'\\) into a step tha",
        ),
        (lambda f, a: f.each("s", toys.number), "has neither `over` nor an input from an `each`"),
        (lambda f, a: f.each("s", toys.number, over={"value": []}), r"\[\] is not a list of mem"),
        (lambda f, a: f.each("s", toys.number, over={"value": "abc"}), "'abc' is not a list of m"),
        (
            lambda f, a: f.each("s", toys.scale, x=a, over={"by": [1, 2], "unit": ["m"]}),
            r"differ in length \(by: 2, unit: 1\)",
        ),
        (
            lambda f, a: f.each("s", toys.number, over={"value": [1]}, value=2),
            "'value' is given once and in `over`",
        ),
        (lambda f, a: f.each("s", toys.number, over={"size": [1]}), "no parameter of number is na"),
        (lambda f, a: f.each("s", toys.scale, x=a, min_ok=3), "min_ok is 3; expected 1 to 2 memb"),
        (lambda f, a: f.each("s", toys.scale, x=a, min_ok=0), "min_ok is 0; expected 1 to 2"),
        (lambda f, a: f.each("s", toys.scale, x=a, min_ok="1"), "min_ok is 1; expected 1 to 2"),
        (lambda f, a: f.add(Step("s", toys.number.__assay__, min_ok=1)), "belong to `each`"),
        (lambda f, a: f.each("s", Workflow("w")), "a workflow cannot run once per member"),
    ],
)
def test_members_that_do_not_fit_are_refused(flow, build, message):
    a = flow.each("a", toys.number, over={"value": [1, 2]})

    with pytest.raises(WorkflowError, match=message):
        build(flow, a)
    assert list(flow.steps) == ["a"]


# -- order --------------------------------------------------------------------------------------


def test_names_come_in_the_order_given_but_after_what_feeds_them():
    assert in_order({"a": [], "b": [], "c": []}, "w") == ["a", "b", "c"]
    assert in_order({"c": ["a", "b"], "b": ["a"], "d": [], "a": []}, "w") == ["a", "b", "c", "d"]


def test_a_circle_is_told_with_its_members():
    with refused("w: steps feed each other in a circle: b -> c -> b"):
        in_order({"a": ["b"], "b": ["c"], "c": ["b"]}, "w")
    with refused("circle: a -> a"):
        in_order({"a": ["a"]}, "w")


def test_a_long_chain_is_no_deep_recursion():
    chain = {str(n): [str(n + 1)] for n in range(5000)}

    assert in_order(chain, "w")[:2] == ["4999", "4998"]


# -- nesting ------------------------------------------------------------------------------------


def hazard():
    """Scale what comes in, and measure it; two outputs."""
    inner = Workflow("hazard")
    scaled = inner.step("scaled", toys.scale, x=inner.input("depth"), by=3.0)
    cut = inner.step("cut", toys.halve, x=scaled)
    inner.output("whole", scaled)
    inner.output("low", cut.low)
    return inner


def test_a_workflow_stands_as_a_step_of_another(flow):
    made = flow.step("hazard", hazard(), depth=flow.step("x", toys.number))
    flow.step("after", crossed, a=made.whole, b=made.low)

    assert list(flow.steps) == ["x", "hazard/scaled", "hazard/cut", "after"]
    assert flow.steps["hazard/scaled"].inputs == {"x": Ref("x")}
    assert flow.steps["after"].inputs == {"a": Ref("hazard/scaled"), "b": Ref("hazard/cut", "low")}


def test_a_workflow_with_one_output_needs_no_port(flow):
    inner = Workflow("inner")
    inner.output("only", inner.step("n", toys.number))
    flow.step("after", toys.shift, x=flow.step("made", inner))

    assert flow.steps["after"].inputs == {"x": Ref("made/n")}


def test_a_workflow_may_be_used_twice_and_two_levels_deep(flow):
    middle = Workflow("middle")
    first = middle.step("first", hazard(), depth=middle.input("depth"))
    second = middle.step("second", hazard(), depth=first.whole)
    middle.output("end", second.low)
    outer = flow.step("outer", middle, depth=flow.step("x", toys.number))
    flow.output("end", outer)

    assert "outer/second/cut" in flow.steps
    assert flow.steps["outer/second/scaled"].inputs == {"x": Ref("outer/first/scaled")}
    assert flow.outputs == {"end": Ref("outer/second/cut", "low")}


def test_each_works_inside_a_nested_workflow_and_across_its_border(flow):
    inner = Workflow("inner")
    moved = inner.each("moved", toys.shift, x=inner.input("x"))
    wide = inner.each("wide", toys.scale, x=moved, over={"by": [1, 2, 3]})
    inner.output("sum", inner.step("sum", toys.total, xs=wide))
    outside = flow.each("x", toys.number, over={"value": [1, 2]})
    flow.step("made", inner, x=outside)

    assert flow.axes()["made/moved"] == ("x",)
    assert flow.axes()["made/wide"] == ("x", "made/wide")
    assert flow.axes()["made/sum"] == ()


def test_an_open_input_may_be_a_list_that_is_gathered(flow):
    inner = Workflow("inner")
    inner.output("sum", inner.step("sum", toys.total, xs=[inner.input("xs"), inner.input("y")]))
    a, b = flow.step("a", toys.number), flow.step("b", toys.number)
    flow.step("made", inner, xs=[a, b], y=b)

    assert flow.steps["made/sum"].inputs == {"xs": (Ref("a"), Ref("b"), Ref("b"))}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda f, x: f.step("h", hazard()), "input 'depth' of workflow 'hazard' is not fed"),
        (lambda f, x: f.step("h", hazard(), depth=1.0), "input 'depth' .* got a plain value"),
        (lambda f, x: f.step("h", hazard(), deep=x), "no input .*'deep'. Did you mean 'depth'"),
        (lambda f, x: f.step("x", hazard(), depth=x), "the name 'x' is taken"),
        (
            lambda f, x: f.step("s", toys.shift, x=f.step("h", hazard(), depth=x)),
            "step 'h' is a workflow with 2 outputs. Name one of them: whole, low",
        ),
        (
            lambda f, x: f.step("s", toys.shift, x=f.step("h", hazard(), depth=x).hole),
            "no output of workflow 'h' is named 'hole'. Did you mean 'whole'",
        ),
        (
            lambda f, x: f.step("h", hazard(), depth=f.step("t", toys.text_file)),
            "step 'h/scaled': input 'x' got t \\(File\\); expected float",
        ),
        (
            lambda f, x: f.step(
                "h", hazard(), depth=f.each("e", toys.number, over={"value": [1, 2]})
            ),
            "step 'h/scaled': input from an `each` step \\('e'\\) into a step that runs once",
        ),
        (
            lambda f, x: [f.step("h", hazard(), depth=x), f.step("h", toys.number)],
            "the name 'h' is taken",
        ),
    ],
)
def test_a_nested_workflow_that_does_not_fit_is_refused(flow, build, message):
    x = flow.step("x", toys.number)

    with pytest.raises(WorkflowError, match=message):
        build(flow, x)


def test_a_nested_workflow_that_is_refused_leaves_nothing_behind(flow):
    text = flow.step("text", toys.text_file)
    inner = Workflow("inner")
    inner.step("fine", toys.number)
    inner.step("wrong", toys.scale, x=inner.input("x"))

    with refused("expected float"):
        flow.step("made", inner, x=text)
    assert list(flow.steps) == ["text"]
    flow.step("made", toys.number)


# -- copies -------------------------------------------------------------------------------------


def state(flow):
    return {k: (v.copy() if isinstance(v, dict | list) else v) for k, v in vars(flow).items()}


def test_a_value_is_changed_in_a_copy(flow):
    flow.step("x", toys.number, value=1.0)
    before = state(flow)

    assert flow.with_value("x.value", 5).steps["x"].params == {"value": 5}
    assert state(flow) == before


def test_the_members_of_an_axis_are_changed_in_a_copy(flow):
    x = flow.step("x", toys.number)
    flow.each("s", toys.scale, x=x, over={"by": [1, 2], "unit": ["m", "ft"]}, min_ok=2)
    before = state(flow)
    changed = flow.with_values({"s.by": [7], "s.unit": ["m"]})

    assert changed.steps["s"].over == {"by": (7,), "unit": ("m",)}
    assert state(flow) == before
    with refused("differ in length \\(by: 1, unit: 2\\)"):
        flow.with_value("s.by", [7])
    with refused("s.by: 7 is not a list of members"):
        flow.with_value("s.by", 7)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("y.value", "no step 'y'. Known: x"),
        ("x.valu", "no parameter of number is named 'valu'. Did you mean 'value'"),
        ("x", "'x' names no parameter; expected step.parameter"),
        ("xx", "'xx' names no parameter.*"),
        ("x.value.deep", "no parameter of number is named 'value.deep'. Did you mean 'value'"),
    ],
)
def test_a_path_that_leads_nowhere_is_told(flow, path, message):
    flow.step("x", toys.number)

    with pytest.raises(WorkflowError, match=message):
        flow.with_value(path, 1)


def test_another_component_is_put_at_a_step_in_a_copy(flow):
    x, y = flow.step("x", toys.number), flow.step("y", toys.number)
    flow.step("s", toys.scale, x=x, by=4.0)
    flow.step("after", toys.shift, x=Ref("s"))
    before = state(flow)
    changed = flow.with_components(("s", toys.both, {"y": y}))
    again = changed.with_components(("s", toys.scale, {"unit": "ft"}))

    assert changed.steps["s"] == Step("s", toys.both.__assay__, {"x": Ref("x"), "y": Ref("y")}, {})
    assert again.steps["s"].params == {"unit": "ft"}
    assert state(flow) == before


def test_another_component_may_take_from_a_later_step_and_from_a_nested_workflow(flow):
    x = flow.step("x", toys.number)
    flow.step("s", toys.shift, x=x)
    made = flow.step("h", hazard(), depth=x)
    changed = flow.with_components(("s", toys.both, {"y": made.whole}))

    assert changed.steps["s"].inputs["y"] == Ref("h/scaled")
    assert [s.name for s in changed.order()] == ["x", "h/scaled", "s", "h/cut"]


@pytest.mark.parametrize(
    ("name", "use", "values", "message"),
    [
        ("q", toys.number, {}, "no step 'q'"),
        ("s", len, {}, "len is not a component"),
        ("s", toys.scale, {"bye": 1}, "no parameter of scale is named 'bye'"),
        ("s", toys.first_line, {}, "input 'path' of first_line is not fed"),
        ("s", toys.text_file, {}, "step 'after': input 'x' got s \\(File\\); expected float"),
        ("s", toys.both, {"y": Ref("after")}, "in a circle: s -> after -> s"),
        ("x", toys.both, {"x": Ref("x")}, "in a circle: x -> x"),
        ("s", toys.both, {"y": Ref("members")}, "input from an `each` step \\('members'\\)"),
        ("members", toys.shift, {"x": Ref("x")}, "no parameter of shift is named 'value'"),
    ],
)
def test_another_component_that_does_not_fit_is_refused(flow, name, use, values, message):
    x = flow.step("x", toys.number)
    flow.step("s", toys.shift, x=x)
    flow.step("after", toys.shift, x=Ref("s"))
    flow.each("members", toys.number, over={"value": [1, 2]})

    with pytest.raises(WorkflowError, match=message):
        flow.with_components((name, use, values))


def test_a_copy_can_grow_without_its_original(flow):
    flow.step("x", toys.number)
    twin = flow.copy()
    twin.step("y", toys.number)
    twin.input("open")
    twin.output("o", Ref("y"))
    twin.step("h", hazard(), depth=Ref("y"))

    assert list(flow.steps) == ["x"]
    assert not flow.inputs
    assert not flow.outputs
    flow.step("h", toys.number)


def test_a_reference_is_written_and_read():
    for text in ("flood", "flood.max_depth_m", "hazard/flood.low", "inputs.rain"):
        assert str(Ref.parse(text)) == text
    assert Ref.parse("inputs.rain") == Ref("", "rain")
    assert not hasattr(Ref("x"), "__array__")
