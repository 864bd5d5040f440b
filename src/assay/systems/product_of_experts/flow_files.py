"""Optical flow in ``.flo`` files, as the Middlebury benchmark defines them.

Little-endian: the number 202021.25 as a 32-bit float (the bytes PIEH), width and height as 32-bit
integers, then two 32-bit floats a pixel, row by row: pixels to the right, pixels down. By the
benchmark's convention a flow that is not known has components beyond 1e9; it is read as it stands.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from assay.errors import DataError

__all__ = ["read_flo", "write_flo"]

MAGIC = 202021.25
HEADER = np.dtype([("magic", "<f4"), ("width", "<i4"), ("height", "<i4")])
LARGEST = 99_999
"""Pixels of a side, above which the benchmark's own reader takes a file for damaged."""


def write_flo(path: Path, flow: Float[np.ndarray, "..."]) -> None:
    """Write a flow; the folder must be there.

    Args:
        path: A ``.flo`` file.
        flow: Pixels to the right and down ``[height width 2]``.

    Raises:
        DataError: If it is of another shape.
    """
    if (
        flow.ndim != 3
        or flow.shape[2] != 2
        or not 0 < min(flow.shape) <= max(flow.shape) <= LARGEST
    ):
        raise DataError(
            f"an array of {flow.shape}", where=str(path), accepted="height, width and 2, none empty"
        )
    header = np.array([(MAGIC, flow.shape[1], flow.shape[0])], HEADER)
    path.write_bytes(header.tobytes() + np.ascontiguousarray(flow, "<f4").tobytes())


def read_flo(path: Path) -> Float32[np.ndarray, "height width 2"]:
    """Read a flow.

    Args:
        path: A ``.flo`` file.

    Returns:
        Pixels to the right and down.

    Raises:
        DataError: If it cannot be read, is no flow, or is longer or shorter than its header says.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(path)) from None
    if len(data) < HEADER.itemsize:
        raise DataError(
            f"{len(data)} bytes", where=str(path), accepted=f"a header of {HEADER.itemsize}"
        )
    magic, width, height = np.frombuffer(data, HEADER, 1)[0].tolist()
    if magic != MAGIC:
        raise DataError(f"begins with {magic:g}", where=str(path), accepted=f"{MAGIC}, as .flo do")
    if not (0 < width <= LARGEST and 0 < height <= LARGEST):
        raise DataError(
            f"a flow of {width} x {height}", where=str(path), accepted=f"sides from 1 to {LARGEST}"
        )
    wanted = HEADER.itemsize + 8 * width * height
    if len(data) != wanted:
        raise DataError(
            f"{len(data)} bytes", where=str(path),
            accepted=f"{wanted} for a flow of {width} x {height}",
        )  # fmt: skip
    flow = np.frombuffer(data, "<f4", offset=HEADER.itemsize)
    return flow.reshape(height, width, 2).astype(np.float32)
