"""What may be printed: no count of few teams, nor any that gives one away."""

from collections import defaultdict
from itertools import product

import numpy as np
import pandas as pd
import pytest

from assay.systems.competition_survey import sentences
from assay.systems.competition_survey.answers import Answers, tables
from assay.systems.competition_survey.crosstables import crosstables
from assay.systems.competition_survey.disclosure import (
    hide,
    released_crosstables,
    released_numbers,
    released_shares,
    released_spread,
    released_winners,
)
from assay.systems.competition_survey.instrument import (
    Instrument,
    Question,
    Section,
)
from assay.systems.competition_survey.shares import numbers, share_table

DEEP = Question("deep", "s", "bool", "Was it deep learning?", required=True)
ARCH = Question(
    "arch", "s", "single", "Which?", options=("standard", "own", "mixed"),
    show_if=("==", "deep", True),
)  # fmt: skip
WHY = Question("why", "s", "multi", "Why?", options=("prize", "paper"))
HOURS = Question("hours", "s", "number", "How long?", unit="h", show_if=("==", "deep", True))
MADE = Instrument("t", "1", "team", (Section("s", "S"),), (DEEP, ARCH, WHY, HOURS))


def of_counts(deep=(60, 40), arch=(30, 20, 10), why=50, competitions=10) -> Answers:
    """A survey with these counts: yes and no; architectures of those who said yes; one choice."""
    total, people, values = sum(deep), [], []
    kinds = np.repeat(ARCH.options, arch)
    for k in range(total):
        people.append((f"r{k}", f"c{k % competitions}", f"t{k}", "completed", "h", 900.0))
        values.append((f"r{k}", "deep", "", "true" if k < deep[0] else "false"))
        if k < deep[0]:
            values += [(f"r{k}", "arch", "", str(kinds[k])), (f"r{k}", "hours", "", str(k))]
        values.append((f"r{k}", "why", "", "paper" if k < why else "prize"))
    return tables(people, values)


def told(answers: Answers) -> pd.DataFrame:
    table = released_shares(MADE, share_table(MADE, answers).table)
    return table.set_index(["question", "option"])


@pytest.mark.parametrize(
    ("counts", "hidden"),
    [
        ([60, 30, 10], ["", "", ""]),
        ([60, 30, 3], ["", "withheld", "<5"]),  # alone it is had by subtraction
        ([60, 2, 3], ["", "<5", "<5"]),  # two, of five together
        ([60, 30, 2, 1], ["", "withheld", "<5", "<5"]),  # two, but of three together
        ([60, 40, 0], ["", "", "<5"]),  # nobody is there to be told of
        ([3, 1], ["<5", "<5"]),
        ([60, 4, 4], ["withheld", "<5", "<5"]),  # eight: both would be four
        ([60, 4, 3], ["withheld", "<5", "<5"]),  # seven: one would be four, the other three
        ([60, 50, 5, 1], ["", "withheld", "withheld", "<5"]),  # six: what is withheld is five
        ([30, 30, 3], ["withheld", "withheld", "<5"]),  # no more is withheld than thirty
        ([4, 4, 4], ["withheld"] * 3),
        ([7, 1], ["withheld"] * 2),
    ],
)
def test_a_count_is_not_had_by_subtraction(counts, hidden):
    assert hide(counts) == hidden


@pytest.mark.parametrize(("answers", "most"), [(2, 24), (3, 24), (4, 20)])
def test_whoever_knows_the_rules_and_the_total_has_no_small_count(answers, most):
    """Of all surveys that would be printed alike, no hidden cell is the same in each."""
    alike = defaultdict(list)
    for counts in product(range(most + 1), repeat=answers):
        if 5 <= sum(counts) <= most:
            hidden = hide(counts)
            printed = [how or n for how, n in zip(hidden, counts, strict=True)]
            alike[sum(counts), tuple(printed)].append(counts)

    for (_, printed), surveys in alike.items():
        for cell, *values in zip(printed, *surveys, strict=True):
            if not isinstance(cell, int):
                assert len(set(values)) > 1 or values[0] == 0, (printed, surveys)
        small = [k for k, cell in enumerate(printed) if cell == "<5"]
        together = {sum(counts[k] for k in small) for counts in surveys}
        assert len(together) > 1 or not 0 < together.pop() < 5, (printed, surveys)


def test_nothing_is_hidden_where_all_counts_are_large():
    table = told(of_counts())

    assert (table.hidden == "").all()
    assert table.loc[("deep", "true"), ["n", "base", "share_said"]].tolist() == [
        "60",
        "100",
        "60 %",
    ]
    assert table.loc[("arch", "own"), "base"] == "60"


def test_of_two_answers_the_other_is_told_as_far_as_the_small_one_allows():
    table = told(of_counts(deep=(98, 2), arch=(49, 39, 10)))

    assert table.loc[("deep", "false"), "n"] == "<5"
    assert table.loc[("deep", "true"), ["n", "share_said"]].tolist() == [">95", "more than 95 %"]
    assert table.loc[("deep", "true"), ["share", "low", "cluster_low", "median"]].isna().all()


def test_a_base_does_not_tell_the_count_that_decides_on_it():
    table = told(of_counts(deep=(98, 2), arch=(49, 39, 10)))

    own = table.loc[("arch", "own")]
    assert (own["base"], own["n"], own["share_said"]) == ("withheld", "withheld", "40 %")
    assert np.isnan(own.low)
    assert np.isnan(own.cluster_low)
    whole = told(of_counts(deep=(3, 97), arch=(3, 0, 0))).loc["arch"]
    assert (whole["base"] == "<5").all()
    assert whole.share.isna().all()


def test_an_option_of_many_that_almost_all_chose_is_not_told_exactly():
    assert told(of_counts(why=97)).loc[("why", "paper"), "n"] == ">95"
    assert told(of_counts(why=100)).loc[("why", "paper"), "n"] == "100"


@pytest.mark.parametrize("base", ["shown", "answered"])
def test_an_option_of_many_is_hidden_against_those_who_answered(base):
    people, values = of_counts(why=58)
    values = values[
        (values.question != "why") | values.respondent.isin([f"r{k}" for k in range(60)])
    ]

    shares = share_table(MADE, Answers(people, values), base=base)
    table = released_shares(MADE, shares.table).set_index(["question", "option"])

    assert table.loc[("why", "paper"), ["n", "missing"]].tolist() == [">55", "40"]
    assert table.loc[("why", "prize"), "n"] == "<5"
    assert "answered" not in table


@pytest.mark.parametrize("base", ["shown", "answered"])
def test_an_option_of_many_is_told_where_enough_did_not_choose_it(base):
    people, values = of_counts(why=17)
    values = values[
        (values.question != "why") | values.respondent.isin([f"r{k}" for k in range(60)])
    ]

    shares = share_table(MADE, Answers(people, values), base=base)
    table = released_shares(MADE, shares.table).set_index(["question", "option"])

    assert table.loc[("why", "paper"), "n"] == "17"


def test_numbers_follow_the_answer_that_decides_on_them():
    small, guarded = of_counts(deep=(4, 96), arch=(4, 0, 0)), of_counts(
        deep=(98, 2), arch=(49, 39, 10)
    )  # fmt: skip

    def made(answers: Answers) -> pd.Series:
        shares = released_shares(MADE, share_table(MADE, answers).table)
        return released_numbers(MADE, numbers(MADE, *answers, seed=0), shares).iloc[0]

    assert made(small).n == "<5"
    assert np.isnan(made(small)["median"])
    assert (made(guarded).n, made(guarded).base) == ("withheld", "withheld")
    assert made(of_counts()).n == "60"
    assert np.isfinite(made(of_counts()).p10)
    assert np.isnan(made(of_counts(deep=(30, 70), arch=(10, 10, 10))).p10)  # three teams beyond


@pytest.mark.parametrize(("n", "told_"), [(9, []), (10, ["median"]), (20, ["q1", "median", "q3"])])
def test_a_quantile_of_few_teams_is_not_their_own_answer(n, told_):
    answers = of_counts(deep=(n, 40), arch=(n, 0, 0))
    table = numbers(MADE, *answers, min_n=1, seed=0)
    shares = released_shares(MADE, share_table(MADE, answers).table)

    row = released_numbers(MADE, table, shares).iloc[0]

    assert [
        name for name in ("p10", "q1", "median", "q3", "p90") if np.isfinite(row[name])
    ] == told_
    assert np.isnan(row.low) or n >= 20
    said = sentences.measured(row)
    assert "nan" not in said
    assert ("quartiles" in said) == ("q1" in told_)
    assert said.startswith("Too few teams answered") == (not told_)


def test_medians_of_competitions_stand_on_five_on_either_side():
    for competitions, names in ((9, []), (10, ["competition_median"]), (20, COMPETITIONS)):
        answers = of_counts(deep=(120, 40), arch=(60, 60, 0), competitions=competitions)
        shares = released_shares(MADE, share_table(MADE, answers).table)
        row = released_numbers(MADE, numbers(MADE, *answers, seed=0), shares).iloc[0]
        assert [name for name in COMPETITIONS if np.isfinite(row[name])] == names


COMPETITIONS = ["competition_q1", "competition_median", "competition_q3"]


def test_nothing_is_told_by_competitions_of_one_or_two_teams():
    answers = of_counts(deep=(120, 80), arch=(60, 60, 0), competitions=100)  # two teams in each
    made = share_table(MADE, answers, min_n=2)
    shares = released_shares(MADE, made.table)

    row = released_numbers(MADE, numbers(MADE, *answers, min_n=1, seed=0), shares).iloc[0]

    assert made.table["median"].notna().any()
    assert shares[["median", "q1", "q3"]].isna().all(axis=None)
    assert released_spread(made.spread, shares).empty
    assert row[COMPETITIONS].isna().all()


def test_medians_of_shares_are_rounded_as_their_dots_are():
    table = released_shares(MADE, share_table(MADE, of_counts(competitions=14)).table)

    ends = table.loc[table.hidden == "", ["median", "q1", "q3"]].to_numpy(float)

    assert np.isfinite(ends).any()
    assert np.allclose(ends * 20, (ends * 20).round(), equal_nan=True)


def test_dots_of_competitions_are_rounded_and_nameless():
    made = share_table(MADE, of_counts())
    dots = released_spread(made.spread, released_shares(MADE, made.table))

    assert set(dots) == {"question", "row", "option", "share", "answer"}
    assert np.allclose(dots.share * 20, (dots.share * 20).round())
    few = share_table(MADE, of_counts(competitions=4))
    assert released_spread(few.spread, released_shares(MADE, few.table)).empty


def test_a_cell_of_a_crosstable_is_not_had_from_its_row_or_column():
    rng = np.random.default_rng(3)
    for _ in range(15):
        deep = int(rng.integers(6, 60))
        arch = rng.multinomial(deep, [0.6, 0.3, 0.1])
        answers = of_counts(deep=(deep, 70), arch=tuple(arch), why=int(rng.integers(0, deep + 70)))
        raw = crosstables(MADE, *answers, pairs=[("arch", "deep")])
        shares = released_shares(MADE, share_table(MADE, answers).table)
        kept = released_crosstables(MADE, raw, shares)
        for keys in (["by_option"], ["option"]):
            for _, line in raw.groupby(keys):
                hidden = kept.loc[line.index].hidden != ""
                counts = line.n[hidden]
                if ((counts > 0) & (counts < 5)).any() and not hidden.all():
                    assert counts.sum() >= 5


def crossing(answers: Answers, *pair: str) -> pd.DataFrame:
    shares = released_shares(MADE, share_table(MADE, answers).table)
    return released_crosstables(MADE, crosstables(MADE, *answers, pairs=[pair]), shares)


@pytest.mark.parametrize(
    ("answers", "pair"),
    [
        (of_counts(deep=(98, 40), arch=(60, 35, 3)), ("arch", "why")),  # own is told as <5
        (of_counts(deep=(98, 3), arch=(59, 39, 0), why=60), ("deep", "why")),
        (of_counts(deep=(98, 3), arch=(49, 39, 10), why=50), ("deep", "arch")),
        (of_counts(deep=(98, 3), arch=(49, 39, 10), why=50), ("why", "arch")),  # arch: asked by it
        (of_counts(deep=(98, 40), arch=(60, 35, 3), why=50), ("why", "arch")),
    ],
)
def test_a_crosstable_does_not_tell_what_the_shares_withhold(answers, pair):
    kept = crossing(answers, *pair)

    assert set(kept.base) <= {"withheld", "<5"}
    assert set(kept.n) <= {"withheld", "<5"}
    assert kept[["low", "high"]].isna().all(axis=None)
    assert kept.share.notna().any()
    assert (kept.share.dropna().round(2) == kept.share.dropna()).all()


def test_a_row_of_a_crosstable_without_a_base_tells_no_count():
    kept = crossing(of_counts(deep=(60, 40), arch=(20, 20, 20), why=27), "arch", "why")

    closed = kept.groupby("by_option").hidden.transform("any")
    assert not closed.all()  # own: seven and thirteen
    rows = kept[kept.base == "withheld"]
    assert set(rows.n) <= {"withheld", "<5"}
    mixed = crossing(of_counts(deep=(60, 40), arch=(20, 20, 20), why=58), "why", "arch")
    assert set(mixed[mixed.base == "withheld"].n) <= {"withheld", "<5"}


def test_a_small_cell_of_a_crosstable_is_not_printed():
    answers = of_counts(deep=(60, 40), why=97)  # three of the forty chose the other

    kept = crossing(answers, "deep", "why")

    table = kept.set_index(["by_option", "option"])
    assert table.loc[("false", "prize"), "n"] == "<5"
    assert table.loc[("false", "paper"), ["n", "base"]].tolist() == ["withheld", "withheld"]
    assert table.loc[("false", "paper"), ["share", "low"]].isna().all()
    words = sentences.crossed(kept[(kept.by_option == "false") & (kept.option == "prize")].iloc[0])
    assert words.startswith("Fewer than 5 of the teams that answered “No”")


def model(used: int, teams: int = 60, strategy: str = "deep", effect: float = 0.2) -> pd.DataFrame:
    return pd.DataFrame(
        [{"strategy": strategy, "text": "Was it?", "answer": "“Yes”", "effect": effect,
          "error": 0.1, "low": 0.1, "high": 0.3, "p": 0.01, "ratio": 0.2, "teams": teams,
          "competitions": 8, "used": used, "excluded": 0, "note": "", "p_holm": 0.01,
          "found": True}]
    )  # fmt: skip


@pytest.mark.parametrize(("used", "is_told"), [(4, False), (5, True), (55, True), (57, False)])
def test_ranks_of_few_teams_are_not_told(used, is_told):
    shares = released_shares(MADE, share_table(MADE, of_counts()).table)

    row = released_winners(MADE, model(used), shares).iloc[0]

    numbers_ = row[["effect", "error", "low", "high", "p", "ratio", "p_holm"]].astype(float)
    assert "used" not in row
    assert row.found == is_told
    assert np.isfinite(numbers_).all() if is_told else numbers_.isna().all()
    assert ("fewer than 5 teams used it" in row.note.lower()) != is_told
    assert ("nothing is told of their ranks" in sentences.won(row)) != is_told


def test_a_model_does_not_count_the_teams_that_shares_withhold():
    open_, closed = (
        released_shares(MADE, share_table(MADE, of_counts(deep=d, arch=(49, 35, 14))).table)
        for d in ((98, 40), (98, 2))
    )

    assert released_winners(MADE, model(30, strategy="arch=own"), open_).teams.tolist() == ["60"]
    row = released_winners(MADE, model(30, strategy="arch=own"), closed).iloc[0]
    assert row.teams == "withheld"
    assert "among teams of 8 competitions" in sentences.won(row)
