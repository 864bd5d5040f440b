"""Records: one row per value, with a unit and whatever keys the component declares."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.records import RESERVED, Records
from assay.errors import WorkflowError


def back(records, path):
    records.to_parquet(path)
    return Records.from_parquet(path)


def test_each_value_is_a_row_with_its_unit_and_keys():
    records = Records()
    records.add("loss", 0.25, "EUR", asset="A1", storey=2)
    records.add("score", 3)

    assert list(records) == [
        {"measure": "loss", "value": 0.25, "unit": "EUR", "asset": "A1", "storey": 2},
        {"measure": "score", "value": 3.0, "unit": "1"},
    ]
    assert len(records) == 2


def test_a_frame_has_one_column_per_key_and_nothing_where_a_row_has_none():
    records = Records()
    records.add("a", 1.0, item=3)
    records.add("b", 2.0, "m", case="x")

    frame = records.frame()

    assert list(frame.columns) == ["measure", "value", "unit", "item", "case"]
    assert frame["value"].tolist() == [1.0, 2.0]
    assert frame["item"].isna().tolist() == [False, True]
    assert list(Records().frame().columns) == ["measure", "value", "unit"]
    assert len(Records().frame()) == 0


def test_the_same_row_twice_is_two_rows(tmp_path):
    """A repeated measurement is one more value, not a mistake."""
    records = Records()
    records.add("a", 1.0, item=1)
    records.add("a", 1.0, item=1)

    assert len(records) == len(records.frame()) == len(back(records, tmp_path / "r")) == 2


@pytest.mark.parametrize(
    "value",
    [1, True, 2.5, np.float32(2.5), np.int64(3), np.array(4.0), Fraction(1, 2), Decimal("0.5"),
     math.inf, -math.inf, -0.0],
)  # fmt: skip
def test_a_value_is_one_number_of_any_kind(value):
    records = Records()
    records.add("a", value)

    [row] = records
    assert type(row["value"]) is float
    assert row["value"] == value


def test_nan_says_that_a_value_is_undefined(tmp_path):
    records = Records()
    records.add("a", math.nan)
    records.add("a", 1.0)

    assert np.isnan([row["value"] for row in back(records, tmp_path / "r")]).tolist() == [
        True,
        False,
    ]
    assert records.frame()["value"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    "value", ["0.5", "nan", b"1", None, [1.0], [], {}, 1j, np.zeros(3), 10**400, object()]
)
def test_what_is_not_one_number_is_refused_where_it_is_added(value):
    records = Records()

    with pytest.raises(WorkflowError, match=r"a: the value is .*; expected one number") as told:
        records.add("a", value)
    assert len(records) == 0
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", RESERVED)
def test_a_key_that_the_run_joins_on_is_refused(name):
    records = Records()
    if name in ("measure", "value", "unit"):
        with pytest.raises(TypeError):
            records.add("a", 1.0, "m", **{name: 1})
        return
    with pytest.raises(WorkflowError, match=f"a: a record cannot have a key named '{name}'"):
        records.add("a", 1.0, "m", **{name: 1})
    assert len(records) == 0


@pytest.mark.parametrize("key", [[1], (1,), {"a": 1}, None, np.zeros(2), object(), b"a"])
def test_a_key_that_is_no_scalar_is_refused(key):
    with pytest.raises(WorkflowError, match=r"a: key 'item' is a .*; expected a scalar"):
        Records().add("a", 1.0, item=key)


@pytest.mark.parametrize("text", ["", None, 3, b"m", np.nan])
def test_measure_and_unit_are_texts(text):
    with pytest.raises(WorkflowError, match=r"the measure of a record is .*; expected a text"):
        Records().add(text, 1.0)
    with pytest.raises(WorkflowError, match=r"the unit of a record is .*; expected a text"):
        Records().add("a", 1.0, text)


def test_keys_of_numpy_become_plain():
    records = Records()
    records.add("a", 1.0, n=np.int8(3), x=np.float32(0.5), b=np.bool_(True), s=np.str_("t"))

    [row] = records
    assert [type(row[k]) for k in "nxb"] == [int, float, bool]
    assert row["s"] == "t"


keys = st.sampled_from(["item", "case", "flag", "x"])
kinds = {"item": st.integers(-(2**62), 2**62), "case": st.text(max_size=4), "flag": st.booleans(),
         "x": st.floats(allow_nan=False)}  # fmt: skip
rows = st.fixed_dictionaries(
    {"measure": st.text(min_size=1, max_size=4), "value": st.floats(allow_nan=False),
     "unit": st.sampled_from(["1", "m", "€"])},
    optional=kinds,
)  # fmt: skip


@given(st.lists(rows, max_size=8))
def test_records_come_back_as_they_were(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("records") / "r.parquet"

    assert back(Records(made), path) == Records(made)


def test_a_key_of_two_kinds_becomes_text_and_of_two_kinds_of_numbers_a_number(tmp_path):
    records = Records()
    records.add("a", 1.0, k=1, n=1)
    records.add("a", 1.0, k="b", n=2.5)
    records.add("a", 1.0, k=True)

    read = list(back(records, tmp_path / "r"))

    assert [row["k"] for row in read] == ["1", "b", "True"]
    assert [row.get("n") for row in read] == [1.0, 2.5, None]


def test_the_order_of_keys_does_not_change_the_bytes_and_the_order_of_rows_does(tmp_path):
    rows = [{"measure": "m", "value": 1.0, "unit": "1", "b": 1, "a": 2},
            {"measure": "m", "value": 2.0, "unit": "1"}]  # fmt: skip

    def written(rows):
        Records(rows).to_parquet(tmp_path / "r")
        return (tmp_path / "r").read_bytes()

    assert written(rows) == written([dict(reversed(row.items())) for row in rows])
    assert written(rows) != written(rows[::-1])


def test_records_are_equal_by_their_rows_and_cannot_be_hashed():
    row = {"measure": "a", "value": 1.0, "unit": "1"}

    assert Records([row]) == Records([dict(row)])
    assert Records([row]) != Records([row | {"value": 2.0}])
    assert Records([row]) != [row]
    with pytest.raises(TypeError):
        hash(Records())


def test_rows_that_were_given_are_copied():
    row = {"measure": "a", "value": 1.0, "unit": "1"}
    records = Records([row])
    row["value"] = 2.0

    assert records.rows[0]["value"] == 1.0


def test_what_others_read_is_an_ordinary_table(tmp_path):
    records = Records()
    records.add("a", 1.5, "m", item=3)
    records.to_parquet(tmp_path / "r.parquet")

    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "r.parquet"), records.frame(), check_dtype=False
    )
