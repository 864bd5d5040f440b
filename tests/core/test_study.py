"""A study: its trials, its seeds, who wins over whom, and one line for every slip."""

import itertools

import numpy as np
import pytest

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, Sampler, assign, span, sweep, use
from assay.core.estimands import difference, mean
from assay.core.plan import derive_seed
from assay.core.study import Study, seed_list
from assay.core.workflow import Workflow
from assay.errors import AssayError, UsageError
from core import toys


def make_flow():
    """x -> y -> m."""
    flow = Workflow("flow")
    x = flow.step("x", toys.number, value=3.0)
    flow.step("m", toys.measure, x=flow.step("y", toys.scale, x=x))
    return flow


def make_claim(name="C1", **more):
    estimand = difference("result", "by", 3.0, 2.0)
    given = {"estimand": estimand, "direction": "above", **more}
    return Claim(id=name, sentence="It is so.", source="a test", **given)


def params(plan, step, trial=0):
    (node,) = plan.trials[trial].nodes[step].values()
    return plan.nodes[node].params


def slip(call):
    """The one line that a mistake gives."""
    with pytest.raises(AssayError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


# -- trials -------------------------------------------------------------------------------------


def test_a_study_without_decisions_has_one_trial_per_seed():
    plan = Study(make_flow(), seeds=3).plan()

    assert [(t.number, t.choices, t.seed) for t in plan.trials] == [(n, {}, n) for n in range(3)]


def test_every_point_of_a_study_runs_with_every_seed():
    decisions = {"by": sweep("y.by", [2.0, 3.0]), "size": sweep("x.value", [1.0, 5.0])}
    plan = Study(make_flow(), decisions=decisions, seeds=[7, 3]).plan()

    assert [(t.choices["by"], t.choices["size"], t.seed) for t in plan.trials] == list(
        itertools.product([2.0, 3.0], [1.0, 5.0], [7, 3])
    )
    for n, trial in enumerate(plan.trials):
        assert params(plan, "y", n)["by"] == trial.choices["by"]
        assert params(plan, "x", n)["value"] == trial.choices["size"]


def test_a_sampler_chooses_the_trials():
    decisions = {"by": span("y.by", 1.0, 9.0), "size": sweep("x.value", [1.0, 5.0])}
    plan = Study(make_flow(), decisions=decisions, sampler=Sampler("lhs", n=8), seeds=2).plan()
    values = [params(plan, "y", n)["by"] for n in range(0, 16, 2)]

    assert len(plan.trials) == 16
    assert sorted(int(v) for v in values) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [t.choices["by"] for t in plan.trials[::2]] == values


def test_named_patches_exchange_components():
    shifted = [use("y", toys.shift, amount=4.0), assign("x.value", 9.0)]
    study = Study(make_flow(), decisions={"way": {"scaled": [], "shifted": shifted}})
    plan = study.plan()

    assert [t.choices for t in plan.trials] == [{"way": "scaled"}, {"way": "shifted"}]
    assert params(plan, "y", 1) == {"amount": 4.0}
    assert params(plan, "x", 1) == {"value": 9.0}
    assert params(plan, "y", 0) == {"by": 2.0, "unit": "m"}


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (1, [0]),
        (3, [0, 1, 2]),
        ([5, 2], [5, 2]),
        ((4,), [4]),
        (range(2, 4), [2, 3]),
        (np.int64(2), [0, 1]),
        (np.array([3, 1]), [3, 1]),
        ([-1], [-1]),
    ],
)
def test_seeds_are_a_number_of_them_or_a_list(seeds, expected):
    assert seed_list(seeds, "s") == expected
    assert [t.seed for t in Study(make_flow(), seeds=seeds).plan().trials] == expected


@pytest.mark.parametrize(
    "seeds",
    [
        0,
        -1,
        True,
        1.0,
        "3",
        [],
        [1, 1],
        [1.0],
        [True, 2],
        {1: 2},
        None,
        10**30,
        range(10**30),
        100_001,
    ],
)
def test_what_is_no_seeds_is_refused(seeds):
    assert slip(lambda: Study(make_flow(), seeds=seeds)).startswith("flow: ")
    if seeds is not None:
        slip(lambda: Study(make_flow()).plan(seeds=seeds))


# -- presets and settings -----------------------------------------------------------------------


def test_a_setting_wins_over_the_file_and_the_file_over_a_preset():
    study = Study(make_flow(), presets={"p": Preset(set={"x.value": 1, "y.by": 1, "m.name": "p"})})
    study.overrides = {"y.by": 2, "m.name": "file"}
    plan = study.plan("p", set={"m.name": "set"})

    assert (params(plan, "x")["value"], params(plan, "y")["by"]) == (1.0, 2.0)
    assert params(plan, "m")["name"] == "set"


def test_without_a_preset_the_study_is_as_it_was_written_but_for_the_file():
    study = Study(make_flow(), presets={"p": Preset(set={"x.value": 1})})
    study.overrides = {"y.by": 7}

    assert params(study.plan(), "x")["value"] == 3.0
    assert params(study.plan(), "y")["by"] == 7.0


def test_a_file_may_name_the_preset_and_the_caller_another():
    presets = {"a": Preset(set={"x.value": 1}), "b": Preset(set={"x.value": 2})}
    study = Study(make_flow(), presets=presets)
    study.preset = "a"

    assert params(study.plan(), "x")["value"] == 1.0
    assert params(study.plan("b"), "x")["value"] == 2.0


def test_seeds_of_the_caller_win_over_those_of_the_preset_and_those_over_the_studys():
    presets = {"p": Preset(seeds=[4, 5]), "q": Preset()}
    study = Study(make_flow(), seeds=3, presets=presets)

    assert [t.seed for t in study.plan("p").trials] == [4, 5]
    assert [t.seed for t in study.plan("p", seeds=1).trials] == [0]
    assert len(study.plan("q").trials) == 3


def test_a_preset_may_keep_some_of_the_choices_in_their_order():
    study = Study(
        make_flow(),
        decisions={"by": sweep("y.by", [1.0, 2.0, 3.0]), "size": sweep("x.value", [1.0, 5.0])},
        presets={"p": Preset(only={"by": [3.0, 1.0]})},
    )
    plan = study.plan("p")

    assert list(dict.fromkeys(t.choices["by"] for t in plan.trials)) == [1.0, 3.0]
    assert len(plan.trials) == 4


def test_a_setting_may_be_for_the_component_of_one_choice():
    decisions = {"way": {"scaled": [], "shifted": use("y", toys.shift, amount=4.0)}}
    study = Study(make_flow(), decisions=decisions)
    plan = study.plan(set={"y.amount": 8.0})

    assert params(plan, "y", 0) == {"by": 2.0, "unit": "m"}
    assert params(plan, "y", 1) == {"amount": 8.0}


def test_a_setting_of_the_members_of_an_each_is_their_new_list():
    flow = Workflow("flow")
    members = flow.each("e", toys.number, over={"value": [1, 2, 3]})
    flow.step("m", toys.measure, x=flow.step("t", toys.total, xs=members))

    assert len(Study(flow).plan(set={"e.value": [5, 6]}).trials[0].nodes["e"]) == 2
    assert "e.value: 5 is not a list" in slip(lambda: Study(flow).plan(set={"e.value": 5}))


def test_what_a_decision_varies_cannot_be_set():
    study = Study(
        make_flow(),
        decisions={
            "by": {"two": use("y", toys.scale, by=2.0), "three": use("y", toys.scale, by=3.0)},
            "size": sweep("x.value", [1, 2]),
        },
    )

    assert "y.by is varied by decision 'by'" in slip(lambda: study.plan(set={"y.by": 5}))
    assert len(study.plan(set={"y.unit": "ft"}).trials) == 4


@pytest.mark.parametrize("kind", ["grid", "zip", "lhs"])
def test_a_value_given_to_a_varied_parameter_settles_the_decision(kind):
    decisions = {"size": sweep("x.value", [1, 2, 3]), "by": sweep("y.by", [2.0, 3.0, 4.0])}
    sampler = Sampler(kind, n=3 if kind == "lhs" else 0)
    plan = Study(make_flow(), decisions=decisions, sampler=sampler).plan(set={"x.value": 5})

    assert [t.choices["size"] for t in plan.trials] == [5, 5, 5]
    assert sorted(t.choices["by"] for t in plan.trials) == [2.0, 3.0, 4.0]
    assert [list(t.choices) for t in plan.trials] == [["size", "by"]] * 3
    assert {params(plan, "x", t.number)["value"] for t in plan.trials} == {5.0}


def test_a_range_is_settled_by_a_value_too_and_a_wrong_value_is_refused():
    study = Study(make_flow(), decisions={"by": span("y.by", 1, 2)}, sampler=Sampler("lhs", n=4))

    assert [t.choices for t in study.plan(set={"y.by": 7}).trials] == [{"by": 7}]
    assert "y.by: 'x' is refused" in slip(lambda: study.plan(set={"y.by": "x"}))


def test_a_seed_is_chosen_for_the_study_and_not_for_a_step():
    study = Study(seeded_flow())

    assert "a.seed comes from the seeds of the study" in slip(lambda: study.plan(set={"a.seed": 1}))


def test_components_that_differ_in_a_default_may_be_given_one_value():
    study = Study(make_flow(), decisions={"way": {"one": [], "two": use("y", toys.scale)}})

    assert params(study.plan(set={"y.by": 5}), "y", 1)["by"] == 5.0


def test_laying_out_changes_nothing_in_the_study():
    study = Study(
        make_flow(),
        decisions={"by": sweep("y.by", [2.0, 3.0])},
        presets={"p": Preset(set={"x.value": 1}, only={"by": [3.0]}, seeds=2)},
    )
    before = study.plan()
    study.plan("p", set={"m.name": "other"})

    assert study.plan().nodes == before.nodes
    assert study.flow.steps["x"].params == {"value": 3.0}


# -- slips --------------------------------------------------------------------------------------


SWEEP = {"by": sweep("y.by", [2.0, 3.0])}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Study(Workflow("w")), "w: has no steps"),
        (lambda: Study(make_flow(), name="a b"), "'a b' is not a name"),
        (lambda: Study(make_flow(), name="../up"), "'../up' is not a name"),
        (lambda: Study(make_flow(), name="n" * 300), "is too long; expected at most 200 bytes"),
        (lambda: Study(make_flow(), name="é" * 150), "is too long"),
        (
            lambda: Study(make_flow(), decisions={"d": sweep("yy.by", [1])}),
            "decision 'd': flow: no step 'yy'. Did you mean 'y'?",
        ),
        (
            lambda: Study(make_flow(), decisions={"d": sweep("y.bye", [1])}),
            "decision 'd': y: no parameter of scale is named 'bye'. Did you mean 'by'?",
        ),
        (lambda: Study(make_flow(), decisions={"d": span("y.bye", 1, 2)}), "named 'bye'"),
        (lambda: Study(make_flow(), decisions={"d": use("y", toys.both)}), "is not a decision"),
        (lambda: Study(make_flow(), decisions={"d d": SWEEP["by"]}), "'d d' is not a name"),
        (lambda: Study(make_flow(), decisions={7: SWEEP["by"]}), "7 is not a name"),
        (lambda: Study(make_flow(), decisions={"value": SWEEP["by"]}), "'value': has the name"),
        (
            lambda: Study(make_flow(), decisions={**SWEEP, "too": sweep("y.by", [1])}),
            "flow: decisions 'by' and 'too' both change y.by",
        ),
        (
            lambda: Study(
                make_flow(),
                decisions={"a": {"u": use("y", toys.shift)}, "b": {"v": use("y", toys.scale)}},
            ),
            "decisions 'a' and 'b' both change y",
        ),
        (lambda: Study(make_flow(), presets={"p": Preset(set={"y.bye": 1})}), "preset 'p': y: no"),
        (lambda: Study(make_flow(), presets={"p": Preset(set={1: 1})}), "1 names no parameter"),
        (lambda: Study(make_flow(), presets={"p": Preset(set={"y": 1})}), "'y' names no parameter"),
        (lambda: Study(make_flow(), presets={"p": Preset(seeds=0)}), "preset 'p': seeds: 0 is"),
        (lambda: Study(make_flow(), presets={1: Preset()}), "flow, presets: 1 is not a name"),
        (
            lambda: Study(make_flow(), decisions=SWEEP, presets={"p": Preset(set={"y.by": 1})}),
            "preset 'p': y.by is varied by decision 'by'. Set another parameter",
        ),
        (
            lambda: Study(make_flow(), decisions=SWEEP, presets={"p": Preset(only={"bye": [1]})}),
            "preset 'p': flow: no decision is named 'bye'. Did you mean 'by'?",
        ),
        (
            lambda: Study(make_flow(), decisions=SWEEP, presets={"p": Preset(only={"by": [4.0]})}),
            "decision 'by': [4.0] are not all choices; expected a list of 2.0, 3.0",
        ),
        (
            lambda: Study(make_flow(), decisions=SWEEP, presets={"p": Preset(only={"by": 2.0})}),
            "decision 'by': 2.0 are not all choices",
        ),
        (
            lambda: Study(make_flow(), decisions=SWEEP, presets={"p": Preset(only={"by": None})}),
            "None are not all choices",
        ),
        (
            lambda: Study(
                make_flow(),
                decisions={"d": span("y.by", 1, 2)},
                presets={"p": Preset(only={"d": [1]})},
            ),
            "decision 'd': a range has no choices to keep",
        ),
        (
            lambda: Study(make_flow(), claims=[make_claim(), make_claim()]),
            "flow: two claims are named 'C1'",
        ),
        (
            lambda: Study(
                make_flow(),
                claims=[make_claim()],
                checks=[Check(id="C1", sentence="s", source="s", measure="result", at_most=1)],
            ),
            "two claims are named 'C1'",
        ),
        (
            lambda: Study(
                make_flow(), decisions={"by": sweep("y.by", [2.0, 4.0])}, claims=[make_claim()]
            ),
            "claim 'C1': no choice 3.0",
        ),
    ],
)
def test_a_study_that_does_not_fit_its_workflow_is_refused(build, message):
    assert message in slip(build)


def open_flow():
    flow = Workflow("flow")
    flow.step("m", toys.measure, x=flow.input("depth"))
    return flow


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (lambda s: s.plan("tinny"), "flow: no preset 'tinny'. Did you mean 'tiny'?"),
        (lambda s: s.plan(""), "no preset ''"),
        (lambda s: s.plan(set={"yy.by": 1}), "flow: no step 'yy'"),
        (lambda s: s.plan(set={"y.unti": 1}), "y: no parameter of scale is named 'unti'. Did you"),
        (lambda s: s.plan(set={"unit": "m"}), "'unit' names no parameter; expected step.parameter"),
        (lambda s: s.plan(set={"y.": "m"}), "'y.' names no parameter"),
        (lambda s: s.plan(set={"y.unit": "km"}), "y.unit: 'km' is refused; expected 'm' or 'ft'"),
        (lambda s: s.plan(set={"x.value": "a lot"}), "x.value: 'a lot' is refused; expected a num"),
        (lambda s: s.plan(set={"y.x": 1}), "y: no parameter of scale is named 'x'"),
        (lambda s: s.plan(set={"y.by": "1 m"}), "y.by: '1 m' is refused"),
        (lambda s: s.plan(seeds=60_000), "flow: 120,000 trials; expected at most 100,000"),
        (lambda s: Study(open_flow()).plan(), "flow: input 'depth' is open. Feed it by using"),
    ],
)
def test_a_slip_in_what_is_asked_for_is_told_before_anything_runs(plan, message):
    study = Study(make_flow(), decisions=SWEEP, presets={"tiny": Preset()})

    assert message in slip(lambda: plan(study))


def test_a_setting_that_reaches_no_trial_is_told():
    study = Study(
        make_flow(),
        decisions={"way": {"scaled": [], "shifted": use("y", toys.shift)}},
        presets={"p": Preset(only={"way": ["scaled"]})},
    )

    assert slip(lambda: study.plan("p", set={"y.amount": 1})).startswith(
        "flow: no trial has the parameter y.amount"
    )


def test_a_claim_about_something_that_is_no_decision_is_let_through():
    """It may be a key that only the records have."""
    Study(make_flow(), claims=[make_claim(estimand=mean("result"))])
    Study(make_flow(), claims=[make_claim()])


# -- common random numbers ----------------------------------------------------------------------


def seeded_flow():
    flow = Workflow("flow")
    for name in ("a", "b"):
        flow.step(f"measure_{name}", toys.measure_sample, sample=flow.step(name, toys.draw))
    return flow


def test_compared_trials_share_their_random_numbers_and_steps_do_not():
    study = Study(seeded_flow(), decisions={"count": sweep("a.count", [3, 4])}, seeds=2)
    plan = study.plan()
    seeds = {
        (step, t.choices["count"], t.seed): params(plan, step, t.number)["seed"]
        for step in "ab"
        for t in plan.trials
    }

    assert seeds["a", 3, 0] == seeds["a", 4, 0] != seeds["a", 3, 1] == seeds["a", 4, 1]
    assert len({seeds["a", 3, 0], seeds["a", 3, 1], seeds["b", 3, 0], seeds["b", 3, 1]}) == 4


def test_an_exchanged_component_draws_the_same_seed():
    decisions = {"way": {"as it is": [], "again": use("a", toys.draw, count=2)}}
    plan = Study(seeded_flow(), decisions=decisions).plan()

    assert params(plan, "a", 0)["seed"] == params(plan, "a", 1)["seed"]
    assert params(plan, "a", 0)["count"] != params(plan, "a", 1)["count"]


def test_only_a_component_that_declares_a_seed_depends_on_the_seed():
    plan = Study(make_flow(), seeds=5).plan()

    assert len(plan.trials) == 5
    assert len(plan.nodes) == 3


def test_a_seed_that_is_given_stays():
    plan = Study(seeded_flow().with_value("a.seed", 11), seeds=2).plan()

    assert params(plan, "a", 0)["seed"] == params(plan, "a", 1)["seed"] == 11


def test_a_derived_seed_suits_every_library_and_lasts():
    seeds = {derive_seed(s, step, {}) for s in range(200) for step in ("a", "b", "a/b")}

    assert len(seeds) == 600
    assert all(0 <= s < 2**32 for s in seeds)
    for seed in seeds:
        np.random.default_rng(seed)
    assert max(seeds) > 2**31 > min(seeds)


def test_a_study_runs_and_says_what_came_of_it(tmp_path):
    claim = make_claim(deterministic=True)
    study = Study(make_flow(), decisions=SWEEP, claims=[claim], seeds=2)
    run = study.run(workers=0, progress=False, report=False, store=tmp_path, set={"x.value": 5.0})

    assert run.ok
    assert sorted(run.records["value"]) == [10.0, 10.0, 15.0, 15.0]
    assert run.summary["overrides"] == {"x.value": 5.0}
    assert [c["verdict"] for c in run.claims] == ["holds"]
    assert isinstance(run.load("y", trial=0), float)
    with pytest.raises(UsageError, match="no preset"):
        study.run("p", store=tmp_path)
