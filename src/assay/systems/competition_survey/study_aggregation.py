"""The study `aggregation`: when do pooled shares and medians over competitions disagree?"""

from assay.core.claims import Claim
from assay.core.decisions import Preset, sweep
from assay.core.estimands import difference, mean
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.competition_survey.evaluate import aggregated
from assay.systems.competition_survey.study import MARGINALS


def aggregation_workflow() -> Workflow:
    """One yes-or-no question for each of some published shares."""
    flow = Workflow("aggregation")
    flow.each("aggregated", aggregated, over={"marginal": MARGINALS})
    return flow


def aggregation() -> Study:
    """How competitions differ, and whether the large ones differ from the small."""
    return Study(
        aggregation_workflow(),
        title="When do the pooled share and the median over competitions tell different stories?",
        decisions={
            "link": sweep("aggregated.link", [0.0, 0.7]),
            "sd": sweep("aggregated.sd", [0.35, 0.7, 1.4]),
        },
        seeds=20,
        claims=[
            Claim(
                id="A1",
                sentence="Where practice does not depend on the size of a competition, the two lie "
                "less than three points apart",
                source="this study",
                estimand=mean("gap", link=0.0, sd=0.7),
                direction="below",
                margin=0.03,
            ),
            Claim(
                id="A2",
                sentence="Where large competitions do it more, they lie at least three points "
                "further apart",
                source="this study",
                estimand=difference("gap", "link", 0.7, 0.0, sd=0.7),
                direction="above",
                margin=0.03,
            ),
            Claim(
                id="A3",
                sentence="They lie further apart the more competitions differ",
                source="this study; the median of competitions is not the mean",
                estimand=difference("gap", "sd", 1.4, 0.35, link=0.0),
                direction="above",
            ),
        ],
        presets={
            "tiny": Preset(
                set={"aggregated.repeats": 20, "aggregated.marginal": [0.16, 0.5]},
                seeds=2,
                note="A few hundred surveys in seconds.",
            ),
            "small": Preset(
                set={"aggregated.repeats": 500},
                note="360 thousand surveys of one question, minutes on two cores.",
            ),
        },
        figures="assay.systems.competition_survey.figures_studies:aggregation_figures",
    )
