"""Damage: the published curves, what is dry, and user curves in both layouts."""

import csv

import numpy as np
import pytest

from assay.errors import DataError, ParameterError
from assay.systems.climate_impact.damage import (
    JRC_DEPTH_M,
    JRC_RESIDENTIAL,
    JRC_RESIDENTIAL_DEVIATION,
    jrc_residential,
    jrc_residential_at,
    read_curve,
)

TABLE = "jrc/jrc_depth_damage_raw.csv"


def test_the_residential_curves_are_those_of_the_published_table(flood_data):
    with (flood_data / TABLE).open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["Type"] == "Residential buildings"]

    assert tuple(float(r["Flood depth [m]"]) for r in rows) == JRC_DEPTH_M
    for region, factors in JRC_RESIDENTIAL.items():
        published = [float(r[region.replace("and South", "& South") + "_Mean"]) for r in rows]
        assert factors == pytest.approx(published, abs=5.01e-4), region


@pytest.mark.parametrize("region", sorted(JRC_RESIDENTIAL))
def test_damage_is_linear_between_points_and_constant_beyond_the_last(region):
    curve, table = jrc_residential(region), JRC_RESIDENTIAL[region]

    assert curve.at(np.array(JRC_DEPTH_M[1:])).tolist() == list(table[1:])
    assert curve.at(np.array([2.5])) == pytest.approx((table[4] + table[5]) / 2)
    assert curve.at(np.array([6.0, 7.0, 100.0])).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("region", sorted(JRC_RESIDENTIAL))
def test_what_is_dry_costs_nothing_wherever_the_curve_begins(region):
    curve = jrc_residential(region)

    assert curve.at(np.array([0.0, -0.5])).tolist() == [0.0, 0.0]
    assert curve.at(np.array([0.05, 0.1]), dry_below_m=0.1).tolist() == [0.0, 0.0]
    assert curve.at(np.array([0.11]), dry_below_m=0.1) == curve.at(np.array([0.11]))


def test_a_wet_basement_costs_in_north_america():
    assert jrc_residential("North America").at(np.array([1e-6])) == pytest.approx(0.202, abs=1e-5)


def test_an_unknown_region_is_told_the_nearest():
    with pytest.raises(ParameterError, match="Did you mean 'Oceania'"):
        jrc_residential("Oceanie")


# -- files --------------------------------------------------------------------------------------


def written(tmp_path, text):
    file = tmp_path / "curve.csv"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    "text",
    [
        "depth,factor\n0,0\n1,0.4\n3,0.9\n",
        "depth_m, factor\n0, 0\n1, 0.4\n3, 0.9\n",
        "Depth;Factor\n0;0\n1;0.4\n3;0.9\n",
        "depth [cm],factor [percent]\n0,0\n100,40\n300,90\n",
        "\ufefffactor,depth\n0,0\n0.4,1\n0.9,3\n",
    ],
)
def test_a_curve_is_read_whatever_the_order_units_and_separator(tmp_path, text):
    curve = read_curve(written(tmp_path, text))

    assert curve.depth_m == pytest.approx(np.array([0.0, 1.0, 3.0]))
    assert curve.factor == pytest.approx(np.array([0.0, 0.4, 0.9]))
    assert "curve.csv" in curve.label


def test_feet_are_converted(tmp_path):
    curve = read_curve(written(tmp_path, "depth [ft],factor\n0,0\n10,1\n"))

    assert curve.depth_m.tolist() == pytest.approx([0.0, 3.048])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("depth,factor\n0,0\n-1,0.5\n", "line 3: depth is -1; expected metres"),
        ("depth,factor\n0,0\n1,-0.5\n", "line 3: factor is -0.5; expected 0 to 1"),
        ("depth,factor\n0,0\n1,40\n", "line 3: factor is 40; expected 0 to 1, or the unit"),
        ("depth,factor\n0,0\n300,1\n", "line 3: depth is 300; expected metres, 0 to 50"),
        ("depth,factor\n0,0\n2,0.5\n1,0.6\n", "line 4: depth 1 m follows 2 m"),
        ("depth,factor\n0,0\n1,0.5\n1,0.6\n", "line 4: depth 1 m follows 1 m"),
        ("depth,factor\n0,0\n1,0.5\n2,0.4\n", "line 4: factor 0.4 follows 0.5"),
        ("depth,factor\n0,0\n1,\n", "line 3: factor is missing"),
        ("depth,factor\n0,0\n1,much\n", "line 3, factor: 'much' is not a number"),
        ("depth,factor\n0,0\n1\n", "line 3: 1 cells; expected 2"),
        ("depth,factor\n0.5,0.2\n1,0.5\n", "begins at 0.5 m"),
        ("depth,factor\n0,0.2\n", "has 1 points"),
        ("depth,factor\n", "is empty"),
        ("depth,facter\n0,0\n", "no column 'factor'. Did you mean 'facter'"),
        ("depth,depth,factor\n0,0,0\n", "column 'depth' is there twice"),
        ("depth [kg],factor\n0,0\n1,1\n", "is in 'kg'; expected a unit that converts to m"),
        ("depth [m (],factor\n0,0\n1,1\n", "is in 'm ('"),
        ("depth [furlon],factor\n0,0\n1,1\n", "is in 'furlon'"),
    ],
)
def test_a_curve_that_cannot_be_right_is_refused_with_its_line(tmp_path, text, said):
    with pytest.raises(DataError) as refused:
        read_curve(written(tmp_path, text))

    assert said in str(refused.value)
    assert "curve.csv" in str(refused.value)


def test_the_published_layout_is_read_by_region_and_type(tmp_path, flood_data):
    europe = read_curve(flood_data / TABLE, region="Europe")
    south = read_curve(
        flood_data / TABLE, region="Central and South America", asset_type="Commercial buildings"
    )

    assert europe.factor.tolist() == list(JRC_RESIDENTIAL["Europe"])
    assert south.factor[:2].tolist() == [0.0, 0.611477587]


JRC_LIKE = "Type,Flood depth [m],Europe_Mean,Asia_Mean\nRoads,0,0,\nRoads,1,0.5,\n"


@pytest.mark.parametrize(
    ("choice", "kind", "said"),
    [
        ({"region": "Europ", "asset_type": "Roads"}, ParameterError, "Did you mean 'Europe'"),
        ({"region": None, "asset_type": "Roads"}, ParameterError, "holds several regions"),
        ({"region": "Europe", "asset_type": "Road"}, DataError, "Did you mean 'Roads'"),
        ({"region": "Asia", "asset_type": "Roads"}, DataError, "no curve for Roads in Asia"),
    ],
)
def test_a_part_that_the_table_does_not_hold_is_refused(tmp_path, choice, kind, said):
    with pytest.raises(kind) as refused:
        read_curve(written(tmp_path, JRC_LIKE), **choice)

    assert said in str(refused.value)


def test_a_region_is_refused_where_the_file_holds_one_curve(tmp_path):
    file = written(tmp_path, "depth,factor\n0,0\n1,1\n")

    with pytest.raises(ParameterError, match="holds one curve"):
        read_curve(file, region="Europe")


def test_a_file_that_is_no_table_is_refused(tmp_path):
    file = tmp_path / "curve.csv"
    file.write_bytes(b"\xff\xfe\x00binary")

    with pytest.raises(DataError, match="cannot be read; expected CSV in UTF-8"):
        read_curve(file)


@pytest.mark.parametrize("region", [*JRC_RESIDENTIAL_DEVIATION])
def test_the_quantiles_of_a_curve_have_the_mean_and_deviation_of_the_source(region):
    grid = (np.arange(2000) + 0.5) / 2000
    factors = np.array([jrc_residential_at(region, q).factor for q in grid])
    mean, deviation = JRC_RESIDENTIAL[region], JRC_RESIDENTIAL_DEVIATION[region]

    assert factors.mean(0) == pytest.approx(mean, abs=0.03)  # kept from falling with depth
    possible = np.where(np.array(mean) > 0, deviation, 0.0)  # Oceania's at depth 0 is none
    assert factors.std(0) == pytest.approx(possible, abs=0.04)
    assert (np.diff(factors, axis=1) >= 0).all()
    assert (np.diff(factors, axis=0) >= 0).all()


def test_a_curve_without_deviations_and_an_odd_quantile_are_refused():
    with pytest.raises(ParameterError, match="no deviations for Europe"):
        jrc_residential_at("Europe", 0.5)
    with pytest.raises(ParameterError, match="quantile"):
        jrc_residential_at("Asia", 1.0)


def test_the_built_in_deviations_are_those_of_the_source(flood_data):
    with (flood_data / TABLE).open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["Type"] == "Residential buildings"]

    for region, built_in in JRC_RESIDENTIAL_DEVIATION.items():
        column = region.replace("and South", "& South") + "_Std"
        assert built_in == pytest.approx([float(r[column] or 0) for r in rows], abs=5e-4)
