"""The Stereo Hand Pose Tracking Benchmark (STB): sequences of one hand, by two cameras each.

    labels/B1Counting_SK.mat       "handPara" [3 21 1500] (mm), and the same of _BB
    images/B1Counting/SK_color_0.png, SK_depth_0.png      a depth camera and the one beside it
    images/B1Counting/BB_left_0.png, BB_right_0.png       a stereo camera

Twelve sequences, B1 to B6, each *Counting* and *Random*; B1 is the test. The first key point is the
middle of the palm and the fingers come from the little one, each from the palm; here they are
brought into the order of RHD.

Cameras and the order of key points are those that public code quotes from the data set's readme.
Not checked against the data, as choices that can be changed: that frames count from 0, that the
labels of SK stand before the depth camera, that all hands are left ones, and that a depth picture
holds millimetres as red plus 256 times green.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from assay.errors import DataError, UsageError
from assay.systems.product_of_experts.pictures import read_picture

__all__ = [
    "BASELINE_M",
    "CAMERAS",
    "DEVICES",
    "SEQUENCES",
    "TEST",
    "TO_RHD",
    "Device",
    "Shown",
    "StbSample",
    "color_from_depth",
    "decode_depth_mm",
    "read_hand_para",
    "read_stb",
]  # fmt: skip

Device = Literal["SK", "BB"]
DEVICES: tuple[Device, ...] = get_args(Device)
SEQUENCES = tuple(f"B{k}{what}" for k in range(1, 7) for what in ("Counting", "Random"))
TEST = "B1"
TO_RHD = (0, *range(20, 0, -1))
"""Which of the key points of STB is the k-th of RHD: after the palm, they run backwards."""
BASELINE_M = 0.120054
"""How far the right camera of the stereo pair stands to the right of the left one."""


def _camera(fx: float, fy: float, u: float, v: float) -> Float[np.ndarray, "3 3"]:
    return np.array([[fx, 0.0, u], [0.0, fy, v], [0.0, 0.0, 1.0]])


CAMERAS = {
    "left": _camera(822.79041, 822.79041, 318.47345, 250.31296),
    "right": _camera(822.79041, 822.79041, 318.47345, 250.31296),
    "color": _camera(607.92271, 607.88192, 314.78337, 236.42484),
    "depth": _camera(475.62768, 474.77709, 336.41179, 238.77962),
}
TURN, SHIFT_M = np.array([0.00531, -0.01196, 0.00301]), np.array([-24.0381, -0.4563, -1.2326]) / 1e3
"""From the colour camera to the depth camera: a rotation vector, then a translation."""


@dataclass(frozen=True)
class Shown:
    """One of the pictures of a frame.

    Attributes:
        image: Colours ``[height width channel]``, or distances (m) ``[height width]``.
        points: Key points before its camera (m), in the order of RHD but for the palm, which stands
            for the wrist ``[point axis]``.
        camera: Its intrinsic matrix.
    """

    image: Shaped[np.ndarray, "height width *channel"]
    points: Float[np.ndarray, "21 3"]
    camera: Float[np.ndarray, "3 3"]


@dataclass(frozen=True)
class StbSample:
    """One frame.

    Attributes:
        sequence: Name of the sequence.
        frame: Number of the frame.
        shown: By what a camera is: color and depth, or left and right.
    """

    sequence: str
    frame: int
    shown: dict[str, Shown]


def read_hand_para(path: Path) -> Float[np.ndarray, "frame 21 3"]:
    """Read the labels of a sequence: key points (m) in the order of RHD but for the palm.

    Args:
        path: A ``.mat`` file.

    Raises:
        DataError: If it cannot be read, or ``handPara`` is not there, of another shape, or holds a
            number that is not finite.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        said = loadmat(path, variable_names=["handPara"])
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError, zlib.error,
            MatReadError) as error:  # fmt: skip
        why = str(error).partition("\n")[0]
        raise DataError(f"cannot be read as MATLAB 5 ({why})", where=str(path)) from None
    values = said.get("handPara")
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        raise DataError("no numbers named handPara", where=str(path))
    if values.ndim != 3 or values.shape[:2] != (3, 21) or not values.size:
        raise DataError(
            f"handPara is {values.shape}", where=str(path), accepted="(3, 21, number of frames)"
        )
    points = np.transpose(values, (2, 1, 0))[:, list(TO_RHD)].astype(np.float64) / 1e3
    if not np.isfinite(points).all():
        frame = int(np.argwhere(~np.isfinite(points))[0, 0])
        raise DataError(f"frame {frame} holds a number that is not finite", where=str(path))
    return points


def color_from_depth(points: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Points before the colour camera of SK, from such before its depth camera (m)."""
    from scipy.spatial.transform import Rotation

    # x_depth = R x_color + t; a row vector times R is R^-1 times a column.
    return (points - SHIFT_M) @ Rotation.from_rotvec(TURN).as_matrix()


def decode_depth_mm(packed: UInt8[np.ndarray, "height width channel"]) -> Float[np.ndarray, "h w"]:
    """Distances (m), 0 where there is none, from millimetres as red plus 256 times green.

    Example:
        >>> decode_depth_mm(np.array([[[44, 1, 0]]], np.uint8)).tolist()
        [[0.3]]
    """
    return (packed[..., 0] + 256.0 * packed[..., 1]) / 1e3


def read_stb(
    root: Path,
    device: Device,
    *,
    stride: int = 1,
    first_frame: int = 0,
    labels_before: Literal["depth", "color"] = "depth",
) -> Iterator[StbSample]:
    """Read the frames of all sequences that have labels, one after another.

    Args:
        root: Folder of the data set.
        device: SK, with colour and depth, or BB, with left and right.
        stride: Take every so many-th frame.
        first_frame: Number in the file names of the first frame of the labels.
        labels_before: Which camera the labels of SK stand before.

    Raises:
        UsageError: If there are no labels.
        DataError: If a file is missing or refused.
    """
    paths = {name: root / "labels" / f"{name}_{device}.mat" for name in SEQUENCES}
    paths = {name: path for name, path in paths.items() if path.is_file()}
    if not paths:
        raise UsageError(f"no labels of {device}", where=str(root),
                         accepted=f"labels/B1Counting_{device}.mat and so on")  # fmt: skip
    for name, path in paths.items():
        folder = root / "images" / name
        for index, points in list(enumerate(read_hand_para(path)))[::stride]:
            frame = index + first_frame
            before = _before_cameras(points, device, labels_before)
            shown = {}
            for kind, placed in before.items():
                file = folder / f"{device}_{kind}_{frame}.png"
                shown[kind] = Shown(_picture(file, kind), placed, CAMERAS[kind])
            yield StbSample(name, frame, shown)


def _before_cameras(
    points: Float[np.ndarray, "21 3"], device: Device, labels_before: str
) -> dict[str, Float[np.ndarray, "21 3"]]:
    if device == "BB":
        return {"left": points, "right": points - [BASELINE_M, 0.0, 0.0]}
    if labels_before == "depth":
        return {"color": color_from_depth(points), "depth": points}
    from scipy.spatial.transform import Rotation

    return {"color": points, "depth": points @ Rotation.from_rotvec(TURN).as_matrix().T + SHIFT_M}


def _picture(path: Path, kind: str) -> Shaped[np.ndarray, "height width *channel"]:
    image = read_picture(path)
    if image.dtype != np.uint8 or image.ndim != 3:
        raise DataError(f"{image.dtype} {image.shape}", where=str(path),
                        accepted="three channels of 8 bits")  # fmt: skip
    return decode_depth_mm(image) if kind == "depth" else image[..., :3]
