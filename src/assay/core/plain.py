"""Workflows and studies as plain data: mappings, lists, texts and numbers; `files` reads them back.

A nested workflow is written as the steps it became (``hazard/flood``), and paths to files in full,
so that the data mean the same wherever they are read.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

from assay.core.annotations import anchored
from assay.core.component import Component, Param
from assay.core.decisions import Assign, Choices, Decision, Patch, Preset, Sampler, Span, sweep
from assay.core.params import native
from assay.core.steps import Step
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.errors import WorkflowError


def workflow_to_dict(flow: Workflow) -> dict[str, Any]:
    """A workflow as plain data."""
    data: dict[str, Any] = {"name": flow.name}
    if flow.inputs:
        data["inputs"] = list(flow.inputs)
    data["steps"] = {name: _step(step) for name, step in flow.steps.items()}
    if flow.outputs:
        data["outputs"] = {name: str(ref) for name, ref in flow.outputs.items()}
    return data


def _step(step: Step) -> dict[str, Any]:
    made = step.component
    data: dict[str, Any] = {"use": _reference(made)}
    if step.inputs:
        data["in"] = _inputs(step.inputs)
    if step.params:
        data["with"] = {
            name: _value(value, made.params[name]) for name, value in step.params.items()
        }
    if step.over:
        data["over"] = {
            name: [_value(v, made.params[name]) for v in values]
            for name, values in step.over.items()
        }
    if step.each:
        data["each"] = True
    if step.min_ok is not None:
        data["min_ok"] = step.min_ok
    return data


def _reference(made: Component) -> str:
    """``module:function``; a script is named by its file, which lies on the module path."""
    module, _, name = made.reference.partition(":")
    if module == "__main__":
        file = getattr(sys.modules["__main__"], "__file__", None)
        module = Path(file).stem if file else ""
    if not module or "<" in name:
        raise WorkflowError(
            f"component {made.name!r} has no name that a file could give",
            where=made.reference,
            next="Define it at the top level of a module.",
        )
    return f"{module}:{name}"


def _inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: list(map(str, source)) if isinstance(source, tuple) else str(source)
        for name, source in inputs.items()
    }


def _value(value: Any, param: Param) -> Any:
    return plain(anchored(value, param.type, Path.cwd()))


def plain(value: Any) -> Any:
    """A parameter's value as plain data.

    Raises:
        WorkflowError: If it is none, and cannot be made into it.
    """
    value = native(value)
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {k if isinstance(k, int | float) else str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.init}
    raise WorkflowError(
        f"a value of type {type(value).__name__} cannot be written to a file",
        accepted="numbers, texts, lists and mappings",
    )


def study_to_dict(study: Study) -> dict[str, Any]:
    """A study as plain data; the inverse of `study_from_dict`."""
    data: dict[str, Any] = {"name": study.name}
    if study.title:
        data["title"] = study.title
    data["workflow"] = workflow_to_dict(study.flow)
    if study.decisions:
        data["decisions"] = {n: _decision(d, study) for n, d in study.decisions.items()}
    if study.sampler != Sampler():
        data["sampler"] = asdict(study.sampler)
    data["seeds"] = study.seeds if isinstance(study.seeds, int) else list(study.seeds)
    if study.claims:
        data["claims"] = [plain(claim.to_dict()) for claim in study.claims]
    if study.checks:
        data["checks"] = [plain(check.to_dict()) for check in study.checks]
    if study.presets:
        data["presets"] = {name: _preset(p, study) for name, p in study.presets.items()}
    if study.figures:
        data["figures"] = study.figures
    if study.preset is not None:
        data["preset"] = study.preset
    if study.overrides:
        data["set"] = _settings(study.overrides, study)
    return data


def _settings(values: Mapping[str, Any], study: Study) -> dict[str, Any]:
    """Values by ``step.parameter``; of a parameter an `each` runs over, each member."""
    found: dict[str, Any] = {}
    for path, value in values.items():
        name, _, parameter = path.partition(".")
        step, param = study.flow.steps.get(name), study.parameter(path)
        over = step is not None and parameter in step.over
        found[path] = [_value(v, param) for v in value] if over else _value(value, param)
    return found


def _preset(preset: Preset, study: Study) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if preset.set:
        data["set"] = _settings(preset.set, study)
    if preset.seeds is not None:
        data["seeds"] = plain(preset.seeds)
    if preset.only:
        data["only"] = plain(preset.only)
    if preset.note:
        data["note"] = preset.note
    return data


def _decision(decision: Decision, study: Study) -> dict[str, Any]:
    if isinstance(decision, Span):
        data: dict[str, Any] = {"span": decision.path, "low": decision.low, "high": decision.high}
        return {**data, "log": True} if decision.log else data
    swept = _as_sweep(decision, study)
    if swept is not None:
        return swept
    return {"choices": {label: [_patch(p, study) for p in ps] for label, ps in decision.options}}


def _as_sweep(decision: Choices, study: Study) -> dict[str, Any] | None:
    """The short spelling, if reading it gives the same labels."""
    patches = [ps[0] for _, ps in decision.options if len(ps) == 1]
    assigns = [p for p in patches if isinstance(p, Assign)]
    paths = {p.path for p in assigns}
    if len(assigns) < len(decision.options) or len(paths) != 1:
        return None
    path = paths.pop()
    values = [_settings({path: p.value}, study)[path] for p in assigns]
    again = [(type(label), label) for label in sweep(path, values).labels()]
    same = again == [(type(label), label) for label in decision.labels()]
    return {"sweep": path, "values": values} if same else None


def _patch(patch: Patch, study: Study) -> dict[str, Any]:
    if isinstance(patch, Assign):
        return {"set": patch.path, "to": _settings({patch.path: patch.value}, study)[patch.path]}
    made = patch.component
    inputs, params = study.flow.split(patch.values, f"step {patch.step!r}")
    data: dict[str, Any] = {"at": patch.step, "use": _reference(made)}
    if inputs:
        data["in"] = _inputs(inputs)
    if params:
        data["with"] = {name: _value(value, made.params[name]) for name, value in params.items()}
    return data
