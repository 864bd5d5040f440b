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
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from assay.core.claims import Check, Claim
from assay.core.component import content_of, find
from assay.core.decisions import (
    Assign,
    Choices,
    Decision,
    Patch,
    Preset,
    Sampler,
    Span,
    Use,
    span,
    sweep,
)
from assay.core.study import Study
from assay.core.system import find_system
from assay.core.workflow import Ref, Step, Workflow
from assay.errors import AssayError, UsageError, WorkflowError, did_you_mean

STUDY_KEYS = (
    "name", "title", "workflow", "decisions", "sampler", "seeds", "claims", "checks", "presets",
    "figures", "set",
)  # fmt: skip
BASED_KEYS = ("study", "preset", "set", "seeds")
STEP_KEYS = ("use", "workflow", "with", "in", "over", "each", "min_ok")


# -- writing ------------------------------------------------------------------------------------


def workflow_to_dict(flow: Workflow) -> dict[str, Any]:
    """A workflow as plain data."""
    data: dict[str, Any] = {"name": flow.name}
    if flow.inputs:
        data["inputs"] = list(flow.inputs)
    data["steps"] = {name: _step_to_dict(step) for name, step in flow.steps.items()}
    if flow.outputs:
        data["outputs"] = {name: str(ref) for name, ref in flow.outputs.items()}
    return data


def _step_to_dict(step: Step) -> dict[str, Any]:
    data: dict[str, Any] = {"use": step.component.reference}
    if step.inputs:
        data["in"] = _inputs_to_dict(step.inputs)
    if step.params:
        data["with"] = {name: _plain(value) for name, value in step.params.items()}
    if step.over:
        data["over"] = {name: [_plain(v) for v in values] for name, values in step.over.items()}
    if step.each:
        data["each"] = True
    if step.min_ok is not None:
        data["min_ok"] = step.min_ok
    return data


def _inputs_to_dict(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [_ref(r) for r in source] if isinstance(source, tuple) else _ref(source)
        for name, source in inputs.items()
    }


def _ref(ref: Ref) -> str:
    return str(ref) if ref.step else f"inputs.{ref.port}"


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise WorkflowError(
        f"a value of type {type(value).__name__} cannot be written to a file",
        accepted="numbers, texts, lists and mappings",
    )


def study_to_dict(study: Study) -> dict[str, Any]:
    """A study as plain data; the inverse of [`study_from_dict`][]."""
    data: dict[str, Any] = {"name": study.name}
    if study.title:
        data["title"] = study.title
    data["workflow"] = workflow_to_dict(study.flow)
    if study.decisions:
        data["decisions"] = {n: _decision_to_dict(d) for n, d in study.decisions.items()}
    if study.sampler != Sampler():
        data["sampler"] = asdict(study.sampler)
    data["seeds"] = study.seeds if isinstance(study.seeds, int) else list(study.seeds)
    if study.claims:
        data["claims"] = [_plain(claim.to_dict()) for claim in study.claims]
    if study.checks:
        data["checks"] = [_plain(check.to_dict()) for check in study.checks]
    if study.presets:
        data["presets"] = {name: _preset_to_dict(p) for name, p in study.presets.items()}
    if study.figures:
        data["figures"] = study.figures
    if study.overrides:
        data["set"] = _plain(study.overrides)
    return data


def _preset_to_dict(preset: Preset) -> dict[str, Any]:
    whole = {"set": _plain(preset.set), "seeds": preset.seeds, "only": _plain(preset.only)}
    return {k: v for k, v in {**whole, "note": preset.note}.items() if v not in (None, {}, "")}


def _decision_to_dict(decision: Decision) -> dict[str, Any]:
    if isinstance(decision, Span):
        data: dict[str, Any] = {"span": decision.path, "low": decision.low, "high": decision.high}
        return {**data, "log": True} if decision.log else data
    swept = _as_sweep(decision)
    if swept is not None:
        return swept
    return {"choices": {label: [_patch(p) for p in ps] for label, ps in decision.options}}


def _as_sweep(decision: Choices) -> dict[str, Any] | None:
    paths = {p.path if isinstance(p, Assign) else "" for _, ps in decision.options for p in ps}
    single = all(len(ps) == 1 for _, ps in decision.options)
    if not single or len(paths) != 1 or "" in paths:
        return None
    values = [ps[0].value for _, ps in decision.options if isinstance(ps[0], Assign)]
    if sweep(next(iter(paths)), values).options != decision.options:
        return None
    return {"sweep": next(iter(paths)), "values": [_plain(v) for v in values]}


def _patch(patch: Patch) -> dict[str, Any]:
    if isinstance(patch, Assign):
        return {"set": patch.path, "to": _plain(patch.value)}
    data: dict[str, Any] = {"at": patch.step, "use": patch.component.reference}
    inputs = {k: v for k, v in patch.values.items() if isinstance(v, Ref | tuple)}
    if inputs:
        data["in"] = _inputs_to_dict(inputs)
    params = {k: _plain(v) for k, v in patch.values.items() if k not in inputs}
    return {**data, "with": params} if params else data


def to_yaml(study: Study) -> str:
    """A study as YAML text."""
    import yaml

    return yaml.safe_dump(study_to_dict(study), sort_keys=False, allow_unicode=True, width=100)


# -- reading ------------------------------------------------------------------------------------


def workflow_from_dict(data: Any, *, name: str = "workflow", base: Path | None = None) -> Workflow:
    """Build a workflow from plain data.

    Args:
        data: What [`workflow_to_dict`][] gives.
        name: Its name where the data has none.
        base: Folder that relative paths start from.

    Raises:
        WorkflowError: If a key, step, component, parameter or type does not fit.
    """
    body = _mapping(data, "workflow", ("name", "inputs", "steps", "outputs"))
    flow = Workflow(str(body.get("name", name)))
    for open_input in body.get("inputs", []):
        flow.input(str(open_input))
    steps = _mapping(body.get("steps"), "workflow.steps")
    for step in _in_order(steps):
        _add_step(flow, step, steps[step], base)
    for output, ref in _mapping(body.get("outputs") or {}, "workflow.outputs").items():
        flow.output(output, Ref.parse(str(ref)))
    return flow


def _in_order(steps: Mapping[str, Any]) -> list[str]:
    """Steps in the order written, but every one after those that feed it."""
    done: list[str] = []
    state: dict[str, bool] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if state.get(name):
            return
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            raise WorkflowError(f"steps feed each other in a circle: {circle}")
        body = _mapping(steps[name], f"step {name!r}", STEP_KEYS)
        for source in _mapping(body.get("in") or {}, f"step {name!r}, in").values():
            for text in source if isinstance(source, list) else [source]:
                fed = str(text).partition(".")[0]
                if fed in steps:
                    visit(fed, (*path, name))
        state[name] = True
        done.append(name)

    for name in steps:
        visit(name, ())
    return done


def _add_step(flow: Workflow, name: str, data: Any, base: Path | None) -> None:
    where = f"{flow.name}, step {name!r}"
    body = _mapping(data, where, STEP_KEYS)
    inputs = _read_inputs(body.get("in"), where)
    if "workflow" in body:
        inner = workflow_from_dict(body["workflow"], name=name, base=base)
        flow.step(name, inner, **inputs)
        return
    if "use" not in body:
        raise WorkflowError("no component", where=where, accepted="use: module:function")
    made = find(str(body["use"]), where=where)
    params = _mapping(body.get("with") or {}, f"{where}, with")
    over = _mapping(body.get("over") or {}, f"{where}, over")
    for each in (params, over):
        _resolve_paths(each, made.params, base)
    lists = {k: tuple(v) if isinstance(v, list) else (v,) for k, v in over.items()}
    flow.add(
        Step(
            name,
            made,
            inputs,
            params,
            lists,
            each=bool(body.get("each")) or bool(over),
            min_ok=body.get("min_ok"),
        )
    )


def _read_inputs(data: Any, where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, source in _mapping(data or {}, f"{where}, in").items():
        texts = source if isinstance(source, list) else [source]
        refs = tuple(
            Ref("", t.partition(".")[2]) if t.startswith("inputs.") else Ref.parse(t)
            for t in map(str, texts)
        )
        found[name] = refs if isinstance(source, list) else refs[0]
    return found


def _resolve_paths(values: dict[str, Any], params: Mapping[str, Any], base: Path | None) -> None:
    """Make the paths of files and folders relative to the file that names them."""
    for name, value in values.items():
        if base is not None and name in params and content_of(params[name].type):
            several = isinstance(value, list)
            values[name] = [str(base / v) for v in value] if several else str(base / str(value))


def study_from_dict(data: Any, *, base: Path | None = None) -> Study:
    """Build a study from plain data.

    Raises:
        AssayError: If something in it does not fit.
    """
    body = _mapping(data, "study")
    if "study" in body:
        return _based(_mapping(data, "study", BASED_KEYS))
    body = _mapping(data, "study", STUDY_KEYS)
    if "workflow" not in body:
        raise UsageError("no workflow", accepted="a key `workflow` or `study`")
    flow = workflow_from_dict(body["workflow"], name=str(body.get("name", "study")), base=base)
    study = Study(
        flow,
        name=str(body.get("name", flow.name)),
        title=str(body.get("title", "")),
        decisions={
            name: _read_decision(name, d, base)
            for name, d in _mapping(body.get("decisions") or {}, "decisions").items()
        },
        seeds=body.get("seeds", 1),
        sampler=_read_sampler(body.get("sampler")),
        claims=[Claim.from_dict(c) for c in body.get("claims", [])],
        checks=[Check.from_dict(c) for c in body.get("checks", [])],
        presets={
            name: Preset(**_mapping(p, f"preset {name!r}", ("set", "seeds", "only", "note")))
            for name, p in _mapping(body.get("presets") or {}, "presets").items()
        },
        figures=str(body.get("figures", "")),
    )
    study.overrides = dict(_mapping(body.get("set") or {}, "set"))
    return study


def _based(body: Mapping[str, Any]) -> Study:
    system, _, name = str(body["study"]).partition("/")
    study = find_system(system).study(name or None)
    preset = study._preset(body["preset"]) if body.get("preset") else Preset()
    study.overrides = {**preset.set, **_mapping(body.get("set") or {}, "set")}
    if preset.only:
        study.decisions = study._restricted(preset)
    if body.get("seeds") or preset.seeds:
        study.seeds = body.get("seeds") or preset.seeds or 1
    return study


def _read_sampler(data: Any) -> Sampler:
    body = _mapping(data or {}, "sampler", ("kind", "n", "seed"))
    return Sampler(**body)


def _read_decision(name: str, data: Any, base: Path | None) -> Decision:
    where = f"decision {name!r}"
    body = _mapping(data, where, ("sweep", "values", "span", "low", "high", "log", "choices"))
    if "sweep" in body:
        return sweep(str(body["sweep"]), body.get("values") or [])
    if "span" in body:
        log = bool(body.get("log"))
        return span(str(body["span"]), body.get("low", 0), body.get("high", 0), log=log)
    choices = _mapping(body.get("choices"), f"{where}, choices")
    return Choices(
        tuple(
            (label, tuple(_read_patch(p, where, base) for p in patches or []))
            for label, patches in choices.items()
        )
    )


def _read_patch(data: Any, where: str, base: Path | None) -> Patch:
    body = _mapping(data, where, ("set", "to", "at", "use", "in", "with"))
    if "set" in body:
        return Assign(str(body["set"]), body.get("to"))
    if "at" not in body or "use" not in body:
        raise WorkflowError("a patch is incomplete", where=where, accepted="set+to or at+use")
    made = find(str(body["use"]), where=where)
    params = _mapping(body.get("with") or {}, where)
    _resolve_paths(params, made.params, base)
    return Use(str(body["at"]), made, {**_read_inputs(body.get("in"), where), **params})


def read_study(path: Path | str) -> Study:
    """Read a study from a YAML file; its folder joins the module search path.

    Raises:
        AssayError: With the file's name, if it cannot be read or something in it does not fit.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("cannot be read", where=str(file), accepted="a YAML file") from error
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return study_from_dict(_parse(text), base=file.parent)
    except AssayError as error:
        raise error.at(str(file)) from error


def _parse(text: str) -> Any:
    """Safe YAML in which a key written twice is refused instead of silently replaced."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = loader.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if isinstance(key, str | int | float) and key in seen:
                raise UsageError(f"line {line}: {key!r} is written twice (first on {seen[key]})")
            seen[str(key)] = line
        return dict(loader.construct_pairs(node, deep=True))

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"line {line}: {error.problem}", accepted="YAML") from error
    except yaml.YAMLError as error:
        raise UsageError(str(error).partition("\n")[0], accepted="YAML") from error


def _mapping(data: Any, where: str, keys: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Data as a mapping with known keys."""
    if not isinstance(data, Mapping):
        kind = "nothing" if data is None else f"a {type(data).__name__}"
        raise WorkflowError(f"{kind} stands there", where=where, accepted="a mapping")
    for key in data:
        if keys is not None and key not in keys:
            raise WorkflowError(
                f"unknown key {key!r}", where=where, next=did_you_mean(str(key), keys)
            )
    return dict(data)
