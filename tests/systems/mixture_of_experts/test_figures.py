"""Figures of hand-made records: what is drawn is what was measured, and what was not is said."""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assay.core.charts import PALETTE
from assay.core.drawing import write_figure
from assay.core.figures import Chart, Table
from assay.core.inference import t_bounds
from assay.systems.mixture_of_experts.costs import published_costs
from assay.systems.mixture_of_experts.figures import (
    cost_table,
    language_figures,
    perplexity_by_cost,
    sizes_and_costs,
    speed_up_by_kind,
    speed_up_by_level,
    speed_up_table,
)
from assay.systems.mixture_of_experts.figures_routing import router_health

MODELS = {"dense-64": 1e12, "dense-128": 4e12, "sparse-64x8": 1.2e12, "sparse-128x8": 5e12}
KINDS = {"prose": "in", "licences": "out", "code": "in"}


@dataclass
class HandMade:
    """What figures ask a run for."""

    records: Any
    tables: dict[int, Any] = field(default_factory=dict)

    @property
    def trials(self):
        return [
            {
                "trial": k,
                "seed": k,
                "steps": {"speed_up": [{"key": "x" if k in self.tables else ""}]},
            }
            for k in range(3)
        ]

    def load(self, step, *, trial):
        assert step == "speed_up.table"
        return self.tables[trial]


def rows(seeds=3):
    """Records of four models on three kinds; the sparse ones are at log-perplexity 0.1 less."""
    for seed in range(seeds):
        for place, (model, flops) in enumerate(MODELS.items()):
            family = model.partition("-")[0]
            keys = {"seed": seed, "trial": seed, "model": model}
            own = {**keys, "family": family}
            for measure, value in (
                ("training_flops", flops), ("training_flops_actual", 1.1 * flops),
                ("training_seconds", 40.0 + seed + place), ("parameters", 1e6 * (place + 1)),
                ("active_parameters", 1e6), ("memory_bytes", 16e6 * (place + 1)),
            ):  # fmt: skip
                yield {**own, "measure": measure, "value": value}
            for k, (kind, domain) in enumerate(KINDS.items()):
                log = 4.0 + k - 0.3 * (place % 2) - 0.1 * (family == "sparse") + 0.05 * seed
                at = {**keys, "text_kind": kind, "domain": domain}
                yield {**at, "measure": "log_perplexity", "value": log}
                yield {**at, "measure": "perplexity", "value": np.exp(log)}
        for kind, domain in KINDS.items():
            for cost, log in (("flops", 1.0), ("actual_flops", 0.5), ("seconds", -0.5)):
                at = {"seed": seed, "trial": seed, "text_kind": kind, "domain": domain}
                outside = kind == "licences" and cost == "seconds"
                yield {**at, "cost": cost, "measure": "levels_outside_range", "value": 2.0}
                if not outside:
                    yield {
                        **at,
                        "cost": cost,
                        "measure": "log2_speed_up",
                        "value": log + 0.1 * seed,
                    }


def router_rows(seeds=2):
    for seed in range(seeds):
        for step in (0, 50, 100):
            for layer in (1, 3):
                for measure, value in (
                    ("max_load", 4 - step / 50 + layer), ("top_share", 0.2 + 0.5 * seed),
                    ("gate_entropy", 1.5), ("overflow_first", 0.1 * layer), ("unused_experts", 0.0),
                ):  # fmt: skip
                    yield {
                        "seed": seed, "trial": seed, "model": "sparse-64x8", "family": "sparse",
                        "layer": layer, "training_step": step, "measure": measure, "value": value,
                    }  # fmt: skip


def levels(seed):
    return pd.DataFrame(
        [
            {"text_kind": kind, "domain": domain, "cost": cost, "level": level, "factor": factor,
             "low": 0.8, "high": 2.5, "defined": 1.0, "reason": "" if factor else "outside range"}
            for kind, domain in KINDS.items()
            for cost in ("flops", "seconds")
            for level, factor in ((40.0, 1.5), (50.0, 1.2 + 0.1 * seed), (90.0, None))
        ]
    )  # fmt: skip


def run_of(*parts, tables=()):
    frame = pd.DataFrame([row for part in parts for row in part]).assign(unit="1")
    return HandMade(frame, dict(tables))


def spec_of(figure, folder):
    """A chart as the page has it; drawing it here finds what Vega-Lite cannot read."""
    shown = write_figure(figure, folder)
    assert shown.svg.startswith("<svg")
    assert "NaN" not in shown.svg
    return json.loads(shown.spec), shown.svg


def test_a_whole_run_is_shown(tmp_path):
    run = run_of(rows(), router_rows(), tables={k: levels(k) for k in range(3)}.items())
    made = [make() for make in language_figures(run)]

    assert [figure.name for figure in made] == [
        "speed_up_by_kind", "speed_ups", "perplexity_by_flops", "perplexity_by_seconds",
        "speed_up_by_level", "sizes_and_costs", "router_health",
    ]  # fmt: skip
    for figure in made:
        write_figure(figure, tmp_path)
        assert len(figure.data)
        assert figure.caption.endswith(".")


def test_a_run_without_a_sparse_model_shows_what_it_has():
    dense = [row for row in rows() if str(row.get("model", "dense")).startswith("dense")]
    run = run_of([row for row in dense if "speed_up" not in row["measure"]
                  and row["measure"] != "levels_outside_range"])  # fmt: skip

    assert [make().name for make in language_figures(run)] == [
        "perplexity_by_flops", "perplexity_by_seconds", "sizes_and_costs"
    ]  # fmt: skip


# -- perplexity ---------------------------------------------------------------------------------


def test_perplexities_are_geometric_means_with_intervals_over_seeds(tmp_path):
    chart = perplexity_by_cost(run_of(rows()), "training_flops")
    at = chart.data.set_index(["text_kind", "model"]).loc[("prose", "sparse-64x8")]
    low, high = t_bounds(np.array([[3.9, 3.95, 4.0]]))

    assert at["perplexity"] == pytest.approx(np.exp(3.95))
    assert (at["low"], at["high"]) == (
        pytest.approx(np.exp(low[0])),
        pytest.approx(np.exp(high[0])),
    )
    assert at["cost"] == pytest.approx(1.2)
    assert at["family"] == "sparse"
    spec, svg = spec_of(chart, tmp_path)
    assert spec["facet"]["sort"] == [
        "prose (trained on)",
        "code (trained on)",
        "licences (held out)",
    ]
    assert "training (TFLOP)" in svg
    line = spec["spec"]["layer"][-1]["encoding"]
    assert line["x"]["scale"]["type"] == line["y"]["scale"]["type"] == "log"
    assert line["color"]["scale"] == {"domain": ["dense", "sparse"], "range": [*PALETTE[:2]]}


def test_a_model_is_known_by_its_width_and_experts_where_it_was_not_named():
    named = list(rows())
    width = {model: k for k, model in enumerate(MODELS)}
    bare = [
        {
            key: value
            for key, value in row.items()
            if key != "model" or "perplexity" not in row["measure"]
        }
        | ({"width": width[row["model"]], "experts": 8} if "model" in row else {})
        for row in named
    ]
    chart = perplexity_by_cost(run_of(bare), "training_flops")

    pd.testing.assert_frame_equal(
        chart.data, perplexity_by_cost(run_of(named), "training_flops").data
    )


def test_costs_are_means_over_seeds_in_a_readable_unit(tmp_path):
    chart = perplexity_by_cost(run_of(rows()), "training_seconds")

    assert chart.data.set_index("model")["cost"]["dense-128"].iloc[0] == pytest.approx(42.0)
    assert "training (s)" in spec_of(chart, tmp_path)[1]


def test_one_seed_has_no_interval(tmp_path):
    spec, _ = spec_of(perplexity_by_cost(run_of(rows(seeds=1)), "training_flops"), tmp_path)

    assert len(spec["spec"]["layer"]) == 1


# -- the speed-up -------------------------------------------------------------------------------


def test_a_speed_up_is_a_factor_and_one_that_was_not_found_says_so(tmp_path):
    chart = speed_up_by_kind(run_of(rows()))
    data = chart.data.set_index(["text_kind", "cost"])
    at = data.loc[("prose", "operations, paper's count")]
    low, _ = t_bounds(np.array([[1.0, 1.1, 1.2]]))

    assert at["speed_up"] == pytest.approx(2**1.1)
    assert at["low"] == pytest.approx(2 ** low[0])
    missing = data.loc[("licences", "seconds")]
    assert (missing["note"], missing["n"]) == ("outside range", 0)
    assert np.isnan(missing["speed_up"])
    assert list(dict.fromkeys(chart.data["text_kind"])) == ["prose", "code", "licences"]
    spec, svg = spec_of(chart, tmp_path)
    assert svg.count(">outside range<") == 1
    (one,) = [layer for layer in spec["layer"] if "strokeDash" in layer["mark"]]
    assert one["encoding"]["x"]["datum"] == 1.0
    point = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "point")
    assert point["encoding"]["x"]["scale"]["type"] == "log"
    ticks = point["encoding"]["x"]["axis"]["values"]
    assert ticks == [0.5, 1, 2, 4]  # from 2 ** -0.65, the lowest end, to 2 ** 1.35, the highest


def test_where_no_kind_has_a_speed_up_every_one_says_so(tmp_path):
    only = [row for row in rows() if row["measure"] == "levels_outside_range"]
    _, svg = spec_of(speed_up_by_kind(run_of(only)), tmp_path)

    assert svg.count(">outside range<") == 9


def test_the_table_of_speed_ups_says_what_was_left_out(tmp_path):
    passed = [
        {"seed": seed, "trial": seed, "text_kind": "code", "domain": "in", "cost": "flops",
         "family": family, "measure": "passed_over", "value": count}
        for seed in (0, 1) for family, count in (("dense", 1.0), ("sparse", 0.0))
    ]  # fmt: skip
    table = speed_up_table(run_of(rows(), passed))
    at = table.data.set_index(["text", "cost"])
    code = at.loc[("code (trained on)", "operations, paper's count")]

    assert code["speed-up"] == pytest.approx(2**1.1)
    assert code["from"] < code["speed-up"] < code["to"]
    assert (code["seeds"], code["perplexities left out"], code["models left out"]) == (3, 6, 2)
    assert at["models left out"].sum() == 2
    outside = at.loc[("licences (held out)", "seconds")]
    assert (outside["speed-up"] > 0, outside["remark"]) == (False, "outside range")
    shown = write_figure(table, tmp_path)
    assert not any("nan" in cell.lower() for row in shown.rows for cell in row)


def test_levels_have_their_intervals_over_documents(tmp_path):
    run = run_of(rows(), tables={0: levels(0), 2: levels(2)}.items())  # one trial failed
    chart = speed_up_by_level(run)

    assert len(chart.data) == 2 * 3 * 2 * 2
    assert set(chart.data["seed"]) == {0, 2}
    assert 90.0 not in set(chart.data["level"])
    spec, _ = spec_of(chart, tmp_path)
    assert spec["spec"]["layer"][-1]["encoding"]["x"]["scale"]["reverse"] is True


# -- sizes and costs ----------------------------------------------------------------------------


def test_the_table_of_costs_has_all_three_side_by_side(tmp_path):
    table = sizes_and_costs(run_of(rows()))
    at = table.data.set_index("model").loc["sparse-128x8"]

    assert isinstance(table, Table)
    assert list(table.data["model"]) == [*MODELS]
    assert at["paper's count (TFLOP)"] == 5.0
    assert at["computed (TFLOP)"] == pytest.approx(5.5)
    assert at["time (s)"] == pytest.approx(44.0)
    assert at["parameters (M)"] == 4.0
    assert at["state (MB)"] == 64.0
    assert len(write_figure(table, tmp_path).rows) == 4


def test_the_published_models_fit_the_same_table():
    table = cost_table(published_costs().frame())
    at = table.set_index("model").loc["1.1T"]

    assert at["parameters (T)"] == pytest.approx(1.104, abs=1e-3)
    assert at["paper's count (ZFLOP)"] == pytest.approx(22.275, rel=1e-3)
    assert at["V100 GPU-days"] == pytest.approx(8594, abs=1)
    assert list(table["model"])[:6] == ["125M", "355M", "1.3B", "2.7B", "6.7B", "13B"]
    assert "time (s)" not in table


# -- router health ------------------------------------------------------------------------------


def test_router_health_is_the_mean_over_layers(tmp_path):
    after = {"seed": 0, "trial": 0, "measure": "max_load", "value": 99.0, "model": "sparse-64x8"}
    chart = router_health(run_of(router_rows(), [after]))
    at = chart.data.set_index(["measure", "training_step"])["mean"]

    assert chart.data["training_step"].notna().all()
    assert (chart.data["low"].dropna() >= 0).all()
    assert (chart.data.loc[chart.data["measure"] == "top_share", "high"].dropna() <= 1).all()
    assert at["max_load", 50] == pytest.approx(5.0)
    assert at["overflow_first", 100] == pytest.approx(0.2)
    assert "overflow_second" not in set(chart.data["measure"])
    assert isinstance(chart, Chart)
    even = chart.data.groupby("measure")["even"].first()
    assert (even["max_load"], even["top_share"]) == (1.0, 2 / 8)  # two of eight are a fifth
    assert pd.isna(even["gate_entropy"])
    spec, svg = spec_of(chart, tmp_path)
    assert sum("strokeDash" in layer["mark"] for layer in spec["spec"]["layer"]) == 1
    assert "load of the busiest expert" in svg
    assert "second choices dropped" not in svg
