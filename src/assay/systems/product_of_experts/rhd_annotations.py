"""The annotations of RHD: a pickle, of which only plain values and numpy arrays are let in.

A pickle is a program: whoever wrote it chooses what is called while it is read. Here it can call
what makes arrays and numbers of numpy, and nothing else. One file for each split,
``anno_training.pickle``, maps the number of a sample to

    "xyz"     [42 3]  key points before the camera (m), 0 to 20 of the left hand, then the right one
    "uv_vis"  [42 3]  where they are in the picture (pixels, across and down), and 1 where visible
    "K"       [3 3]   the camera
"""

import codecs
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from assay.errors import DataError

__all__ = ["Annotation", "read_annotations", "read_pickle", "write_annotations"]

MAX_BYTES = 2**30
SHAPES = {"xyz": (42, 3), "uv_vis": (42, 3), "K": (3, 3)}


class Annotation(NamedTuple):
    """What is known of a sample.

    Attributes:
        xyz: Key points before the camera (m), left hand then right ``[point axis]``.
        uv: Where they are in the picture (pixels, across and down) ``[point axis]``.
        visible: Which are visible ``[point]``.
        camera: Intrinsic matrix.
    """

    xyz: Float[np.ndarray, "42 3"]
    uv: Float[np.ndarray, "42 2"]
    visible: Bool[np.ndarray, "42"]
    camera: Float[np.ndarray, "3 3"]


# -- the pickle ----------------------------------------------------------------------------------


class _Latin1:
    """``codecs.encode`` for the one encoding in which numpy writes bytes as text.

    An object without attributes, so that a pickle cannot change it.
    """

    __slots__ = ()

    def __call__(self, text: str, encoding: str = "latin1") -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f"encoding {encoding!r}")
        return codecs.encode(text, "latin1")


class _FromBuffer:
    """An array of numbers from bytes, as numpy writes it at protocol 5."""

    __slots__ = ()

    def __call__(self, data: bytes, kind: np.dtype, shape: tuple[int, ...], order: Any) -> Any:
        return np.frombuffer(data, kind).reshape(shape, order=order)


RECONSTRUCT, SCALAR = (of.__reduce__()[0] for of in (np.zeros(0), np.float64(0)))  # type: ignore[index]
ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _Latin1(),
    ("numpy.core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): SCALAR,
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer(),
    ("numpy._core.numeric", "_frombuffer"): _FromBuffer(),
    ("numpy._core.multiarray", "scalar"): SCALAR,
}


class Restricted(pickle.Unpickler):
    """Reads dicts, lists, tuples, texts, numbers, and arrays and numbers of numpy."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """What a pickle may name.

        Raises:
            pickle.UnpicklingError: If it is anything else.
        """
        if (module_name, global_name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")
        return ALLOWED[module_name, global_name]


def read_pickle(path: Path) -> Any:
    """Read a pickle of plain values and numpy arrays.

    Args:
        path: The file, at most 1 GiB.

    Raises:
        DataError: If it cannot be read, is no pickle, or holds anything else.
    """
    accepted = "numbers, texts, dicts and numpy arrays in a pickle"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise pickle.UnpicklingError("it is larger than 1 GiB")
        with path.open("rb") as stream:
            return Restricted(stream, encoding="latin1").load()
    except (OSError, MemoryError) as error:
        raise DataError(f"cannot be read ({error})", where=str(path)) from None
    except Exception as error:  # what a broken or hostile pickle raises is not to be listed
        said = str(error).partition("\n")[0]
        raise DataError(f"refused ({said})", where=str(path), accepted=accepted) from None


# -- what it holds -------------------------------------------------------------------------------


def read_annotations(path: Path) -> dict[int, Annotation]:
    """Read the annotations of a split, in the order of their numbers.

    Args:
        path: ``anno_training.pickle`` or ``anno_evaluation.pickle``.

    Raises:
        DataError: If the file is refused, or an entry of it is not as described above.
    """
    said = read_pickle(path)
    if not isinstance(said, dict) or not said:
        raise DataError("no samples by their number", where=str(path))
    if not all(isinstance(key, int) and key >= 0 for key in said):
        raise DataError("a sample without a number", where=str(path))
    return {key: _annotation(said[key], f"{path}: sample {key}") for key in sorted(said)}


def _annotation(entry: Any, where: str) -> Annotation:
    if not isinstance(entry, dict):
        raise DataError("not a mapping", where=where, accepted=", ".join(SHAPES))
    arrays = {name: _array(entry, name, where) for name in SHAPES}
    camera = arrays["K"]
    if not (np.allclose(camera[2], [0.0, 0.0, 1.0]) and camera[0, 0] > 0 and camera[1, 1] > 0):
        raise DataError("K is no camera matrix", where=where)
    seen = arrays["uv_vis"]
    return Annotation(arrays["xyz"], seen[:, :2], seen[:, 2] == 1.0, camera)


def _array(entry: dict[Any, Any], name: str, where: str) -> Float[np.ndarray, "..."]:
    values = entry.get(name)
    shape = SHAPES[name]
    if (
        not isinstance(values, np.ndarray)
        or values.dtype.kind not in "biuf"
        or values.shape != shape
    ):
        found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else "no array"
        raise DataError(f"{name} is {found}", where=where, accepted=f"numbers of {shape}")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{name} holds a number that is not finite", where=where)
    return values


def write_annotations(path: Path, annotations: Mapping[int, Annotation]) -> None:
    """Write the annotations of a split as the data set has them; whole or not at all.

    Args:
        path: The file.
        annotations: By the number of the sample.
    """
    said = {
        int(key): {
            "xyz": one.xyz.astype(np.float32),
            "uv_vis": np.column_stack([one.uv, one.visible]).astype(np.float32),
            "K": one.camera.astype(np.float32),
        }
        for key, one in annotations.items()
    }
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as stream:
        pickle.dump(said, stream, protocol=2)
    part.replace(path)
