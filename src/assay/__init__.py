"""Build a system from components, vary its decisions, and put its claims to the test."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.core.claims import Check, Claim, Verdict, judge
    from assay.core.component import File, Folder, Resources, Seed, component
    from assay.core.decisions import Preset, Sampler, assign, span, sweep, use
    from assay.core.estimands import difference, mean, ratio, trend
    from assay.core.figures import Chart, Picture, Table
    from assay.core.files import read_study, to_yaml
    from assay.core.program import program
    from assay.core.records import Records
    from assay.core.run import Run
    from assay.core.store import Store
    from assay.core.study import Study
    from assay.core.system import System
    from assay.core.task import task
    from assay.core.workflow import Workflow
    from assay.errors import AssayError

__version__ = "0.1.0"

__all__ = [
    "AssayError",
    "Chart",
    "Check",
    "Claim",
    "File",
    "Folder",
    "Picture",
    "Preset",
    "Records",
    "Resources",
    "Run",
    "Sampler",
    "Seed",
    "Store",
    "Study",
    "System",
    "Table",
    "Verdict",
    "Workflow",
    "assign",
    "component",
    "difference",
    "judge",
    "mean",
    "program",
    "ratio",
    "read_study",
    "span",
    "sweep",
    "task",
    "to_yaml",
    "trend",
    "use",
]

_HOMES = {
    "assay.core.claims": ("Check", "Claim", "Verdict", "judge"),
    "assay.core.estimands": ("difference", "mean", "ratio", "trend"),
    "assay.core.component": ("File", "Folder", "Resources", "Seed", "component"),
    "assay.core.decisions": ("Preset", "Sampler", "assign", "span", "sweep", "use"),
    "assay.core.figures": ("Chart", "Picture", "Table"),
    "assay.core.files": ("read_study", "to_yaml"),
    "assay.core.program": ("program",),
    "assay.core.records": ("Records",),
    "assay.core.run": ("Run",),
    "assay.core.store": ("Store",),
    "assay.core.study": ("Study",),
    "assay.core.system": ("System",),
    "assay.core.task": ("task",),
    "assay.core.workflow": ("Workflow",),
    "assay.errors": ("AssayError",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import assay` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'assay' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value
