"""Studies as YAML: the same objects in another spelling, and one line for whatever is wrong."""

import sys
from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from assay.core.claims import Check, Claim
from assay.core.component import component
from assay.core.decisions import Preset, Sampler, assign, span, sweep, use
from assay.core.estimands import difference, mean, ratio, trend
from assay.core.files import (
    read_study,
    study_from_dict,
    study_to_dict,
    to_yaml,
    workflow_from_dict,
    workflow_to_dict,
)
from assay.core.markup import read_yaml, write_yaml
from assay.core.steps import Ref
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.errors import AssayError, UsageError, WorkflowError
from core import toys


class Nested(BaseModel):
    rate: float = 0.1
    when: date = date(2020, 1, 1)


@component
def many_kinds(
    *,
    text: str = "",
    number: float = 0.0,
    whole: int | None = None,
    flag: bool = False,
    items: list[str | float] = [],  # noqa: B006 - never changed
    table: dict[str, float] = {},  # noqa: B006
    nested: Nested = Nested(),  # noqa: B008
    when: date | None = None,
) -> float:
    return number


@component
def twice(x: float) -> float:
    return 2 * x


def again(study):
    """A study written to YAML and read back."""
    return study_from_dict(read_yaml(to_yaml(study)))


def parts(study):
    """All that a study is."""
    names = ("name", "title", "decisions", "sampler", "seeds", "claims", "checks", "presets",
             "figures", "preset", "overrides")  # fmt: skip
    flow = study.flow
    return {n: getattr(study, n) for n in names} | {
        "steps": flow.steps, "order": list(flow.steps), "outputs": flow.outputs,
        "inputs": flow.inputs, "axes": flow.axes(), "flow": flow.name,
    }  # fmt: skip


def small_flow():
    flow = Workflow("small")
    x = flow.step("x", toys.number, value=3.0)
    flow.step("m", toys.measure, x=flow.step("y", toys.scale, x=x))
    return flow


# -- round trips --------------------------------------------------------------------------------


def whole_study():
    """Something of everything."""
    inner = Workflow("inner")
    e = inner.each("e", toys.shift, x=inner.input("x"), over={"amount": [1.5, 2]}, min_ok=1)
    inner.output("sum", inner.step("t", toys.total, xs=e))
    flow = Workflow("whole")
    x = flow.step("x", toys.number, value=3.0)
    made = flow.step("made", inner, x=x)
    cut = flow.step("cut", toys.halve, x=made)
    y = flow.step("y", toys.scale, x=cut.low, unit="ft")
    flow.step("m", toys.measure, x=flow.step("z", toys.both, x=y, y=x))
    flow.step("s", toys.measure_sample, sample=flow.step("d", toys.draw))
    flow.output("high", cut.high)
    measure = "result"
    return Study(
        flow, title="Über: #1 'quoted'", seeds=[3, 1],
        decisions={
            "by": sweep("y.by", [1.0, 2.5]),
            "count": sweep("d.count", [2, 3]),
            "way": {"kept": [], "shifted": [use("z", toys.shift, amount=4.0), assign("m.name", "")],
                    "joined": use("z", toys.both, y=Ref("cut", "high"))},
            "many": {1: assign("made/e.amount", [1.0]), 2: assign("made/e.amount", [1.0, 2.0])},
        },
        claims=[
            Claim(id="C1", sentence="a: b", source="t", estimand=mean(measure), direction="above"),
            Claim(id="C2", sentence="s", source="t", estimand=difference(measure, "by", 2.5, 1.0),
                  direction="within", margin=0.5, design={"effect": 0.1, "spread": 0.2}),
            Claim(id="C3", sentence="s", source="t", estimand=ratio(measure, "way", "kept",
                  "shifted"), direction="below", unit=("seed", "many")),
            Claim(id="C4", sentence="s", source="t", estimand=trend(measure, "by"),
                  direction="above", deterministic=True),
        ],
        checks=[Check(id="K1", sentence="s", source="t", measure="draw", at_least=0, at_most=1.0)],
        presets={"tiny": Preset(set={"x.value": 1.0}, seeds=1, only={"by": [1.0]}, note="On: off"),
                 "list": Preset(seeds=[4, 5])},
        figures="core.test_files:no_figures",
    )  # fmt: skip


def test_a_study_survives_the_way_to_yaml_and_back():
    study = whole_study()
    study.preset, study.overrides = "tiny", {"x.value": 2.0}
    made = again(study)

    assert parts(made) == parts(study)
    assert to_yaml(made) == to_yaml(study)
    assert list(made.plan().nodes) == list(study.plan().nodes)
    assert [t.choices for t in made.plan("list").trials] == [
        t.choices for t in study.plan("list").trials
    ]


def test_a_drawn_study_survives():
    study = Study(
        small_flow(),
        decisions={"by": span("y.by", 0.1, 10.0, log=True), "v": span("x.value", -1.0, 1.0)},
        sampler=Sampler("sobol", n=8, seed=3),
    )

    assert parts(again(study)) == parts(study)
    assert list(again(study).plan().nodes) == list(study.plan().nodes)


def test_every_kind_of_parameter_survives():
    flow = Workflow("kinds")
    values = {
        "text": "no", "number": 1e-3, "whole": None, "flag": True, "items": ["1", 1.0, "~", "1e3"],
        "table": {"a": 1.0, "yes": 2.0}, "nested": Nested(rate=0.5, when=date(2021, 2, 3)),
        "when": date(2020, 5, 17),
    }  # fmt: skip
    flow.step("k", many_kinds, **values)
    made = again(Study(flow))

    assert made.flow.steps["k"].component.validate(
        made.flow.steps["k"].params, "k"
    ) == many_kinds.__assay__.validate(values, "k")
    assert list(made.plan().nodes) == list(Study(flow).plan().nodes)


def test_a_python_value_that_no_file_can_hold_is_refused_when_written():
    flow = Workflow("flow")
    flow.step("k", many_kinds, text={1, 2})

    with pytest.raises(WorkflowError, match="a value of type set cannot be written to a file"):
        to_yaml(Study(flow))


def test_a_component_without_a_name_cannot_be_written():
    @component
    def inside(x: float) -> float:
        return x

    flow = small_flow()
    flow.step("i", inside, x=Ref("x"))
    with pytest.raises(WorkflowError, match="component 'inside' has no name that a file could"):
        to_yaml(Study(flow))


# a workflow drawn at random: each step is fed by earlier ones
numbers = st.floats(allow_nan=False, allow_infinity=True) | st.integers(-(2**70), 2**70)
texts = st.text(max_size=12)


@st.composite
def workflows(draw):
    flow = Workflow("drawn")
    single, several = [flow.step("s0", toys.number, value=draw(numbers))], []
    for n in range(1, draw(st.integers(1, 7))):
        kind, name = draw(st.sampled_from(["one", "each", "over", "gather", "both"])), f"s{n}"
        x = draw(st.sampled_from(single))
        if kind == "one":
            cut = flow.step(name, toys.halve, x=x)
            single.append(draw(st.sampled_from([cut.low, cut.high])))
        elif kind == "over":
            lists = {"by": draw(st.lists(numbers, min_size=1, max_size=3))}
            several.append(flow.each(name, toys.scale, x=x, over=lists, unit="ft"))
        elif kind == "each" and several:
            least = draw(st.none() | st.just(1))
            source = draw(st.sampled_from(several))
            several.append(flow.each(name, toys.shift, x=source, min_ok=least))
        elif kind == "gather" and several:
            chosen = draw(st.lists(st.sampled_from([*single, *several]), min_size=1, max_size=3))
            single.append(flow.step(name, toys.total, xs=chosen))
        else:
            single.append(flow.step(name, toys.both, x=x, y=draw(st.sampled_from(single))))
    flow.step("text", many_kinds, text=draw(texts), items=draw(st.lists(texts | numbers)),
              table=draw(st.dictionaries(texts, numbers, max_size=3)))  # fmt: skip
    if draw(st.booleans()):
        flow.output(draw(st.sampled_from(["o", "out-1", "名"])), draw(st.sampled_from(single)))
    return flow


@given(workflows(), texts, st.integers(1, 3))
def test_any_workflow_survives_the_way_to_yaml_and_back(flow, title, seeds):
    study = Study(flow, title=title, seeds=seeds)
    made = again(study)

    assert parts(made) == parts(study)
    assert workflow_to_dict(made.flow) == workflow_to_dict(flow)
    assert list(made.plan().nodes) == list(study.plan().nodes)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.text()
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def typed(tree):
    """Plain data in which 1, 1.0 and True differ."""
    if isinstance(tree, dict):
        return {k: typed(v) for k, v in tree.items()}
    return [typed(v) for v in tree] if isinstance(tree, list) else (type(tree), tree)


@given(plain)
@example({"on": "off", "no": "yes", "~": "null", "1": 1, "12:30": "2020-01-01", "=": "<<"})
@example(["1e3", "0o17", "0x1f", ".inf", "-.5", "1_000", "+1", "0b1", "1:2", "&a", "*a", "!x"])
@example(["\x85", "\u2028", "\ufeff", "\t", " a ", "a\n\nb", "# c", "'", '"', "\U0001f30a", "\x1b"])
def test_plain_data_survive_with_their_types(data):
    assert typed(read_yaml(write_yaml(data))) == typed(data)


@given(plain)
def test_what_is_written_any_reader_of_yaml_reads_the_same(data):
    assert typed(yaml.safe_load(write_yaml(data))) == typed(data)


# -- spellings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("no", "no"), ("12:30", "12:30"), ("2020-01-01", "2020-01-01"),
        ("1e-3", 1e-3), ("1_000", "1_000"), ("010", 10), ("0o10", 8), ("0x1F", 31), ("~", None),
        ("", None), ("True", True), ("yes", "yes"), (".5", 0.5), ("-.INF", float("-inf")),
        ("'1'", "1"), ("<<", "<<"), ("- a", ["a"]), ("{a: 1}", {"a": 1}), ("\ufeffa: 1", {"a": 1}),
    ],
)  # fmt: skip
def test_scalars_mean_what_yaml_1_2_says(text, value):
    assert typed(read_yaml(text)) == typed(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: *a", "line 2: aliases (& and *) are refused"),
        ("a: &x [1]\nb: 2", "line 1: aliases"),
        ("a: 1\n<<: &x {b: 1}", "line 2: aliases"),
        ("a: 1\na: 2", "line 2: 'a' is written twice (first in line 1)"),
        ("a: {b: 1,\n    b: 2}", "line 2: 'b' is written twice"),
        ("1: a\n1.0: b", "line 2: 1.0 is written twice"),
        ("a: !!python/object/apply:os.system ['x']", "line 1: tags (!) are refused"),
        ("a: !!python/name:os.system", "line 1: tags (!) are refused"),
        ("\n!!set {a, b}", "line 2: tags"),
        ("!!timestamp foo", "line 1: tags"),
        ("!!bool foo", "line 1: tags"),
        ("!!map [1]", "line 1: tags"),
        ("a: 1\n[b]: 2", "line 2: ['b'] is not a key; expected a text"),
        ("a: 1\n? {c: 2}\n: 3", "line 2: {'c': 2} is not a key"),
        ("~: 1", "line 1: None is not a key"),
        ("a: 1\n b: 2", "line 2: "),
        ("a:\n\t- b", "line 2: found character '\\t'"),
        ("a: 'b", "line 1: "),
        ("a: [1, 2", "line 1: "),
        ("a: b: c", "line 1: mapping values are not allowed here"),
        ("a: 1\n--- \nb: 2", "line 2: but found another document"),
        ("a: 1\nb: \x00", "line 2: character #x0000 is not allowed"),
        ("a: 1\n\nb: \x1b[1m", "line 3: character #x001b is not allowed"),
        ("[" * 60, "line 1: nested too deeply"),
        ("[" * 500_000, "line 1: nested too deeply"),
        ("\n".join("  " * n + "a:" for n in range(60)), "line 51: nested too deeply"),
        ("- " * 60, "nested too deeply"),
        ("9" * 5000, "line 1: a number of more than 300 digits"),
        ("0x" + "f" * 5000, "a number of more than 300 digits"),
        ("a" * 1_000_001, "is too long for a study; expected 1,000,000 characters"),
        ("%YAML 3.0\n---\na", "line 1: found incompatible YAML document"),
    ],
)
def test_yaml_that_is_none_or_could_run_or_grow_is_refused_with_its_line(text, message):
    with pytest.raises(UsageError) as caught:
        read_yaml(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mapping_knows_the_lines_of_its_keys():
    assert read_yaml("# c\na: 1\n\nb:\n  c: 2\n").lines == {"a": 2, "b": 4}


# -- files --------------------------------------------------------------------------------------


GOOD = """\
name: good
workflow:
  steps:
    x: {use: "core.toys:number", with: {value: 3.0}}
    y: {use: "core.toys:scale", in: {x: x}}
    m: {use: "core.toys:measure", in: {x: y}}
decisions:
  by: {sweep: y.by, values: [2.0, 3.0]}
presets:
  tiny: {set: {x.value: 1}, seeds: 1, note: Short.}
seeds: 2
"""


@pytest.fixture
def study_file(tmp_path, monkeypatch):
    """Write a study file and read it."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def read(text, name="study.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_study(path)

    read.folder = tmp_path
    return read


def slip(call):
    """The one line that a mistake gives."""
    with pytest.raises(AssayError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 700
    return text


def test_a_file_is_the_study_that_python_would_build(study_file):
    study = study_file(GOOD)
    same = Study(
        small_flow(), name="good", seeds=2, decisions={"by": sweep("y.by", [2.0, 3.0])},
        presets={"tiny": Preset(set={"x.value": 1}, seeds=1, note="Short.")},
    )  # fmt: skip
    same.flow.name = "good"

    assert parts(study) == parts(same)
    assert len(study.plan().trials) == 4


def test_steps_may_stand_in_any_order(study_file):
    lines = GOOD.splitlines()
    turned = "\n".join([*lines[:3], lines[5], lines[4], lines[3], *lines[6:]])

    assert list(study_file(turned).flow.steps) == ["x", "y", "m"]


def test_components_beside_the_file_are_found_and_paths_start_from_it(study_file, monkeypatch):
    folder = study_file.folder
    (folder / "beside_the_file.py").write_text(
        "from assay import component\n@component\ndef one() -> float:\n    return 1.0\n"
    )
    (folder / "data").mkdir()
    (folder / "data" / "a.txt").write_text("abc")
    monkeypatch.chdir("/")
    study = study_file(
        "workflow:\n  steps:\n    one: {use: 'beside_the_file:one'}\n"
        "    l: {use: 'core.toys:length', with: {path: data/a.txt, others: [data/a.txt]}}\n"
        "    c: {use: 'core.toys:count_files', with: {folder: data}}\n"
        "decisions:\n  file: {sweep: l.path, values: [data/a.txt]}\n"
        "presets: {p: {set: {c.folder: data}}}\nset: {l.others: []}\n"
    )
    plan = study.plan("p")
    given = {n.step: n.params for n in plan.nodes.values()}

    assert given["l"]["path"] == folder / "data" / "a.txt"
    assert given["l"]["others"] == ()
    assert given["c"]["folder"] == folder / "data"
    assert [t.choices for t in plan.trials] == [{"file": "data/a.txt"}]


def test_a_nested_workflow_may_be_written_inside(study_file):
    study = study_file(
        "workflow:\n  steps:\n    x: {use: 'core.toys:number'}\n"
        "    made:\n      in: {depth: x}\n      workflow:\n        inputs: [depth]\n"
        "        steps: {s: {use: 'core.toys:scale', in: {x: inputs.depth}}}\n"
        "        outputs: {o: s}\n"
        "    m: {use: 'core.toys:measure', in: {x: made.o}}\n"
    )

    assert list(study.flow.steps) == ["x", "made/s", "m"]
    assert parts(again(study))["steps"] == study.flow.steps


def test_each_over_and_gather_are_read(study_file):
    study = study_file(
        "workflow:\n  steps:\n"
        "    a: {use: 'core.toys:number', over: {value: [1, 2, 3]}, min_ok: 2}\n"
        "    b: {use: 'core.toys:shift', each: true, in: {x: a}}\n"
        "    t: {use: 'core.toys:total', in: {xs: [b, a]}}\n"
    )

    assert study.flow.axes() == {"a": ("a",), "b": ("a",), "t": ()}
    assert study.flow.steps["a"].min_ok == 2
    assert study.flow.steps["t"].inputs == {"xs": (Ref("b"), Ref("a"))}


HEAD = "workflow:\n  steps:\n    x: {use: 'core.toys:number'}\n"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "", "study: nothing stands there; expected a mapping"),
        ("# only a comment\n", "", "study: nothing stands there"),
        ("- a\n- b\n", "", "study: a list stands there; expected a mapping"),
        ("just words", "", "study: a str stands there"),
        ("3", "", "study: a int stands there"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "", "cannot be read (it is not text); expected a YAML file"),
        (b"\x00\x01\x02", "line 1", "character #x0000 is not allowed"),
        ("name: a\n", "", "no workflow; expected a key `workflow` or `study`"),
        (GOOD + "seedss: 3\n", "line 12", "study: unknown key 'seedss'. Did you mean 'seeds'?"),
        (GOOD + "seeds: 3\n", "line 12", "'seeds' is written twice (first in line 11)"),
        (GOOD + "  title: x\n", "line 12", ""),
        (GOOD + "1: 2\n", "line 12", "unknown key 1"),
        (GOOD.replace("  by:", "  by :x"), "line 8", ""),
        (GOOD.replace("seeds: 2", "seeds: two"), "", "good: 'two' is neither a number of seeds"),
        (GOOD.replace("seeds: 2", "seeds: 0"), "", "0 is neither a number of seeds"),
        (GOOD.replace("seeds: 2", f"seeds: {10**30}"), "", "seeds; expected at most 100,000"),
        (GOOD.replace("name: good", "name: [a]"), "", "\"['a']\" is not a name"),
        (GOOD.replace("name: good", "name: a/b"), "", "'a/b' is not a name"),
        (GOOD.replace("name: good", f"name: {'n' * 400}"), "", "is too long"),
        (GOOD.replace("toys:scale", "toys:scael"), "line 5", "has no component 'scael'. Did you"),
        (GOOD.replace("core.toys:scale", "corr.toys:scale"), "line 5", "no module 'corr'"),
        (GOOD.replace("core.toys:scale", "scale"), "line 5", "'scale' names no component; expec"),
        (GOOD.replace("core.toys:scale", "os:system"), "line 5", "system is not a component"),
        (GOOD.replace("core.toys:scale", "builtins:eval"), "line 5", "eval is not a component"),
        (GOOD.replace("in: {x: x}", "in: {x: xx}"), "line 5", "no step 'xx'. Did you mean 'x'?"),
        (GOOD.replace("in: {x: x}", "in: {z: x}"), "line 5", "no input of scale is named 'z'"),
        (GOOD.replace(", in: {x: x}", ""), "line 5", "input 'x' of scale is not fed"),
        (GOOD.replace("in: {x: x}", "in: {x: m}"), "", "in a circle: y -> m -> y"),
        (GOOD.replace("in: {x: x}", "in: {x: y}"), "", "in a circle: y -> y"),
        (GOOD.replace("in: {x: x}", "in: x"), "line 5", "step 'y', in: a str stands there"),
        (GOOD.replace("in: {x: x}", "in: {x: 3}"), "line 5", "no step '3'"),
        (GOOD.replace("in: {x: x}", "in: {x: x.low}"), "line 5", "no output of step 'x' is named"),
        (GOOD.replace("in: {x: x}", "in: {x: inputs.q}"), "line 5", "no workflow input is named"),
        (GOOD.replace("value: 3.0", "valeu: 3.0"), "line 4", "named 'valeu'. Did you mean 'value'"),
        (GOOD.replace("{value: 3.0}", "[3.0]"), "line 4", "step 'x', with: a list stands there"),
        (GOOD.replace("with: {value: 3.0}", "whit: {}"), "line 4", "unknown key 'whit'. Did you"),
        (GOOD.replace("with: {value: 3.0}", "each: maybe"), "line 4", "each is 'maybe'; expected"),
        (GOOD.replace("with: {value: 3.0}", "each: true"), "line 4", "has neither `over` nor an"),
        (GOOD.replace("with: {value: 3.0}", "over: {value: 3}"), "line 4", "3 is not a list of me"),
        (GOOD.replace("with: {value: 3.0}", "over: {value: []}"), "line 4", "[] is not a list"),
        (GOOD.replace("with: {value: 3.0}", "min_ok: 1"), "line 4", "belong to `each`"),
        (GOOD.replace("{value: 3.0}", "{value: 3.0}, over: {value: [1]}"), "line 4", "given once"),
        (GOOD.replace("    x: {", "    x x: {"), "line 4", "'x x' is not a name"),
        (GOOD.replace("    x: {", "    1: {"), "line 4", "1 is not a name"),
        (GOOD.replace("    x: {", "    inputs: {"), "line 4", "'inputs' is not a name"),
        (GOOD.replace("sweep: y.by", "sweep: y.bye"), "", "decision 'by': y: no parameter of"),
        (GOOD.replace("sweep: y.by", "sweep: [y]"), "", "decision 'by'"),
        (GOOD.replace("sweep: y.by", "sweeep: y.by"), "line 8", "decision 'by': is not a decision"),
        (GOOD.replace("values: [2.0, 3.0]", "values: 2"), "line 8", "y.by: 2 is not a list of val"),
        (GOOD.replace("values: [2.0, 3.0]", "valeus: [2]"), "line 8", "'valeus'. Did you mean 'va"),
        (GOOD.replace(", values: [2.0, 3.0]", ""), "line 8", "[] is not a list of values"),
        (GOOD.replace("{sweep: y.by, values: [2.0, 3.0]}", "7"), "line 8", "a int stands there"),
        (GOOD.replace("x.value: 1", "x.valeu: 1"), "", "preset 'tiny': x: no parameter of number"),
        (GOOD.replace("x.value: 1", "1: 1"), "", "preset 'tiny': 1 names no parameter"),
        (GOOD.replace("{x.value: 1}", "[1]"), "line 10", "preset 'tiny', set: a list stands"),
        (GOOD.replace("seeds: 1,", "only: {by: 2.0},"), "", "2.0 are not all choices"),
        (GOOD.replace("seeds: 1,", "onyl: {},"), "line 10", "unknown key 'onyl'. Did you mean 'on"),
        (GOOD.replace("  tiny:", "  7:"), "", "presets: 7 is not a name"),
        (GOOD + "preset: small\n", "", "good: no preset is named 'small'"),
        (GOOD + "set: {y.unti: m}\n", "line 12", "y: no parameter of scale is named 'unti'"),
        (GOOD + "set: {2: m}\n", "line 12", "2 names no parameter"),
        (GOOD + "set: 7\n", "line 12", "set: a int stands there"),
        (GOOD + "sampler: {kind: sbol, n: 4}\n", "", "no sampler 'sbol'. Did you mean 'sobol'?"),
        (GOOD + "sampler: {kind: lhs}\n", "", "sampler 'lhs': needs a number of points"),
        (GOOD + "sampler: {kidn: lhs}\n", "line 12", "sampler: unknown key 'kidn'. Did you mean"),
        (GOOD + "sampler: lhs\n", "", "sampler: a str stands there"),
        (GOOD + "claims: {id: C1}\n", "", "is not a list"),
        (GOOD + "claims:\n  - 3\n", "", "claim"),
        (GOOD + "claims:\n  - {id: C1}\n", "line 13", "claim 'C1'"),
        (GOOD + "checks:\n  - {id: K1, at_mots: 3}\n", "line 13", "'K1'"),
        (HEAD + "  outputs: {o: y}\n", "", "no step 'y'"),
        (HEAD + "  outputs: [x]\n", "", "workflow.outputs: a list stands there"),
        (HEAD + "  inputs: x\n", "", "'x' is not a list"),
        (HEAD + "  inputs: [[x]]\n", "", "is not a name"),
        (HEAD + "  stpes: {}\n", "line 4", "unknown key 'stpes'. Did you mean 'steps'?"),
        ("workflow: 3\n", "", "workflow: a int stands there"),
        ("workflow:\n", "", "workflow: nothing stands there"),
        ("workflow: {steps: }\n", "", "workflow.steps: nothing stands there"),
        ("workflow: {steps: {}}\n", "", "study: has no steps"),
        ("workflow: {steps: {x: }}\n", "line 1", "step 'x': nothing stands there"),
        ("workflow: {steps: {x: {}}}\n", "line 1", "no component; expected use: module:function"),
        (HEAD.replace("number'", "number', in: {y: x}"), "", "in a circle: x -> x"),
        ("study: no_such_system\n", "", "no system 'no_such_system'"),
        ("study: climate_impact/no\n", "", "no study 'no'"),
        ("study: climate_impact\nworkflow: {}\n", "line 2", "study: unknown key 'workflow'"),
        ("study: climate_impact\nseeds: many\n", "line 2", "'many' is neither a number of seeds"),
        ("study: climate_impact\npreset: hueg\n", "", "no preset is named 'hueg'"),
        ("study: [1]\n", "", "no system"),
    ],
)  # fmt: skip
def test_a_slip_in_a_file_is_one_line_that_names_file_and_line(study_file, text, place, message):
    said = slip(lambda: study_file(text))

    assert said.startswith(f"{study_file.folder / 'study.yaml'}: {place}")
    assert message in said


@pytest.mark.parametrize("name", ["absent.yaml", ".", "a\0b.yaml", "n" * 300])
def test_a_file_that_cannot_be_opened_is_told(tmp_path, name):
    assert "cannot be read" in slip(lambda: read_study(tmp_path / name))


def test_a_slip_in_a_value_names_step_and_parameter(study_file):
    study = study_file(GOOD.replace("value: 3.0", "value: three"))

    assert slip(study.plan).startswith("x.value: 'three' is refused; expected a number")


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ("{a: [{set: y.by}]}", "a patch is incomplete; expected keys `set` and `to`, or `at`"),
        ("{a: [{at: y}]}", "a patch is incomplete"),
        ("{a: [{set: y.by, to: 1, at: y}]}", "unknown key 'at'"),
        ("{a: [{at: y, use: 'core.toys:shift', with: [1]}]}", "decision 'by', with: a list"),
        ("{a: [{at: y, use: 'core.toys:shfit'}]}", "no component 'shfit'. Did you mean 'shift'"),
        ("{a: [{at: y, use: 'core.toys:shift', with: {mount: 1}}]}", "named 'mount'. Did you mean"),
        ("{a: {set: y.by, to: 1}}", "is not a list"),
        ("{a: [3]}", "a int stands there"),
        ("[a]", "decision 'by', choices: a list stands there"),
        ("{}", "decision 'by': is not a decision"),
        ("{~: []}", "None is not a key"),
    ],
)  # fmt: skip
def test_a_slip_in_a_patch_is_told(study_file, choices, message):
    text = GOOD.replace("{sweep: y.by, values: [2.0, 3.0]}", f"{{choices: {choices}}}")

    assert message in slip(lambda: study_file(text))


def test_a_file_may_stand_on_a_study_that_exists(study_file):
    study = study_file("study: climate_impact/flood_risk\npreset: tiny\nseeds: [4]\n")
    plan = study.plan()

    assert study.preset == "tiny"
    assert {t.seed for t in plan.trials} == {4}


# -- whatever is written ------------------------------------------------------------------------


WORDS = [
    "name", "title", "workflow", "steps", "decisions", "sampler", "seeds", "claims", "checks",
    "presets", "figures", "preset", "set", "use", "with", "in", "over", "each", "min_ok", "inputs",
    "outputs", "sweep", "values", "span", "low", "high", "log", "choices", "at", "to", "only",
    "note", "kind", "n", "seed", "x", "y", "m", "by", "value", "x.value", "y.by", "unit", "tiny",
    "core.toys:number", "core.toys:scale", "core.toys:total", "core.toys:length", "study",
    "climate_impact", "climate_impact/flood_risk", "os:system", "lhs", "grid", "inputs.x", "a b",
    "<script>", "[bold]", "estimand", "mean", "measure", "id", "C1", "direction", "above",
]  # fmt: skip
words = st.sampled_from(WORDS) | st.text(max_size=5)
scalars = words | st.none() | st.booleans() | st.integers(-3, 10**40) | st.floats()
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | scalars, inner, max_size=4),
    max_leaves=25,
)


def replaced(data, tree, draw):
    """The data with one branch, drawn at random, replaced by the tree."""
    if not isinstance(data, dict | list) or not data or draw(st.integers(0, 4)) == 0:
        return tree
    if isinstance(data, list):
        n = draw(st.integers(0, len(data) - 1))
        return [replaced(v, tree, draw) if k == n else v for k, v in enumerate(data)]
    key = draw(st.sampled_from(list(data)))
    how = draw(st.integers(0, 4))
    if how == 0:  # another key
        return {**{k: v for k, v in data.items() if k != key}, draw(words): data[key]}
    if how == 1:  # a key too many
        return {**data, draw(words): tree}
    return {k: replaced(v, tree, draw) if k == key else v for k, v in data.items()}


def may_only_refuse(make):
    said = ""
    try:
        make().plan()
    except AssayError as error:
        said = str(error)
    assert "\n" not in said


@given(st.data())
def test_a_study_with_anything_anywhere_is_read_or_refused(data):
    base = study_to_dict(whole_study())
    broken = replaced(base, data.draw(trees), data.draw)

    may_only_refuse(lambda: study_from_dict(broken))


@given(trees)
def test_any_plain_data_are_read_or_refused(tree):
    may_only_refuse(lambda: study_from_dict(tree))
    may_only_refuse(lambda: study_from_dict({"workflow": tree}))
    may_only_refuse(lambda: study_from_dict({"workflow": {"steps": tree}}))


@given(st.data())
def test_any_text_is_read_or_refused(data):
    at, end = (data.draw(st.integers(0, len(GOOD))) for _ in range(2))
    noise = data.draw(
        st.text(max_size=8) | st.text(st.sampled_from("{}[]:,-?!&*#|>%@`'\"\n\t 01x~"), max_size=8)
    )
    text = GOOD[:at] + noise + GOOD[max(at, min(end, at + 12)) :]

    may_only_refuse(lambda: study_from_dict(read_yaml(text)))


@given(content=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path, content):
    path = tmp_path / "study.yaml"
    path.write_bytes(content)

    with pytest.raises(AssayError) as caught:
        read_study(path)
    assert str(path) in str(caught.value)


def test_nothing_is_run_by_reading(study_file, tmp_path):
    mark = tmp_path / "mark"
    for use_ in (f"os:system('touch {mark}')", "os:system", "subprocess:run"):
        slip(lambda use_=use_: study_file(GOOD.replace("core.toys:scale", use_)))
    slip(lambda: study_file(f"!!python/object/apply:os.system ['touch {mark}']"))

    assert not mark.exists()


def test_a_workflow_alone_can_be_read():
    flow = workflow_from_dict({"steps": {"x": {"use": "core.toys:number"}}}, name="alone")

    assert (flow.name, list(flow.steps)) == ("alone", ["x"])
    assert Path.cwd().exists()
