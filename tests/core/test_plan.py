"""From a study to a graph: each distinct computation once, and nothing that nobody needs."""

import itertools
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.component import Seed, component, describe
from assay.core.decisions import assign, sweep, use
from assay.core.plan import Node, Plan, Source, bottlenecks, derive_seed
from assay.core.records import Records
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.errors import ParameterError
from core import toys


class Mode(Enum):
    FAST = "fast"
    SLOW = "slow"


@component
def draw_each(*, mode: Mode, size: float, seed: Seed) -> float:
    return float(seed)


@component
def gather_two(a: list[float], b: list[float]) -> Records:
    return Records()


@component
def pairs(xs: list[float], y: float) -> float:
    return sum(xs) + y


def steps_of(plan, trial=0):
    return {step: len(members) for step, members in plan.trials[trial].nodes.items()}


def count(plan, step):
    """Distinct computations at a step over all trials."""
    return len({node for t in plan.trials for node in t.nodes[step].values()})


# -- sharing ------------------------------------------------------------------------------------


def test_steps_that_trials_share_are_laid_out_once():
    flow = Workflow("flow")
    x = flow.step("x", toys.number)
    y = flow.step("y", toys.scale, x=x)
    z = flow.step("z", toys.shift, x=y)
    flow.step("m", toys.measure, x=z)
    decisions = {"by": sweep("y.by", [1.0, 2.0, 3.0]), "amount": sweep("z.amount", [1.0, 2.0])}
    plan = Study(flow, decisions=decisions, seeds=4).plan()

    assert len(plan.trials) == 24
    assert [count(plan, s) for s in ("x", "y", "z", "m")] == [1, 3, 6, 6]
    assert len(plan.nodes) == 16


def test_two_steps_that_compute_the_same_are_one_node():
    flow = Workflow("flow")
    a, b = flow.step("a", toys.number, value=2), flow.step("b", toys.number, value=2.0)
    flow.step("sum", toys.total, xs=[a, b])
    plan = Study(flow).plan()

    assert len(plan.nodes) == 2
    assert plan.trials[0].nodes["a"] == plan.trials[0].nodes["b"]


def test_steps_that_draw_are_never_one_node():
    flow = Workflow("flow")
    for name in ("a", "b"):
        flow.step(f"m{name}", toys.measure_sample, sample=flow.step(name, toys.draw))
    plan = Study(flow, seeds=2).plan()

    assert len(plan.nodes) == 8


def test_a_choice_downstream_does_not_multiply_what_is_upstream_of_an_exchange():
    flow = Workflow("flow")
    sample = flow.step("sample", toys.draw)
    flow.step("m", toys.measure_sample, sample=sample)
    x = flow.step("x", toys.number)
    flow.step("n", toys.measure, x=flow.step("y", toys.scale, x=x))
    decisions = {"way": {"a": [], "b": use("y", toys.shift), "c": assign("y.by", 9.0)}}
    plan = Study(flow, decisions=decisions, seeds=2).plan()

    assert [count(plan, s) for s in ("sample", "m", "x", "y", "n")] == [2, 2, 1, 3, 3]


def test_nodes_come_after_what_feeds_them():
    flow = Workflow("flow")
    members = flow.each("e", toys.number, over={"value": [1, 2, 3]})
    flow.step("m", toys.measure, x=flow.step("t", toys.total, xs=members))
    plan = Study(flow, decisions={"name": sweep("m.name", ["a", "b"])}).plan()
    seen = set()
    for name, node in plan.nodes.items():
        assert name == node.id
        assert {s.node for s in node.sources()} <= seen
        seen.add(name)


# -- what is needed -----------------------------------------------------------------------------


def test_steps_nobody_needs_are_not_laid_out():
    flow = Workflow("flow")
    x = flow.step("x", toys.number)
    flow.step("m", toys.measure, x=x)
    flow.step("aside", toys.shift, x=flow.step("before", toys.scale, x=x))
    plan = Study(flow).plan()

    assert steps_of(plan) == {"x": 1, "m": 1}
    assert plan.targets == set(plan.trials[0].nodes["m"].values())


def test_outputs_are_needed_beside_what_measures():
    flow = Workflow("flow")
    x = flow.step("x", toys.number)
    flow.step("m", toys.measure, x=x)
    flow.step("unneeded", toys.shift, x=x)
    flow.output("doubled", flow.step("double", toys.scale, x=x))

    assert set(steps_of(Study(flow).plan())) == {"x", "m", "double"}


def test_without_measures_and_outputs_every_last_step_is_needed():
    flow = Workflow("flow")
    x = flow.step("x", toys.number)
    flow.step("a", toys.shift, x=x)
    flow.step("b", toys.scale, x=x)
    plan = Study(flow).plan()

    assert set(steps_of(plan)) == {"x", "a", "b"}
    assert {plan.nodes[t].step for t in plan.targets} == {"a", "b"}


# -- members ------------------------------------------------------------------------------------


def test_each_lays_out_one_node_per_member_and_gathers_them_in_order():
    flow = Workflow("flow")
    members = flow.each("e", toys.number, over={"value": [3, 1, 2]})
    more = flow.each("f", toys.scale, x=members)
    flow.step("t", toys.total, xs=more)
    plan = Study(flow).plan()
    (total,) = plan.trials[0].nodes["t"].values()
    (gather,) = plan.nodes[total].inputs["xs"]

    assert steps_of(plan) == {"e": 3, "f": 3, "t": 1}
    assert [i for i, _ in gather.members] == [(0,), (1,), (2,)]
    scaled = [plan.nodes[s.node] for _, s in gather.members]
    assert [n.member for n in scaled] == [{"value": 3}, {"value": 1}, {"value": 2}]
    fed = [plan.nodes[n.inputs["x"].node].params["value"] for n in scaled]
    assert fed == [3.0, 1.0, 2.0]


def test_members_that_are_equal_are_computed_once():
    flow = Workflow("flow")
    members = flow.each("e", toys.number, over={"value": [1, 1, 2]})
    flow.step("t", toys.total, xs=members)
    plan = Study(flow).plan()
    (total,) = plan.trials[0].nodes["t"].values()

    assert len(plan.nodes) == 3
    assert len(plan.nodes[total].sources()) == 3


def test_two_axes_cross_and_a_list_gathers_all_of_the_product():
    flow = Workflow("flow")
    a = flow.each("a", toys.number, over={"value": [1, 2]})
    b = flow.each("b", toys.shift, x=a, over={"amount": [10, 20, 30]})
    flow.step("t", toys.total, xs=b)
    plan = Study(flow).plan()
    members = [plan.nodes[n].member for n in plan.trials[0].nodes["b"].values()]

    assert members == [{"value": v, "amount": m} for v in (1, 2) for m in (10, 20, 30)]


def test_axes_of_one_parameter_name_are_told_apart():
    flow = Workflow("flow")
    a = flow.each("a", toys.shift, x=flow.step("x", toys.number), over={"amount": [1, 2]})
    b = flow.each("b", toys.shift, x=a, over={"amount": [3, 4]})
    flow.step("t", toys.total, xs=b)
    plan = Study(flow).plan()
    labels = [plan.nodes[n].label for n in plan.trials[0].nodes["b"].values()]

    assert labels[0] == "b[amount=1, b.amount=3]"
    assert len(set(labels)) == 4


def test_a_gather_inside_an_each_takes_the_members_that_agree_with_it():
    flow = Workflow("flow")
    a = flow.each("a", toys.number, over={"value": [1, 2]})
    b = flow.each("b", toys.shift, x=a, over={"amount": [10, 20, 30]})
    c = flow.each("c", pairs, xs=b, y=a)
    flow.step("t", toys.total, xs=c)
    plan = Study(flow).plan()

    assert steps_of(plan)["c"] == 2
    for position, node in plan.trials[0].nodes["c"].items():
        (gather,) = plan.nodes[node].inputs["xs"]
        values = {plan.nodes[s.node].member["value"] for _, s in gather.members}
        assert values == {(1, 2)[position[0]]}
        assert [i for i, _ in gather.members] == [(0,), (1,), (2,)]


@pytest.mark.parametrize(("min_ok", "least"), [(None, 3), (1, 1), (3, 3)])
def test_a_gather_knows_how_many_members_must_succeed(min_ok, least):
    flow = Workflow("flow")
    members = flow.each("e", toys.number, over={"value": [3, 1, 2]}, min_ok=min_ok)
    flow.step("t", toys.total, xs=members)
    plan = Study(flow).plan()
    (total,) = plan.trials[0].nodes["t"].values()
    (gather,) = plan.nodes[total].inputs["xs"]

    assert gather.min_ok == least


def test_a_setting_that_shortens_the_members_asks_for_no_more_than_there_are():
    flow = Workflow("flow")
    members = flow.each("e", toys.number, over={"value": [3, 1, 2]}, min_ok=3)
    flow.step("t", toys.total, xs=members)
    plan = Study(flow).plan(set={"e.value": [4, 5]})
    (total,) = plan.trials[0].nodes["t"].values()

    assert plan.nodes[total].inputs["xs"][0].min_ok == 2


def test_members_that_fail_are_left_out_where_enough_succeed(tmp_path):
    def run(limit):
        flow = Workflow("flow")
        e = flow.each("e", toys.number, over={"value": [1, 2, 30]})
        f = flow.each("f", toys.fails_above, x=e, limit=limit, min_ok=2)
        flow.step("m", toys.measure, x=flow.step("t", toys.total, xs=f))
        return Study(flow).run(workers=0, progress=False, report=False, store=tmp_path)

    assert run(10.0).load("t") == 3.0
    lost = run(1.5)
    assert not lost.ok
    assert lost.summary["failed"] == 1
    (error,) = (m["error"] for m in lost.trials[0]["steps"]["t"])
    assert error == "1 of 3 members of 'f' succeeded, at least 2 are needed"


def test_a_workflow_as_a_step_and_each_inside_it_lay_out_like_steps_of_their_own():
    inner = Workflow("inner")
    members = inner.each("e", toys.shift, x=inner.input("x"), over={"amount": [1, 2]})
    inner.output("sum", inner.step("t", toys.total, xs=members))
    flow = Workflow("flow")
    x = flow.step("x", toys.number)
    flow.step("m", toys.measure, x=flow.step("made", inner, x=x))
    plan = Study(flow, decisions={"amount_": sweep("made/e.amount", [[1, 2], [5]])}).plan()

    assert steps_of(plan) == {"x": 1, "made/e": 2, "made/t": 1, "m": 1}
    assert steps_of(plan, 1)["made/e"] == 1
    assert {n.label for n in plan.nodes.values()} >= {"made/e[amount=1]", "made/e[amount=5]"}


# -- seeds of members ---------------------------------------------------------------------------


def test_members_of_an_each_have_seeds_of_their_own_that_stay_when_others_come():
    def seeds(sizes, modes):
        flow = Workflow("flow")
        members = flow.each("e", draw_each, over={"size": sizes, "mode": modes})
        flow.step("t", toys.total, xs=members)
        plan = Study(flow).plan()
        return [plan.nodes[n].params["seed"] for n in plan.trials[0].nodes["e"].values()]

    few, many = seeds([1, 2], ["fast"] * 2), seeds([7, 2, 1], ["fast"] * 3)

    assert len({*few, *many}) == 3
    assert few == many[:0:-1]


def test_the_spelling_of_a_member_does_not_change_its_seed():
    def seed(size, mode):
        flow = Workflow("flow")
        flow.step(
            "t", toys.total, xs=flow.each("e", draw_each, over={"size": [size], "mode": [mode]})
        )
        plan = Study(flow).plan()
        (node,) = plan.trials[0].nodes["e"].values()
        return plan.nodes[node].params["seed"]

    assert seed(1, "fast") == seed(1.0, Mode.FAST) != seed(1, Mode.SLOW)


def test_a_file_as_a_member_counts_by_content_for_its_seed(tmp_path):
    @component
    def read(*, path: toys.File, seed: Seed) -> float:
        return 0.0

    def seed(name, text):
        (tmp_path / name).write_text(text)
        flow = Workflow("flow")
        flow.step("t", toys.total, xs=flow.each("e", read, over={"path": [tmp_path / name]}))
        plan = Study(flow).plan()
        (node,) = plan.trials[0].nodes["e"].values()
        return plan.nodes[node].params["seed"]

    assert seed("a", "same") == seed("b", "same") != seed("c", "other")


@given(st.integers(0, 2**40), st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5))
def test_streams_of_two_steps_and_two_seeds_differ(seed, one, two):
    assert derive_seed(seed, one, {}) == derive_seed(seed, one, {})
    if one != two:
        assert derive_seed(seed, one, {}) != derive_seed(seed, two, {})
    assert derive_seed(seed, one, {}) != derive_seed(seed + 1, one, {})
    assert derive_seed(seed, one, {}) != derive_seed(seed, one, {"e.x": 1})


# -- the identity of a node ---------------------------------------------------------------------


def test_a_port_counts_in_what_feeds_a_node():
    flow = Workflow("flow")
    cut = flow.step("cut", toys.halve, x=flow.step("x", toys.number))
    flow.step("low", toys.shift, x=cut.low)
    flow.step("high", toys.shift, x=cut.high)
    plan = Study(flow).plan()
    low, high = (next(iter(plan.trials[0].nodes[s].values())) for s in ("low", "high"))
    (cut,) = plan.trials[0].nodes["cut"].values()

    assert low != high
    assert plan.nodes[low].inputs == {"x": Source(cut, "low")}


def test_gathering_two_and_two_is_not_gathering_three_and_one():
    def node(split):
        flow = Workflow("flow")
        made = [flow.step(f"s{n}", toys.number, value=n) for n in range(4)]
        flow.step("g", gather_two, a=made[:split], b=made[split:])
        return next(iter(Study(flow).plan().trials[0].nodes["g"].values()))

    assert node(2) != node(3)


def test_ids_are_equal_wherever_and_whenever_they_are_made():
    def plan():
        flow = Workflow("flow")
        members = flow.each("e", draw_each, over={"size": [1, 2], "mode": ["fast", "slow"]})
        flow.step("t", toys.total, xs=members)
        return Study(flow, seeds=2).plan()

    assert list(plan().nodes) == list(plan().nodes)


def test_a_value_that_is_refused_names_step_and_parameter():
    flow = Workflow("flow")
    flow.step("m", toys.measure_sample, sample=flow.step("d", toys.draw, count=0))

    with pytest.raises(ParameterError, match=r"^d\.count: 0 is refused"):
        Study(flow).plan()


@given(
    values=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    amounts=st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True),
)
def test_nodes_are_the_distinct_computations_and_no_others(values, amounts):
    """Counted by hand: numbers by value, shifts by the pair, one sum per list of sums."""
    flow = Workflow("flow")
    e = flow.each("e", toys.number, over={"value": values})
    f = flow.each("f", toys.shift, x=e)
    flow.step("m", toys.measure, x=flow.step("t", toys.total, xs=f))
    plan = Study(flow, decisions={"amount": sweep("f.amount", amounts)}).plan()

    distinct = len(set(values))
    pairs_ = set(itertools.product(values, amounts))
    assert count(plan, "e") == distinct
    assert count(plan, "f") == len(pairs_)
    assert len(plan.nodes) == distinct + len(pairs_) + 2 * len(amounts)


def test_a_plan_of_a_thousand_trials_is_quick():
    flow = Workflow("flow")
    x = flow.step("x", toys.number)
    flow.step("m", toys.measure, x=flow.step("y", toys.scale, x=x))
    plan = Study(flow, decisions={"by": sweep("y.by", range(1000))}).plan()

    assert isinstance(plan, Plan)
    assert len(plan.nodes) == 2001


# -- steps beside which nothing runs --------------------------------------------------------------


def test_a_chain_has_nothing_but_bottlenecks_and_a_fork_only_its_ends():
    flow = Workflow("flow")
    x = flow.step("x", toys.number)
    y = flow.step("y", toys.scale, x=x)
    flow.step("m", toys.measure, x=y)
    chain = Study(flow).plan()
    fork = Study(flow, decisions={"by": sweep("y.by", [1.0, 2.0])}).plan()

    assert bottlenecks(chain.nodes) == set(chain.nodes)
    assert bottlenecks(fork.nodes) == set(fork.trials[0].nodes["x"].values())


@given(st.lists(st.sets(st.integers(0, 11), max_size=4), max_size=12))
def test_a_bottleneck_comes_before_or_after_every_other_node(fed_by):
    nodes = {str(k): node_fed_by(*(n for n in of if n < k)) for k, of in enumerate(fed_by)}
    before: dict[str, set[str]] = {}
    for name, node in nodes.items():
        sources = [s.node for s in node.sources()]
        before[name] = set(sources).union(*(before[s] for s in sources))

    expected = {
        one for one in nodes
        if all(one == other or one in before[other] or other in before[one] for other in nodes)
    }  # fmt: skip

    assert bottlenecks(nodes) == expected


def node_fed_by(*numbers):
    inputs = {f"x{n}": Source(str(n), "") for n in numbers}
    return Node("", "s", {}, describe(toys.number), {}, inputs)
