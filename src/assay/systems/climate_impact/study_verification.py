"""The study that puts both flood solvers beside what is known exactly, on two resolutions."""

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import mean, ratio
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.climate_impact.verification import PAIRS, verified_case

FALLS = 0.3
"""A first-order method halves its error with its cells; 30 % less is asked for."""


def verification_workflow() -> Workflow:
    """Every case with every solver that it is meant for."""
    flow = Workflow("verification")
    over = {"case": [case for case, _ in PAIRS], "solver": [solver for _, solver in PAIRS]}
    flow.each("verified", verified_case, over=over)
    return flow


def verification() -> Study:
    """Do the solvers solve the equations they are said to solve?"""
    return Study(
        verification_workflow(),
        title="Do the flood solvers reproduce what is known exactly, the better the finer?",
        decisions={
            "resolution": {"coarse": [], "fine": assign("verified.refinement", 2)},
        },
        claims=[*_inertial_claims(), *_full_claims(), *_common_claims(), *_obstruction_claims()],
        checks=[
            Check(
                id="K1",
                sentence="Water at rest round dry islands stays at rest exactly",
                source="exact statement: both schemes are well balanced, bed and level are binary "
                "fractions",
                measure="error",
                where={"case": "lake_at_rest"},
                equals=0.0,
            ),
            Check(
                id="K2",
                sentence="Water is conserved in every case, to 1e-10 of what came in or was there",
                source="conservation of mass",
                measure="mass_error",
                equals=0.0,
                tolerance=1e-10,
            ),
            Check(
                id="K3",
                sentence="Of sixteen depressions the two far from the water's way stay dry",
                source="descriptions of test 2 of the UK Environment Agency",
                measure="far_depth",
                equals=0.0,
                tolerance=1e-3,
            ),
        ],
        presets={
            "tiny": Preset(
                note="A few seconds on two cores. The very first run compiles the solvers, about "
                "half a minute."
            ),
            "small": Preset(
                set={"verified.scale": 3},
                note="Three times as many cells along each axis, minutes on two cores.",
            ),
        },
        figures="assay.systems.climate_impact.figures_verification:verification_figures",
    )


def _converges(name: str, case: str, solver: str, sentence: str, source: str) -> Claim:
    """The error of a case falls by more than `FALLS` when the cells halve."""
    return Claim(
        id=name,
        sentence=sentence,
        source=source,
        estimand=ratio("error", "resolution", "fine", "coarse", case=case, solver=solver),
        direction="below",
        margin=-FALLS,
        deterministic=True,
    )


def _inertial_claims() -> list[Claim]:
    return [
        Claim(
            id="V1",
            sentence="The local-inertial solver meets the middle depth of its own dam break within "
            "0.5 %",
            source="Riemann problem of the local-inertial equations, derived in `exact`",
            estimand=mean(
                "middle_depth_error", case="dam_break_inertial", solver="inertial",
                resolution="fine",
            ),
            direction="within",
            margin=0.005,
            deterministic=True,
        ),
        Claim(
            id="V2",
            sentence="Against the full equations its dam break stands more than 5 % too deep",
            source="by physics: the equations lack advection; their exact middle depths differ by "
            "6.0 %",
            estimand=mean(
                "middle_depth_error", case="dam_break_wet", solver="inertial", resolution="fine"
            ),
            direction="above",
            margin=0.05,
            deterministic=True,
        ),
        _converges(
            "V3", "steady_flow", "inertial",
            "Its error in a steady flow over a bump falls when the cells halve",
            "MacDonald et al. 1997, bed of the inertial equations",
        ),
        _converges(
            "V4", "constant_front", "inertial",
            "Its error behind a front on dry ground falls when the cells halve",
            "travelling front of the local-inertial equations, derived in `exact`",
        ),
    ]  # fmt: skip


def _full_claims() -> list[Claim]:
    return [
        Claim(
            id="V5",
            sentence="The solver of the full equations meets Stoker's middle depth within 0.5 %",
            source="Stoker 1957",
            estimand=mean(
                "middle_depth_error", case="dam_break_wet", solver="full", resolution="fine"
            ),
            direction="within",
            margin=0.005,
            deterministic=True,
        ),
        _converges(
            "V6", "dam_break_wet", "full",
            "Its error in a dam break onto water falls when the cells halve", "Stoker 1957",
        ),
        _converges(
            "V7", "dam_break_dry", "full",
            "Its error in a dam break onto dry ground falls when the cells halve", "Ritter 1892",
        ),
        _converges(
            "V8", "basin", "full",
            "Its error in a swashing basin falls when the cells halve", "Thacker 1981",
        ),
        _converges(
            "V9", "steady_flow", "full",
            "Its error in a steady flow over a bump falls when the cells halve",
            "MacDonald et al. 1997",
        ),
        _converges(
            "V10", "constant_front", "full",
            "Its error behind a front on dry ground falls when the cells halve",
            "Hunter et al. 2005",
        ),
    ]  # fmt: skip


def _common_claims() -> list[Claim]:
    return [
        Claim(
            id=name,
            sentence=sentence,
            source=source,
            estimand=mean("error", case=case, resolution="fine"),
            direction="below",
            margin=margin,
            deterministic=True,
        )
        for name, case, margin, sentence, source in (
            (
                "V11", "plane_runoff", 0.02,
                "The runoff of a plane under rain follows the kinematic wave within 2 %, mean of "
                "both solvers",
                "kinematic wave; a tolerance that a user would accept",
            ),
            (
                "V12", "radial_spread", 0.05,
                "Water spreads over flat ground alike in all directions within 5 % of its depth, "
                "mean of both solvers",
                "rebuilt from the description of test 4 of the UK Environment Agency; a tolerance "
                "that a user would accept",
            ),
            (
                "V13", "depression", 0.01,
                "A pool and the depression it spills into end within 1 cm of their level, mean of "
                "both solvers",
                "rebuilt from the description of test 1 of the UK Environment Agency; a tolerance "
                "that a user would accept",
            ),
            (
                "V14", "egg_box", 0.01,
                "Sixteen depressions of a plain end within 1 cm of the level of the water they "
                "hold, mean of both solvers",
                "rebuilt from descriptions of test 2 of the UK Environment Agency; a tolerance "
                "that a user would accept",
            ),
        )
    ]  # fmt: skip


def _obstruction_claims() -> list[Claim]:
    source = "rebuilt from descriptions of test 3 of the UK Environment Agency"
    return [
        Claim(
            id=name,
            sentence=sentence,
            source=why,
            estimand=mean(measure, case="obstruction", solver=solver, resolution="fine"),
            direction="below" if name == "V16" else "above",
            margin=margin,
            deterministic=True,
        )
        for name, solver, measure, margin, sentence, why in (
            (
                "V15", "full", "passed_share", 0.03,
                "In the full equations momentum carries more than 3 % of a wave over an "
                "obstruction that would hold all of it at rest",
                source,
            ),
            (
                "V16", "full", "error", 0.05,
                "Their solver meets that share on cells four times as fine within 5 %",
                f"{source}; a tolerance that a user would accept",
            ),
            (
                "V17", "inertial", "error", 0.5,
                "The local-inertial solver is off that share by more than half",
                f"{source}; by physics: its equations lack advection",
            ),
        )
    ]  # fmt: skip
