"""Videos: what is written is read again, and what is damaged is refused by name."""

import os

import av
import numpy as np
import pytest

from assay.errors import DataError
from assay.systems.surgical_skill.video import filming, read_frames, video_size, write_video


def plain(count=20, height=36, width=64):
    """Frames that tell their number by their brightness."""
    return [np.full((height, width, 3), 10 * n + 20, np.uint8) for n in range(count)]


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, plain(), 30)
    return path


def numbers(frames):
    return np.round((frames.mean(axis=(1, 2, 3)) - 20) / 10).astype(int).tolist()


def test_frames_come_back_in_order(video):
    frames = read_frames(video)
    assert frames.shape == (20, 36, 64, 3)
    assert frames.dtype == np.uint8
    assert numbers(frames) == list(range(20))
    assert video_size(video) == (64, 36)


def test_colours_keep_their_order(tmp_path):
    frame = np.zeros((36, 64, 3), np.uint8)
    frame[..., 0] = 200
    write_video(tmp_path / "red.mp4", [frame] * 3, 30)
    red, green, blue = read_frames(tmp_path / "red.mp4").mean(axis=(0, 1, 2))
    assert red > 180
    assert max(green, blue) < 30


@pytest.mark.parametrize(
    ("at", "expected"), [(1, list(range(20))), (7, [0, 7, 14]), ([3], [3]), ([5, 2, 5], [5, 2, 5])]
)
def test_some_of_the_frames(video, tmp_path, at, expected):
    assert numbers(read_frames(video, at)) == expected
    assert numbers(read_frames(video, at, cache=tmp_path / "cache")) == expected


def test_scaled(video):
    assert read_frames(video, 10, size=(32, 18)).shape == (2, 18, 32, 3)


def test_kept_frames_are_read_from_the_disk_until_the_video_changes(video, tmp_path):
    cache = tmp_path / "cache"
    first = read_frames(video, 4, size=(32, 18), cache=cache)
    assert isinstance(first, np.memmap)
    assert np.array_equal(first, read_frames(video, 4, size=(32, 18)))
    [kept] = cache.iterdir()
    stamp = kept.stat().st_mtime_ns
    read_frames(video, 4, size=(32, 18), cache=cache)
    assert [each.stat().st_mtime_ns for each in cache.iterdir()] == [stamp]
    write_video(video, plain()[::-1], 30)
    assert numbers(read_frames(video, 4, size=(32, 18), cache=cache)) == [19, 15, 11, 7, 3]


def test_a_cache_keeps_different_questions_apart(video, tmp_path):
    cache = tmp_path / "cache"
    for at in (4, 5, [1, 2]):
        read_frames(video, at, cache=cache)
    assert len(list(cache.iterdir())) == 3


def test_equal_frames_give_equal_bytes(video, tmp_path):
    write_video(tmp_path / "b.mp4", plain(), 30)
    assert (tmp_path / "b.mp4").read_bytes() == video.read_bytes()


def test_a_frame_beyond_the_end(video):
    with pytest.raises(DataError, match=r"a\.mp4: there is no frame 20"):
        read_frames(video, [3, 20])


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "missing", "holes"])
def test_what_is_damaged_is_refused(video, tmp_path, damage):
    data = bytearray(video.read_bytes())
    if damage == "holes":
        begin = data.index(b"mdat") + 4
        data[begin : begin + 900] = bytes(900)
    changed = {"cut": bytes(data[: len(data) // 2]), "empty": b"", "text": b"not a video",
               "holes": bytes(data)}  # fmt: skip
    video.unlink() if damage == "missing" else video.write_bytes(changed[damage])
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(DataError, match=r"a\.mp4"):
            read_frames(video, cache=cache)
    assert not list((tmp_path / "cache").glob("*")) if (tmp_path / "cache").exists() else True


def test_a_video_that_ends_too_soon_is_refused(tmp_path):
    """With its table of contents in front, a video that was cut off opens well."""
    path = tmp_path / "a.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (20, 36, 64, 3), np.uint8)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        for image in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    assert len(read_frames(path)) == 20
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        end = sorted(packets, key=lambda p: p.pos)[12].pos
    path.write_bytes(path.read_bytes()[:end])
    assert video_size(path) == (64, 36)
    with pytest.raises(DataError, match=r"a\.mp4: .*of 20 frames"):
        read_frames(path)


def test_a_change_that_keeps_the_size_is_seen(video, tmp_path):
    read_frames(video, cache=tmp_path / "cache")
    there = video.stat()
    video.write_bytes(b"x" * there.st_size)
    os.utime(video, ns=(there.st_atime_ns, there.st_mtime_ns + 1000))
    with pytest.raises(DataError, match=r"a\.mp4"):
        read_frames(video, cache=tmp_path / "cache")


def test_nothing_is_left_of_a_video_that_failed(tmp_path):
    def film():
        with filming(tmp_path / "a.mp4", (64, 36), 30) as show:
            show(plain()[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        film()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sizes", [[], [(35, 64)], [(36, 64), (18, 32)]])
def test_frames_that_make_no_video_are_refused(tmp_path, sizes):
    frames = [np.zeros((*size, 3), np.uint8) for size in sizes]
    with pytest.raises(DataError, match=r"a\.mp4"):
        write_video(tmp_path / "a.mp4", frames, 30)
    assert not list(tmp_path.iterdir())
