"""The figures of the study `ranking_stability`."""

from collections.abc import Callable, Iterator
from functools import partial

from assay.core.charts import dots
from assay.core.figures import Chart, Figure, file_name
from assay.core.run import Run
from assay.parts.ranking import charts
from assay.parts.ranking.stability import Stability

__all__ = ["ranking_figures"]


def ranking_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Each task ranked by means, the same by five ways, and what holds when cases change."""
    shown = _first_trials(run)
    plain = {data: trial for (data, way), trial in shown.items() if way == "mean, then rank"}
    if plain:
        yield partial(agreement, run, plain)
    for data, trial in plain.items():
        name = file_name(data)
        yield partial(_blob, run, trial, f"blob-{name}", f"Ranks of resamples: {data}")
        yield partial(_by_scheme, run, trial, f"ways-{name}", f"Ranks by five ways: {data}")
    for measure, title in (
        ("tau_true", "How near rankings are to the true order"),
        ("best_first", "How often the best algorithm alone is first"),
        ("covered", "How often the interval of a rank holds the true one"),
        ("one_case_turns", "Share of cases without which the ranking is another"),
    ):
        if (run.records["measure"] == measure).any():
            yield partial(
                dots,
                run.records,
                measure,
                by=["data", "way"],
                name=measure,
                title=title,
                caption="Mean over seeds with its 95 % interval. Of the example tasks only the "
                "resamples differ between seeds.",
            )


def agreement(run: Run, trials: dict[str, int]) -> Chart:
    """Kendall's tau of resamples with the ranking by means, for every task."""
    found = [(data, _stability(run, trial)) for data, trial in trials.items()]
    return charts.tau(found, "tau", "How far resamples agree with the ranking by means")


def _first_trials(run: Run) -> dict[tuple[str, str], int]:
    """The first trial of every combination of choices."""
    found: dict[tuple[str, str], int] = {}
    for trial in run.trials:
        choices = trial["choices"]
        found.setdefault((choices.get("data", "all"), choices.get("way", "")), trial["trial"])
    return found


def _stability(run: Run, trial: int) -> Stability:
    return run.load("ranking.stability", trial=trial)


def _blob(run: Run, trial: int, name: str, title: str) -> Chart:
    return charts.blob(_stability(run, trial), name, title)


def _by_scheme(run: Run, trial: int, name: str, title: str) -> Chart:
    return charts.by_scheme(_stability(run, trial).scores, name, title)
