"""Corruptions of images, depth maps, vectors and videos: seeded, per sample, on declared layouts.

| kind            | of           | magnitude (unit)                                   | most |
|-----------------|--------------|----------------------------------------------------|------|
| gaussian        | any          | standard deviation of the noise (that of the data) | 1    |
| salt_and_pepper | image        | share of the pixels made black or white            | 0.5  |
| speckle         | any          | standard deviation of a factor around 1            | 1    |
| poisson         | image        | inverse of the light: 1 is 10 photons at white     | 1    |
| blur            | image        | standard deviation (pixels)                        | 4    |
| motion_blur     | image        | length of the line (pixels)                        | 15   |
| occlusion       | image, depth | share of the area covered by a rectangle           | 0.5  |
| dropout         | any          | chance that the whole sample is zeros              | 1    |
| swapped         | any          | chance that it is another sample                   | 1    |
| time_shift      | video        | largest shift (frames)                             | 8    |
| depth_holes     | depth        | share of the pixels without depth                  | 0.5  |
| smoke           | image        | opacity where the smoke is densest                 | 1    |
| blood           | image        | share of the pixels covered by blood               | 0.5  |
| over_exposure   | image        | light gained where it is brightest (stops)         | 3    |
| flow_scaling    | flow         | standard deviation of the log of a factor          | 1    |

Layouts: an image is ``[height width channel]`` in [0, 1]; depth is ``[height width]`` in metres,
with 0 where there is none, which stays so; flow is ``[height width 2]`` in pixels; a vector has any
shape. A video is images along an axis of frames: noise is drawn anew in each, what lies over the
picture (blur, occlusion, smoke, blood, exposure, salt and pepper) is the same in all of them.

A severity from 0 to 1 is the share of the largest magnitude; at 0 nothing changes. A sample's
corruption is a function of (seed, epoch, index, modality) and the sample, and for ``swapped`` of
the samples beside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from assay.errors import DataError, ParameterError, did_you_mean

__all__ = ["KINDS", "Kind", "Layout", "corrupt", "corrupt_batch", "draw_severities", "stream"]

Layout = Literal["image", "depth", "flow", "vector", "video"]
HOLE = 0.0
PHOTONS = 10.0
SMOKE = 0.85
BLOOD = (0.42, 0.02, 0.04)
Values = Float[np.ndarray, "..."]


@dataclass(frozen=True)
class Kind:
    """A kind of corruption.

    Attributes:
        apply: From values, magnitude and random numbers to values of the same shape.
        most: The magnitude of severity 1.
        layouts: What it can be done to.
        needs_others: Whether it takes the other samples of a batch.
    """

    apply: Callable[..., Values]
    most: float
    layouts: tuple[Layout, ...]
    needs_others: bool = False


# -- any layout ----------------------------------------------------------------------------------


def _gaussian(values: Values, sd: float, random: np.random.Generator) -> Values:
    return values + sd * random.standard_normal(values.shape)


def _speckle(values: Values, sd: float, random: np.random.Generator) -> Values:
    return values * (1.0 + sd * random.standard_normal(values.shape))


def _dropout(values: Values, chance: float, random: np.random.Generator) -> Values:
    return np.zeros_like(values) if random.random() < chance else values


def _swapped(values: Values, chance: float, random: np.random.Generator, others: Values) -> Values:
    """Another sample in the place of this one; ``others`` does not hold this one."""
    happens, which = random.random() < chance, int(random.integers(len(others)))
    return others[which] if happens else values


def _flow_scaling(values: Values, sd: float, random: np.random.Generator) -> Values:
    return values * np.exp(sd * random.standard_normal())


# -- images and depth ----------------------------------------------------------------------------


def _salt_and_pepper(image: Values, share: float, random: np.random.Generator) -> Values:
    """Whole pixels, all channels alike, half of them black and half white by chance."""
    hit = random.random(image.shape[:2]) < share
    white = random.random(image.shape[:2]) < 0.5
    return np.where(hit[..., None], white[..., None].astype(image.dtype), image)


def _poisson(image: Values, darkness: float, random: np.random.Generator) -> Values:
    if darkness == 0:
        return image
    photons = PHOTONS / darkness
    return random.poisson(np.clip(image, 0.0, 1.0) * photons) / photons


def _blur(image: Values, sd: float, random: np.random.Generator) -> Values:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(image, (sd, sd, *[0] * (image.ndim - 2)), mode="nearest")


def _motion_blur(image: Values, length: float, random: np.random.Generator) -> Values:
    """The mean along a line through each pixel, at a random angle, by steps of a pixel or less."""
    from scipy.ndimage import map_coordinates

    angle = random.uniform(0.0, np.pi)
    steps = np.linspace(-0.5, 0.5, max(int(np.ceil(length)), 1) + 1) * length
    rows, columns = np.indices(image.shape[:2]).astype(float)
    blurred = [
        np.mean(
            [
                map_coordinates(
                    image[..., k],
                    [rows + s * np.sin(angle), columns + s * np.cos(angle)],
                    order=1,
                    mode="nearest",
                )
                for s in steps
            ],
            axis=0,
        )
        for k in range(image.shape[-1])
    ]
    return np.stack(blurred, -1)


def _occlusion(image: Values, share: float, random: np.random.Generator) -> Values:
    """A rectangle of one colour, or without depth, that lies wholly within the picture.

    Its sides are like the picture's up to a random stretch, and never so low that it would have to
    be wider than the picture.
    """
    height, width = image.shape[:2]
    area, stretch = share * height * width, np.exp(random.uniform(-0.5, 0.5))
    least = max(int(np.ceil(area / width)), 1)
    rows = int(np.clip(round(np.sqrt(area * height / width) * stretch), least, height))
    columns = int(np.clip(round(area / rows), 0, width))
    top = int(random.integers(height - rows + 1))
    left = int(random.integers(width - columns + 1))
    colour = random.random(image.shape[2]) if image.ndim == 3 else HOLE
    covered = image.copy()
    covered[top : top + rows, left : left + columns] = colour
    return covered


def _depth_holes(depth: Values, share: float, random: np.random.Generator) -> Values:
    """Blobs of pixels without depth, together so many as the share says, to a pixel."""
    order = np.argsort(_cloud(depth.shape, 2.0, random), axis=None)
    holes = order[: round(share * depth.size)]
    found = depth.copy()
    found.flat[holes] = HOLE
    return found


def _smoke(image: Values, opacity: float, random: np.random.Generator) -> Values:
    """A light grey veil of uneven density, from clear to the opacity asked for."""
    height, width = image.shape[:2]
    density = _cloud((height, width), max(height, width) / 8.0, random)
    density = (density - density.min()) / max(float(np.ptp(density)), 1e-12)
    veil = (opacity * density)[..., None]
    return (1.0 - veil) * image + veil * SMOKE


def _blood(image: Values, share: float, random: np.random.Generator) -> Values:
    """Pools of dark red over so many pixels, to a pixel, the more opaque the farther from the edge.

    It lets through a third of the picture at the edge, and nothing where it is deepest.
    """
    if image.shape[2] != 3:
        raise DataError(
            f"{image.shape[2]} channels", where="blood", accepted="3: red, green and blue"
        )
    pool = _cloud(image.shape[:2], max(image.shape[:2]) / 12.0, random)
    order = np.argsort(-pool, axis=None)[: round(share * pool.size)]
    found, depth = image.copy(), pool.flat[order]
    if len(order):
        depth = (depth - depth[-1]) / max(float(depth[0] - depth[-1]), 1e-12)
    clear = ((1.0 - depth) / 3.0)[:, None]
    under = found.reshape(-1, 3)
    under[order] = clear * under[order] + (1.0 - clear) * BLOOD
    return under.reshape(image.shape)


def _over_exposure(image: Values, stops: float, random: np.random.Generator) -> Values:
    """Light times 2 to the power of the stops at a random spot, and of half of them far from it."""
    height, width = image.shape[:2]
    rows, columns = np.indices((height, width))
    middle = random.random(2) * [height - 1, width - 1]
    far = np.hypot(rows - middle[0], columns - middle[1]) / max(height, width)
    gain = 2.0 ** (stops * (0.5 + 0.5 * np.exp(-8.0 * far**2)))
    return image * gain[..., None]


def _cloud(shape: tuple[int, ...], grain: float, random: np.random.Generator) -> np.ndarray:
    """Smooth noise whose grains are so many pixels wide."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(random.standard_normal(shape), grain, mode="wrap")


def _time_shift(video: Values, most: float, random: np.random.Generator) -> Values:
    """Every frame from so much earlier or later, by up to ``most``; the first or last repeats."""
    reach = round(most)
    shift = int(random.integers(-reach, reach + 1))
    return video[np.clip(np.arange(len(video)) - shift, 0, len(video) - 1)]


ANY: tuple[Layout, ...] = get_args(Layout)
KINDS: Mapping[str, Kind] = {
    "gaussian": Kind(_gaussian, 1.0, ANY),
    "salt_and_pepper": Kind(_salt_and_pepper, 0.5, ("image", "video")),
    "speckle": Kind(_speckle, 1.0, ANY),
    "poisson": Kind(_poisson, 1.0, ("image", "video")),
    "blur": Kind(_blur, 4.0, ("image", "video")),
    "motion_blur": Kind(_motion_blur, 15.0, ("image", "video")),
    "occlusion": Kind(_occlusion, 0.5, ("image", "depth", "video")),
    "dropout": Kind(_dropout, 1.0, ANY),
    "swapped": Kind(_swapped, 1.0, ANY, needs_others=True),
    "time_shift": Kind(_time_shift, 8.0, ("video",)),
    "depth_holes": Kind(_depth_holes, 0.5, ("depth",)),
    "smoke": Kind(_smoke, 1.0, ("image", "video")),
    "blood": Kind(_blood, 0.5, ("image", "video")),
    "over_exposure": Kind(_over_exposure, 3.0, ("image", "video")),
    "flow_scaling": Kind(_flow_scaling, 1.0, ("flow",)),
}
WHOLE = ("time_shift", "dropout", "swapped", "gaussian", "speckle", "poisson")
"""What is done to a video as a whole; all else frame by frame."""
AXES = {"image": 3, "depth": 2, "flow": 3, "video": 4}
# Last in a seed, so that the two streams never meet: zeros at the end of a seed change nothing.
SEVERITIES, SAMPLES = 1, 2


def stream(seed: int, epoch: int, index: int, modality: int) -> np.random.Generator:
    """The random numbers of one sample of one modality."""
    return np.random.default_rng([seed, epoch, index, modality, SAMPLES])


def corrupt(
    values: Values,
    kind: str,
    severity: float,
    random: np.random.Generator,
    *,
    layout: Layout,
    others: Values | None = None,
) -> Values:
    """Corrupt one sample.

    Args:
        values: The sample, in the layout named; it is not changed.
        kind: A name of `KINDS`.
        severity: From 0, which changes nothing, to 1.
        random: The random numbers, see `stream`.
        layout: What the sample is.
        others: For ``swapped``, other samples along the first axis.

    Returns:
        A sample of the same shape and type, images within [0, 1] and depth from 0.

    Raises:
        ParameterError: If the kind is not known or not of this layout, or the severity is not in
            [0, 1].
        DataError: If the sample is not of the layout, or the others are not like it.

    Example:
        >>> image = np.full((8, 8, 3), 0.5)
        >>> found = corrupt(image, "dropout", 1.0, stream(0, 0, 0, 0), layout="image")
        >>> found.shape, float(found.max())
        ((8, 8, 3), 0.0)
    """
    how = _kind(kind, layout, severity)
    _require_layout(values, layout)
    if how.needs_others:
        _require_others(values, others)
    if severity == 0:
        return values.copy()
    magnitude = severity * how.most
    if how.needs_others:
        found = how.apply(values, magnitude, random, others)
    elif layout == "video" and kind not in WHOLE:
        numbers = random.bit_generator.random_raw()
        found = np.stack(
            [how.apply(frame, magnitude, np.random.default_rng(numbers)) for frame in values]
        )
    else:
        found = how.apply(values, magnitude, random)
    if layout == "depth" and kind != "swapped":
        found = np.where(values == HOLE, HOLE, found)  # noise measures nothing where nothing was
    return np.array(_within(found, layout), dtype=values.dtype)


def _within(values: Values, layout: Layout) -> Values:
    if layout in ("image", "video"):
        return np.clip(values, 0.0, 1.0)
    return np.maximum(values, HOLE) if layout == "depth" else values


def corrupt_batch(
    values: Float[np.ndarray, "sample ..."],
    kind: str,
    severities: Float[np.ndarray, " sample"],
    *,
    layout: Layout,
    seed: int,
    epoch: int = 0,
    modality: int = 0,
    indices: Any = None,
) -> Float[np.ndarray, "sample ..."]:
    """Corrupt every sample of a batch by its own severity; a severity of 0 leaves it as it is.

    Args:
        values: Samples along the first axis.
        kind: A name of `KINDS`; swapped takes another sample of this batch.
        severities: From 0 to 1, one per sample.
        layout: What a sample is.
        seed: Seed of the random numbers.
        epoch: Passes over the data so far.
        modality: Number of the modality, so that two of them fail apart.
        indices: Each sample's number in its data set; its place in the batch if not given.
    """
    if kind == "swapped" and len(values) < 2:
        raise DataError("one sample", where="swapped", accepted="two or more in a batch")
    numbers = range(len(values)) if indices is None else indices
    rest = _rest_of(values) if kind == "swapped" else lambda _: None
    return np.stack(
        [
            corrupt(
                one, kind, float(severities[k]), stream(seed, epoch, int(number), modality),
                layout=layout, others=rest(k),
            )
            for k, (one, number) in enumerate(zip(values, numbers, strict=True))
        ]
    )  # fmt: skip


def _rest_of(values: Values) -> Callable[[int], Values]:
    return lambda k: np.delete(values, k, axis=0)


def draw_severities(
    samples: int, chance: float, largest: float, *, seed: int, epoch: int = 0, modality: int = 0
) -> Float[np.ndarray, " sample"]:
    """Severities of training: with a chance uniform from 0 to the largest, else 0.

    Args:
        samples: Number of samples.
        chance: Chance that a sample is corrupted, from 0 to 1.
        largest: Largest severity, from 0 to 1.
        seed: Seed of the random numbers.
        epoch: Passes over the data so far.
        modality: Number of the modality.
    """
    if not (0 <= chance <= 1 and 0 <= largest <= 1):
        raise ParameterError(
            f"chance {chance:g} and largest {largest:g}", where="severities",
            accepted="both from 0 to 1",
        )  # fmt: skip
    random = np.random.default_rng([seed, epoch, modality, 0, SEVERITIES])
    return random.uniform(0.0, largest, samples) * (random.random(samples) < chance)


# -- what is refused -----------------------------------------------------------------------------


def _kind(name: str, layout: Layout, severity: float) -> Kind:
    if name not in KINDS:
        raise ParameterError(
            f"no corruption {name!r}", where="corruption", next=did_you_mean(name, KINDS)
        )
    if layout not in KINDS[name].layouts:
        raise ParameterError(
            f"{name} of a {layout}", where="corruption", accepted=", ".join(KINDS[name].layouts)
        )
    if not 0 <= severity <= 1:
        raise ParameterError(f"a severity of {severity:g}", where=name, accepted="0 to 1")
    return KINDS[name]


def _require_layout(values: Values, layout: Layout) -> None:
    shape = values.shape
    if layout != "vector" and len(shape) != AXES[layout]:
        raise DataError(f"an array of {len(shape)} axes", where=layout, accepted=f"{AXES[layout]}")
    if layout == "flow" and shape[-1] != 2:
        raise DataError(f"{shape[-1]} numbers a pixel", where="flow", accepted="2")
    if layout in ("image", "video") and values.size:
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise DataError(f"values from {low:g} to {high:g}", where=layout, accepted="0 to 1")
    elif layout == "depth" and not (values >= 0).all():
        raise DataError("a depth below 0 or nan", where="depth", accepted="metres, 0 for none")


def _require_others(values: Values, others: Values | None) -> None:
    if others is None or not len(others) or others.shape[1:] != values.shape:
        raise DataError(
            "no other samples of this shape", where="swapped", accepted="one or more in others"
        )
