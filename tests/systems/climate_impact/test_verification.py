"""The verification study: every case runs, errors are those of the schemes, the study is whole.

Orders of convergence are of theory: 1 at bores and fronts and for the local-inertial scheme, 2 for
smooth flow in the finite-volume one.
"""

import math

import numpy as np
import pytest

from assay.core.records import Records
from assay.errors import ParameterError
from assay.systems.climate_impact import comparison
from assay.systems.climate_impact import verification as cases
from assay.systems.climate_impact.study_verification import verification
from assay.systems.climate_impact.verification import PAIRS, verified_case


def value(records: Records, measure: str) -> float:
    (row,) = [r for r in records if r["measure"] == measure]
    return row["value"]


def order(case: str, solver: str, refinement: int = 1) -> float:
    coarse, fine = (
        value(verified_case(case=case, solver=solver, refinement=r).records, "error")
        for r in (refinement, 2 * refinement)
    )
    return math.log2(coarse / fine)


@pytest.mark.parametrize(("case", "solver"), PAIRS)
def test_every_case_conserves_water_and_says_what_it_compared(case, solver):
    made = verified_case(case=case, solver=solver)

    assert abs(value(made.records, "mass_error")) < 1e-10
    assert all((r["case"], r["solver"]) == (case, solver) for r in made.records)
    shown = made.comparison
    assert shown.x.shape == shown.exact.shape == shown.computed.shape
    assert (shown.x.size > 0) == (case != "mass_closure")
    assert shown.x.size <= comparison.MOST_POINTS
    assert np.isfinite(shown.exact).all()
    assert np.isfinite(shown.computed).all()
    if case == "lake_at_rest":
        assert value(made.records, "error") == 0.0
    elif (case, solver) == ("obstruction", "inertial"):
        assert value(made.records, "error") > 0.5  # no advection, see the case
    else:
        assert 0.0 < value(made.records, "error") < 0.1


@pytest.mark.parametrize(
    ("case", "solver", "expected"),
    [
        ("dam_break_wet", "full", 1.0),
        ("dam_break_dry", "full", 1.0),
        ("steady_flow", "inertial", 1.0),
        ("steady_flow", "full", 2.0),
        ("constant_front", "inertial", 1.0),
    ],
)
def test_errors_fall_at_the_order_of_the_scheme(case, solver, expected):
    assert order(case, solver) == pytest.approx(expected, abs=0.3)


def test_a_swashing_basin_converges_at_least_at_first_order():
    assert order("basin", "full") > 1.0


def test_the_full_solver_has_stokers_middle_depth_and_the_inertial_one_its_own():
    def off(case: str, solver: str) -> float:
        made = verified_case(case=case, solver=solver, refinement=2)
        return value(made.records, "middle_depth_error")

    assert abs(off("dam_break_wet", "full")) < 0.002
    assert abs(off("dam_break_inertial", "inertial")) < 0.005
    assert off("dam_break_wet", "inertial") == pytest.approx(1.54121 / 1.45384 - 1, abs=0.005)


def test_each_solver_is_nearer_to_the_front_of_its_own_equations():
    for solver in ("inertial", "full"):
        made = verified_case(case="constant_front", solver=solver, refinement=2)
        assert value(made.records, "error_of_other_equations") > 3 * value(made.records, "error")


def test_the_pools_of_the_depression_hold_what_went_in():
    """The expected levels hold the volume poured in: the case checks the solver, not itself."""
    made = verified_case(case="depression", solver="full")
    x, level = made.comparison.x, made.comparison.exact
    bed = np.interp(x, [0.0, 100.0, 300.0, 500.0, 700.0], [0.5, 0.0, 1.0, 0.2, 1.5])
    second = x > 300.0
    assert (level - bed)[second].sum() * 10.0 == pytest.approx(40.0)
    full = (level > bed) & ~second
    assert level[full] == pytest.approx(bed.max(initial=0.0, where=x < 400.0))


@pytest.mark.parametrize("solver", ["inertial", "full"])
def test_no_depression_of_the_egg_box_holds_more_than_its_sill_lets_it(solver):
    """The lowest sill is the south-eastern corner of a depression's square, where no wave is."""
    made = verified_case(case="egg_box", solver=solver)
    sill = 0.5 - 250.0 / 1500.0 - 250.0 / 3000.0

    assert value(made.records, "deepest") > sill  # the first ones are full
    assert value(made.records, "deepest") < sill + 0.1  # and water only passes over the sill
    assert value(made.records, "far_depth") < 1e-3
    assert (made.comparison.exact >= made.comparison.computed - 0.05).all()


def test_water_that_arrives_slowly_stays_behind_the_obstruction(monkeypatch):
    """It is momentum that carries it over: the depression holds all of it at rest."""
    from assay.systems.climate_impact import benchmark_cases

    slow = benchmark_cases.run

    def slower(solver, bed, manning, **how):
        ((row, column, (times, rates)),) = how["inflow"]
        how["inflow"] = [(row, column, (10.0 * times, rates / 10.0))]
        return slow(solver, bed, manning, **how)

    monkeypatch.setattr(benchmark_cases, "run", slower)
    for solver in ("inertial", "full"):
        _, level, share = benchmark_cases._wave(solver, 120)
        assert share < 1e-3
        assert level[100:160:59].max() < 0.75


def test_a_solution_of_other_equations_is_refused():
    with pytest.raises(ParameterError, match=r"basin.*inertial"):
        verified_case(case="basin", solver="inertial")


def test_the_study_runs_every_pair_on_both_resolutions_and_judges_all(tmp_path):
    study = verification()
    run = study.run("tiny", store=tmp_path, workers=0, progress=False)

    records = run.records
    errors = records[records["measure"] == "error"]
    found = set(zip(errors["case"], errors["solver"], errors["resolution"], strict=True))
    assert found == {(c, s, r) for c, s in PAIRS for r in ("coarse", "fine")}
    assert all(check["passed"] for check in run.checks)
    assert len(run.claims) == len(study.claims)
    assert not [c["id"] for c in run.claims if c["verdict"] == "not tested"]
    names = {path.stem for path in (run.report.parent / "figures").glob("*.csv")}
    shown = {f"profile-{case}" for case in cases.CASES if case not in cases.EXACT}
    assert names == {"errors", *shown}
