"""The language of conditions: what it means, what it refuses and where; and nothing runs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import DataError
from assay.systems.competition_survey.answers import applies, holds, tables
from assay.systems.competition_survey.instrument import Instrument, Section
from assay.systems.competition_survey.questions import Question
from assay.systems.competition_survey.show_if import named, read_condition, shown

QUESTIONS = {
    q.id: q
    for q in (
        Question("deep", "s", "bool", "Deep?"),
        Question("kfold", "s", "single", "Folds?", options=("none", "kfold", "other", "in")),
        Question("tools", "s", "multi", "Tools?", options=("a", "b", "c")),
        Question("hours", "s", "number", "Hours?"),
        Question("day", "s", "date", "When?"),
        Question("words", "s", "text", "Say"),
        Question("grid", "s", "matrix", "Grid", options=("x",), rows=("r",)),
        Question("rank", "s", "int", "Rank", source="organiser"),
    )
}


def read(text):
    return read_condition(text, QUESTIONS, {"last": None})


D, K, T = ("==", "deep", True), ("==", "kfold", "kfold"), ("==", "tools", "a")


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("deep==true", D),
        ("  deep  ==\ttrue ", D),
        ("kfold==kfold", K),
        ("kfold == 'kfold'", K),
        ('kfold == "in"', ("==", "kfold", "in")),
        ("hours == -7.5", ("==", "hours", -7.5)),
        ("hours != 80", ("!=", "hours", 80)),
        ('day == "2021-03-31"', ("==", "day", "2021-03-31")),
        ("kfold in [kfold, other]", ("in", "kfold", ("kfold", "other"))),
        ("tools not in [a, b]", ("and", ("!=", "tools", "a"), ("!=", "tools", "b"))),
        ("deep == true or kfold == kfold and tools == a", ("or", D, ("and", K, T))),
        ("(deep == true or kfold == kfold) and tools == a", ("and", ("or", D, K), T)),
        ("deep == true and kfold == kfold and tools == a", ("and", ("and", D, K), T)),
        ("not deep == true and kfold == kfold", ("and", ("not", D), K)),
        ("not (deep == true and kfold == kfold)", ("not", ("and", D, K))),
        ("not not deep == true", ("not", ("not", D))),
    ],
)
def test_a_condition_means_what_the_grammar_says(text, means):
    assert read(text) == means


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "unexpected the end"),
        ("deep", 5, "unexpected the end"),
        ("deep ==", 8, "unexpected the end"),
        ("deep = true", 6, "unexpected '='"),
        ("deep == true kfold == kfold", 14, "unexpected 'kfold'"),
        ("deep == true and", 17, "unexpected the end"),
        ("(deep == true", 14, "`)`"),
        ("deep == true)", 13, "unexpected ')'"),
        ("depe == true", 1, "Did you mean 'deep'"),
        ("deep == true or last == x", 17, "not asked before"),
        ("deep == yes", 9, "true or false"),
        ("deep == 1", 9, "true or false"),
        ("kfold == folds", 10, "none, kfold, other, in"),
        ("kfold in []", 11, "unexpected ']'"),
        ("kfold in [kfold other]", 17, "`]`"),
        ("kfold in kfold", 10, "`[`"),
        ("kfold == in", 10, "a value"),
        ("hours == many", 10, "a number"),
        ("hours < 3", 7, "unexpected '<'"),
        ("true == deep", 1, "a question"),
        ("deep == kfold", 9, "true or false"),
        ("words == 'x'", 1, "free words"),
        ("grid == x", 1, "row of answers"),
        ("rank == 1", 1, "never asked"),
        ("kfold == 'kfold", 10, 'unexpected "\'"'),
        ("(" * 60 + "deep == true" + ")" * 60, 22, "nested too deeply"),
        ("not " * 60 + "deep == true", 85, "nested too deeply"),
        ("deep == true or " * 200, 1, "longer than"),
    ],
)
def test_what_does_not_fit_is_refused_at_its_column(text, column, says):
    with pytest.raises(DataError) as caught:
        read(text)

    assert caught.value.where == f"column {column}"
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch attacked')",
        "deep == true or open('attacked','w')",
        "deep == (lambda: 1)()",
        "deep.__class__ == true",
        "deep == true; import os",
        "[x for x in ().__class__.__base__.__subclasses__()]",
        "deep == {{7*7}}",
        "deep == ${HOME}",
        "kfold == `id`",
        "deep == true\n!!python/object/apply:os.system ['touch attacked']",
        "deep == tru\u0435",
        "\uff44eep == true",
        "deep\x00 == true",
        "hours == 9e999",
        "hours == nan",
        "hours == " + "9" * 5000,
    ],
)
def test_code_and_odd_characters_are_refused_and_nothing_runs(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="column"):
        read(text)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "answers", "holds_"),
    [
        ("deep == true", {"deep": True}, True),
        ("deep == true", {"deep": 1}, False),
        ("deep == true", {}, False),
        ("deep != true", {"deep": False}, True),
        ("deep != true", {}, False),
        ("deep != true", {"deep": None}, False),
        ("not deep == true", {}, True),
        ("tools == a", {"tools": ["b", "a"]}, True),
        ("tools != a", {"tools": ["b"]}, True),
        ("tools != a", {"tools": ["b", "a"]}, False),
        ("tools != a", {"tools": []}, False),
        ("tools in [a, c]", {"tools": ["b", "c"]}, True),
        ("tools not in [a, c]", {"tools": ["b"]}, True),
        ("tools not in [a, c]", {}, False),
        ("hours == 80", {"hours": 80.0}, True),
        ("kfold not in [none]", {"kfold": "other"}, True),
    ],
)
def test_a_condition_holds_for_answers(text, answers, holds_):
    assert shown(read(text), answers) is holds_


def test_the_questions_of_a_condition_are_told():
    assert named(read("not (deep == true or kfold in [other]) and tools != a")) == {
        "deep", "kfold", "tools",
    }  # fmt: skip


# Conditions and answers at random

LITERALS = {"deep": (True, False), "kfold": ("none", "kfold", "other"), "tools": ("a", "b", "c"),
            "hours": (0, 80, -7.5)}  # fmt: skip


@st.composite
def comparisons(draw):
    name = draw(st.sampled_from(sorted(LITERALS)))
    literal = st.sampled_from(LITERALS[name])
    what = draw(st.sampled_from(["==", "!=", "in"]))
    value = (
        tuple(draw(st.lists(literal, min_size=1, max_size=3))) if what == "in" else draw(literal)
    )
    return (what, name, value)


CONDITIONS = st.recursive(
    comparisons(),
    lambda part: st.one_of(
        st.tuples(st.just("not"), part), st.tuples(st.sampled_from(["and", "or"]), part, part)
    ),
    max_leaves=8,
)
GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "deep": st.booleans(),
        "kfold": st.sampled_from(LITERALS["kfold"]),
        "tools": st.lists(st.sampled_from("abc"), min_size=1, unique=True),
        "hours": st.sampled_from(LITERALS["hours"]),
    },
)


def written(condition):
    what, *of = condition
    if what == "not":
        return f"not ({written(of[0])})"
    if what in ("and", "or"):
        return f"({written(of[0])}) {what} ({written(of[1])})"
    spelled = [str(v).lower() if isinstance(v, bool) else str(v)
               for v in (of[1] if what == "in" else [of[1]])]  # fmt: skip
    return f"{of[0]} {what} " + (f"[{', '.join(spelled)}]" if what == "in" else spelled[0])


def plainly(condition, answers):
    """The meaning once more, through Python's own operators."""
    what, *of = condition
    if what in ("and", "or"):
        both = [plainly(part, answers) for part in of]
        return all(both) if what == "and" else any(both)
    if what == "not":
        return not plainly(of[0], answers)
    if of[0] not in answers:
        return False
    value = answers[of[0]]
    given_ = set(value) if isinstance(value, list) else {value}
    if what == "in":
        return bool(given_ & set(of[1]))
    return (of[1] in given_) == (what == "==")


@given(CONDITIONS)
def test_what_is_written_is_read_back(condition):
    assert read(written(condition)) == condition


@given(CONDITIONS, GIVEN)
def test_any_condition_holds_as_its_operators_say(condition, answers):
    assert shown(condition, answers) is plainly(condition, answers)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_column(text):
    try:
        condition = read(text)
    except DataError as error:
        assert error.where.startswith("column ")  # noqa: PT017 - either is right
    else:
        assert shown(condition, {}) in (True, False)


def table_of(everyone):
    """Answers of several as the tables of the analysis."""
    people = [(f"r{n}", "c", f"t{n}", "completed", "", math.nan) for n in range(len(everyone))]
    values = [
        (f"r{n}", name, "", str(one).lower() if isinstance(one, bool) else f"{one}")
        for n, answers in enumerate(everyone)
        for name, value in answers.items()
        for one in (value if isinstance(value, list) else [value])
    ]
    return tables(people, values)


@given(CONDITIONS, CONDITIONS, st.lists(GIVEN, min_size=1, max_size=5))
def test_for_everybody_at_once_it_is_the_same_as_one_by_one(first, second, everyone):
    asked = [QUESTIONS[name] for name in LITERALS]
    later = [
        Question("p", "s", "bool", "P", show_if=first),
        Question("q", "s", "bool", "Q", show_if=("and", second, ("!=", "p", True))),
    ]
    instrument = Instrument("i", "1", "team", (Section("s", "S"),), (*asked, *later))
    everyone = [{**answers, "p": False} for answers in everyone]
    found = applies(instrument, table_of(everyone))

    for row, answers in zip(found.itertuples(index=False), everyone, strict=True):
        assert row.p == shown(first, answers)
        counted = answers if row.p else {k: v for k, v in answers.items() if k != "p"}
        assert row.q == (shown(second, counted) and row.p)
    one_by_one = [shown(second, answers) for answers in everyone]
    assert holds(second, instrument, table_of(everyone)).tolist() == one_by_one
