"""Identity: what changes a digest and what must not."""

import ast
import importlib
import json
import os
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core import identity
from assay.core.component import component, describe
from assay.core.identity import content_digest, digest, library_versions, tree_text
from assay.errors import WorkflowError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def shuffled(value, order):
    if isinstance(value, dict):
        keys = sorted(value, key=lambda k: (order.random(), k))
        return {k: shuffled(value[k], order) for k in keys}
    return [shuffled(v, order) for v in value] if isinstance(value, list) else value


@given(JSON, st.randoms())
def test_the_order_of_keys_does_not_matter(value, order):
    assert digest(shuffled(value, order)) == digest(value)


@given(JSON, JSON)
def test_different_values_have_different_digests(one, other):
    """Different as JSON: 1 and 1.0 and true are three values there."""
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (digest(one) == digest(other)) == same


def test_the_digest_of_the_empty_mapping_is_the_well_known_one():
    """SHA-256 of the two bytes ``{}``, the empty config of the OCI image specification."""
    known = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

    assert digest({}) == known


def test_the_digest_is_that_of_compact_ascii_json():
    """Computed with `printf ... | sha256sum`."""
    text = r'{"a":"\u00fc","b":[1,2.5,null,true]}'
    tool = subprocess.run(["sha256sum"], input=text.encode(), capture_output=True, check=True)

    assert digest({"b": [1, 2.5, None, True], "a": "ü"}) == tool.stdout.split()[0].decode()


def test_numbers_that_json_lacks_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        digest(float("nan"))


def test_a_folder_is_not_a_file_that_holds_its_listing(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("x")
    listing = json.dumps(["folder", [["a", content_digest(folder / "a")]]], separators=(",", ":"))
    (tmp_path / "file").write_text(listing)

    assert content_digest(folder) == digest(json.loads(listing))
    assert content_digest(tmp_path / "file") != digest(["file", listing])
    with (tmp_path / "file").open("a") as file:
        file.write("\n")
    assert content_digest(folder) != content_digest(tmp_path / "file")


# -- code ---------------------------------------------------------------------------------------

SAME = [
    ("def f(x):\n    return x + 1\n", "def f( x ) :  # why\n\n    return (x\n        + 1)\n"),
    ("def f():\n    return 1\n", 'def f():\n    """Say."""\n    return 1\n'),
    ("class A:\n    x = 1\n", 'class A:\n    """Say."""\n\n    x = 1\n    """A field."""\n'),
    ("def f():\n    pass\n", 'def f():\n    """Say."""\n'),
    ("x = 'a'\n", '"""Module."""\nx = "a"\n'),
    ("x = 1000\n", "x = 1_000\n"),
]
DIFFERENT = [
    ("def f(x):\n    return x + 1\n", "def f(x):\n    return x + 2\n"),
    ("def f(x):\n    return x + 1\n", "def f(x):\n    return x - 1\n"),
    ("def f(x, y):\n    return x\n", "def f(y, x):\n    return x\n"),
    ("def f():\n    return 'text'\n", "def f():\n    return 'Text'\n"),
    ("x = 1\n", "x = 1.0\n"),
    ("if a:\n    f()\ng()\n", "if a:\n    f()\n    g()\n"),
    ("@a\ndef f(): ...\n", "@b\ndef f(): ...\n"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_explaining_and_formatting_change_nothing(one, other):
    assert tree_text(ast.parse(one)) == tree_text(ast.parse(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_code_changes_the_identity(one, other):
    assert tree_text(ast.parse(one)) != tree_text(ast.parse(other))


PACKAGE = {
    "__init__.py": "from {0}.shared import constant\nVERSION = 1\n",
    "model.py": """
        import json
        from assay.core.component import component
        from {0} import grids
        from . import noise as n
        from .deep.inner import depth
        from {0}_beside import helper

        @component
        def model(*, x: int = 1) -> int:
            from {0}.lazily import late
            return late(x)
        """,
    "grids.py": "def grid(): return 1\n",
    "noise.py": "from .far import distance\n",
    "far.py": "def distance(): return 1\n",
    "lazily.py": "def late(x): return x\n",
    "unrelated.py": "y = 1\n",
    "shared.py": "constant = 1\n",
    "deep/__init__.py": "z = 1\n",
    "deep/inner.py": "from ..shared import constant\nfrom .. import VERSION\ndepth = 1\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a module beside it, in a folder that is on the path."""
    name = f"package_{tmp_path.name.replace('-', '_')}"
    for path, text in PACKAGE.items():
        file = tmp_path / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text.replace("{0}", name)))
    (tmp_path / f"{name}_beside.py").write_text("def helper(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / name


def identity_of(package):
    for cached in (identity.module_path, identity.source_root, identity._read_module):
        cached.cache_clear()
    importlib.invalidate_caches()
    module = importlib.import_module(f"{package.name}.model")
    function = module.model
    component(function)
    return describe(function).identity


@pytest.mark.parametrize(
    "path",
    [
        "model.py", "grids.py", "noise.py", "far.py", "lazily.py", "shared.py", "deep/inner.py",
        "__init__.py", "../{0}_beside.py",
    ],
)  # fmt: skip
def test_every_module_of_the_distribution_that_is_reached_counts(package, path):
    """By absolute, relative, nested and late imports, and beside the package."""
    before = identity_of(package)
    file = package / path.replace("{0}", package.name)
    file.write_text(file.read_text() + "\n# a comment\n")
    assert identity_of(package) == before
    file.write_text(file.read_text() + "\nadded = 1\n")

    assert identity_of(package) != before


@pytest.mark.parametrize("path", ["unrelated.py", "deep/__init__.py"])
def test_a_module_that_is_not_reached_does_not_count(package, path):
    """A package on the way to a module gives nothing of its own."""
    before = identity_of(package)
    (package / path).write_text("added = 1\n")

    assert identity_of(package) == before


def test_looking_at_code_imports_nothing(package):
    identity_of(package)

    assert f"{package.name}.lazily" not in sys.modules


def test_a_module_that_cannot_be_parsed_is_told_with_its_line(package):
    (package / "lazily.py").write_text("x = 1\ndef f(:\n")

    with pytest.raises(WorkflowError, match=r"lazily\.py:2: cannot be parsed"):
        identity_of(package)


def test_the_core_and_installed_libraries_are_not_part_of_the_identity():
    from assay.systems.climate_impact import data

    reached = {name for name, _ in identity.module_trees(data.__name__)}

    assert "assay.systems.climate_impact.rasters" in reached
    assert not {n for n in reached if n.startswith(("assay.core", "assay.errors", "numpy"))}
    assert "assay" not in reached


def test_version_name_and_requirements_are_part_of_the_identity():
    def f() -> int:
        return 1

    def g() -> int:
        return 1

    def identity_with(function=f, **options):
        return describe(component(**options)(function)).identity

    assert identity_with() == identity_with()
    found = {
        identity_with(),
        identity_with(g),
        identity_with(version="2"),
        identity_with(requires=["numpy"]),
        identity_with(requires=["scipy"]),
    }
    assert len(found) == 5


def test_libraries_are_found_by_distribution_or_module_and_may_be_absent():
    import numpy
    import yaml

    assert library_versions(["yaml", "numpy", "no-such-library"]) == {
        "no-such-library": "absent",
        "numpy": numpy.__version__,
        "yaml": yaml.__version__,
    }


def test_the_identity_is_equal_across_processes_and_hash_seeds():
    code = (
        "from core import toys; from assay.core.component import describe;"
        "print([describe(f).identity for f in (toys.scale, toys.sort_lines, toys.configured)])"
    )
    tests = os.path.dirname(os.path.dirname(__file__))
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": tests, "PYTHONHASHSEED": str(seed), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    }

    assert len(found) == 1
