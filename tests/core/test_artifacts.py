"""The closed list of formats: every value comes back, equal values are one, others are refused."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from assay.core.artifacts import FORMATS, format_of
from assay.core.records import Records
from assay.core.store import Store
from assay.errors import AssayError, WorkflowError


@dataclass
class Field:
    """Arrays inside a value."""

    depth_m: np.ndarray
    parts: list[np.ndarray]
    name: str = "depth"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def frame():
    return pd.DataFrame(
        {
            "x": [1.5, np.nan, -np.inf],
            "n": np.array([1, 2, 3], "int8"),
            "s": ["a", None, "€"],
            "t": pd.to_datetime(["2020-01-01", None, "2021-06-01"], utc=True),
            "c": pd.Categorical(["b", "a", "b"], ["b", "a"], ordered=True),
            "d": pd.to_timedelta([1, 2, 3], "s"),
            "b": pd.array([True, None, False], "boolean"),
            "o": [b"x", None, b"y"],
        },
        index=pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["k", None]),
    )


def cube():
    return xr.Dataset(
        {
            "depth": (("y", "x"), np.array([[1.0, np.nan], [3.0, 4.0]], "float32")),
            "wet": ("x", np.array([True, False])),
            "label": ("x", np.array(["a", "é"])),
            "count": ((), np.int16(3)),
        },
        coords={
            "time": ("x", np.array(["2020-01-01", "2020-01-02T03:04:05.678901234"], "M8[ns]")),
            "y": [10.5, 20.5],
        },
        attrs={"crs": "EPSG:32616", "numbers": np.array([1, 2])},
    )


def same(one, other):
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
        return one.attrs == other.attrs
    if isinstance(one, xr.Dataset | xr.DataArray):
        return type(one) is type(other) and one.identical(other)
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
        return one.dtype == other.dtype
    if isinstance(one, Field):
        arrays = [(one.depth_m, other.depth_m), *zip(one.parts, other.parts, strict=True)]
        return isinstance(other, Field) and all(same(*pair) for pair in arrays)
    return one == other and type(one) is type(other)


VALUES = {
    "json": [({"a": [1, 2.5, None]}, dict), ("", str), ([], list), (0, int)],
    "arrays": [
        (np.arange(6.0).reshape(2, 3), np.ndarray),
        (np.asfortranarray(np.arange(6).reshape(2, 3)), np.ndarray),
        (np.array(3.5, "float16"), np.ndarray),
        (np.zeros((0, 3), "complex64"), np.ndarray),
        (np.array(["a", "é"]), np.ndarray),
        (np.array(["2020-01-01", "NaT"], "M8[s]"), np.ndarray),
        (np.arange(10)[::-2], np.ndarray),
        (Field(np.ones((2, 2), "f4"), [np.arange(n) for n in range(12)]), Field),
    ],
    "records": [
        (Records([{"measure": "m", "value": 1.0, "unit": "m", "item": "a"}]), Records),
        (Records(), Records),
    ],
    "table": [
        (frame(), pd.DataFrame),
        (pd.DataFrame(), pd.DataFrame),
        (pd.DataFrame({"a": []}), pd.DataFrame),
        (pd.DataFrame({"a": [1]}, index=[7]), pd.DataFrame),
    ],
    "netcdf": [
        (cube(), xr.Dataset),
        (cube().depth, xr.DataArray),
        (cube().depth.rename(None), xr.DataArray),
        (cube().depth.isel(x=0, y=0), xr.DataArray),
        (xr.Dataset(), xr.Dataset),
        (xr.DataArray(np.array([1, 2], "m8[s]"), dims="t", attrs={"a": "b"}), xr.DataArray),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "annotation"), [(n, *pair) for n, pairs in VALUES.items() for pair in pairs]
)
def test_a_value_comes_back_as_it_was_and_is_one_with_its_equal(store, name, value, annotation):
    made = store.put(value)
    back = store.get(made, annotation)

    assert made.format == name
    assert same(value, back)
    assert store.put(back) == made
    assert store.check(made)


def test_every_format_of_the_list_is_tried():
    assert {*VALUES, "file", "folder"} == set(FORMATS)


def test_a_file_keeps_its_bytes_and_what_its_name_says_of_its_format(store, tmp_path):
    for name, suffix in [
        ("a.tif", ".tif"),
        ("scan.nii.gz", ".nii.gz"),
        ("no_suffix", ""),
        ("depth_0.05_m.tif", ".tif"),
        ("v1.2 final.txt", ".txt"),
        (f"a.{'x' * 200}", ""),
        (".hidden", ""),
        ("film.mp4", ".mp4"),
        ("a.zip.7z", ".zip.7z"),
    ]:
        path = tmp_path / name
        path.write_bytes(b"\0some\xff bytes\n")
        made = store.put(path)

        assert (made.format, made.suffix) == ("file", suffix), name
        assert store.get(made).read_bytes() == path.read_bytes()
        assert store.get(made).name.endswith(suffix)


def test_a_file_is_known_by_its_content_and_not_by_its_name(store, tmp_path):
    for name in ("a.txt", "b.txt", "c.md"):
        (tmp_path / name).write_text("same")

    a, b, c = (store.put(tmp_path / name) for name in ("a.txt", "b.txt", "c.md"))

    assert a == b
    assert c.digest != a.digest  # the suffix says how it is read


def test_a_link_to_a_file_is_stored_as_the_file(store, tmp_path):
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")

    made = store.put(tmp_path / "link.txt")
    (tmp_path / "a.txt").write_text("changed")

    assert not store.get(made).is_symlink()
    assert store.get(made).read_text() == "text"


def folder(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_folder_is_known_by_names_and_contents(store, tmp_path):
    one = store.put(folder(tmp_path / "one", a="1", sub__b="2"))
    again = store.put(folder(tmp_path / "again", sub__b="2", a="1"))
    renamed = store.put(folder(tmp_path / "renamed", a="1", sub__c="2"))
    changed = store.put(folder(tmp_path / "changed", a="1", sub__b="3"))
    moved = store.put(folder(tmp_path / "moved", a="12", sub__b=""))

    assert one == again
    assert len({one.digest, renamed.digest, changed.digest, moved.digest}) == 4
    assert (store.get(one) / "sub" / "b").read_text() == "2"


def test_an_empty_folder_and_a_read_only_one_are_stored(store, tmp_path):
    (tmp_path / "empty").mkdir()
    closed = folder(tmp_path / "closed", a="1", sub__b="2")
    for path in (closed, closed / "sub"):
        path.chmod(0o555)

    assert store.get(store.put(tmp_path / "empty")).is_dir()
    stored = store.get(store.put(closed))
    assert {p.stat().st_mode & 0o700 for p in (stored, stored / "sub")} == {0o700}


def test_formats_that_other_libraries_write_travel_as_files_and_folders(store, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    raster = np.arange(6, dtype="float32").reshape(2, 3)
    profile = {"driver": "GTiff", "width": 3, "height": 2, "count": 1, "dtype": "float32"}
    transform = rasterio.transform.from_origin(0, 60, 30, 30)
    with rasterio.open(
        tmp_path / "dem.tif", "w", **profile, crs="EPSG:32616", transform=transform
    ) as file:
        file.write(raster, 1)

    with rasterio.open(store.get(store.put(tmp_path / "dem.tif"))) as file:
        np.testing.assert_array_equal(file.read(1), raster)
        assert file.crs.to_epsg() == 32616


# -- equal values, equal digests ----------------------------------------------------------------


def test_how_an_array_lies_in_memory_does_not_count(store):
    array = np.random.default_rng(0).random((20, 30))

    digests = {store.put(a).digest for a in (array, np.asfortranarray(array), array[::-1][::-1])}

    assert len(digests) == 1
    assert store.put(array.astype("float32").astype("float64")).digest not in digests


def test_how_a_table_was_put_together_does_not_count(store):
    whole = pd.DataFrame({"s": [f"row {i}" for i in range(50_000)], "x": np.arange(5e4)})
    parts = pd.concat([whole[:7], whole[7:30_000], whole[30_000:]])

    assert store.put(whole) == store.put(parts) == store.put(whole.copy())


def test_how_a_grid_was_packed_in_its_file_does_not_count(store, tmp_path):
    grid = xr.Dataset({"a": (("y", "x"), np.round(np.random.default_rng(0).random((40, 30)), 3))})
    packing = {"zlib": True, "chunksizes": (10, 10)}
    grid.to_netcdf(tmp_path / "packed.nc", engine="h5netcdf", encoding={"a": packing})

    with xr.open_dataset(tmp_path / "packed.nc", engine="h5netcdf") as packed:
        assert store.put(packed) == store.put(grid) == store.put(grid.copy(deep=True))


def test_a_rounding_packing_does_not_change_what_is_stored(store):
    grid = xr.Dataset({"a": ("x", [0.123456789])})
    grid.a.encoding = {"dtype": "int16", "scale_factor": 0.1, "_FillValue": -1}

    assert store.get(store.put(grid)).a.item() == 0.123456789


def test_the_order_of_keys_in_records_does_not_count(store):
    one = Records([{"measure": "m", "value": 1.0, "unit": "1", "a": 1, "b": 2}])
    other = Records([{"b": 2, "a": 1, "unit": "1", "value": 1.0, "measure": "m"}])

    assert store.put(one) == store.put(other)


def test_different_values_have_different_digests(store):
    values = [
        0, 1, 1.0, True, "1", None, [], [1], [[1]], {}, {"a": 1}, {"a": 1.0}, (1,), "",
        np.zeros(1), np.zeros(1, "f4"), np.zeros((1, 1)), [np.zeros(1)], np.zeros(0),
        pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}), pd.DataFrame({"a": [1.0]}),
        pd.DataFrame({"a": [1]}, index=[1]), Records(), xr.Dataset(),
        xr.Dataset(attrs={"a": "b"}), xr.DataArray(1), xr.DataArray(1, name="a"),
    ]  # fmt: skip

    assert len({store.put(value).digest for value in values}) == len(values)


# -- what is refused ----------------------------------------------------------------------------


def attributed():
    table = pd.DataFrame({"a": [1]})
    table.attrs = {"x": object()}
    return table


def text(value):
    return pd.DataFrame({"a": pd.Series([value], dtype=object)})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "type bytes"),
        ([10**5000], "a result cannot be stored: Exceeds the limit"),
        (pd.Series([1]), "type Series"),
        (pd.DataFrame({1: [1]}), "columns have names that are not texts"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "a table cannot be stored: Duplicate column"),
        (pd.DataFrame({"a": [1, "x"]}), "a table cannot be stored"),
        (pd.DataFrame({"a": [1j]}), "a table cannot be stored"),
        (pd.DataFrame({"a": [10**30]}), "a table cannot be stored"),
        (pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}), "a table cannot be stored: Sparse"),
        (text("\ud800"), "a table cannot be stored"),
        (attributed(), "a table cannot be stored: Object of type object"),
        (xr.Dataset({"a/b": ("x", [1])}), "a Dataset cannot be stored: Forward slashes"),
        (xr.Dataset(attrs={"a": None}), "a Dataset cannot be stored: Invalid value for attr"),
        (xr.Dataset({"a": ("x", np.array([1, "b"], object))}), "a Dataset cannot be stored"),
        (Records([{"measure": "m", "value": 1.0, "unit": "1", "k": 10**30}]), "table of records"),
        (Records([{"measure": "m", "value": 1.0, "unit": "1", "k": "\ud800"}]), "table of records"),
        ([np.zeros(2), pd.DataFrame()], "a DataFrame inside another value"),
        (np.zeros(2, "i4,i4"), "an array of .* has no storage format"),
    ],
)
def test_what_has_no_format_is_refused_in_one_line_and_leaves_nothing(store, value, message):
    with pytest.raises(WorkflowError, match=message) as caught:
        store.put(value)

    assert "\n" not in str(caught.value)
    assert not [*store.root.glob("objects/*/*"), *store.root.glob("tmp/*")]


@pytest.mark.parametrize("make", ["missing", "pipe", "dangling"])
def test_a_path_at_which_there_is_no_file_is_refused(store, tmp_path, make):
    import os

    path = tmp_path / "x"
    if make == "pipe":
        os.mkfifo(path)
    if make == "dangling":
        path.symlink_to(tmp_path / "nowhere")

    with pytest.raises(WorkflowError, match="a path at which there is nothing"):
        store.put(path)


def test_a_folder_with_a_dangling_link_is_refused_in_one_line(store, tmp_path):
    (folder(tmp_path / "f", a="1") / "b").symlink_to(tmp_path / "nowhere")

    with pytest.raises(AssayError, match=r"/b") as caught:
        store.put(tmp_path / "f")

    assert "\n" not in str(caught.value)
    assert not [*store.root.glob("objects/*/*"), *store.root.glob("tmp/*")]


def test_a_result_with_too_much_json_is_refused(store, monkeypatch):
    monkeypatch.setattr("assay.core.artifacts.MAX_JSON_BYTES", 100)

    store.put("x" * 90)
    with pytest.raises(WorkflowError, match=r"takes 102 bytes of JSON; .* Return arrays, a table"):
        store.put("x" * 100)


def test_nothing_that_is_read_is_unpickled(store, tmp_path):
    """An object array can only lie in a pickle, which no reader opens."""
    made = store.put(np.zeros(3))
    path = store.path(made) / "0.npy"
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)

    with pytest.raises(ValueError, match="allow_pickle=False"):
        FORMATS["arrays"].read(store.path(made), np.ndarray)


def test_json_on_disk_is_what_every_language_reads(store):
    made = store.put({"a": [np.inf, np.nan, 1]})

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    json.loads(store.path(made).read_text(), parse_constant=refuse)


def test_a_subclass_with_more_in_it_is_not_stored_as_less():
    class Frame(pd.DataFrame):
        pass

    assert format_of(Frame()) != "table"
