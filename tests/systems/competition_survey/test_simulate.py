"""Simulated surveys: their marginals, their ranks and their planted faults."""

from collections import Counter

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from assay.systems.competition_survey.answers import Answers
from assay.systems.competition_survey.check import check
from assay.systems.competition_survey.data import included
from assay.systems.competition_survey.evaluate import counts_of, coverage, ledger_kept
from assay.systems.competition_survey.faults import FAULTS
from assay.systems.competition_survey.instrument import ready_made
from assay.systems.competition_survey.published import published
from assay.systems.competition_survey.shares import share_table
from assay.systems.competition_survey.simulate import Simulated, centre, simulate, team_counts


@pytest.fixture(scope="module")
def instrument():
    return ready_made("participation")


@pytest.fixture(scope="module")
def survey(instrument) -> Simulated:
    return simulate(instrument, competitions=120, seed=3)


@pytest.mark.parametrize(("marginal", "sd"), [(0.16, 0.7), (0.94, 1.4), (0.37, 0.0)])
def test_chances_have_the_marginal_wanted(marginal, sd):
    a = centre(marginal, sd)

    mean, _ = quad(lambda z: expit(a + sd * z) * norm.pdf(z), -10, 10)
    assert mean == pytest.approx(marginal, abs=1e-6)


def test_half_of_the_competitions_have_at_most_six_teams():
    counts = team_counts(200_000, np.random.default_rng(0))

    assert np.median(counts) == 6
    assert counts.min() == 1
    assert counts.mean() == pytest.approx(7.0, abs=0.05)


def test_without_broken_forms_nothing_is_found(instrument):
    clean = simulate(instrument, competitions=40, broken=0.0, seed=1)

    assert clean.ledger.empty
    assert check(instrument, Answers(clean.respondents, clean.answers)).empty


@pytest.mark.parametrize("seed", range(5))
def test_every_planted_fault_is_found_and_nothing_else(instrument, seed):
    made = simulate(instrument, competitions=60, broken=0.5, seed=seed)

    findings = check(instrument, Answers(made.respondents, made.answers))

    kept = {r["measure"]: r["value"] for r in ledger_kept(made.ledger, findings)}
    assert kept["faults_missed"] == kept["false_findings"] == 0
    assert set(made.ledger.code) == set(FAULTS)


def test_a_fault_that_is_not_in_the_ledger_is_told(instrument, survey):
    findings = check(instrument, Answers(survey.respondents, survey.answers))

    one_less = {r["measure"]: r["value"] for r in ledger_kept(survey.ledger.iloc[1:], findings)}
    none = {r["measure"]: r["value"] for r in ledger_kept(survey.ledger, findings.iloc[1:])}
    assert (one_less["false_findings"], none["faults_missed"]) == (1, 1)


def test_the_share_of_broken_forms_is_the_one_asked_for(survey):
    done = (survey.respondents.status == "completed").sum()

    codes = Counter(survey.ledger.code)
    forms = len(survey.ledger) - codes["duplicate"] // 2  # both forms of a pair are told
    assert forms == pytest.approx(0.14 * done, abs=2)


def test_everybody_included_gave_answers_without_an_error(instrument, survey):
    kept = included(instrument, survey.respondents, survey.answers)

    errors = kept.findings[kept.findings.severity == "error"]
    assert not set(errors.respondent) & set(kept.respondents.respondent)
    assert set(kept.answers.respondent) == set(kept.respondents.respondent)
    values = {(r["measure"], r.get("stage")): r["value"] for r in kept.records}
    assert values["flow_gap", None] == 0
    assert values["teams", "included"] == len(kept.respondents)


def test_ranks_run_from_one_to_the_number_of_teams(survey):
    for _, part in survey.competitions.groupby("competition"):
        assert sorted(part["rank"]) == list(range(1, len(part) + 1))


def test_a_planted_strategy_ranks_better_than_chance_would(instrument):
    made = simulate(instrument, competitions=150, planted={"curation": 3.0}, seed=0)

    used = made.answers[made.answers.question == "curation"].set_index("respondent").value
    people = made.respondents.merge(made.competitions, on=["competition", "team"])
    size = made.competitions.groupby("competition").size()
    rank = (people["rank"] - 1) / (people.competition.map(size) - 1)
    mean = rank.groupby(people.respondent.map(used)).mean()
    assert mean["true"] < mean["false"] - 0.2


def test_equal_seeds_give_equal_surveys(instrument):
    one, two, other = (simulate(instrument, competitions=8, seed=s) for s in (5, 5, 6))

    assert all(a.equals(b) for a, b in zip(one, two, strict=True))
    assert not one.answers.equals(other.answers)


@pytest.mark.slow
def test_marginals_are_the_published_ones_within_what_chance_allows(instrument):
    """Three thousand competitions: four standard errors of a share over them."""
    big = simulate(instrument, competitions=3_000, broken=0.0, seed=1)
    both = Answers(*included(instrument, big.respondents, big.answers)[:2])

    table = share_table(instrument, both, draws=200).table.set_index(["question", "option"])

    for figure in published():
        if figure.kind == "share":
            row = table.loc[(figure.question, figure.option)]
            value = 1 - figure.value if figure.negated else figure.value
            error = (row.cluster_high - row.cluster_low) / 3.92
            assert abs(row["share"] - value) < 4 * error, figure.id


def test_a_link_makes_large_competitions_say_yes_more_often():
    counts, bases, chance = counts_of(np.random.default_rng(0), 50, 80, 0.4, 0.0, link=1.0)

    small, large = (chance[which].mean() for which in (bases <= 3, bases >= 10))
    assert small < 0.4 < large
    assert (counts <= bases).all()


@pytest.mark.slow
@pytest.mark.parametrize("marginal", [0.25, 0.5, 0.7])
def test_intervals_cover_as_often_as_they_say(marginal):
    """Nominal 95 %: the bootstrap within two points in 80 competitions that differ, and Wilson's
    where they do not differ, so that teams are independent."""
    differ = coverage(marginal=marginal, sd=0.7, repeats=4_000, seed=1)
    alike = coverage(marginal=marginal, sd=0.0, repeats=4_000, seed=2)

    found = {r["interval"]: r["value"] for r in differ if r["measure"] == "coverage"}
    independent = {r["interval"]: r["value"] for r in alike if r["measure"] == "coverage"}
    assert found["competitions"] == pytest.approx(0.95, abs=0.02)
    assert independent["wilson"] == pytest.approx(0.95, abs=0.015)
    assert found["wilson"] < 0.92
