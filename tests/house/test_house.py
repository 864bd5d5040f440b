"""The repository's own rules: what keeps ten systems alike without anybody watching."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import assay
from assay.app.results import results_section
from assay.core.system import systems

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
SYSTEMS = sorted(p.parent for p in (ROOT / "src/assay/systems").glob("*/__init__.py"))
HEADINGS = [
    "Claims",
    "Method in ten lines",
    "What is built",
    "What differs from the paper",
    "Data and licences",
    "Presets",
    "Metrics",
    "Results",
    "Limits",
    "References",
]
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "misc"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("folder", SYSTEMS, ids=lambda p: p.name)
def test_a_system_has_the_files_of_the_contract(folder):
    for name in ("README.md", "__init__.py", "study.py"):
        assert (folder / name).is_file(), f"{folder.name} lacks {name}"


@pytest.mark.parametrize("folder", SYSTEMS, ids=lambda p: p.name)
def test_a_paper_card_has_its_headings_in_order(folder):
    found = re.findall(r"^## (.+)$", (folder / "README.md").read_text(), re.MULTILINE)

    assert found == HEADINGS


@pytest.mark.parametrize("folder", SYSTEMS, ids=lambda p: p.name)
def test_a_paper_card_names_every_claim_check_preset_and_study(folder):
    card = (folder / "README.md").read_text()
    system = systems()[folder.name]
    for name in system.studies:
        study = system.study(name)
        wanted = [name, *(c.id for c in (*study.claims, *study.checks))]
        wanted += [f"--preset {preset}" for preset in study.presets]
        missing = [w for w in wanted if w not in card]
        assert not missing, f"{folder.name}/README.md does not name {missing}"


@pytest.mark.parametrize("folder", SYSTEMS, ids=lambda p: p.name)
def test_the_results_of_a_paper_card_are_those_committed_and_those_of_todays_claims(folder):
    card = (folder / "README.md").read_text()
    said = re.search(r"^## Results\n\n(.*?)\n\n## ", card, re.DOTALL | re.MULTILINE)
    system = systems()[folder.name]

    assert said
    assert said[1] == results_section(folder)
    for path in (folder / "results").glob("*.small.json"):
        result = json.loads(path.read_text())
        study = system.study(result["study"])
        assert [c["sentence"] for c in result["claims"]] == [c.sentence for c in study.claims]
        assert [c["id"] for c in result["checks"]] == [c.id for c in study.checks]


def test_every_system_folder_is_in_the_table_of_contents_and_the_reverse():
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]

    assert {p.name for p in SYSTEMS} == set(table["assay.systems"])


@pytest.mark.parametrize("name", sorted(systems()))
def test_every_preset_of_every_study_lays_out(name):
    system = systems()[name]
    for study_name in system.studies:
        study = system.study(study_name)
        assert "tiny" in study.presets
        for preset in study.presets:
            plan = study.plan(preset)
            assert plan.nodes
            assert study.presets[preset].note, f"{name}/{study_name} --preset {preset} has no note"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_and_functions_stay_small(path):
    tree = ast.parse(path.read_text())
    lines = len(path.read_text().splitlines())
    assert lines <= 520, f"{relative(path)} has {lines} lines; 400 is the sign to split"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            doc = len((ast.get_docstring(node) or "").splitlines())
            assert length - doc <= 85, f"{relative(path)}: {node.name} has {length} lines"


def test_no_file_has_a_name_that_says_nothing():
    assert not [relative(p) for p in SOURCES if p.stem in FORBIDDEN_NAMES]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_source_can_run_what_it_reads(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in {"eval", "exec", "pickle.load", "pickle.loads", "torch.load"}, name
            assert not any(
                k.arg == "shell" and getattr(k.value, "value", False) for k in node.keywords
            ), f"{relative(path)}:{node.lineno} starts a shell"
            assert not any(
                k.arg == "allow_pickle" and getattr(k.value, "value", False) for k in node.keywords
            ), f"{relative(path)}:{node.lineno} reads pickles"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_every_user_error_says_what_was_wrong_without_shouting(path):
    kinds = {
        "UsageError",
        "ParameterError",
        "WorkflowError",
        "DataError",
        "StepError",
        "ClaimError",
    }
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in kinds and node.args:
            first = node.args[0]
            text = first.value if isinstance(first, ast.Constant) else ""
            assert not str(text).endswith((".", "!")), f"{relative(path)}:{node.lineno}: {text}"


def test_the_public_names_are_all_there_and_no_others():
    for name in assay.__all__:
        assert getattr(assay, name) is not None

    assert sorted(assay._HOME) == assay.__all__
    with pytest.raises(AttributeError):
        assay.no_such_name  # noqa: B018


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    return set(json.loads(out.splitlines()[-1]))


HEAVY = {
    "torch", "transformers", "xarray", "matplotlib", "fastapi", "starlette", "numba", "rasterio",
    "pandas", "pyarrow", "scipy", "distributed", "altair", "vl_convert", "jinja2",
}  # fmt: skip


def test_importing_assay_is_next_to_nothing():
    extra = modules_after("import assay") - modules_after("")

    assert not extra & HEAVY
    assert len(extra) < 40


def test_importing_the_core_stays_light():
    extra = modules_after("import assay; from assay import Study, component, Workflow, Run")

    assert not extra & HEAVY


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom assay.app.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    )
    found = modules_after(code)

    assert not found & (HEAVY | {"numpy", "pydantic"})


def test_version_and_changelog_agree():
    heads = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert heads[0] == assay.__version__


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    needed = {re.split(r"[\[<>=~ ]", text)[0].lower() for group in groups for text in group}
    pinned = {
        line.partition("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }

    assert needed - {"assay"} <= pinned


def test_links_in_the_documentation_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.md")]
    broken = []
    for page in pages:
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if not link.startswith(("http://", "https://")) and not (page.parent / link).exists():
                broken.append(f"{relative(page)}: {link}")

    assert not broken


def test_every_verb_in_the_documentation_exists():
    import typer

    from assay.app.cli import app

    command = typer.main.get_command(app)
    verbs = set(command.list_commands(typer.Context(command)))  # those of systems too
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.md")]
    said = {v for p in pages for v in re.findall(r"^\s*\$? ?assay ([a-z]+)\b", p.read_text(), re.M)}

    assert said <= verbs


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=relative)
def test_every_example_is_short_and_runs(path, tmp_path):
    text = path.read_text()
    assert len(text.splitlines()) <= 60
    if "stable_baselines3" in text:
        pytest.importorskip("stable_baselines3", reason="it needs the extra dev")

    done = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
