"""A pre-training run in words and curves: what was restored, and how the loss fell."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from assay.core.charts import curve
from assay.core.figures import Chart, Figure, Table
from assay.core.run import Run

MOST_LETTERS = 400


def pretrain_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """Examples of the first trial, then the training curve and what is restored by row."""
    yield partial(examples, run)
    yield partial(training_loss, run)
    yield partial(restored_by_row, run)


def examples(run: Run) -> Table:
    """Held-out text, the same noised, and what the model makes of it."""
    data = run.load("restored.examples")
    return Table(
        "examples",
        "Text that the model never saw: as it was, noised, and as the model writes it",
        "A mask stands for one or more words, or for none; sentences have changed places. The "
        "model writes the likeliest word after word. Rows begin and end inside documents.",
        data.map(lambda text: text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}..."),
    )


def training_loss(run: Run, by: str = "") -> Chart:
    """The loss over the tokens seen."""
    return curve(
        with_tokens(run.records),
        "training_loss",
        "thousand_tokens",
        by=by,
        name="training_loss",
        title="How the loss fell",
        caption="Cross-entropy of the original text given the noised one, in nats per token, over "
        "the tokens trained on; mean over the seeds, with its 95 % interval where there are "
        "several. Losses of different objectives cannot be compared.",
        x_title="thousand tokens seen",
        y_title="loss (nats per token)",
    )


def with_tokens(records: Any) -> Any:
    """The training loss of pre-training, with the thousands of tokens seen by then."""
    import numpy as np

    rows = records[records["step"].isin(["fit"]) if "step" in records else slice(None)]
    keys = ["trial", "training_step"]
    loss = rows[rows["measure"] == "training_loss"]
    tokens = rows[rows["measure"] == "training_tokens"][[*keys, "value"]]
    joined = loss.merge(tokens.rename(columns={"value": "thousand_tokens"}), on=keys)
    joined["thousand_tokens"] = np.round(joined["thousand_tokens"] / 1e3, 1)
    return joined


def restored_by_row(run: Run) -> Chart:
    """Shares of the removed tokens that were restored, row by row."""
    import altair as alt

    data = run.records[run.records["measure"] == "restored"][["row", "seed", "value"]]
    bars = alt.Chart(data).mark_bar().encode(
        x=alt.X("value:Q", bin=alt.Bin(maxbins=25), title="share of the removed tokens restored"),
        y=alt.Y("count()", title="rows"),
    )  # fmt: skip
    return Chart(
        "restored_by_row",
        "How much of each row was restored",
        "The share of the removed tokens that the model finds likeliest in their places, given "
        "the noised row and the text before; one count per row of held-out text.",
        bars.properties(height=260),
        data,
    )
