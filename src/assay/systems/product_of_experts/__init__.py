"""Product of experts: multimodal fusion that says, per sample, which sensor it trusts."""

from assay.core.system import System

SYSTEM = System(
    name="product_of_experts",
    title="Fuse several sensors, and read for each sample which of them was trusted",
    citation="Joshi et al. 2022, Generalized Product-of-Experts for Learning Multimodal "
    "Representations in Noisy Environments, ICMI, arXiv 2211.03587",
    studies={
        "sensors": "assay.systems.product_of_experts.study:sensors",
        "hand_pose": "assay.systems.product_of_experts.study_hand_pose:hand_pose",
        "surgical_segmentation": "assay.systems.product_of_experts.study_surgical:segmentation",
        "missing_modalities": "assay.systems.product_of_experts.study_missing:missing_modalities",
        "conditions": "assay.systems.product_of_experts.study_conditions:conditions",
        "ablation": "assay.systems.product_of_experts.study_ablation:ablation",
    },
    main="sensors",
    extra="multimodal",
)
