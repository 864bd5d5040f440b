"""Command-line programs as components: files in, files out, no shell, and honest failures."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from assay.core.component import Component, File, Folder, describe
from assay.core.decisions import sweep
from assay.core.program import program
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.errors import StepError, WorkflowError
from core import toys

PYTHON = sys.executable
COPY = "import shutil, sys; shutil.copyfile(*sys.argv[1:])"
SHOW = "import json, sys; json.dump(sys.argv[2:], open(sys.argv[1], 'w'))"


class Parts(NamedTuple):
    head: File
    rest: Folder


@program([PYTHON, "-c", COPY, "{given}", "{copied:.txt}"])
def copy(given: File) -> File:
    """Copy a file."""


@program([PYTHON, "-c", SHOW, "{out:.json}", "--by={by:.2f}", "{names}", "{size}", "{{as is}}"])
def show(*, by: float = 1.0, names: list[str] = [], size: int | None = None) -> File:  # noqa: B006
    """Write the arguments down."""


@program([PYTHON, "-c", SHOW, "{out}", "{first}", "{rest}", "{maybe}"])
def show_files(first: File, rest: list[File], maybe: File | None = None) -> File:
    """Write the names of the files down."""


SPLIT = (
    "import pathlib, sys; a, b, text = sys.argv[1:]; pathlib.Path(a).write_text(text[0]);"
    "p = pathlib.Path(b); p.mkdir(); (p / 'rest').write_text(text[1:])"
)


@program([PYTHON, "-c", SPLIT, "{head:.txt}", "{rest}", "{text}"])
def split(*, text: str) -> Parts:
    """Two outputs, a file and a folder."""


@program([PYTHON, "-c", "{code}", "{out:.txt}"])
def run_code(*, code: str) -> File:
    """Whatever the code does."""


def arguments(path):
    import json

    return json.loads(path.read_text())


def run_of(flow, store, **options):
    return Study(flow).run(workers=0, progress=False, report=False, store=store, **options)


# -- called directly ----------------------------------------------------------------------------


def test_called_directly_it_runs_the_program_and_returns_the_file(tmp_path):
    given = tmp_path / "given.txt"
    given.write_text("hello")
    copied = copy(given)

    assert copied.read_text() == "hello"
    assert copied.name == "copied.txt"
    assert copied.parent != tmp_path


def test_a_relative_path_means_the_folder_of_the_caller(tmp_path, monkeypatch):
    (tmp_path / "given.txt").write_text("hello")
    monkeypatch.chdir(tmp_path)

    assert copy(Path("given.txt")).read_text() == "hello"
    assert copy("given.txt").read_text() == "hello"


def test_placeholders_take_formats_lists_and_nothing():
    assert arguments(show(by=2, names=["a b", "-c"], size=7)) == [
        "--by=2.00", "a b", "-c", "7", "{as is}"
    ]  # fmt: skip
    assert arguments(show()) == ["--by=1.00", "{as is}"]


def test_no_shell_reads_the_arguments(tmp_path):
    nasty = ["; touch pwned", "$(touch pwned)", "`id`", "* > x", "a\nb", "'", '"', "{by}", "é🌊"]
    shown = show(names=nasty)

    assert arguments(shown)[1:-1] == nasty
    assert [p.name for p in shown.parent.iterdir() if p.suffix != ".log"] == ["out.json"]


def test_files_are_given_by_whole_path(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text(path.name)

    some = show_files(paths[0], paths[1:])
    assert arguments(some) == [str(p) for p in paths]
    assert arguments(show_files(paths[0], [], paths[1])) == [str(p) for p in paths[:2]]


def test_several_outputs_are_the_fields_of_a_named_tuple():
    made = split(text="abc")

    assert isinstance(made, Parts)
    assert made.head.read_text() == "a"
    assert (made.rest / "rest").read_text() == "bc"


# -- when it goes wrong -------------------------------------------------------------------------


def failure(code):
    with pytest.raises(StepError) as caught:
        run_code(code=code)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_program_that_fails_shows_its_code_and_the_end_of_what_it_said():
    code = "import sys; print('x' * 3000); print('bad\\nnews ü', file=sys.stderr); sys.exit(3)"
    said = failure(code)

    assert "ended with code 3: " in said
    assert said.endswith("bad news ü")
    assert len(said) < 600


def test_a_program_that_fails_in_silence_is_told():
    assert failure("import sys; sys.exit(1)").endswith("ended with code 1: no message")


def test_a_program_that_a_signal_ends_is_told():
    said = failure("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")

    assert "ended with code -15" in said


def test_bytes_that_are_no_text_do_not_hide_the_failure():
    said = failure("import sys; sys.stderr.buffer.write(b'\\xff\\xfe oh'); sys.exit(2)")

    assert said.endswith("oh")


def test_an_output_that_was_not_written_is_told():
    assert failure("pass").endswith("ended well but did not write file 'out' (out.txt)")


def test_a_folder_where_a_file_is_wanted_is_told():
    assert "did not write file 'out'" in failure("import os, sys; os.mkdir(sys.argv[1])")


def test_a_missing_program_is_told():
    @program("no-such-program-anywhere {out}")
    def missing() -> File:
        """Nothing."""

    with pytest.raises(StepError, match="no program 'no-such-program-anywhere' on the path"):
        missing()


def test_a_file_that_is_no_program_is_told(tmp_path):
    (tmp_path / "words").write_text("just words")
    (tmp_path / "words").chmod(0o755)

    @program([str(tmp_path / "words"), "{out}"])
    def words() -> File:
        """Nothing."""

    with pytest.raises(StepError, match="cannot be started"):
        words()


def test_the_program_reads_nothing_from_the_terminal():
    code = "import sys; assert sys.stdin.read() == ''; open(sys.argv[1], 'w').write('x')"

    assert run_code(code=code).read_text() == "x"


# -- in a study ---------------------------------------------------------------------------------


def test_a_program_is_a_step_like_any_other(tmp_path):
    flow = Workflow("flow")
    text = flow.step("text", toys.text_file, text="c\na\nb\n")
    sorted_ = flow.step("sorted", toys.sort_lines, unsorted=text)
    flow.output("first", flow.step("first", toys.first_line, path=sorted_))
    run = run_of(flow, tmp_path / "store")

    assert run.ok
    assert run.load("first") == "a"
    assert run.load("sorted").read_text() == "a\nb\nc\n"
    assert run_of(flow, tmp_path / "store").summary["steps"] == {"cached": 3}


def test_ports_of_a_program_feed_other_steps(tmp_path):
    flow = Workflow("flow")
    made = flow.step("split", split, text="abc")
    flow.step("line", toys.first_line, path=flow.step("copy", copy, given=made.head))

    assert run_of(flow, tmp_path).load("line") == "a"


def test_a_failing_program_costs_its_trial_and_says_why(tmp_path):
    flow = Workflow("flow")
    fails = "import sys; sys.exit('out of [memory]')"
    works = "import sys; open(sys.argv[1], 'w').write('x')"
    made = flow.step("p", run_code, code=works)
    flow.step("line", toys.first_line, path=made)
    study = Study(flow, decisions={"which": sweep("p.code", [fails, works])})
    run = study.run(workers=0, progress=False, report=False, store=tmp_path)

    assert run.summary["failed"] == 1
    assert run.load("line", trial=1) == "x"
    (error,) = run.summary["errors"]
    assert error["error"].startswith("p: ")
    assert error["error"].endswith("ended with code 1: out of [memory]")
    assert not error["trace"]


def test_an_attempt_that_was_interrupted_leaves_nothing_in_the_way(tmp_path):
    """A second attempt in the same folder meets files of the first."""
    from assay.core.task import Task, _current

    folder = tmp_path / "scratch"
    (folder / "rest").mkdir(parents=True)
    (folder / "rest" / "old").touch()
    (folder / "head.txt").write_text("old")
    token = _current.set(Task("s", "k", 1, folder))
    try:
        made = split(text="abc")
    finally:
        _current.reset(token)

    assert [p.name for p in made.rest.iterdir()] == ["rest"]
    assert made.head.read_text() == "a"


def test_the_threads_of_the_step_reach_the_program():
    code = "import os, sys; open(sys.argv[1], 'w').write(os.environ['OMP_NUM_THREADS'])"
    from assay.core.task import Task, _current

    token = _current.set(Task("s", "k", 3))
    try:
        assert run_code(code=code).read_text() == "3"
    finally:
        _current.reset(token)


# -- identity -----------------------------------------------------------------------------------


def declared(command, **options):
    @program(command, **options)
    def same(x: File, *, by: float = 1.0) -> File:
        """The same."""

    return describe(same)


def test_the_command_the_version_and_the_image_are_the_identity():
    base = declared("tool {x} {out}")
    others = [
        declared("tool -v {x} {out}"),
        declared("tool {x} {out:.tif}"),
        declared("other {x} {out}"),
        declared("tool {x} {out}", version="2"),
        declared("tool {x} {out}", image="tool:1"),
        declared("tool {x} {out}", image="tool:2"),
        declared("tool {x}{out}"),
        declared("tool {x} {out} {by}"),
    ]

    assert declared(["tool", "{x}", "{out}"]).identity == base.identity
    assert declared("tool {x} {out}", keep=False).identity == base.identity
    assert len({base.identity, *(o.identity for o in others)}) == 1 + len(others)


def test_a_file_counts_by_content_and_a_parameter_by_value(tmp_path):
    @program([PYTHON, "-c", COPY, "{path}", "{out}"])
    def read(*, path: File) -> File:
        """Copy."""

    def key(name, text):
        (tmp_path / name).write_text(text)
        flow = Workflow("flow")
        flow.step("r", read, path=tmp_path / name)
        return list(Study(flow).plan().nodes)

    assert key("a", "same") == key("b", "same") != key("a", "other")


# -- declarations -------------------------------------------------------------------------------


def file_to_file(x: File, *, by: float = 1.0) -> File: ...
def maybe_file(x: File | None = None) -> File: ...
def many_files(xs: list[File]) -> File: ...
def number_in(x: float) -> File: ...
def number_out(x: File) -> float: ...
def maybe_out(x: File) -> File | None: ...
def two_out(x: File) -> Parts: ...
def optional_number(*, by: float | None = None) -> File: ...
def listed_numbers(*, by: list[float]) -> File: ...


@pytest.mark.parametrize(
    ("command", "function", "message"),
    [
        ("tool {x} {out", file_to_file, "'{out' cannot be read"),
        ("tool {x} {out} 'a", file_to_file, "cannot be split: No closing quotation"),
        ("", file_to_file, "the command is empty"),
        ([], file_to_file, "the command is empty"),
        ("tool {x} {}", file_to_file, "placeholder {} is not a name. Double braces that stay"),
        ("tool {x} {0}", file_to_file, "placeholder {0} is not a name"),
        ("tool {x.name} {out}", file_to_file, "placeholder {x.name} is not a name"),
        ("tool {x!r} {out}", file_to_file, "placeholder {x} is not a name"),
        ("tool {x} {out} {by:{by}}", file_to_file, "placeholder {by} is not a name"),
        ("tool {x}", file_to_file, "0 placeholders are neither input nor parameter"),
        ("tool {x} {out} {boy}", file_to_file, "2 placeholders are neither input nor parameter: o"),
        ("tool {x:.txt} {out}", file_to_file, "input 'x' has its own suffix and takes no '.txt'"),
        ("tool --x={x} {out}", maybe_file, "may be several files or none, and '--x={x}' is one"),
        ("tool a{xs} {out}", many_files, "input 'xs' may be several files or none"),
        ("tool --by={by} {out}", optional_number, "parameter 'by' may be several values or none"),
        ("tool {by}{by} {out}", listed_numbers, "Let {by} stand alone."),
        ("tool {x} {out}", number_in, "input 'x' is not a File or Folder"),
        ("tool {x} {out}", number_out, "the output is not a File or Folder"),
        ("tool {x} {out}", maybe_out, "the output is not a File or Folder"),
        ("tool {x} {head}", two_out, "output 'rest' is not in the command"),
        ("tool {x} {head} {rset}", two_out, "placeholder 'rset' is not known. Did you mean 'rest'"),
    ],
)
def test_a_command_and_a_signature_that_disagree_are_refused(command, function, message):
    with pytest.raises(WorkflowError) as caught:
        program(command)(function)
    assert message in str(caught.value)
    assert function.__name__ in str(caught.value)


def test_a_program_is_declared_like_a_component():
    made = describe(show)

    assert isinstance(made, Component)
    assert list(made.params) == ["by", "names", "size"]
    assert list(made.outputs) == [""]
    assert made.summary == "Write the arguments down."


# -- containers ---------------------------------------------------------------------------------

ENGINE = """#!{python}
import json, pathlib, subprocess, sys
pathlib.Path({log!r}).write_text(json.dumps(sys.argv[1:]))
words = sys.argv[1:]
sys.exit(subprocess.run(words[words.index("toolbox:1") + 1:]).returncode)
"""


@pytest.fixture
def engine(tmp_path):
    """A stand-in for a container engine, which writes down its words and runs what follows."""
    path = tmp_path / "engine"
    path.write_text(ENGINE.format(python=PYTHON, log=str(tmp_path / "words.json")))
    path.chmod(0o755)
    return path


def test_a_container_sees_its_files_for_reading_its_folder_for_writing_and_no_network(
    engine, tmp_path
):
    @program([PYTHON, "-c", SHOW, "{out}", "{one}", "{more}", "{extra}"],
             image="toolbox:1", engine=str(engine))  # fmt: skip
    def inside(one: File, more: list[File], *, extra: tuple[File, ...] = ()) -> File:
        """Look at files."""

    paths = [tmp_path / name for name in "abcd"]
    for path in paths:
        path.write_text(path.name)
    out = inside(paths[0], [paths[1], paths[2], paths[0]], extra=(paths[3],))
    words = arguments(tmp_path / "words.json")
    mounts = [words[n + 1] for n, word in enumerate(words) if word == "-v"]

    assert words[:5] == ["run", "--rm", "--network", "none", "-w"]
    assert words[5] == str(out.parent)
    assert mounts == [*(f"{p}:{p}:ro" for p in paths), f"{out.parent}:{out.parent}"]
    assert arguments(out) == [str(paths[n]) for n in (0, 1, 2, 0, 3)]


def test_a_missing_engine_is_told(tmp_path):
    @program("tool {out}", image="toolbox:1", engine="no-such-engine")
    def inside() -> File:
        """Nothing."""

    with pytest.raises(StepError, match="no program 'no-such-engine' on the path"):
        inside()
