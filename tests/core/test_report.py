"""The page of a run: complete, offline, safe, and drawn by a real browser."""

import csv
import html.parser
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from assay import Check, Claim, Preset, Records, Seed, Study, Workflow, component, mean, sweep
from assay.core.figures import Chart, Picture
from assay.core.report import in_words, interval_svg, verdict_table, write_index

NASTY = "<script>alert(1)</script> & 'quotes'"


@component
def measure(*, size: int = 4, seed: Seed) -> Records:
    """Measure something."""
    records = Records()
    for item, error in enumerate(np.random.default_rng(seed).normal(0.0, 0.1, 3)):
        records.add("length", size + error, "m", item=item)
    return records


@component
def refuse(data: Records) -> Records:
    """Fail."""
    raise ArithmeticError(NASTY)


def some_figures(run):
    """One chart, one picture with a file, then a mistake."""
    import altair as alt
    from matplotlib.figure import Figure

    frame = run.records[run.records["measure"] == "length"]
    chart = alt.Chart(frame).mark_point().encode(x="size:Q", y="value:Q")
    yield Chart("points", "Points", "Every record.", chart, frame)
    drawing = Figure(figsize=(2, 1))
    drawing.subplots().plot([0, 1])
    yield Picture(
        "line", "A line", "It rises.", "a rising line", drawing,
        {"line.txt": lambda path: path.write_text("0 1")},
    )  # fmt: skip
    raise ArithmeticError("no third figure")


def a_study(figures="", **more):
    flow = Workflow("lengths")
    flow.step("measure", measure)
    claim = Claim(
        id="C1", sentence=f"Lengths are {NASTY}", source="a test", estimand=mean("length"),
        direction="above", margin=1.0,
    )  # fmt: skip
    return Study(
        flow, title=f"Lengths {NASTY}", decisions={"size": sweep("measure.size", [4, 5])}, seeds=6,
        claims=[claim], presets={"tiny": Preset(note="A toy.")}, figures=figures,
        checks=[Check(id="K1", sentence="Lengths are long", source="a test", measure="length",
                      at_least=100.0)],
        **more,
    )  # fmt: skip


def run_of(study, **options):
    return study.run(workers=0, progress=False, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_of(a_study("core.test_report:some_figures"), preset="tiny",
                  store=tmp_path_factory.mktemp("report"))  # fmt: skip


class Tags(html.parser.HTMLParser):
    """Every tag with its attributes, and which were left open."""

    VOID = ("meta", "img", "link", "br", "path", "rect", "circle", "line")

    def __init__(self, text):
        super().__init__()
        self.seen, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_outside(run):
    tags = Tags(run.report.read_text())

    assert not tags.open
    for tag, attributes in tags.seen:
        for name in ("src", "href"):
            value = attributes.get(name) or "data:"
            assert not re.match(r"(https?:)?//", value), (tag, value)
            if not value.startswith("data:"):
                assert (run.report.parent / value).is_file(), value


def test_text_of_a_study_cannot_become_markup(run):
    page = run.report.read_text()

    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 2


def test_the_page_says_what_came_of_the_run(run):
    page = run.report.read_text()

    assert "The one claim holds" in page or "1 of 1 claim holds" in page
    assert "1 of 1 checks fails" in page
    assert "Scale: A toy." in page
    assert "measure" in page


def test_every_figure_lies_beside_the_page_as_files(run):
    folder = run.report.parent / "figures"

    names = {p.name for p in folder.iterdir()}
    assert names == {"points.csv", "points.svg", "line.png", "line.svg", "line.txt"}
    with (folder / "points.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * 6 * 3
    assert (folder / "line.png").read_bytes().startswith(b"\x89PNG")


def test_a_figure_that_cannot_be_drawn_costs_a_line_and_no_more(run):
    assert run.ok
    assert "A figure could not be drawn: ArithmeticError: no third figure" in run.report.read_text()


def test_markdown_and_json_say_the_same(run):
    text = (run.report.parent / "report.md").read_text()
    data = json.loads((run.report.parent / "report.json").read_text())

    assert "| C1 |" in text
    assert "**fails**" in text
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (run.report.parent / link).is_file()
    assert [c["id"] for c in data["claims"]] == ["C1"]
    assert [f["name"] for f in data["figures"]] == ["points", "line"]


def test_a_study_without_figures_shows_every_measure(tmp_path):
    run = run_of(a_study(), store=tmp_path)

    assert (run.report.parent / "figures" / "length.csv").is_file()


def test_a_run_in_which_everything_failed_has_a_report_that_says_why(tmp_path):
    flow = Workflow("broken")
    flow.step("refuse", refuse, data=flow.step("measure", measure))
    run = run_of(Study(flow), store=tmp_path)
    page = run.report.read_text()

    assert not run.ok
    assert "What failed" in page
    assert "ArithmeticError" in page
    assert "<script>alert" not in page
    Tags(page)


def test_a_run_shows_itself_in_a_notebook(run):
    fragment = run._repr_html_()

    assert fragment == verdict_table(run)
    assert "C1" in fragment
    assert "fails" in fragment
    Tags(fragment)


def test_the_tour_page_puts_committed_results_beside_this_run(run, tmp_path):
    entry = {"system": "lengths", "title": "t", "study": "lengths", "tiny": run.summary}
    small = {"claims": [{"id": "C1", "verdict": "undecided"}], "checks": []}
    write_index([{**entry, "small": small}, {**entry, "small": None}], tmp_path / "tour.html")
    page = (tmp_path / "tour.html").read_text()

    assert "undecided" in page
    assert "not yet" in page
    Tags(page)


@pytest.mark.parametrize("direction", ["above", "below", "within"])
def test_the_interval_is_drawn_inside_its_box(direction):
    claim = {"low": -3.0, "high": 1e6, "effect": 2.0, "margin": 0.5, "direction": direction,
             "verdict": "not tested"}  # fmt: skip
    drawn = interval_svg(claim)

    places = [float(v) for v in re.findall(r'(?:x1|x2|cx)="([-\d.]+)"', drawn)]
    assert min(places) >= 0
    assert max(places) <= 240


def test_a_run_without_claims_says_so():
    nothing = {"claims": [], "checks": [], "failed": 0, "trials": 1}

    assert in_words(nothing) == "This study makes no claims."


# -- hostile texts ------------------------------------------------------------------------------

HOSTILE = [
    "</script><script>document.documentElement.dataset.ran = 1</script>",
    "<img src=x onerror='document.documentElement.dataset.ran = 1'>",
    '"><svg onload="document.documentElement.dataset.ran = 1">',
    "<!-- <script>",
    "]]>",
    "${1 + 1} {{ 1 + 1 }} {% raw %}",
    "[bold]red[/bold] [link=file:///]",
    "| a | b\n| c |",
    "'quotes' and \"more\"",
    "ü水🌊\u202e\u2028",
    "n" * 500,
]


@component
def hostile_records(*, label: str = "", seed: Seed) -> Records:
    """</title><script>document.documentElement.dataset.ran = 1</script>"""
    records = Records()
    for n, text in enumerate(HOSTILE):
        records.add(text, n + seed, text, item=text)
    if label == HOSTILE[1]:
        raise ArithmeticError(HOSTILE[0])
    return records


def hostile_figures(run):
    """Figures whose every text is hostile."""
    import altair as alt
    from matplotlib.figure import Figure

    for n, text in enumerate(HOSTILE):
        line = " ".join(text.split())  # Vega-Lite takes no title with a line break
        chart = alt.Chart(run.records, title=line, height=200).mark_point()
        chart = chart.encode(x="value:Q", y=alt.Y("measure:N", title=line), tooltip=["item:N"])
        yield Chart(f"chart-{n}", text, text, chart, run.records)
    yield Picture("picture", HOSTILE[0], HOSTILE[1], HOSTILE[2], Figure(figsize=(1, 1)))
    raise ArithmeticError(HOSTILE[0])


@pytest.fixture(scope="module", params=["", "core.test_report:hostile_figures"])
def hostile(request, tmp_path_factory):
    flow = Workflow("flow")
    flow.step("measure", hostile_records)
    claims = [
        Claim(id=f"C{n} {text}", sentence=text, source=text, estimand=mean(text),
              direction="above", margin=1.0)
        for n, text in enumerate(HOSTILE)
    ]  # fmt: skip
    checks = [
        Check(id=f"K{n} {text}", sentence=text, source=text, measure=text, at_least=0.0)
        for n, text in enumerate(HOSTILE)
    ]
    study = Study(
        flow, title=HOSTILE[0], decisions={"label": sweep("measure.label", HOSTILE[:4])}, seeds=2,
        claims=claims, checks=checks, presets={"tiny": Preset(note=HOSTILE[0])},
        figures=request.param,
    )  # fmt: skip
    return run_of(study, preset="tiny", store=tmp_path_factory.mktemp("hostile"))


def test_hostile_texts_leave_the_page_whole(hostile):
    tags = Tags(hostile.report.read_text())
    scripts = [a for tag, a in tags.seen if tag == "script"]
    specs = [a for a in scripts if a.get("type") == "application/json"]

    assert not tags.open
    assert len(scripts) == len(specs) + 2
    assert not [a for _, a in tags.seen if any(name.startswith("on") for name in a)]
    assert {a["src"][:10] for tag, a in tags.seen if tag == "img"} <= {"data:image"}
    assert len([a for _, a in tags.seen if a.get("id", "").startswith("claim-")]) == len(HOSTILE)


def test_hostile_texts_leave_the_specifications_readable(hostile):
    page = hostile.report.read_text()
    found = re.findall(r'<script type="application/json" id="[\w-]+">(.*?)</script>', page, re.S)

    assert len(found) == len(HOSTILE)
    assert page.count("A figure could not be drawn") == bool(hostile.summary["figures"])
    for text in found:
        assert json.loads(text)["config"]


def test_hostile_texts_leave_every_row_of_the_markdown_a_row(hostile):
    lines = (hostile.report.parent / "report.md").read_text().split("\n")
    rows = [line for line in lines if line.startswith("| ")]

    assert len([r for r in rows if re.match(r"\| [CK]\d+ ", r)]) == 2 * len(HOSTILE)
    for row in rows:
        assert row.endswith(" |")
        assert len(re.findall(r"(?<!\\)\|", row)) in (5, 7)
    assert "<script>" not in "".join(lines)
    assert "<img" not in "".join(lines)


@pytest.mark.web
def test_hostile_texts_run_nothing_in_a_browser(hostile, tmp_path):
    document, complaints = browse(hostile.report, tmp_path / "profile")

    assert "data-ran" not in document.partition(">")[0] + document.partition("<head")[0]
    assert "dataset.ran" in document
    assert not complaints


# -- what the tables say ------------------------------------------------------------------------


@component
def constant(*, size: float = 4.0) -> Records:
    """Measure without an error."""
    records = Records()
    records.add("length", size, "m")
    return records


def test_seeds_that_agree_and_a_single_seed_have_no_interval(tmp_path):
    flow = Workflow("flow")
    flow.step("measure", constant)
    rows = {
        seeds: re.findall(r"^\| length \|.*$", text, re.M)
        for seeds in (1, 3)
        if (text := (run_of(Study(flow), seeds=seeds, store=tmp_path).report.parent
                     / "report.md").read_text())
    }  # fmt: skip

    assert rows == {
        1: ["| length |  | 4 |  | m | 1 |"],
        3: ["| length |  | 4 | all equal | m | 3 |"],
    }


def test_a_picture_says_what_a_reader_does_not_see(run):
    tags = Tags(run.report.read_text())

    assert [a["alt"] for tag, a in tags.seen if tag == "img"] == ["a rising line"]
    assert "![a rising line](figures/line.png)" in (run.report.parent / "report.md").read_text()
    assert all(a.get("aria-label") or a.get("aria-hidden") for t, a in tags.seen if t == "svg"
               if a.get("class") != "marks")  # fmt: skip


def test_many_values_of_a_decision_are_told_by_their_range(tmp_path):
    flow = Workflow("flow")
    flow.step("measure", constant)
    study = Study(flow, decisions={"size": sweep("measure.size", [n / 2 for n in range(50)])})
    page = run_of(study, store=tmp_path).report.read_text()

    assert "50 values from 0 to 24.5" in page


def test_units_are_told_as_a_reader_would(run):
    text = (run.report.parent / "report.md").read_text()

    assert "from 6 seeds" in text
    assert "units of" not in text


def browse(page, folder):
    """The document as a browser has it after its scripts ran, and what it complained about."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("needs chromium")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--virtual-time-budget=5000", f"--user-data-dir={folder}",
             "--enable-logging=stderr"]  # fmt: skip
    done = subprocess.run(
        [browser, *flags, "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.web
def test_a_browser_draws_the_charts_without_a_complaint(run, tmp_path):
    document, complaints = browse(run.report, tmp_path / "profile")

    assert 'class="marks"' in document
    assert document.count("mark-symbol") >= 1
    assert not complaints
