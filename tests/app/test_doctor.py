"""`assay doctor` finds what it is meant to find."""

import json
import os

import pytest

from assay.app import doctor

from .conftest import make_package  # noqa: TID252


def findings(shell, **more):
    """All findings by what was looked at, from a process of its own."""
    code, out, err = shell.run("doctor", "--json", **more)
    return code, {f["what"]: f for f in json.loads(out)}, err


def test_a_sound_installation_has_no_problem(shell):
    code, found, err = findings(shell)

    assert (code, err) == (0, "")
    assert {"Python", "packages", "torch", "threads", "store", "coins"} <= set(found)
    assert {f["state"] for f in found.values()} <= {"ok", "note"}


def test_the_findings_are_printed_for_people(shell):
    code, out, err = shell("doctor")

    assert (code, err) == (0, "")
    assert "coins: 3 studies" in out


@pytest.mark.parametrize("name", doctor.BREAK_IMPORTS)
def test_a_package_that_breaks_imports_is_found(shell, name):
    """A torchvision built for another torch raises when it is imported."""
    folder = shell.folder / "site" / name
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('operator nms does not exist')")

    code, found, _ = findings(shell)

    assert code == 1
    assert found[name]["state"] == "problem"
    assert "operator nms does not exist" in found[name]["text"]
    assert f"pip uninstall {name}" in found[name]["text"]


def test_a_package_that_imports_is_well(shell):
    folder = shell.folder / "site" / "torchvision"
    folder.mkdir()
    (folder / "__init__.py").write_text("")

    assert findings(shell)[1]["torchvision"]["state"] == "ok"


@pytest.mark.parametrize(
    ("version", "said"), [("2.13.0+cpu", "a CPU build"), ("2.13.0+cu130", "a CUDA build")]
)
def test_the_build_of_torch_is_told_without_importing_it(shell, version, said):
    metadata = shell.folder / "site" / "torch-2.13.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")

    found = findings(shell)[1]["torch"]

    assert (found["state"], said in found["text"]) == ("ok", True)


def test_a_package_of_the_wrong_version_is_a_problem(shell, monkeypatch):
    optional = [f"{name}; extra == '{extra}'" for name in ("nor-this", "nor-that")
                for extra in ("climate", "all", "dev")]  # fmt: skip
    needs = ["numpy>=99", "typer>=0.1", "no-such-thing>=1", *optional]
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: needs)

    found = {f.what: f for f in doctor._packages()}

    assert found["packages"].text == "1 found"
    assert (found["numpy"].state, ">=99 is needed" in found["numpy"].text) == ("problem", True)
    assert found["the core"].state == "problem"
    assert found["the core"].text == "no-such-thing not installed; pip install no-such-thing"
    assert (found["climate"].state, found["climate"].text) == (
        "note",
        "nor-this, nor-that not installed; pip install 'assay[climate]'",
    )
    assert len(found) == 4


def test_a_store_that_cannot_be_made_is_a_problem(shell):
    (shell.folder / "file").touch()

    code, out, _ = shell("doctor", "--store", "file/store")

    assert code == 1
    assert "problem  store: file/store cannot be written" in out


def test_a_store_of_another_version_is_a_problem(shell):
    (shell.folder / "store").mkdir()
    (shell.folder / "store" / "layout").write_text("99\n")

    code, out, _ = shell("doctor")

    assert code == 1
    assert "was written by another version of assay" in out


def test_looking_does_not_make_a_store(shell):
    before = sorted(os.listdir(shell.folder))

    shell("doctor")

    assert sorted(os.listdir(shell.folder)) == before


def test_a_system_that_does_not_import_is_named_and_does_not_hide_the_others(shell):
    make_package(shell.folder / "site", "broken", {"__init__.py": "1 / 0"}, "broken:SYSTEM")

    code, found, _ = findings(shell)

    assert code == 1
    assert found["broken"]["state"] == "problem"
    assert "ZeroDivisionError: division by zero" in found["broken"]["text"]
    assert found["coins"]["text"] == "3 studies"
