"""Values as JSON and back: what survives, what is refused, and what no file can make happen."""

import dataclasses
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import BaseModel, Field, RootModel

from assay.core.encoding import MAX_DEPTH, decode, encode, holds_array
from assay.errors import WorkflowError

Metres = NewType("Metres", float)


class Colour(Enum):
    RED = "red"
    DEEP = (1, 2)


class Size(IntEnum):
    BIG = 3


class Pair(NamedTuple):
    low: float
    high: int | None


@dataclass(frozen=True)
class Grid:
    values: np.ndarray
    name: str = "grid"
    inner: "Grid | None" = None


@dataclass
class Derived:
    x: float
    doubled: float = field(init=False)

    def __post_init__(self):
        self.doubled = 2 * self.x


class Finer(Derived):
    """Derived from what the annotation names."""


class Named(BaseModel):
    rate: float = Field(1.0, alias="rateOfChange")
    steps: list[int] = []
    when: datetime | None = None


class Numbers(RootModel[list[int]]):
    """A model that is no mapping."""


class Table(RootModel[dict[str, int]]):
    """A model that is a mapping without fields."""


class Typed(TypedDict):
    pair: Pair
    colour: Colour


class Arrays(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    values: np.ndarray


def trip(value, annotation=Any):
    arrays = []
    tree = encode(value, arrays)
    return decode(tree, annotation, arrays)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (None, float | None),
        (True, bool),
        (3, int),
        (2**70, int),
        (0.1, float),
        (-0.0, float),
        (math.inf, float),
        (-math.inf, Any),
        ("text \ud800 € \u2028 \0", str),
        (date(2020, 2, 29), date),
        (datetime(2020, 2, 29, 1, 2, 3, 4, tzinfo=UTC), datetime),
        ([1, [2.5, "a"], []], list),
        ((1, "a", (2.0,)), tuple[int, str, tuple[float]]),
        ({"a": {"b": [1]}, "": 2}, dict),
        (Pair(0.5, None), Pair),
        ([Pair(0.5, 1)], list[Pair]),
        ((Pair(0.5, 1), Colour.RED), tuple[Pair, Colour]),
        ((Pair(0.5, 1), Pair(1.5, 2)), tuple[Pair, ...]),
        ({"a": Pair(0.5, 1)}, dict[str, Pair]),
        ({"pair": Pair(0.5, 1), "colour": Colour.DEEP}, Typed),
        (Colour.DEEP, Colour),
        (Size.BIG, Size),
        (Colour.RED, Colour | None),
        (Colour.RED, Annotated[Colour, "a tag"]),
        (Metres(2.5), Metres),
        (Derived(1.5), Derived),
        (Finer(1.5), Derived),
        (Named(rateOfChange=2.0, steps=[1], when=datetime(2020, 1, 1, tzinfo=UTC)), Named),
        (Named(rateOfChange=math.inf), Named),
        (Numbers([1, 2]), Numbers),
        (Table({"root": 1}), Table),
        ([Table({"a": 1}), Numbers([])], list[Table | Numbers]),
        ("a", Literal["a", "b"]),
        (OrderedDict(b=1, a=2), dict),
    ],
)
def test_a_value_comes_back_as_it_was(value, annotation):
    back = trip(value, annotation)

    assert back == value
    assert type(back) is (dict if isinstance(value, OrderedDict) else type(value))
    assert str(back) == str(value) or isinstance(value, OrderedDict | BaseModel)


def test_nan_and_numbers_of_numpy_become_numbers():
    assert math.isnan(trip(math.nan))
    assert math.isnan(trip(np.float32("nan")))
    for value in (np.float32(0.1), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True)):
        assert trip(value) == value.item()
        assert type(trip(value)) is type(value.item())


def test_a_whole_number_is_read_as_the_float_that_is_annotated():
    assert type(trip(1, float)) is float
    assert type(trip([1], list[float])[0]) is float
    assert type(trip(1, float | int)) is int


def test_the_order_of_a_dict_is_part_of_it():
    assert list(trip({"b": 1, "a": 2})) == ["b", "a"]


@given(
    hnp.arrays(
        st.one_of(
            hnp.boolean_dtypes(),
            hnp.integer_dtypes(endianness="="),
            hnp.floating_dtypes(endianness="="),
            hnp.complex_number_dtypes(endianness="="),
            hnp.unicode_string_dtypes(endianness="=", max_len=4),
        ),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
    )
)
def test_arrays_lie_where_they_were_inside_a_value(array):
    value = {"a": [array, {"b": (array, 1)}], "c": Grid(array, inner=Grid(array[..., None]))}

    back = trip({k: v for k, v in value.items() if k != "c"})
    grid = trip(value["c"], Grid)

    for one in (back["a"][0], back["a"][1]["b"][0], grid.values):
        assert one.dtype == array.dtype
        np.testing.assert_array_equal(one, array)
    assert grid.inner.values.shape == (*array.shape, 1)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text().filter(lambda k: not k.startswith("$")), inner, max_size=4)
    ),
    max_leaves=30,
)


@given(trees)
def test_whatever_is_made_of_plain_containers_survives(value):
    assert repr(trip(value)) == repr(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"bytes", "a value of type bytes has no storage format"),
        ({1, 2}, "a value of type set has no storage format"),
        (1j, "a value of type complex has no storage format"),
        (timedelta(1), "a value of type timedelta"),
        (pd.Timestamp("2020-01-01"), "a value of type Timestamp"),
        (pd.NaT, "a value of type NaTType"),
        (np.datetime64("2020"), "a value of type datetime64"),
        (object(), "a value of type object"),
        (print, "a value of type builtin_function_or_method"),
        (Grid, "the class Grid has no storage format"),
        ({1: 2}, "a dict in a result has the key 1; expected texts that do not begin with"),
        ({"$array": 0}, r"a dict in a result has the key '\$array'"),
        ([Path("a")], "a PosixPath inside another value .* an output of its own"),
        ({"t": pd.DataFrame()}, "a DataFrame inside another value"),
        (pd.Series([1]), "a value of type Series"),
        (np.array([1, "a", None], object), "an array of object has no storage format"),
        (np.zeros(2, "i4,f8"), "an array of .* has no storage format"),
        (np.ma.masked_array([1, 2], [0, 1]), "a masked array has no storage format"),
        (Arrays(values=np.zeros(2)), "a Arrays cannot be stored: .*ndarray"),
        ([[1], {"deep": (1, {2})}], "a value of type set"),
    ],
)
def test_what_has_no_format_is_refused_in_one_line(value, message):
    with pytest.raises(WorkflowError, match=message) as caught:
        encode(value, [])
    assert "\n" not in str(caught.value)


def nested(depth, wrap):
    value: Any = 1.0
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    ("wrap", "annotation"),
    [
        (lambda v: [v], Any),
        (lambda v: (v,), Any),
        (lambda v: {"a": v}, Any),
        (lambda v: Grid(np.zeros(1), inner=v), Grid),
    ],
)
def test_as_deep_as_is_written_can_be_read_and_deeper_is_refused(wrap, annotation):
    trip(nested(MAX_DEPTH, wrap), annotation)

    with pytest.raises(WorkflowError, match=f"nested too deep .* at most {MAX_DEPTH} levels"):
        encode(nested(MAX_DEPTH + 2, wrap), [])


def test_a_value_that_contains_itself_is_refused():
    loop = {}
    loop["again"] = [loop]

    assert not holds_array(loop)
    with pytest.raises(WorkflowError, match="contains itself"):
        encode(loop)


@pytest.mark.parametrize("annotation", [Any, float, list[float], dict[str, Any], Pair | None])
def test_only_an_annotated_class_is_made(annotation):
    tree = encode(Derived(1.0))

    with pytest.raises(WorkflowError, match=r"a Derived was stored .* Annotate the output with"):
        decode(tree, annotation)


def test_a_file_cannot_name_a_class_into_being():
    made = []

    class Trap:
        def __init__(self, **kwargs):
            made.append(kwargs)

    for name in ("Trap", "Popen", "builtins.eval", "object", "type"):
        with pytest.raises(WorkflowError):
            decode({"$type": name, "x": 1}, Any)
    assert not made


def test_fields_that_are_computed_are_computed_again():
    tree = encode(Derived(1.5))

    assert dataclasses.asdict(decode(tree, Derived)) == {"x": 1.5, "doubled": 3.0}
    assert "doubled" not in tree
