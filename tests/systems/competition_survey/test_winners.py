"""The mixed model against its peer, and what it is fed with."""

import warnings

import numpy as np
import pandas as pd
import pytest

from assay.errors import UsageError
from assay.systems.competition_survey.answers import tables
from assay.systems.competition_survey.instrument import Instrument, Question, Section
from assay.systems.competition_survey.mixed import random_intercept
from assay.systems.competition_survey.winners import normalised_ranks, read_strategy, winners

DEEP = Question("deep", "s", "bool", "Deep learning?")
ARCH = Question(
    "arch", "s", "single", "Which?", options=("standard", "own"), show_if=("==", "deep", True)
)
MADE = Instrument("test", "1", "team", (Section("s", "Section"),), (DEEP, ARCH))


def drawn(seed: int, between: float, groups: int = 25):
    rng = np.random.default_rng(seed)
    size = rng.integers(2, 9, groups)
    group = np.repeat(np.arange(groups), size)
    x = (rng.random(len(group)) < 0.4).astype(float)
    y = 0.3 * x + rng.normal(0, between, groups)[group] + rng.normal(size=len(group))
    return y, x, group


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_that_of_statsmodels_where_that_converges(seed):
    from statsmodels.regression.mixed_linear_model import MixedLM

    y, x, group = drawn(seed, between=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = MixedLM(y, np.column_stack([np.ones_like(x), x]), groups=group).fit(reml=True)
    assert peer.converged

    fit = random_intercept(y, x, group)

    assert fit.effect == pytest.approx(peer.fe_params[1], abs=1e-4)
    assert fit.error == pytest.approx(peer.bse_fe[1], rel=1e-3)
    assert fit.ratio == pytest.approx(float(peer.cov_re[0, 0]) / peer.scale, rel=2e-2)


def test_without_variance_between_groups_it_is_least_squares():
    from statsmodels.regression.linear_model import OLS

    y, x, group = drawn(0, between=0.0)
    y = y - (np.bincount(group, y) / np.bincount(group))[group]

    fit = random_intercept(y, x, group)

    peer = OLS(y, np.column_stack([np.ones_like(x), x])).fit()
    assert fit.ratio == 0.0
    assert (fit.effect, fit.error) == pytest.approx((peer.params[1], peer.bse[1]))


def test_centred_it_is_the_regression_with_an_intercept_for_each_group():
    from statsmodels.regression.linear_model import OLS

    y, x, group = drawn(3, between=2.0)

    fit = random_intercept(y, x, group, centred=True)

    peer = OLS(y, np.column_stack([x, np.eye(group.max() + 1)[group]])).fit()
    assert (fit.effect, fit.error) == pytest.approx((peer.params[0], peer.bse[0]))
    assert (fit.low, fit.high) == pytest.approx(tuple(peer.conf_int()[0]))
    assert fit.p == pytest.approx(peer.pvalues[0])


def test_what_cannot_be_fitted_is_named():
    ones, group = np.ones(6), np.array([0, 0, 0, 1, 1, 1])

    assert "does not vary" in random_intercept(np.arange(6.0), ones, group).problem
    assert "no residuals" in random_intercept(ones, np.arange(6.0), group).problem
    assert "too few teams" in random_intercept(ones[:3], np.arange(3.0), group[1:4]).problem


def test_ranks_count_among_all_teams_of_a_competition():
    organiser = pd.DataFrame(
        [("A", "One", 1), ("A", "Two", 3), ("A", "Three", 2), ("B", "Only", 1), ("C", "X", 5),
         ("C", "Y", np.nan), ("D", "", np.nan)],
        columns=["competition", "team", "rank"],
    )  # fmt: skip
    people = pd.DataFrame(
        [("A", "one"), ("A", "THREE"), ("A", "Two"), ("B", "Only"), ("C", "X"), ("C", "Y"),
         ("D", "Z")],
        columns=["competition", "team"],
    )  # fmt: skip

    found = normalised_ranks(organiser, people)

    assert found == pytest.approx([1.0, 0.5, 0.0, np.nan, 0.0, np.nan, np.nan], nan_ok=True)


def survey(competitions: int, seed: int = 0, gain: float = 0.0):
    """Teams of which half used deep learning, in every competition but the first, where all did."""
    rng = np.random.default_rng(seed)
    people, values, organiser = [], [], []
    for c in range(competitions):
        deep = rng.permutation([True, True, True, False, False, False]) | (c == 0)
        rank = np.argsort(np.argsort(-(gain * deep + rng.normal(size=6)))) + 1
        for k in range(6):
            people.append((f"r{c}-{k}", f"c{c}", f"t{k}", "completed", "h", 1.0))
            organiser.append((f"c{c}", f"t{k}", float(rank[k])))
            values.append((f"r{c}-{k}", "deep", "", str(bool(deep[k])).lower()))
            if deep[k]:
                values.append((f"r{c}-{k}", "arch", "", "standard"))
    table = pd.DataFrame(organiser, columns=["competition", "team", "rank"])
    return (*tables(people, values), table)


def test_competitions_in_which_all_or_none_used_it_are_left_out_and_counted():
    people, answers, organiser = survey(8)

    made = winners(MADE, people, answers, organiser, strategies=["deep", "arch=standard"])

    deep, arch = made.iloc
    assert (deep.competitions, deep.teams, deep.used, deep.excluded) == (7, 42, 21, 1)
    assert deep.note == "1 competition in which all or none used it left out"
    assert np.isnan(arch.effect)  # every team that was asked chose it
    assert arch.note == (
        "not fitted: fewer than 5 competitions in which some but not all used it; "
        "8 competitions in which all or none used it left out"
    )
    assert arch.excluded == 8


def test_the_effect_is_the_difference_of_mean_normalised_ranks_in_a_balanced_survey():
    people, answers, organiser = survey(20, gain=2.0)
    kept = people.competition != "c0"

    made = winners(MADE, people, answers, organiser, strategies=["deep"]).iloc[0]

    rank = 1 - (organiser["rank"] - 1) / 5
    deep = people.respondent.map(answers[answers.question == "deep"].set_index("respondent").value)
    means = rank[kept].groupby(deep[kept]).mean()
    assert made.effect == pytest.approx(means["true"] - means["false"])
    assert made.found
    assert made.p_holm == made.p


def test_p_values_are_adjusted_over_all_that_were_fitted():
    people, answers, organiser = survey(30, gain=0.9)

    made = winners(MADE, people, answers, organiser, strategies=["deep", "deep=false", "arch=own"])

    assert made.p_holm.iloc[0] == pytest.approx(2 * made.p.iloc[0])
    assert made.effect.iloc[1] == pytest.approx(-made.effect.iloc[0])
    assert np.isnan(made.p_holm.iloc[2])


def test_a_strategy_that_is_no_answer_is_refused():
    assert read_strategy(MADE, "arch!=own").negated
    with pytest.raises(UsageError, match=r"no strategy 'dep'.*'deep'"):
        read_strategy(MADE, "dep")
    with pytest.raises(UsageError, match=r"'arch' has no answer 'standrd'.*'standard'"):
        read_strategy(MADE, "arch=standrd")
