"""Policy composition: learned behaviours in order of priority, against an exact oracle."""

from assay.core.system import System

SYSTEM = System(
    name="policy_composition",
    title="Compose policies in order of priority, and see what each level leaves to the next",
    citation="Rietz et al. 2022, Towards Task-Prioritized Policy Composition, arXiv 2209.09536",
    studies={
        "oracle": "assay.systems.policy_composition.study:oracle",
        "adapt": "assay.systems.policy_composition.study_adapt:adapt",
        "compose": "assay.systems.policy_composition.study_compose:compose",
        "offline": "assay.systems.policy_composition.study_offline:offline",
        "arm": "assay.systems.policy_composition.study_arm:arm",
        "epsilon": "assay.systems.policy_composition.study_epsilon:epsilon",
        "priorities": "assay.systems.policy_composition.study_priorities:priorities",
    },
    main="oracle",
    extra="reinforcement",
)
