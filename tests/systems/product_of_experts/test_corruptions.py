"""Corruptions: what each does to the numbers, its seed, its range, what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import DataError, ParameterError
from assay.systems.product_of_experts.corruptions import (
    KINDS,
    corrupt,
    corrupt_batch,
    draw_severities,
    stream,
)

RANDOM = np.random.default_rng(0)
SAMPLES = {
    "image": RANDOM.uniform(0.2, 0.8, (24, 32, 3)),
    "depth": RANDOM.uniform(0.5, 2.0, (24, 32)),
    "flow": RANDOM.normal(size=(24, 32, 2)),
    "vector": RANDOM.normal(size=40),
    "video": RANDOM.uniform(0.2, 0.8, (6, 12, 16, 3)),
}
EVERY = [(kind, layout) for kind, how in KINDS.items() for layout in how.layouts]


def done(kind, layout, severity=0.7, seed=0, **changed):
    values = changed.pop("values", SAMPLES[layout])
    others = np.stack([values[::-1], values * 0.5]) if KINDS[kind].needs_others else None
    return corrupt(values, kind, severity, stream(seed, 0, 0, 0), layout=layout, others=others)


# -- all of them -----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "layout"), EVERY)
def test_a_severity_of_nothing_changes_nothing(kind, layout):
    assert np.array_equal(done(kind, layout, 0.0), SAMPLES[layout])


@pytest.mark.parametrize(("kind", "layout"), EVERY)
def test_it_repeats_leaves_the_sample_alone_and_keeps_shape_type_and_range(kind, layout):
    values = SAMPLES[layout].astype(np.float32)
    before = values.copy()

    one, same = (done(kind, layout, values=values) for _ in range(2))

    assert np.array_equal(one, same)
    assert np.array_equal(values, before)
    assert (one.shape, one.dtype) == (values.shape, values.dtype)
    assert np.isfinite(one).all()
    if layout in ("image", "video"):
        assert 0.0 <= one.min() <= one.max() <= 1.0
    elif layout == "depth":
        assert one.min() >= 0.0


@pytest.mark.parametrize(("kind", "layout"), EVERY)
def test_the_strongest_changes_the_sample_and_differs_by_seed(kind, layout):
    found = [done(kind, layout, 1.0, seed) for seed in range(12)]

    assert any(not np.array_equal(f, SAMPLES[layout]) for f in found)
    if kind not in ("dropout", "blur"):
        assert len({f.tobytes() for f in found}) > 1


@given(st.integers(0, 50), st.integers(0, 3), st.integers(0, 3))
def test_a_sample_is_corrupted_alike_whatever_stands_beside_it(index, epoch, modality):
    values = np.stack([SAMPLES["vector"] + k for k in range(5)])
    batch = corrupt_batch(values, "gaussian", np.full(5, 0.5), layout="vector", seed=3,
                          epoch=epoch, modality=modality, indices=np.arange(5) + index)  # fmt: skip
    alone = corrupt(values[2], "gaussian", 0.5, stream(3, epoch, index + 2, modality),
                    layout="vector")  # fmt: skip

    assert np.array_equal(batch[2], alone)


def test_epoch_and_modality_and_index_draw_anew():
    draws = {stream(*of).random() for of in
             [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]}  # fmt: skip

    assert len(draws) == 5


# -- one by one ------------------------------------------------------------------------------


def test_gaussian_noise_has_the_deviation_asked_for():
    values = np.zeros(200_000)

    found = corrupt(values, "gaussian", 0.25, stream(0, 0, 0, 0), layout="vector")

    assert found.std() == pytest.approx(0.25, rel=0.02)
    assert found.mean() == pytest.approx(0.0, abs=0.003)


def test_speckle_grows_with_the_value():
    values = np.repeat([1.0, 4.0], 100_000)

    found = corrupt(values, "speckle", 0.1, stream(0, 0, 0, 0), layout="vector") - values

    assert found[:100_000].std() == pytest.approx(0.1, rel=0.02)
    assert found[100_000:].std() == pytest.approx(0.4, rel=0.02)


def test_salt_and_pepper_hit_whole_pixels_half_of_them_white():
    image = np.full((200, 200, 3), 0.5)

    found = corrupt(image, "salt_and_pepper", 0.4, stream(0, 0, 0, 0), layout="image")
    hit = (found != 0.5).any(-1)

    assert hit.mean() == pytest.approx(0.4 * KINDS["salt_and_pepper"].most, abs=0.01)
    assert (found[hit] == found[hit][:, :1]).all()
    assert (found[hit][:, 0] == 1.0).mean() == pytest.approx(0.5, abs=0.02)


def test_photons_vary_as_much_as_their_number():
    """The variance of a share of n photons is that share over n."""
    image = np.full((300, 300, 3), 0.25)

    found = corrupt(image, "poisson", 0.5, stream(0, 0, 0, 0), layout="image")

    assert found.mean() == pytest.approx(0.25, rel=0.01)
    assert found.var() == pytest.approx(0.25 / 20.0, rel=0.03)  # 10 photons / 0.5
    assert np.allclose((found * 20.0).round(), found * 20.0)


@pytest.mark.parametrize("kind", ["blur", "motion_blur"])
def test_blurring_keeps_a_flat_image_and_the_sum_of_a_point(kind):
    flat, point = np.full((41, 41, 3), 0.3), np.zeros((41, 41, 3))
    point[20, 20] = 1.0

    assert np.allclose(done(kind, "image", 0.5, values=flat), 0.3)
    spread = done(kind, "image", 0.5, values=point)
    assert spread.sum() == pytest.approx(3.0, rel=1e-6)
    assert spread.max() < 0.5


def test_blur_spreads_by_its_deviation_and_motion_along_a_line():
    point = np.zeros((81, 81, 3))
    point[40, 40] = 1.0
    rows, columns = np.indices((81, 81)) - 40

    def spread(kind):
        found = done(kind, "image", 1.0, values=point)[..., 0]
        moments = np.array([[(found * a * b).sum() for a in (rows, columns)]
                            for b in (rows, columns)])  # fmt: skip
        return np.sqrt(np.linalg.eigvalsh(moments))

    assert spread("blur").tolist() == pytest.approx([4.0, 4.0], rel=0.02)
    across, along = spread("motion_blur")
    # a line of 15 pixels has a deviation of 15 / sqrt(12); steps and pixels add a little
    assert along == pytest.approx(15 / np.sqrt(12), rel=0.1)
    assert across < 0.8


@pytest.mark.parametrize("severity", [0.2, 1.0])
def test_an_occlusion_is_one_rectangle_of_the_size_asked_for(severity):
    image = np.full((60, 80, 3), 0.5)

    for seed in range(20):
        found = done("occlusion", "image", severity, seed, values=image)
        covered = (found != 0.5).any(-1)
        rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
        assert covered.sum() == len(rows) * len(columns)
        assert covered.mean() == pytest.approx(severity * 0.5, rel=0.08)
        assert len(np.unique(found[covered], axis=0)) == 1


@pytest.mark.parametrize("shape", [(200, 20, 3), (20, 200, 3), (400, 40, 3)])
def test_an_occlusion_of_a_long_image_is_of_the_size_asked_for_too(shape):
    image = np.full(shape, 0.5)

    for seed in range(20):
        covered = (done("occlusion", "image", 1.0, seed, values=image) != 0.5).any(-1)
        assert covered.mean() == pytest.approx(0.5, rel=0.08)


def test_an_occlusion_of_a_tiny_image_stays_within_it():
    for severity in (0.01, 1.0):
        assert done("occlusion", "image", severity, values=np.full((1, 2, 3), 0.5)).shape == (
            1,
            2,
            3,
        )


def test_depth_that_is_covered_is_no_depth():
    found = done("occlusion", "depth", 1.0)

    assert (found == 0.0).mean() == pytest.approx(0.5, rel=0.08)
    assert np.array_equal(found[found > 0], SAMPLES["depth"][found > 0])


@pytest.mark.parametrize("severity", [0.1, 0.5, 1.0])
def test_holes_in_depth_are_so_many_pixels_and_stick_together(severity):
    depth = np.ones((80, 80))

    holes = done("depth_holes", "depth", severity, values=depth) == 0.0

    assert holes.sum() == round(severity * 0.5 * depth.size)
    beside = (holes[1:] & holes[:-1]).sum() / holes[1:].sum()
    assert beside > 0.7  # of holes at random only the share of all pixels would touch


@pytest.mark.parametrize("kind", ["gaussian", "speckle"])
def test_noise_makes_no_depth_where_there_was_none(kind):
    depth = SAMPLES["depth"].copy()
    depth[:5] = 0.0

    assert not done(kind, "depth", values=depth)[:5].any()


@pytest.mark.parametrize("kind", ["dropout", "swapped"])
def test_all_or_nothing_happens_as_often_as_asked_for(kind):
    values = np.stack([np.full(3, float(k)) for k in range(1, 2001)])

    found = corrupt_batch(values, kind, np.full(2000, 0.3), layout="vector", seed=0)
    changed = (found != values).all(1)

    assert changed.mean() == pytest.approx(0.3, abs=0.03)
    assert np.array_equal(found[~changed], values[~changed])
    if kind == "dropout":
        assert not found[changed].any()
    else:
        assert set(found[changed][:, 0]) <= set(values[:, 0])


def test_a_certain_swap_never_gives_a_sample_itself():
    values = np.arange(22.0)[:, None]

    found = corrupt_batch(values[:20], "swapped", np.ones(20), layout="vector", seed=0)
    pairs = [
        corrupt_batch(values[k : k + 2], "swapped", np.ones(2), layout="vector", seed=k)
        for k in range(20)
    ]

    assert (found != values[:20]).all()
    assert all(np.array_equal(pair, values[k : k + 2][::-1]) for k, pair in enumerate(pairs))


def test_a_shift_in_time_repeats_the_end_and_reaches_both_ways():
    video = np.arange(20)[:, None, None, None] / 20.0 * np.ones((20, 2, 2, 3))
    shifts = set()
    for seed in range(200):
        found = done("time_shift", "video", 0.5, seed, values=video)[:, 0, 0, 0] * 20
        shift = round(10 - found[10])
        assert found.round().tolist() == np.clip(np.arange(20) - shift, 0, 19).tolist()
        shifts.add(shift)

    assert shifts == set(range(-4, 5))


def test_smoke_veils_and_never_beyond_its_opacity():
    black = np.zeros((64, 64, 3))

    found = done("smoke", "image", 0.6, values=black)

    assert found.max() == pytest.approx(0.6 * 0.85)
    assert found.min() == pytest.approx(0.0, abs=1e-9)
    assert np.abs(np.diff(found, axis=0)).max() < 0.1  # smooth


@pytest.mark.parametrize("severity", [0.1, 0.5, 1.0])
def test_blood_covers_so_many_pixels_in_pools_and_lets_a_third_through_at_the_edge(severity):
    image = np.full((60, 80, 3), 0.9)

    found = done("blood", "image", severity, values=image)
    covered = (found != 0.9).any(-1)

    assert covered.sum() == round(severity * 0.5 * 60 * 80)
    assert (covered[1:] & covered[:-1]).sum() / covered[1:].sum() > 0.7
    blood = np.array([0.42, 0.02, 0.04])
    clear = (found[covered] - blood) / (0.9 - blood)  # what is left of the picture
    assert np.allclose(clear, clear[:, :1])
    assert clear.min() == pytest.approx(0.0, abs=1e-12)
    assert clear.max() == pytest.approx(1 / 3)


def test_blood_is_of_a_picture_in_colours():
    with pytest.raises(DataError, match="blood: 1 channels; expected 3"):
        done("blood", "image", values=np.full((8, 8, 1), 0.5))


def test_over_exposure_gains_the_stops_at_one_spot_and_half_of_them_far_away():
    image = np.full((400, 400, 3), 0.01)
    brightest = set()

    for seed in range(6):
        stops = np.log2(done("over_exposure", "image", 0.5, seed, values=image) / image)
        assert stops.max() == pytest.approx(1.5, abs=1e-3)  # half of 3; the spot is no pixel
        assert stops.min() >= 0.75
        row, column = np.unravel_index(stops[..., 0].argmax(), (400, 400))
        corner = max(np.hypot(row - r, column - c) for r in (0, 399) for c in (0, 399)) / 400
        assert stops.min() == pytest.approx(0.75 + 0.75 * np.exp(-8 * corner**2), abs=0.01)
        brightest.add((int(row), int(column)))

    assert len(brightest) == 6


def test_over_exposure_bleaches_what_is_light_and_leaves_black_alone():
    image = np.stack([np.zeros((20, 20)), np.full((20, 20), 0.4), np.ones((20, 20))], -1)

    found = done("over_exposure", "image", 1.0, values=image)  # 1.5 stops or more everywhere

    assert not found[..., 0].any()
    assert (found[..., 1:] == 1.0).all()


def test_what_lies_over_a_video_is_the_same_in_every_frame():
    video = np.full((4, 20, 20, 3), 0.5)

    for kind in ("occlusion", "blood", "over_exposure"):
        found = done(kind, "video", values=video)
        assert (found == found[0]).all()
        assert not np.array_equal(found, video)
    for kind in ("gaussian", "speckle", "poisson"):
        noisy = done(kind, "video", values=video)
        assert not np.array_equal(noisy[0], noisy[1])


def test_flow_is_scaled_as_a_whole():
    ratio = done("flow_scaling", "flow") / SAMPLES["flow"]

    assert np.allclose(ratio, ratio.flat[0])
    assert ratio.flat[0] > 0


# -- severities, and what is refused -----------------------------------------------------------


def test_severities_are_uniform_for_those_that_are_hit():
    found = draw_severities(20_000, 0.4, 0.5, seed=0)

    assert (found > 0).mean() == pytest.approx(0.4, abs=0.02)
    assert found.max() <= 0.5
    assert found[found > 0].mean() == pytest.approx(0.25, abs=0.01)
    assert not np.array_equal(found, draw_severities(20_000, 0.4, 0.5, seed=0, epoch=1))


def test_severities_and_corruptions_draw_apart():
    """A seed that ends in zeros is the seed without them."""
    for epoch, modality in [(0, 0), (1, 2), (2, 1)]:
        drawn = draw_severities(4, 1.0, 1.0, seed=5, epoch=epoch, modality=modality)
        for index in range(3):
            other = stream(5, epoch, index, modality).uniform(0.0, 1.0, 4)
            assert not np.array_equal(drawn, other)
        assert not np.array_equal(drawn, stream(5, epoch, modality, 0).uniform(0.0, 1.0, 4))


@pytest.mark.parametrize(
    ("kind", "layout", "severity", "message"),
    [
        ("gausian", "image", 0.5, "no corruption 'gausian'. Did you mean 'gaussian'"),
        ("smoke", "depth", 0.5, "smoke of a depth; expected image, video"),
        ("gaussian", "image", 1.5, "a severity of 1.5; expected 0 to 1"),
        ("gaussian", "image", np.nan, "a severity of nan"),
    ],
)
def test_what_cannot_be_done_is_named(kind, layout, severity, message):
    with pytest.raises(ParameterError, match=message):
        corrupt(SAMPLES[layout], kind, severity, stream(0, 0, 0, 0), layout=layout)


@pytest.mark.parametrize(
    ("layout", "values", "message"),
    [
        ("image", np.full((4, 4, 3), 128.0), "image: values from 128 to 128; expected 0 to 1"),
        ("image", np.full((4, 4, 3), np.nan), "image: values from nan"),
        ("image", np.zeros((4, 4)), "image: an array of 2 axes; expected 3"),
        ("flow", np.zeros((4, 4, 3)), "flow: 3 numbers a pixel; expected 2"),
        ("depth", np.full((4, 4), -1.0), "depth: a depth below 0 or nan"),
    ],
)
def test_a_sample_that_is_not_of_its_layout_is_refused(layout, values, message):
    with pytest.raises(DataError, match=message):
        corrupt(values, "gaussian", 0.5, stream(0, 0, 0, 0), layout=layout)


def test_a_swap_needs_others_of_the_same_shape():
    with pytest.raises(DataError, match="no other samples"):
        corrupt(np.zeros(3), "swapped", 0.5, stream(0, 0, 0, 0), layout="vector")
    with pytest.raises(DataError, match="one sample; expected two or more"):
        corrupt_batch(np.zeros((1, 3)), "swapped", np.ones(1), layout="vector", seed=0)
