"""Actions drawn evenly, and the soft value they estimate."""

import numpy as np
import pytest

from assay.errors import ParameterError
from assay.systems.policy_composition.actions import box, discrete
from assay.systems.policy_composition.proposals import evenly, log_mean_exp

SQUARE = box([-1.0, 0.0], [1.0, 4.0])


def test_one_proposal_lies_in_each_cell_of_a_grid():
    drawn = evenly(SQUARE, 50, 9, np.random.default_rng(0))
    cells = np.floor((drawn - [-1.0, 0.0]) / [2 / 3, 4 / 3]).astype(int)

    assert drawn.shape == (50, 9, 2)
    assert all({tuple(c) for c in row} == {(i, j) for i in range(3) for j in range(3)}
               for row in cells)  # fmt: skip


def test_another_number_is_spread_along_each_axis_by_itself():
    drawn = evenly(box([0.0] * 7, [1.0] * 7, 2), 20, 10, np.random.default_rng(0))
    places = np.sort(np.floor(drawn * 10).astype(int), axis=1)

    assert (places == np.arange(10)[:, None]).all()
    assert len({tuple(row) for row in np.floor(drawn[:, :, 0] * 10)}) > 1


@pytest.mark.parametrize("count", [16, 15])
def test_their_mean_is_unbiased_against_quadrature_and_varies_less_than_independent_draws(count):
    """Of exp(Q) for a Q with a cliff, as at the edge of an obstacle."""

    def weight(a):
        return np.exp(2 * a[..., 0] - 0.3 * a[..., 1] ** 2 - 9 * (a[..., 0] + a[..., 1] > 2.1))

    middles = [np.linspace(low, high, 2001)[:-1] + (high - low) / 4000
               for low, high in ((-1, 1), (0, 4))]  # fmt: skip
    exact = weight(np.stack(np.meshgrid(*middles), axis=-1)).mean()
    rng = np.random.default_rng(1)
    means = weight(evenly(SQUARE, 20_000, count, rng)).mean(axis=1)
    independent = weight(rng.uniform([-1, 0], [1, 4], (20_000, count, 2))).mean(axis=1)

    assert abs(means.mean() - exact) < 4 * means.std() / np.sqrt(20_000)
    assert means.var() < 0.7 * independent.var()


def test_no_proposal_and_discrete_actions_are_refused():
    with pytest.raises(ParameterError, match="0 proposals; expected at least 1"):
        evenly(SQUARE, 1, 0, np.random.default_rng(0))
    with pytest.raises(ParameterError, match="proposals from 3 discrete actions"):
        evenly(discrete(3), 1, 4, np.random.default_rng(0))


def test_the_soft_value_is_of_each_row_alone_and_takes_any_size():
    values = np.array([[0.0, 1.0], [3000.0, -3000.0], [-4e4, -4e4]])
    soft = log_mean_exp(values, np.zeros((3, 2)), 2.0)

    expected = [2 * np.log((1 + np.exp(0.5)) / 2), 3000 - 2 * np.log(2), -4e4]
    assert soft == pytest.approx(expected, rel=1e-12)


def test_what_is_forbidden_counts_in_the_mean_with_weight_zero():
    none = -np.inf
    soft = log_mean_exp(
        np.array([[1.0, 99.0, 1.0, 99.0], [5.0, 5.0, 5.0, 5.0], [1.0, 2.0, 3.0, 4.0]]),
        np.array([[0.0, none, 0.0, none], [np.log(0.1)] * 4, [none] * 4]),
        1.0,
    )

    assert soft[:2] == pytest.approx([1 + np.log(0.5), 5 + np.log(0.1)])
    assert soft[2] == -np.inf
