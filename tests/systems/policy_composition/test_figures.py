"""Figures: which panels and lines a picture of paths has."""

from types import SimpleNamespace

import numpy as np
import pytest

from assay.systems.policy_composition.evaluate import Shown
from assay.systems.policy_composition.figures import oracle_figures, priorities_figures
from assay.systems.policy_composition.study_priorities import ORDERS


def run_of(decision, labels):
    """A run with one trial per label, as far as a picture of paths asks."""
    trials = [{"trial": n, "choices": {decision: label}} for n, label in enumerate(labels)]
    shown = Shown(np.zeros((2, 3, 2), np.float32), np.ones((3, 3)))
    return SimpleNamespace(trials=trials, load=lambda name, trial: shown)


def panels(picture):
    """Axes with a title, which the bar of colours has not."""
    return [a for a in picture.figure.axes if a.get_visible() and a.get_title()]


def test_every_order_has_a_panel_with_the_zones_of_all_tasks():
    drawn = panels(next(iter(priorities_figures(run_of("order", ORDERS))))())

    assert [a.get_title() for a in drawn] == list(ORDERS)
    places = {float(y) for line in drawn[0].lines for y in line.get_ydata() if abs(y) == 7.0}
    assert places == {7.0, -7.0}


@pytest.mark.parametrize(
    ("labels", "titles"),
    [(["adapted", "obstacle alone"], ["adapted"]), (["obstacle alone"], ["obstacle alone"])],
)
def test_policies_that_are_not_told_of_are_drawn_where_there_are_no_others(labels, titles):
    drawn = panels(next(iter(oracle_figures(run_of("policy", labels))))())

    assert [a.get_title() for a in drawn] == titles
