"""Surgical skill: a challenge run end to end, from simulated operations to a board."""

from assay.core.system import System

SYSTEM = System(
    name="surgical_skill",
    title="Find the tools, count the mistakes, and rank who does it best",
    citation="Zia et al. 2022, Objective Surgical Skills Assessment and Tool Localization, "
    "arXiv 2212.04448",
    studies={
        "localisation": "assay.systems.surgical_skill.study:localisation",
        "skill": "assay.systems.surgical_skill.study_skill:skill",
        "pipeline": "assay.systems.surgical_skill.study_practice:pipeline",
        "practice": "assay.systems.surgical_skill.study_practice:practice",
        "ranking_stability": "assay.systems.surgical_skill.study_rankings:ranking_stability",
    },
    main="localisation",
    extra="surgery",
    commands={"challenge": "assay.parts.competition.verbs:app"},
)
