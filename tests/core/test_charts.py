"""House charts: honest intervals, every number of the records, and names that break nothing."""

import json
import math
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from assay.core.charts import (
    MOST_DEFAULT_CHARTS,
    MOST_DOTS,
    cloud,
    column,
    curve,
    default_figures,
    dots,
    single,
    summarise,
    told,
)
from assay.core.figures import file_name

SAID = {"name": "n", "title": "t", "caption": "c"}
NASTY = ["<b>&", "a\"b'c", "[x]", "1.5", "ü水", "</script>", "y" * 200]
LINES = ["a\nb", "a\u2028b", 'a"b', "a'b", "<b>", "a\tb"]


def table(*rows, unit="m"):
    """Records from (measure, value, seed, further keys)."""
    return pd.DataFrame(
        [{"measure": m, "value": v, "unit": unit, "seed": s, **k} for m, v, s, k in rows]
    )


def many(measure="depth", seeds=4, **keys):
    """A number per seed and combination of keys, each a trial."""
    frame = pd.DataFrame([{}])
    for name, values in {**keys, "seed": range(seeds)}.items():
        frame = frame.merge(pd.DataFrame({name: values}), how="cross")
    value = np.random.default_rng(1).normal(5.0, 1.0, len(frame))
    return frame.assign(measure=measure, value=value, unit="m", trial=range(len(frame)))


def by_item(frame, items=3):
    """The same records once for each item of a trial, in its step."""
    item = pd.DataFrame({"item": range(items)})
    return frame.merge(item, how="cross").assign(step="storm")


def run_of(records):
    return SimpleNamespace(records=records)


def spec(figure):
    return figure.chart.to_dict()


def drawn(figure):
    """The chart as a browser would draw it."""
    text = vl_convert.vegalite_to_svg(json.dumps({**spec(figure), "width": 400}))
    return text, ElementTree.fromstring(text)


def marks(figure, kind):
    """Places of the marks of one kind: their paths and transforms."""
    text, _ = drawn(figure)
    return re.findall(rf'<path [^>]*aria-roledescription="{kind}"[^>]*>', text)


def dataset(figure):
    """The rows that the page holds."""
    (rows,) = spec(figure)["datasets"].values()
    return pd.DataFrame(rows)


# -- summaries ----------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8))
def test_the_interval_is_students_t_over_seeds(values):
    frame = table(*(("depth", v, s, {}) for s, v in enumerate(values)))
    (row,) = summarise(frame, "depth", []).to_dict("records")

    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    assert row["mean"] == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    assert row["low"] == pytest.approx(np.mean(values) - half, rel=1e-7, abs=1e-6)
    assert row["high"] == pytest.approx(np.mean(values) + half, rel=1e-7, abs=1e-6)
    assert (row["n"], row["unit"]) == (len(values), "m")


def test_records_within_a_seed_are_averaged_first_and_do_not_count_as_more():
    rows = [("depth", v, s, {"item": i}) for s in (0, 1) for i, v in enumerate([s, s + 2.0])]
    (row,) = summarise(table(*rows), "depth", []).to_dict("records")

    assert (row["mean"], row["n"]) == (1.5, 2)


def test_one_seed_has_no_interval_and_equal_seeds_have_a_point():
    alone = summarise(table(("depth", 3.0, 0, {})), "depth", [])
    equal = summarise(table(("depth", 3.0, 0, {}), ("depth", 3.0, 1, {})), "depth", [])

    assert alone[["low", "high"]].isna().all(axis=None)
    assert equal[["mean", "low", "high"]].to_numpy().tolist() == [[3.0, 3.0, 3.0]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_interval_and_no_warning(value):
    frame = table(("depth", value, 0, {}), ("depth", 3.0, 1, {}), ("depth", 4.0, 2, {}))

    assert summarise(frame, "depth", [])[["low", "high"]].isna().all(axis=None)


def test_keys_are_kept_apart_in_the_order_they_came():
    frame = many(storm=[100, 2], way=["b", "a"])
    made = summarise(frame, "depth", ["way", "storm", "absent"])

    assert list(made.columns) == ["way", "storm", "mean", "low", "high", "n", "unit"]
    assert list(zip(made["storm"], made["way"], strict=True)) == [
        (100, "b"), (100, "a"), (2, "b"), (2, "a")
    ]  # fmt: skip
    assert made["mean"].mean() == pytest.approx(frame["value"].mean())


def test_only_the_measure_asked_for_counts():
    frame = pd.concat([many(), many("speed").assign(unit="m/s", value=1.0)])

    assert summarise(frame, "speed", [])["mean"].tolist() == [1.0]
    assert summarise(frame, "speed", [])["unit"].tolist() == ["m/s"]


@pytest.mark.parametrize("key", ["mean", "low", "high", "n", "choice"])
def test_a_key_named_like_a_statistic_is_kept_beside_it(key):
    frame = many(**{key: [10, 100]})
    made = summarise(frame, "depth", [key])
    figure = curve(frame, "depth", key, **SAID)

    assert made[column(key)].tolist() == [10, 100]
    assert made["n"].tolist() == [4, 4]
    assert dataset(dots(frame, "depth", by=[key], **SAID))["choice"].tolist() == [
        f"{key} 10", f"{key} 100"
    ]  # fmt: skip
    assert spec(figure)["layer"][-1]["encoding"]["x"]["axis"]["values"] == [10, 100]
    assert len(marks(figure, "point")) == 2


# -- charts -------------------------------------------------------------------------------------


def figures_of(frame, key="storm"):
    return [
        curve(frame, "depth", key, by="way", **SAID),
        dots(frame, "depth", by=[key, "way"], **SAID),
        cloud(frame, "depth", key, by=[key, "way"], **SAID),
    ]


def test_the_csv_of_a_chart_holds_exactly_what_is_drawn(tmp_path):
    for figure in figures_of(many(storm=[2, 10, 100], way=["a", "b"])):
        figure.data.to_csv(tmp_path / "f.csv", index=False)
        read = pd.read_csv(tmp_path / "f.csv")

        pd.testing.assert_frame_equal(read, dataset(figure), check_dtype=False)
        assert len(read) == 6


def test_a_curve_has_a_line_per_choice_and_a_band_where_there_are_seeds():
    frame = many(storm=[2, 10, 100], way=["a", "b"])

    assert len(marks(curve(frame, "depth", "storm", by="way", **SAID), "line mark")) == 2
    assert len(marks(curve(frame, "depth", "storm", by="way", **SAID), "area mark")) == 2
    alone = curve(frame[frame["seed"] == 0], "depth", "storm", by="way", **SAID)
    assert len(marks(alone, "line mark")) == 2
    assert not marks(alone, "area mark")


def test_a_curve_without_choices_is_one_line():
    figure = curve(many(storm=[2, 10]), "depth", "storm", by="absent", **SAID)

    assert len(marks(figure, "line mark")) == 1


def test_dots_have_a_row_and_an_interval_per_combination():
    figure = dots(many(storm=[2, 10, 100], way=["a", "b"]), "depth", by=["storm", "way"], **SAID)

    assert len(marks(figure, "point")) == 6
    assert len(re.findall('aria-roledescription="rule mark"', drawn(figure)[0])) == 6
    assert dataset(figure)["choice"][0] == "storm 2, way a"


def test_axes_carry_measure_and_unit():
    first, second, _ = figures_of(many("depth", storm=[1, 2], way=["a", "b"]))

    assert "depth (m)" in drawn(first)[0]
    assert "depth (m)" in drawn(second)[0]
    assert "depth (1)" not in drawn(dots(many().assign(unit="1"), "depth", by=[], **SAID))[0]


@pytest.mark.parametrize("key", ["storm.value", "a[0]", "it's", 'a"b', "a:b", "ü水", "a b"])
def test_a_key_of_any_name_is_drawn(key):
    """Where two axes share a parameter's name the key has a dot in it."""
    frame = many(**{key: [1, 2, 3], "way": ["a", "b"]})
    for figure in figures_of(frame, key):
        text, _ = drawn(figure)
        assert "NaN" not in text
        assert "undefined" not in text
        assert len(marks(figure, "point")) == 6
    across = {re.search(r"translate\(([-\d.]+)", m).group(1) for m in marks(figure, "point")}
    assert len(across) == 3


def test_labels_of_any_text_are_drawn_as_text():
    figure = dots(many(way=NASTY), "depth", by=["way"], **SAID)
    text, svg = drawn(figure)
    tags = {e.tag.rpartition("}")[2] for e in svg.iter()}

    assert tags <= {"svg", "g", "path", "text", "rect", "line", "defs", "clipPath", "title"}
    assert not [a for e in svg.iter() for a in e.attrib if a.startswith("on")]
    shown = [e.text for e in svg.iter() if e.tag.endswith("text")]
    for label in NASTY[:-1]:
        assert f"way {label}" in shown
    assert "<b>" not in text


@pytest.mark.parametrize("text", LINES)
def test_a_measure_and_a_unit_of_any_text_are_drawn(text):
    frame = many(text, storm=[1, 2, 3]).assign(unit=text)
    (figure,) = default_figures(run_of(frame), ["storm"])

    assert len(marks(figure, "point")) == 3
    assert len(marks(curve(frame, text, "storm", **SAID), "line mark")) == 1


def test_what_is_not_finite_does_not_break_a_chart():
    frame = many(storm=[1, 2, 3])
    frame.loc[frame["storm"] == 2, "value"] = np.nan
    frame.loc[frame["storm"] == 3, "value"] = np.inf
    for figure in (curve(frame, "depth", "storm", **SAID), dots(frame, "depth", by=["storm"],
                   **SAID)):  # fmt: skip
        json.loads(json.dumps(spec(figure), allow_nan=False))
        drawn(figure)


# -- what every study shows ---------------------------------------------------------------------


def test_every_measure_is_shown_by_the_decisions():
    frame = pd.concat([many(way=["a", "b"]), many("flow_speed", way=["a", "b"])])
    first, second = default_figures(run_of(frame), ["way"])

    assert (first.name, first.title) == ("depth", "Depth")
    assert (second.name, second.title) == ("flow_speed", "Flow speed")
    assert dataset(first)["choice"].tolist() == ["way a", "way b"]


def test_measures_with_one_value_per_trial_come_first_each_part_in_its_order():
    ways = {"way": ["a", "b"]}
    frame = pd.concat([
        by_item(many("volume", **ways)), many("damage", **ways), by_item(many("speed", **ways)),
        many("share", **ways),
    ])  # fmt: skip
    made = list(default_figures(run_of(frame), ["way"]))

    assert single(frame) == ["damage", "share"]
    assert [f.name for f in made] == ["damage", "share", "volume", "speed"]
    assert [len(marks(f, "point")) for f in made] == [2, 2, 2, 2]
    assert dataset(made[0])["mean"].tolist() == pytest.approx(dataset(made[2])["mean"].tolist())


def test_measures_of_single_trials_are_not_lost_behind_many_others():
    others = [by_item(many(f"m{n}", seeds=1)) for n in range(MOST_DEFAULT_CHARTS + 5)]
    frame = pd.concat([*others, many("damage", seeds=1)])
    made = list(default_figures(run_of(frame), []))

    assert [f.name for f in made[:2]] == ["damage", "m0"]
    assert len(made) == MOST_DEFAULT_CHARTS


def test_points_in_a_cloud_begin_with_single_measures_too():
    numbers = np.linspace(0.0, 1.0, MOST_DOTS + 1)
    frame = pd.concat([by_item(many("volume", seeds=1, n=numbers)), many("damage", n=numbers)])

    names = [f.name for f in default_figures(run_of(frame), ["n"])]
    assert names == ["damage-by-n", "volume-by-n"]


def test_a_measure_that_two_steps_make_or_a_trial_repeats_is_not_single():
    twice = pd.concat([many().assign(step="one"), many().assign(step="two")])
    once_too_often = pd.concat([many("speed"), many("speed").iloc[:1]])

    assert single(pd.concat([twice, once_too_often, many("damage")])) == ["damage"]


def test_no_records_are_no_figures():
    empty = pd.DataFrame(columns=["measure", "value", "unit", "step", "seed", "trial"])

    assert not list(default_figures(run_of(empty), []))


def test_a_study_without_decisions_shows_its_measures():
    (figure,) = default_figures(run_of(many()), [])

    assert dataset(figure)["choice"].tolist() == ["all"]
    drawn(figure)


def test_measures_of_any_name_have_files_of_their_own():
    names = ["../../etc/passwd", "a/b", "a b", "", "ü水", "</script>", "a-b", ".", "x" * 300]
    made = list(default_figures(run_of(pd.concat([many(n) for n in names])), []))

    assert len({f.name for f in made}) == len(names)
    for figure in made:
        assert re.fullmatch(r"[\w-]+", figure.name)
        assert file_name(figure.name) == figure.name
        drawn(figure)


def test_no_more_charts_than_a_page_can_bear():
    frame = pd.concat([many(f"m{n}", seeds=1) for n in range(40)])

    assert len(list(default_figures(run_of(frame), []))) == MOST_DEFAULT_CHARTS


def test_many_points_of_a_study_are_a_cloud_over_each_numeric_decision():
    size = MOST_DOTS + 1
    frame = many(seeds=2, by=np.linspace(0.0, 1.0, size)).assign(way="a", size=3)
    frame["size"] = frame.index % 5
    made = list(default_figures(run_of(frame), ["by", "way", "size"]))

    assert [f.name for f in made] == ["depth-by-by", "depth-by-size"]
    assert len(marks(made[0], "point")) == len(dataset(made[0])) >= size
    few = frame[frame["by"] < 0.5]
    assert [f.name for f in default_figures(run_of(few.assign(size=3)), ["by", "way"])] == ["depth"]


def test_many_choices_that_are_no_numbers_stay_dots():
    frame = many(seeds=1, way=[f"w{n}" for n in range(MOST_DOTS + 5)])
    (figure,) = default_figures(run_of(frame), ["way"])

    assert len(dataset(figure)) == MOST_DOTS + 5


def test_what_has_a_value_for_each_of_a_few_labels_is_told_by_them():
    tasks = pd.concat([many("em").assign(task=task) for task in ("questions", "order")])
    rows = pd.concat([many("right").assign(row=row) for row in range(3)])
    steps = pd.concat([many("size").assign(step=step) for step in ("fit", "tuned")])
    words = pd.concat([many("seen").assign(word=f"w{k}") for k in range(9)])
    frame = pd.concat([many("loss"), tasks, rows, steps, words])

    assert told(frame) == {"loss": [], "em": ["task"]}
    assert single(frame) == ["loss"]


def test_a_label_that_is_the_same_in_all_of_a_trial_parts_nothing():
    frame = many("em", noise=["masking", "rotation"])

    assert told(frame) == {"em": []}
