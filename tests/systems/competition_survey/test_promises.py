"""What participants are promised: nothing of theirs is lost, taken by another, or run elsewhere."""

import csv
import io
import json
import math

import pytest
from typer.testing import CliRunner

from assay.errors import DataError, StoreError, UsageError
from assay.systems.competition_survey import storage as storing
from assay.systems.competition_survey.answers import (
    collected,
    read_competitions,
    read_text,
    tables,
)
from assay.systems.competition_survey.check import check
from assay.systems.competition_survey.collecting import collect, kept_of, take_in
from assay.systems.competition_survey.handing_on import plain, private_folder, write_private
from assay.systems.competition_survey.inclusion import include, read_rules
from assay.systems.competition_survey.instrument import LARGEST_BYTES, read_instrument
from assay.systems.competition_survey.inviting import invite
from assay.systems.competition_survey.jsonl import read_jsonl, write_jsonl
from assay.systems.competition_survey.people import People, Person
from assay.systems.competition_survey.settings import make_survey, survey_folder
from assay.systems.competition_survey.storage import normalised
from assay.systems.competition_survey.verbs import app
from assay.systems.competition_survey.wide import ABOUT, IGNORED, read_wide
from systems.competition_survey.served import GENERAL, INSTRUMENT, METHOD, Respondent, Survey
from systems.competition_survey.test_verbs import say

RULES = [{"without": ["instrument", "duplicate"]}]


@pytest.fixture
def survey(tmp_path):
    return Survey(tmp_path)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "survey"
    make_survey(made, title="x", mode="closed")
    (made / "instrument.yaml").write_text(INSTRUMENT)
    (made / "competitions.csv").write_text(
        "competition,team,rank\nPolyps,Alpha,1\nVessels,alpha,\n"
    )
    return made


def submit(survey, team, size):
    someone = Respondent(survey.gate)
    someone.open("/")
    someone.send({"competition": "Polyps", "team": team})
    someone.fill("general", GENERAL | {"size": size})
    someone.fill("method", METHOD)
    someone.send(action="/submit")
    return someone


def included(survey, instrument, rules=RULES):
    answers = collected(survey.storage.everyone())
    findings = check(instrument, answers)
    return include(instrument, answers, findings, read_rules(rules, instrument)).included.team


# Nobody takes the place of a team


def test_a_form_that_was_only_begun_under_a_teams_name_takes_nothing_from_it(tmp_path):
    survey = Survey(tmp_path, mode="open")
    instrument = read_instrument(tmp_path / "instrument.yaml")
    submit(survey, "Team X", "4")
    rival = Respondent(survey.gate)
    rival.open("/")
    rival.send({"competition": "Polyps", "team": "team-x"})
    rival.send(GENERAL)

    answers = collected(survey.storage.everyone())
    assert "duplicate" not in set(check(instrument, answers).code)
    assert included(survey, instrument).tolist() == ["Team X"]


def test_of_two_submitted_forms_of_one_team_the_latest_counts(tmp_path, monkeypatch):
    survey = Survey(tmp_path, mode="open")
    instrument = read_instrument(tmp_path / "instrument.yaml")
    moments = iter(f"2026-01-01T00:{n:02d}:00+00:00" for n in range(60))
    monkeypatch.setattr(storing, "_now", lambda: next(moments))
    first = submit(survey, "Team X", "4")
    submit(survey, "TEAM X", "5")
    assert included(survey, instrument).tolist() == ["TEAM X"]

    first.open("/review")
    first.send(action="/submit")
    assert included(survey, instrument).tolist() == ["Team X"]
    answers = collected(survey.storage.everyone())
    assert check(instrument, answers).code.tolist().count("duplicate") == 2


def test_a_later_form_of_another_version_takes_no_place(survey, tmp_path):
    instrument = read_instrument(tmp_path / "instrument.yaml")
    people = [("a", "c", "X", "completed", instrument.hash, 600.0),
              ("b", "c", "x", "completed", "0" * 64, 600.0)]  # fmt: skip
    answers = tables(people, [])
    found = include(instrument, answers, check(instrument, answers), read_rules(RULES, instrument))

    assert found.included.respondent.tolist() == ["a"]


def test_of_an_imported_file_the_last_form_of_a_team_comes_last(folder, tmp_path):
    rows = "".join(f"Polyps,{name},{n}\n" for n, name in enumerate(["A", "a!", "A.", "a"], 1))
    (tmp_path / "x.csv").write_text("competition,team,size\n" + rows)
    take_in(folder, tmp_path / "x.csv")

    assert collect(folder).answers.answers.value.tolist() == ["1", "2", "3", "4"]


# What was saved stays


@pytest.mark.parametrize("button", ["on", "later", "back"])
def test_a_slip_of_the_pen_loses_nothing_and_is_told(survey, button):
    someone = survey.respondent()
    someone.fill("general", GENERAL)
    someone.fill("method", METHOD | {"hours": "80"})
    page = someone.fill("method", {"hours": "99999", "remarks": "fine"}, button=button)

    assert page.status_code == 422
    assert 'value="99999"' in page.text
    assert survey.kept().draft["hours"] == 80
    assert survey.kept().draft["remarks"] == "fine"


def test_what_depends_on_a_wrong_answer_stays_too(survey):
    someone = survey.respondent()
    someone.fill("method", METHOD | {"deep": "true", "arch": "own", "layers": "12"})
    someone.fill("method", {"arch": "bent"})

    assert survey.kept().draft["arch"] == "own"
    assert survey.kept().draft["layers"] == 12


def test_a_required_answer_can_be_taken_back(survey):
    someone = survey.respondent()
    someone.fill("general", GENERAL)
    assert someone.fill("general", {"size": ""}, button="later").status_code == 200

    assert "size" not in survey.kept().draft


# Another team's link


def test_a_link_alone_never_changes_who_answers(survey):
    someone = survey.respondent()
    token = survey.storage.invite("Polyps", "Beta")
    page = someone.open(f"/enter?token={token}")
    assert "Alpha" in page.text
    assert "Beta" in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    before = dict(someone.cookies)
    someone.fill("general", GENERAL)
    assert survey.kept("Alpha").draft["size"] == 4

    someone.open(f"/enter?token={token}")
    someone.send()
    someone.fill("general", GENERAL | {"size": "9"})
    assert survey.kept("Beta").draft["size"] == 9
    someone.cookies = before
    assert "Your invitation" in someone.open("/").text  # the session of before has ended


# Texts that do something elsewhere


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_cell_that_a_spreadsheet_would_run_is_made_plain(text):
    assert plain(text) == f"'{text}"
    assert plain(f"a{text}") == f"a{text}"


def test_names_and_findings_are_written_so_that_no_spreadsheet_runs_them(folder, tmp_path):
    survey = survey_folder(folder)
    database = survey.open()
    People(database).add(Person("=HYPERLINK(1)", "=cmd@example.org", True, False))
    database.close()
    (folder / "competitions.csv").write_text("competition,team,rank\nPolyps,@Alpha,\n")
    (tmp_path / "x.csv").write_text("competition,id,role\n=P(),1,x\n")
    take_in(folder, tmp_path / "x.csv")
    say_check(folder, tmp_path / "found.csv")

    rows = list(csv.reader(io.StringIO(say("people", folder).stdout)))
    assert rows[1][:2] == ["'=HYPERLINK(1)", "'=cmd@example.org"]
    assert json.loads(say("people", folder, "--json").stdout)[0]["name"] == "=HYPERLINK(1)"
    links = list(csv.DictReader(io.StringIO(say("tokens", folder).stdout)))
    assert links[0]["team"] == "'@Alpha"
    assert (tmp_path / "found.csv").stat().st_mode & 0o777 == 0o600


def say_check(folder, to):
    CliRunner().invoke(app, ["check", str(folder), "--to", str(to)], catch_exceptions=False)


@pytest.mark.parametrize("odd", ["A\tda", "A\nda", "A\u2028da", "A\x9bda"])
def test_names_of_several_lines_or_with_controls_are_refused(tmp_path, odd):
    survey = Survey(tmp_path, mode="open")
    someone = Respondent(survey.gate)
    someone.open("/")
    assert someone.send({"competition": "Polyps", "team": odd}).status_code == 422
    someone = submit(survey, "Alpha", "4")
    given = {"name": "Ada", "email": "ada@example.org", "wish": "raffle"}
    for field in ({"name": odd}, {"email": "ada@exam\x9bple.org"}):
        someone.open("/thanks")
        assert someone.send(given | field, action="/people").status_code == 422

    assert survey.people.all() == []


# What is too large, too deep or too long is told in a line


def lines(folder, **change):
    good = {"respondent": "r1", "competition": "c", "team": "t", "status": "completed",
            "instrument": "", "seconds": 1.0, "answers": []}  # fmt: skip
    (folder / "x.jsonl").write_text(json.dumps(good | change) + "\n")
    return folder / "x.jsonl"


@pytest.mark.parametrize("seconds", [math.inf, -1, 1e12, 10**400, True])
def test_seconds_that_cannot_be_are_refused(tmp_path, seconds):
    with pytest.raises(DataError, match="line 1"):
        read_jsonl(lines(tmp_path, seconds=seconds))


def test_oddities_are_refused_and_not_run_into(tmp_path, folder):
    (tmp_path / "x.csv").write_text("competition,id,seconds\nPolyps,1,99999999999\n")
    with pytest.raises(DataError, match="are no seconds"):
        take_in(folder, tmp_path / "x.csv")
    (tmp_path / "deep.jsonl").write_text("[" * 100_000)
    with pytest.raises(DataError, match="is not JSON"):
        read_jsonl(tmp_path / "deep.jsonl")
    with pytest.raises(DataError, match="no finding"):
        read_rules([{"without": [["a"]]}], read_instrument(folder / "instrument.yaml"))
    (tmp_path / "c.csv").write_text(f"competition,team,rank\nP,A,{'9' * 5000}\n")
    with pytest.raises(DataError, match="a whole number from 1"):
        read_competitions(tmp_path / "c.csv")


def test_files_that_are_too_large_are_refused_and_never_cut(tmp_path):
    file = tmp_path / "instrument.yaml"
    file.write_text(INSTRUMENT + "#" * (LARGEST_BYTES - len(INSTRUMENT.encode())))
    assert read_instrument(file).id == "small"
    file.write_text(file.read_text() + "#")
    with pytest.raises(DataError, match="too large"):
        read_instrument(file)
    assert read_text(file, LARGEST_BYTES + 1)
    with pytest.raises(DataError, match="too large"):
        read_text(file, LARGEST_BYTES)


# Invitations


def test_invitations_are_made_all_or_none(folder, monkeypatch):
    made = iter(["a" * 22])

    def token(_):
        return next(made, None) or (_ for _ in ()).throw(StoreError("no more"))

    with monkeypatch.context() as patch:
        patch.setattr(storing.secrets, "token_urlsafe", token)
        with pytest.raises(StoreError):
            invite(survey_folder(folder), "http://x")

    assert len(invite(survey_folder(folder), "http://x")) == 2


def test_a_name_in_two_competitions_is_renewed_in_the_one_that_is_said(folder):
    survey = survey_folder(folder)
    invite(survey, "http://x")
    with pytest.raises(UsageError, match="--competition"):
        invite(survey, "http://x", "ALPHA")
    with pytest.raises(UsageError, match="no competition 'Vesels'"):
        invite(survey, "http://x", "ALPHA", "Vesels")

    again = invite(survey, "http://x", "ALPHA", "Vessels")
    assert [(link.competition, link.team) for link in again] == [("Vessels", "alpha")]


# For its owner alone


def test_raw_answers_are_for_their_owner_alone(folder, tmp_path):
    out, old = tmp_path / "out.jsonl", tmp_path / "old.txt"
    old.write_text("old")
    old.chmod(0o644)
    write_private(old, "new")
    write_jsonl(tables([], []), out)
    private_folder(folder / "store")

    assert old.read_text() == "new"
    for path, mode in ((out, 0o600), (old, 0o600), (folder, 0o700), (folder / "store", 0o700)):
        assert path.stat().st_mode & 0o777 == mode
    assert {p.name for p in tmp_path.iterdir()} == {"out.jsonl", "old.txt", "survey"}


def test_the_store_of_a_report_is_for_its_owner_alone(folder, tmp_path):
    (tmp_path / "x.csv").write_text("competition,id,size\nPolyps,1,4\n")
    take_in(folder, tmp_path / "x.csv")
    say("analyse", folder, "--json")

    assert (folder / "store").stat().st_mode & 0o777 == 0o700


def test_a_list_of_what_stays_out_of_version_control_is_added_to(tmp_path):
    (tmp_path / ".gitignore").write_text("mine\nsecret.key")
    make_survey(tmp_path, title="x", mode="closed")
    there = (tmp_path / ".gitignore").read_text().splitlines()

    assert there[:2] == ["mine", "secret.key"]
    assert {"survey.sqlite*", "store/"} <= set(there)
    assert there.count("secret.key") == 1


# Imports


def test_two_files_without_ids_both_come_in_and_one_of_them_only_once(folder, tmp_path):
    for name, size in (("a.csv", 4), ("b.csv", 5)):
        (tmp_path / name).write_text(f"competition,size\nPolyps,{size}\nPolyps,{size}\n")
        take_in(folder, tmp_path / name)
    with pytest.raises(StoreError, match="here already"):
        take_in(folder, tmp_path / "a.csv")

    assert sorted(collect(folder).answers.answers.value) == ["4", "4", "5", "5"]


def test_a_respondent_cannot_be_told_from_an_id_without_the_surveys_secret(folder, tmp_path):
    instrument = read_instrument(folder / "instrument.yaml")
    (tmp_path / "x.csv").write_text("competition,id\nPolyps,ada@example.org\n")
    keys = {
        read_wide(tmp_path / "x.csv", instrument, secret=secret).answers.respondents.respondent[0]
        for secret in (b"", b"one", b"two")
    }
    assert len(keys) == 3
    take_in(folder, tmp_path / "x.csv")
    assert collect(folder).answers.respondents.respondent[0] not in keys


@pytest.mark.parametrize("name", sorted({*ABOUT, *IGNORED, "participant", "mail", "username"}))
def test_a_question_cannot_be_named_as_a_column_that_imports_take_for_something_else(
    tmp_path, name
):
    file = tmp_path / "x.yaml"
    file.write_text(f"{INSTRUMENT}- {{id: {name}, section: method, type: text}}\n")
    with pytest.raises(DataError, match=name):
        read_instrument(file)


def test_two_options_that_read_alike_are_refused(tmp_path):
    file = tmp_path / "x.yaml"
    line = "- {id: x, section: method, type: single, options: [{a: Same}, {b: same}]}\n"
    file.write_text(INSTRUMENT + line)
    with pytest.raises(DataError, match="read 'same'"):
        read_instrument(file)


# How long it took, and what a name is


def test_the_time_runs_from_the_first_section_shown_to_the_first_submission(tmp_path, monkeypatch):
    survey = Survey(tmp_path)
    clock = [0]
    monkeypatch.setattr(storing, "_now", lambda: f"2026-01-01T00:{clock[0]:02d}:00+00:00")
    someone = survey.respondent()
    for minute, (section, fields) in enumerate((("general", GENERAL), ("method", METHOD)), 1):
        someone.open(f"/section/{section}")
        clock[0] = 10 * minute
        someone.send(fields)
    someone.send(action="/submit")
    assert collected(survey.storage.everyone()).respondents.seconds.tolist() == [1200]

    clock[0] = 50
    someone.open("/review")
    someone.send(action="/submit")
    assert survey.kept().completed.startswith("2026-01-01T00:50")
    assert collected(survey.storage.everyone()).respondents.seconds.tolist() == [1200]


def test_imported_times_are_kept_exactly(tmp_path):
    (tmp_path / "i.yaml").write_text(INSTRUMENT)
    people = [("r", "c", "t", "completed", "", 1234.5678901), ("s", "c", "u", "completed", "", 0.0)]
    back = collected(kept_of(tables(people, []), read_instrument(tmp_path / "i.yaml")))

    assert back.respondents.seconds.tolist() == [1234.5678901, 0.0]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("कि", "की", False),  # vowel signs of Devanagari
        ("กิ", "กุ", False),  # of Thai
        ("★", "☆", False),
        ("★ ", "★", True),
        ("-", "", True),  # typed for no name
        ("É", "e", True),
        ("Ёж", "еж", True),
    ],
)
def test_names_differ_by_their_signs_and_not_by_their_accents(one, other, same):
    assert (normalised(one) == normalised(other)) is same
