"""The form as somebody fills it in whose browser knows no scripts."""

import re
from html.parser import HTMLParser

import pytest

from systems.competition_survey.served import ACCESS, GENERAL, METHOD, Respondent, Survey


@pytest.fixture
def survey(tmp_path):
    made = Survey(tmp_path)
    yield made
    made.database.close()


@pytest.fixture
def open_survey(tmp_path):
    made = Survey(tmp_path, "open")
    yield made
    made.database.close()


def wrong(page):
    """What the page says is wrong: by question, in the order of the page."""
    return dict(re.findall(r'<a href="[^"]*#f-(\w+)">[^<]* — ([^<]*)</a>', page.text))


def test_from_the_invitation_to_the_thanks(survey):
    someone = survey.respondent()
    assert "Alpha" in someone.page.text

    assert "Section 2 of 2" in someone.fill("general", GENERAL).text
    assert someone.send(METHOD).url.path == "/review"
    assert someone.send(action="/submit").url.path == "/thanks"

    kept = survey.kept()
    assert kept.answers == {
        "role": "lead", "size": 4, "reasons": ["exchange", "paper"], "deep": False,
    }  # fmt: skip
    assert kept.completed
    assert "Reported for all teams together." in someone.page.text


def test_every_kind_of_answer_is_kept_as_what_it_is_and_shown_again(survey):
    someone = survey.respondent()
    someone.fill(
        "general", {"role": "other", "role_other": "jury", "size": "4", "begun": "2021-03-31"}
    )
    given = METHOD | {
        "hours": "80.5", "deep": "true", "arch": "own", "layers": "12", "tools.code": "often",
        "file": "A" * 64, "remarks": "two\r\nlines & <b>", "held_back": ["time", "data"],
    }  # fmt: skip
    assert someone.fill("method", given).url.path == "/review"

    draft = survey.kept().draft
    assert draft == {
        "role": "other", "role_other": "jury", "size": 4, "begun": "2021-03-31", "hours": 80.5,
        "reasons": ["exchange", "paper"], "deep": True, "arch": "own", "layers": 12,
        "tools": {"code": "often"}, "file": "a" * 64, "remarks": "two\r\nlines & <b>",
        "held_back": ["time", "data"],
    }  # fmt: skip
    someone.fill("general", {})
    assert someone.fill("method", {}).url.path == "/review"
    assert survey.kept().draft == draft


WRONG = [
    ("general", {"role": "lead", "size": ""}, "size", "Please answer this"),
    ("general", {"role": "other", "size": "4"}, "role", "Say in a few words what “other” is"),
    ("general", {"role": "king", "size": "4"}, "role", "Choose one of the options"),
    ("general", GENERAL | {"size": "0"}, "size", "Between 1 and 500 people"),
    ("general", GENERAL | {"size": "501"}, "size", "Between 1 and 500 people"),
    ("general", GENERAL | {"size": "4.5"}, "size", "Type a whole number, such as 12"),
    ("general", GENERAL | {"size": "four"}, "size", "Type a whole number, such as 12"),
    ("general", GENERAL | {"size": "NaN"}, "size", "Type a whole number, such as 12"),
    ("general", GENERAL | {"size": "1e2"}, "size", "Type a whole number, such as 12"),
    ("general", GENERAL | {"size": "9" * 400}, "size", "Type a whole number, such as 12"),
    ("general", GENERAL | {"begun": "31.3.2021"}, "begun", "Type a date as year-month-day"),
    ("general", GENERAL | {"begun": "2021-02-30"}, "begun", "Type a date as year-month-day"),
    ("general", GENERAL | {"begun": "20210301"}, "begun", "Type a date as year-month-day"),
    ("method", METHOD | {"reasons": []}, "reasons", "Please answer this"),
    ("method", METHOD | {"reasons": ["prize", "exchange", "paper"]}, "reasons", "Choose at most 2"),
    ("method", METHOD | {"reasons": ["gold"]}, "reasons", "Choose among the options"),
    ("method", METHOD | {"hours": "1,000"}, "hours", "Type a number, such as 80 or 7.5"),
    ("method", METHOD | {"hours": "inf"}, "hours", "Type a number, such as 80 or 7.5"),
    ("method", METHOD | {"hours": "-1"}, "hours", "Between 0 and 5000 h"),
    ("method", METHOD | {"held_back": ["none", "time"]}, "held_back", "cannot stand beside"),
    ("method", METHOD | {"deep": "maybe"}, "deep", "Choose yes or no"),
    ("method", METHOD | {"deep": "true"}, "arch", "Please answer this"),
    ("method", METHOD | {"deep": "true", "arch": "own", "layers": "0"}, "layers", "At least 1"),
    ("method", METHOD | {"tools.code": "x"}, "tools", "Choose one of the options in each row"),
    ("method", METHOD | {"file": "abc"}, "file", "64 characters"),
    ("method", METHOD | {"remarks": "x" * 10_001}, "remarks", "At most 10000 characters"),
]


@pytest.mark.parametrize(("section", "fields", "question", "says"), WRONG)
def test_what_is_wrong_is_said_at_its_field_and_the_rest_is_saved(
    survey, section, fields, question, says
):
    someone = survey.respondent()
    page = someone.fill(section, fields)

    assert page.status_code == 422
    said = wrong(page)
    assert list(said) == [question]
    assert says in said[question]
    assert f'id="f-{question}"' in page.text
    assert f'id="f-{question}-error"' in page.text
    draft = survey.kept().draft
    assert question not in draft
    assert set(draft) & {"size", "deep", "reasons"} == {"size", "deep", "reasons"} & set(fields) - {
        question
    }


def test_what_was_typed_wrong_stands_there_to_be_put_right(survey):
    someone = survey.respondent()
    page = someone.fill("general", GENERAL | {"size": 'lots "of" <them>'})

    assert 'value="lots &#34;of&#34; &lt;them&gt;"' in page.text
    assert someone.send({"size": "5"}).url.path == "/section/method"
    assert survey.kept().draft["size"] == 5


def test_what_does_not_apply_is_left_out_although_it_was_sent(survey):
    someone = survey.respondent()
    someone.fill("general", GENERAL)
    someone.fill("method", METHOD | {"deep": "true", "arch": "own", "layers": "12"})
    assert survey.kept().draft["layers"] == 12

    someone.fill("method", {"deep": "false"})
    assert not {"arch", "layers"} & set(survey.kept().draft)
    someone.send(action="/submit")
    assert not {"arch", "layers"} & set(survey.kept().answers)


def test_what_may_come_to_apply_is_on_the_page_and_says_when(survey):
    page = survey.respondent().open("/section/method")

    assert 'id="q-arch"' in page.text
    assert re.search(r'id="f-arch-only">[^<]*Deep learning', page.text)


def test_an_answer_can_be_taken_back(survey):
    someone = survey.respondent()
    someone.fill("general", GENERAL)
    someone.fill("method", METHOD | {"hours": "80", "tools.code": "often"})
    someone.fill("method", {"hours": "", "tools.code": ""})

    assert not {"hours", "tools"} & set(survey.kept().draft)


def test_saving_for_later_keeps_what_is_right_and_asks_for_nothing(survey):
    someone = survey.respondent()
    page = someone.fill("general", {"role": "lead", "size": "many"}, button="later")
    assert page.status_code == 422
    page = someone.send({"size": ""}, button="later")

    assert page.status_code == 200
    assert "open the link of your invitation" in page.text
    assert survey.kept().draft == {"role": "lead"}
    assert 'href="/section/general"' in someone.open("/").text


def test_going_back_saves_too(survey):
    someone = survey.respondent()
    someone.fill("general", GENERAL)

    assert someone.fill("method", {"hours": "7"}, button="back").url.path == "/section/general"
    assert survey.kept().draft["hours"] == 7


def test_nothing_is_submitted_while_something_is_missing(survey):
    someone = survey.respondent()
    someone.fill("general", GENERAL)
    page = someone.open("/review")

    assert list(wrong(page)) == ["reasons", "deep"]
    assert 'href="/section/method#f-reasons"' in page.text
    assert 'action="/submit"' not in page.text
    someone.fill("method", METHOD)
    someone.open("/review")
    survey.storage.save(survey.kept().respondent, "general", {"size": None}, instrument="h")
    assert someone.send(action="/submit").url.path == "/review"
    assert survey.kept().answers is None


def test_submitting_again_replaces_and_until_then_the_first_answers_count(survey):
    someone = survey.respondent()
    someone.fill("general", GENERAL)
    someone.fill("method", METHOD)
    someone.send(action="/submit")
    someone.fill("general", {"size": "9"})
    assert survey.kept().answers["size"] == 4
    assert "Your answers are submitted" in someone.open("/").text

    someone.open("/review")
    someone.send(action="/submit")
    assert survey.kept().answers["size"] == 9
    assert [a["size"] for a in survey.storage.history(survey.kept().respondent)] == [4]


def test_the_words_for_other_are_submitted_with_it(survey):
    someone = survey.respondent()
    someone.fill("general", {"role": "other", "role_other": "jury", "size": "4"})
    someone.fill("method", METHOD)
    someone.send(action="/submit")

    assert survey.kept().answers["role_other"] == "jury"


def test_progress_counts_sections(survey):
    someone = survey.respondent()
    assert "0 of 2 sections done" in someone.open("/").text
    someone.fill("general", GENERAL)
    someone.fill("method", {"deep": "true"})

    page = someone.open("/")
    assert "1 of 2 sections done" in page.text
    assert "2 to answer" in page.text  # reasons and arch


def test_an_invitation_works_again_and_elsewhere(survey):
    token = survey.storage.invite("Polyps", "Alpha")
    first, second = Respondent(survey.gate), Respondent(survey.gate)
    for someone in (first, second):
        page = someone.open(f"/enter?token={token}")
        assert page.status_code == 200
        assert token not in page.text
        assert page.headers["referrer-policy"] == "no-referrer"
    first.fill("general", GENERAL)

    assert 'value="4"' in second.open("/section/general").text


def test_the_code_can_be_typed(survey):
    token = survey.storage.invite("Polyps", "Alpha")
    someone = Respondent(survey.gate)
    someone.open("/")
    someone.send({"token": f" {token} "})

    assert "Alpha" in someone.open("/").text


def test_leaving_a_computer_ends_the_session_there(survey):
    someone = survey.respondent()
    someone.fill("general", GENERAL)
    before = dict(someone.cookies)
    someone.open("/")
    someone.send(action="/leave")

    assert "Your invitation" in someone.page.text
    someone.cookies = before
    assert "Your invitation" in someone.open("/").text
    assert survey.kept().draft["size"] == 4


def test_an_open_survey_is_begun_with_competition_and_team(open_survey):
    someone = Respondent(open_survey.gate)
    assert "Vessels" in someone.open("/").text
    page = someone.send({"competition": "Knitting", "team": " . "})
    assert page.status_code == 422
    assert "Choose your competition" in page.text
    assert "Type the name of your team" in page.text

    assert someone.send({"competition": "Vessels", "team": "Beta"}).url.path == "/section/general"
    kept = open_survey.kept("Beta")
    assert (kept.competition, kept.mode) == ("Vessels", "open")


def test_an_open_survey_gives_a_personal_link_to_go_on_elsewhere(open_survey):
    someone = Respondent(open_survey.gate)
    someone.open("/")
    someone.send({"competition": "Vessels", "team": "Beta"})
    page = someone.send(GENERAL, button="later")
    link = re.search(r'class="link">http://127.0.0.1:8100(/enter\?token=[\w-]{22})<', page.text)

    other = Respondent(open_survey.gate)
    other.open(link[1])
    assert 'value="4"' in other.open("/section/general").text


def test_teams_of_one_name_stay_apart_and_the_organiser_is_told(open_survey):
    for name in ("Beta", "BETA!"):
        someone = Respondent(open_survey.gate)
        someone.open("/")
        someone.send({"competition": "Vessels", "team": name})
        someone.send(GENERAL)
    organiser = Respondent(open_survey.gate)
    organiser.open(f"/organiser?access={ACCESS}")
    page = organiser.open("/organiser")

    assert "2 of one name" in page.text
    assert re.search(r"Vessels</th><td>2</td><td>2</td><td>0</td>", page.text)


def test_a_closed_survey_is_not_begun_without_an_invitation(survey):
    someone = Respondent(survey.gate)
    page = someone.open("/")
    csrf = re.search(r'name="csrf" value="(\w+)"', page.text)[1]
    origin = {"origin": "http://127.0.0.1:8100"}
    answer = someone.ask(
        "POST", "/start", data={"csrf": csrf, "competition": "Polyps", "team": "X"}, headers=origin
    )

    assert answer.status_code == 403
    assert not list(survey.storage.everyone())


def test_a_name_is_kept_apart_and_only_after_submitting(survey):
    someone = survey.respondent()
    assert someone.open("/thanks").url.path == "/"
    someone.fill("general", GENERAL)
    someone.fill("method", METHOD)
    someone.send(action="/submit")
    page = someone.send({"name": "", "email": "nowhere"}, action="/people")
    assert page.status_code == 422
    assert page.text.count("<li><a href=") == 3

    fields = {"name": "Ada Byron", "email": "ada@example.org", "wish": ["coauthor"]}
    assert "Your name is kept" in someone.send(fields, action="/people").text
    assert survey.people.all() == [("Ada Byron", "ada@example.org", True, False)]
    assert "Ada" not in repr(survey.storage.everyone())
    assert "Ada" not in someone.open("/thanks").text


class Outline(HTMLParser):
    """What a page tells those who do not see it."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.labels, self.inputs, self.stack, self.all = [], set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.all.append((tag, given))
        if "id" in given:
            self.ids.append(given["id"])
        if tag in {"fieldset", "label", "table"}:
            self.stack.append(tag)
        if tag == "label" and "for" in given:
            self.labels.add(given["for"])
        if tag in {"input", "textarea", "select"} and given.get("type") != "hidden":
            self.inputs.append((given, tuple(self.stack)))

    def handle_endtag(self, tag):
        if tag in {"fieldset", "label", "table"}:
            self.stack.pop()


def test_every_field_has_a_label_and_every_group_a_legend(survey):
    someone = survey.respondent()
    for page in (someone.fill("general", {}), someone.fill("method", METHOD | {"hours": "x"})):
        outline = Outline(page.text)
        assert len(outline.ids) == len(set(outline.ids))
        for given, around in outline.inputs:
            assert "label" in around or given.get("id") in outline.labels, given
            if given.get("type") in {"radio", "checkbox"}:
                assert "fieldset" in around
        assert page.text.count("<fieldset") == page.text.count("<legend")
        described = [a["aria-describedby"] for _, a in outline.all if "aria-describedby" in a]
        assert described
        assert all(name in outline.ids for text in described for name in text.split())
        linked = [a["href"][1:] for t, a in outline.all if t == "a" and a["href"].startswith("#")]
        assert set(linked) <= set(outline.ids)
        assert sum(tag == "h1" for tag, _ in outline.all) == 1
        assert page.text.startswith('<!doctype html>\n<html lang="en">')


def test_pages_have_no_inline_script_style_or_foreign_address(survey):
    someone = survey.respondent()
    pages = [someone.open(p) for p in ("/", "/section/method", "/review")]
    for page in pages:
        assert not re.search(r"<script(?![^>]*src=\"/static/)", page.text)
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page.text)
        assert not re.search(r"(src|href|action)=\"(?!/|#)", page.text)


def test_static_files_are_found_by_name_alone_and_kept_by_the_browser(survey):
    someone = survey.respondent()
    page = someone.open("/section/general").text
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        answer = someone.ask("GET", address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert someone.ask("GET", "/static/survey.css").status_code == 404
