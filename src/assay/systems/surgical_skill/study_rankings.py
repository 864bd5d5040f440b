"""The study `ranking_stability`: what a ranking owes to its cases, and what to how it is made."""

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign, use
from assay.core.estimands import difference, mean
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.parts.ranking.charts import LINE_SCHEMES
from assay.systems.surgical_skill.rankings import (
    example_scores,
    resample,
    simulated_scores,
)

TESTS, MEAN, MEDIAN, RANK_MEAN, RANK_MEDIAN = LINE_SCHEMES
FEW, MANY = "simulated, 25 cases", "simulated, 100 cases"
IDEAL, RANDOM, WORST = "c_ideal", "c_random", "c_worstcase"
OWN = "this study"
SCHEMES_MATTER = "Maier-Hein et al. 2018, Nat. Commun. 9, 5217"
EXAMPLE = "example data of challengeR, Wiesenfarth et al. 2021"


def ranking_stability() -> Study:
    """Rankings of known tasks by five ways, on their cases and on cases drawn anew."""
    flow = Workflow("ranking_stability")
    scores = flow.step("scores", example_scores, task=IDEAL)
    flow.step("ranking", resample, scores=scores)
    return Study(
        flow,
        title="How far can a ranking of algorithms be trusted?",
        decisions={
            "data": {
                **{task: assign("scores.task", task) for task in (IDEAL, RANDOM, WORST)},
                FEW: use("scores", simulated_scores, cases=25),
                MANY: use("scores", simulated_scores, cases=100),
            },
            "way": {way: assign("ranking.way", way) for way in LINE_SCHEMES},
        },
        seeds=100,
        claims=_claims(),
        checks=[
            Check(
                id="K1",
                sentence="Where the algorithms never overlap every resample has the same order",
                source=EXAMPLE,
                measure="tau",
                where={"data": IDEAL},
                equals=1.0,
            ),
            Check(
                id="K2",
                sentence="Where all algorithms have the same values, all are first and no resample "
                "can agree or disagree",
                source=EXAMPLE,
                measure="undefined_share",
                where={"data": WORST},
                equals=1.0,
            ),
            Check(
                id="K3",
                sentence="Where values are random, ranking by medians turns at least one pair that "
                "ranking by means has the other way round",
                source=f"{EXAMPLE}; {SCHEMES_MATTER}: rankings depend on the scheme",
                measure="pairs_turned",
                where={"data": RANDOM, "way": MEDIAN},
                at_least=1.0,
            ),
        ],
        presets={
            "tiny": Preset(
                set={"ranking.draws": 100},
                seeds=2,
                note="Five tasks by five ways, a hundred resamples each, two seeds: seconds.",
            ),
            "small": Preset(
                note="Five tasks by five ways, a thousand resamples each, a hundred seeds; a few "
                "minutes on two cores."
            ),
        },
        figures="assay.systems.surgical_skill.figures_rankings:ranking_figures",
    )


def _claims() -> list[Claim]:
    return [
        Claim(
            id="R1",
            sentence="With random values resamples agree with the ranking by a tau below 0.6",
            source=f"{EXAMPLE}: 0.511 of 1,000 draws",
            estimand=mean("tau", data=RANDOM, way=MEAN),
            direction="below",
            margin=0.6,
        ),
        Claim(
            id="R2",
            sentence="With 100 cases a ranking by means is nearer to the true order than with 25",
            source=OWN,
            estimand=difference("tau_true", "data", MANY, FEW, way=MEAN),
            direction="above",
        ),
        Claim(
            id="R3",
            sentence="From 25 cases medians give an order that is farther from the true one than "
            "means do",
            source=OWN,
            estimand=difference("tau_true", "way", MEDIAN, MEAN, data=FEW),
            direction="below",
        ),
        Claim(
            id="R4",
            sentence="From 25 cases ranking by tests puts the best algorithm alone first less "
            "often than ranking by means",
            source=OWN,
            estimand=difference("best_first", "way", TESTS, MEAN, data=FEW),
            direction="below",
        ),
        Claim(
            id="R5",
            sentence="Ranking on every case first is as near to the true order as averaging first, "
            "give or take 0.05 of tau, with 100 cases",
            source=OWN,
            estimand=difference("tau_true", "way", RANK_MEAN, MEAN, data=MANY),
            direction="within",
            margin=0.05,
        ),
        Claim(
            id="R6",
            sentence="The interval of an algorithm's rank holds its true rank in more than nine of "
            "ten cases",
            source=f"{OWN}; nominal is 0.95",
            estimand=mean("covered", data=FEW, way=MEAN),
            direction="above",
            margin=0.9,
        ),
    ]
