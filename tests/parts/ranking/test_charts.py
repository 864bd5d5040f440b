"""Charts of rankings: what is drawn, in which order, and that Vega-Lite takes it."""

import numpy as np
import pytest
import vl_convert

from assay.parts.ranking import charts
from assay.parts.ranking.example_tasks import example_tasks
from assay.parts.ranking.schemes import Ranking, Scheme, rank
from assay.parts.ranking.scores import Scores
from assay.parts.ranking.stability import stability

HOLM = Scheme("test-then-rank", adjust="holm")


@pytest.fixture(scope="module")
def tasks():
    return example_tasks()


@pytest.fixture(scope="module")
def stable(tasks):
    return {name: stability(task, Scheme(), draws=200) for name, task in tasks.items()}


def drawn(chart):
    """A chart that Vega-Lite compiles without a word."""
    svg = vl_convert.vegalite_to_svg(chart.chart.to_json())
    assert svg.startswith("<svg")
    assert len(svg) > 1500
    return svg


def test_algorithms_stand_from_the_best_to_the_worst_and_the_unranked_last():
    ranking = Ranking(("C", "A", "B", "D"), np.zeros(4), np.array([1.0, np.nan, 2.0, 1.0]))
    assert charts.in_order(ranking) == ["C", "D", "B", "A"]


def test_a_blob_holds_every_resample(stable):
    chart = charts.blob(stable["c_random"], "blob", "Ranks")
    drawn(chart)
    assert chart.data.groupby("algorithm")["share"].sum().tolist() == pytest.approx([1.0] * 5)
    ideal = charts.blob(stable["c_ideal"], "blob", "Ranks").data
    assert len(ideal) == 5
    assert (ideal["rank"] == ideal["median"]).all()


def test_a_podium_has_a_dot_for_each_algorithm_and_case(tasks):
    task = tasks["c_random"]
    chart = charts.podium(task, rank(task), "podium", "Places")
    drawn(chart)
    assert len(chart.data) == 250
    assert (chart.data.groupby("case")["place"].apply(sorted).map(tuple) == (1, 2, 3, 4, 5)).all()
    assert "cases are drawn" not in chart.caption
    many = tasks["c_worstcase"]
    assert "60 of 120 cases are drawn" in charts.podium(many, rank(many), "p", "P").caption


def test_a_value_that_is_missing_has_no_dot():
    values = np.array([[0.1, np.nan], [0.3, 0.2]])
    task = Scores("t", ("A", "B"), ("1", "2"), values, small_better=True)
    ranking = rank(task, Scheme(missing="omit"))
    assert len(charts.podium(task, ranking, "p", "P").data) == 3
    drawn(charts.by_scheme(task, "ways", "Ways"))


def test_a_map_of_tests_shows_the_pairs_that_differ(tasks):
    for name, expected in (("c_ideal", 10), ("c_random", 0)):
        task = tasks[name]
        chart = charts.significance(task, rank(task), HOLM, "tests", "Tests")
        drawn(chart)
        assert len(chart.data) == 20
        assert (chart.data["verdict"] == "significant").sum() == expected


def test_a_heatmap_counts_every_case(tasks):
    task = tasks["c_random"]
    chart = charts.rank_heatmap(task, rank(task), "ranks", "Ranks")
    drawn(chart)
    assert chart.data.groupby("algorithm")["cases"].sum().tolist() == [50] * 5


def test_tau_is_drawn_where_it_is_defined_and_told_of_where_not(stable):
    chart = charts.tau(list(stable.items()), "tau", "Tau")
    drawn(chart)
    assert chart.data.groupby("ranking")["share"].sum().to_dict() == pytest.approx(
        {"c_ideal": 1.0, "c_random": 1.0, "c_worstcase": 0.0}
    )
    assert chart.caption.endswith("c_worstcase.")


def test_five_ways_are_five_columns(tasks):
    chart = charts.by_scheme(tasks["c_random"], "ways", "Ways")
    drawn(chart)
    medians = chart.data[chart.data["way"] == "median, then rank"]
    assert dict(zip(medians["algorithm"], medians["rank"], strict=True)) == {
        "A1": 1, "A2": 2, "A3": 5, "A4": 4, "A5": 3,
    }  # fmt: skip
