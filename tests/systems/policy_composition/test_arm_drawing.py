"""Pictures of the arm: what is where, in which colour; the animation; the figure of the study."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageColor

from assay.core.records import Records
from assay.systems.policy_composition.arm import Arm
from assay.systems.policy_composition.arm_drawing import (
    DISC,
    GOAL,
    HEAD,
    LINK,
    SIGNAL,
    View,
    frame,
    side_by_side,
    view_of,
    write_gif,
)
from assay.systems.policy_composition.arm_film import ArmFilm
from assay.systems.policy_composition.figures_arm import arm_figures, film, moments, stills

TWO = Arm((0.5, 0.5), ((0.75, 0.3, 0.1),), (0.0, 0.8), (0.0, 0.0))
VIEW = View(-1.0, -1.0, 2.0, 100)
"""A pixel is 0.02 wide."""
BEND = np.arctan2(0.3, 0.25)
FLAT, UP = np.zeros(2), np.array([0.0, BEND])  # the second link of the latter hits the disc


def colour(image, x, y):
    """Of the pixel that holds a point of the world."""
    row, column = HEAD + round((1.0 - y) * 50), round((x + 1.0) * 50)
    return tuple(int(v) for v in image[row, column])


def rgb(name):
    return ImageColor.getrgb(name)


def test_links_discs_and_target_are_where_the_world_has_them():
    drawn = frame(TWO, np.array([FLAT]), 0, "flat", VIEW)

    assert drawn.shape[1] == 100
    assert colour(drawn, 0.25, 0.0) == rgb(LINK)
    assert colour(drawn, 0.76, 0.0) == rgb(LINK)
    assert colour(drawn, 0.75, 0.32) == rgb(DISC)
    assert colour(drawn, 0.0, 0.8) == rgb(GOAL)
    assert colour(drawn, -0.5, -0.5) == (255, 255, 255)


def test_a_link_in_a_disc_is_drawn_in_the_signal_colour_and_the_others_are_not():
    drawn = frame(TWO, np.array([FLAT, UP]), 1, "up", VIEW)

    assert colour(drawn, 0.25, 0.0) == rgb(LINK)
    assert colour(drawn, 0.5 + 0.2 * np.cos(BEND), 0.2 * np.sin(BEND)) == rgb(SIGNAL)


def test_the_way_of_the_end_is_drawn_up_to_now():
    """From 0.4 to 0.8 rad it goes by (0.81, 0.55), where nothing else is."""
    path = np.array([[0.0, 0.0], [0.4, 0.0], [0.8, 0.0]])
    row, column = HEAD + round((1.0 - 0.553) * 50), round((0.809 + 1.0) * 50)
    around = [
        frame(TWO, path, time, "", VIEW)[row - 1 : row + 2, column - 1 : column + 2]
        for time in (0, 1, 2)
    ]

    assert [bool((each < 255).any()) for each in around] == [False, False, True]


def test_a_view_holds_poses_discs_and_target():
    view = view_of(TWO, np.array([[[np.pi, 0.0], [-np.pi / 2, 0.0]]]), 50)
    low, high = np.array([view.left, view.low]), np.array([view.left, view.low]) + view.side

    for point in ([-1.0, 0.0], [0.0, -1.0], [0.85, 0.3], [0.0, 0.8]):
        assert (low < point).all()
        assert (point < high).all()
    assert view.side == pytest.approx(1.85 + 0.2)


def test_panels_stand_side_by_side_and_a_shorter_one_waits_at_its_end():
    long, short = np.array([FLAT, UP, FLAT]), np.array([FLAT, UP])
    both = side_by_side(TWO, {"long": long, "short": short}, 2, VIEW)

    assert (both[:, :100] == frame(TWO, long, 2, "long", VIEW)).all()
    assert (both[:, 100:] == frame(TWO, short, 1, "short", VIEW)).all()


def test_an_animation_has_a_frame_for_each_pose_goes_on_for_ever_and_repeats(tmp_path):
    paths = {"one": np.array([FLAT, UP, FLAT]), "other": np.array([FLAT, FLAT])}
    for name in ("a.gif", "b.gif"):
        write_gif(tmp_path / name, TWO, paths, 90)
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.n_frames, image.size[0], image.info["loop"]) == (3, 180, 0)
        lasting = list[int]()
        for number in range(3):
            image.seek(number)
            lasting.append(image.info["duration"])
        last = np.asarray(image.convert("RGB")).astype(int)
    view = view_of(TWO, np.concatenate([*paths.values()])[None], 90)
    wanted = side_by_side(TWO, paths, 2, view).astype(int)

    assert lasting == [70, 70, 1800]
    assert np.abs(last - wanted).mean() < 3
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


@pytest.fixture
def shown(tmp_path):
    paths = np.array([[FLAT] * 7, [FLAT, UP, *[FLAT] * 5]])
    write_gif(tmp_path / "arm.gif", TWO, {"reach alone": paths[0]}, 80)
    return ArmFilm(tmp_path / "arm.gif", TWO, ["reach alone", "adapted"], paths, Records())


def test_stills_are_the_beginning_the_first_touch_the_middle_and_the_end(shown):
    (panel,) = stills(shown).axes
    (image,) = panel.images
    rows, view = np.asarray(image.get_array()), view_of(TWO, shown.paths, 300)
    paths = dict(zip(shown.methods, shown.paths, strict=True))

    wanted = [side_by_side(TWO, paths, time, view) for time in (0, 1, 3, 6)]
    assert (rows == np.concatenate(wanted)).all()
    assert moments(shown._replace(paths=np.zeros((2, 13, 2)))) == [0, 2, 6, 12]  # nothing touched


def test_the_figure_brings_the_animation_of_each_kind_of_proposals(shown, tmp_path):
    import pandas as pd

    trials = [
        {"trial": n, "choices": {"policy": "adapted", "proposals": kind}}
        for n, kind in enumerate(("uniform", "uniform", "sampler"))
    ]
    asked = list[int]()

    def load(name, trial):
        asked.append(trial)
        return getattr(shown, name.removeprefix("film."))

    run = SimpleNamespace(trials=trials, load=load, records=pd.DataFrame({"policy": ["adapted"]}))
    figures = list(arm_figures(run))
    drawn = [figure() for figure in figures[:2]]

    assert set(asked) == {0, 2}
    assert [d.name for d in drawn] == ["arm-uniform", "arm-sampler"]
    (write,) = drawn[1].files.values()
    write(tmp_path / "copy.gif")
    assert (tmp_path / "copy.gif").read_bytes() == shown.animation.read_bytes()
    assert list(film(run, 0, "").files) == ["arm.gif"]
