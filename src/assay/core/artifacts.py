"""One format per type, a closed list, none of which can run code when it is read.

| format   | values                                               | on disk                   |
|----------|------------------------------------------------------|---------------------------|
| json     | numbers, texts, lists, dicts, dataclasses, pydantic  | one ``.json`` file        |
| arrays   | the same with numpy arrays anywhere inside           | folder: JSON and ``.npy`` |
| records  | [`Records`][assay.Records]                           | one ``.parquet`` file     |
| table    | pandas DataFrame                                     | one ``.parquet`` file     |
| netcdf   | xarray Dataset or DataArray                          | one ``.nc`` file          |
| file     | a path to a file (GeoTIFF, media, text ...)          | the file, suffix kept     |
| folder   | a path to a folder (a model in Hugging Face layout)  | the folder                |

Equal values give equal bytes, so a digest names a value. The type to read a value back into comes
from the annotation of the port, never from the file.
"""

import dataclasses
import json
import math
import shutil
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import numpy as np

from assay.core.component import _is_union, _strip_none, is_namedtuple
from assay.core.records import Records
from assay.errors import DamagedArtifact, WorkflowError

MAX_JSON_BYTES = 256 * 1024 * 1024


class Format(NamedTuple):
    """How values of one kind lie on disk; ``write`` returns nothing and may create a folder."""

    suffix: str
    write: Callable[[Any, Path], None]
    read: Callable[[Path, Any], Any]


def format_of(value: Any) -> str:
    """Name of the format a value is stored in.

    Raises:
        WorkflowError: If no format takes it.
    """
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
    return "arrays" if _holds_array(value) else "json"


def _holds_array(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return True
    if isinstance(value, str | int | float | bool) or value is None:
        return False
    if dataclasses.is_dataclass(value):
        return any(_holds_array(getattr(value, f.name)) for f in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return any(_holds_array(v) for v in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_array(v) for v in value)
    return False


def encode(value: Any, arrays: list[np.ndarray] | None = None) -> Any:
    """A value as JSON; arrays are moved to ``arrays`` and leave their number behind.

    Raises:
        WorkflowError: If a part of the value has no format.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        return number if math.isfinite(number) else {"$float": repr(number)}
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.ndarray) and arrays is not None and value.dtype != object:
        arrays.append(value)
        return {"$array": len(arrays) - 1}
    if isinstance(value, datetime | date):
        return value.isoformat()
    return _encode_container(value, arrays)


def _encode_container(value: Any, arrays: list[np.ndarray] | None) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return {"$type": type(value).__name__} | {k: encode(v, arrays) for k, v in fields.items()}
    if hasattr(value, "model_dump"):
        return {"$type": type(value).__name__} | encode(value.model_dump(mode="json"), arrays)
    if isinstance(value, Mapping):
        if not all(isinstance(k, str) and not k.startswith("$") for k in value):
            raise WorkflowError(
                "a dict in a result has keys that are not plain texts",
                accepted="texts that do not begin with '$'",
            )
        return {k: encode(v, arrays) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [encode(v, arrays) for v in value]
    raise WorkflowError(
        f"a value of type {type(value).__name__} has no storage format",
        accepted="numbers, texts, lists, dicts, dataclasses, arrays, tables, Records or a path",
    )


def decode(tree: Any, annotation: Any, arrays: list[np.ndarray]) -> Any:
    """The inverse of [`encode`][], built into the annotated type."""
    if isinstance(tree, dict) and "$array" in tree:
        return arrays[tree["$array"]]
    if isinstance(tree, dict) and "$float" in tree:
        return float(tree["$float"])
    if typing.get_origin(annotation) is typing.Annotated:
        return decode(tree, get_args(annotation)[0], arrays)
    if _is_union(annotation):
        return decode(tree, _member(tree, annotation), arrays)
    if isinstance(tree, dict):
        return _decode_mapping(tree, annotation, arrays)
    if isinstance(tree, list):
        return _decode_sequence(tree, annotation, arrays)
    if annotation is float and isinstance(tree, int) and not isinstance(tree, bool):
        return float(tree)
    if annotation in (datetime, date) and isinstance(tree, str):
        return annotation.fromisoformat(tree)
    return tree


def _member(tree: Any, union: Any) -> Any:
    """Which member of a union a stored value was."""
    _, rest = _strip_none(union)
    members = get_args(rest) if _is_union(rest) else (rest,)
    if isinstance(tree, dict) and "$type" in tree:
        named = [m for m in members if getattr(m, "__name__", "") == tree["$type"]]
        if named:
            return named[0]
    if len(members) == 1:
        return members[0]
    shape = dict if isinstance(tree, dict) else list if isinstance(tree, list) else type(tree)
    return next((m for m in members if (get_origin(m) or m) is shape), Any)


def _decode_mapping(tree: dict[str, Any], annotation: Any, arrays: list[np.ndarray]) -> Any:
    body = {k: v for k, v in tree.items() if k != "$type"}
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        hints = typing.get_type_hints(annotation, include_extras=True)
        return annotation(**{k: decode(v, hints.get(k, Any), arrays) for k, v in body.items()})
    if hasattr(annotation, "model_validate"):
        return annotation.model_validate(body)
    inner = get_args(annotation)
    item = inner[1] if len(inner) == 2 else Any
    return {k: decode(v, item, arrays) for k, v in body.items()}


def _decode_sequence(tree: list[Any], annotation: Any, arrays: list[np.ndarray]) -> Any:
    if is_namedtuple(annotation):
        hints = typing.get_type_hints(annotation, include_extras=True).values()
        return annotation(*(decode(v, h, arrays) for v, h in zip(tree, hints, strict=True)))
    inner = get_args(annotation)
    if get_origin(annotation) is tuple or annotation is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            inner = (inner[0],) * len(tree)
        kinds = inner or (Any,) * len(tree)
        return tuple(decode(v, h, arrays) for v, h in zip(tree, kinds, strict=True))
    return [decode(v, inner[0] if inner else Any, arrays) for v in tree]


def _dump(tree: Any, path: Path) -> None:
    path.write_text(json.dumps(tree, allow_nan=False, separators=(",", ":")), encoding="utf-8")


def _load(path: Path) -> Any:
    if path.stat().st_size > MAX_JSON_BYTES:
        raise DamagedArtifact("the JSON is larger than any this program writes", where=str(path))
    return json.loads(path.read_text(encoding="utf-8"))


def _write_json(value: Any, path: Path) -> None:
    _dump(encode(value), path)


def _read_json(path: Path, annotation: Any) -> Any:
    return decode(_load(path), annotation, [])


def _write_arrays(value: Any, path: Path) -> None:
    arrays: list[np.ndarray] = []
    path.mkdir()
    _dump(encode(value, arrays), path / "value.json")
    for number, array in enumerate(arrays):
        np.save(path / f"{number}.npy", np.ascontiguousarray(array), allow_pickle=False)


def _read_arrays(path: Path, annotation: Any) -> Any:
    count = len(list(path.glob("*.npy")))
    arrays = [np.load(path / f"{n}.npy", allow_pickle=False) for n in range(count)]
    return decode(_load(path / "value.json"), annotation, arrays)


def _write_records(value: Records, path: Path) -> None:
    value.to_parquet(path)


def _read_records(path: Path, annotation: Any) -> Records:
    return Records.from_parquet(path)


def _write_table(value: Any, path: Path) -> None:
    value.to_parquet(path)


def _read_table(path: Path, annotation: Any) -> Any:
    import pandas as pd

    return pd.read_parquet(path)


def _write_netcdf(value: Any, path: Path) -> None:
    if type(value).__name__ == "DataArray":
        value = value.to_dataset(name=value.name or "value").assign_attrs({"assay_array": 1})
    value.to_netcdf(path, engine="h5netcdf")


def _read_netcdf(path: Path, annotation: Any) -> Any:
    import xarray as xr

    with xr.open_dataset(path, engine="h5netcdf") as opened:
        dataset = opened.load()
    if dataset.attrs.pop("assay_array", None):
        return dataset[next(iter(dataset.data_vars))]
    return dataset


def _write_file(value: Path, path: Path) -> None:
    if not value.is_file():
        raise WorkflowError("a step returned a path at which there is nothing", where=str(value))
    shutil.copyfile(value, path)


def _write_folder(value: Path, path: Path) -> None:
    shutil.copytree(value, path)


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
