"""Climate impact: physical and learned models in one modular framework, flood risk first."""

from assay.core.system import System

SYSTEM = System(
    name="climate_impact",
    title="From a terrain and a storm to the money that floods and landslides cost in a year",
    citation="Climate Impact Modelling Framework (CIMF), its abstract; follow-up arXiv 2311.16196",
    studies={
        "flood_risk": "assay.systems.climate_impact.study:flood_risk",
        "combined_risk": "assay.systems.climate_impact.study_combined_risk:combined_risk",
        "surrogate": "assay.systems.climate_impact.study_surrogate:surrogate",
        "uncertainty": "assay.systems.climate_impact.study_uncertainty:uncertainty",
        "calibration": "assay.systems.climate_impact.study_calibration:calibration",
        "verification": "assay.systems.climate_impact.study_verification:verification",
    },
    main="flood_risk",
    extra="climate",
)
