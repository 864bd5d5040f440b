"""Depth-damage curves: the share of a building's worth that a depth of water destroys.

Notable in this file: `JRC_RESIDENTIAL`, the residential curves of six continents from Huizinga, de
Moel and Szewczyk 2017, *Global flood depth-damage functions*, Joint Research Centre of the European
Commission, doi:10.2760/16510 (reuse authorised where the source is named), to three decimals.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from assay.errors import DataError, ParameterError, did_you_mean
from assay.systems.climate_impact.tables import Table, read_table

__all__ = [
    "JRC_DEPTH_M",
    "JRC_RESIDENTIAL",
    "JRC_RESIDENTIAL_DEVIATION",
    "DamageCurve",
    "jrc_residential",
    "jrc_residential_at",
    "read_curve",
]

JRC_DEPTH_M = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0)
JRC_RESIDENTIAL: dict[str, tuple[float, ...]] = {
    "Europe": (0.0, 0.25, 0.4, 0.5, 0.6, 0.75, 0.85, 0.95, 1.0),
    "North America": (0.202, 0.443, 0.583, 0.683, 0.784, 0.854, 0.924, 0.959, 1.0),
    "Central and South America": (0.0, 0.491, 0.711, 0.842, 0.949, 0.984, 1.0, 1.0, 1.0),
    "Asia": (0.0, 0.327, 0.494, 0.617, 0.721, 0.870, 0.931, 0.984, 1.0),
    "Africa": (0.0, 0.220, 0.378, 0.531, 0.636, 0.817, 0.903, 0.957, 1.0),
    "Oceania": (0.0, 0.475, 0.640, 0.715, 0.788, 0.929, 0.967, 0.983, 1.0),
}
JRC_RESIDENTIAL_DEVIATION: dict[str, tuple[float, ...]] = {
    "North America": (0.168, 0.141, 0.137, 0.167, 0.141, 0.129, 0.102, 0.059, 0.0),
    "Central and South America": (0.0, 0.209, 0.135, 0.082, 0.061, 0.024, 0.0, 0.0, 0.0),
    "Asia": (0.0, 0.252, 0.215, 0.214, 0.207, 0.168, 0.125, 0.048, 0.0),
    "Africa": (0.0, 0.042, 0.114, 0.198, 0.208, 0.205, 0.142, 0.076, 0.0),
    "Oceania": (0.088, 0.141, 0.164, 0.169, 0.167, 0.113, 0.058, 0.036, 0.0),
}
"""Standard deviations of the same source; it gives none for Europe."""
DEEPEST_M = 50.0
_JRC_DEPTH, _JRC_TYPE = "Flood depth", "Type"


@dataclass(frozen=True)
class DamageCurve:
    """Share of the maximum damage by depth, linear between points.

    Attributes:
        depth_m: Depths (m), increasing from 0.
        factor: Share of the maximum damage at each, 0 to 1, never falling.
        label: What it is, for people.
    """

    depth_m: Float[np.ndarray, " points"]
    factor: Float[np.ndarray, " points"]
    label: str

    def at(
        self, depth_m: Float[np.ndarray, " assets"], *, dry_below_m: float = 0.0
    ) -> Float[np.ndarray, " assets"]:
        """Share of the maximum damage at some depths.

        Args:
            depth_m: Depths of water (m).
            dry_below_m: An asset in no more water than this is dry (m). What is dry costs nothing,
                also where the curve begins above zero (basements of North America).

        Returns:
            Shares, 0 to 1; beyond the last depth that of the last depth.

        Example:
            >>> curve = jrc_residential("North America")
            >>> curve.at(np.array([0.0, 0.25, 9.0])).round(4).tolist()
            [0.0, 0.3225, 1.0]
        """
        share = np.interp(depth_m, self.depth_m, self.factor)
        return np.where(np.asarray(depth_m) > dry_below_m, share, 0.0)


def jrc_residential(region: str) -> DamageCurve:
    """The residential curve of a continent (Huizinga, de Moel and Szewczyk 2017).

    Raises:
        ParameterError: If there is no such region.
    """
    if region not in JRC_RESIDENTIAL:
        raise ParameterError(
            f"no region {region!r}", where="region", next=did_you_mean(region, JRC_RESIDENTIAL)
        )
    factor = np.array(JRC_RESIDENTIAL[region])
    return DamageCurve(np.array(JRC_DEPTH_M), factor, f"residential, {region} (JRC 2017)")


def jrc_residential_at(region: str, quantile: float) -> DamageCurve:
    """A curve of a continent at one quantile of its uncertainty.

    Each factor follows the Beta distribution with the mean and standard deviation of the source,
    and all depths take the same quantile: buildings are better or worse altogether. A factor
    without deviation, or with one larger than a Beta distribution can have, stays at its mean.

    Args:
        region: The continent.
        quantile: 0 to 1, both excluded.

    Raises:
        ParameterError: If the source has no deviations for the region, or the quantile is none.
    """
    from scipy.stats import beta

    curve = jrc_residential(region)
    if region not in JRC_RESIDENTIAL_DEVIATION:
        raise ParameterError(
            f"there are no deviations for {region}", where="region",
            accepted=", ".join(JRC_RESIDENTIAL_DEVIATION),
        )  # fmt: skip
    if not 0 < quantile < 1:
        raise ParameterError(f"got {quantile!r}", where="quantile", accepted="between 0 and 1")
    mean, deviation = curve.factor, np.array(JRC_RESIDENTIAL_DEVIATION[region])
    sure = np.maximum(mean * (1 - mean), 1e-12)
    spread = np.clip(deviation**2, 1e-12, None)
    size = sure / spread - 1  # a + b of the distribution
    spreads = (deviation > 0) & (size > 0)
    a, b = np.where(spreads, mean * size, 1.0), np.where(spreads, (1 - mean) * size, 1.0)
    factor = np.where(spreads, beta.ppf(quantile, a, b), mean)
    label = f"{curve.label}, quantile {quantile:.3g} of its uncertainty"
    return DamageCurve(curve.depth_m, np.maximum.accumulate(factor), label)


def read_curve(
    path: Path | str, *, region: str | None = None, asset_type: str = "Residential buildings"
) -> DamageCurve:
    """Read a curve from a CSV file.

    Two layouts are known. Columns ``depth`` and ``factor``, with other units than metres and shares
    in the header (``depth [ft]``, ``factor [percent]``); or the table of the Joint Research Centre,
    with columns ``Type``, ``Flood depth [m]`` and ``<region>_Mean``.

    Args:
        path: The file.
        region: Which column of a table of regions; None for a file with one curve.
        asset_type: Which rows of that table.

    Raises:
        DataError: If a column is missing, a depth or factor is missing, negative or out of
            range, depths do not increase from 0, or factors fall.
        ParameterError: If a region is given and the file has none, or the reverse.
    """
    table = read_table(path)
    name = Path(path).name
    if table.one_of([_JRC_TYPE]) and table.one_of([_JRC_DEPTH]):
        rows, column = _jrc_part(table, region, asset_type)
        return _curve(rows, _JRC_DEPTH, column, f"{asset_type}, {region} ({name})")
    if region is not None:
        raise ParameterError(
            f"{table.where} holds one curve, not one of {region!r}",
            where="region",
            accepted="own, or a file with a column Flood depth and one per region",
        )
    depth, factor = table.column("depth", "depth_m"), table.column("factor")
    return _curve(table, depth, factor, f"own curve ({name})")


def _jrc_part(table: Table, region: str | None, asset_type: str) -> tuple[Table, str]:
    """The rows of one type of asset that the region has a number in."""
    means = [c for c in table.columns if c.endswith("_Mean")]
    regions = {c.removesuffix("_Mean").replace("&", "and"): c for c in means}
    if region not in regions:
        what = f"no region {region!r}" if region else f"{table.where} holds several regions"
        raise ParameterError(what, where="region", next=did_you_mean(region or "", regions))
    types = table.columns[table.column(_JRC_TYPE)]
    if asset_type not in types:
        raise DataError(
            f"no type {asset_type!r}", where=table.where, next=did_you_mean(asset_type, set(types))
        )
    column = regions[region]
    kept = [k for k, kind in enumerate(types) if kind == asset_type and table.columns[column][k]]
    if not kept:
        raise DataError(f"no curve for {asset_type} in {region}", where=table.where)
    columns = {name: [texts[k] for k in kept] for name, texts in table.columns.items()}
    return table._replace(columns=columns, places=[table.places[k] for k in kept]), column


def _curve(table: Table, depth_column: str, factor_column: str, label: str) -> DamageCurve:
    depth = table.numbers(depth_column, unit="m", assumed="m")
    factor = table.numbers(factor_column, unit="dimensionless")
    one = f"0 to 1, or the unit in the header, as in {factor_column} [percent]"
    metres = f"metres, 0 to {DEEPEST_M:g}, or the unit in the header, as in depth [cm]"
    for k, place in enumerate(table.places):
        if not 0 <= depth[k] <= DEEPEST_M:
            raise DataError(_odd("depth", depth[k]), where=place, accepted=metres)
        if not 0 <= factor[k] <= 1:
            raise DataError(_odd("factor", factor[k]), where=place, accepted=one)
        if k and depth[k] <= depth[k - 1]:
            raise DataError(
                f"depth {depth[k]:g} m follows {depth[k - 1]:g} m",
                where=place,
                accepted="increasing depths",
            )
        if k and factor[k] < factor[k - 1]:
            raise DataError(
                f"factor {factor[k]:g} follows {factor[k - 1]:g}",
                where=place,
                accepted="damage that does not fall with depth",
            )
    if len(depth) < 2 or depth[0] != 0:
        raise DataError(
            f"the curve begins at {depth[0]:g} m and has {len(depth)} points",
            where=table.where,
            accepted="two points or more, the first at depth 0",
        )
    return DamageCurve(depth, factor, label)


def _odd(what: str, value: float) -> str:
    return f"{what} is missing" if np.isnan(value) else f"{what} is {value:g}"
