"""The point's world: geometry, rewards and moves, and that every copy of them agrees."""

import numpy as np
import pytest

from assay.systems.policy_composition import navigation as nav
from assay.systems.policy_composition.oracle import World
from assay.systems.policy_composition.value_iteration import FiniteModel, action_values

POINTS = np.random.default_rng(0).uniform(-10, 10, (400, 2))
STILL = nav.gaussian_nodes(0.0)


def distance(point):
    """To the nearest of ten thousand points of the walls' edges, 0 inside."""
    x, y, w, h = nav.WALLS.T
    if ((x <= point[0]) & (point[0] <= x + w) & (y <= point[1]) & (point[1] <= y + h)).any():
        return 0.0
    t = np.linspace(0, 1, 1001)
    edges = [
        np.stack([a + t * c, b + t * d], axis=-1)
        for left, low, wide, high in nav.WALLS
        for a, b, c, d in (
            (left, low, wide, 0), (left, low + high, wide, 0),
            (left, low, 0, high), (left + wide, low, 0, high),
        )
    ]  # fmt: skip
    return np.sqrt(((np.concatenate(edges) - point) ** 2).sum(axis=1).min())


def test_rewards_are_those_described():
    d = np.array([distance(p) for p in POINTS])
    expected = -np.exp(-(d**2) / 2) - 10.0 * (d == 0)

    assert nav.rewards(POINTS)[:, 0] == pytest.approx(expected, abs=1e-4)
    assert (nav.collides(POINTS) == (d == 0)).all()
    assert 0 < nav.collides(POINTS).mean() < 0.2


@pytest.mark.parametrize(
    ("task", "point", "reward"),
    [("top", (0, 7), 0), ("top", (0, 6.9), -1), ("side", (7, 0), 0), ("side", (6.9, 0), -1),
     ("bottom", (0, -7), 0), ("bottom", (0, -6.9), -1), ("left", (-7, 0), 0),
     ("left", (-6.9, 0), -1)],
)  # fmt: skip
def test_zones_begin_at_seven(task, point, reward):
    assert nav.rewards(np.array([point], float))[0, nav.TASKS.index(task)] == reward


def test_the_edge_of_the_obstacle_belongs_to_it():
    assert nav.collides(np.array([[-5.0, 3.0], [5.0, 5.0], [0.0, 2.999]])).tolist() == [
        True, True, False,
    ]  # fmt: skip
    assert nav.rewards(np.array([[5.0, 5.0]]))[0, 0] == -11.0


def test_a_long_action_is_cut_to_length_one_and_a_short_one_is_not():
    start = np.zeros((2, 2))
    moved = nav.move(start, np.array([[1.0, 1.0], [0.3, -0.4]]))

    assert moved[0] == pytest.approx([np.sqrt(0.5)] * 2)
    assert moved[1].tolist() == [0.3, -0.4]


def test_nobody_leaves_the_square():
    far = nav.move(np.array([[9.9, -9.9]]), np.array([[1.0, 0.0]]), np.array([[0.0, -3.0]]))

    assert far.tolist() == [[10.0, -10.0]]


def test_starts_are_clear_of_the_obstacle_only_where_they_have_to_be():
    clear = nav.starts(5000, np.random.default_rng(0))
    any_ = nav.starts(5000, np.random.default_rng(0), clear=False)

    assert not nav.collides(clear).any()
    assert nav.collides(any_).any()
    assert any_.std(axis=0) == pytest.approx([3.0, 3.0], rel=0.05)


def test_noise_has_its_moments():
    nodes, chances = nav.gaussian_nodes(0.4, 4)

    assert chances.sum() == pytest.approx(1)
    assert chances @ nodes == pytest.approx([0, 0])
    assert chances @ nodes**2 == pytest.approx([0.16] * 2)
    assert chances @ (nodes[:, 0] ** 4) == pytest.approx(3 * 0.4**4)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_a_look_ahead_on_the_grid_is_the_exact_model(sigma, ends):
    n, noise = 9, nav.gaussian_nodes(sigma)
    rng = np.random.default_rng(1)
    values, weights = rng.normal(size=(n, n)), np.array([1.0, 0.5, 0, 0, 2.0])
    actions = rng.uniform(-1, 1, (6, 2))
    made = nav.grid_transitions(n, actions, weights=weights, ends=ends, noise=noise)
    axis = np.linspace(-10, 10, n)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    ahead = nav.look_ahead(
        points, np.broadcast_to(actions, (n * n, 6, 2)), weights=weights, ends=ends,
        values=values, discount=0.9, noise=noise,
    )  # fmt: skip

    assert ahead == pytest.approx(action_values(FiniteModel(*made), values.ravel(), 0.9))
    assert (made[1].sum(axis=2) < 1 - 1e-9).any() == ends


def test_a_look_ahead_is_reward_and_discounted_value_of_where_a_move_leads():
    """Against the plain functions; a linear value is interpolated without error."""
    rng = np.random.default_rng(2)
    axis = np.linspace(-10, 10, 21)
    values = 2.0 * axis[None, :] - axis[:, None]
    actions = rng.uniform(-1, 1, (400, 1, 2))
    ends = nav.move(POINTS, actions[:, 0])
    weights = np.array([1.0, 0.0, 3.0, 0.0, 0.0])
    expected = nav.rewards(ends) @ weights + 0.9 * (2.0 * ends[:, 0] - ends[:, 1])
    found = nav.look_ahead(
        POINTS, actions, weights=weights, ends=False, values=values, discount=0.9, noise=STILL
    )

    assert found[:, 0] == pytest.approx(expected)


@pytest.mark.parametrize("n", [31, 41, 61, 81])
def test_landings_on_a_wall_count_alike_in_the_table_and_in_the_look_ahead(n):
    """Of nodes and candidates in round numbers many landings lie exactly on an edge."""
    world = World(nodes=n, per_axis=5)
    each, weights = world.actions.candidates, np.array([1.0, 0.0, 0.0, 0.0, 0.0])
    *_, gains = nav.grid_transitions(n, each, weights=weights, ends=False, noise=STILL)
    actions = np.broadcast_to(each, (n * n, *each.shape))
    ahead = nav.look_ahead(
        world.points, actions, weights=weights, ends=False, values=np.zeros((n, n)),
        discount=0.99, noise=STILL,
    )  # fmt: skip

    assert (ahead == gains).all()
