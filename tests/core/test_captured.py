"""Identity of what has no module: cells and scripts are known by what they reach."""

import functools
import subprocess
import sys
import types

import pytest

from assay.core.captured import captured
from assay.core.identity import digest
from assay.errors import WorkflowError

CELL = '''
import functools, math
import numpy as np
from dataclasses import dataclass

LIMIT = 3
WORDS = {"b", "a", "c"}
TABLE = np.arange(4)
METHODS = {"double": lambda x: 2 * x}

@dataclass
class Config:
    rate: float = 0.1
    def doubled(self):
        return self.rate * FACTOR

FACTOR = 2
CONFIG = Config()

def unrelated():
    return 1

def helper(x, power=2):
    return x ** power

@functools.lru_cache
def cached(x):
    return helper(x)

def wrap(function):
    @functools.wraps(function)
    def inner(x):
        return function(x) + 1
    return inner

@wrap
def wrapped(x):
    return x

def outer():
    enclosed = 5
    def compute(x):
        """Compute."""
        inside = [LIMIT for _ in range(3)]
        return cached(x) + wrapped(x) + CONFIG.doubled() + TABLE.sum() + len(WORDS) + enclosed
    return compute

compute = outer()
partial = functools.partial(helper, power=3)
def uses_partial(x): return partial(x) + METHODS["double"](x)
'''


def cell(text, name="compute"):
    """Run a cell as a notebook would: its source is kept, its module has no file."""
    import linecache

    lines = text.splitlines(keepends=True)
    file = f"<cell {digest(text)}>"
    linecache.cache[file] = (len(text), None, lines, file)
    module = types.ModuleType("__main__")
    before = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        exec(compile(text, file, "exec"), vars(module))
        return captured(vars(module)[name])
    finally:
        sys.modules["__main__"] = before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ('"c"}', '"d"}'),
        ("np.arange(4)", "np.arange(5)"),
        ("rate: float = 0.1", "rate: float = 0.2"),
        ("self.rate * FACTOR", "self.rate + FACTOR"),
        ("FACTOR = 2", "FACTOR = 3"),
        ("return x ** power", "return power ** x"),
        ("power=2", "power=4"),
        ("function(x) + 1", "function(x) + 2"),
        ("def wrapped(x):\n    return x", "def wrapped(x):\n    return -x"),
        ("enclosed = 5", "enclosed = 6"),
        ("range(3)", "range(4)"),
        ("Config()", "Config(rate=0.3)"),
    ],
)
def test_whatever_a_cell_reaches_counts(old, new):
    assert old in CELL

    assert cell(CELL.replace(old, new)) != cell(CELL)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Compute."""', '"""Say what it computes."""'),
        ("return 1\n", "return 2\n"),
        ('{"b", "a", "c"}', '{"c", "b", "a"}'),
        ("import functools, math", "import functools, math, json"),
        ("x ** power", "x**power  # why"),
        ("\nLIMIT = 3", "\n\n\nLIMIT = 3"),
    ],
)
def test_what_a_cell_does_not_reach_and_how_it_is_written_does_not_count(old, new):
    assert old in CELL

    assert cell(CELL.replace(old, new)) == cell(CELL)


@pytest.mark.parametrize(
    ("old", "new"), [("power=3", "power=4"), ("2 * x", "3 * x"), ("x ** power", "x + power")]
)
def test_partial_functions_and_tables_of_functions_are_followed(old, new):
    changed = CELL.replace(old, new)

    assert cell(changed, "uses_partial") != cell(CELL, "uses_partial")


def test_a_value_without_a_lasting_form_is_refused_by_name():
    text = "stream = (n for n in range(3))\ndef compute(x):\n    return next(stream)\n"

    with pytest.raises(WorkflowError, match=r"reaches 'stream', a generator .* Make it an input"):
        cell(text)


def test_without_source_the_bytecode_counts():
    def run(text):
        module = types.ModuleType("__main__")
        exec(text, vars(module))
        return captured(vars(module)["f"])

    one = "def f(x):\n    return [y for y in x if y in {'a', 'b', 'c'}]\n"

    assert run(one) == run(one)
    assert run(one) != run(one.replace("'c'", "'d'"))


def test_an_indented_function_with_a_text_at_the_margin_is_read():
    def odd():
        return """
at the margin
"""

    odd.__module__ = "__main__"
    [[_, text]] = captured(odd)

    assert isinstance(text, str)
    assert "at the margin" in text


SCRIPT = """
from assay.core.component import component, describe
import beside

WORDS = frozenset({"b", "a", "c"})

def helper(x):
    return x in WORDS

@component
def f(*, x: int = 1) -> int:
    return beside.g(helper(x))

print(describe(f).identity)
"""


def test_a_script_is_equal_across_processes_and_counts_the_module_beside_it(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    beside = tmp_path / "beside.py"

    def run(text, seed="1"):
        beside.write_text(text)
        return subprocess.run(
            [sys.executable, "-B", "script.py"],
            cwd=tmp_path,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    first = run("def g(x): return x\n")
    assert first
    assert run("def g(x): return x  # same\n", seed="2") == first
    assert run("def g(x): return -x\n") != first


def test_a_cached_function_is_followed_behind_its_cache():
    @functools.lru_cache
    def inner(x):
        return x

    def outer(x):
        return inner(x)

    for function in (inner.__wrapped__, outer):
        function.__module__ = "__main__"

    assert [name for name, _ in captured(outer)] == ["", ".inner.wrapped"]
