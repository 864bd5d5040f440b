"""Videos in and out, through PyAV.

Decoded frames can be kept on disk as they are in memory, so that a second reading costs nothing.
Frames are ``[height, width, 3]``, red, green and blue, from 0 to 255.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from assay.errors import DataError

__all__ = ["filming", "read_frames", "stream_frames", "video_rate", "video_size", "write_video"]

Frame = UInt8[np.ndarray, "height width 3"]
Frames = UInt8[np.ndarray, "frame height width 3"]


@contextmanager
def filming(
    path: Path, size: tuple[int, int], fps: int, *, threads: int = 1, quality: int = 24
) -> Iterator[Callable[[Frame], None]]:
    """Write a video frame by frame (H.264); it is there when the block ends without an error.

    With one thread, equal frames give equal bytes.

    Args:
        path: An ``.mp4`` file.
        size: Width and height (pixels), even numbers.
        fps: Frames per second.
        threads: Of the encoder.
        quality: Of x264, from 0, lossless, to 51.

    Raises:
        DataError: If the size is odd, or a frame has another.
    """
    import av

    width, height = size
    if width % 2 or height % 2:
        raise DataError(f"a size of {width} x {height}", where=str(path), accepted="even numbers")
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        with av.open(str(part), "w") as container:
            stream: Any = container.add_stream("libx264", rate=fps)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.thread_count = threads
            # Presets that look ahead gave other bytes for equal frames, once in about fifty videos.
            stream.options = {"preset": "ultrafast", "crf": str(quality)}
            count = 0

            def show(frame: Frame) -> None:
                nonlocal count
                if frame.shape != (height, width, 3):
                    raise DataError(
                        f"a frame has the shape {frame.shape}",
                        where=str(path),
                        accepted=str((height, width, 3)),
                    )
                made = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                coded = made.reformat(format="yuv420p", threads=threads)
                coded.pts, coded.time_base = count, Fraction(1, fps)
                count += 1
                container.mux(stream.encode(coded))

            yield show
            container.mux(stream.encode())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_video(
    path: Path, frames: Iterable[Frame], fps: int, *, threads: int = 1, quality: int = 24
) -> None:
    """Write a video (H.264).

    Args:
        path: An ``.mp4`` file.
        frames: At least one.
        fps: Frames per second.
        threads: Of the encoder.
        quality: Of x264, from 0, lossless, to 51.

    Raises:
        DataError: If there is no frame, or the size of one is odd or differs.
    """
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise DataError("a video without frames", where=str(path))
    size = (first.shape[1], first.shape[0])
    with filming(path, size, fps, threads=threads, quality=quality) as show:
        show(first)
        for frame in rest:
            show(frame)


def video_size(path: Path) -> tuple[int, int]:
    """Width and height of a video (pixels).

    Raises:
        DataError: If it cannot be opened.
    """
    with _opened(path) as (_, stream):
        return stream.width, stream.height


def video_rate(path: Path) -> float:
    """Frames per second of a video.

    Raises:
        DataError: If it cannot be opened, or does not tell.
    """
    with _opened(path) as (_, stream):
        if not stream.average_rate:
            raise DataError("does not tell its frames per second", where=str(path))
        return float(stream.average_rate)


def stream_frames(
    path: Path, every: int = 1, *, size: tuple[int, int] | None = None, piece: int = 64,
    threads: int = 1,
) -> Iterator[Frames]:  # fmt: skip
    """Read a video of any length, a few frames at a time.

    Args:
        path: The video.
        every: Every so many frames, from the first.
        size: Width and height to scale to (pixels); as they are, if not given.
        piece: Most frames that are handed out together.
        threads: Of the decoder.

    Raises:
        DataError: If the video is damaged, when the damage is reached.
    """
    rest = _decoded(path, every, size, threads)
    while some := list(islice(rest, piece)):
        yield np.stack(some)


def read_frames(
    path: Path,
    at: int | Sequence[int] = 1,
    *,
    size: tuple[int, int] | None = None,
    threads: int = 1,
    cache: Path | None = None,
) -> Frames:
    """Read frames of a video.

    Args:
        path: The video.
        at: Every so many frames, from the first; or the numbers of the frames, from 0, in any
            order.
        size: Width and height to scale to (pixels); as they are, if not given.
        threads: Of the decoder.
        cache: A folder to keep the decoded frames in; they are then read from there, and again the
            next time unless the video has changed.

    Raises:
        DataError: If the video is damaged or has too few frames.
    """
    if isinstance(at, int) and at < 1:
        raise ValueError(f"every {at} frames; expected 1 or more")
    if cache is None:
        return np.stack(list(_decoded(path, at, size, threads)))
    cache.mkdir(parents=True, exist_ok=True)
    key = _key(path, at, size)
    kept = next(cache.glob(f"{key}-*.rgb"), None)
    return _mapped(kept or _keep(path, at, size, threads, cache, key))


def _decoded(
    path: Path, at: int | Sequence[int], size: tuple[int, int] | None, threads: int
) -> Iterator[Frame]:
    """The frames wanted, in the order wanted."""
    if isinstance(at, int):
        for number, frame in enumerate(_all(path, threads)):
            if number % at == 0:
                yield _pixels(frame, size, threads)
        return
    wanted = [int(number) for number in at]
    if not wanted or min(wanted) < 0:
        raise ValueError(f"frames {wanted}; expected numbers from 0")
    found: dict[int, Frame] = {}
    last = max(wanted)
    for number, frame in enumerate(_all(path, threads)):
        if number in wanted:
            found[number] = _pixels(frame, size, threads)
        if number == last:
            yield from (found[each] for each in wanted)
            return
    raise DataError(f"there is no frame {last}", where=str(path), accepted="numbers from 0")


def _all(path: Path, threads: int) -> Iterator[Any]:
    """Every frame, undecoded colours and all; a damaged one is refused."""
    count = 0
    with _opened(path) as (container, stream):
        stream.codec_context.thread_count = threads
        stream.thread_type = "AUTO" if threads > 1 else "NONE"
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise DataError(f"frame {count} is damaged", where=str(path))
            yield frame
            count += 1
        if count < max(1, stream.frames):
            raise DataError(f"ends after {count} of {stream.frames} frames", where=str(path))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError("there is no video in it", where=str(path))
            yield container, container.streams.video[0]
    except (FFmpegError, OSError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot be read as a video ({why})", where=str(path)) from error


def _pixels(frame: Any, size: tuple[int, int] | None, threads: int) -> Frame:
    import cv2

    image = frame.reformat(format="rgb24", threads=threads).to_ndarray()
    if size is None or size == (image.shape[1], image.shape[0]):
        return image
    smaller = size[0] < image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


# -- kept on disk --------------------------------------------------------------------------------


def _key(path: Path, at: int | Sequence[int], size: tuple[int, int] | None) -> str:
    """A name for what is read; another one when the file changes."""
    try:
        there = path.stat()
    except OSError as error:
        raise DataError(f"cannot be read as a video ({error.strerror})", where=str(path)) from error
    wanted = at if isinstance(at, int) else [int(number) for number in at]
    said = f"{path.absolute()} {there.st_size} {there.st_mtime_ns} {wanted} {size}"
    return hashlib.sha256(said.encode()).hexdigest()[:24]


def _keep(
    path: Path,
    at: int | Sequence[int],
    size: tuple[int, int] | None,
    threads: int,
    cache: Path,
    key: str,
) -> Path:
    """Decode to a file, one frame after another, whose name says the size of a frame."""
    handle, part = tempfile.mkstemp(dir=cache, prefix=".frames-")
    try:
        width = height = 0
        with os.fdopen(handle, "wb") as stream:
            for frame in _decoded(path, at, size, threads):
                height, width = frame.shape[:2]
                stream.write(np.ascontiguousarray(frame).data)
        kept = cache / f"{key}-{width}x{height}.rgb"
        Path(part).replace(kept)
    finally:
        Path(part).unlink(missing_ok=True)
    return kept


def _mapped(kept: Path) -> Frames:
    width, height = map(int, kept.stem.rpartition("-")[2].split("x"))
    return np.memmap(kept, np.uint8, "r").reshape(-1, height, width, 3)
