"""Workflows and studies as YAML: another spelling of the same objects, without code or includes.

    name: flood_risk
    workflow:
      steps:
        terrain: {use: "my_flood:read_terrain", with: {path: dem.tif}}
        storm:   {use: "my_flood:design_storm", over: {return_period_years: [2, 10, 100]}}
        flood:   {use: "my_flood:inundation", each: true, in: {terrain: terrain, rain: storm}}
    decisions:
      manning: {sweep: flood.manning, values: [0.02, 0.035, 0.05]}
    seeds: 3

or, standing on a study that exists:

    study: climate_impact/flood_risk
    preset: small
    set: {flood.manning: 0.03}

Paths are relative to the file. Unknown keys are refused.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.core import markup
from assay.core.annotations import anchored
from assay.core.claims import Check, Claim
from assay.core.component import find
from assay.core.decisions import (
    Assign,
    Choices,
    Decision,
    Patch,
    Preset,
    Sampler,
    Use,
    as_decision,
    span,
    sweep,
)
from assay.core.plain import study_to_dict, workflow_to_dict
from assay.core.steps import Ref, Step, in_order, known, members_of
from assay.core.study import Study, seed_list
from assay.core.system import find_system
from assay.core.workflow import Workflow
from assay.errors import AssayError, UsageError, WorkflowError, did_you_mean

__all__ = [
    "read_study",
    "study_from_dict",
    "study_to_dict",
    "to_yaml",
    "workflow_from_dict",
    "workflow_to_dict",
]

STUDY_KEYS = (
    "name", "title", "workflow", "decisions", "sampler", "seeds", "claims", "checks", "presets",
    "figures", "preset", "set",
)  # fmt: skip
BASED_KEYS = ("study", "preset", "set", "seeds")
STEP_KEYS = ("use", "with", "in", "over", "each", "min_ok")
PRESET_KEYS = ("set", "seeds", "only", "note")


def to_yaml(study: Study) -> str:
    """A study as YAML text."""
    return markup.write_yaml(study_to_dict(study))


def read_study(path: Path | str) -> Study:
    """Read a study from a YAML file; its folder joins the module search path.

    Raises:
        AssayError: With the file's name and, where it is known, the line, if the file cannot be
            read or something in it does not fit.
    """
    file = Path(path)
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(markup.MOST_CHARACTERS + 1)
    except (OSError, ValueError) as error:  # a name or bytes that are no text are a ValueError
        why = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(
            f"cannot be read ({why})", where=str(file), accepted="a YAML file"
        ) from error
    folder = file.absolute().parent
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return study_from_dict(markup.read_yaml(text), base=folder)
    except AssayError as error:
        raise error.at(str(file)) from error


# -- studies ------------------------------------------------------------------------------------


def study_from_dict(data: Any, *, base: Path | None = None) -> Study:
    """Build a study from plain data; the inverse of [`study_to_dict`][].

    Args:
        data: What a file holds.
        base: Folder that relative paths start from; the current one if not given.

    Raises:
        AssayError: If something in it does not fit.
    """
    base = base or Path.cwd()
    body = _mapping(data, "study")
    if "study" in body:
        study = _based(_mapping(data, "study", BASED_KEYS))
    else:
        study = _whole(_mapping(data, "study", STUDY_KEYS), base)
    if body.get("preset") is not None:
        study.preset = str(body["preset"])
        known([study.preset], study.presets, study.name, "preset")
    with _line(data, "set"):
        study.overrides = _mapping(body.get("set") or {}, "set")
        return _anchor(study, base)


def _whole(body: dict[str, Any], base: Path) -> Study:
    if "workflow" not in body:
        raise UsageError("no workflow", accepted="a key `workflow` or `study`")
    decisions, presets = (_mapping(body.get(k) or {}, k) for k in ("decisions", "presets"))
    name = str(body.get("name", "study"))
    flow = workflow_from_dict(body["workflow"], name=name, base=base)
    return Study(
        flow,
        name=str(body.get("name", "")),
        title=str(body.get("title", "")),
        decisions={n: _at(decisions, n, _decision, n, base) for n in decisions},
        seeds=body.get("seeds", 1),
        sampler=Sampler(**_mapping(body.get("sampler") or {}, "sampler", ("kind", "n", "seed"))),
        claims=_each(body, "claims", Claim.from_dict),
        checks=_each(body, "checks", Check.from_dict),
        presets={n: _at(presets, n, _preset, n) for n in presets},
        figures=str(body.get("figures", "")),
    )


def _based(body: dict[str, Any]) -> Study:
    """A study that exists; the file's seeds win over those of its presets."""
    system, _, name = str(body["study"]).partition("/")
    study = find_system(system).study(name or None)
    if body.get("seeds") is not None:
        with _line(body, "seeds"):
            seed_list(body["seeds"], "seeds")
        study.seeds = body["seeds"]
        study.presets = {n: replace(p, seeds=None) for n, p in study.presets.items()}
    return study


def _preset(data: Any, name: str) -> Preset:
    where = f"preset {name!r}"
    body = _mapping(data or {}, where, PRESET_KEYS)
    return Preset(
        set=_mapping(body.get("set") or {}, f"{where}, set"),
        seeds=body.get("seeds"),
        only=_mapping(body.get("only") or {}, f"{where}, only"),
        note=str(body.get("note", "")),
    )


def _anchor(study: Study, base: Path) -> Study:
    """Make the paths of files and folders in decisions, presets and settings start from ``base``.

    The labels of choices stay as they were written.
    """

    def at(path: str, value: Any) -> Any:
        kind, several = study.parameter(path).type, isinstance(value, list)
        steps, (name, _, parameter) = study.flow.steps, path.partition(".")
        if several and name in steps and parameter in steps[name].over:
            return [anchored(v, kind, base) for v in value]
        return anchored(value, kind, base)

    def patch_at(patch: Patch) -> Patch:
        return (
            replace(patch, value=at(patch.path, patch.value))
            if isinstance(patch, Assign)
            else patch
        )

    for name, decision in study.decisions.items():
        if isinstance(decision, Choices):
            options = ((label, tuple(map(patch_at, ps))) for label, ps in decision.options)
            study.decisions[name] = Choices(tuple(options))
    study.presets = {
        name: replace(p, set={path: at(path, v) for path, v in p.set.items()})
        for name, p in study.presets.items()
    }
    study.overrides = {path: at(path, v) for path, v in study.overrides.items()}
    return study


# -- decisions ----------------------------------------------------------------------------------


def _decision(data: Any, name: str, base: Path) -> Decision:
    where = f"decision {name!r}"
    body = _mapping(data, where)
    if "sweep" in body:
        body = _mapping(data, where, ("sweep", "values"))
        return sweep(str(body["sweep"]), body.get("values", []))
    if "span" in body:
        body = _mapping(data, where, ("span", "low", "high", "log"))
        low, high = (body.get(end, "nothing") for end in ("low", "high"))
        return span(str(body["span"]), low, high, log=_flag(body, "log", where))
    if "choices" not in body:
        raise WorkflowError(
            "is not a decision", where=where, accepted="a key `sweep`, `span` or `choices`"
        )
    body = _mapping(data, where, ("choices",))
    choices = _mapping(body["choices"], f"{where}, choices")
    return as_decision(
        name,
        {
            label: [_patch(p, where, base) for p in _list(patches or [], f"{where}, {label!r}")]
            for label, patches in choices.items()
        },
    )


def _patch(data: Any, where: str, base: Path) -> Patch:
    body = _mapping(data, where)
    if "set" in body and "to" in body:
        _mapping(data, where, ("set", "to"))
        return Assign(str(body["set"]), body["to"])
    if "at" not in body or "use" not in body:
        raise WorkflowError(
            "a patch is incomplete", where=where, accepted="keys `set` and `to`, or `at` and `use`"
        )
    _mapping(data, where, ("at", "use", "in", "with"))
    made = find(str(body["use"]), where=where)
    params = _mapping(body.get("with") or {}, f"{where}, with")
    fixed = {n: _anchored(v, n, made, base) for n, v in params.items()}
    return Use(str(body["at"]), made, {**_inputs(body.get("in"), where), **fixed})


# -- workflows ----------------------------------------------------------------------------------


def workflow_from_dict(data: Any, *, name: str = "workflow", base: Path | None = None) -> Workflow:
    """Build a workflow from plain data; the inverse of [`workflow_to_dict`][].

    Args:
        data: What a file holds.
        name: Its name where the data has none.
        base: Folder that relative paths start from; the current one if not given.

    Raises:
        WorkflowError: If a key, step, component, parameter or type does not fit.
    """
    body = _mapping(data, "workflow", ("name", "inputs", "steps", "outputs"))
    flow = Workflow(str(body.get("name", name)))
    for open_input in _list(body.get("inputs") or [], "workflow.inputs"):
        flow.input(open_input)
    steps = _mapping(body.get("steps"), "workflow.steps")
    feeds = {n: _at(steps, n, lambda step, n=n: list(_fed_by(step, n))) for n in steps}
    for step in in_order(feeds, flow.name):
        _at(steps, step, _add_step, flow, step, base or Path.cwd())
    outputs = _mapping(body.get("outputs") or {}, "workflow.outputs")
    for output, ref in outputs.items():
        flow.output(output, Ref.parse(str(ref)))
    return flow


def _fed_by(data: Any, name: str) -> Iterator[str]:
    body = _mapping(data, f"step {name!r}")
    for source in _inputs(body.get("in"), f"step {name!r}").values():
        for ref in source if isinstance(source, tuple) else (source,):
            yield ref.step


def _add_step(data: Any, flow: Workflow, name: str, base: Path) -> None:
    where = f"{flow.name}, step {name!r}"
    body = _mapping(data, where)
    inputs = _inputs(body.get("in"), where)
    if "workflow" in body:
        body = _mapping(data, where, ("workflow", "in"))
        flow.step(name, workflow_from_dict(body["workflow"], name=name, base=base), **inputs)
        return
    body = _mapping(data, where, STEP_KEYS)
    if "use" not in body:
        raise WorkflowError("no component", where=where, accepted="use: module:function")
    made = find(str(body["use"]), where=where)
    params = _mapping(body.get("with") or {}, f"{where}, with")
    over = _mapping(body.get("over") or {}, f"{where}, over")
    flow.add(
        Step(
            name,
            made,
            inputs,
            {n: _anchored(v, n, made, base) for n, v in params.items()},
            {
                n: tuple(_anchored(v, n, made, base) for v in members_of(values, where))
                for n, values in over.items()
            },
            each=_flag(body, "each", where) or bool(over),
            min_ok=body.get("min_ok"),
        )
    )


def _inputs(data: Any, where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, source in _mapping(data or {}, f"{where}, in").items():
        several = isinstance(source, list)
        refs = tuple(Ref.parse(str(text)) for text in (source if several else [source]))
        found[name] = refs if several else refs[0]
    return found


def _anchored(value: Any, name: str, made: Any, base: Path) -> Any:
    """The value of a parameter; an unknown name is refused where the step is added."""
    return anchored(value, made.params[name].type, base) if name in made.params else value


# -- plain data ---------------------------------------------------------------------------------


def _mapping(data: Any, where: str, keys: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Data as a mapping, with known keys if there is a list of them."""
    if not isinstance(data, dict):
        kind = "nothing" if data is None else f"a {type(data).__name__}"
        raise WorkflowError(f"{kind} stands there", where=where, accepted="a mapping")
    for key in data:
        with _line(data, key):
            if keys is not None and key not in keys:
                raise WorkflowError(
                    f"unknown key {key!r}", where=where, next=did_you_mean(str(key), keys)
                )
    return data


def _list(data: Any, where: str) -> list[Any]:
    if not isinstance(data, list):
        raise WorkflowError(f"{data!r} is not a list", where=where)
    return data


def _each(body: dict[str, Any], name: str, read: Any) -> list[Any]:
    """Read a list of mappings; an error names the line its entry begins in."""
    found: list[Any] = []
    for item in _list(body.get(name) or [], name):
        with _line(item, next(iter(item), None) if isinstance(item, dict) else None):
            found.append(read(item))
    return found


def _flag(body: dict[str, Any], name: str, where: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise WorkflowError(f"{name} is {value!r}", where=where, accepted="true or false")
    return value


def _at(data: dict[str, Any], key: str, read: Any, *more: Any) -> Any:
    """Read one entry; an error names its line."""
    with _line(data, key):
        return read(data[key], *more)


@contextmanager
def _line(data: Any, key: Any) -> Iterator[None]:
    """Put the line of a key before the place of an error that has none yet."""
    try:
        yield
    except AssayError as error:
        line = getattr(data, "lines", {}).get(key)
        if line is None or error.where.startswith("line "):
            raise
        raise error.at(f"line {line}") from error
