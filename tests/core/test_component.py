"""A signature is a declaration: what is read from it, what it refuses, what becomes of values."""

import pickle
import subprocess
import sys
from typing import Annotated, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.component import File, Folder, Seed, component, describe, find
from assay.errors import ParameterError, UsageError, WorkflowError
from core import toys
from core.toys import Settings


class Pair(NamedTuple):
    left: int
    right: str


class Clash(NamedTuple):
    step: int


def test_a_component_called_directly_is_the_plain_function():
    def double(x: int, *, times: int = 2) -> int:
        return x * times

    assert component(double) is double
    assert component(version="2")(double) is double
    assert double(4, times=3) == 12


def test_inputs_stand_before_the_star_and_parameters_after_it():
    made = describe(toys.scale)

    assert list(made.inputs) == ["x"]
    assert {name: p.default for name, p in made.params.items()} == {"by": 2.0, "unit": "m"}
    assert made.outputs == {"": float}
    assert made.summary == "Multiply."
    assert made.reference.endswith("toys:scale")


def test_the_fields_of_a_namedtuple_are_ports():
    assert describe(toys.halve).outputs == {"low": float, "high": float}


def test_an_input_may_be_left_open_or_gather():
    inputs = {**describe(toys.both).inputs, **describe(toys.total).inputs}

    assert [(p.optional, p.gathers) for p in inputs.values()] == [
        (False, False),
        (True, False),
        (False, True),
    ]
    assert inputs["xs"].type is float


def test_only_parameters_of_type_seed_are_seeds():
    @component
    def noisy(*, a: Seed, b: Seed | None = None, c: Annotated[Seed, "x"], seed: int = 0) -> float:
        return 0.0

    assert describe(noisy).seeds == ["a", "b"]
    assert describe(toys.draw).seeds == ["seed"]


def star(*values: int) -> int: ...
def stars(**values: int) -> int: ...
def positional(x: int, /) -> int: ...
def bare(x) -> int: ...
def silent(x: int): ...
def forgotten_star(x: int = 3) -> int: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (star, "*values: int is neither an input nor a parameter; expected named arguments"),
        (stars, "**values: int is neither an input nor a parameter; expected named arguments"),
        (positional, "input 'x' cannot be fed by name. Leave out the `/`."),
        (bare, "'x' has no type annotation"),
        (silent, "the value returned has no type annotation"),
        (forgotten_star, "input 'x' has the default 3; expected no default, or None"),
    ],
)
def test_a_signature_that_leaves_something_open_is_refused_at_once(function, message):
    with pytest.raises(WorkflowError) as refused:
        component(function)

    assert message in str(refused.value)
    assert str(refused.value).startswith(f"{function.__module__}:{function.__qualname__}: ")


def test_a_default_of_none_needs_a_type_that_allows_it():
    @component
    def wrong(x: int = None) -> int:  # noqa: RUF013
        return x

    with pytest.raises(WorkflowError, match=r"input 'x' is None, .*expected int \| None"):
        describe(wrong).inputs  # noqa: B018


def test_a_port_cannot_have_a_name_that_a_reference_has_itself():
    @component
    def wrong(x: int) -> Clash:
        return Clash(x)

    with pytest.raises(WorkflowError, match="an output cannot be named 'step'"):
        describe(wrong).outputs  # noqa: B018


def test_an_annotation_that_cannot_be_read_is_told():
    @component
    def wrong(x: "Nowhere") -> int:  # noqa: F821
        return 1

    with pytest.raises(WorkflowError, match=r"'Nowhere' is not defined\. Import the type"):
        describe(wrong).inputs  # noqa: B018


@pytest.mark.parametrize(
    ("function", "values", "message"),
    [
        (toys.scale, {"bye": 1}, "s.bye: scale has no parameter 'bye'. Did you mean 'by'?"),
        (toys.scale, {"x": 1}, "s.x: scale has no parameter 'x'. It is an input: feed it"),
        (toys.scale, {"by": "fast"}, "s.by: 'fast' is refused; expected a number"),
        (toys.scale, {"unit": "yd"}, "s.unit: 'yd' is refused; expected 'm' or 'ft'"),
        (toys.draw, {"count": 0, "seed": 1}, "s.count: 0 is refused; expected greater than or"),
        (toys.draw, {}, "s.seed: draw needs a value; expected Seed"),
        (
            toys.configured,
            {"settings": {"steps": [1, "x"]}},
            "s.settings.steps.1: 'x' is refused; expected a whole number",
        ),
        (toys.length, {"path": "nowhere.txt"}, "s.path: no such file: /"),
        (toys.length, {"path": "."}, "s.path: not a file: /"),
        (toys.count_files, {"folder": __file__}, "s.folder: not a folder: /"),
        (toys.scale, {"by": "9" * 500 + "x"}, "99... is refused"),
    ],
)
def test_a_refused_value_is_told_in_one_line_with_step_and_parameter(function, values, message):
    with pytest.raises(ParameterError) as refused:
        describe(function).validate(values, "s")

    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_union_says_all_it_would_have_taken():
    @component
    def either(*, x: float | Annotated[bool, "b"] | None = None) -> float:
        return 0.0

    with pytest.raises(ParameterError) as refused:
        describe(either).validate({"x": "maybe"}, "s")

    assert str(refused.value).startswith("s.x: 'maybe' is refused; expected a number")
    assert "true or false" in str(refused.value)


def test_values_are_converted_and_defaults_are_filled_in():
    made = describe(toys.configured)

    assert made.validate({"settings": {"rate": "0.5"}}, "s") == {
        "settings": Settings(rate=0.5),
        "mode": "a",
    }
    assert describe(toys.scale).validate({"by": np.float32(0.5)}, "s")["by"] == 0.5
    assert describe(toys.draw).validate({"count": np.int64(2), "seed": 1}, "s")["count"] == 2


def test_a_default_is_checked_as_well():
    @component
    def wrong(*, x: Annotated[int, "n"] = "many") -> int:  # type: ignore[assignment]
        return 1

    with pytest.raises(ParameterError, match=r"s\.x: 'many' is refused"):
        describe(wrong).validate({}, "s")


def test_parameters_may_have_names_that_pydantic_uses():
    @component
    def odd(*, copy: int = 1, json: int = 2, model_fields: int = 3, _hidden: int = 4) -> int:
        return copy

    assert describe(odd).validate({"copy": 5}, "s")["copy"] == 5


def test_a_parameter_that_no_file_can_hold_is_refused():
    @component
    def wrong(*, x: np.ndarray) -> int:
        return 1

    with pytest.raises(WorkflowError, match="has type ndarray, which cannot be written in a file"):
        describe(wrong).validate({"x": 1}, "s")


def test_a_set_is_refused_because_its_order_is_nobodys():
    @component
    def wrong(*, x: dict[str, set[str]] | None = None) -> int:
        return 1

    with pytest.raises(WorkflowError, match="'x' is a set, whose order differs between processes"):
        describe(wrong).validate({}, "s")


def test_files_count_by_content_and_not_by_name(tmp_path):
    made = describe(toys.length)
    first, second, third = (tmp_path / n for n in ("a.txt", "b.txt", "c.txt"))
    for path, text in ((first, "same"), (second, "same"), (third, "other")):
        path.write_text(text)

    def form(path, others=()):
        return made.key_form(made.validate({"path": path, "others": list(others)}, "s"))

    assert form(first) == form(second) != form(third)
    assert form(first, [second]) == form(first, [first]) != form(first, [third])
    assert str(tmp_path) not in repr(form(first, [second]))
    second.write_text("changed")
    assert form(first) != form(second)


def test_folders_count_by_names_and_contents_also_behind_links(tmp_path):
    made = describe(toys.count_files)
    for name in ("one", "two", "elsewhere"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "x.txt").write_text("x")
    (tmp_path / "one" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "two" / "linked").symlink_to(tmp_path / "elsewhere")

    def form(name):
        return made.key_form(made.validate({"folder": tmp_path / name}, "s"))

    assert form("one") == form("two")
    (tmp_path / "elsewhere" / "deep" / "x.txt").write_text("changed")
    assert form("one") == form("two") != form("elsewhere")
    (tmp_path / "two" / "deep" / "x.txt").rename(tmp_path / "two" / "deep" / "y.txt")
    assert form("one") != form("two")


def test_a_path_is_made_absolute_so_that_a_worker_elsewhere_finds_it(tmp_path, monkeypatch):
    (tmp_path / "x.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    made = describe(toys.length)

    assert made.validate({"path": "x.txt"}, "s")["path"] == tmp_path / "x.txt"
    assert made.validate({"path": "~/x.txt"}, "s")["path"] == tmp_path / "x.txt"


def test_optional_files_may_be_missing(tmp_path):
    @component
    def read(*, path: File | None = None, folder: Folder | None = None) -> int:
        return 1

    made = describe(read)

    assert made.key_form(made.validate({}, "s")) == {"path": None, "folder": None}
    with pytest.raises(ParameterError, match="no such file"):
        made.validate({"path": tmp_path / "x"}, "s")


@given(st.floats(), st.floats())
def test_the_key_form_of_a_number_is_json_and_tells_numbers_apart(one, other):
    param = describe(toys.number).params["value"]
    forms = [param.form(param.check(v, "s")) for v in (one, other)]

    assert (forms[0] == forms[1]) == (one == other or (one != one and other != other))


def test_names_lead_to_components_and_wrong_ones_are_told():
    reference = describe(toys.scale).reference

    assert find(reference).function is toys.scale
    for wrong, message in {
        "scale": "'scale' names no component; expected module:function",
        ":scale": "':scale' names no component; expected module:function",
        "nowhere:scale": "no module 'nowhere'",
        "..x:f": "module '..x' cannot be imported",
        reference + "d": "has no component 'scaled'. Did you mean 'scale'?",
    }.items():
        with pytest.raises(UsageError) as refused:
            find(wrong)
        assert message in str(refused.value)
    with pytest.raises(WorkflowError, match=r"sqrt is not a component\. Put @component before"):
        find("math:sqrt")


def test_a_module_that_does_not_import_is_told_by_name(tmp_path, monkeypatch):
    (tmp_path / "unfinished_flood.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(UsageError, match="module 'unfinished_flood' cannot be imported"):
        find("unfinished_flood:f")


def test_a_component_travels_by_name():
    made = describe(toys.scale)

    assert pickle.loads(pickle.dumps(made)) is made
    assert len(pickle.dumps(made)) < 200


def test_a_component_of_a_script_travels_by_value_with_its_identity(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import subprocess, sys\n"
        "import cloudpickle\n"
        "from assay.core.component import component, describe\n"
        "FACTOR = 3\n"
        "@component(version='7', requires=('numpy',))\n"
        "def triple(x: int, *, times: int = FACTOR) -> int:\n"
        "    return x * times\n"
        "made = describe(triple)\n"
        "open('made.bin', 'wb').write(cloudpickle.dumps(made))\n"
        "print(made.identity)\n"
    )
    reader = (
        "import pickle; made = pickle.load(open('made.bin', 'rb'));"
        "print(made.identity, made.version, made.function(2), made.validate({}, 's'))"
    )

    def run(*words):
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()

    identity = run("script.py")
    assert run("-c", reader) == f"{identity} 7 6 {{'times': 3}}"


def test_a_thing_that_is_no_component_is_told(tmp_path):
    for thing in (len, 3, describe):
        with pytest.raises(WorkflowError, match="is not a component"):
            describe(thing)


def test_any_is_an_honest_annotation():
    @component
    def whatever(x: Any) -> Any:
        return x

    assert describe(whatever).inputs["x"].type is Any
