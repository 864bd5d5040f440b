"""The solver against closed forms, linear systems and plain iteration."""

import numpy as np
import pytest
from scipy.special import logsumexp

from assay.errors import ParameterError, SimulationError
from assay.systems.policy_composition.value_iteration import FiniteModel, action_values, solve


def random_model(states, actions, reach, seed, ends=0.0):
    rng = np.random.default_rng(seed)
    successors = rng.integers(0, states, (states, actions, reach)).astype(np.int32)
    chances = rng.dirichlet(np.ones(reach), (states, actions)) * (1 - ends)
    return FiniteModel(successors, chances, rng.normal(size=(states, actions)))


def by_hand(model, discount, temperature, allowed=None):
    """Jacobi iteration to rounding, with nothing shared with the solver."""
    values = np.zeros(len(model.rewards))
    log_part = 0.0 if allowed is None else np.where(allowed, 0.0, -np.inf)
    for _ in range(20_000):
        ahead = (model.chances * values[model.successors]).sum(axis=2)
        q = model.rewards + discount * ahead + log_part
        if temperature:
            new = temperature * (logsumexp(q / temperature, axis=1) - np.log(q.shape[1]))
        else:
            new = q.max(axis=1)
        if np.abs(new - values).max() < 1e-13:
            break
        values = new
    return values


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("ends", [0.0, 0.2])
def test_values_are_those_of_plain_iteration(temperature, ends):
    model = random_model(12, 4, 3, seed=1, ends=ends)
    found = solve(model, discount=0.9, temperature=temperature, tolerance=1e-9)

    assert found.values == pytest.approx(by_hand(model, 0.9, temperature), abs=2e-9)


def test_restricted_values_are_those_of_plain_iteration():
    model = random_model(15, 5, 2, seed=2)
    allowed = np.random.default_rng(3).random((15, 5)) < 0.5
    allowed[:, 0] = True
    found = solve(model, discount=0.9, allowed=allowed, tolerance=1e-9)

    assert found.values == pytest.approx(by_hand(model, 0.9, 1.0, allowed), abs=2e-9)
    assert np.abs(found.values - solve(model, discount=0.9).values).max() > 0.1


def test_one_state_has_the_value_of_the_closed_form():
    """V = (log mean exp r) / (1 - discount)."""
    rewards = np.array([[0.0, 1.0, -2.0]])
    model = FiniteModel(np.zeros((1, 3, 1), np.int32), np.ones((1, 3, 1)), rewards)
    exact = np.log(np.exp(rewards).mean()) / (1 - 0.95)

    assert solve(model, discount=0.95, tolerance=1e-9).values[0] == pytest.approx(exact)


def test_an_episode_that_ends_has_no_value_behind_it():
    model = FiniteModel(np.zeros((1, 1, 1), np.int32), np.zeros((1, 1, 1)), np.array([[-3.0]]))

    assert solve(model).values.tolist() == [-3.0]


def test_a_single_action_gives_the_solution_of_the_linear_system():
    model = random_model(20, 1, 3, seed=4)
    p = np.zeros((20, 20))
    for s in range(20):
        np.add.at(p[s], model.successors[s, 0], model.chances[s, 0])
    exact = np.linalg.solve(np.eye(20) - 0.99 * p, model.rewards[:, 0])

    assert solve(model, tolerance=1e-8).values == pytest.approx(exact, abs=1e-7)


def test_an_action_set_with_every_action_twice_has_the_same_values():
    model = random_model(8, 3, 2, seed=5)
    twice = FiniteModel(*(np.concatenate([part, part], axis=1) for part in model))

    assert solve(twice, tolerance=1e-9).values == pytest.approx(
        solve(model, tolerance=1e-9).values, abs=1e-8
    )


def test_the_bound_is_kept_and_the_residual_is_that_of_a_backup():
    model = random_model(30, 4, 3, seed=6)
    found = solve(model, discount=0.95, tolerance=0.01)
    q = action_values(model, found.values, 0.95)
    backup = logsumexp(q, axis=1) - np.log(4)

    assert found.residual == pytest.approx(np.abs(backup - found.values).max(), rel=1e-6)
    assert np.abs(found.values - by_hand(model, 0.95, 1.0)).max() <= found.error_bound <= 0.01


def test_too_few_rounds_are_told():
    with pytest.raises(SimulationError, match=r"within .* after 1 rounds"):
        solve(random_model(12, 4, 3, seed=1), rounds=1)


@pytest.mark.parametrize(
    "given", [{"discount": 1.0}, {"discount": -0.1}, {"temperature": -1.0}, {"tolerance": 0.0}]
)
def test_parameters_out_of_range_are_refused(given):
    with pytest.raises(ParameterError):
        solve(random_model(3, 2, 1, seed=0), **given)


def test_a_state_without_an_action_is_named():
    allowed = np.ones((3, 2), bool)
    allowed[1] = False

    with pytest.raises(ParameterError, match="state 1 has no allowed action"):
        solve(random_model(3, 2, 1, seed=0), allowed=allowed)
