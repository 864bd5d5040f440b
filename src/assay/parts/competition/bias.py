"""The challenge design as one page: each item of the checklist told, or said not to be.

The items are those of BIAS (Maier-Hein et al. 2020): mission, organisation, data, and of the
assessment metrics, ranking and statistical analyses. What `challenge.yaml` fixes anyway is written
from it, so that the page and the rules cannot differ; reasons and background are the organisers'
own words.
"""

from collections.abc import Callable, Iterable, Iterator

from assay.parts.competition.challenge import utc
from assay.parts.competition.schema import BIAS_ITEMS, BiasItem, Challenge

__all__ = ["NOT_TOLD", "design", "untold"]

NOT_TOLD = "**Not told.**"
TITLES: dict[BiasItem, str] = {
    "mission": "Mission",
    "organisation": "Organisation",
    "data": "Data",
    "metrics": "Assessment: metrics",
    "ranking": "Assessment: ranking",
    "statistics": "Assessment: statistical analyses",
}


def design(challenge: Challenge) -> str:
    """The page `challenge design.md`, in Markdown."""
    parts = [f"# {challenge.title}: challenge design\n"]
    for item in BIAS_ITEMS:
        told = challenge.bias.get(item, "").strip() or NOT_TOLD
        facts = "\n".join(FACTS[item](challenge))
        parts.append(f"## {TITLES[item]}\n\n{told}\n" + (f"\n{facts}\n" if facts else ""))
    return "\n".join(parts)


def untold(challenge: Challenge) -> tuple[BiasItem, ...]:
    """Items about which the organisers say nothing."""
    return tuple(item for item in BIAS_ITEMS if not challenge.bias.get(item, "").strip())


def _mission(challenge: Challenge) -> Iterator[str]:
    for name, task in challenge.tasks.items():
        what = (
            f"boxes of {_listed(challenge.classes)}"
            if task.kind == "boxes"
            else f"{_listed(task.columns)} of each case"
        )
        yield f"- Task `{name}`: predict {what}."


def _organisation(challenge: Challenge) -> Iterator[str]:
    yield f"- Organisers: {_listed(challenge.organisers)}."
    for phase in challenge.phases:
        tries = phase.tries or challenge.limits.tries
        yield (
            f"- Phase `{phase.name}`: from {utc(phase.opens)} to {utc(phase.closes)}, on the cases "
            f"`{phase.cases}`; {_count(tries, 'submission')} of each team."
        )
    limits = challenge.limits
    yield (
        f"- A submission takes at most {limits.bytes:,} bytes in {_count(limits.members, 'file')}, "
        f"{_count(limits.boxes_per_image, 'box')} in an image, {limits.seconds:,} s and "
        f"{limits.memory_bytes:,} bytes of memory. The limits are the same for a check at home."
    )


def _data(challenge: Challenge) -> Iterator[str]:
    for name, cases in challenge.cases.items():
        yield f"- `{name}`: {_count(len(cases), 'case')}."
    for name, task in challenge.tasks.items():
        for column, (low, high) in task.columns.items():
            yield f"- `{name}`: `{column}` is a number from {low:g} to {high:g}."


def _metrics(challenge: Challenge) -> Iterator[str]:
    for name, task in challenge.tasks.items():
        for measure in task.metrics:
            better = "small" if measure.small_better else "large"
            yield f"- `{name}`: `{measure.id}`, {measure.metric.title}; {better} is better."
        rule = {
            "refuse": "A submission that lacks a prediction is refused.",
            "worst": "A missing prediction has the worst value there can be.",
        }
        yield f"- `{name}`: {rule[task.missing]}"


def _ranking(challenge: Challenge) -> Iterator[str]:
    rule = challenge.ranking
    if rule.method == "overall":
        yield "- Entries are ranked by the overall value of a metric."
    else:
        yield f"- Of a metric, over cases: {rule.method}, by the {rule.aggregate}."
    yield f"- Equal entries: `{rule.ties}`."
    missing = "no rule" if rule.missing is None else f"`{rule.missing}`"
    yield f"- A value that is missing: {missing}."
    over = {"mean-rank": "the mean of the ranks", "none": "none"}[rule.consensus]
    yield f"- Over metrics: {over}."
    yield "- Who lacks a metric is not ranked, and the reason is shown."


def _statistics(challenge: Challenge) -> Iterator[str]:
    rule = challenge.ranking
    yield (
        f"- Pairs of entries: one-sided signed-rank tests at {rule.alpha:g}, adjusted over all "
        f"ordered pairs (`{rule.adjust}`)."
    )
    yield (
        f"- Stability: {_count(rule.bootstrap.draws, 'bootstrap draw')} of the cases, seed "
        f"{rule.bootstrap.seed}."
    )


FACTS: dict[BiasItem, Callable[[Challenge], Iterator[str]]] = {
    "mission": _mission,
    "organisation": _organisation,
    "data": _data,
    "metrics": _metrics,
    "ranking": _ranking,
    "statistics": _statistics,
}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _count(n: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("x") else f"{noun}s"
    return f"{n:,} {noun if n == 1 else plural}"
