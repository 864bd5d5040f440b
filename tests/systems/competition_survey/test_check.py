"""The check: every planted fault is found, at its respondent and question, and nothing else."""

import math
import random
import time

import pytest

from assay.errors import DataError
from assay.systems.competition_survey.answers import Answers, tables
from assay.systems.competition_survey.check import CODES, COLUMNS, check
from assay.systems.competition_survey.inclusion import include, read_rules
from assay.systems.competition_survey.instrument import read_instrument, ready_made
from assay.systems.competition_survey.show_if import shown
from systems.competition_survey.served import INSTRUMENT

MORE = """
- {id: effort, section: method, type: matrix, text: Effort, rows: [r1, r2, r3, r4], options: [low, high], required: true}
- {id: again, section: method, type: likert, text: Again, options: [No, Perhaps, Sure]}
"""  # noqa: E501


@pytest.fixture
def instrument(tmp_path):
    (tmp_path / "instrument.yaml").write_text(INSTRUMENT + MORE)
    return read_instrument(tmp_path / "instrument.yaml")


GOOD = [
    ("role", "", "other"), ("role_other", "", "jury"), ("size", "", "4"),
    ("begun", "", "2021-03-31"), ("reasons", "", "exchange"), ("reasons", "", "paper"),
    ("hours", "", "80.5"), ("held_back", "", "time"), ("held_back", "", "data"),
    ("deep", "", "true"), ("arch", "", "own"), ("layers", "", "12"), ("tools", "code", "often"),
    ("file", "", "a" * 64), ("remarks", "", "fine"), ("again", "", "3"),
    ("effort", "r1", "low"), ("effort", "r2", "high"), ("effort", "r3", "low"),
    ("effort", "r4", "low"),
]  # fmt: skip


def person(instrument, key="r1", /, **changes):
    usual = {"competition": "Polyps", "team": key, "status": "completed",
             "instrument": instrument.hash, "seconds": 600.0}  # fmt: skip
    return (key, *(usual | changes).values())


def found(instrument, values, /, **changes):
    """Code and question of what is found among the answers of one respondent."""
    answers = tables([person(instrument, **changes)], [("r1", *value) for value in values])
    return list(check(instrument, answers)[["code", "question"]].itertuples(index=False, name=None))


def without(*names):
    return [value for value in GOOD if value[0] not in names]


def test_a_good_form_is_not_complained_about(instrument):
    assert found(instrument, GOOD) == []
    least = [v for v in GOOD if v[0] in ("size", "reasons", "effort")]
    least += [("role", "", "lead"), ("deep", "", "false")]
    assert found(instrument, least) == []
    assert found(instrument, [*without("held_back"), ("held_back", "", "none")]) == []


FAULTS = {
    "unknown question": ([*GOOD, ("x", "", "1")], [("unknown_question", "x")]),
    "known to the organiser": ([*GOOD, ("rank", "", "1")], [("unknown_question", "rank")]),
    "words without such a field": (
        [*GOOD, ("size_other", "", "x")], [("unknown_question", "size_other")],
    ),
    "unknown option": ([*without("arch", "layers"), ("arch", "", "new")],
                       [("unknown_option", "arch")]),
    "unknown choice": ([*GOOD, ("held_back", "", "mood")], [("unknown_option", "held_back")]),
    "unknown option of a row": ([*without("tools"), ("tools", "code", "x")],
                                [("unknown_option", "tools")]),
    "unknown row": ([*GOOD, ("tools", "x", "often")], [("unknown_row", "tools")]),
    "a matrix without rows": ([*without("tools"), ("tools", "", "often")],
                              [("unknown_row", "tools")]),
    "a row of none": ([*without("hours"), ("hours", "r", "8")], [("unknown_row", "hours")]),
    "no number": ([*without("hours"), ("hours", "", "many")], [("type", "hours")]),
    "not finite": ([*without("hours"), ("hours", "", "nan")], [("type", "hours")]),
    "an exponent": ([*without("hours"), ("hours", "", "1e2")], [("type", "hours")]),
    "nothing at all": ([*without("hours"), ("hours", "", "")], [("type", "hours")]),
    "not whole": ([*without("size"), ("size", "", "4.5")], [("type", "size")]),
    "no truth": ([*without("deep", "arch", "layers"), ("deep", "", "maybe")], [("type", "deep")]),
    "no date": ([*without("begun"), ("begun", "", "2021-02-30")], [("type", "begun")]),
    "no digest": ([*without("file"), ("file", "", "abc")], [("type", "file")]),
    "too small": ([*without("size"), ("size", "", "0")], [("range", "size")]),
    "too large": ([*without("hours"), ("hours", "", "5000.5")], [("range", "hours")]),
    "no point of the scale": ([*without("again"), ("again", "", "4")], [("range", "again")]),
    "too many choices": ([*GOOD, ("reasons", "", "prize")], [("range", "reasons")]),
    "too many words": ([*without("remarks"), ("remarks", "", "x" * 10_001)],
                       [("range", "remarks")]),
    "too many words for other": ([*without("role_other"), ("role_other", "", "x" * 501)],
                                 [("range", "role")]),
    "two answers": ([*GOOD, ("size", "", "5")], [("repeated", "size")]),
    "one choice twice": ([*GOOD, ("held_back", "", "time")], [("repeated", "held_back")]),
    "one row twice": ([*GOOD, ("tools", "code", "never")], [("repeated", "tools")]),
    "missing": (without("size"), [("missing", "size")]),
    "missing choices": (without("reasons"), [("missing", "reasons")]),
    "missing though shown": (without("arch", "layers"), [("missing", "arch")]),
    "missing matrix": (without("effort"), [("missing", "effort")]),
    "missing row": ([v for v in GOOD if v[1] != "r2"], [("missing", "effort")]),
    "hidden": ([*without("deep"), ("deep", "", "false")], [("hidden", "arch"),
                                                           ("hidden", "layers")]),
    "hidden by an answer that does not count": (
        [*without("deep", "arch"), ("deep", "", "false")], [("hidden", "layers")],
    ),
    "not alone": ([*GOOD, ("held_back", "", "none")], [("exclusive", "held_back")]),
    "other without words": (without("role_other"), [("other_empty", "role")]),
    "other with blanks": ([*without("role_other"), ("role_other", "", " ")],
                          [("other_empty", "role")]),
    "other of several without words": (
        [*without("reasons"), ("reasons", "", "other")], [("other_empty", "reasons")],
    ),
    "words without other": ([*GOOD, ("reasons_other", "", "fame")], [("other_unasked", "reasons")]),
    "straight": ([*without("effort"), *[("effort", f"r{n}", "low") for n in (1, 2, 3, 4)]],
                 [("straight", "effort")]),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_nothing_else(instrument, name):
    values, expected = FAULTS[name]

    assert found(instrument, values) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"instrument": "0" * 64}, [("instrument", "")]),
        ({"instrument": ""}, [("instrument", "")]),
        ({"seconds": 59.9}, [("fast", "")]),
        ({"seconds": 60.0}, []),
        ({"seconds": math.nan}, []),
    ],
)
def test_faults_of_a_whole_form(instrument, changes, expected):
    assert found(instrument, GOOD, **changes) == expected


def test_who_has_not_submitted_lacks_nothing(instrument):
    people = [
        person(instrument, "a", status="invited", instrument="", seconds=math.nan),
        person(instrument, "b", status="started", instrument="", seconds=math.nan),
    ]

    assert check(instrument, tables(people, [])).empty


def test_teams_of_one_name_are_told_unless_they_only_were_invited(instrument):
    teams = [("a", "Polyps", "Team One", "completed"), ("b", "Polyps", "team-ONE", "completed"),
             ("c", "Vessels", "Team One", "completed"), ("d", "Polyps", "Team One", "invited"),
             ("e", "Polyps", "", "completed"), ("f", "Polyps", "", "completed")]  # fmt: skip
    people = [
        person(instrument, key, competition=place, team=team, status=status)
        for key, place, team, status in teams
    ]
    values = [(key, *v) for key, _, _, status in teams if status == "completed" for v in GOOD]
    findings = check(instrument, tables(people, values))

    assert findings.respondent.tolist() == ["a", "b"]
    assert set(findings.code) == {"duplicate"}


def test_findings_have_their_columns_and_stand_in_order(instrument):
    people = [person(instrument, key, seconds=1.0) for key in ("b", "a")]
    values = [(key, *value) for key in ("a", "b") for value in without("size", "reasons")]
    findings = check(instrument, tables(people, values))

    assert tuple(findings.columns) == COLUMNS
    assert list(zip(findings.respondent, findings.code, findings.question, strict=True)) == [
        (key, code, question)
        for key in ("b", "a")
        for code, question in (("fast", ""), ("missing", "size"), ("missing", "reasons"))
    ]
    assert findings.severity.tolist() == [CODES[code] for code in findings.code]
    assert tuple(check(instrument, tables([], [])).columns) == COLUMNS


def test_the_thresholds_can_be_set(instrument):
    answers = tables([person(instrument, seconds=100.0)], [("r1", *value) for value in GOOD])

    assert check(instrument, answers, fastest_seconds=101).code.tolist() == ["fast"]
    lined = [v for v in GOOD if v[0] != "effort"] + [
        ("effort", f"r{n}", "low") for n in (1, 2, 3, 4)
    ]
    answers = tables([person(instrument)], [("r1", *value) for value in lined])
    assert check(instrument, answers, straight_rows=5).empty


# Many respondents


def honest(instrument, chance, key):
    """Answers of somebody who fills in the form as it asks."""
    given, rows = {}, []
    for q in instrument.asked:
        if q.show_if is not None and not shown(q.show_if, given):
            continue
        if q.type == "matrix":
            picked = [chance.choice(q.options) for _ in q.rows]
            picked[0] = next(o for o in q.options if o != picked[1])
            rows += [(key, q.id, row, one) for row, one in zip(q.rows, picked, strict=True)]
            continue
        low, high = int(q.min or 0), min(int(q.max or 9), 9)
        draw = {
            "bool": lambda: chance.random() < 0.5,
            "single": lambda q=q: chance.choice(q.options),
            "multi": lambda q=q: chance.sample(sorted({*q.options} - {*q.exclusive}), 1),
            "date": lambda: "2021-03-31",
            "hash": lambda: "0" * 64,
            "text": lambda: "fine",
        }.get(q.type, lambda low=low, high=high: chance.randint(low, high))
        given[q.id] = value = draw()
        chosen = value if isinstance(value, list) else [value]
        rows += [(key, q.id, "", str(v).lower() if isinstance(v, bool) else str(v)) for v in chosen]
        if q.other_text and "other" in chosen:
            rows.append((key, f"{q.id}_other", "", "words"))
    return rows


PLANTED = {
    "unknown_question": lambda rows: [*rows, (rows[0][0], "q99", "", "x")],
    "unknown_option": lambda rows: _instead(rows, "lead_degree", "wizard"),
    "type": lambda rows: _instead(rows, "team_size", "some"),
    "range": lambda rows: _instead(rows, "hours_dev", "9000"),
    "missing": lambda rows: [r for r in rows if r[1] != "time_enough"],
    "repeated": lambda rows: [*rows, (rows[0][0], "begun", "", "2021-04-01")],
    "hidden": lambda rows: [*[r for r in rows if r[1] not in ("too_large", "size_strategy",
                                                              "size_strategy_other")],
                            (rows[0][0], "too_large", "", "false"),
                            (rows[0][0], "size_strategy", "", "patch")],
    "exclusive": lambda rows: [*_instead(rows, "bottleneck", "time"),
                               (rows[0][0], "bottleneck", "", "none")],
    "other_empty": lambda rows: _instead(rows, "role", "other"),
    "straight": lambda rows: [(*r[:3], "some") if r[1] == "effort" else r for r in rows],
}  # fmt: skip


def _instead(rows, question, value):
    """Another answer to a question, without words for `other`."""
    kept = [r for r in rows if r[1] not in (question, f"{question}_other")]
    return [*kept, (rows[0][0], question, "", value)]


def crowd(instrument, n, share, chance):
    """Honest answers, a share of them broken in one known way each; and which."""
    people, values, planted = [], [], set()
    for k in range(n):
        key = f"r{k:05d}"
        rows = honest(instrument, chance, key)
        if chance.random() < share:
            code = chance.choice(sorted(PLANTED))
            rows = PLANTED[code](rows)
            planted.add((key, code))
        people.append(person(instrument, key, competition=f"c{k % 80}"))
        values += rows
    return tables(people, values), planted


def test_every_fault_planted_in_a_crowd_is_found_and_no_other():
    instrument = ready_made("participation")
    answers, planted = crowd(instrument, 400, 0.3, random.Random(7))
    findings = check(instrument, answers)

    assert {code for _, code in planted} == set(PLANTED)
    assert set(zip(findings.respondent, findings.code, strict=True)) == planted
    assert len(findings) == len(planted)


def test_a_hundred_thousand_answers_are_checked_in_a_moment():
    instrument = ready_made("participation")
    answers, planted = crowd(instrument, 500, 0.14, random.Random(3))
    people, said = [], []
    for copy in range(5):
        renamed = answers.respondents.assign(respondent=lambda t, c=copy: t.respondent + f"x{c}",
                                             team=lambda t, c=copy: t.team + f"x{c}")  # fmt: skip
        people += renamed.itertuples(index=False, name=None)
        moved = answers.answers.assign(respondent=lambda t, c=copy: t.respondent + f"x{c}")
        said += moved.itertuples(index=False, name=None)
    many = tables(people, said)
    began = time.process_time()
    findings = check(instrument, many)
    took = time.process_time() - began

    assert len(many.answers) > 100_000
    assert len(findings) == 5 * len(planted)
    assert took < 2


def test_as_many_different_mistakes_as_answers_do_not_slow_it_down():
    instrument = ready_made("participation")
    n = 20_000
    people = [person(instrument, f"r{k}") for k in range(n)]
    answers = tables(people, [(f"r{k}", "hours_dev", "", f"about {k}") for k in range(n)])
    began = time.process_time()
    findings = check(instrument, answers)

    assert (findings.code == "type").sum() == n
    assert time.process_time() - began < 20


# Whose answers count


def including(instrument, rules, people, values):
    answers = tables(people, values)
    return include(instrument, answers, check(instrument, answers), read_rules(rules, instrument))


def test_the_flow_counts_everybody_once_at_the_first_rule_that_is_broken(instrument):
    people = [
        person(instrument, "ok"),
        person(instrument, "invited", status="invited", instrument="", seconds=math.nan),
        person(instrument, "started", status="started", instrument="", seconds=math.nan),
        person(instrument, "old", instrument="0" * 64, seconds=5.0),
        person(instrument, "fast", seconds=5.0),
        person(instrument, "sparse"),
        person(instrument, "lead"),
        person(instrument, "unknown", seconds=math.nan),
    ]
    few = [("role", "", "lead"), ("size", "", "4")]
    values = [(key, *v) for key in ("ok", "old", "fast", "unknown") for v in GOOD]
    values += [("sparse", *v) for v in few]
    values += [("lead", *v) for v in [*without("role", "role_other"), ("role", "", "lead")]]
    rules = [
        {"without": ["instrument", "duplicate"]},
        {"seconds": 60},
        {"answered": 0.5},
        {"where": "role != lead and deep == true"},
    ]
    said = including(instrument, rules, people, values)

    assert list(said.flow.itertuples(index=False, name=None)) == [
        ("listed", "", 8),
        ("started", "", 7),
        ("completed", "", 6),
        ("excluded", "found: instrument, duplicate", 1),
        ("excluded", "submitted in less than 60 s", 1),
        ("excluded", "answered less than 50% of what was asked", 1),
        ("excluded", "not so: role != lead and deep == true", 1),
        ("included", "", 2),
    ]
    assert said.included.respondent.tolist() == ["ok", "unknown"]
    assert said.reasons.index.tolist() == ["old", "fast", "sparse", "lead"]
    assert said.reasons["old"] == "found: instrument, duplicate"


def test_without_rules_all_that_was_submitted_counts(instrument):
    people = [person(instrument, "a"), person(instrument, "b", seconds=1.0)]
    said = including(instrument, [], people, [])

    assert said.flow.n.tolist() == [2, 2, 2, 2]
    assert said.included.equals(tables(people, []).respondents)


def test_what_was_not_asked_is_not_lacking(instrument):
    """Of 12 questions that were asked of him he answered 6; 3 more were hidden or unanswered."""
    few = [v for v in GOOD if v[0] in ("size", "begun", "reasons", "hours", "held_back")]
    values = [("r1", *v) for v in [*few, ("deep", "", "false")]]
    people = [person(instrument)]
    asked = len(instrument.asked) - 2  # arch and layers are hidden

    for share, kept in ((6 / asked, 1), (6 / asked + 0.01, 0)):
        said = including(instrument, [{"answered": share}], people, values)
        assert len(said.included) == kept


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("completed", "is no rule"),
        ({"answered": 0.5, "seconds": 1}, "is no rule"),
        ({"answred": 0.5}, "Did you mean 'answered'"),
        ({"answered": 50}, "from 0 to 1"),
        ({"answered": True}, "from 0 to 1"),
        ({"seconds": -1}, "is no number"),
        ({"without": "fsat"}, "Did you mean 'fast'"),
        ({"without": []}, "are no findings"),
        ({"where": "role = lead"}, "column 6"),
        ({"where": True}, "is no condition"),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused(instrument, rule, says):
    with pytest.raises(DataError) as caught:
        read_rules([rule], instrument)

    assert says in str(caught.value)
    assert str(caught.value).startswith("inclusion rule 1")


def test_the_tables_are_not_changed_by_looking_at_them(instrument):
    answers = tables([person(instrument)], [("r1", *value) for value in GOOD])
    before = Answers(*(table.copy() for table in answers))
    include(instrument, answers, check(instrument, answers), read_rules([], instrument))

    assert all(one.equals(other) for one, other in zip(answers, before, strict=True))
