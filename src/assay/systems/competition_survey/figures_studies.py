"""The figures of the studies on simulated surveys."""

from collections.abc import Callable, Iterator
from functools import partial

from assay.core.charts import curve, dots
from assay.core.figures import Chart, Figure
from assay.core.run import Run


def aggregation_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """The gap between the two answers, and how often they fall on different sides of a half."""
    for measure, title in (
        ("gap", "How far the pooled share and the median over competitions lie apart"),
        ("disagree", "How often one says most teams and the other says few"),
    ):
        yield partial(
            dots,
            run.records,
            measure,
            by=["link", "sd"],
            name=measure,
            title=title,
            caption="Mean over published shares and seeds with its 95 % interval. link: change of "
            "the logit with one standard deviation of the logarithm of the team count; sd: "
            "standard deviation of competitions' effects on the logit.",
        )
    yield partial(gap_by_share, run)


def gap_by_share(run: Run) -> Chart:
    """Pooled shares and medians by the share that was drawn from."""
    records = run.records[run.records["measure"] == "gap"]
    return curve(
        records,
        "gap",
        "marginal",
        by="link",
        name="gap_by_share",
        title="The gap by the share that was drawn from",
        caption="Mean over the other decision and seeds, with its 95 % interval. Without a link "
        "the gap is least where the share is a half, since there the mean and the median of "
        "competitions are the same.",
        x_title="share without the link",
        y_title="gap",
    )


def winners_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Power, false findings and effects."""
    records = run.records
    shown = [
        ("found", ["planted", "model", "strategy"], "How often a planted strategy is found"),
        ("any_false", ["planted", "model"], "How often a strategy without effect is found"),
        ("effect", ["planted", "model", "strategy"], "Effects on the normalised rank"),
    ]
    for measure, by, title in shown:
        if (records["measure"] == measure).any():
            yield partial(
                dots,
                records,
                measure,
                by=by,
                name=measure,
                title=title,
                caption="Mean over seeds with its 95 % interval. Ranks run from 0, the last, to 1, "
                "the first; a finding has Holm's p below 0.05 over all strategies.",
            )


def coverage_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """How often intervals cover, and by how much shares are off."""
    yield partial(
        dots,
        run.records,
        "coverage",
        by=["marginal", "interval"],
        name="coverage",
        title="How often the intervals cover the share that surveys are drawn from",
        caption="Mean over seeds with its 95 % interval; nominal is 0.95. Wilson's interval takes "
        "teams to be independent; the bootstrap draws whole competitions.",
    )
    yield partial(
        dots,
        run.records,
        "share_error",
        by=["figure"],
        name="share_error",
        title="By how much the pooled shares are off",
        caption="Own share minus the published one that the survey was drawn from: mean over seeds "
        "with its 95 % interval.",
    )
