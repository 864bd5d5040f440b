"""What a run would do: the fate of every step with its reason, and nothing touched."""

import shutil

import pytest

from assay.core.component import component
from assay.core.decisions import sweep
from assay.core.outlook import outlook
from assay.core.store import Store
from assay.core.study import Study
from assay.core.workflow import Workflow
from core import toys


@component(keep=False)
def bulky(*, value: float = 1.0) -> float:
    """An intermediate that may be collected."""
    return value


def chain(**value):
    """x -> y -> m, and s alone."""
    flow = Workflow("flow")
    x = flow.step("x", toys.number, **value)
    flow.step("m", toys.measure, x=flow.step("y", toys.scale, x=x))
    flow.step("n", toys.measure_sample, sample=flow.step("s", toys.draw))
    return Study(flow)


def run(study, store, **options):
    return study.run(workers=0, progress=False, report=False, store=store, **options)


def seen(study, store, **options):
    """Fate and reason by step."""
    lines = outlook(study.plan(**options), Store(store))
    return {line.step: (line.fate, line.why) for line in lines}


def test_in_an_empty_store_first_steps_run_and_the_others_depend_on_them(tmp_path):
    assert seen(chain(), tmp_path) == {
        "x": ("will run", "never run"),
        "y": ("depends", "on x"),
        "m": ("depends", "on y"),
        "s": ("will run", "never run"),
        "n": ("depends", "on s"),
    }


def test_after_a_run_everything_is_in_the_store(tmp_path):
    run(chain(), tmp_path)

    assert set(seen(chain(), tmp_path).values()) == {("cached", "in the store")}


def test_a_parameter_that_changed_is_named_with_both_values(tmp_path):
    run(chain(), tmp_path)
    fates = seen(chain(), tmp_path, set={"y.by": 3.0, "y.unit": "ft"})

    assert fates["x"] == ("cached", "in the store")
    assert fates["y"] == ("will run", "by 2.0 -> 3.0; unit 'm' -> 'ft'")
    assert fates["m"] == ("depends", "on y")


def test_a_change_upstream_leaves_what_follows_open(tmp_path):
    run(chain(), tmp_path)

    assert seen(chain(value=4.0), tmp_path)["y"] == ("depends", "on x")


def test_another_seed_is_a_changed_parameter(tmp_path):
    run(chain(), tmp_path)
    fates = seen(chain(), tmp_path, seeds=[1])

    assert fates["s"][0] == "will run"
    assert fates["s"][1].startswith("seed ")
    assert fates["x"] == ("cached", "in the store")


def test_other_code_or_another_version_is_told(tmp_path, monkeypatch):
    run(chain(), tmp_path)
    monkeypatch.setitem(vars(toys.scale.__assay__), "identity", "another")

    assert seen(chain(), tmp_path)["y"] == ("will run", "code, version or libraries changed")


def test_other_content_of_an_input_is_told(tmp_path):
    """What feeds it was computed for another step meanwhile."""
    run(chain(), tmp_path)
    flow = Workflow("other")
    flow.step("only", toys.number, value=9.0)
    run(Study(flow), tmp_path)

    assert seen(chain(value=9.0), tmp_path)["y"] == ("will run", "other content of x")


def test_other_content_of_a_file_is_told_without_digests(tmp_path):
    file = tmp_path / "a.txt"
    flow = Workflow("flow")
    flow.step("l", toys.length, path=file)
    file.write_text("one")
    run(Study(flow), tmp_path / "store")
    file.write_text("three")

    assert seen(Study(flow), tmp_path / "store")["l"] == ("will run", "other content of path")


def test_a_long_value_is_cut(tmp_path):
    run(chain(), tmp_path)
    fates = seen(chain(), tmp_path, set={"m.name": "n" * 1000})

    assert fates["m"][0] == "will run"
    assert len(fates["m"][1]) < 150


def test_a_collected_intermediate_is_not_needed_until_something_new_needs_it(tmp_path):
    def study(by):
        flow = Workflow("flow")
        x = flow.step("x", bulky, value=5.0)
        flow.step("m", toys.measure, x=flow.step("y", toys.scale, x=x, by=by))
        return Study(flow)

    run(study(2.0), tmp_path)
    store = Store(tmp_path)
    (manifest,) = [m for m in store.steps() if m.component.endswith(":bulky")]
    path = store.path(manifest.outputs[""])
    shutil.rmtree(path) if path.is_dir() else path.unlink()

    assert seen(study(2.0), tmp_path) == {
        "x": ("cached", "not needed"),
        "y": ("cached", "in the store"),
        "m": ("cached", "in the store"),
    }
    assert seen(study(3.0), tmp_path) == {
        "x": ("will run", "its value was collected"),
        "y": ("depends", "on x"),
        "m": ("depends", "on y"),
    }


def test_members_are_told_one_by_one_with_their_own_reason(tmp_path):
    def study(values):
        flow = Workflow("flow")
        e = flow.each("e", toys.number, over={"value": values})
        flow.step("t", toys.total, xs=e)
        return Study(flow)

    run(study([1, 2]), tmp_path)
    fates = seen(study([1, 2, 3]), tmp_path)

    assert fates["e[value=1]"] == fates["e[value=2]"] == ("cached", "in the store")
    assert fates["e[value=3]"][0] == "will run"
    assert fates["e[value=3]"][1] in ("value 1.0 -> 3.0", "value 2.0 -> 3.0")
    assert fates["t"] == ("depends", "on e")


def test_every_choice_has_its_line(tmp_path):
    flow = chain().flow
    study = Study(flow, decisions={"by": sweep("y.by", [2.0, 3.0])})
    lines = outlook(study.plan(), Store(tmp_path))

    assert [line.step for line in lines].count("y") == 2
    assert [line.step for line in lines].count("x") == 1


def files(folder):
    return {p.relative_to(folder): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("setting", [{}, {"y.by": 3.0}])
def test_foreseeing_leaves_the_store_as_it_is(tmp_path, setting):
    run(chain(), tmp_path)
    before = files(tmp_path)
    seen(chain(), tmp_path, set=setting)

    assert files(tmp_path) == before


def test_what_was_foreseen_is_what_happens(tmp_path):
    run(chain(), tmp_path)
    fates = [fate for fate, _ in seen(chain(), tmp_path, set={"y.by": 3.0}).values()]
    steps = run(chain(), tmp_path, set={"y.by": 3.0}).summary["steps"]

    assert steps == {"cached": 3, "done": 2}
    assert fates.count("cached") == 3


def test_foreseeing_runs_nothing(tmp_path):
    flow = Workflow("flow")
    x = flow.step("x", toys.number, value=30.0)
    flow.step("m", toys.measure, x=flow.step("f", toys.fails_above, x=x))
    failed = run(Study(flow), tmp_path)

    assert not failed.ok
    assert seen(Study(flow), tmp_path)["f"] == ("will run", "never run")
    assert seen(Study(flow), tmp_path)["m"] == ("depends", "on f")
