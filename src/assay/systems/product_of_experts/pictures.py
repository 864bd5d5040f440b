"""PNG and JPEG files as arrays, channels in the order red, green, blue."""

from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from assay.errors import DataError

__all__ = ["read_picture", "write_png"]

DEEP = (np.uint8, np.uint16)


def read_picture(path: Path) -> Shaped[np.ndarray, "height width *channel"]:
    """Read a picture as it is stored: 8 or 16 bits, one channel without an axis for it.

    Args:
        path: A PNG or JPEG file. A palette is looked up; the orientation a camera notes is not.

    Returns:
        ``[height width]`` if grey, else ``[height width channel]`` of 3 or 4 (with opacity).

    Raises:
        DataError: If it cannot be read.
    """
    import cv2

    try:
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    except (OSError, cv2.error) as error:
        said = str(error).partition("\n")[0]
        raise DataError(f"cannot be read ({said})", where=str(path)) from None
    if image is None or image.dtype not in DEEP:
        raise DataError("no picture in it", where=str(path), accepted="a whole PNG or JPEG file")
    if image.ndim == 3:
        image = image[..., [2, 1, 0, *range(3, image.shape[2])]]
    return np.ascontiguousarray(image)


def write_png(path: Path, image: Shaped[np.ndarray, "height width *channel"]) -> None:
    """Write a picture of 8 or 16 bits; the folder must be there.

    Args:
        path: The file.
        image: Grey, or red, green and blue; uint8 or uint16.
    """
    import cv2

    if image.dtype not in DEEP:
        raise ValueError(f"a PNG of {image.dtype}")
    _, data = cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])
    path.write_bytes(data.tobytes())
