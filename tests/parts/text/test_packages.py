"""Documentation of installed packages: read, never imported, and pinned."""

import json
from importlib.metadata import version

import pytest

from assay.core.component import describe
from assay.errors import DataError, ParameterError
from assay.parts.text import packages as module
from assay.parts.text.documents import corpus_facts, stored_documents
from assay.parts.text.packages import PACKAGES, documentation, package_documentation

LONG = "This sentence is there to make the paragraph long enough to be kept as a document. "


def paragraph(name):
    return f"About {name}. {LONG * 3}".strip()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An importable package that must not be imported."""
    files = {
        "__init__.py": f'"""{paragraph("init")}"""\nraise SystemExit("was imported")\n',
        "b.py": f'''
class Inner:
    """{paragraph("class")}

    {paragraph("init")}
    """

    async def method(self):
        """{paragraph("method")}"""
        text = """{paragraph("no documentation")}"""

if True:
    try:
        def function(): """{paragraph("function")}"""
    except ValueError: pass

def short(): """Too short."""

def again():
    """{paragraph("class")}"""
''',
        "a/deep.py": f'def f():\n    r"""{paragraph("raw")} \\d"""\n    "\\d"',
        "broken.py": f'"""{paragraph("broken")}"""\ndef (:',
        "half.py": f'"""{paragraph("half")} \\ud800"""',
        "tests/test_b.py": f'"""{paragraph("tests")}"""',
        "data.txt": paragraph("data"),
    }
    for name, content in files.items():
        path = tmp_path / "assay_invented" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    return "assay_invented"


def test_documentation_is_read_in_order_without_importing(package):
    found = list(documentation([package]))

    assert [d.name.rpartition(":")[0] for d in found] == [
        "assay_invented/__init__.py",
        "assay_invented/a/deep.py",
        *["assay_invented/b.py"] * 3,
    ]
    assert [d.text.split(".")[0] for d in found] == [
        f"About {name}" for name in ("init", "raw", "class", "method", "function")
    ]
    assert found[2].text == paragraph("class")  # without the paragraph that occurred before
    assert found[2].name == "assay_invented/b.py:2"
    assert found[0].sentences[1] == len("About init. ")


def test_a_sample_is_smaller_and_the_same_each_time(package):
    every = {d.text for d in documentation([package])}
    size = len(paragraph("method"))

    some = [[d.text for d in documentation([package], 2.5 * size)] for _ in range(2)]
    assert some[0] == some[1]
    assert 1 <= len(some[0]) <= 2
    assert sum(len(text.encode()) for text in some[0]) <= 2.5 * size
    assert set(some[0]) <= every | {f"{paragraph('class')}\n\n{paragraph('init')}"}


def test_a_sample_takes_files_from_everywhere(package, monkeypatch):
    read = []
    monkeypatch.setattr(module, "_strings", lambda file: read.append(file.name) or [])
    list(documentation([package], 1e6))
    list(documentation([package]))

    assert sorted(read[: len(read) // 2]) == sorted(read[len(read) // 2 :])
    assert read[: len(read) // 2] != read[len(read) // 2 :]


def test_the_corpus_says_what_it_is_made_of_and_can_be_pinned(package):
    made = package_documentation(packages=[package])
    facts = corpus_facts(made)

    assert facts["origin"]["packages"] == {package: "absent"}  # it is in no distribution
    assert facts["documents"] == len(list(stored_documents(made))) == 5
    pinned = package_documentation(packages=[package], expected_sha256=facts["sha256"])
    assert corpus_facts(pinned) == facts
    with pytest.raises(DataError, match=rf"sha256 {facts['sha256']}; expected abc"):
        package_documentation(packages=[package], expected_sha256="abc")


def test_megabytes_limit_the_corpus(package):
    made = package_documentation(packages=[package], megabytes=600e-6)

    assert 1 <= corpus_facts(made)["characters"] <= 600


def test_versions_count(package):
    made = describe(package_documentation)
    values = made.validate({"packages": ["numpy", package]}, "text")

    assert made.key_form(values)["packages"] == [
        {"numpy": version("numpy")},
        {package: "absent"},
    ]
    assert json.dumps(values["packages"])
    assert set(PACKAGES) <= set(made.requires)


@pytest.mark.parametrize("name", ["no_such_package", "os.path", "../numpy", "sys", ""])
def test_a_package_that_is_not_there_is_refused(name):
    with pytest.raises(ParameterError, match=r"text\.packages.*no installed package"):
        describe(package_documentation).validate({"packages": [name]}, "text")
    with pytest.raises(DataError, match="not installed"):
        list(documentation([name]))


def test_those_that_are_installed_are_the_default(package, monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("no_such_package", package))
    assert list(corpus_facts(package_documentation())["origin"]["packages"]) == [package]
    monkeypatch.setattr(module, "PACKAGES", ("no_such_package",))
    with pytest.raises(DataError, match="none of the packages is installed"):
        package_documentation()


def test_real_documentation_is_prose(tmp_path):
    texts = [d.text for d in documentation(["numpy"], 50_000)]

    assert sum(map(len, texts)) > 25_000
    assert len(set(texts)) == len(texts)
    assert any("array" in text for text in texts)
