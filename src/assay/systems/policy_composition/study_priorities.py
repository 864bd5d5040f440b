"""The study `priorities`: the same tasks in other orders, three to five of them, some opposed."""

from assay.core.claims import Check, Claim
from assay.core.decisions import Preset, assign
from assay.core.estimands import difference
from assay.core.study import Study
from assay.core.workflow import Workflow
from assay.systems.policy_composition.evaluate import evaluate, masks_of_orders
from assay.systems.policy_composition.navigation import TASKS
from assay.systems.policy_composition.study import COARSE, MEASURED, NOTES, OWN, exactness
from assay.systems.policy_composition.train import compose, solve_tasks

TOP_FIRST, SIDE_FIRST = "obstacle > top > side", "obstacle > side > top"
TOP_OVER, BOTTOM_OVER = "obstacle > top > bottom", "obstacle > bottom > top"
UNSAFE, FOUR = "top > obstacle > side", "obstacle > top > side > bottom"
FIVE = "obstacle > top > side > bottom > left"
ORDERS = {
    name: name.split(" > ")
    for name in (TOP_FIRST, SIDE_FIRST, TOP_OVER, BOTTOM_OVER, UNSAFE, FOUR, FIVE)
}


def priorities_workflow() -> Workflow:
    """Five tasks, stacked in an order; what two orders have in common."""
    flow = Workflow("priorities")
    solved = flow.step("tasks", solve_tasks, tasks=list(TASKS), nodes=61, per_axis=13)
    given = {"policies": solved.policies}
    made = flow.step("composite", compose, **given, order=ORDERS[TOP_FIRST])
    flow.step("measured", evaluate, composite=made.composite)
    flow.step("compared", masks_of_orders, **given, one=ORDERS[TOP_FIRST], other=ORDERS[SIDE_FIRST])
    return flow


def priorities() -> Study:
    """What does the order of tasks decide, and what do further levels cost those above?"""
    return Study(
        priorities_workflow(),
        title="What does the order of priorities decide?",
        decisions={
            "order": {name: assign("composite.order", order) for name, order in ORDERS.items()}
        },
        seeds=5,
        claims=_claims(),
        checks=[
            *exactness(),
            *(
                Check(
                    id=id,
                    sentence=f"With {order} no episode meets the obstacle",
                    source=MEASURED,
                    measure="collision_rate",
                    where={"order": order},
                    equals=0.0,
                )
                for id, order in (("K4", TOP_FIRST), ("K5", SIDE_FIRST), ("K6", FIVE))
            ),
            Check(
                id="K7",
                sentence=f"The second levels of {TOP_FIRST} and of {SIDE_FIRST} leave different "
                "actions",
                source=NOTES,
                measure="mask_difference",
                at_least=1e-6,
            ),
        ],
        presets={
            "tiny": Preset(
                set=COARSE,
                seeds=2,
                note="Seven orders on a coarse grid, forty starts, two seeds: seconds once the "
                "solver is compiled.",
            ),
            "small": Preset(
                note="Seven orders, 61 x 61 states, 169 actions, 300 starts, five seeds: minutes "
                "on two cores.",
            ),
        },
        figures="assay.systems.policy_composition.figures:priorities_figures",
    )


def _claims() -> list[Claim]:
    return [
        Claim(
            id="R1",
            sentence="Where the top stands above the side, more of the episode is spent at the top",
            source=NOTES,
            estimand=difference("return", "order", TOP_FIRST, SIDE_FIRST, task="top"),
            direction="above",
        ),
        Claim(
            id="R2",
            sentence="Where the side stands above the top, more of the episode is spent at the "
            "side",
            source=NOTES,
            estimand=difference("return", "order", SIDE_FIRST, TOP_FIRST, task="side"),
            direction="above",
        ),
        Claim(
            id="R3",
            sentence="The top earns at least 20 more per episode above the bottom than below it",
            source=OWN,
            estimand=difference("return", "order", TOP_OVER, BOTTOM_OVER, task="top"),
            direction="above",
            margin=20.0,
        ),
        Claim(
            id="R4",
            sentence="Two more levels, opposed to the second and the third, take no more than 15 "
            "from what the second earns per episode",
            source=OWN,
            estimand=difference("return", "order", FIVE, TOP_FIRST, task="top"),
            direction="above",
            margin=-15.0,
        ),
        Claim(
            id="R5",
            sentence="With the top above the obstacle more episodes meet the obstacle",
            source=OWN,
            estimand=difference("collision_rate", "order", UNSAFE, TOP_FIRST),
            direction="above",
        ),
    ]
