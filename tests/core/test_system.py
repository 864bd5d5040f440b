"""Systems: one door for the built-in and for others, and a broken one stays alone."""

import importlib.metadata
import subprocess
import sys

import pytest

from assay.core import system as registry
from assay.core.system import GROUP, find_system, load, systems
from assay.errors import AssayError, UsageError

GOOD = """
from assay.core.system import System

SYSTEM = System(name="good", title="A good one", citation="Nobody 1900",
                studies={"main": "good.study:main", "odd": "good.study:odd",
                         "absent": "good.study:absent", "lost": "good.nowhere:main",
                         "needy": "good.needy:main", "faulty": "good.faulty:main",
                         "wrong": "good.study:wrong"},
                main="main", extra="special")
"""
STUDY = """
from assay import Study, Workflow, component
from assay.errors import DataError


@component
def one() -> float:
    return 1.0


def main():
    flow = Workflow("main")
    flow.step("one", one)
    return Study(flow)


def odd():
    return 3


def wrong():
    raise DataError("the table is empty", where="table.csv")
"""
FILES = {
    "__init__.py": GOOD, "study.py": STUDY, "needy.py": "import a_library_nobody_has\n",
    "faulty.py": "raise RuntimeError('two\\nlines')\n",
}  # fmt: skip


class Site:
    """A folder of installed packages."""

    def __init__(self, folder):
        self.folder, self.names = folder, []

    def install(self, package, files, *entries):
        """Put a package with entry points there, as pip would."""
        home = self.folder / package
        home.mkdir(parents=True)
        for name, text in files.items():
            (home / name).write_text(text)
        meta = self.folder / f"{package}-1.5.dist-info"
        meta.mkdir()
        (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        lines = "\n".join(entries)
        (meta / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}\n")
        self.names.append(package)
        forget()


def forget():
    registry._entries.cache_clear()
    find_system.cache_clear()


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    made = Site(tmp_path)
    yield made
    for name in [n for n in sys.modules if n.partition(".")[0] in made.names]:
        del sys.modules[name]
    forget()


def slip(call):
    """The one line that a mistake gives."""
    with pytest.raises(AssayError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- the door -----------------------------------------------------------------------------------


def test_built_in_systems_come_in_by_the_door_of_all_others():
    entries = {e.name: e.value for e in importlib.metadata.entry_points(group=GROUP)}

    assert entries["climate_impact"] == "assay.systems.climate_impact:SYSTEM"
    assert find_system("climate_impact") is systems()["climate_impact"]


def test_a_system_of_another_package_stands_beside_them(site):
    site.install("good", FILES, "good = good:SYSTEM")

    assert list(systems()) == sorted(systems())
    assert {"good", "climate_impact"} <= set(systems())
    assert find_system("good").study().name == "main"
    assert find_system("good").study("main").flow.steps.keys() == {"one"}
    assert find_system("good").folder() == site.folder / "good"


def test_one_package_may_bring_several(site):
    text = GOOD + "OTHER = System('other', 't', 'c', {'m': 'good.study:main'}, 'm')\n"
    site.install("good", {**FILES, "__init__.py": text}, "good = good:SYSTEM", "other = good:OTHER")

    assert {"good", "other"} <= set(systems())


def test_finding_one_system_imports_no_other(site):
    site.install("good", FILES, "good = good:SYSTEM")
    site.install("loud", {"__init__.py": "raise SystemExit('loud')"}, "loud = loud:SYSTEM")

    assert find_system("good").name == "good"
    assert "loud" not in sys.modules
    assert "good.study" not in sys.modules


def test_the_table_of_contents_imports_nothing_heavy():
    code = (
        "import sys; from assay.core.system import systems; systems();"
        "print(sorted({'numpy', 'pandas', 'pydantic', 'numba', 'rasterio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


# -- broken ones --------------------------------------------------------------------------------

BROKEN = {
    "does not import": ("1 / 0", "system 'bad' cannot be loaded (ZeroDivisionError: division by"),
    "says several lines": ("raise RuntimeError('two\\nlines')", "(RuntimeError: two lines)"),
    "is no python": ("def", "(SyntaxError: "),
    "leaves": ("import sys; sys.exit('bye')", "system 'bad' cannot be loaded (SystemExit: bye)"),
    "needs what is not there": ("import a_library_nobody_has", "No module named 'a_library_nobody"),
    "has no such name": ("X = 1", "system 'bad' cannot be loaded (AttributeError: "),
    "is a number": ("SYSTEM = 3", "bad:SYSTEM is 3; expected a System named 'bad' whose main stu"),
    "is something long": ("SYSTEM = 'x' * 10**6", "bad:SYSTEM is 'xxxx"),
    "has another name": (
        "from assay import System\nSYSTEM = System('worse', 't', 'c', {'m': 'bad.s:m'}, 'm')",
        "expected a System named 'bad'",
    ),
    "has no main study": (
        "from assay import System\nSYSTEM = System('bad', 't', 'c', {'m': 'bad.s:m'}, 'n')",
        "whose main study is one of its studies",
    ),
    "has no studies": (
        "from assay import System\nSYSTEM = System('bad', 't', 'c', {}, '')",
        "whose main study is one of its studies",
    ),
    "refuses itself": (
        "from assay.errors import DataError\nraise DataError('no table', where='t.csv')",
        "system 'bad' cannot be loaded (t.csv: no table)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_system_breaks_no_other_and_is_named_in_one_line(site, how):
    text, message = BROKEN[how]
    site.install("good", FILES, "good = good:SYSTEM")
    site.install("bad", {"__init__.py": text}, "bad = bad:SYSTEM")

    with pytest.warns(UserWarning, match="package bad") as told:
        found = systems()
    assert "bad" not in found
    assert {"good", "climate_impact"} <= set(found)
    assert len(told) == 1
    assert "\n" not in str(told[0].message)
    assert len(str(told[0].message)) < 400

    said = slip(lambda: find_system("bad"))
    assert said.startswith("package bad 1.5: ")
    assert message in said


def test_an_unknown_system_is_told_with_the_nearest(site):
    site.install("good", FILES, "good = good:SYSTEM")

    assert slip(lambda: find_system("goood")) == "no system 'goood'. Did you mean 'good'?"
    assert "climate_impact" in slip(lambda: find_system("zzz"))


def test_two_packages_that_claim_one_name_are_both_named(site):
    site.install("good", FILES, "good = good:SYSTEM")
    site.install("rival", {"__init__.py": GOOD}, "good = rival:SYSTEM")

    said = slip(lambda: find_system("good"))
    assert "both bring a system 'good'. Uninstall one of them" in said
    assert "rival" in said
    with pytest.warns(UserWarning, match="both bring"):
        assert "climate_impact" in systems()


def test_the_same_package_met_twice_is_one(site, monkeypatch):
    """An editable installation can be on the path by two ways."""
    site.install("good", FILES, "good = good:SYSTEM")
    twin = site.folder / "twin" / "good-1.5.dist-info"
    twin.mkdir(parents=True)
    for file in (site.folder / "good-1.5.dist-info").iterdir():
        (twin / file.name).write_text(file.read_text().replace("Name: good", "Name: good-copy"))
    monkeypatch.syspath_prepend(site.folder / "twin")
    forget()

    assert find_system("good").name == "good"


# -- its studies --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("mian", "good: no study 'mian'. Did you mean 'main'?"),
        ("odd", "good: good.study:odd gave a int; expected a Study"),
        ("absent", "good: good.study has no 'absent'"),
        ("lost", "good: no module 'good.nowhere'"),
        ("needy", "'a_library_nobody_has'. Install it with `pip install 'good[special]'`"),
        ("faulty", "good: good.faulty cannot be imported: RuntimeError: two lines"),
        ("wrong", "table.csv: the table is empty"),
    ],
)  # fmt: skip
def test_a_study_that_cannot_be_built_is_one_line(site, study, message):
    site.install("good", FILES, "good = good:SYSTEM")

    assert message in slip(lambda: find_system("good").study(study))


def test_a_missing_module_of_its_own_is_no_missing_library(site):
    site.install("good", FILES, "good = good:SYSTEM")

    assert "pip install" not in slip(lambda: find_system("good").study("lost"))


@pytest.mark.parametrize("reference", ["", "math", "math:", ":sqrt", "math:sqroot", "no.such:x"])
def test_a_reference_that_leads_nowhere_is_told(reference):
    with pytest.raises(UsageError):
        load(reference)


def test_a_reference_is_imported():
    import math

    assert load("math:sqrt") is math.sqrt
