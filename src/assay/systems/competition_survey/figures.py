"""A survey as figures: the way to the answers, one chart for each question, tables in words.

Notable: everything here was released, so neither the page nor its files hold a count that tells of
fewer than five teams.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pandas as pd

from assay.core.charts import PALETTE
from assay.core.figures import Chart, Figure, Table, file_name
from assay.core.run import Run
from assay.systems.competition_survey.figures_studies import coverage_figures

BAR, DOT, MARK, OUT = PALETTE[0], PALETTE[2], PALETTE[1], PALETTE[5]
PERCENT = ".0%"
TICKS = [0, 0.25, 0.5, 0.75, 1]
MOST_LETTERS = 90


def practice_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """What the intervals are worth, then the first simulated survey as a report shows it."""
    yield from coverage_figures(run)
    yield from survey_figures(run)


def survey_figures(run: Run) -> Iterator[Callable[[], Figure]]:
    """The whole report of a survey."""
    yield partial(flow_chart, run.load("released.flow"))
    comparison = run.load("released.comparison")
    if comparison.own.notna().any():
        yield partial(comparison_chart, comparison)
    yield partial(words, "participation", "Who took part", run.load("released.participation"))
    shares, spread = run.load("released.shares"), run.load("released.spread")
    for (question, row), part in shares.groupby(["question", "row"], sort=False):
        if part.share.notna().any():
            mine = spread[(spread.question == question) & (spread.row == row)]
            yield partial(question_chart, part, mine, comparison)
    numbers = run.load("released.numbers")
    if numbers["median"].notna().any():
        yield partial(numbers_chart, numbers)
    winners = run.load("released.winners")
    if winners.effect.notna().any():
        yield partial(winners_chart, winners)
    yield from _tables(run, shares, numbers, winners, comparison)


def _tables(
    run: Run, shares: Any, numbers: Any, winners: Any, comparison: Any
) -> Iterator[Callable[[], Figure]]:
    """Every row in words, section by section, and every number as a file."""
    for section, part in shares.groupby("section", sort=False):
        title = f"In words: {str(section).replace('_', ' ')}"
        yield partial(words, f"words-{file_name(str(section))}", title, part)
    crossed = run.load("released.crosstables")
    for name, title, table in (
        ("words-numbers", "In words: numbers", numbers),
        ("words-crosstables", "In words: two questions together", crossed),
        ("words-winners", "In words: what better ranked teams did", winners),
        ("words-comparison", "In words: beside published figures", comparison),
    ):
        if len(table):
            yield partial(words, name, title, table)
    for name, title, table in (
        ("every-share", "Every share", shares),
        ("every-number", "Every number", numbers),
        ("every-crosstable", "Every cross-table", crossed),
        ("every-model", "Every model of ranks", winners),
    ):
        if len(table):
            yield partial(
                Table, name, title,
                "The first rows; the file has all of them, with all columns.",
                table.drop(columns=["sentence"]),
            )  # fmt: skip


def words(name: str, title: str, table: Any) -> Table:
    """The sentences of a table."""
    said = table[["sentence"]].rename(columns={"sentence": "in words"})
    return Table(name, title, "Each sentence is made from its row of the tables below.", said)


def flow_chart(flow: Any) -> Chart:
    """From listed to included."""
    import altair as alt

    data = flow.assign(
        label=[
            reason if stage == "excluded" else stage
            for stage, reason in zip(flow.stage, flow.reason, strict=True)
        ],
        kind=["left out" if stage == "excluded" else "kept" for stage in flow.stage],
    )
    base = alt.Chart(data).encode(
        y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=230)),
        x=alt.X("n:Q", title="teams"),
        tooltip=["label", "n"],
    )
    bars = base.mark_bar().encode(
        color=alt.Color("kind:N", title=None, legend=alt.Legend(orient="top"),
                        scale=alt.Scale(domain=["kept", "left out"], range=[BAR, MARK]))
    )  # fmt: skip
    text = base.mark_text(align="left", dx=4).encode(text="n:Q")
    return Chart(
        "flow",
        "From listed to included",
        f"{' '.join(data.sentence)} Who is left out, and who gave no answer to a question, is "
        "counted exactly; an answer that fewer than five teams gave is not.",
        alt.layer(bars, text).properties(height=30 * len(data) + 10),
        data,
    )


def question_chart(part: Any, spread: Any, comparison: Any) -> Chart:
    """Shares of the answers to one question, with intervals, competitions and published figures."""
    import altair as alt

    first, title = part.iloc[0], str(part.iloc[0]["text"])
    if first["row"]:
        row, said = _row_apart(part)
        title, part = f"{title} — {row}", part.assign(answer=said)
        spread = spread.assign(answer=spread.option.map(dict(zip(part.option, said, strict=True))))
    data = _layers(part, spread, comparison)
    y = alt.Y("answer:N", sort=list(part.answer), title=None, axis=alt.Axis(labelLimit=170))
    axis = alt.Axis(format=PERCENT, values=TICKS, labelExpr="format(datum.value, '.0%')")
    x = alt.X("share:Q", title="share", scale=alt.Scale(domain=[0, 1]), axis=axis)

    def only(kind: str) -> alt.Chart:
        return alt.Chart(data[data.kind == kind])

    tips = ["answer", "n", "base", alt.Tooltip("share:Q", format=".1%")]
    layers = [
        only("pooled").mark_bar(color=BAR, opacity=0.75, height=12).encode(y=y, x=x, tooltip=tips),
        only("pooled").mark_rule(color="#111111", strokeWidth=1.5).encode(
            y=y, x="cluster_low:Q", x2="cluster_high:Q"
        ),
    ]  # fmt: skip
    if (data.kind == "competition").any():
        layers.append(
            only("competition").mark_circle(color=DOT, size=16, opacity=0.7).encode(
                y=y, x=x, yOffset=alt.YOffset("place:Q", scale=alt.Scale(domain=[-14, 26]))
            )
        )  # fmt: skip
    if (data.kind == "published").any():
        mark = only("published").mark_point(color=MARK, shape="diamond", filled=True, size=70)
        layers.append(mark.encode(y=y, x=x, tooltip=["answer", "source", alt.Tooltip("share:Q",
                                                     format=".0%")]))  # fmt: skip
    return Chart(
        file_name(f"{first['question']}-{first['row']}" if first["row"] else first["question"]),
        title if len(title) <= MOST_LETTERS else f"{title[: MOST_LETTERS - 1]}…",
        _caption(first, data),
        alt.layer(*layers).properties(height=44 * len(part) + 10),
        data,
    )


def _row_apart(part: Any) -> tuple[str, list[str]]:
    """The words for a row of a matrix, and those for its answers."""
    apart = [answer.partition(" · ") for answer in part.answer]
    return apart[0][0], [answer for _, _, answer in apart]


def _layers(part: Any, spread: Any, comparison: Any) -> Any:
    """Bars, dots and published figures in one table, told apart by ``kind``."""
    columns = ["answer", "share", "cluster_low", "cluster_high", "low", "high", "n", "base"]
    bars = part[[*columns, "base_in_words", "median", "q1", "q3", "k"]].assign(kind="pooled")
    options = dict(zip(part.option, part.answer, strict=True))
    dots = spread.assign(kind="competition", place=_stacked(spread))
    dots = dots[["answer", "share", "place", "kind"]]
    there = [
        {"kind": "published", "answer": options[option], "share": row["published"],
         "source": row["source"]}
        for _, row in comparison.iterrows()
        for question, option in [_meant(row)]
        if question == part.question.iloc[0] and option in options
    ]  # fmt: skip
    return pd.concat([bars, dots, pd.DataFrame(there)], ignore_index=True)


def _meant(row: Any) -> tuple[str, str]:
    return str(row["question"]), str(row["option"])


def _stacked(spread: Any) -> Any:
    """Offsets that put equal shares beside each other, below their bar."""
    number = spread.groupby(["option", "share"]).cumcount()
    return 12 + number * min(2.5, 14 / max(number.max(), 1)) if len(spread) else number


def _caption(first: Any, data: Any) -> str:
    base = first["base"]
    of = f"{base} {first['base_in_words'].removeprefix('all ')}"
    said = [f"Of {of}. Bars: pooled over teams; lines: 95 % interval by drawing competitions anew."]
    if (data.kind == "competition").any():
        said.append(
            f"Dots: competitions of at least {first['min_n']} teams, without names, rounded to 5 %."
        )
    if (data.kind == "published").any():
        said.append("Diamonds: published figures.")
    return " ".join(said)


def numbers_chart(numbers: Any) -> Chart:
    """Quartiles of every number, in its own unit."""
    import altair as alt

    data = numbers[numbers["median"].notna()]
    panels = []
    for _, row in data.iterrows():
        one = alt.Chart(pd.DataFrame([row.drop("sentence").to_dict()])).encode(
            y=alt.Y("question:N", title=None, axis=None)
        )
        unit = f" ({row['unit']})" if row["unit"] else ""
        title = f"{row['text']}{unit}"
        box = one.mark_bar(color=BAR, opacity=0.35, height=18).encode(
            x=alt.X("q1:Q", title=None, scale=alt.Scale(zero=True)), x2="q3:Q"
        )
        reach = one.mark_rule(color=BAR).encode(x="p10:Q", x2="p90:Q")
        middle = one.mark_tick(color=BAR, thickness=3, size=24).encode(
            x="median:Q", tooltip=["text", "n", "q1", "median", "q3", "low", "high"]
        )
        layers = [middle]
        if pd.notna(row["q1"]):
            layers = [box, middle]
        if pd.notna(row["p10"]):
            layers = [reach, *layers]
        if pd.notna(row["competition_median"]):
            layers.append(
                one.mark_point(color=DOT, filled=True, size=50).encode(x="competition_median:Q")
            )
        panels.append(
            alt.layer(*layers).properties(width=420, height=30, title=alt.Title(title, fontSize=12,
                      fontWeight="normal", anchor="start"))
        )  # fmt: skip
    return Chart(
        "numbers",
        "What was answered in numbers",
        "Ticks: the median pooled over teams; boxes: quartiles, and lines: the middle eight "
        "tenths, where enough teams lie beyond; dots: the median of the medians of competitions.",
        alt.vconcat(*panels),
        data,
    )


def comparison_chart(comparison: Any) -> Chart:
    """Own shares beside the published ones."""
    import altair as alt

    data = comparison[(comparison.kind != "median") & comparison.own.notna()]
    y = alt.Y("said:N", sort=None, title=None, axis=alt.Axis(labelLimit=200))
    scale = alt.Scale(domain=[0, 1])
    base = alt.Chart(data)
    axis = alt.Axis(format=PERCENT, values=TICKS, labelExpr="format(datum.value, '.0%')")
    own = base.mark_point(color=BAR, filled=True, size=70, opacity=1).encode(
        y=y, x=alt.X("own:Q", title="share", scale=scale, axis=axis),
        tooltip=["said", "own_base", alt.Tooltip("own:Q", format=".1%"),
                 alt.Tooltip("published:Q", format=".0%"), "published_base"],
    )  # fmt: skip
    reach = base.mark_rule(color=BAR, strokeWidth=2).encode(y=y, x="own_low:Q", x2="own_high:Q")
    there = base.mark_point(color=MARK, shape="diamond", filled=True, size=70).encode(
        y=y, x=alt.X("published:Q", scale=scale)
    )
    return Chart(
        "comparison",
        "Beside published figures",
        "Dots: here, with the 95 % interval by drawing competitions anew; diamonds: published. "
        "Whether the published ones are pooled over teams is not known, but for the "
        "participation, which is a median over competitions.",
        alt.layer(reach, own, there).properties(height=26 * len(data) + 10),
        data.drop(columns=["sentence"]),
    )


def winners_chart(winners: Any) -> Chart:
    """Effects of strategies on the normalised rank."""
    import altair as alt

    data = winners[winners.effect.notna()].drop(columns=["sentence"])
    y = alt.Y("strategy:N", sort="-x", title=None, axis=alt.Axis(labelLimit=170))
    base = alt.Chart(data)
    colour = alt.Color("found:N", title="told apart from chance",
                       scale=alt.Scale(domain=[True, False], range=[BAR, OUT]))  # fmt: skip
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        y=y, x=alt.X("effect:Q", title="effect on the normalised rank"), color=colour,
        tooltip=["strategy", "effect", "low", "high", "p_holm", "teams", "competitions"],
    )  # fmt: skip
    reach = base.mark_rule(strokeWidth=2).encode(y=y, x="low:Q", x2="high:Q", color=colour)
    zero = alt.Chart(pd.DataFrame({"x": [0.0]})).mark_rule(strokeDash=[4, 4], color=OUT)
    return Chart(
        "winners",
        "What better ranked teams did",
        "Effect of each strategy, tried one at a time, on the rank from 0, the last, to 1, the "
        "first, with its 95 % interval; blue where Holm's p over all strategies is below 0.05. An "
        "association: teams that did one thing may differ in others.",
        alt.layer(zero.encode(x="x:Q"), reach, points).properties(height=26 * len(data) + 10),
        data,
    )
