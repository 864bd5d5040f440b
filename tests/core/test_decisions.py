"""Decisions: values, patches over several steps, exchanged components, and their labels."""

import numpy as np
import pytest

from assay.core.component import component
from assay.core.decisions import (
    Assign,
    Choices,
    Span,
    Use,
    as_decision,
    assign,
    patched,
    span,
    sweep,
    use,
)
from assay.core.workflow import Ref, Workflow
from assay.errors import WorkflowError
from core import toys


@component
def word(*, text: str = "four") -> str:
    return text


@component
def letters(x: str, *, by: int = 1) -> float:
    return float(len(x) * by)


@pytest.fixture
def flow():
    """x -> y -> m."""
    flow = Workflow("flow")
    x = flow.step("x", toys.number, value=3.0)
    flow.step("m", toys.measure, x=flow.step("y", toys.scale, x=x, by=5.0))
    return flow


# -- values -------------------------------------------------------------------------------------


def test_a_sweep_has_its_values_as_labels():
    made = sweep("x.value", [1, 2.5])

    assert made.options == (
        (1, (Assign("x.value", 1),)),
        (2.5, (Assign("x.value", 2.5),)),
    )


@pytest.mark.parametrize("values", [np.array([1, 2]), (1, 2), range(1, 3), [np.int64(1), 2]])
def test_any_list_of_numbers_is_swept_as_numbers_of_python(values):
    made = sweep("x.value", values)

    assert [type(label) for label in made.labels()] == [int, int]
    assert [type(p.value) for _, (p,) in made.options] == [int, int]


def test_values_without_a_plain_spelling_get_a_text_as_label():
    made = sweep("m.sizes", [[1, 2], None, {"a": 1}])

    assert made.labels() == ["[1, 2]", "None", "{'a': 1}"]
    assert [p.value for _, (p,) in made.options] == [[1, 2], None, {"a": 1}]


def test_labels_of_mixed_kinds_become_texts_so_that_they_share_a_column():
    assert sweep("s.width", [8, "auto"]).labels() == ["8", "auto"]
    assert sweep("s.width", [True, 1.5]).labels() == ["True", "1.5"]
    assert sweep("s.width", [1, 2.5]).labels() == [1, 2.5]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: sweep("s.a", []), "s.a: [] is not a list of values"),
        (lambda: sweep("s.a", "abc"), "'abc' is not a list of values"),
        (lambda: sweep("s.a", 3), "3 is not a list of values"),
        (lambda: sweep("s.a", {"a": 1}), "is not a list of values"),
        (lambda: sweep("s.a", [1, 2, 1]), "s.a: two choices are named 1"),
        (lambda: sweep("s.a", [1, 1.0]), "two choices are named 1.0"),
        (lambda: sweep("s.a", ["1", 1]), "two choices are named '1'"),
        (lambda: sweep("s.a", [[1], "[1]"]), "two choices are named '[1]'"),
        (lambda: span("s.a", 1, 1), "s.a: [1, 1] is not a range; expected low < high"),
        (lambda: span("s.a", 2, 1), "[2, 1] is not a range"),
        (lambda: span("s.a", "1", 2), "is not a range"),
        (lambda: span("s.a", False, True), "is not a range"),
        (lambda: span("s.a", 0.0, float("inf")), "is not a range"),
        (lambda: span("s.a", float("nan"), 1.0), "is not a range"),
        (lambda: span("s.a", 0, 10**400), "is not a range"),
        (lambda: span("s.a", 0.0, 1.0, log=True), "expected 0 < low < high"),
        (lambda: as_decision("d", {}), "decision 'd': is not a decision; expected sweep(...)"),
        (lambda: as_decision("d", [1, 2]), "is not a decision"),
        (lambda: as_decision("d", {"a": 3}), "decision 'd': choice 'a' is not a patch; expected"),
        (lambda: as_decision("d", {"a": [assign("x.value", 1), 3]}), "choice 'a' is not a patch"),
        (lambda: as_decision("d", {None: []}), "decision 'd': None is not a label"),
        (lambda: as_decision("d", {(1, 2): []}), "(1, 2) is not a label; expected a text or num"),
        (lambda: as_decision("d", {1: [], "1": []}), "two choices are named '1'"),
        (lambda: use("x", len), "len is not a component"),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused(build, message):
    with pytest.raises(WorkflowError) as caught:
        build()
    assert message in str(caught.value)


def test_numpy_ends_are_numbers():
    assert span("s.a", np.float64(1), np.int64(3)) == Span("s.a", 1.0, 3.0)


# -- patches ------------------------------------------------------------------------------------


def test_a_choice_may_be_one_patch_several_or_none():
    made = as_decision(
        "size",
        {
            "as it is": [],
            "small": assign("x.value", 1),
            "large": (assign("x.value", 9), assign("y.by", np.float64(2.0))),
        },
    )

    assert isinstance(made, Choices)
    assert dict(made.options) == {
        "as it is": (),
        "small": (Assign("x.value", 1),),
        "large": (Assign("x.value", 9), Assign("y.by", 2.0)),
    }


def test_a_patch_over_several_steps_changes_them_and_nothing_else(flow):
    made = patched(flow, [assign("x.value", 9), assign("y.by", 2.0)], {})

    assert made.steps["x"].params == {"value": 9}
    assert made.steps["y"].params == {"by": 2.0}
    assert made.steps["m"] == flow.steps["m"]
    assert flow.steps["x"].params == {"value": 3.0}


def test_an_exchanged_component_keeps_what_it_also_has_and_adds_its_own(flow):
    flow.step("z", toys.number)
    made = patched(flow, [use("y", toys.both, y=Ref("z"))], {})
    scaled = patched(flow, [use("y", toys.scale, unit="ft")], {})

    assert made.steps["y"].inputs == {"x": Ref("x"), "y": Ref("z")}
    assert made.steps["y"].params == {}
    assert scaled.steps["y"].params == {"by": 5.0, "unit": "ft"}


def test_use_tells_inputs_from_parameters_by_the_value_given():
    made = use("y", toys.both, y=Ref("cut").low, z=np.float64(1.0))

    assert made == Use("y", toys.both.__assay__, {"y": Ref("cut", "low"), "z": 1.0})


def test_components_that_only_fit_each_other_are_exchanged_together(flow):
    text = [use("x", word), use("y", letters)]
    for patches in (text, text[::-1]):
        made = patched(flow, patches, {})

        assert made.steps["x"].component.name == "word"
        assert made.steps["y"].component.name == "letters"
        assert made.steps["y"].inputs == {"x": Ref("x")}


@pytest.mark.parametrize(
    ("patches", "message"),
    [
        ([use("x", word)], "step 'y': input 'x' got x (str); expected float"),
        ([use("x", word), use("m", toys.measure)], "step 'y': input 'x' got x (str)"),
        ([use("z", word), use("y", letters)], "no step 'z'"),
        ([use("y", letters), use("z", word)], "no step 'z'"),
        ([use("x", word, test="a"), use("y", letters)], "no parameter of word is named 'test'. Di"),
        ([use("y", toys.both, y=Ref("m")), use("m", toys.measure)], "in a circle"),
        ([assign("y.bye", 1)], "no parameter of scale is named 'bye'. Did you mean 'by'?"),
        ([assign("yy.by", 1)], "no step 'yy'"),
        ([assign("y", 1)], "'y' names no parameter; expected step.parameter"),
    ],
)
def test_patches_that_do_not_fit_are_refused_and_the_workflow_stays(flow, patches, message):
    before = dict(flow.steps)

    with pytest.raises(WorkflowError) as caught:
        patched(flow, patches, {})
    assert message in str(caught.value)
    assert flow.steps == before


def test_settings_reach_exchanged_components_and_choices_win_over_settings(flow):
    made = patched(
        flow,
        [use("y", toys.shift, amount=1.0), assign("x.value", 7)],
        {"y.amount": 4.0, "x.value": 1, "m.name": "set"},
    )

    assert made.steps["y"].params == {"amount": 4.0}
    assert made.steps["x"].params == {"value": 7}
    assert made.steps["m"].params == {"name": "set"}
