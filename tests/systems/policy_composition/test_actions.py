"""Action sets and epsilons that are chosen."""

from types import SimpleNamespace

import numpy as np
import pytest

from assay.errors import ParameterError, StepError
from assay.systems.policy_composition.actions import actions_of, box, discrete
from assay.systems.policy_composition.critics import from_table
from assay.systems.policy_composition.indifference import IndifferenceSpace
from assay.systems.policy_composition.thresholds import calibrate, share_epsilon


def test_a_box_has_candidates_on_its_corners():
    made = box([0, -2], [1, 2], 3).candidates

    assert made.min(axis=0).tolist() == [0, -2]
    assert made.max(axis=0).tolist() == [1, 2]
    assert len(np.unique(made, axis=0)) == 9


@pytest.mark.parametrize(
    ("low", "high"), [([0], [0]), ([0], [np.inf]), ([0, 0], [1]), ([], []), ([np.nan], [1])]
)
def test_what_is_no_box_is_refused(low, high):
    with pytest.raises(ParameterError, match="finite corners"):
        box(low, high)


def test_spaces_of_gymnasium_become_action_sets():
    spaces = pytest.importorskip("gymnasium").spaces

    assert actions_of(spaces.Discrete(4)).same_space(discrete(4))
    made = actions_of(spaces.Box(-1.0, 1.0, (2,)), 5)
    assert made.same_space(box([-1, -1], [1, 1]))
    for odd in (spaces.MultiBinary(3), spaces.Discrete(4, start=1), spaces.Box(-1, 1, (2, 2))):
        with pytest.raises(ParameterError, match="Discrete space from 0 or a Box"):
            actions_of(odd)


def test_what_is_no_space_is_refused():
    with pytest.raises(ParameterError, match="an action space"):
        actions_of(SimpleNamespace())


@pytest.mark.parametrize("share", [0.2, 0.21, 0.5, 1.0])
def test_a_share_of_the_actions_is_left_in_every_state(share):
    q = from_table(np.random.default_rng(0).normal(size=(30, 10)))
    actions = discrete(10)
    space = IndifferenceSpace(q, share_epsilon(q, actions, share), actions)

    assert space.volume(np.arange(30)).tolist() == pytest.approx([np.ceil(share * 10) / 10] * 30)


@pytest.mark.parametrize("threshold", [0.05, 0.9, 42.0])
def test_calibration_finds_the_largest_epsilon_within_ten_evaluations(threshold):
    """Eight bisections of four decades narrow epsilon down to a factor of 10^(4 / 256)."""
    found = calibrate(lambda e: 0.3 * (e > threshold), target=0.01)

    assert len(found.tried) == 10
    assert found.rate == 0.0
    assert threshold / 10 ** (4 / 256) <= found.epsilon <= threshold


def test_calibration_stops_at_once_where_the_largest_epsilon_will_do():
    assert len(calibrate(lambda e: 0.0).tried) == 2


def test_calibration_says_when_no_epsilon_will_do():
    with pytest.raises(StepError, match=r"a violation rate of 0\.5 at the smallest epsilon, 0\.01"):
        calibrate(lambda e: 0.5)


def test_a_share_or_range_out_of_range_is_refused():
    with pytest.raises(ParameterError):
        share_epsilon(from_table(np.zeros((1, 1))), discrete(1), 0.0)
    with pytest.raises(ParameterError):
        calibrate(lambda e: 0.0, low=0.0)
    with pytest.raises(ParameterError):
        calibrate(lambda e: 0.0, evaluations=1)


@pytest.mark.parametrize("row", [[0.0, -1.0, -np.inf, -np.inf], [-np.inf] * 4])
def test_a_share_that_takes_in_forbidden_actions_leaves_everything(row):
    q, actions = from_table(np.array([row])), discrete(4)

    for share, left in ((0.75, 1.0), (0.5, 0.5 if np.isfinite(row[1]) else 1.0)):
        space = IndifferenceSpace(q, share_epsilon(q, actions, share), actions)
        assert space.volume(np.array([0])).tolist() == [left]
