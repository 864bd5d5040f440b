"""From records to one effect per unit: pairing, averaging, and what is left out in words."""

import numpy as np
import pandas as pd
import pytest
import yaml

from assay import Claim, Records, difference, judge, mean, ratio, trend
from assay.core.estimands import NotTestedError, effects_of


def table(*rows, measure="loss", unit="EUR", **shared):
    """Records as a run joins them, from (value, keys) pairs."""
    whole = [
        {"measure": measure, "value": value, "unit": unit, "step": "score", **shared, **keys}
        for value, keys in rows
    ]
    return pd.DataFrame(whole).assign(trial=range(len(whole)))


def two_models(*pairs, **keys):
    """One record per seed and model, from (large, small) pairs."""
    rows = []
    for seed, (large, small) in enumerate(pairs):
        rows.append((large, {"model": "large", "seed": seed, **keys}))
        rows.append((small, {"model": "small", "seed": seed, **keys}))
    return rows


LARGE_MINUS_SMALL = difference("loss", "model", "large", "small")


def test_a_mean_averages_within_a_unit_first():
    records = table((1.0, {"seed": 0}), (2.0, {"seed": 0}), (6.0, {"seed": 0}), (5.0, {"seed": 1}))

    effects = effects_of(mean("loss"), records, ["seed"])

    assert effects.values.tolist() == [3.0, 5.0]
    assert (effects.unit, effects.note) == ("EUR", "")


def test_a_difference_is_paired_within_the_unit():
    records = table(*two_models((3.0, 1.0), (10.0, 9.0)))

    assert effects_of(LARGE_MINUS_SMALL, records, ["seed"]).values.tolist() == [2.0, 1.0]


def test_what_both_choices_share_drops_out():
    easy, hard = two_models((1.0, 0.0), case="easy"), two_models((101.0, 100.0), case="hard")
    # The hard case of the small model is missing: without pairing, large would look 50.5 worse.
    records = table(*easy, hard[0])

    effects = effects_of(LARGE_MINUS_SMALL, records, ["seed"])

    assert effects.values.tolist() == [1.0]
    assert effects.note == "1 record without a counterpart was left out"


def test_cases_count_alike_however_many_records_they_have():
    many = two_models((1.0, 0.0), case="a") * 3
    few = two_models((5.0, 0.0), case="b")

    assert effects_of(LARGE_MINUS_SMALL, table(*many, *few), ["seed"]).values.tolist() == [3.0]


def test_other_decisions_are_kept_apart():
    records = table(
        *two_models((2.0, 1.0), rate=0.1),
        *two_models((7.0, 3.0), rate=0.2),
        *two_models((0.0, 0.0)),
    )

    # The last pair has no rate; it is a pair all the same.
    assert effects_of(LARGE_MINUS_SMALL, records, ["seed"]).values == pytest.approx([5 / 3])


@pytest.mark.parametrize("key", ["mean", "size", "value_a", "change", "level_0", "index"])
def test_a_key_may_have_any_name(key):
    records = table(*two_models((3.0, 1.0), (4.0, 1.0), **{key: "x"}))

    assert effects_of(LARGE_MINUS_SMALL, records, ["seed"]).values.tolist() == [2.0, 3.0]
    assert len(effects_of(mean("loss"), records, ["seed", key]).values) == 2
    assert len(effects_of(trend("loss", "seed"), records, ["model", key]).values) == 2


def test_units_may_be_several_keys():
    records = table(
        *two_models((3.0, 1.0), (4.0, 1.0), city="A"), *two_models((9.0, 1.0), (8.0, 1.0), city="B")
    )

    effects = effects_of(LARGE_MINUS_SMALL, records, ["city", "seed"])
    by_city = effects_of(LARGE_MINUS_SMALL, records, ["city"])

    assert sorted(effects.values.tolist()) == [2.0, 3.0, 7.0, 8.0]
    assert sorted(by_city.values.tolist()) == [2.5, 7.5]


def test_units_may_be_of_mixed_type():
    records = table((1.0, {"seed": 0, "item": "a"}), (2.0, {"seed": 0, "item": 1}))

    assert effects_of(mean("loss"), records, ["item"]).values.tolist() == [1.0, 2.0]


def test_a_ratio_is_averaged_as_a_logarithm():
    records = table(
        *two_models((2.0, 1.0), case="a"), *two_models((1.0, 2.0), case="b")
    )  # doubling and halving cancel

    effects = effects_of(ratio("loss", "model", "large", "small"), records, ["seed"])

    assert effects.values == pytest.approx([0.0])
    assert effects.unit == "relative"


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_measure_that_is_not_positive_has_no_ratio(value):
    records = table(*two_models((value, 1.0), (2.0, 1.0)))

    with pytest.raises(NotTestedError, match="not positive"):
        effects_of(ratio("loss", "model", "large", "small"), records, ["seed"])


def test_a_trend_is_the_least_squares_slope_of_each_unit():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 4))
    x = [1.0, 2.0, 5.0, 7.0]
    rows = [(values[s, k], {"seed": s, "layers": x[k]}) for s in range(3) for k in range(4)]

    effects = effects_of(trend("loss", "layers"), table(*rows), ["seed"])

    assert effects.values == pytest.approx([np.polyfit(x, row, 1)[0] for row in values])
    assert effects.unit == "EUR per layers"


def test_a_value_with_many_records_pulls_a_trend_no_more_than_one_with_few():
    rows = [(y, {"seed": 0, "layers": x}) for x, y in ((1, 0.0), (2, 1.0), (3, 5.0), (3, 7.0))]

    effects = effects_of(trend("loss", "layers"), table(*rows), ["seed"])

    assert effects.values == pytest.approx([np.polyfit([1, 2, 3], [0.0, 1.0, 6.0], 1)[0]])


def test_a_trend_leaves_out_units_with_one_value_and_says_so():
    rows = [(1.0, {"seed": 0, "layers": 1}), (2.0, {"seed": 0, "layers": 2})]
    rows += [(1.0, {"seed": s, "layers": 1}) for s in (1, 2)]

    effects = effects_of(trend("loss", "layers"), table(*rows), ["seed"])

    assert effects.values == pytest.approx([1.0])
    assert effects.note == "2 units with one value of 'layers' were left out"


def test_a_trend_reads_numbers_that_came_back_as_text():
    rows = [(float(x), {"seed": 0, "layers": str(x)}) for x in (2, 10)]

    assert effects_of(trend("loss", "layers"), table(*rows), ["seed"]).values == pytest.approx([1])


TWO = two_models((3.0, 1.0), (4.0, 1.0))


@pytest.mark.parametrize(
    ("estimand", "units", "records", "said"),
    [
        (mean("gain"), ["seed"], table(*TWO), "no record of 'gain'"),
        (mean("loss"), ["fold"], table(*TWO), "lack the key 'fold'"),
        (mean("loss", model="huge"), ["seed"], table(*TWO), "has model huge"),
        (mean("loss", fold=1), ["seed"], table(*TWO), "has fold 1"),
        (
            mean("loss"),
            ["seed"],
            table(*TWO, (np.nan, {"seed": 3, "model": "large"})),
            "1 of 5 values of 'loss' are not finite",
        ),
        (
            LARGE_MINUS_SMALL,
            ["seed"],
            table(*TWO, (np.inf, {"seed": 3, "model": "large"})),
            "1 of 3 values of 'loss' are not finite",
        ),
        (difference("loss", "rate", 1, 2), ["seed"], table(*TWO), "does not vary 'rate'"),
        (
            difference("loss", "model", "huge", "small"),
            ["seed"],
            table(*TWO),
            "no model huge, only large, small",
        ),
        (LARGE_MINUS_SMALL, ["seed"], table(*TWO[:1], *TWO[3:]), "differ in 'model' alone"),
        (trend("loss", "layers"), ["seed"], table(*TWO), "lack the key 'layers'"),
        (trend("loss", "model"), ["seed"], table(*TWO), "'model' is not a number"),
        (trend("loss", "k"), ["seed"], table(*two_models((1.0, 2.0), k=3)), "has one value only"),
        (
            mean("loss"),
            ["seed"],
            pd.concat([table(*TWO), table(*TWO, unit="USD")]),
            "several units: EUR, USD",
        ),
    ],
)
def test_what_the_records_lack_is_said(estimand, units, records, said):
    with pytest.raises(NotTestedError, match=said):
        effects_of(estimand, records, units)


def test_a_value_that_is_not_finite_blocks_only_claims_about_its_choice():
    records = table(*TWO, (np.nan, {"seed": 0, "model": "broken"}))

    assert effects_of(LARGE_MINUS_SMALL, records, ["seed"]).values.tolist() == [2.0, 3.0]


def test_no_records_at_all_is_said():
    empty = pd.DataFrame(columns=["measure", "value", "unit", "step", "seed", "trial"])

    with pytest.raises(NotTestedError, match="no record"):
        effects_of(mean("loss"), empty, ["seed"])


LABELS = [
    (1, 2),
    (1.0, 2.5),
    (1, 2.5),
    ("1", "2"),
    (True, False),
    ("1", "auto"),
    (1, "auto"),
    (0.1, "auto"),
    (True, "auto"),
    ("007", "7"),
    ("yes", "no"),
]


@pytest.mark.parametrize(("a", "b"), LABELS)
def test_a_label_is_found_whatever_its_type_also_after_files(tmp_path, a, b):
    """In memory, through Parquet, with the claim written as YAML and read back."""
    rows = []
    for seed in range(3):
        rows += [(5.0 + 2**-seed, {"k": a, "seed": seed}), (1.0, {"k": b, "seed": seed})]
    records = table(*rows)
    written = Records(records.to_dict("records"))
    written.to_parquet(tmp_path / "records.parquet")
    again = pd.read_parquet(tmp_path / "records.parquet")
    claim = Claim(
        id="C",
        sentence="a is larger",
        source="built so",
        estimand=difference("loss", "k", a, b),
        direction="above",
    )
    read = Claim.from_dict(yaml.safe_load(yaml.safe_dump(claim.to_dict())))

    verdicts = [judge([c], [], r)[0][0] for c in (claim, read) for r in (records, again)]

    assert read == claim
    assert [v.verdict for v in verdicts] == ["holds"] * 4, verdicts[0].text
    assert len({v.effect for v in verdicts}) == 1


@pytest.mark.parametrize(("asked", "has"), [(1, "1"), ("1", 1), (1.0, 1), (1, 1.0), (True, "True")])
def test_a_label_of_another_type_is_found_by_how_it_is_written(asked, has):
    records = table((1.0, {"k": has, "seed": 0}), (3.0, {"k": "other", "seed": 0}))

    assert effects_of(mean("loss", k=asked), records, ["seed"]).values.tolist() == [1.0]


def test_a_missing_key_is_not_the_label_nan():
    records = table((1.0, {"k": "x", "seed": 0}), (3.0, {"seed": 0}))

    with pytest.raises(NotTestedError, match="has k nan"):
        effects_of(mean("loss", k="nan"), records, ["seed"])
