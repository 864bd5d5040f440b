"""Shares, numbers, participation and cross-tables against what can be counted by hand."""

import time

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from assay.errors import UsageError
from assay.systems.competition_survey.answers import Answers, tables
from assay.systems.competition_survey.bases import base_in_words
from assay.systems.competition_survey.counting import within
from assay.systems.competition_survey.crosstables import crosstables
from assay.systems.competition_survey.instrument import Instrument, Question, Section
from assay.systems.competition_survey.intervals import (
    cluster_bounds,
    cluster_medians,
    resamples,
    wilson,
)
from assay.systems.competition_survey.shares import numbers, participation, share_table


def asking(*questions: Question) -> Instrument:
    return Instrument("test", "1", "team", (Section("s", "Section"),), questions)


DEEP = Question("deep", "s", "bool", "Was it deep learning?")
ARCH = Question(
    "arch", "s", "single", "Which architecture?", options=("standard", "own"),
    show_if=("==", "deep", True),
)  # fmt: skip
WHY = Question("why", "s", "multi", "Why?", options=("prize", "paper"))
HOURS = Question("hours", "s", "number", "How many hours?", unit="h")
HABITS = Question(
    "habits", "s", "matrix", "How often?", options=("never", "often"), rows=("code", "data")
)


def said(*teams) -> Answers:
    """Teams as (competition, {question: value or list or {row: value}})."""
    people, values = [], []
    for n, (competition, answers) in enumerate(teams):
        people.append((f"r{n}", competition, f"team {n}", "completed", "h", 600.0))
        for question, value in answers.items():
            if isinstance(value, dict):
                values += [(f"r{n}", question, row, one) for row, one in value.items()]
            else:
                several = value if isinstance(value, list) else [value]
                values += [(f"r{n}", question, "", one) for one in several]
    return tables(people, values)


def worked_example() -> Answers:
    """Competition A: 9 of 10 say yes, B: 0 of 2, C: 2 of 4."""
    teams = []
    for name, n, yes in (("A", 10, 9), ("B", 2, 0), ("C", 4, 2)):
        teams += [(name, {"deep": "true" if k < yes else "false"}) for k in range(n)]
    return said(*teams)


def row_of(table: pd.DataFrame, question: str, option: str, row: str = "") -> pd.Series:
    (found,) = table[
        (table.question == question) & (table.option == option) & (table.row == row)
    ].iloc
    return found


def test_the_worked_example_to_the_digit():
    one = row_of(share_table(asking(DEEP), worked_example(), min_n=1).table, "deep", "true")

    assert (one.n, one.base, one.share) == (11, 16, 0.6875)
    assert (one["median"], one.q1, one.q3, one.k) == pytest.approx((0.5, 0.25, 0.7, 3), abs=1e-15)


def test_a_competition_below_the_least_number_has_no_share_of_its_own():
    made = share_table(asking(DEEP), worked_example(), min_n=3)
    one = row_of(made.table, "deep", "true")

    assert (one["median"], one.k) == (pytest.approx(0.7, abs=1e-15), 2)
    assert one.share == 0.6875
    assert made.spread[made.spread.option == "true"].share.tolist() == [0.5, 0.9]
    assert "competition" not in made.spread


def test_who_was_not_shown_a_question_is_absent_and_not_missing():
    answers = said(
        ("A", {"deep": "true", "arch": "standard"}),
        ("A", {"deep": "true"}),
        ("A", {"deep": "false"}),
        ("B", {"deep": "false", "arch": "own"}),  # answered while hidden: does not count
    )

    table = share_table(asking(DEEP, ARCH), answers).table
    answered = share_table(asking(DEEP, ARCH), answers, base="answered").table

    standard, own = (row_of(table, "arch", option) for option in ("standard", "own"))
    assert (standard.n, standard.base, standard.missing, standard.share) == (1, 2, 1, 0.5)
    assert standard.answered == row_of(answered, "arch", "standard").answered == 1
    assert (own.n, own.base) == (0, 2)
    assert row_of(answered, "arch", "standard").share == 1.0
    assert row_of(table, "deep", "true").base == 4
    assert standard.base_in_words == "teams that answered “Yes” to “Was it deep learning?”"


def test_choices_and_rows_are_counted_once_each():
    answers = said(
        ("A", {"why": ["prize", "paper"], "habits": {"code": "often", "data": "never"}}),
        ("A", {"why": ["paper", "paper"], "habits": {"code": "often"}}),
        ("B", {}),
    )

    table = share_table(asking(WHY, HABITS), answers, base="answered").table

    assert row_of(table, "why", "paper").n == 2
    assert row_of(table, "why", "prize").share == 0.5
    assert row_of(table, "habits", "often", "code").n == 2
    assert row_of(table, "habits", "never", "data").base == 1


def test_a_base_is_told_in_words():
    nested = ("and", ("==", "deep", True), ("not", ("in", "arch", ("own", "standard"))))
    asked = Question("k", "s", "int", "How many?", show_if=nested)

    assert base_in_words(asking(DEEP, ARCH), DEEP, "shown") == "all teams"
    assert base_in_words(asking(DEEP, ARCH), DEEP, "answered") == "all teams that answered"
    assert base_in_words(asking(DEEP, ARCH), asked, "shown") == (
        "teams that answered “Yes” to “Was it deep learning?” and not "
        "(answered “Own” or “Standard” to “Which architecture?”)"
    )


@pytest.mark.parametrize(("n", "base"), [(0, 7), (11, 16), (49, 50), (20, 20)])
def test_wilsons_interval_is_that_of_scipy(n, base):
    low, high = wilson(np.array([n]), np.array([base]))

    peer = binomtest(n, base).proportion_ci(method="wilson")
    assert (low[0], high[0]) == (pytest.approx(peer.low), pytest.approx(peer.high))


def test_the_bootstrap_is_that_of_drawing_competitions_one_by_one():
    rng = np.random.default_rng(5)
    bases = rng.integers(1, 20, (1, 30))
    counts = rng.binomial(bases, 0.3)
    low, high = cluster_bounds(counts, bases, resamples(30, 20_000, 1))

    drawn = []
    for _ in range(20_000):
        chosen = rng.integers(0, 30, 30)
        drawn.append(counts[0, chosen].sum() / bases[0, chosen].sum())
    assert (low[0], high[0]) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.004)


def test_an_interval_that_would_be_a_point_is_none():
    few, none = np.array([[3, 1, 2, 2]]), np.array([[0, 0, 0, 0, 0, 0]])

    assert np.isnan(cluster_bounds(few, few + 2, resamples(4, 500, 0))).all()
    assert np.isnan(cluster_bounds(none, none + 4, resamples(6, 500, 0))).all()


def test_the_bootstrap_of_a_median_repeats_the_teams_of_a_competition():
    rng = np.random.default_rng(2)
    competition = np.repeat(np.arange(12), rng.integers(1, 9, 12))
    value = np.round(rng.lognormal(4, 1, len(competition)), 1)
    weights = resamples(12, 400, 3)

    found = cluster_medians(value, competition, weights)

    drawn = [
        np.quantile(np.repeat(value, w[competition].astype(int)), 0.5, method="inverted_cdf")
        for w in weights
    ]
    assert found == pytest.approx(np.percentile(drawn, [2.5, 97.5]))


def test_numbers_pooled_and_by_competition():
    hours = {"A": [10, 20, 30], "B": [100, 200, 300, 400], "C": [7]}
    teams = [(name, {"hours": str(h)}) for name, values in hours.items() for h in values]
    answers = said(*teams, ("C", {}))

    (one,) = numbers(asking(HOURS), *answers, min_n=3, seed=0).iloc

    assert (one.n, one.base, one["median"], one.unit) == (8, 9, 65.0, "h")
    assert (one.competition_median, one.k) == (np.median([20, 250]), 2)
    assert np.isnan(one.low)  # three competitions


def test_participation_is_a_median_over_competitions_and_lists_what_it_lacks():
    known = {"A": 10, "B": 4, "C": 8, "D": 1}
    organiser = pd.DataFrame(
        [(name, f"t{k}") for name, n in known.items() for k in range(n)] + [("E", "")],
        columns=["competition", "team"],
    )
    done = {"A": 8, "B": 1, "C": 4, "D": 2, "E": 3}
    everybody = said(*[(name, {}) for name, n in done.items() for _ in range(n)]).respondents

    made = participation(organiser, everybody, everybody[everybody.competition != "B"])

    responding, included = made.summary.iloc
    assert (responding["median"], responding.k) == (0.5, 3)  # 0.8, 0.25, 0.5
    assert (included["median"], included.k) == (0.5, 3)  # 0.8, 0, 0.5
    assert (responding.unknown, responding.exceeded) == ("E", "D")


def test_a_crosstable_stands_on_who_was_shown_both():
    answers = said(
        ("A", {"deep": "true", "arch": "own", "why": ["prize"]}),
        ("A", {"deep": "true", "arch": "own", "why": ["paper", "prize"]}),
        ("B", {"deep": "true", "arch": "standard", "why": ["paper"]}),
        ("B", {"deep": "false", "why": ["prize"]}),
    )

    table = crosstables(asking(DEEP, ARCH, WHY), *answers, pairs=[("arch", "why")])

    own = table[(table.by_option == "own") & (table.option == "prize")].iloc[0]
    assert (own.n, own.base, own.share, own.by_answer) == (2, 2, 1.0, "Own")
    assert len(table) == 4
    with pytest.raises(UsageError, match=r"'whyy' cannot stand in a cross-table.*'why'"):
        crosstables(asking(DEEP, WHY), *answers, pairs=[("deep", "whyy")])


def test_nobody_answered_gives_tables_without_numbers():
    nobody = said()

    made = share_table(asking(DEEP, HOURS), nobody)

    assert made.table.share.isna().all()
    assert made.table.k.tolist() == [0, 0]
    assert numbers(asking(HOURS), *nobody, seed=0).n.tolist() == [0]


def test_within_keeps_whole_respondents():
    answers = worked_example()

    kept = within(answers, answers.respondents.respondent.iloc[:3])

    assert len(kept.respondents) == 3
    assert set(kept.answers.respondent) == {"r0", "r1", "r2"}


def test_a_hundred_thousand_answers_take_seconds(step):
    """30 questions of 3,400 teams in 400 competitions."""
    rng = np.random.default_rng(0)
    questions = [
        Question(f"q{k}", "s", "single", f"{k}?", options=("a", "b", "c", "d"),
                 show_if=("==", "q0", "a") if k == 1 else None)
        for k in range(28)
    ]  # fmt: skip
    made = asking(*questions, HOURS)
    n = 3_600
    people = [(f"r{k}", f"c{rng.integers(400)}", f"t{k}", "completed", "h", 1.0) for k in range(n)]
    values = [(f"r{k}", q.id, "", "abcd"[rng.integers(4)]) for k in range(n) for q in questions] + [
        (f"r{k}", "hours", "", str(rng.integers(500))) for k in range(n)
    ]
    answers = tables(people, values)
    assert len(answers.answers) > 100_000
    events: list[dict] = []

    started = time.process_time()
    step("shares", share_table, made, answers, emit=events.append)
    numbers(made, *answers, seed=0)
    seconds = time.process_time() - started

    assert seconds < 10
    assert events
