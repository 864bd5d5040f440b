"""What is not known of a flood risk, carried through: members, exceedance maps, sensitivities.

Notable in this file: the members are the rows of a Saltelli design (two independent Sobol samples
A and B, and for each quantity the rows of A with that one column of B), so that the same floods
give the spread of the damage, the map of how likely each cell is to be deep, and the share of the
variance that each quantity explains. Every member carries the values it was computed with.

Sources: Saltelli et al. 2010 for the design; the estimators are scipy's `sobol_indices`.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.errors import DataError
from assay.systems.climate_impact import rain as rains
from assay.systems.climate_impact.damage import jrc_residential_at
from assay.systems.climate_impact.exposure import Assets
from assay.systems.climate_impact.impact import annual_damage, storm_losses
from assay.systems.climate_impact.inundation import inundation
from assay.systems.climate_impact.rasters import Raster, Roughness, Terrain
from assay.systems.climate_impact.roughness import scaled_roughness

QUANTITIES = ("manning", "rain_factor", "runoff_coefficient", "curve_quantile", "floor_m")
RAIN = ("rain_factor", "runoff_coefficient")
DEEP_M = 0.3

Range = tuple[float, float]


@dataclass(frozen=True)
class Design:
    """What each member takes for each uncertain quantity.

    Attributes:
        values: Shape ``(members, quantities)``.
        names: The quantities.
        points: Points N of the two samples: rows 0 to N are A, then B, then N for each quantity.
    """

    values: Float[np.ndarray, "members quantities"]
    names: list[str]
    points: int


class MemberRisk(NamedTuple):
    """One member of the ensemble.

    Attributes:
        member: Its number, a row of the design.
        expected_annual_damage: What floods cost in an average year (currency/year).
        currency: Its unit.
        max_depth_m: Largest depth in the storm of ``map_years`` (m).
        records: ``member_damage`` with the member's values as keys, and ``mass_error``, the worst
            of its storms.
    """

    member: int
    expected_annual_damage: float
    currency: str
    max_depth_m: Raster
    records: Records


class Spread(NamedTuple):
    """What the members say together.

    Attributes:
        exceedance: Share of members, drawn independently (A and B), in which a cell is deeper than
            0.3 m in the storm mapped.
        mean_depth_m: Mean of their depths (m).
        deviation_depth_m: Standard deviation of their depths (m).
        records: ``ead_mean``, ``ead_deviation``, ``ead_quantile`` (key ``quantile``), and
            ``first_order`` and ``total_order`` Sobol indices (key ``quantity``), ``runoff_share``,
            the first-order indices of what decides how much water runs off, together.
    """

    exceedance: Raster
    mean_depth_m: Raster
    deviation_depth_m: Raster
    records: Records


def members_of(points: int) -> int:
    """How many members a design has."""
    return points * (len(QUANTITIES) + 2)


@component(version="1", requires=("numpy", "scipy"))
def saltelli_design(
    *,
    points: Annotated[int, Field(ge=2, le=4096)] = 8,
    manning: Range = (0.02, 0.08),
    rain_factor: Range = (0.8, 1.2),
    runoff_coefficient: Range = (0.3, 0.7),
    curve_quantile: Range = (0.05, 0.95),
    floor_m: Range = (0.0, 0.6),
    seed: Seed,
) -> Design:
    """Draw the members of an ensemble; ranges are assumptions, and quantities independent.

    Args:
        points: Points of each sample, a power of two; members are this times seven.
        manning: Manning coefficient (s/m^(1/3)).
        rain_factor: By what the depths of all storms are multiplied.
        runoff_coefficient: Share of the rain that runs off.
        curve_quantile: Quantile of the depth-damage curve.
        floor_m: Height of floors above the ground (m).
        seed: Seed of the scrambled Sobol sequence.
    """
    from scipy.stats import qmc

    ranges = [manning, rain_factor, runoff_coefficient, curve_quantile, floor_m]
    count = len(QUANTITIES)
    if points & (points - 1):
        raise DataError(f"{points} points", where="saltelli_design", accepted="a power of two")
    if any(not low < high for low, high in ranges):
        raise DataError("a range is empty", where="saltelli_design", accepted="low < high")
    sequence = qmc.Sobol(2 * count, scramble=True, rng=np.random.default_rng(seed))
    both = sequence.random(points)
    a, b = both[:, :count], both[:, count:]
    mixed = np.repeat(a[None], count, axis=0)
    for k in range(count):
        mixed[k, :, k] = b[:, k]
    unit = np.concatenate([a, b, mixed.reshape(-1, count)])
    low, high = np.array(ranges).T
    return Design(low + unit * (high - low), list(QUANTITIES), points)


@component(version="1", requires=("numba", "numpy", "scipy"))
def member_risk(
    design: Design,
    terrain: Terrain,
    ground: Terrain,
    exposure: Assets,
    pattern: Roughness | None = None,
    *,
    member: int,
    return_period_years: list[float],
    map_years: float = 100.0,
    region: str = "North America",
    end_h: float = 24.0,
    dt_max_s: float = 20.0,
    location_mm: float = 65.0,
    scale_mm: float = 20.0,
) -> MemberRisk:
    """The risk if one row of the design were true: all its storms, losses and their integral.

    Args:
        design: The members.
        terrain: The drained terrain.
        ground: The terrain that buildings stand on.
        exposure: The buildings.
        pattern: Roughness whose median cell takes the member's coefficient, and the others keep
            their proportion to it; the same everywhere if not given.
        member: Which row.
        return_period_years: Storms (years).
        map_years: The storm whose depths are kept; one of them.
        region: Continent of the depth-damage curve, one with published deviations.
        end_h: Simulated time (h).
        dt_max_s: Longest time step (s).
        location_mm: Location of the Gumbel distribution of yearly maxima of 24-hour rain (mm).
        scale_mm: Its scale (mm).
    """
    if not 0 <= member < len(design.values):
        raise DataError(f"no member {member}", accepted=f"0 to {len(design.values) - 1}")
    if map_years not in return_period_years:
        raise DataError(f"no storm of {map_years:g} years", where="map_years")
    value: dict[str, float] = dict(zip(design.names, design.values[member].tolist(), strict=True))
    rough = scaled_roughness(terrain, pattern, value["manning"])
    statistics = rains.DepthDuration(
        value["rain_factor"] * location_mm, value["rain_factor"] * scale_mm
    )
    curve = jrc_residential_at(region, value["curve_quantile"])
    losses, kept, worst = [], None, 0.0
    for years in return_period_years:
        storm = rains.alternating_blocks(
            statistics, return_period_years=years, duration_h=6.0, block_min=15.0,
            runoff_coefficient=value["runoff_coefficient"],
        )  # fmt: skip
        flood = inundation(
            terrain, rough, storm, end_h=end_h, boundary="normal_depth", dt_max_s=dt_max_s
        )
        losses.append(
            storm_losses(
                flood, exposure, terrain, ground, curve, floor_m=value["floor_m"], dry_below_m=0.0
            )
        )
        kept = flood.max_depth_m if years == map_years else kept
        worst = max(worst, abs(flood.ledger.relative_error))
    assert kept is not None  # noqa: S101 - map_years is one of them
    damage = annual_damage(losses, onset_years=1.0).curve
    records = Records()
    unit = f"{damage.currency}/year"
    keys: dict[str, Any] = {name: float(v) for name, v in value.items()}
    records.add("mass_error", worst)
    records.add("member_damage", damage.expected_annual_damage, unit, **keys)
    return MemberRisk(member, damage.expected_annual_damage, damage.currency, kept, records)


@component(version="1", requires=("numpy", "scipy"))
def ensemble_spread(design: Design, members: list[MemberRisk]) -> Spread:
    """Spread, exceedance map and sensitivity indices of an ensemble.

    The indices need every member; without some they are left out, and the rest is computed from
    those of A and B that are there.
    """
    from scipy.stats import sobol_indices

    points, count = design.points, len(design.names)
    found = {m.member: m for m in members}
    drawn = [found[k] for k in range(2 * points) if k in found]
    if not drawn:
        raise DataError("no member of A and B succeeded", where="ensemble_spread")
    depths = np.array([m.max_depth_m.values for m in drawn])
    damages = np.array([m.expected_annual_damage for m in drawn])
    base, unit = drawn[0].max_depth_m, f"{drawn[0].currency}/year"
    records = Records()
    records.add("ead_mean", float(damages.mean()), unit)
    records.add("ead_deviation", float(damages.std(ddof=1)), unit)
    for quantile in (0.05, 0.5, 0.95):
        value = float(np.quantile(damages, quantile))
        records.add("ead_quantile", value, unit, quantile=quantile)
    if len(found) == members_of(points) and damages.std() > 0:
        f = np.array([found[k].expected_annual_damage for k in range(len(found))])
        parts = {
            "f_A": f[None, :points],
            "f_B": f[None, points : 2 * points],
            "f_AB": f[2 * points :].reshape(count, 1, points),
        }
        indices = sobol_indices(func=parts, n=points)
        for name, first, total in zip(
            design.names, np.ravel(indices.first_order), np.ravel(indices.total_order), strict=True
        ):
            records.add("first_order", float(first), quantity=name)
            records.add("total_order", float(total), quantity=name)
        rain = indices.first_order.ravel()[[QUANTITIES.index(n) for n in RAIN]].sum()
        records.add("runoff_share", float(rain))
    share = (depths > DEEP_M).mean(0)
    deep = f"chance of more than {DEEP_M:g} m"
    return Spread(
        replace(base, values=share, name=deep, unit="1"),
        replace(base, values=depths.mean(0), name="mean depth"),
        replace(base, values=depths.std(0, ddof=1), name="deviation of depth"),
        records,
    )
