"""Components that bring in hands: rendered (SYNTHETIC) or the user's; and turn them into samples.

Each of the three modalities of rendered hands says what the others do not: colour which finger is
which, depth on a coarse grid what is near and far, the mask the outline in full detail.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8
from pydantic import Field, PositiveFloat, PositiveInt

from assay.core.component import Folder, Seed, component
from assay.core.task import task
from assay.errors import DataError
from assay.systems.product_of_experts.hand_folders import (
    HandFolder,
    Root,
    box_around,
    crop,
    palm_from_wrist,
    wrist_from_palm,
)
from assay.systems.product_of_experts.hand_shapes import LEFT, RIGHT
from assay.systems.product_of_experts.hands import (
    POINTS,
    POSES,
    intrinsics,
    project,
    random_hands,
)
from assay.systems.product_of_experts.manifest import Entry
from assay.systems.product_of_experts.rhd import (
    DEPTH_RANGE_M,
    SPLITS,
    RhdSample,
    dominant_is_left,
    read_people,
    read_rhd,
    write_people,
    write_rhd,
)
from assay.systems.product_of_experts.rhd_annotations import Annotation, read_annotations
from assay.systems.product_of_experts.stb import (
    DEVICES,
    SEQUENCES,
    TEST,
    Device,
    read_hand_para,
    read_stb,
)

__all__ = ["MaskKind", "hands_from_rhd", "hands_from_stb", "recorded_hands", "rendered_hands"]

MaskKind = Literal["silhouette", "parts"]
Size = Annotated[int, Field(ge=16, le=512)]
Margin = Annotated[float, Field(ge=1, le=4)]
CHUNK = 100
ASIDE_M = 1.0
"""How far aside the other hand of a rendered picture is, which is out of the picture."""
PART_STEP = 15
RENDERED = """SYNTHETIC hands, drawn by a program.

The folders and files are those of the Rendered Hand Pose data set (RHD v2). Errors on these hands
are not comparable with errors on that.
"""
CONVERTED = {"training": "train", "evaluation": "test"}


@component(version="1", requires=("numpy", "numba", "opencv-python-headless", "scipy"))
def rendered_hands(
    *,
    training: Annotated[int, Field(ge=1, le=99_999)] = 4000,
    evaluation: Annotated[int, Field(ge=1, le=99_999)] = 1000,
    people: Annotated[int, Field(ge=1, le=10_000)] = 40,
    evaluation_people: Annotated[int, Field(ge=1, le=10_000)] = 10,
    pixels: Annotated[int, Field(ge=16, le=512)] = 64,
    seed: Seed,
) -> Path:
    """Draw hands, in the folders and files of RHD. SYNTHETIC.

    Args:
        training: Pictures of ``training``.
        evaluation: Pictures of ``evaluation``.
        people: People whose hands are in ``training``, each with bones of its own length.
        evaluation_people: The same of ``evaluation``; nobody is in both.
        pixels: Width and height of a picture.
        seed: Seed of everything.

    Returns:
        The folder, with ``people.csv`` beside the splits.
    """
    import cv2

    cv2.setNumThreads(1)
    root = task().scratch() / "hands"
    plan = {
        "training": (training, 0, people),
        "evaluation": (evaluation, people, evaluation_people),
    }
    told: list[tuple[str, int, str]] = []
    for part, (split, (count, first, persons)) in enumerate(plan.items()):
        whose = first + np.arange(count) % persons
        told += [(split, number, f"person_{who}") for number, who in enumerate(whose.tolist())]
        done = sum(plan[name][0] for name in SPLITS[:part])
        samples = _drawn(whose, pixels, [seed, part], (done, training + evaluation))
        write_rhd(root, split, samples)
    write_people(root, told)
    (root / "README.txt").write_text(RENDERED, encoding="utf-8")
    return root


def _drawn(
    whose: np.ndarray, pixels: int, seed: list[int], progress: tuple[int, int]
) -> Iterator[RhdSample]:
    """Draw hands, some at a time; each chunk has random numbers of its own."""
    from assay.systems.product_of_experts.hand_rendering import render

    camera = intrinsics(pixels)
    for first in range(0, len(whose), CHUNK):
        random = np.random.default_rng([*seed, first, POSES])
        hands = random_hands(whose[first : first + CHUNK], seed[0], random)
        seen = render(hands, random, pixels=pixels)
        for k in range(len(hands.left)):
            own = slice(0, POINTS) if hands.left[k] else slice(POINTS, 2 * POINTS)
            # The other hand is the mirror image, far to the side.
            xyz = np.tile(hands.xyz[k] * [-1.0, 1.0, 1.0] + [ASIDE_M, 0.0, 0.0], (2, 1))
            visible = np.zeros(2 * POINTS, bool)
            xyz[own], visible[own] = hands.xyz[k], seen.visible[k]
            known = Annotation(xyz, project(xyz, camera), visible, camera)
            yield RhdSample(first + k, seen.color[k], seen.depth_m[k], seen.mask[k], known)
        task().progress(progress[0] + first + len(hands.left), progress[1], "hands")


@component(version="1", requires=("numpy", "scipy"))
def recorded_hands(*, path: Folder) -> Path:
    """Take the user's own hands, in the folders and files of RHD or of STB.

    Args:
        path: The folder of the data set; every file of annotations in it is checked.

    Returns:
        The folder.
    """
    annotations = [path / split / f"anno_{split}.pickle" for split in SPLITS]
    labels = [path / "labels" / f"{name}_{kind}.mat" for name in SEQUENCES for kind in DEVICES]
    found = [file for file in (*annotations, *labels) if file.is_file()]
    if not found:
        raise DataError(
            "no hands in it", where=str(path),
            accepted="training/anno_training.pickle as in RHD, or labels/B1Counting_SK.mat as in "
            "STB",
        )  # fmt: skip
    for file in found:
        if file.suffix == ".mat":
            read_hand_para(file)
        else:
            read_annotations(file)
    return path


# -- to samples ----------------------------------------------------------------------------------


@component(version="1", requires=("numpy", "opencv-python-headless"))
def hands_from_rhd(
    folder: Path,
    *,
    size: Size = 64,
    root: Root = "wrist",
    mask: MaskKind = "silhouette",
    depth_grain: Annotated[int, Field(ge=1, le=64)] = 4,
    depth_range_m: PositiveFloat = DEPTH_RANGE_M,
    margin: Margin = 1.3,
    least_visible: Annotated[int, Field(ge=1, le=21)] = 8,
    mirror: bool = True,
    limit: PositiveInt | None = None,
) -> Path:
    """Turn the dominant hand of each picture of RHD into a sample: colour, depth, mask, key points.

    Key points are relative to the first and in lengths of the first bone of the middle finger. The
    split ``training`` becomes ``train``, ``evaluation`` becomes ``test``.

    Args:
        folder: Folder of the data set.
        size: Width and height of the samples (pixels).
        root: What the first key point is: the wrist as in the data, or the middle of the palm.
        mask: What the mask tells: hand or not (1 or 0), or which of the 16 parts (its number, from
            1, times 15, of 255).
        depth_grain: Pixels across one measurement of depth: a depth camera sees less detail.
        depth_range_m: Distance that the largest number of a depth map stands for (m).
        margin: How many times as wide as the key points in the picture the square around them is.
        least_visible: Hands of which fewer key points are visible are left out.
        mirror: Show left hands as right ones, key points too.
        limit: How many samples of each split are looked at, from the first; all if not given.

    Returns:
        A folder with a manifest, as in `hand_folders`.
    """
    made, done = HandFolder(task().scratch() / "samples"), 0
    people = read_people(folder)
    splits = [split for split in SPLITS if (folder / split).is_dir()] or [SPLITS[0]]
    counts = (len(list((folder / split / "color").glob("*.png"))) for split in splits)
    total = sum(count if limit is None else min(count, limit) for count in counts)
    for split in splits:
        for sample in read_rhd(folder, split, limit=limit, depth_range_m=depth_range_m):
            done += 1
            task().progress(done, total, "pictures")
            left = dominant_is_left(sample.mask)
            own = slice(0, POINTS) if left else slice(POINTS, 2 * POINTS)
            visible = sample.known.visible[own]
            if visible.sum() < least_visible:
                continue
            uv = sample.known.uv[own]
            box = box_around(uv[visible | _inside(uv, sample.color)], margin)
            pictures = {
                "color": crop(sample.color, box, size, smooth=True),
                "depth": _coarse(crop(sample.depth_m, box, size, smooth=False), depth_grain),
                "mask": _mask(crop(sample.mask, box, size, smooth=False), left, mask),
            }
            points = sample.known.xyz[own]
            points = palm_from_wrist(points) if root == "palm" else points
            name = f"{CONVERTED[split]}_{sample.number:05d}"
            entry = Entry(name, CONVERTED[split], people.get((split, sample.number), name), {})
            _add(made, entry, pictures, points, visible, left and mirror)
    return made.close("Hands in the layout of RHD, as samples.\n" + _note(folder))


@component(version="1", requires=("numpy", "opencv-python-headless", "scipy"))
def hands_from_stb(
    folder: Path,
    *,
    device: Device = "SK",
    size: Size = 64,
    root: Root = "wrist",
    stride: PositiveInt = 1,
    first_frame: Annotated[int, Field(ge=0)] = 0,
    labels_before: Literal["depth", "color"] = "depth",
    left: bool = True,
    margin: Margin = 1.3,
    mirror: bool = True,
) -> Path:
    """Turn frames of STB into samples: colour and depth, or the left and right picture.

    Key points are as of `hands_from_rhd`, in the order of RHD, before the first of the cameras. The
    sequences of B1 become ``test``, the others ``train``. A key point counts as visible where it
    is within the first picture: the data do not say more.

    Args:
        folder: Folder of the data set.
        device: SK, with colour and depth, or BB, with left and right.
        size: Width and height of the samples (pixels).
        root: What the first key point is: the wrist, as far from the first joint of the middle
            finger as twice the middle of the palm, or the middle of the palm as in the data.
        stride: Take every so many-th frame.
        first_frame: Number in the file names of the first frame of the labels.
        labels_before: Which camera the labels of SK stand before.
        left: Whether the hands are left ones.
        margin: How many times as wide as the key points the square around them is.
        mirror: Show left hands as right ones, key points too.

    Returns:
        A folder with a manifest, as in `hand_folders`.
    """
    made = HandFolder(task().scratch() / "samples")
    frames = read_stb(
        folder, device, stride=stride, first_frame=first_frame, labels_before=labels_before
    )
    total = len(list((folder / "images").glob(f"*/{device}_*.png"))) // 2 // stride
    for done, frame in enumerate(frames, 1):
        task().progress(done, total, "frames")
        pictures = {}
        for kind, shown in frame.shown.items():
            box = box_around(project(shown.points, shown.camera), margin)
            pictures[kind] = crop(shown.image, box, size, smooth=kind != "depth")
        first = next(iter(frame.shown.values()))
        uv = project(first.points, first.camera)
        inside = _inside(uv, first.image)
        points = wrist_from_palm(first.points) if root == "wrist" else first.points
        split = "test" if frame.sequence.startswith(TEST) else "train"
        entry = Entry(f"{frame.sequence}_{frame.frame:04d}", split, frame.sequence, {})
        _add(made, entry, pictures, points, inside, left and mirror)
    return made.close("Hands in the layout of STB, as samples.\n")


def _add(
    made: HandFolder, entry: Entry, pictures: dict[str, np.ndarray],
    points: Float[np.ndarray, "21 3"], visible: Bool[np.ndarray, "21"], mirror: bool,
) -> None:  # fmt: skip
    if mirror:
        pictures = {name: image[:, ::-1] for name, image in pictures.items()}
        points = points * [-1.0, 1.0, 1.0]
    made.add(entry, pictures, points, visible, f"sample {entry.id!r}")


def _inside(
    uv: Float[np.ndarray, "point 2"], image: Shaped[np.ndarray, "height width *channel"]
) -> Bool[np.ndarray, " point"]:
    """Which places are within a picture."""
    last = np.array(image.shape[1::-1]) - 1
    return np.logical_and.reduce((uv >= 0) & (uv <= last), axis=-1)


def _coarse(depth: Float[np.ndarray, "size size"], grain: int) -> Float[np.ndarray, "size size"]:
    """Depth measured once in each square of so many pixels across, in its middle."""
    size = len(depth)
    middle = np.minimum(np.arange(size) // grain * grain + grain // 2, size - 1)
    return depth[middle[:, None], middle]


def _mask(
    parts: UInt8[np.ndarray, "size size"], left: bool, kind: MaskKind
) -> UInt8[np.ndarray, "size size"]:
    """The mask of one hand, as levels of a picture."""
    first = LEFT if left else RIGHT
    own = (parts >= first) & (parts < first + RIGHT - LEFT)
    levels = (parts - first + 1) * PART_STEP if kind == "parts" else np.full_like(parts, 255)
    return np.where(own, levels, 0).astype(np.uint8)


def _note(folder: Path) -> str:
    """What the data say of themselves."""
    path = folder / "README.txt"
    return path.read_text(encoding="utf-8") if path.is_file() else ""
