"""The sentences of what may be printed, the published figures, and the report of a survey."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from assay.errors import DataError
from assay.systems.competition_survey import sentences
from assay.systems.competition_survey.answers import Answers
from assay.systems.competition_survey.crosstables import crosstables
from assay.systems.competition_survey.data import included
from assay.systems.competition_survey.disclosure import (
    percent,
    released_shares,
)
from assay.systems.competition_survey.instrument import (
    Instrument,
    ready_made,
)
from assay.systems.competition_survey.jsonl import write_jsonl
from assay.systems.competition_survey.published import beside, published, read_figures
from assay.systems.competition_survey.release import released
from assay.systems.competition_survey.shares import numbers, participation, share_table
from assay.systems.competition_survey.simulate import simulate
from assay.systems.competition_survey.winners import winners
from systems.competition_survey.test_disclosure import MADE, of_counts, told


@pytest.fixture(scope="module")
def instrument() -> Instrument:
    return ready_made("participation")


@pytest.fixture(scope="module")
def made(instrument):
    """A simulated survey as it may be printed."""
    survey = simulate(instrument, competitions=60, seed=2)
    kept = included(instrument, survey.respondents, survey.answers)
    both = Answers(kept.respondents, kept.answers)
    shares = share_table(instrument, both, draws=300)
    part = participation(survey.competitions, survey.respondents, kept.respondents)
    return released(
        instrument, shares.table, shares.spread,
        numbers(instrument, *both, draws=300, seed=0), part.summary,
        crosstables(instrument, *both, pairs=(("failure_analysis", "ensemble"),)),
        winners(instrument, *both, survey.competitions), kept.flow,
    )  # fmt: skip


NUMBER = re.compile(r"\d(?:[\d,]*\d)?(?:\.\d+)?(?:e-?\d+)?")


def said_in(row: pd.Series) -> set[str]:
    """Every way in which a number of a row may be written."""
    found = set(NUMBER.findall(" ".join(str(v) for k, v in row.items() if k != "sentence")))
    for value in row.drop("sentence"):
        if isinstance(value, int | float | np.number) and np.isfinite(value):
            from assay.core.wording import number

            written = [percent(value), percent(value, 0), number(value), f"{value:.3f}",
                       f"{abs(value):.3f}", f"{value:.2g}"]  # fmt: skip
            for text in written:
                found |= set(NUMBER.findall(text))
    return found | {"95", "5", "0", "1"}  # the level, what is too few, the ends of the scale


@pytest.mark.parametrize(
    "name", ["shares", "numbers", "participation", "crosstables", "comparison", "winners", "flow"]
)
def test_every_number_of_a_sentence_stands_in_its_row(made, name):
    table = getattr(made, name)

    assert len(table)
    for _, row in table.iterrows():
        stray = set(NUMBER.findall(row["sentence"])) - said_in(row)
        assert not stray, (row["sentence"], stray)
        assert row["sentence"].endswith(".")
        assert "nan" not in row["sentence"].lower().split()


def test_a_sentence_says_share_base_and_answer(made):
    for _, row in made.shares[made.shares.share.notna()].iterrows():
        for key in ("share_said", "answer", "text"):
            assert str(row[key]).lower() in row["sentence"].lower()
        if row["base"] != "withheld":
            assert f" {row['base']} " in row["sentence"]


def test_sentences_to_the_word():
    (yes, no) = told(of_counts(deep=(98, 2), arch=(49, 39, 10))).loc["deep"].iloc
    full = released_shares(MADE, share_table(MADE, of_counts(), min_n=20).table).iloc[0]

    assert sentences.shared(yes) == (
        "More than 95 % of all 100 teams answered “Yes” to “Was it deep learning?”."
    )
    assert sentences.shared(no) == (
        "Fewer than 5 of all 100 teams answered “No” to “Was it deep learning?”."
    )
    assert sentences.shared(full).startswith(
        "60 % of all 100 teams answered “Yes” to “Was it deep learning?” (60 teams; "
    )


def test_the_flow_says_what_is_counted_exactly_and_invites_nobody_who_came_alone(made):
    from assay.systems.competition_survey.figures import flow_chart

    chart = flow_chart(made.flow)

    first = made.flow[made.flow.stage == "listed"].iloc[0]
    assert first.sentence == f"{first.n} listed: invited, or with a form of their own accord."
    assert chart.data.label.iloc[0] == "listed"
    assert "gave no answer to a question, is counted exactly" in chart.caption


def test_nothing_released_counts_fewer_than_five_teams(made):
    for table in (made.shares, made.numbers, made.crosstables):
        counts = [int(n) for n in table.n if str(n).isdigit()]
        assert counts
        assert min(counts) >= 5


PUBLISHED = {
    "participation": 0.72, "knowledge_exchange": 0.70, "prize": 0.16, "hours": 80,
    "too_little_time": 0.32, "infrastructure": 0.25, "deep": 0.94, "standard": 0.84,
    "too_large": 0.43, "patches": 0.69, "downsampling": 0.37, "kfold": 0.37, "ensemble": 0.50,
    "identical": 0.61, "heterogeneous": 0.39, "postprocessing": 0.48,
}  # fmt: skip
"""The abstract of arXiv 2212.08568, and nothing that is only remembered of the paper."""


def test_the_published_figures_are_those_of_the_abstract(instrument):
    assert {f.id: f.value for f in published()} == PUBLISHED
    for figure in published():
        if figure.question:
            question = instrument.question(figure.question)
            assert not figure.option or figure.option in (*question.options, "true")


def test_own_figures_stand_beside_published_ones(made):
    table = made.comparison.set_index("figure")

    post = made.shares.set_index(["question", "option"]).loc[("postproc", "none")]
    assert table.own["postprocessing"] == pytest.approx(1 - post.share)
    assert table.own_low["postprocessing"] == pytest.approx(1 - post.cluster_high)
    assert table.own_base["standard"].endswith("“Is your method based on deep learning?”")
    assert (table.published == pd.Series(PUBLISHED)[table.index]).all()


def test_figures_of_ones_own_are_read_and_refused(tmp_path):
    file = tmp_path / "last.yaml"
    file.write_text(
        "source: our survey of 2024\nfigures:\n"
        "- {id: deep, kind: share, question: deep, option: 'true', value: 0.8}\n"
    )
    shares = released_shares(MADE, share_table(MADE, of_counts()).table)
    none = pd.DataFrame({"question": []})
    (row,) = beside(read_figures(file), shares, none, none).to_dict("records")
    assert (row["own"], row["published"], row["source"]) == (0.6, 0.8, "our survey of 2024, ")

    for broken, said in (
        ("value: 1.8", "a share from 0 to 1"),
        ("kind: mean", "no kind 'mean'"),
        ("valu: 1", "no key 'valu'"),
    ):
        entry = {"id": "x", "kind": "share", "question": "deep", "option": "true", "value": 0.5}
        key, _, value = broken.partition(": ")
        entry[key] = yaml.safe_load(value)
        file.write_text(yaml.safe_dump({"figures": [entry]}))
        with pytest.raises(DataError, match=said):
            read_figures(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, instrument):
    """A survey's folder with simulated answers in its database."""
    from assay.systems.competition_survey.collecting import take_in
    from assay.systems.competition_survey.settings import make_survey

    place = tmp_path_factory.mktemp("survey") / "mine"
    make_survey(place, title="How did you take part?", mode="closed")
    survey = simulate(instrument, competitions=30, seed=4)
    lines = place.parent / "answers.jsonl"
    write_jsonl(Answers(survey.respondents, survey.answers), lines)
    take_in(place, lines)
    table = survey.competitions.assign(rank=survey.competitions["rank"].astype(int))
    table.to_csv(place / "competitions.csv", index=False)
    return place


def application():
    import typer

    from assay.systems.competition_survey import verbs_report

    app = typer.Typer()
    app.command()(verbs_report.analyse)
    app.command()(verbs_report.report)
    return app


def test_a_survey_becomes_a_page_with_its_files(folder, tmp_path):
    said = CliRunner().invoke(
        application(),
        ["report", str(folder), "--json", "--store", str(tmp_path), "--pair", "deep:ensemble"],
        catch_exceptions=False,
    )

    told_ = json.loads(said.stdout)
    page = (tmp_path / "runs").glob("*/report/index.html")
    (page,) = page
    assert told_["report"] == str(page)
    assert told_["started"] > told_["completed"] > told_["included"] > 0
    report = json.loads((page.parent / "report.json").read_text())
    assert not report["problems"]
    assert all(check["passed"] for check in report["checks"])
    names = {figure["name"] for figure in report["figures"]}
    assert {"flow", "deep", "numbers", "comparison", "winners", "every-share"} <= names
    markdown = (page.parent / "report.md").read_text()
    shares = pd.read_csv(page.parent / "figures" / "every-share.csv", dtype=str)
    assert len(shares) > 100
    assert "team 1" not in page.read_text() + markdown  # no team is named
    assert "competition 1" not in page.read_text()


def test_an_analysis_prints_a_sentence_for_each_row(folder, tmp_path):
    said = CliRunner().invoke(
        application(),
        ["analyse", str(folder), "--json", "--store", str(tmp_path), "--strategy", "curation"],
        catch_exceptions=False,
    )

    tables_ = json.loads(said.stdout)
    assert [row["strategy"] for row in tables_["winners"]] == ["curation"]
    assert all(row["sentence"] for rows in tables_.values() for row in rows)
