"""Cases in which the flood solvers have to reproduce what is known, one component for all.

Notable in this file: what ``error`` means in each case.

| case | solvers | known | error |
|---|---|---|---|
| lake_at_rest | both | water at rest round dry islands stays so | largest change of depth (m) |
| mass_closure | both | volumes add up: rain, rough ground, open sides | of the ledger, relative |
| dam_break_inertial | inertial | its own Riemann problem | L1 |
| dam_break_wet | both | Stoker's | L1 |
| dam_break_dry | full | Ritter's | L1 |
| basin | full | Thacker's plane surface in a paraboloid, one period | L1 |
| constant_front | both | each its own front on dry ground | L1 |
| steady_flow | both | MacDonald's, each on its own bed | L1 |
| plane_runoff | both | kinematic wave | L1 of the runoff so far at 12 times |
| radial_spread | both | water spreads alike in all directions | L1 from the mean of its ring |
| depression | both | both pools end level with their sill and volume | level (m) |
| egg_box | both | sixteen depressions end level with the water they hold | level (m) |
| obstruction | both | share of water over it, full equations, fine cells | of that share |

L1 is the sum of |computed - exact| over the sum of |exact|. The last four are tests 4, 1, 2 and 3
of the UK Environment Agency's benchmark, see `benchmark_cases`; the others are in `exact_cases`.
"""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import Field

from assay.core.component import component
from assay.core.records import Records
from assay.errors import ParameterError
from assay.systems.climate_impact import benchmark_cases, exact_cases
from assay.systems.climate_impact.comparison import Comparison, Outcome

__all__ = ["CASES", "EXACT", "PAIRS", "Comparison", "Verified", "verified_case"]

Case = Literal[
    "lake_at_rest", "mass_closure", "dam_break_inertial", "dam_break_wet", "dam_break_dry",
    "basin", "constant_front", "steady_flow", "plane_runoff", "radial_spread", "depression",
    "egg_box", "obstruction",
]  # fmt: skip
Solver = Literal["inertial", "full"]
CASES: tuple[str, ...] = get_args(Case)
EXACT = ("lake_at_rest", "mass_closure")
"""Cases whose error is rounding, or nothing at all."""


class Verified(NamedTuple):
    """What came of one case.

    Attributes:
        comparison: The profile.
        records: ``error`` and ``mass_error`` (relative) with keys case and solver, in dam breaks
            onto wet ground ``middle_depth_error`` (relative, signed), for the constant front
            ``error_of_other_equations``: L1 from the solution of the other solver's equations. In
            the egg box ``deepest`` and ``far_depth`` (m): the deepest of the depressions, and the
            deepest of the two in the north-east, far from the water's way. At the obstruction
            ``passed_share``: of the water, what came to rest beyond it.
    """

    comparison: Comparison
    records: Records


@component(version="2", requires=("numba", "numpy", "scipy"))
def verified_case(
    *,
    case: Case,
    solver: Solver,
    refinement: Annotated[int, Field(ge=1, le=16)] = 1,
    scale: Annotated[int, Field(ge=1, le=16)] = 1,
) -> Verified:
    """Run one case with one solver and compare it with what is known.

    Args:
        case: The case; see the table of this module.
        solver: The local-inertial solver or that of the full equations.
        refinement: Cells per coarse cell and axis.
        scale: A further factor of the same kind, that a preset chooses.

    Raises:
        ParameterError: If the solution is not one of this solver's equations.
    """
    if (case, solver) not in PAIRS:
        raise ParameterError(
            f"{case!r} is no case of the {solver} solver", where="solver",
            accepted=", ".join(s for c, s in PAIRS if c == case),
        )  # fmt: skip
    made = _CASES[case](solver, refinement * scale)
    records = Records()
    records.add("error", made.error, made.unit, case=case, solver=solver)
    records.add("mass_error", made.mass_error, "1", case=case, solver=solver)
    for name, more in made.more.items():
        records.add(name, more.value, more.unit, case=case, solver=solver)
    return Verified(made.comparison, records)


_CASES: dict[str, Callable[[str, int], Outcome]] = {
    "lake_at_rest": exact_cases.lake_at_rest,
    "mass_closure": exact_cases.mass_closure,
    "dam_break_inertial": exact_cases.dam_break_inertial,
    "dam_break_wet": exact_cases.dam_break_wet,
    "dam_break_dry": exact_cases.dam_break_dry,
    "basin": exact_cases.basin,
    "constant_front": exact_cases.constant_front,
    "steady_flow": exact_cases.steady_flow,
    "plane_runoff": exact_cases.plane_runoff,
    "radial_spread": benchmark_cases.radial_spread,
    "depression": benchmark_cases.depression,
    "egg_box": benchmark_cases.egg_box,
    "obstruction": benchmark_cases.obstruction,
}
_ONE_SOLVER = {"dam_break_inertial": "inertial", "dam_break_dry": "full", "basin": "full"}
PAIRS: tuple[tuple[str, str], ...] = tuple(
    (case, solver)
    for case in CASES
    for solver in get_args(Solver)
    if _ONE_SOLVER.get(case, solver) == solver
)
"""Every case with every solver whose equations its solution solves, or that is compared with it."""
