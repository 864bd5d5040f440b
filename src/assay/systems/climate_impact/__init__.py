"""Climate impact: physical and learned models in one modular framework, flood risk first."""

from assay.core.system import System

SYSTEM = System(
    name="climate_impact",
    title="From a terrain and a storm to the money a flood costs in a year",
    citation="Edwards et al. 2022, A modular framework for modelling climate impacts (CIMF)",
    studies={"flood_risk": "assay.systems.climate_impact.study:flood_risk"},
    main="flood_risk",
    extra="climate",
)
