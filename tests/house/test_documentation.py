"""What the pages tell a newcomer to type does what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from assay.core.files import read_study

ROOT = Path(__file__).resolve().parents[2]
MODEL = '''
from pathlib import Path

from assay import File, Records, component


@component
def read_terrain(*, path: File, rows: int = 0) -> float:
    """Ground."""
    return float(Path(path).read_text())


@component
def design_storm(*, return_period_years: float = 10.0) -> float:
    """Rain."""
    return return_period_years


@component
def inundation(terrain: float, rain: float, *, manning: float = 0.03) -> float:
    """Depth."""
    return rain * manning + terrain


@component
def annual_damage(floods: list[float]) -> Records:
    """Damage."""
    records = Records()
    records.add("damage", sum(floods))
    return records


@component
def learned_damage(floods: list[float]) -> Records:
    """Damage, learned."""
    return annual_damage(floods)
'''


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def python(folder, *words):
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "ASSAY_STORE": str(folder / "store"),
    }
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tutorial_runs_as_it_is_printed(tmp_path):
    """The file it builds, run twice; then its commands, one after the other."""
    (tmp_path / "centre.py").write_text(
        "\n\n".join(blocks("docs/tutorial/first-study.md", "python"))
    )
    first = python(tmp_path, sys.executable, "centre.py")
    again = python(tmp_path, sys.executable, "centre.py")
    verdict = re.compile(r"^0 +M1 +undecided ", re.MULTILINE)
    assert verdict.search(first)
    assert verdict.search(again)

    page = (ROOT / "docs/tutorial/first-study.md").read_text()
    shell = re.findall(r"^  ((?:python|assay) .*)$", page, re.MULTILINE)
    assert len(shell) == 4
    for line in shell:
        python(tmp_path, "bash", "-c", line)


def test_the_python_of_the_front_page_runs(tmp_path):
    (block,) = blocks("README.md", "python")
    (tmp_path / "page.py").write_text(
        block.replace("study.run()", "study.run(workers=0)") + "assert len(run.records) == 60\n"
    )
    python(tmp_path, sys.executable, "page.py")


@pytest.mark.parametrize("number", range(3))
def test_the_study_files_of_the_page_run(tmp_path, number, monkeypatch):
    text = blocks("docs/how-to/study-files.md", "yaml")[number]
    if "workflow:" in text and "name:" not in text:
        text = "name: piece\n" + text
    (tmp_path / "my_flood.py").write_text(MODEL)
    (tmp_path / "dem.tif").write_text("1.5")
    (tmp_path / "study.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)

    run = read_study("study.yaml").run(workers=0, report=False, progress=False)

    assert run.ok
    assert len(run.records)


def test_the_last_study_file_of_the_page_changes_a_study_that_exists(tmp_path):
    (tmp_path / "study.yaml").write_text(blocks("docs/how-to/study-files.md", "yaml")[-1])

    study = read_study(tmp_path / "study.yaml")

    assert study.name == "flood_risk"
    assert study.plan().trials[-1].seed is not None


def test_the_programs_of_the_page_are_components(tmp_path):
    (block,) = blocks("docs/how-to/programs.md", "python")
    (tmp_path / "page.py").write_text(
        block + "from assay.core.component import describe\n"
        "assert list(describe(watershed).outputs) == ['basins', 'streams']\n"
        "assert list(describe(slope).params) == ['scale']\n"
    )
    python(tmp_path, sys.executable, "page.py")


def test_the_verbs_of_the_store_page_run(tmp_path):
    (tmp_path / "made.py").write_text((ROOT / "examples/first_study.py").read_text())
    python(tmp_path, sys.executable, "made.py")
    for line in blocks("docs/how-to/store.md", "")[0].splitlines():
        words = line.partition("#")[0].split()
        if "RUN" not in words and "climate_impact" not in words:
            python(tmp_path, *words)
