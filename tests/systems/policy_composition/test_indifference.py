"""Indifference spaces and stacks: what is allowed, what is chosen, what is said of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from assay.errors import DataError, ParameterError, StepError
from assay.systems.policy_composition.actions import box, discrete
from assay.systems.policy_composition.critics import from_table
from assay.systems.policy_composition.indifference import IndifferenceSpace, PriorityStack, pick

STATE = np.array([0])
FIRST, SECOND = [0.0, -0.5, -2.0, -9.0], [-5.0, -1.0, 0.0, 3.0]


def level(table, epsilon=1.0, name="level"):
    rows = np.atleast_2d(np.array(table, float))
    return IndifferenceSpace(from_table(rows), epsilon, discrete(rows.shape[1]), name)


def stack(*tables, epsilon=1.0, **more):
    return PriorityStack([level(t, epsilon, f"level {n}") for n, t in enumerate(tables, 1)], **more)


def test_an_action_is_allowed_up_to_epsilon_below_the_best_and_no_further():
    space = level([0.0, -1.0, -1.0 - 1e-9])

    assert space.mask(STATE).tolist() == [[True, True, False]]
    assert space.slack(STATE)[0].tolist() == pytest.approx([1.0, 0.0, -1e-9])
    assert space.volume(STATE).tolist() == pytest.approx([2 / 3])


def test_the_best_is_sought_among_what_the_levels_above_allow():
    """Of the first level's actions 0 and 1, the second's best is 1 (-1), not 3 (its own best)."""
    composed = stack(FIRST, SECOND, [7.0, 0.0, 0.0, 0.0], epsilon=1.0)

    assert composed.mask(STATE).tolist() == [[False, True, False, False]]
    assert composed.sample(STATE, np.random.default_rng(0), greedy=True).tolist() == [1]


@given(
    values=arrays.arrays(
        float, st.tuples(st.integers(2, 5), st.integers(1, 3), st.integers(1, 6)),
        elements=st.floats(-1e9, 1e9) | st.just(-np.inf),
    ),
    epsilons=st.lists(st.floats(0, 1e6), min_size=5, max_size=5),
)  # fmt: skip
def test_whatever_the_values_an_action_is_left_in_every_state(values, epsilons):
    levels = [level(table, e) for table, e in zip(values, epsilons, strict=False)]
    composed, states = PriorityStack(levels), np.arange(values.shape[1])

    mask = composed.mask(states)
    assert mask.any(axis=1).all()
    chosen = composed.sample(states, np.random.default_rng(0))
    best = composed.sample(states, np.random.default_rng(0), greedy=True)
    assert mask[states, chosen].all()
    assert mask[states, best].all()


def test_a_forbidden_action_is_never_chosen_however_good_it_looks():
    composed = stack([0.0, -5.0], [0.0, 1e6])
    states = np.zeros(10_000, int)

    assert not composed.sample(states, np.random.default_rng(0)).any()
    assert composed.q(STATE).tolist() == [[0.0, -np.inf]]


def test_choices_have_the_probabilities_of_the_softmax_over_what_is_allowed():
    composed = stack([0.0, 0.0, -9.0], [np.log(3.0), 0.0, 50.0])
    chosen = composed.sample(np.zeros(40_000, int), np.random.default_rng(0))

    assert (chosen == 0).mean() == pytest.approx(0.75, abs=5 * np.sqrt(0.75 * 0.25 / 40_000))


def test_a_batch_gives_what_its_rows_give_one_by_one():
    rng = np.random.default_rng(3)
    composed = stack(rng.normal(size=(50, 9)), rng.normal(size=(50, 9)))
    together = composed.sample(np.arange(50), np.random.default_rng(1))
    single = np.random.default_rng(1)
    apart = [composed.sample(np.array([s]), single)[0] for s in range(50)]

    assert together.tolist() == apart
    assert len(set(apart)) > 1


@pytest.mark.parametrize("size", [1e3, -1e3, 1e300])
def test_values_of_any_size_neither_overflow_nor_vanish(size):
    values = np.array([[size, size], [size, 2 * size]])
    chosen = pick(values, np.ones((2, 2), bool), np.array([0.9, 0.9]))

    assert chosen.tolist() == [1, int(size > 0)]


def test_the_last_number_below_one_chooses_an_allowed_entry():
    uniform = np.array([np.nextafter(1.0, 0.0)])
    mask = np.array([[True, True, False]])

    assert pick(np.zeros((1, 3)), mask, uniform).tolist() == [1]


def test_the_number_zero_chooses_an_allowed_entry():
    mask = np.array([[False, False, True]])

    assert pick(np.zeros((1, 3)), mask, np.array([0.0])).tolist() == [2]


def test_without_slack_all_equally_good_actions_are_left_and_no_others():
    composed = stack([0.0, 1.0, 1.0], [0.0] * 3, epsilon=0.0)

    assert composed.mask(STATE).tolist() == [[False, True, True]]


def test_temperature_goes_with_the_scale_of_the_values():
    rng = np.random.default_rng(0)
    values, mask, u = rng.normal(size=(200, 7)), np.ones((200, 7), bool), rng.random(200)

    assert pick(values, mask, u, 0.5).tolist() == pick(1024 * values, mask, u, 512.0).tolist()


def test_an_explanation_names_the_level_and_how_much_is_lacking():
    composed = stack(FIRST, SECOND, [0.0] * 4)

    told = composed.explain(np.array(0), 3)
    assert (told.allowed, told.forbidden_by, told.short_by) == (False, "level 1", 8.0)
    told = composed.explain(np.array(0), 0)
    assert (told.allowed, told.forbidden_by, told.short_by) == (False, "level 2", 3.0)
    assert [r.slack for r in told.reasons] == [1.0, -3.0]
    assert composed.explain(np.array(0), 1).allowed


def test_an_explanation_agrees_with_the_mask_for_actions_between_the_candidates():
    actions = box([-1.0], [1.0], 5)
    up = IndifferenceSpace(lambda s, a: a[..., 0] * s, 0.3, actions, "up")
    composed = PriorityStack([up, up])
    asked = np.linspace(-1, 1, 41).reshape(1, -1, 1)
    state = np.array([[2.0]])

    mask = composed.mask(state, asked)[0]
    told = [composed.explain(state[0], a).allowed for a in asked[0]]
    assert mask.tolist() == told == (asked[0, :, 0] * 2 >= 1.7).tolist()


OPPOSED = ([0.0, -5.0, -5.0], [-5.0, 0.0, -4.5], [1.0, 2.0, 3.0])
"""What the first wants, the second does not."""


def test_of_two_opposed_levels_the_first_wins_when_the_second_is_restricted():
    composed = stack(*OPPOSED)

    assert composed.mask(STATE).tolist() == [[True, False, False]]
    assert composed.acting(STATE).tolist() == [2]


def test_with_fallback_the_level_that_left_nothing_acts_among_what_was_left_to_it():
    composed = stack([0.0, -0.5, -5.0], [-5.0, -4.0, 0.0], [9.0, 0.0, 0.0], on_conflict="fallback")

    assert composed.mask(STATE).tolist() == [[True, True, False]]
    assert composed.acting(STATE).tolist() == [1]
    assert composed.q(STATE).tolist() == [[-5.0, -4.0, -np.inf]]
    assert composed.explain(np.array(0), 0).allowed
    assert composed.mask(STATE, np.array([[1, 2]])).tolist() == [[True, False]]


def test_with_error_a_conflict_names_level_and_state():
    with pytest.raises(StepError, match=r"level 'level 2': no action .* in state 0\. Raise"):
        stack(*OPPOSED, on_conflict="error").mask(STATE)


def test_only_states_in_conflict_fall_back():
    composed = stack(
        [OPPOSED[0], [0.0, 0.0, 0.0]], [OPPOSED[1]] * 2, [OPPOSED[2]] * 2, on_conflict="fallback"
    )

    assert composed.acting(np.arange(2)).tolist() == [1, 2]


def test_levels_that_are_equal_may_change_places():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 30, 6))
    states = np.arange(30)
    one = stack(a, a, b, [[0.0] * 6] * 30).mask(states)

    assert (one == stack(a, b, a, [[0.0] * 6] * 30).mask(states)).all()
    assert (one != stack(b, a, a, [[0.0] * 6] * 30).mask(states)).any()


def test_a_first_mask_is_the_same_whatever_stands_below():
    rng = np.random.default_rng(6)
    a, b, c = rng.normal(size=(3, 40, 6))
    states, both = np.arange(40), [stack(a, b, c), stack(a, c, b)]

    first = [s.levels[0].mask(states) for s in both]
    second = [s.mask(states) for s in both]
    assert (first[0] == first[1]).all()
    assert (second[0] != second[1]).any()


@pytest.mark.parametrize("factor", [1000.0, 1e-3, 1024.0])
def test_scaling_a_level_and_its_epsilon_changes_nothing(factor):
    rng = np.random.default_rng(7)
    a, b, c = rng.normal(size=(3, 500, 9))
    plain = PriorityStack([level(a, 0.7), level(b, 0.7), level(c)])
    scaled = PriorityStack([level(factor * a, factor * 0.7), level(b, 0.7), level(c)])
    states = np.arange(500)

    assert (plain.mask(states) == scaled.mask(states)).all()
    assert 0 < plain.mask(states).mean() < 1


def test_a_barrier_that_forbids_everything_forbids_nothing():
    nothing = IndifferenceSpace(
        lambda s, a: np.full(a.shape[:2], -np.inf), 0.0, discrete(3), "barrier"
    )

    assert PriorityStack([nothing, level([1.0, 2.0, 3.0])]).mask(STATE).all()


def test_epsilon_may_depend_on_the_state():
    space = level([[0.0, -1.0]] * 2, epsilon=lambda states: 2.0 * states)

    assert space.mask(np.arange(2)).tolist() == [[True, False], [True, True]]


def test_one_level_alone_restricts_nothing():
    assert stack([3.0, -100.0]).mask(STATE).all()


@pytest.mark.parametrize("epsilon", [-0.5, np.nan, lambda s: -np.ones(len(s))])
def test_a_negative_epsilon_is_refused(epsilon):
    with pytest.raises(ParameterError, match=r"level 'safe': an epsilon of .*expected 0 or more"):
        level([0.0, 1.0], epsilon, "safe").mask(STATE)


def test_an_empty_stack_is_refused():
    with pytest.raises(ParameterError, match="a stack without a level; expected at least one"):
        PriorityStack([])


def test_levels_of_different_action_spaces_are_refused():
    flat = IndifferenceSpace(lambda s, a: a[..., 0], 1.0, box([-1, -1], [1, 1]), "flat")

    with pytest.raises(ParameterError, match=r"level 'flat' acts in the box .*expected 2 discrete"):
        PriorityStack([level([0.0, 1.0]), flat])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_refused_with_level_and_state(value):
    composed = PriorityStack([level([[0.0, 1.0], [0.0, value]], name="safe"), level([[0.0] * 2])])

    with pytest.raises(DataError, match=rf"level 'safe': an action is worth {value} in state 1"):
        composed.mask(np.arange(2))


def test_values_of_another_shape_are_refused():
    odd = IndifferenceSpace(lambda s, a: np.zeros(3), 1.0, discrete(2), "odd")

    with pytest.raises(DataError, match=r"level 'odd': values of shape \(3,\); expected"):
        odd.mask(STATE)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_a_temperature_that_is_not_above_zero_and_finite_is_refused(temperature):
    with pytest.raises(ParameterError, match="temperature"):
        stack(FIRST).sample(STATE, np.random.default_rng(0), temperature=temperature)


def test_another_way_to_treat_conflicts_is_refused():
    with pytest.raises(ParameterError, match="restrict, fallback or error"):
        stack(FIRST, on_conflict="ignore")


def test_epsilons_that_are_not_one_per_state_are_refused():
    space = level([[0.0, -1.0]] * 3, epsilon=lambda states: np.ones((len(states), 1)), name="odd")

    with pytest.raises(ParameterError, match=r"level 'odd': epsilons of shape \(3, 1\); .*\(3,\)"):
        space.mask(np.arange(3))


def test_an_epsilon_of_states_may_be_one_number():
    assert level([0.0, -1.0], epsilon=lambda states: np.array(2.0)).mask(STATE).all()
    with pytest.raises(ParameterError, match="an epsilon of -2"):
        level([0.0, -1.0], epsilon=lambda states: np.array(-2.0)).mask(STATE)
