"""Every study of every system runs at `tiny` and gives a whole report."""

import json

import pytest

from assay.core.system import systems

STUDIES = [
    pytest.param(system, name, marks=pytest.mark.slow if name == system.main else ())
    for system in systems().values()
    for name in system.studies
]
"""The main studies take up to a minute; `make demo` and `make tour` run them."""


@pytest.mark.parametrize(("system", "name"), STUDIES, ids=lambda v: getattr(v, "name", v))
def test_a_study_runs_and_all_its_figures_are_drawn(system, name, tmp_path):
    run = system.study(name).run("tiny", store=tmp_path, workers=0, progress=False)
    report = json.loads((run.folder / "report" / "report.json").read_text())

    assert run.ok, run.summary["errors"]
    assert report["figures"]
    assert not report["problems"], report["problems"]
    assert all(check["passed"] for check in run.checks)
