"""Comparisons as dots with intervals: every measure of every task, and the training curves."""

from collections.abc import Callable, Iterator
from functools import partial

from assay.core.charts import dots
from assay.core.figures import Chart, Figure
from assay.core.run import Run
from assay.systems.denoising.figures import training_loss, with_tokens

MEASURES = {
    "em": ("Answers right in every token", "Share of test examples whose every token is the "
           "likeliest given the ones before; what greedy decoding would write exactly."),
    "accuracy": ("Classes right", "Share of test examples."),
    "f1": ("Overlap with the right answer", "F1 of the words, as SQuAD counts it."),
    "perplexity": ("Perplexity of the target", "Of a token given the source and the tokens before; "
                   "lower is better. Equal tokens and tokenizer in every row."),
    "bleu": ("BLEU of the translations", "sacreBLEU, beam search of width 5."),
}  # fmt: skip


def noise_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Every measure by noise and task, then the training curves."""
    yield from _figures(run, "noise")


def objective_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Every measure by objective and task, then the training curves."""
    yield from _figures(run, "objective")


def finetune_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Every measure by start and task."""
    yield from _figures(run, "start")


def translation_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """BLEU and the other measures by what was trained."""
    yield from _figures(run, "training")


def _figures(run: Run, decision: str) -> Iterator[Callable[[], Figure]]:
    measured = run.records[run.records["task"].notna()] if "task" in run.records else run.records
    for measure, _ in MEASURES.items():
        for task in measured[measured["measure"] == measure]["task"].unique():
            yield partial(by_choice, run, measure, decision, task)
    if any("fit" in trial["steps"] for trial in run.trials) and len(with_tokens(run.records)):
        yield partial(training_loss, run, decision)


def by_choice(run: Run, measure: str, decision: str, task: str) -> Chart:
    """One measure of one task by the choices of the decision."""
    title, caption = MEASURES[measure]
    rows = run.records[run.records["task"] == task]
    return dots(
        rows,
        measure,
        by=[decision],
        name=f"{measure}_{task}",
        title=f"{title}: {task}",
        caption=f"{caption} Mean over the seeds with its 95 % interval.",
    )
