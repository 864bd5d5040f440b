"""The figures of a challenge's report: the board, and what it rests on."""

from collections.abc import Callable, Iterator
from functools import partial
from math import isnan

import pandas as pd

from assay.core.figures import Figure, Picture, Table, file_name
from assay.core.run import Run
from assay.parts.competition.failures import Failure
from assay.parts.detection.misses import Panel, panels
from assay.parts.ranking import charts
from assay.parts.ranking.schemes import Scheme, rank
from assay.parts.ranking.stability import Stability

__all__ = ["board_figures"]


def board_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """The board first, then each metric: values, ranks, stability, tests, and hard cases."""
    board, problems = run.load("judged.board"), run.load("judged.problems")
    yield partial(
        Table,
        "board",
        "The board",
        "Places by the mean of the ranks by all metrics, unless the challenge says otherwise. "
        "Entries that are not ranked stand below.",
        short(board),
    )
    unranked = board.loc[board["reason"] != "", ["entry", "team", "reason"]]
    if len(unranked):
        yield partial(
            Table,
            "not-ranked",
            "Who is not ranked, and why",
            "They change nobody's place.",
            unranked.reset_index(drop=True),
        )
    if len(problems):
        yield partial(
            Table, "problems", "What is wrong with refused submissions",
            "One row for each problem, by file and line.", problems,
        )  # fmt: skip
    stabilities: list[Stability] = run.load("judged.stability")
    if stabilities:
        found = [(stability.scores.task, stability) for stability in stabilities]
        yield partial(charts.tau, found, "tau", "How far the rankings hold when cases change")
    for stability in stabilities:
        yield from _of_metric(stability)
    for stability in stabilities:
        yield partial(_hardest, stability)
    failures: list[Failure] = run.load("judged.failures")
    if failures:
        yield partial(_failures, failures)
    yield partial(
        Table,
        "every-number",
        "Every number of the board",
        "With the rank by each metric, and what each team says of its method.",
        board,
    )


def short(board: pd.DataFrame) -> pd.DataFrame:
    """The board as it is shown: places and numbers, empty where there is none."""
    ranks_by = [name for name in board if str(name).startswith("rank by ")]
    shown = board.drop(columns=["method", "reason", *ranks_by])
    numbers = [name for name in shown if name not in ("entry", "team")]
    texts = {
        name: ["" if isnan(value) else f"{value:.4g}" for value in shown[name]] for name in numbers
    }
    return shown.assign(**texts).rename(columns={"mean_rank": "mean rank"})


def _of_metric(stability: Stability) -> Iterator[Callable[[], Figure]]:
    scores, ranking = stability.scores, stability.ranking
    what, name = scores.task, file_name(scores.task)
    holm = Scheme("test-then-rank", missing="omit", adjust="holm")
    yield partial(charts.podium, scores, ranking, f"podium-{name}", f"Places on cases: {what}")
    yield partial(charts.blob, stability, f"blob-{name}", f"Ranks of resamples: {what}")
    yield partial(charts.significance, scores, ranking, holm, f"tests-{name}",
                  f"Who is significantly better: {what}")  # fmt: skip
    yield partial(charts.rank_heatmap, scores, ranking, f"ranks-{name}", f"Ranks on cases: {what}")
    yield partial(charts.by_scheme, scores, f"ways-{name}", f"Ranks by five ways: {what}")


def _failures(failures: list[Failure]) -> Picture:
    """Frames with what is there and what the best entry that missed anything found."""
    shown = [
        Panel(f"{one.case}, frame {one.frame}: {one.missed} missed", one.picture, one.truth,
              one.found)
        for one in failures
    ]  # fmt: skip
    return Picture(
        "failures",
        f"Where the best entry failed: {failures[0].entry}",
        "The frames in which it missed most objects, of the best entry that missed any. White: "
        "what is there; in colour: what was found with a score from 0.3.",
        "Frames with boxes around what is there and what was found.",
        panels(shown, lambda boxes, row: f"{boxes.score[row]:.2f}"),
    )


def _hardest(stability: Stability) -> Table:
    """The cases that most entries do badly on."""
    scores = stability.scores
    best = rank(scores, Scheme(missing="omit"))
    values = pd.DataFrame(scores.values, columns=list(scores.algorithms))
    values.insert(0, "case", list(scores.cases))
    values.insert(1, "median", values[list(scores.algorithms)].median(axis=1))
    order = values.sort_values(["median", "case"], ascending=[not scores.small_better, True])
    columns = ["case", "median", *charts.in_order(best)]
    return Table(
        f"cases-{file_name(scores.task)}",
        f"The hardest cases: {scores.task}",
        "Cases by the median over entries, the hardest first; entries from the best to the worst.",
        order[columns].reset_index(drop=True),
    )
