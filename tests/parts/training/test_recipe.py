"""Recipes: schedules, budgets, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ParameterError
from assay.parts.training.recipe import Recipe, has_dropout, share_of_rate, steps_for


def rates(**fields):
    recipe = Recipe(rate=1.0, **fields)
    return np.array([share_of_rate(step, recipe) for step in range(recipe.steps)])


@pytest.mark.parametrize("schedule", ["linear", "cosine", "polynomial"])
def test_the_rate_rises_in_a_line_then_falls_to_nothing(schedule):
    found = rates(steps=200, warm_up=0.05, schedule=schedule, power=2.0)

    assert found[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert found[10] == 1.0
    assert (np.diff(found[10:]) < 0).all()
    half = {"linear": 0.5, "cosine": 0.5, "polynomial": 0.25}[schedule]
    assert found[105] == pytest.approx(half)
    assert 0 < found[-1] < 0.01


def test_a_constant_rate_stays_and_a_final_share_is_what_is_left():
    assert (rates(steps=20, warm_up=0.0, schedule="constant") == 1.0).all()
    found = rates(steps=1000, warm_up=0.0, schedule="cosine", final_share=0.1)
    assert found[-1] == pytest.approx(0.1, abs=1e-4)
    assert found[500] == pytest.approx(0.55)


@given(
    st.integers(1, 300), st.floats(0, 0.99),
    st.sampled_from(["linear", "cosine", "constant", "polynomial"]), st.floats(0.3, 3),
)  # fmt: skip
def test_every_step_has_a_rate_above_nothing_and_not_above_the_highest(
    steps, warm_up, schedule, power
):
    found = rates(steps=steps, warm_up=warm_up, schedule=schedule, power=power)

    assert (found > 0).all()
    assert (found <= 1).all()


def test_twice_the_steps_have_the_same_curve_stretched():
    one, two = (rates(steps=n, warm_up=0.1, schedule="linear") for n in (100, 200))

    assert two[20::2] == pytest.approx(one[10:])


@given(st.integers(1, 10**9), st.integers(1, 10**6))
def test_a_budget_of_tokens_is_reached_and_not_passed_by_a_step(tokens, per_step):
    steps = steps_for(tokens, per_step)

    assert (steps - 1) * per_step < tokens <= steps * per_step


def test_dropout_ends_with_the_last_share():
    recipe = Recipe(steps=50, rate=1.0, dropout_off_share=0.1)

    assert [step for step in range(50) if not has_dropout(step, recipe)] == [45, 46, 47, 48, 49]
    assert all(has_dropout(step, Recipe(steps=50, rate=1.0)) for step in range(50))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0), ("steps", 1.5), ("rate", 0.0), ("rate", math.nan), ("warm_up", 60),
        ("schedule", "cosin"), ("power", 0.0), ("final_share", 1.1), ("betas", (0.9, 1.0)),
        ("epsilon", 0.0), ("weight_decay", -0.1), ("clip", 0.0), ("precision", "fp16"),
        ("checkpoint_every", 0), ("keep_at", (101,)), ("dropout_off_share", 2.0),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_in_one_line_with_its_name(field, value):
    with pytest.raises(ParameterError) as caught:
        Recipe(**{"steps": 100, "rate": 1e-3, field: value})

    assert f"{field} is {value!r}" in str(caught.value)
    assert "expected" in str(caught.value)


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(ParameterError, match="0 tokens"):
        steps_for(0, 8)
