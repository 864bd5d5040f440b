"""Routing: exact identities, the rules of the paper's implementation, and what is refused."""

import math

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import ParameterError, StepError
from assay.systems.mixture_of_experts.routing import RoutingPolicy, route, statistics

SECONDS = ("all", "sampling", "random")


def logits_of(rows):
    """Logits whose softmax is, row by row, what is given."""
    return torch.tensor(rows, dtype=torch.float32).log()


def random_logits(tokens=60, experts=6, seed=0):
    return torch.randn(tokens, experts, generator=torch.Generator().manual_seed(seed))


policies = st.builds(
    RoutingPolicy,
    choices=st.sampled_from([1, 2]),
    second=st.sampled_from(SECONDS),
    capacity_factor=st.sampled_from([None, 0.3, 1.0, 2.0]),
    evaluation_capacity=st.sampled_from([None, 0.1, 1.0]),
    batch_prioritised=st.booleans(),
    normalise=st.sampled_from(["after_dropping", "before_dropping"]),
)


# -- what holds whatever the policy ---------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(policies, st.integers(0, 40), st.integers(2, 9), st.booleans(), st.integers(0, 99))
def test_invariants(policy, tokens, experts, training, seed):
    torch.manual_seed(seed)
    logits, routed = torch.randn(tokens, experts), torch.rand(tokens) < 0.8

    found = route(logits, policy, routed=routed, training=training)

    load = found.experts[found.kept].bincount(minlength=experts)
    assert found.capacity is None or (load <= found.capacity).all()
    assert found.experts[routed, 0].equal(logits[routed].argmax(1))
    assert not found.kept[~routed].any()
    assert (found.weights[~found.kept] == 0).all()
    assert (found.weights[found.kept] > 0).all()
    assert (found.weights.sum(1) <= 1 + 1e-6).all()
    if policy.choices == 2:
        assert (found.experts[:, 0] != found.experts[:, 1]).all()
        if policy.normalise == "after_dropping":
            torch.testing.assert_close(found.weights.sum(1), found.kept.any(1).float())
    if found.capacity is None and not (training and policy.second == "random"):
        assert found.kept.equal(routed[:, None].expand_as(found.kept))


@settings(max_examples=60, deadline=None)
@given(policies, st.integers(0, 99))
def test_renaming_the_experts_renames_the_choices_and_changes_nothing_else(policy, seed):
    logits, order = random_logits(seed=seed), torch.randperm(6)
    if policy.second == "sampling":
        policy = RoutingPolicy(batch_prioritised=policy.batch_prioritised)  # noise has an order

    torch.manual_seed(seed)
    plain = route(logits, policy, training=True)
    torch.manual_seed(seed)
    renamed = route(logits[:, order], policy, training=True)

    assert order[renamed.experts].equal(plain.experts)
    assert renamed.kept.equal(plain.kept)
    torch.testing.assert_close(renamed.weights, plain.weights)
    torch.testing.assert_close(renamed.balance_loss, plain.balance_loss)


@settings(max_examples=60, deadline=None)
@given(policies, st.booleans(), st.integers(0, 99))
def test_padding_changes_nothing_for_the_others(policy, training, seed):
    if policy.second != "all":
        training = False  # where no random numbers are drawn
    torch.manual_seed(seed)
    logits, routed = torch.randn(50, 5), torch.rand(50) < 0.6
    logits[~routed] = torch.tensor(float("nan"))

    padded = route(logits, policy, routed=routed, training=training)
    alone = route(logits[routed], policy, training=training)

    assert padded.experts[routed].equal(alone.experts)
    assert padded.kept[routed].equal(alone.kept)
    assert padded.capacity == alone.capacity
    torch.testing.assert_close(padded.weights[routed], alone.weights)
    torch.testing.assert_close(padded.balance_loss, alone.balance_loss)
    for name, value in statistics(alone).items():
        torch.testing.assert_close(statistics(padded)[name], value)


@pytest.mark.parametrize("prioritised", [False, True])
def test_no_limit_is_a_place_for_every_token(prioritised):
    logits = random_logits()
    roomy = RoutingPolicy(capacity_factor=len(logits), batch_prioritised=prioritised)

    limited = route(logits, roomy, training=True)
    dropless = route(logits, RoutingPolicy(capacity_factor=None), training=True)

    assert limited.kept.all()
    assert dropless.capacity is None
    assert limited.weights.equal(dropless.weights)


def test_in_evaluation_a_token_goes_the_same_way_in_any_company():
    policy, logits = RoutingPolicy(second="sampling", capacity_factor=0.2), random_logits()

    together = route(logits, policy, training=False)
    alone = [route(row[None], policy, training=False) for row in logits]

    assert together.experts.equal(torch.cat([r.experts for r in alone]))
    torch.testing.assert_close(together.weights, torch.cat([r.weights for r in alone]))


# -- capacity -------------------------------------------------------------------------------------


def test_capacity_is_that_of_the_papers_setting():
    policy = RoutingPolicy(evaluation_capacity=48 / 1024)

    assert policy.capacity(12 * 1024, 512, training=True) == 48
    assert policy.capacity(1024, 512, training=False) == 48
    assert RoutingPolicy().capacity(1024, 512, training=False) is None
    assert RoutingPolicy(choices=1).capacity(100, 8, training=True) == 13
    assert RoutingPolicy().capacity(100, 8, training=True) == 2 * 13
    assert 0.07 * 100 > 7  # as floats have it
    assert RoutingPolicy(capacity_factor=0.07).capacity(100, 1, training=True) == 2 * 7


def test_first_choices_queue_before_second_ones():
    # Everybody's second choice is expert 0, whose own token comes last and finds a place.
    rows = [[0.4, 0.5, 0.05, 0.05], [0.4, 0.05, 0.5, 0.05], [0.4, 0.05, 0.05, 0.5]]
    logits = logits_of([*rows, [0.7, 0.1, 0.15, 0.05]])
    policy = RoutingPolicy(capacity_factor=0.5)

    found = route(logits, policy, training=True)

    assert found.capacity == 2
    assert found.kept.tolist() == [[True, True], [True, False], [True, False], [True, True]]


def test_a_queue_is_in_the_order_of_the_tokens():
    found = route(logits_of([[0.6, 0.3, 0.1]] * 5), RoutingPolicy(choices=1), training=True)

    assert found.capacity == 2
    assert found.kept[:, 0].tolist() == [True, True, False, False, False]


def test_by_priority_the_least_confident_are_dropped():
    sure = torch.linspace(0.5, 0.9, 12)[torch.randperm(12)]
    logits = logits_of([[p, (1 - p) * 0.7, (1 - p) * 0.3] for p in sure.tolist()])
    policy = RoutingPolicy(batch_prioritised=True, capacity_factor=0.75)

    found = route(logits, policy, training=True)

    for choice in (0, 1):
        kept = found.kept[:, choice]
        assert kept.sum() == found.capacity == 6
        assert sure[kept].min() > sure[~kept].max()


# -- weights --------------------------------------------------------------------------------------


def test_weights_are_normalised_probabilities():
    found = route(logits_of([[0.5, 0.3, 0.2]]), RoutingPolicy(), training=False)

    torch.testing.assert_close(found.weights, torch.tensor([[0.625, 0.375]]))


def test_the_weight_of_a_single_choice_is_its_probability():
    found = route(logits_of([[0.5, 0.3, 0.2]]), RoutingPolicy(choices=1), training=False)

    torch.testing.assert_close(found.weights, torch.tensor([[0.5]]))


def dropped_by_second(normalise):
    """Two places each: the first choices take them all."""
    logits = logits_of([[0.4, 0.6], [0.4, 0.6], [0.6, 0.4], [0.6, 0.4]])
    policy = RoutingPolicy(capacity_factor=0.5, normalise=normalise)
    return route(logits, policy, training=True)


def test_a_sole_survivor_has_weight_one():
    assert dropped_by_second("after_dropping").weights.tolist() == [[1.0, 0.0]] * 4


def test_what_is_normalised_before_dropping_loses_the_share_of_a_full_expert():
    wanted = torch.tensor([[0.6, 0.0]] * 4)

    torch.testing.assert_close(dropped_by_second("before_dropping").weights, wanted)


def test_a_token_that_both_experts_drop_has_no_weights():
    found = route(logits_of([[0.6, 0.4]] * 6), RoutingPolicy(capacity_factor=1 / 3), training=True)

    torch.testing.assert_close(found.weights, torch.tensor([[0.6, 0.4]] * 2 + [[0.0, 0.0]] * 4))


# -- the second expert ----------------------------------------------------------------------------


def test_the_second_best_is_kept_with_twice_its_probability():
    torch.manual_seed(0)
    policy = RoutingPolicy(second="random", capacity_factor=None)
    tokens = 20_000

    for second in (0.1, 0.3, 0.49):
        logits = logits_of([[0.505, second, 0.495 - second]]).expand(tokens, 3)
        found = route(logits, policy, training=True)
        wanted = min(1.0, 2 * max(second, 0.495 - second))
        error = math.sqrt(wanted * (1 - wanted) / tokens)
        assert abs(found.kept[:, 1].float().mean() - wanted) <= 4 * error
        assert found.kept[:, 0].all()
    alone = ~found.kept[:, 1]
    assert (found.weights[alone, 0] == 1).all()


def test_a_sampled_second_expert_follows_the_probabilities_of_the_others():
    torch.manual_seed(0)
    tokens, policy = 30_000, RoutingPolicy(second="sampling", capacity_factor=None)
    logits = logits_of([[0.2, 0.5, 0.21, 0.09]]).expand(tokens, 4)

    found = route(logits, policy, training=True)

    assert (found.experts[:, 0] == 1).all()
    shares = found.experts[:, 1].bincount(minlength=4) / tokens
    wanted = torch.tensor([0.4, 0.0, 0.42, 0.18])
    assert ((shares - wanted).abs() <= 4 * (wanted * (1 - wanted) / tokens).sqrt()).all()


@pytest.mark.parametrize("second", SECONDS)
def test_random_numbers_are_drawn_in_training_only_and_not_for_the_second_best(second):
    policy, logits = RoutingPolicy(second=second), random_logits()

    torch.manual_seed(3)
    route(logits, policy, training=False)
    assert torch.get_rng_state().equal(torch.Generator().manual_seed(3).get_state())
    route(logits, policy, training=True)
    untouched = torch.get_rng_state().equal(torch.Generator().manual_seed(3).get_state())
    assert untouched == (second == "all")


# -- the load-balancing loss ----------------------------------------------------------------------


def test_balance_loss_of_an_even_spread_is_one_and_of_a_collapsed_gate_the_experts():
    even = torch.full((8, 8), -50.0).fill_diagonal_(50.0)
    collapsed = torch.full((8, 8), -50.0)
    collapsed[:, 3] = 50.0

    assert route(even, RoutingPolicy(), training=True).balance_loss == pytest.approx(1.0)
    assert route(even * 0, RoutingPolicy(), training=True).balance_loss == pytest.approx(1.0)
    assert route(collapsed, RoutingPolicy(), training=True).balance_loss == pytest.approx(8.0)


def test_balance_loss_is_of_first_choices_before_dropping_by_hand():
    logits = logits_of([[0.5, 0.3, 0.2], [0.6, 0.1, 0.3], [0.1, 0.7, 0.2]])

    dropped = route(logits, RoutingPolicy(capacity_factor=0.1, choices=1), training=True)

    assert dropped.kept.sum() < 3
    assert dropped.balance_loss == pytest.approx(3 * (2 / 3 * 1.2 / 3 + 1 / 3 * 1.1 / 3))


def test_the_gradient_of_the_balance_loss_goes_through_the_mean_probabilities_only():
    logits = random_logits().requires_grad_()
    routed = torch.arange(60) < 45

    route(logits, RoutingPolicy(), routed=routed, training=True).balance_loss.backward()

    again = logits.detach()[:45].clone().requires_grad_()
    shares = again.argmax(1).bincount(minlength=6) / 45
    (6 * (again.softmax(1).mean(0) * shares).sum()).backward()
    torch.testing.assert_close(logits.grad[:45], again.grad)
    assert not logits.grad[45:].any()


def test_everything_is_in_fp32():
    found = route(random_logits().bfloat16(), RoutingPolicy(), training=True)

    assert {found.weights.dtype, found.probabilities.dtype} == {torch.float32}
    assert found.balance_loss.dtype == torch.float32


# -- statistics -----------------------------------------------------------------------------------


def test_statistics_by_hand():
    rows = [[0.6, 0.3, 0.1, 0.0, 0.0]] * 3 + [[0.1, 0.6, 0.3, 0.0, 0.0]]
    logits = (torch.tensor(rows) + 1e-30).log()
    found = statistics(route(logits, RoutingPolicy(capacity_factor=1.0), training=True))

    entropy = -sum(p * math.log(p) for p in (0.6, 0.3, 0.1))
    assert found["overflow_first"] == pytest.approx(1 / 4)  # two places, three tokens want expert 0
    assert found["overflow_second"] == pytest.approx(2 / 4)  # expert 1 has one place left for three
    assert found["entropy"] == pytest.approx(entropy, rel=1e-5)
    assert found["top_share"] == pytest.approx(3 / 4)
    assert found["bottom_share"] == 0
    assert found["unused"] == 2
    assert found["max_load"] == pytest.approx(5 * 3 / 4)


def test_a_second_choice_that_did_not_queue_has_not_overflowed():
    torch.manual_seed(0)
    policy = RoutingPolicy(second="random", capacity_factor=None)
    found = route(logits_of([[0.9, 0.05, 0.05]] * 40), policy, training=True)

    assert not found.kept[:, 1].all()
    assert statistics(found)["overflow_second"] == 0


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("choices", 3, r"routing\.choices: 3 is refused; expected 1 or 2"),
        ("second", "best", r"routing\.second: 'best'"),
        ("normalise", "never", r"routing\.normalise"),
        ("capacity_factor", 0.0, r"routing\.capacity_factor: 0\.0 .*capacity below one token"),
        ("capacity_factor", math.nan, "capacity below one token"),
        ("evaluation_capacity", -1, "capacity below one token"),
        ("evaluation_capacity", 1.5, "expected a share of the tokens"),
    ],
)
def test_a_policy_out_of_range_is_refused(field, value, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ParameterError, match=message):
        RoutingPolicy(**{field: value})


def test_two_choices_of_one_expert_are_refused():
    with pytest.raises(ParameterError, match="2 choices among 1 expert"):
        route(torch.zeros(3, 1), RoutingPolicy(), training=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gate_that_is_not_finite_is_refused(value):
    logits = random_logits()
    logits[5, 2] = logits[7, 1] = value

    with pytest.raises(StepError, match="not finite to 2 of 60 tokens"):
        route(logits, RoutingPolicy(), training=True)
