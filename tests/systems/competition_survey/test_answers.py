"""Answers as tables: from the form, as JSON lines, from tables of other tools, and back."""

import json
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import DataError, StoreError
from assay.systems.competition_survey.answers import (
    ANSWERS,
    RESPONDENTS,
    collected,
    read_competitions,
    rows_of,
    tables,
)
from assay.systems.competition_survey.check import check
from assay.systems.competition_survey.collecting import collect, kept_of, take_in
from assay.systems.competition_survey.instrument import read_instrument
from assay.systems.competition_survey.jsonl import from_jsonl, read_jsonl, to_jsonl, write_jsonl
from assay.systems.competition_survey.settings import make_survey, survey_folder
from assay.systems.competition_survey.storage import Storage
from assay.systems.competition_survey.wide import read_wide
from systems.competition_survey.served import GENERAL, INSTRUMENT, METHOD, Survey

RANK = "- {id: rank, section: general, type: int, text: Rank, source: organiser}\n"
LIKERT = "- {id: again, section: method, type: likert, text: Again, options: [No, Perhaps, Sure]}\n"


@pytest.fixture
def instrument(tmp_path):
    file = tmp_path / "questions.yaml"
    file.write_text(INSTRUMENT.replace(RANK, LIKERT + RANK))
    return read_instrument(file)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "survey"
    make_survey(made, title="x", mode="closed")
    (made / "instrument.yaml").write_text(INSTRUMENT)
    (made / "competitions.csv").write_text("competition,team,rank\nPolyps,Alpha,1\nPolyps,B,2\n")
    return made


@pytest.fixture
def wide(tmp_path, instrument):
    """Reads a table as survey tools write it."""

    def reading(text, **given):
        (tmp_path / "export.csv").write_text(text, encoding="utf-8")
        return read_wide(tmp_path / "export.csv", instrument, **given)

    return reading


def same(one, other):
    for left, right in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(left, right)


def said(answers):
    """Question, row and value of every answer."""
    return list(answers.answers[["question", "row", "value"]].itertuples(index=False, name=None))


# From the form


def test_what_is_submitted_in_the_form_is_what_the_tables_say(tmp_path):
    survey = Survey(tmp_path)
    someone = survey.respondent()
    someone.fill(
        "general", {"role": "other", "role_other": "jury", "size": "4", "begun": "2021-03-31"}
    )
    someone.fill("method", {
        "reasons": ["exchange", "other"], "reasons_other": "fame", "hours": "80.50", "deep": "true",
        "arch": "own", "layers": "12", "tools.code": "often", "tools.cloud": "never",
    })  # fmt: skip
    someone.send(action="/submit")
    survey.respondent("Beta").fill("general", GENERAL)
    survey.storage.invite("Polyps", "Gamma")
    people, answers = collected(survey.storage.everyone())
    survey.database.close()

    assert tuple(people.columns) == RESPONDENTS
    assert tuple(answers.columns) == ANSWERS
    assert people.status.tolist() == ["completed", "started", "invited"]
    assert (people.instrument.str.len() == [64, 64, 0]).all()
    assert 0 <= people.seconds[0] < 60
    assert people.seconds[1:].isna().all()
    assert answers.respondent.unique().tolist() == [people.respondent[0]]
    assert sorted(answers[["question", "row", "value"]].itertuples(index=False, name=None)) == [
        ("arch", "", "own"), ("begun", "", "2021-03-31"), ("deep", "", "true"),
        ("hours", "", "80.5"), ("layers", "", "12"), ("reasons", "", "exchange"),
        ("reasons", "", "other"), ("reasons_other", "", "fame"), ("role", "", "other"),
        ("role_other", "", "jury"), ("size", "", "4"), ("tools", "cloud", "never"),
        ("tools", "code", "often"),
    ]  # fmt: skip


def test_words_for_other_are_left_out_once_it_is_not_chosen_any_more(tmp_path):
    survey = Survey(tmp_path)
    someone = survey.respondent()
    someone.fill("general", {"role": "other", "role_other": "jury", "size": "4"})
    someone.fill("general", {"role": "lead"})
    someone.fill("method", METHOD)
    someone.send(action="/submit")
    answers = survey.kept().answers
    survey.database.close()

    assert answers["role"] == "lead"
    assert "role_other" not in answers


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        (1e-05, [("", "0.00001")]),
        (1e16, [("", "10000000000000000")]),
        (7.5, [("", "7.5")]),
        (-0.5, [("", "-0.5")]),
        (False, [("", "false")]),
        ({"a": "x", "b": ["y", "z"]}, [("a", "x"), ("b", "y"), ("b", "z")]),
        ([], []),
    ],
)
def test_a_value_is_a_text_for_each_thing_said(value, rows):
    assert rows_of(value) == rows


@pytest.mark.parametrize(
    ("people", "answers", "says"),
    [
        ([("a", "c", "t", "completed", "", 1.0)] * 2, [], "'a' is there twice"),
        ([("a", "c", "t", "done", "", 1.0)], [], "no status 'done'"),
        ([("a", "c", "t", "invited", "", 1.0)], [("b", "q", "", "x")], "no respondent 'b'"),
    ],
)
def test_tables_that_contradict_themselves_are_refused(people, answers, says):
    with pytest.raises(DataError, match=says):
        tables(people, answers)


# JSON lines

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
KEY = st.from_regex(r"[0-9a-f]{1,32}", fullmatch=True)
PERSON = st.tuples(
    TEXT, TEXT, st.sampled_from(["invited", "started", "completed"]),
    st.sampled_from(["", "a" * 64]), st.floats(0, 1e9) | st.just(math.nan),
)  # fmt: skip


@given(st.dictionaries(KEY, st.tuples(PERSON, st.lists(st.tuples(TEXT, TEXT, TEXT))), max_size=5))
def test_json_lines_are_read_back_exactly(everyone):
    answers = tables(
        [(key, *person) for key, (person, _) in everyone.items()],
        [(key, *one) for key, (_, values) in everyone.items() for one in values],
    )
    lines = list(to_jsonl(answers))

    assert all("\n" not in line for line in lines)
    same(from_jsonl(lines, "x"), answers)


GOOD = {"respondent": "r1", "competition": "c", "team": "t", "status": "completed",
        "instrument": "a" * 64, "seconds": 9.5, "answers": [["q", "", "v"]]}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"respondent": "ada@example.org"},
        {"respondent": 7},
        {"instrument": "v1"},
        {"status": "done"},
        {"seconds": "9"},
        {"seconds": True},
        {"answers": {"q": "v"}},
        {"answers": [["q", "v"]]},
        {"answers": [["q", "", 4]]},
        {"answers": [["q", "", "\ud800"]]},
        {"team": "a\0b"},
        {"email": "ada@example.org"},
        {"team": None},
    ],
)
def test_lines_that_are_no_respondents_are_refused_with_their_number(tmp_path, change):
    file = tmp_path / "x.jsonl"
    file.write_text(
        "\n".join([json.dumps(GOOD), "", json.dumps(GOOD | {"respondent": "b"} | change)])
    )

    with pytest.raises(DataError, match=r"x\.jsonl line 3"):
        read_jsonl(file)


def test_a_damaged_line_and_one_that_comes_twice_are_refused(tmp_path):
    file = tmp_path / "x.jsonl"
    for line, says in (("{", "line 2: is not JSON"), (json.dumps(GOOD), "there since line 1")):
        file.write_text(f"{json.dumps(GOOD)}\n{line}\n")
        with pytest.raises(DataError, match=says):
            read_jsonl(file)


# Tables of one row for each respondent

LIME = (
    '"id","submitdate","lastpage","startlanguage","seed","token","startdate","ipaddr","competition",'
    '"team","role","role[other]","size","reasons[exchange]","reasons[prize]","reasons[other]",'
    '"deep","arch","tools[code]","tools[cloud]","again","remarks","email","First name"\n'
    '"1","2021-06-01 10:10:00","3","en","77","tok","2021-06-01 10:00:00","1.2.3.4","Polyps",'
    '"Alpha","-oth-","Jury","4","Y","","for fame","Y","own","often","never","Sure",'
    '"two\nlines; and ""quotes""","ada@example.org","Ada"\n'
    '"2","2021-06-01 11:10:00","3","en","78","tok2","2021-06-01 11:00:00","1.2.3.5","Polyps",'
    '"Beta","Lead","","5.0","Y","Y","","N","N/A","","","2","","bob@example.org","Bob"\n'
    '"3","","1","en","79","tok3","2021-06-01 12:00:00","1.2.3.6","Polyps",'
    '"Gamma","member","","6","Y","","","","","","","","","eve@example.org","Eve"\n'
)


def test_an_export_as_limesurvey_writes_it_is_read(wide, instrument):
    taken = wide(LIME)
    people = taken.answers.respondents

    assert people.team.tolist() == ["Alpha", "Beta", "Gamma"]
    assert people.status.tolist() == ["completed", "completed", "started"]
    assert people.seconds.tolist()[:2] == [600.0, 600.0]
    assert (people.instrument == instrument.hash).all()
    first, second = people.respondent[:2]
    by = {k: v for k, v in taken.answers.answers.groupby("respondent")}
    assert set(by) == {first, second}
    assert list(by[first][["question", "row", "value"]].itertuples(index=False, name=None)) == [
        ("role", "", "other"), ("role_other", "", "Jury"), ("size", "", "4"),
        ("reasons", "", "exchange"), ("reasons", "", "other"), ("reasons_other", "", "for fame"),
        ("deep", "", "true"), ("arch", "", "own"), ("tools", "code", "often"),
        ("tools", "cloud", "never"), ("again", "", "3"),
        ("remarks", "", 'two\nlines; and "quotes"'),
    ]  # fmt: skip
    assert list(by[second][["question", "row", "value"]].itertuples(index=False, name=None)) == [
        ("role", "", "lead"), ("size", "", "5"), ("reasons", "", "exchange"),
        ("reasons", "", "prize"), ("deep", "", "false"), ("again", "", "2"),
    ]  # fmt: skip
    assert taken.unsubmitted == 1


def test_names_and_addresses_never_enter_and_are_told(wide):
    taken = wide(LIME)

    assert set(taken.dropped) == {
        "token", "ipaddr", "email", "First name", "lastpage", "startlanguage", "seed",
    }  # fmt: skip
    everything = "".join(to_jsonl(taken.answers)).lower()
    for secret in ('"ada', '"bob', '"eve', "@", "1.2.3", "tok"):
        assert secret not in everything


@pytest.mark.parametrize(
    "column",
    ["E-Mail", "mail", "NAME", "last_name", "ip", "IP address", "Token", "attribute_1", "username"],
)
def test_personal_columns_are_known_by_many_names(wide, column):
    taken = wide(f"competition,team,{column},size\nPolyps,A,secret,4\n")

    assert taken.dropped == (column,)
    assert "secret" not in "".join(to_jsonl(taken.answers))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_several_choices_in_one_cell_and_other_separators(wide, separator):
    rows = [
        ["team", "reasons", "reasons_other", "hours", "held_back"],
        ["Ä", '"exchange; Paper;other"', '"fun, really"', "7.50", ""],
    ]
    text = "\n".join(separator.join(row) for row in rows)
    taken = wide("\ufeff" + text, competition="Polyps")

    assert said(taken.answers) == [
        ("reasons", "", "exchange"), ("reasons", "", "paper"), ("reasons", "", "other"),
        ("reasons_other", "", "fun, really"), ("hours", "", "7.5"),
    ]  # fmt: skip
    assert taken.answers.respondents.competition.tolist() == ["Polyps"]
    assert math.isnan(taken.answers.respondents.seconds[0])


def test_values_that_are_wrong_are_taken_as_they_stand_for_the_check_to_find(wide, instrument):
    taken = wide("competition,team,role,size,reasons,deep\nPolyps,A,king,four,gold,maybe\n")

    assert said(taken.answers) == [
        ("role", "", "king"), ("size", "", "four"), ("reasons", "", "gold"), ("deep", "", "maybe"),
    ]  # fmt: skip
    codes = check(instrument, taken.answers).code.tolist()
    assert codes == ["unknown_option", "type", "unknown_option", "type"]


HEADS = "competition,team,size\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "is empty"),
        ("team,size\nA,4\n", 1, "--competition"),
        ("competition,team,sise\nPolyps,A,4\n", 1, "Did you mean 'size'"),
        ("competition,team,reasons[gold]\nPolyps,A,Y\n", 1, "'reasons' has no 'gold'"),
        ("competition,team,size,size\nPolyps,A,4,4\n", 1, "say the same"),
        ("competition,id,respondent\nPolyps,1,2\n", 1, "say the same"),
        ("competition,team,tools\nPolyps,A,often\n", 2, "column 'tools': a matrix has"),
        (HEADS + "Polyps,A,4\nPolyps,B\n", 3, "2 cells; expected 3"),
        (HEADS + "Polyps,A,4\n,B,5\n", 3, "no competition"),
        (HEADS + 'Polyps,A,"4\n', 2, ""),
        ("competition,team,reasons[prize]\nPolyps,A,Y\n\nPolyps,B,perhaps\n", 4,
         "column 'reasons[prize]': 'perhaps' is no mark"),
        ("competition,id\nPolyps,1\nPolyps,1\n", 3, "'1' is there since line 2"),
        ("competition,seconds\nPolyps,long\n", 2, "no seconds"),
        ("competition,startdate,submitdate\nPolyps,today,2021-01-01\n", 2, "no time"),
        ("competition,instrument\nPolyps,v1\n", 2, "no instrument"),
    ],
)  # fmt: skip
def test_a_table_that_is_refused_is_told_with_its_line_and_column(wide, text, line, says):
    with pytest.raises(DataError) as caught:
        wide(text)

    assert f"export.csv line {line}" in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_column_can_be_left_out_by_name(wide):
    text = "competition,team,mood,size\nPolyps,A,good,4\n"
    with pytest.raises(DataError, match="--drop"):
        wide(text)

    assert wide(text, drop=["mood"]).dropped == ("mood",)
    with pytest.raises(DataError, match="no column 'moood'"):
        wide(text, drop=["mood", "moood"])


# Into the database and out again


def test_what_is_taken_in_comes_out_the_same(folder, tmp_path):
    file = tmp_path / "export.csv"
    (folder / "instrument.yaml").write_text(INSTRUMENT.replace(RANK, LIKERT + RANK))
    file.write_text(LIME)
    taken = take_in(folder, file)
    out = collect(folder).answers
    left, right = (
        a.answers.sort_values(list(ANSWERS), ignore_index=True) for a in (out, taken.answers)
    )

    pd.testing.assert_frame_equal(left, right)
    key = "respondent"
    assert out.respondents.set_index(key).status.to_dict() == (
        taken.answers.respondents.set_index(key).status.to_dict()
    )
    assert out.respondents.seconds.dropna().tolist() == pytest.approx([600, 600])
    write_jsonl(out, tmp_path / "out.jsonl")
    same(read_jsonl(tmp_path / "out.jsonl"), out)


def test_faulty_answers_survive_the_database_as_they_were(instrument):
    values = [
        ("r", "size", "", "four"), ("r", "role", "", "lead"), ("r", "role", "", "member"),
        ("r", "deep", "", "maybe"), ("r", "hours", "", "+7"), ("r", "nothing", "", "x"),
        ("r", "nothing2", "row", "x"), ("r", "tools", "", "never"), ("r", "tools", "code", "often"),
        ("r", "tools", "code", "never"), ("r", "reasons", "", "prize"),
        ("r", "reasons", "", "prize"), ("r", "layers", "", "12"), ("r", "held_back", "", ""),
    ]  # fmt: skip
    answers = tables([("r", "c", "t", "completed", "a" * 64, math.nan)], values)

    same(collected(kept_of(answers, instrument)), answers)


@pytest.mark.parametrize("name", ["again.csv", "again.jsonl"])
def test_the_same_file_twice_is_refused_and_nothing_is_half_written(folder, tmp_path, name):
    file = tmp_path / name
    line = "competition,id,team,size\nPolyps,1,A,4\n"
    file.write_text(line if name.endswith("csv") else json.dumps(GOOD) + "\n")
    take_in(folder, file)
    more = "Polyps,2,B,4\n" if name.endswith("csv") else json.dumps(GOOD | {"respondent": "r0"})
    file.write_text(file.read_text() + more)
    with pytest.raises(StoreError, match="here already"):
        take_in(folder, file)

    assert len(collect(folder).answers.respondents) == 1


def test_a_refused_file_leaves_the_database_as_it_was(folder, tmp_path):
    file = tmp_path / "x.csv"
    file.write_text(HEADS + "Polyps,A,4\n" * 3 + "Polyps,B\n")
    with pytest.raises(DataError, match="line 5"):
        take_in(folder, file)

    assert collect(folder).answers.respondents.empty


def test_answers_from_elsewhere_count_as_begun_although_their_beginning_is_not_known(
    folder, tmp_path
):
    (tmp_path / "x.csv").write_text(HEADS + "Polyps,A,4\nPolyps,a!,4\n")
    take_in(folder, tmp_path / "x.csv")
    database = survey_folder(folder).open()
    storage = Storage(database)
    totals, duplicates = storage.totals(), storage.duplicates()
    database.close()

    assert totals == [("Polyps", 2, 2, 2)]
    assert len(duplicates[0][1]) == 2


# The organiser's table


def test_competitions_have_their_teams_and_ranks(tmp_path):
    file = tmp_path / "competitions.csv"
    file.write_text(
        '\ufeffcompetition,team,rank\nPolyps,"Alpha, Beta",2\nVessels,,\nPolyps,Gamma,\n'
        "\nPolyps, Delta  Two ,1\n",
        encoding="utf-8",
    )

    assert read_competitions(file) == [
        ("Polyps", ("Alpha, Beta", "Gamma", "Delta Two"), {"Alpha, Beta": 2, "Delta Two": 1}),
        ("Vessels", (), {}),
    ]
    file.write_text("competition,team\nPolyps,A\n")
    assert read_competitions(file) == [("Polyps", ("A",), {})]
    file.write_text("competition,team,rank\n")
    assert read_competitions(file) == []


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "no head"),
        ("team,competition\n", 1, "no head"),
        ("competition,teams\n", 1, "Did you mean 'team'"),
        ("competition,team,rank\nA,B\n", 2, "2 cells; expected 3"),
        ("competition,team,rank\n,B,1\n", 2, "no competition"),
        ("competition,team,rank\nA,,1\n", 2, "rank without a team"),
        ("competition,team,rank\nA,B,first\n", 2, "a whole number from 1"),
        ("competition,team,rank\nA,B,0\n", 2, "a whole number from 1"),
        ("competition,team,rank\nA,B,1\n\nA,b!,2\n", 4, "there since line 2"),
    ],
)
def test_a_table_of_competitions_that_does_not_fit_is_refused(tmp_path, text, line, says):
    file = tmp_path / "competitions.csv"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        read_competitions(file)

    assert f"competitions.csv line {line}" in str(caught.value)
    assert says in str(caught.value)
