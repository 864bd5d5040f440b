"""Soft Q-learning: values known from theory, masks, what ends, what is retained."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from assay.errors import DataError, ParameterError, StepError
from assay.systems.policy_composition import soft_q
from assay.systems.policy_composition.actions import box
from assay.systems.policy_composition.experience import strips
from assay.systems.policy_composition.indifference import IndifferenceSpace
from assay.systems.policy_composition.practice import Schedule
from assay.systems.policy_composition.q_network import QNetwork, Quality
from assay.systems.policy_composition.soft_q import learn_soft_q
from assay.systems.policy_composition.surroundings import Landed, PointSurroundings

LINE = box([-1.0], [1.0], 21)
QUICK = Schedule(
    rounds=20, environments=16, steps=8, episode=20, proposals=8, retained=64, replayed=32,
    updates=30, batch=64, learning_rate=1e-2, discount=0.5,
)  # fmt: skip


@dataclass(frozen=True)
class Nowhere:
    """States that are random, whatever is done; the reward is ``reward`` x action + ``basic``."""

    reward: float = 0.0
    basic: float = 0.0
    ends: bool = False
    observations: int = 1
    actions = LINE

    def begin(self, count, rng):
        return rng.uniform(-1, 1, (count, 1))

    def step(self, states, actions, rng):
        rewards = self.reward * actions[:, 0] + self.basic
        return Landed(self.begin(len(states), rng), rewards, np.full(len(states), self.ends))


def network(seed=0, width=16):
    torch.manual_seed(seed)
    return QNetwork(1, 1, width, 2)


def learnt(schedule=QUICK, surroundings=None, seed=0, **given):
    return learn_soft_q(
        schedule, seed, given.pop("start", None) or network(), LINE,
        surroundings=surroundings or Nowhere(), **given,
    )  # fmt: skip


def values(made, actions=(-0.9, 0.0, 0.9)):
    states = np.array([[-0.5], [0.5]])
    return Quality(made.network)(states, np.tile(np.array(actions)[:, None], (2, 1, 1)))


def right_half(epsilon=1.0, least=0.0):
    """A level that allows actions from ``least`` up."""
    return IndifferenceSpace(lambda s, a: np.where(a[..., 0] >= least, 0.0, -5.0), epsilon, LINE)


def test_the_split_first_layer_is_a_layer_over_state_and_action_together():
    net = QNetwork(2, 3, 5, 2, scale=4.0)
    states, actions = torch.randn(4, 2), torch.randn(4, 6, 3)
    both = torch.cat([states[:, None].expand(-1, 6, -1) / 4.0, actions], dim=2)
    weights = torch.cat([net.of_state.weight, net.of_action.weight], dim=1)
    first = torch.tanh(both @ weights.T + net.of_state.bias)
    (second,) = net.hidden
    expected = torch.tanh(first @ second.weight.T + second.bias) @ net.out.weight[0] + net.out.bias

    assert torch.allclose(net(states, actions), expected, atol=1e-6)


def test_as_a_level_it_says_the_same_in_parts_and_for_shared_candidates(monkeypatch):
    from assay.systems.policy_composition import q_network

    q, states = Quality(network()), np.linspace(-1, 1, 11)[:, None]
    shared = np.broadcast_to(LINE.candidates, (11, 21, 1))
    whole = q(states, shared.copy())
    with torch.no_grad():
        expected = q.network(torch.tensor(states).float(), torch.tensor(shared.copy()).float())

    assert whole == pytest.approx(expected.numpy(), abs=1e-6)
    assert q(states, shared) == pytest.approx(whole, abs=1e-6)
    monkeypatch.setattr(q_network, "ROWS", 50)
    assert q(states, shared) == pytest.approx(whole, abs=1e-6)
    assert q(states, shared.copy()) == pytest.approx(whole, abs=1e-6)
    assert q(states[:0], shared[:0]).shape == (0, 21)


def test_an_episode_cut_short_is_worth_what_it_would_have_been_and_one_that_ended_is_not():
    """With reward 1 and discount 0.5 going on is worth 1 + 0.5 + 0.25 ... = 2."""
    assert values(learnt(surroundings=Nowhere(basic=1.0))) == pytest.approx(2.0, abs=0.03)
    every_step = replace(QUICK, episode=1)
    cut = learnt(every_step, Nowhere(basic=1.0))
    assert values(cut) == pytest.approx(2.0, abs=0.03)
    assert cut.experience.last.all()
    assert values(learnt(surroundings=Nowhere(basic=1.0, ends=True))) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_the_soft_value_is_the_log_of_the_mean_of_exp_over_the_box(temperature):
    """For the reward a on [-1, 1] that mean is sinh(1 / t) t, plus what is constant."""
    soft = temperature * np.log(np.sinh(1 / temperature) * temperature)
    made = learnt(replace(QUICK, temperature=temperature), Nowhere(reward=1.0))
    expected = np.array([-0.9, 0.0, 0.9]) + 0.5 * soft / (1 - 0.5)

    assert values(made) == pytest.approx(np.tile(expected, (2, 1)), abs=0.06)


@pytest.mark.parametrize(("averaging", "trace"), [(1.0, 0.0), (0.05, 0.0), (1.0, 1.0)])
def test_what_is_right_depends_on_neither_trace_nor_target(averaging, trace):
    schedule = replace(QUICK, averaging=averaging, trace=trace, rounds=30)
    soft = np.log(np.sinh(1))

    assert values(learnt(schedule, Nowhere(reward=1.0))).mean() == pytest.approx(soft, abs=0.06)


def test_inside_a_mask_no_action_leaves_it_and_the_forbidden_half_counts_as_nothing():
    """Without rewards V = log(1/2) + Q and Q = 0.5 V, so Q is log(1/2)."""
    made = learnt(above=[right_half()])

    assert made.experience.actions.min() >= 0
    assert values(made, (0.1, 0.9)) == pytest.approx(np.log(0.5), abs=0.03)
    assert learnt(above=[right_half(epsilon=6.0)]).experience.actions.min() < 0


def test_where_no_proposal_is_allowed_the_candidates_are_asked():
    """One candidate of 21 is allowed: Q = log(1/21)."""
    made = learnt(replace(QUICK, proposals=1), above=[right_half(least=0.999)])

    assert (made.experience.actions >= 0.999).mean() > 0.99
    assert values(made, (1.0,)) == pytest.approx(np.log(1 / 21), abs=0.05)


def test_all_levels_above_count():
    left = IndifferenceSpace(lambda s, a: -np.maximum(a[..., 0] - 0.5, 0) * 99, 0.0, LINE)
    taken = learnt(above=[right_half(), left]).experience.actions

    assert 0 <= taken.min() < 0.1
    assert 0.4 < taken.max() <= 0.5


def rising():
    """A network whose values rise steeply with the action: 300 tanh(tanh(a))."""
    net = network(width=1)
    with torch.no_grad():
        for layer, weight in ((net.of_state, 0.0), (net.hidden[0], 1.0), (net.out, 300.0)):
            layer.weight.fill_(weight)
            layer.bias.zero_()
        net.of_action.weight.fill_(1.0)
    return net


def test_explored_actions_are_drawn_evenly_and_their_density_is_known():
    """However steep Q is; the others are drawn by exp(Q)."""
    even = learnt(replace(QUICK, rounds=1, explore=1.0), start=rising()).experience
    assert even.log_density == pytest.approx(0.0)
    assert abs(even.actions.mean()) < 4 / np.sqrt(3 * even.actions.size)
    best = learnt(replace(QUICK, rounds=1, explore=0.0), start=rising()).experience
    assert best.actions.min() > 0.7  # the last of eight parts of [-1, 1] is above 0.75

    with torch.no_grad():
        start = network()
        for weights in start.parameters():
            weights.zero_()
    even = learnt(replace(QUICK, rounds=1, explore=0.3), start=start).experience
    assert even.log_density == pytest.approx(0.0, abs=1e-6)
    held = learnt(replace(QUICK, rounds=1), above=[right_half()]).experience
    assert held.log_density.mean() == pytest.approx(np.log(2), abs=0.2)


def test_the_first_steps_are_retained_and_the_oldest_go():
    all_kept = learnt(replace(QUICK, rounds=3, retained=48)).experience
    last = learnt(replace(QUICK, rounds=3, retained=40)).experience

    assert all_kept.rewards.shape == (48, 8)
    assert last.rewards.shape == (40, 8)
    assert np.array_equal(all_kept.states[8:24], last.states[:16])


@dataclass(frozen=True)
class Climb(Nowhere):
    """Every step leads one further from 0."""

    def begin(self, count, rng):
        return np.zeros((count, 1))

    def step(self, states, actions, rng):
        return Landed(states + 1, np.zeros(len(states)), np.full(len(states), self.ends))


def test_episodes_begin_anew_when_they_are_over_and_not_all_at_once():
    e = learnt(replace(QUICK, rounds=1, episode=3, updates=1), Climb()).experience
    states, last = e.states[..., 0], e.last

    assert states.max() == 2
    assert np.array_equal(e.next_states, e.states + 1)
    assert (states[:, 1:][last[:, :-1]] == 0).all()
    assert np.array_equal(states[:, 1:][~last[:, :-1]], states[:, :-1][~last[:, :-1]] + 1)
    assert 0 < last[:, 0].mean() < 1
    ended = learnt(replace(QUICK, rounds=1, updates=1), Climb(ends=True)).experience
    assert ended.states.max() == 0
    assert ended.terminated.all()
    assert ended.last.all()


def test_equal_seeds_learn_the_same_and_others_do_not():
    one, same, other = (learnt(replace(QUICK, rounds=2), seed=s) for s in (1, 1, 2))

    assert np.array_equal(values(one), values(same))
    assert np.array_equal(one.experience.states, same.experience.states)
    assert one.rounds == same.rounds
    assert not np.array_equal(values(one), values(other))
    assert [r.environment_steps for r in one.rounds] == [128, 256]


def retained(rng, rewards):
    count, flags = len(rewards), np.zeros(len(rewards), bool)
    states, actions = rng.uniform(-1, 1, (2, count, 1))
    return strips(states, actions, rewards, states, flags, flags, steps=8)


def offline(experience, **given):
    return learn_soft_q(QUICK, 0, network(), LINE, experience=experience, **given)


def test_retained_experience_alone_teaches_the_same():
    made = offline(retained(np.random.default_rng(0), np.ones(400)))

    assert values(made) == pytest.approx(2.0, abs=0.03)
    assert {r.environment_steps for r in made.rounds} == {0}


def test_inside_a_mask_retained_experience_is_worth_what_practice_is():
    rng = np.random.default_rng(0)
    made = retained(rng, np.zeros(400))
    made = offline(made.without(made.actions < 0), above=[right_half()])

    assert values(made, (0.1, 0.9)) == pytest.approx(np.log(0.5), abs=0.03)


def test_strips_of_which_nothing_is_kept_are_passed_over(monkeypatch):
    rewards, removed = np.full(400, 1000.0), np.ones(400, bool)
    rewards[392:], removed[392:] = 1.0, False
    made = learn_soft_q(
        replace(QUICK, rounds=3, replayed=1), 0, network(), LINE,
        experience=retained(np.random.default_rng(0), rewards).without(removed),
    )  # fmt: skip

    assert made.network.out.bias.abs().item() < 3


def test_transitions_that_are_not_kept_teach_nothing():
    rng = np.random.default_rng(0)
    rewards = np.ones(400)
    rewards[::3] = 1000.0
    made = offline(retained(rng, rewards).without(rewards > 1))

    assert values(made) == pytest.approx(2.0, abs=0.03)


def test_what_cannot_be_learnt_is_refused():
    rng = np.random.default_rng(0)
    few = retained(rng, np.zeros(8))
    with pytest.raises(ParameterError, match="nothing to learn from"):
        learn_soft_q(QUICK, 0, network(), LINE)
    with pytest.raises(ParameterError, match="nothing to learn from"):
        offline(few.without(np.ones(8, bool)))
    with pytest.raises(ParameterError, match="retained strips of 8 steps; expected 7"):
        learnt(replace(QUICK, steps=7), experience=few)
    with pytest.raises(StepError, match="values became infinite"):
        learnt(replace(QUICK, rounds=1), Nowhere(basic=1e30))


def everything(made):
    """Weights, experience and rounds as one list of arrays."""
    weights = [value.numpy() for value in made.network.state_dict().values()]
    return [*weights, *vars(made.experience).values(), np.array(made.rounds)]


def killed_and_resumed(monkeypatch, folder, run, at):
    """What comes of a run that is killed in a round and begun again."""
    whole_round = soft_q._Learner.round

    def killed(self, number):
        if number == at:
            raise KeyboardInterrupt
        return whole_round(self, number)

    monkeypatch.setattr(soft_q, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(soft_q._Learner, "round", killed)
    with pytest.raises(KeyboardInterrupt):
        run(folder)
    done = list[int]()

    def counted(self, number):
        done.append(number)
        return whole_round(self, number)

    monkeypatch.setattr(soft_q._Learner, "round", counted)
    return run(folder), done


@pytest.mark.parametrize("averaging", [1.0, 0.1])
@pytest.mark.parametrize("practised", [True, False])
def test_a_killed_learning_goes_on_from_its_checkpoint_to_the_same_bits(
    averaging, practised, monkeypatch, tmp_path
):
    schedule = replace(QUICK, rounds=5, averaging=averaging, episode=5)
    given = retained(np.random.default_rng(0), np.ones(400))

    def run(folder):
        return learn_soft_q(
            schedule, 7, network(), LINE, above=[right_half()], folder=folder,
            **({"surroundings": Nowhere(reward=1.0)} if practised else {"experience": given}),
        )  # fmt: skip

    whole = run(None)
    resumed, done = killed_and_resumed(monkeypatch, tmp_path, run, at=3)

    assert done == [2, 3, 4]
    pairs = list(zip(everything(whole), everything(resumed), strict=True))
    assert all(np.array_equal(one, other) for one, other in pairs)
    done.clear()
    again = run(tmp_path)
    assert done == []
    assert np.array_equal(values(again), values(whole))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    few = replace(QUICK, rounds=2)
    learnt(few, folder=tmp_path)

    with pytest.raises(DataError, match="the checkpoint is of another run: its seed is 0"):
        learnt(few, folder=tmp_path, seed=1)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"rounds": 0}, "rounds is 0; expected 1 or more"), ({"trace": 1.1}, "trace is 1.1"),
     ({"temperature": 0.0}, "temperature is 0.0; expected more than 0"),
     ({"explore": np.nan}, "explore is nan; expected 0 to 1")],
)  # fmt: skip
def test_a_schedule_out_of_range_is_refused(wrong, told):
    with pytest.raises(ParameterError, match=told):
        replace(QUICK, **wrong)


def test_progress_is_told_round_by_round(monkeypatch):
    told = []
    monkeypatch.setattr(
        soft_q, "task", type("T", (), {"progress": lambda _, *given: told.append(given)})
    )
    learnt(replace(QUICK, rounds=2))

    assert told == [(1, 2, "rounds"), (2, 2, "rounds")]


def test_point_surroundings_are_the_world_of_the_oracle():
    rng = np.random.default_rng(0)
    space = PointSurroundings("obstacle", ends_on_collision=True)
    landed = space.step(np.array([[0.0, 2.0], [9.0, 0.0]]), np.array([[0.0, 1.5], [3.0, 4.0]]), rng)

    assert landed.states == pytest.approx(np.array([[0.0, 3.0], [9.6, 0.8]]))
    assert landed.rewards == pytest.approx([-11.0, -np.exp(-0.5 * 4.6**2)])
    assert landed.terminated.tolist() == [True, False]
    kept = PointSurroundings("top").step(landed.states, np.zeros((2, 2)), rng)
    assert (kept.rewards.tolist(), kept.terminated.any()) == ([-1.0, -1.0], False)
    noisy = PointSurroundings("top", sigma=0.5).step(np.zeros((2000, 2)), np.zeros((2000, 2)), rng)
    assert noisy.states.std() == pytest.approx(0.5, rel=0.1)
    with pytest.raises(ParameterError, match="no task 'up'"):
        PointSurroundings("up")
    with pytest.raises(ParameterError, match="noise of -1"):
        PointSurroundings("top", sigma=-1)
