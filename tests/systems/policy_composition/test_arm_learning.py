"""The arm's components: learning, policies, what is measured, the film, the study."""

import numpy as np
import pytest

from assay.errors import ParameterError
from assay.systems.policy_composition import arm as world
from assay.systems.policy_composition import arm_evaluate as evaluate_module
from assay.systems.policy_composition.arm import Arm
from assay.systems.policy_composition.arm_critic import arm_box, arm_level, network_of, sampler_of
from assay.systems.policy_composition.arm_evaluate import evaluate_arm, what_happened
from assay.systems.policy_composition.arm_film import film_arm
from assay.systems.policy_composition.arm_learning import adapt_arm, arm_world, learn_arm
from assay.systems.policy_composition.arm_policies import (
    METHODS,
    STACKS,
    ArmLevels,
    arm_policy,
    forbidden,
    roll_out,
)
from assay.systems.policy_composition.arm_proposals import Proposals
from assay.systems.policy_composition.indifference import IndifferenceSpace
from assay.systems.policy_composition.null_space import arm_actions
from assay.systems.policy_composition.q_network import Quality
from assay.systems.policy_composition.study_arm import arm as arm_study

FEW = {"environment_steps": 2560, "updates": 5, "width": 8, "seed": 1, "proposals": "corners"}
SLACK = 0.01
TWO = Arm((0.6, 0.4), ((0.6, 0.5, 0.2),), (1.0, 0.0), (0.3, 0.0), tolerance=0.1)


@pytest.fixture(scope="module")
def place():
    return arm_world()


@pytest.fixture(scope="module")
def avoid(place):
    return learn_arm(place, task="avoid", **FEW)


@pytest.fixture(scope="module")
def levels(place, avoid):
    reach = learn_arm(place, task="reach", **FEW | {"proposals": "sampler"})
    adapted = adapt_arm([avoid.critic], task="reach", epsilon=SLACK, **FEW)
    return ArmLevels(avoid.critic, reach.critic, adapted.critic)


def measured(records, measure, **keys):
    (row,) = [r for r in records if r["measure"] == measure and keys.items() <= r.items()]
    return row["value"]


def test_a_world_is_an_arm_of_equal_links_one_long():
    made = arm_world(home=[-0.5, 0.0], discs=[(0.5, 0.5, 0.1)], target=(0.0, 0.9), spread=0.2)

    assert made == Arm((0.5, 0.5), ((0.5, 0.5, 0.1),), (0.0, 0.9), (-0.5, 0.0), 0.2)
    assert arm_world().count == 7


def test_a_task_is_learnt_within_its_budget_and_repeats(place, avoid):
    again, other = (learn_arm(place, task="avoid", **FEW | {"seed": s}) for s in (1, 2))

    assert measured(avoid.records, "environment_steps") == 2560
    assert (avoid.critic.task, avoid.critic.width, avoid.critic.sampler) == ("avoid", 8, {})
    assert avoid.records == again.records
    assert avoid.records != other.records
    same = [np.array_equal(v, again.critic.weights[k]) for k, v in avoid.critic.weights.items()]
    assert all(same)
    steps = [r["training_step"] for r in avoid.records if r["measure"] == "training_loss"]
    assert steps == [1280, 2560]


def test_practice_of_avoid_begins_in_discs_too_and_that_of_reach_does_not(place, monkeypatch):
    from assay.systems.policy_composition import arm_practice

    asked = list[bool]()
    plain = arm_practice.practice_poses

    def poses(*given, clear):
        asked.append(clear)
        return plain(*given, clear=clear)

    monkeypatch.setattr(arm_practice, "practice_poses", poses)
    few = FEW | {"environment_steps": 1280}
    critic = learn_arm(place, task="avoid", **few).critic
    assert not any(asked)
    asked.clear()
    learn_arm(place, task="reach", **few)
    adapt_arm([critic], task="reach", **few)
    assert all(asked)


def test_a_sampler_is_learnt_along_with_its_critic(levels):
    assert levels.reach.sampler
    assert not levels.adapted.sampler
    assert sampler_of(levels.reach) is not None


def test_a_level_is_adapted_inside_those_above(avoid, monkeypatch):
    from assay.systems.policy_composition import arm_practice

    seen, plain = list[tuple[np.ndarray, np.ndarray]](), arm_practice.joined

    def spied(parts):
        given = list(parts)
        seen.append((given[-1].states.reshape(-1, 7), given[-1].actions.reshape(-1, 7)))
        return plain(given)

    monkeypatch.setattr(arm_practice, "joined", spied)
    made = adapt_arm([avoid.critic], task="reach", epsilon=SLACK, **FEW)
    level = arm_level(avoid.critic, SLACK)
    slack = np.concatenate([level.slack(s, a[:, None]) for s, a in seen])

    assert len(slack) == 2560
    assert slack.min() > -1e-4
    assert made.critic.task == "reach"
    with pytest.raises(ParameterError, match="no level above"):
        adapt_arm([], task="reach", **FEW)


@pytest.mark.parametrize("method", STACKS)
def test_a_stack_takes_no_forbidden_turn_and_its_last_level_alone_does(levels, method):
    begin = world.starts(levels.avoid.arm, 20, np.random.default_rng(0))
    level = arm_level(levels.avoid, SLACK)

    def share(name):
        policy = arm_policy(name, levels, SLACK, 8, np.random.default_rng(1))
        return forbidden(level_arm, level, roll_out(level_arm, policy, begin, 10)).mean()

    level_arm = levels.avoid.arm
    assert share(method) == 0.0
    assert share("reach alone") > 0.1


@pytest.mark.parametrize("kind", ["sampler", "corners"])
@pytest.mark.parametrize("method", ["reach alone", "sum of values"])
def test_of_the_proposals_of_its_kind_the_best_is_taken(levels, method, kind):
    arm, last = levels.avoid.arm, levels.reach if kind == "sampler" else levels.adapted
    poses = world.starts(arm, 9, np.random.default_rng(0))
    policy = arm_policy(
        method, levels._replace(reach=last), SLACK, 8, np.random.default_rng(1)
    )  # fmt: skip
    offer = Proposals(
        arm_box(arm), [], 8, np.random.default_rng(1), sampler_of(last), corners=kind == "corners"
    )
    actions = offer(poses).actions
    worth = Quality(network_of(last))(poses, actions)
    if method == "sum of values":
        worth = worth + Quality(network_of(levels.avoid))(poses, actions)

    assert last.proposals == kind
    assert (policy(poses) == actions[np.arange(9), worth.argmax(axis=1)]).all()


@pytest.mark.parametrize("variant", ["plain", "strict"])
def test_null_space_control_is_that_of_its_variant(levels, variant):
    arm = levels.avoid.arm
    poses = world.starts(arm, 9, np.random.default_rng(0))
    policy = arm_policy(f"null-space, {variant}", levels, 0.0, 1, np.random.default_rng(1))

    assert (policy(poses) == arm_actions(arm, poses, variant=variant)).all()


def test_a_roll_out_is_made_of_moves():
    paths = roll_out(TWO, lambda poses: np.full_like(poses, 0.5), np.zeros((2, 2)), 3)

    assert paths[1] == pytest.approx(np.arange(4)[:, None] * [0.025, 0.025])


def test_a_move_is_judged_by_where_it_led():
    """The level allows forwards turns of the first joint only, from 0.2 below the best on."""
    level = IndifferenceSpace(lambda s, a: a[..., 0], 0.2, arm_box(TWO))
    speeds = np.array([1.0, 0.8, 0.79, -1.0])
    paths = np.zeros((1, 5, 2))
    paths[0, 1:, 0] = np.cumsum(speeds) * TWO.stride

    assert forbidden(TWO, level, paths).tolist() == [[False, False, True, True]]


def test_what_happened_to_hand_drawn_arms():
    """Of length 1: up at 45 degrees it meets the disc at (0.6, 0.5), flat it is at the target."""
    up, flat, away = np.array([np.pi / 4, 0.0]), np.array([0.0, 0.0]), np.array([-np.pi / 2, 0.0])
    found = what_happened(
        TWO, np.array([[flat, up, flat, flat], [up, away, flat, away], [away, away, away, away]])
    )

    assert measured(found, "episodes") == 3
    assert measured(found, "touch_rate") == pytest.approx(1 / 3)  # first poses do not count
    assert measured(found, "success_rate") == pytest.approx(2 / 3)
    assert measured(found, "stay_rate") == pytest.approx(1 / 3)
    assert measured(found, "distance") == pytest.approx((0 + 2 * 2**0.5) / 3)
    assert measured(found, "steps_to_reach") == pytest.approx((2 + 2 + 3) / 3)
    none = what_happened(TWO, np.array([[away, away]]))
    assert measured(none, "steps_to_reach") == 1.0


def test_every_method_is_measured_from_the_same_poses_and_repeats(levels):
    few = {"epsilon": SLACK, "episodes": 5, "steps": 3, "proposals": 4, "seed": 2}
    made = {m: evaluate_arm(*levels, method=m, **few) for m in METHODS}
    again = evaluate_arm(*levels, method="adapted", **few)

    begins = [each.shown.paths[:, 0] for each in made.values()]
    assert all((b == begins[0]).all() for b in begins)
    assert made["adapted"].records == again.records
    assert made["adapted"].shown.paths.shape == (5, 4, 7)
    counted = [
        m for m, e in made.items() if "forbidden_actions" in {r["measure"] for r in e.records}
    ]
    assert counted == list(STACKS)
    assert all(measured(made[m].records, "forbidden_actions") == 0 for m in STACKS)


def test_a_forbidden_turn_of_a_stack_is_found_out(levels, monkeypatch):
    """The audit sees where the arm went: here it does what the last level alone would do."""
    plain = arm_policy
    monkeypatch.setattr(
        evaluate_module, "arm_policy", lambda method, *given: plain("reach alone", *given)
    )
    made = evaluate_arm(
        *levels, method="zero-shot", epsilon=SLACK, episodes=5, steps=5, proposals=4, seed=2
    )

    assert measured(made.records, "forbidden_actions") > 0


def test_a_film_shows_every_method_from_one_pose(levels):
    from PIL import Image

    methods = ["reach alone", "null-space, strict"]
    made = film_arm(*levels, methods=methods, steps=4, proposals=4, pixels=80, seed=2)
    with Image.open(made.animation) as image:
        size, frames = image.size, getattr(image, "n_frames", 1)

    assert made.methods == methods
    assert made.paths.shape == (2, 5, 7)
    assert (made.paths[0, 0] == made.paths[1, 0]).all()
    assert (made.paths[0, 1] != made.paths[1, 1]).any()
    assert (size[0], frames) == (160, 5)
    off = world.joints(made.arm, made.paths[:, -1].astype(float))[:, -1] - made.arm.target
    for number, method in enumerate(methods):
        told = measured(made.records, "filmed_distance", filmed=method)
        assert told == pytest.approx(np.hypot(*off[number]), abs=1e-5)
        touched = world.touches(made.arm, made.paths[number, 1:].astype(float)).sum()
        assert measured(made.records, "filmed_touches", filmed=method) == touched


def test_the_study_plans_every_policy_with_both_kinds_of_proposals():
    study = arm_study()

    assert len(study.plan("tiny").trials) == 2 * len(METHODS)
    assert len(study.plan("small").trials) == 6 * len(METHODS)
    assert {c.id for c in (*study.claims, *study.checks)}
