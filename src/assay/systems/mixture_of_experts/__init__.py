"""Mixture of experts: dense against sparse language models, at equal cost."""

from assay.core.system import System

SYSTEM = System(
    name="mixture_of_experts",
    title="Train dense decoders and sparse twins on your own text, and read what the latter save",
    citation="Artetxe et al. 2022, Efficient Large Scale Language Modeling with Mixtures of "
    "Experts, EMNLP, arXiv 2112.10684",
    studies={
        "language_modelling": "assay.systems.mixture_of_experts.study:language_modelling",
        "priming": "assay.systems.mixture_of_experts.study_priming:priming",
        "finetuning": "assay.systems.mixture_of_experts.study_finetuning:finetuning",
        "routing": "assay.systems.mixture_of_experts.study_routing:routing",
        "cost": "assay.systems.mixture_of_experts.study_cost:cost",
        "upcycling": "assay.systems.mixture_of_experts.study_upcycling:upcycling",
    },
    main="language_modelling",
    extra="language",
)
