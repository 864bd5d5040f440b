"""What a study shows: the kinds of figure, and how they become files and part of the page."""

import base64
import json
import re

import altair as alt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure as Drawing

from assay.core import report
from assay.core.figures import Chart, Picture, Table, file_name

FRAME = pd.DataFrame({"x": [1, 2, 3], "y": [2.5, 1.0, 4.0], "k": ["a", "b", "a"]})
DOTS = alt.Chart(FRAME).mark_point().encode(x="x:Q", y="y:Q")


def a_chart(name="c", chart=DOTS, data=FRAME):
    return Chart(name, "A chart", "Look.", chart, data)


def a_picture(name="p", files=None):
    drawing = Drawing(figsize=(2, 1))
    drawing.subplots().plot([0, 1])
    return Picture(name, "A picture", "Look.", "a rising line", drawing, files or {})


def written(made, folder, monkeypatch):
    """Figures that a study's function yields, as the report writes them."""
    monkeypatch.setattr(report, "_made", lambda run, study: made)
    return report._figures(None, None, folder)


# -- names --------------------------------------------------------------------------------------


@given(st.text())
def test_any_text_becomes_the_name_of_a_file(text):
    name = file_name(text)

    assert re.fullmatch(r"[\w-]+", name)
    assert len(name) <= 60
    assert file_name(name) == name


def test_a_plain_name_stays_as_it_is():
    for name in ("depth_m", "loss-by-storm", "größe", "_x"):
        assert file_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a.b", "a b", "x" * 300, "a\0"])
def test_a_figure_with_another_name_is_not_written(tmp_path, monkeypatch, name):
    (tmp_path / "figures").mkdir()
    shown, problems = written(
        [a_chart(name), a_picture(name), a_chart("good")], tmp_path / "figures", monkeypatch
    )

    assert [s.name for s in shown] == ["good"]
    assert len(problems) == 2
    assert "is taken or not a name for files" in problems[0]
    assert {p.name for p in tmp_path.rglob("*")} == {"figures", "good.csv", "good.svg"}


def test_two_figures_of_one_name_do_not_overwrite_each_other(tmp_path, monkeypatch):
    shown, problems = written([a_chart("c"), a_picture("c")], tmp_path, monkeypatch)

    assert [s.name for s in shown] == ["c"]
    assert len(problems) == 1


@pytest.mark.parametrize("name", ["../up.txt", "/tmp/up.txt", "a/b.txt", ".."])
def test_a_file_of_a_picture_stays_in_its_folder(tmp_path, monkeypatch, name):
    (tmp_path / "figures").mkdir()
    made = a_picture(files={name: lambda path: path.write_text("x")})
    shown, problems = written([made], tmp_path / "figures", monkeypatch)

    assert not shown
    assert "is not a name for files" in problems[0]
    assert not (tmp_path / "up.txt").exists()


# -- charts -------------------------------------------------------------------------------------

COMPOUND = {
    "layer": DOTS + DOTS.mark_line(),
    "beside": DOTS | DOTS,
    "above": DOTS & DOTS,
    "concat": alt.concat(DOTS, DOTS, columns=1),
    "facet": DOTS.facet("k:N"),
    "row": DOTS.encode(row="k:N"),
    "repeat": alt.Chart(FRAME).mark_point()
    .encode(x=alt.X(alt.repeat("column"), type="quantitative"), y="y:Q")
    .repeat(column=["x", "y"]),
    "own width": DOTS.properties(width=123),
}  # fmt: skip


@pytest.mark.parametrize("kind", COMPOUND)
def test_a_chart_of_any_shape_becomes_files_and_a_specification(tmp_path, monkeypatch, kind):
    made, problems = written([a_chart(chart=COMPOUND[kind])], tmp_path, monkeypatch)

    assert not problems
    (shown,) = made
    assert shown.files == ["c.csv", "c.svg"]
    assert (tmp_path / "c.svg").read_text() == shown.svg
    assert shown.svg.count('role="graphics-symbol"') >= 3
    spec = json.loads(shown.spec)
    assert spec["config"]["font"] == "system-ui, sans-serif"
    assert ("width" in spec) == (kind in ("layer", "own width"))


def test_a_simple_chart_is_as_wide_as_the_page_and_one_with_a_width_is_not(tmp_path, monkeypatch):
    made = [a_chart("a"), a_chart("b", chart=COMPOUND["own width"])]
    shown, _ = written(made, tmp_path, monkeypatch)

    assert [json.loads(s.spec)["width"] for s in shown] == ["container", 123]


def test_the_csv_of_a_chart_is_its_data(tmp_path, monkeypatch):
    (shown,), _ = written([a_chart()], tmp_path, monkeypatch)
    (rows,) = json.loads(shown.spec)["datasets"].values()

    read = pd.read_csv(tmp_path / "c.csv")
    pd.testing.assert_frame_equal(read, FRAME, check_dtype=False)
    pd.testing.assert_frame_equal(read, pd.DataFrame(rows), check_dtype=False)


def test_a_chart_may_have_many_rows(tmp_path, monkeypatch):
    """Altair by itself refuses more than 5000."""
    frame = pd.DataFrame({"x": range(6000), "y": 1.0})
    chart = alt.Chart(frame).mark_point().encode(x="x:Q", y="y:Q")
    (shown,), problems = written([a_chart(chart=chart, data=frame)], tmp_path, monkeypatch)

    assert not problems
    (rows,) = json.loads(shown.spec)["datasets"].values()
    assert len(rows) == 6000


# -- pictures -----------------------------------------------------------------------------------


def test_a_picture_becomes_two_files_and_those_it_brings(tmp_path, monkeypatch):
    made = a_picture(files={"numbers.txt": lambda path: path.write_text("0 1")})
    (shown,), problems = written([made], tmp_path, monkeypatch)

    assert not problems
    assert shown.files == ["p.png", "p.svg", "numbers.txt"]
    assert shown.alt == "a rising line"
    assert base64.b64decode(shown.png) == (tmp_path / "p.png").read_bytes()
    assert (tmp_path / "p.svg").read_text().lstrip().startswith("<?xml")
    assert (tmp_path / "numbers.txt").read_text() == "0 1"


# -- mistakes -----------------------------------------------------------------------------------


def test_what_is_no_figure_costs_a_line_and_the_others_are_shown(tmp_path, monkeypatch):
    shown, problems = written([3, None, "text", a_chart()], tmp_path, monkeypatch)

    assert [s.name for s in shown] == ["c"]
    assert len(problems) == 3


def test_an_iterator_that_never_ends_in_mistakes_is_left(tmp_path, monkeypatch):
    class Endless:
        def __iter__(self):
            return self

        def __next__(self):
            raise ArithmeticError("again")

    shown, problems = written(Endless(), tmp_path, monkeypatch)

    assert not shown
    assert 0 < len(problems) < 200
    assert problems[0] == "ArithmeticError: again"


def test_a_table_is_whole_in_its_file_and_rounded_and_escaped_in_the_page(tmp_path, monkeypatch):
    texts = ["<mask> | rain", "", *"x" * 60]
    data = pd.DataFrame({"text": texts, "share": 1 / 3, "missing": None, "gap": float("nan")})
    shown, problems = written([Table("t", "Words", "Read.", data)], tmp_path, monkeypatch)
    page, lines = (_figures_of(name).render(figures=shown) for name in ("report.html", "report.md"))

    assert not problems
    assert pd.read_csv(tmp_path / "t.csv")["share"].tolist() == data["share"].tolist()
    assert "<td>&lt;mask&gt; | rain</td><td class=n>0.333</td><td></td><td class=n></td>" in page
    assert "| &lt;mask> \\| rain | 0.333 |  |  |" in lines
    assert page.count("<tr><td>") == lines.count("| 0.333 |") == 40
    assert "The first 40 of 62 rows." in page


def _figures_of(template):
    """The part of a template that shows figures."""
    environment = report._environment().overlay(autoescape=template.endswith("html"))
    text = environment.loader.get_source(environment, template)[0]
    part = re.search(r"{% for f in figures %}.*?{% endfor %}\n(?=</div>|{% endif)", text, re.S)
    return environment.from_string(part[0])
