"""One format per type, a closed list, none of which can run code when it is read.

| format   | values                                               | on disk                   |
|----------|------------------------------------------------------|---------------------------|
| json     | numbers, texts, lists, dicts, dataclasses, pydantic  | one ``.json`` file        |
| arrays   | the same with numpy arrays anywhere inside           | folder: JSON and ``.npy`` |
| records  | [`Records`][assay.Records]                           | one ``.parquet`` file     |
| table    | pandas DataFrame                                     | one ``.parquet`` file     |
| netcdf   | xarray Dataset or DataArray                          | one ``.nc`` file          |
| file     | a path to a file                                     | the file, suffix kept     |
| folder   | a path to a folder                                   | the folder                |

What has a format of its own travels as ``file`` or ``folder``: GeoTIFF, media and text; a Zarr
store or a model in Hugging Face layout (safetensors). The component writes it with the library that
knows it and returns the path.

Equal values give equal bytes, so a digest names a value: arrays lie in C order, tables and grids
without what their source file looked like. A dict keeps the order of its keys, which is then part
of the value. The type to read a value back into comes from the annotation of the port, never from
the file.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from assay.core.encoding import decode, encode, holds_array
from assay.core.records import Records
from assay.errors import DamagedArtifact, WorkflowError

__all__ = ["FORMATS", "Format", "decode", "encode", "format_of"]

MAX_JSON_BYTES = 256 * 1024 * 1024
ARRAY = "__assay_array__"


class Format(NamedTuple):
    """How values of one kind lie on disk; ``write`` returns nothing and may create a folder."""

    suffix: str
    write: Callable[[Any, Path], None]
    read: Callable[[Path, Any], Any]


def format_of(value: Any) -> str:
    """Name of the format a value is stored in; ``json`` says itself what it does not take."""
    if isinstance(value, Path):
        return "folder" if value.is_dir() else "file"
    if isinstance(value, Records):
        return "records"
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    if library == "pandas" and kind.__name__ == "DataFrame":
        return "table"
    if library == "xarray" and kind.__name__ in ("Dataset", "DataArray"):
        return "netcdf"
    return "arrays" if holds_array(value) else "json"


def _dump(tree: Any, path: Path) -> None:
    with _refused("result"):  # an integer of more than 4300 digits
        text = json.dumps(tree, allow_nan=False, separators=(",", ":"))
    if len(text) > MAX_JSON_BYTES:
        raise WorkflowError(
            f"a result takes {len(text):,} bytes of JSON",
            accepted=f"at most {MAX_JSON_BYTES:,}",
            next="Return arrays, a table or a path instead.",
        )
    path.write_text(text, encoding="utf-8")


def _load(path: Path) -> Any:
    if path.stat().st_size > MAX_JSON_BYTES:
        raise DamagedArtifact("the JSON is larger than any this program writes", where=str(path))
    return json.loads(path.read_text(encoding="utf-8"))


def _write_json(value: Any, path: Path) -> None:
    _dump(encode(value), path)


def _read_json(path: Path, annotation: Any) -> Any:
    return decode(_load(path), annotation)


def _write_arrays(value: Any, path: Path) -> None:
    arrays: list[np.ndarray] = []
    tree = encode(value, arrays)
    path.mkdir()
    _dump(tree, path / "value.json")
    for number, array in enumerate(arrays):
        np.save(path / f"{number}.npy", array, allow_pickle=False)


def _read_arrays(path: Path, annotation: Any) -> Any:
    count = len(list(path.glob("*.npy")))
    arrays = [np.load(path / f"{n}.npy", allow_pickle=False) for n in range(count)]
    return decode(_load(path / "value.json"), annotation, arrays)


def _write_records(value: Records, path: Path) -> None:
    with _refused("table of records"):
        value.to_parquet(path)


def _read_records(path: Path, annotation: Any) -> Records:
    return Records.from_parquet(path)


@contextmanager
def _refused(what: str) -> Iterator[None]:
    """Say in one line what a library has against a value."""
    try:
        yield
    except (ValueError, TypeError, NotImplementedError, OverflowError) as error:
        said = str(error).strip().partition("\n")[0]
        raise WorkflowError(f"a {what} cannot be stored: {said}") from error


def _write_table(value: Any, path: Path) -> None:
    if not all(isinstance(name, str) for name in value.columns):
        raise WorkflowError(
            "a table cannot be stored: its columns have names that are not texts",
            next="Rename them.",
        )
    with _refused("table"):
        json.dumps(value.attrs)  # pandas would leave out what it cannot write
        value.to_parquet(path)


def _read_table(path: Path, annotation: Any) -> Any:
    import pandas as pd

    return pd.read_parquet(path)


def _write_netcdf(value: Any, path: Path) -> None:
    """Write without the packing and compression that the source file had, which may round.

    In memory first: on a full disk HDF5 takes the whole process down.
    """
    with _refused(type(value).__name__):
        if type(value).__name__ == "DataArray":
            value = value.to_dataset(name=ARRAY).assign_attrs({ARRAY: value.name or ""})
        content = value.drop_encoding().to_netcdf(engine="h5netcdf")
    path.write_bytes(content)


def _read_netcdf(path: Path, annotation: Any) -> Any:
    import xarray as xr

    with xr.open_dataset(path, engine="h5netcdf") as opened:
        dataset = opened.load().drop_encoding()
    if ARRAY in dataset.attrs:
        return dataset[ARRAY].rename(dataset.attrs[ARRAY] or None)
    return dataset


def _write_file(value: Path, path: Path) -> None:
    if not value.is_file():
        raise WorkflowError("a step returned a path at which there is nothing", where=str(value))
    shutil.copyfile(value, path)


def _write_folder(value: Path, path: Path) -> None:
    shutil.copytree(value, path, copy_function=shutil.copyfile)
    for folder in (path, *path.rglob("*/")):  # a folder that may not be written cannot be moved
        folder.chmod(0o755)


def _read_path(path: Path, annotation: Any) -> Path:
    return path


FORMATS: dict[str, Format] = {
    "json": Format(".json", _write_json, _read_json),
    "arrays": Format(".arrays", _write_arrays, _read_arrays),
    "records": Format(".parquet", _write_records, _read_records),
    "table": Format(".parquet", _write_table, _read_table),
    "netcdf": Format(".nc", _write_netcdf, _read_netcdf),
    "file": Format("", _write_file, _read_path),
    "folder": Format("", _write_folder, _read_path),
}
