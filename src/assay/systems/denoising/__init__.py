"""Denoising: pre-train, fine-tune and compare sequence-to-sequence denoisers (BART)."""

from assay.core.system import System

SYSTEM = System(
    name="denoising",
    title="Pre-train BART on your own text, and learn which noise is worth what",
    citation="Lewis et al. 2019, BART: Denoising Sequence-to-Sequence Pre-training for Natural "
    "Language Generation, Translation, and Comprehension, arXiv 1910.13461",
    studies={
        "pretrain": "assay.systems.denoising.study:pretrain",
        "noise_ablation": "assay.systems.denoising.study_noise_ablation:noise_ablation",
        "objective_ablation": "assay.systems.denoising.study_objective_ablation:objective_ablation",
        "finetune": "assay.systems.denoising.study_finetune:finetune",
        "translation": "assay.systems.denoising.study_translation:translation",
    },
    main="pretrain",
    extra="language",
    commands={"fill": "assay.systems.denoising.verbs:app"},
)
