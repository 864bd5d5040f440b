"""Competition survey: ask the participants of competitions, and report how they worked."""

from assay.core.system import System

SYSTEM = System(
    name="competition_survey",
    title="Ask the participants of your competition how they worked, and report it beside others",
    citation="Eisenmann et al. 2022, Biomedical image analysis competitions: The state of current "
    "participation practice, arXiv 2212.08568; 2023, Why is the winner the best?, CVPR, arXiv "
    "2303.17719",
    studies={
        "practice": "assay.systems.competition_survey.study:practice",
        "aggregation": "assay.systems.competition_survey.study_aggregation:aggregation",
        "winners": "assay.systems.competition_survey.study_winners:winners_study",
    },
    main="practice",
    extra="competition",
    commands={"survey": "assay.systems.competition_survey.verbs:app"},
)
