"""Two hazards, one settlement: losses joined asset by asset, and whether the worst-hit change.

Notable in this file: a building cannot be lost twice. Where the flood takes the share f of its
worth and the slide the share g, both together take 1 - (1 - f)(1 - g), never less than either and
never more than the whole. With f and g the mean shares of independent causes, so is the result.
"""

from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field, PositiveFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.records import Records
from assay.errors import DataError
from assay.systems.climate_impact.exposure import Assets, settlement
from assay.systems.climate_impact.impact import StormLosses
from assay.systems.climate_impact.landslides import slope_of
from assay.systems.climate_impact.rasters import Terrain
from assay.systems.climate_impact.risk import Beyond, risk_curve

Hazards = Literal["flood", "landslides", "both"]
Rule = Literal["independent", "larger"]
Share = Annotated[float, Field(ge=0, le=1)]
Degrees = Annotated[float, Field(ge=0, lt=90)]


class CombinedLosses(NamedTuple):
    """What one storm costs by the hazards counted.

    Attributes:
        losses: Loss of each asset.
        records: ``counted_twice``, what the sum of both hazards would count twice (currency), and
            two that are never above 0, both relative to an asset's worth and the largest over the
            assets: ``below_either``, the larger hazard's loss less the joint one, and
            ``above_worth``, the joint loss less the worth. All zero where one hazard is counted.
    """

    losses: StormLosses
    records: Records


class Ranking(NamedTuple):
    """Which assets the damage of an average year falls on, before and after a change.

    Attributes:
        before: Expected annual damage of each asset (currency/year).
        after: The same after the change.
        records: ``rank_correlation``, Kendall's tau-b between the two (NaN where one of them is the
            same for all assets), and ``top_changed``, the share of the worst-hit assets that were
            not among them before.
    """

    before: Float[np.ndarray, " assets"]
    after: Float[np.ndarray, " assets"]
    records: Records


@component(version="1", requires=("numpy", "scipy"))
def valley_and_hillside(
    terrain: Terrain,
    *,
    count: Annotated[int, Field(ge=2, le=1_000_000)] = 200,
    hillside_share: Share = 0.2,
    least_slope_deg: Degrees = 8.0,
    most_slope_deg: Degrees = 25.0,
    max_damage_per_m2: PositiveFloat = 1000.0,
    currency: str = "EUR",
    seed: Seed,
) -> Assets:
    """Buildings near the valley floor and others on the slopes; synthetic, not the site's.

    Those near the valley floor are drawn as in `settlement`; those on the slopes anywhere between
    two slopes, each cell alike.

    Args:
        terrain: The terrain.
        count: Number of buildings.
        hillside_share: Share of them on the slopes.
        least_slope_deg: Gentlest slope of those (degrees).
        most_slope_deg: Steepest slope of those (degrees).
        max_damage_per_m2: Assumed cost of total loss (currency/m2).
        currency: Its unit.
        seed: Seed of the draw.
    """
    built = settlement(
        terrain, count=count, seed=seed, max_damage_per_m2=max_damage_per_m2, currency=currency
    )
    moved = round(hillside_share * count)
    if not moved:
        return built
    slope = np.rad2deg(slope_of(terrain))
    cells = np.argwhere((slope >= least_slope_deg) & (slope <= most_slope_deg))
    if not cells.size:
        raise DataError(
            f"no cell has a slope of {least_slope_deg:g} to {most_slope_deg:g} degrees",
            where=terrain.name,
            accepted=f"slopes up to {np.nanmax(slope):.0f} degrees",
        )
    random = np.random.default_rng([seed, 1])
    x, y = terrain.grid.centres(*cells[random.integers(len(cells), size=moved)].T)
    within = random.uniform(-0.5, 0.5, (2, moved)) * terrain.grid.cell_m
    x_m, y_m = built.x_m.copy(), built.y_m.copy()
    x_m[-moved:], y_m[-moved:] = x + within[0], y + within[1]
    note = (
        f"{built.note}; {moved} of them on slopes of {least_slope_deg:g} to {most_slope_deg:g} "
        "degrees"
    )
    return Assets(
        x_m, y_m, built.area_m2, built.max_damage_per_m2, built.names, x_m, y_m,
        np.arange(count), built.kind, built.currency, built.crs, note,
    )  # fmt: skip


@component(version="1", requires=("numpy",))
def combined_losses(
    flood: StormLosses,
    slides: StormLosses,
    exposure: Assets,
    *,
    hazards: Hazards = "both",
    rule: Rule = "independent",
) -> CombinedLosses:
    """Join what a flood and a landslide of one storm cost, asset by asset.

    Args:
        flood: What the flood costs.
        slides: What the landslides cost.
        exposure: The assets of both, in the same order.
        hazards: Which of them count: ``flood``, ``landslides`` or ``both``.
        rule: How shares lost combine: ``independent``, 1 - (1 - f)(1 - g), or ``larger``, the
            larger of the two.
    """
    _check_same(flood, slides, exposure)
    worth = exposure.max_damage
    if hazards == "both":
        loss = joined(flood.loss, slides.loss, worth, rule)
        note = f"flood: {flood.note}; landslides: {slides.note}; shares combined: {rule}"
    else:
        loss, note = (flood.loss, flood.note) if hazards == "flood" else (slides.loss, slides.note)
    most = np.maximum(worth, np.finfo(float).tiny)
    counted = flood.loss + slides.loss - loss if hazards == "both" else np.zeros(1)
    either = np.maximum(flood.loss, slides.loss) if hazards == "both" else loss
    records, period = Records(), flood.return_period_years
    for name, value, unit in (
        ("counted_twice", counted.sum(), flood.currency),
        ("below_either", ((either - loss) / most).max(), "1"),
        ("above_worth", ((loss - worth) / most).max(), "1"),
    ):
        records.add(name, float(value), unit, return_period_years=period)
    wet = slides if hazards == "landslides" else flood
    made = StormLosses(period, loss, wet.depth_m, wet.dry_up_to_m, flood.currency, note)
    return CombinedLosses(made, records)


def joined(
    flood: Float[np.ndarray, " assets"],
    slides: Float[np.ndarray, " assets"],
    worth: Float[np.ndarray, " assets"],
    rule: Rule = "independent",
) -> Float[np.ndarray, " assets"]:
    """Losses of both hazards together.

    Example:
        >>> joined(np.array([50.0]), np.array([50.0]), np.array([100.0])).item()
        75.0
    """
    larger = np.maximum(flood, slides)
    if rule == "larger":
        return larger
    # what the smaller loss takes of what the larger one leaves, without rounding below the larger
    left = np.divide(worth - larger, worth, out=np.zeros_like(worth), where=worth > 0)
    return larger + np.minimum(flood, slides) * np.maximum(left, 0.0)


def _check_same(flood: StormLosses, slides: StormLosses, exposure: Assets) -> None:
    sizes = flood.loss.size, slides.loss.size, exposure.x_m.size
    if len(set(sizes)) > 1:
        raise DataError(
            f"losses of {sizes[0]} and {sizes[1]} assets, of {sizes[2]} exposed",
            accepted="the same assets",
        )
    if flood.return_period_years != slides.return_period_years:
        raise DataError(
            f"a flood of {flood.return_period_years:g} years and slides of "
            f"{slides.return_period_years:g} years",
            accepted="one storm",
        )
    if len({flood.currency, slides.currency, exposure.currency}) > 1:
        raise DataError(
            f"losses are in {flood.currency} and {slides.currency}, worth in {exposure.currency}",
            accepted="one currency",
        )


@component(version="1", requires=("numpy", "scipy"))
def compare_rankings(
    before: list[StormLosses],
    after: list[StormLosses],
    *,
    onset_years: Annotated[float, Field(ge=1)] | None = None,
    beyond: Beyond = "constant",
    top: PositiveInt = 10,
) -> Ranking:
    """Compare which assets suffer most in an average year, before and after a change.

    Args:
        before: Losses of every storm.
        after: The same storms after the change.
        onset_years: Return period up to which storms cost nothing (years), as in `annual_damage`.
        beyond: Loss beyond the rarest storm: ``constant`` or ``none``.
        top: How many of the worst-hit assets to compare; no more than suffer any damage before.
    """
    from scipy.stats import kendalltau

    old, new = (asset_damage(losses, onset_years, beyond) for losses in (before, after))
    agreement: Any = kendalltau(old, new) if np.ptp(old) > 0 and np.ptp(new) > 0 else (np.nan,)
    records = Records()
    records.add("rank_correlation", float(agreement[0]), "1")
    count = min(top, int(np.count_nonzero(old)))
    changed = 1.0 - np.isin(worst(new, count), worst(old, count)).mean() if count else np.nan
    records.add("top_changed", float(changed), "1")
    return Ranking(old, new, records)


def worst(damage: Float[np.ndarray, " assets"], count: int) -> Int[np.ndarray, " worst"]:
    """The assets with the most damage, worst first; of equal ones, those that come first."""
    return np.argsort(-damage, kind="stable")[:count]


def asset_damage(
    losses: list[StormLosses], onset_years: float | None, beyond: Beyond
) -> Float[np.ndarray, " assets"]:
    """Expected annual damage of each asset, by the rule of `risk_curve` (currency/year)."""
    periods = np.array([storm.return_period_years for storm in losses])
    table = np.stack([storm.loss for storm in losses])
    curves = (
        risk_curve(periods, asset, onset_years=onset_years, beyond=beyond) for asset in table.T
    )
    return np.array([curve.expected_annual_damage for curve in curves])
