"""Figures of the study `arm`: the arm's ways as stills with an animation, rates, distances."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.charts import dots
from assay.core.figures import Figure, Picture
from assay.core.records import Records
from assay.core.run import Run
from assay.systems.policy_composition import arm as world
from assay.systems.policy_composition.arm_film import ArmFilm

__all__ = ["arm_figures", "film", "moments", "stills"]

PIXELS = 300


def arm_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Stills and the animation of each kind of proposals, then rates and distances."""
    firsts: dict[str, dict[str, Any]] = {}
    for trial in run.trials:
        firsts.setdefault(str(trial["choices"].get("proposals", "")), trial)
    for kind, trial in firsts.items():
        yield partial(film, run, trial["trial"], kind)
    kept = [k for k in ("policy", "proposals") if k in run.records]
    for measure, title, unit in (
        ("touch_rate", "Episodes in which a link touched a disc", "share of episodes"),
        ("success_rate", "Episodes that reached the target", "share of episodes"),
        ("distance", "Distance to the target at the end", "in lengths of the arm"),
        ("forbidden_share", "Moves that the level above forbids", "share of moves"),
    ):
        yield partial(
            dots, run.records, measure, by=kept, name=measure, title=title,
            caption="Mean over seeds with its 95 % interval. What acts by Jacobians learns "
            "nothing, so that proposals make no difference to it.",
            x_title=unit,
        )  # fmt: skip


def film(run: Run, trial: int, kind: str) -> Picture:
    """Moments of the animation of a trial's seed, the animation beside them.

    Args:
        run: The run.
        trial: Whose critics.
        kind: Of proposals, for the names.
    """
    animation, world_of, methods, poses = (
        run.load(f"film.{port}", trial=trial) for port in ("animation", "arm", "methods", "paths")
    )
    shown = ArmFilm(animation, world_of, methods, poses, Records())
    name = f"arm-{kind}" if kind else "arm"
    told = f" ({kind} proposals)" if kind else ""
    return Picture(
        name,
        f"The arm on its way{told}",
        f"Moments of one episode of the first seed, from one pose; {name}.gif shows all of it in "
        "motion. Grey: discs that no link may touch. Green: the target. The light line is the way "
        "of the end so far; red is a link in a disc.",
        f"Rows of stills of an arm of seven links among discs, for {', '.join(shown.methods)}.",
        stills(shown),
        {f"{name}.gif": partial(_copied, shown.animation)},
    )


def _copied(animation: Path, path: Path) -> None:
    shutil.copyfile(animation, path)


def stills(shown: ArmFilm) -> Any:
    """The beginning, the first touch, the middle and the end, a row each, in matplotlib."""
    from matplotlib.figure import Figure as Drawing

    from assay.systems.policy_composition.arm_drawing import side_by_side, view_of

    paths = dict(zip(shown.methods, shown.paths, strict=True))
    view = view_of(shown.arm, shown.paths, PIXELS)
    rows = np.concatenate([side_by_side(shown.arm, paths, t, view) for t in moments(shown)])
    height, width = rows.shape[:2]
    drawing = Drawing(figsize=(width / 120, height / 120))
    panel = drawing.add_axes((0.0, 0.0, 1.0, 1.0))
    panel.imshow(rows, interpolation="antialiased")
    panel.set_axis_off()
    return drawing


def moments(shown: ArmFilm) -> list[int]:
    """The first time, the first at which any arm touches, the middle, the last."""
    rows = np.ascontiguousarray(shown.paths, float).reshape(-1, shown.arm.count)
    touched = world.touches(shown.arm, rows).reshape(shown.paths.shape[:2]).any(axis=0)
    last = shown.paths.shape[1] - 1
    first = int(touched.argmax()) if touched.any() else last // 6
    return sorted({0, first, last // 2, last})
