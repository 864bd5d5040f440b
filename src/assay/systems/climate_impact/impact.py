"""The impact: what each storm costs at each building, and all storms in an average year."""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import AfterValidator, Field

from assay.core.component import File, Seed, component
from assay.core.records import Records
from assay.errors import DataError, ParameterError, did_you_mean
from assay.systems.climate_impact.damage import (
    JRC_RESIDENTIAL,
    DamageCurve,
    jrc_residential,
    jrc_residential_at,
    read_curve,
)
from assay.systems.climate_impact.exposure import Assets, Over, depth_at
from assay.systems.climate_impact.inundation import FloodMaps
from assay.systems.climate_impact.rasters import Terrain
from assay.systems.climate_impact.risk import Beyond, RiskCurve, damage_of_rarer, risk_curve

OWN = "own"


def _known_region(name: str) -> str:
    if name != OWN and name not in JRC_RESIDENTIAL:
        raise ValueError(f"no region {name!r}. {did_you_mean(name, [*JRC_RESIDENTIAL, OWN])}")
    return name


Region = Annotated[str, AfterValidator(_known_region)]


@dataclass(frozen=True)
class StormLosses:
    """What one storm costs.

    Attributes:
        return_period_years: How rarely such a storm comes (years).
        loss: Loss of each asset (currency).
        depth_m: Depth of water at each (m).
        dry_up_to_m: Depth up to which an asset counts as dry (m).
        currency: Unit of loss.
        note: Curve and rule by which depth became loss, and the note of the exposure.
    """

    return_period_years: float
    loss: Float[np.ndarray, " assets"]
    depth_m: Float[np.ndarray, " assets"]
    dry_up_to_m: float
    currency: str
    note: str


class Risk(NamedTuple):
    """The risk of floods.

    Attributes:
        curve: Loss by annual exceedance probability, contributions and expected annual damage.
        records: ``loss`` and ``flooded_assets`` by ``return_period_years``,
            ``expected_annual_damage``, and ``share_beyond_10_years``, the share of it from storms
            rarer than ten years.
    """

    curve: RiskCurve
    records: Records


@component(version="1", requires=("numpy",))
def storm_losses(
    flood: FloodMaps,
    exposure: Assets,
    bed: Terrain | None = None,
    ground: Terrain | None = None,
    curve: DamageCurve | None = None,
    *,
    region: Region | None = None,
    curves: File | None = None,
    asset_type: str = "Residential buildings",
    floor_m: Annotated[float, Field(ge=0, le=10)] = 0.0,
    dry_below_m: Annotated[float, Field(ge=0, le=2)] = 0.1,
    depth_over: Over = "mean",
) -> StormLosses:
    """Turn depth at each building into loss: factor x maximum damage per m2 x footprint.

    Args:
        flood: What the storm did.
        exposure: The buildings.
        bed: The terrain that the flood was computed on, if it lies lower than the ground in places:
            coarser, or breached.
        ground: The terrain that the buildings stand on; depth counts from it. Both or neither.
        curve: A depth-damage curve made by another step, in place of ``region``.
        region: Continent of the residential curves of the Joint Research Centre (Huizinga et al.
            2017), or ``own`` for a file with one curve.
        curves: CSV file with ``depth`` and ``factor``, or in the layout of the JRC table.
        asset_type: Rows of a JRC table.
        floor_m: Height of floors above the ground (m); the curve is read at the depth above them.
        dry_below_m: Buildings in no more water than this above their floor are dry (m): rain on
            every cell leaves a film of water everywhere.
        depth_over: Depth of a building that covers several cells: ``mean`` or ``max`` over them.
    """
    curve = curve or damage_curve(region, curves, asset_type)
    if (bed is None) != (ground is None):
        raise DataError("only one of bed and ground is fed", accepted="both or neither")
    depth = depth_at(exposure, flood.max_depth_m, over=depth_over, bed=bed, ground=ground)
    loss = curve.at(depth - floor_m, dry_below_m=dry_below_m) * exposure.max_damage
    dry = floor_m + dry_below_m
    rule = (
        f"curve: {curve.label}, at the depth above floors of {floor_m:g} m; dry up to {dry:g} m; "
        f"{depth_over} depth over cells"
    )
    return StormLosses(
        float(flood.return_period_years),
        loss,
        depth,
        dry,
        exposure.currency,
        f"{rule}; exposure: {exposure.note}",
    )


def damage_curve(region: str | None, curves: File | None, asset_type: str) -> DamageCurve:
    """The built-in curve of a continent, or that of a file.

    Raises:
        ParameterError: If region and file do not go together.
        DataError: If the file is refused.
    """
    if region is None:
        raise ParameterError("no curve is fed and no region named", where="region")
    if curves is not None:
        return read_curve(curves, region=None if region == OWN else region, asset_type=asset_type)
    if region == OWN:
        raise ParameterError(
            "own curves need a file", where="region", next="Name it with curves=, or a continent."
        )
    return jrc_residential(region)


@component(version="1", requires=("numpy", "scipy"))
def uncertain_curve(*, region: Region, seed: Seed) -> DamageCurve:
    """A residential curve of the Joint Research Centre, drawn within its uncertainty.

    Args:
        region: Continent, one for which the source gives standard deviations.
        seed: Seed of the draw.
    """
    return jrc_residential_at(region, float(np.random.default_rng(seed).uniform(1e-3, 1 - 1e-3)))


@component(version="1", requires=("numpy",))
def annual_damage(
    losses: list[StormLosses],
    *,
    onset_years: Annotated[float, Field(ge=1)] | None = None,
    beyond: Beyond = "constant",
) -> Risk:
    """Integrate the losses of all storms into the damage of an average year.

    Args:
        losses: One per return period.
        onset_years: Return period up to which storms cost nothing (years). Not given: storms more
            frequent than the most frequent one computed are left out.
        beyond: Loss beyond the rarest storm: ``constant`` (that of the rarest) or ``none``.
    """
    currencies = sorted({storm.currency for storm in losses})
    if len(currencies) != 1:
        raise DataError(f"losses are in {' and '.join(currencies)}", accepted="one currency")
    currency = currencies[0]
    storms = sorted(losses, key=lambda storm: storm.return_period_years)
    periods = np.array([storm.return_period_years for storm in storms])
    totals = np.array([float(storm.loss.sum()) for storm in storms])
    curve = risk_curve(periods, totals, currency=currency, onset_years=onset_years, beyond=beyond)
    damage = curve.expected_annual_damage
    records = Records()
    for storm, total in zip(storms, totals, strict=True):
        keys = {"return_period_years": storm.return_period_years}
        records.add("loss", total, currency, **keys)
        flooded = int((storm.depth_m > storm.dry_up_to_m).sum())
        records.add("flooded_assets", flooded, "1", **keys)
    records.add("expected_annual_damage", damage, f"{currency}/year")
    share = damage_of_rarer(curve, 10.0) / damage if damage > 0 else float("nan")
    records.add("share_beyond_10_years", share, "1")
    return Risk(curve, records)
