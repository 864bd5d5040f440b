"""The instrument: what a file says, where it is refused, and what its hash tells."""

import pytest

from assay.errors import DataError
from assay.systems.competition_survey.fields import sections
from assay.systems.competition_survey.instrument import read_instrument, ready_made
from assay.systems.competition_survey.questions import TYPES
from assay.systems.competition_survey.show_if import named
from assay.systems.competition_survey.views import views
from systems.competition_survey.served import INSTRUMENT

SPEC = """
id: participation-2021
version: 3
unit: team-in-competition
sections: [general, expertise, strategy, algorithm, misc]
questions:
- {id: reasons, section: strategy, type: multi, options: [knowledge_exchange, prize, paper, dataset_access, benchmark_own, other], min: 1, other_text: true}
- {id: hours_dev, type: number, unit: h, min: 0, max: 5000}
- {id: time_enough, type: single, options: ["yes", "no", unsure]}
- {id: bottleneck, type: multi, options: [none, infrastructure, time, data, personnel, other], exclusive: [none]}
- {id: deep, type: bool}
- {id: arch, type: single, show_if: deep==true, options: [standard, modified, own]}
- {id: kfold, type: single, options: [none, single_split, kfold, other]}
- {id: k, type: int, show_if: kfold==kfold, min: 2}
- {id: rank, type: int, source: organiser}     # joined, never asked
"""  # noqa: E501


@pytest.fixture
def read(tmp_path):
    def reading(text):
        (tmp_path / "instrument.yaml").write_text(text)
        return read_instrument(tmp_path / "instrument.yaml")

    return reading


def refused(read, text):
    with pytest.raises(DataError) as caught:
        read(text)
    said = str(caught.value)
    assert "instrument.yaml" in said
    assert "\n" not in said
    return said


def test_a_file_says_its_questions(read):
    instrument = read(SPEC)

    assert (instrument.id, instrument.version, instrument.unit) == (
        "participation-2021", "3", "team-in-competition",
    )  # fmt: skip
    assert [s.title for s in instrument.sections][:2] == ["General", "Expertise"]
    reasons = instrument.question("reasons")
    assert reasons.options[0] == "knowledge_exchange"
    assert reasons.label("knowledge_exchange") == "Knowledge exchange"
    assert (reasons.min, reasons.other_text, reasons.required) == (1, True, False)
    hours = instrument.question("hours_dev")
    assert (hours.unit, hours.min, hours.max, hours.section) == ("h", 0, 5000, "strategy")
    assert instrument.question("bottleneck").exclusive == ("none",)
    assert instrument.question("arch").show_if == ("==", "deep", True)
    assert instrument.question("k").show_if == ("==", "kfold", "kfold")
    assert "rank" not in {q.id for q in instrument.asked}


def test_yes_and_no_stay_words(read):
    quoted = read(SPEC)
    bare = read(SPEC.replace('["yes", "no", unsure]', "[yes, no, unsure]"))

    assert quoted.question("time_enough").options == ("yes", "no", "unsure")
    assert bare == quoted


def test_labels_are_shown_and_names_are_kept(read):
    instrument = read(
        "id: a\nversion: 1\nunit: team\nsections: [{id: s, title: One part, help: Of two.}]\n"
        "questions:\n"
        "- {id: x, type: single, options: [plain_one, {b: As people read it}]}\n"
        "- id: y\n  type: single\n  options:\n    c: Third\n    d: Fourth\n"
        "- {id: m, type: matrix, options: [p, {q: Queue}], rows: [r_one, {r2: Second}]}\n"
        "- {id: l, type: likert, options: [Never, Sometimes, Always], min: 0}\n"
    )

    x, y, m, scale = instrument.questions
    assert instrument.sections[0].help == "Of two."
    assert [x.label(o) for o in x.options] == ["Plain one", "As people read it"]
    assert [y.label(o) for o in y.options] == ["Third", "Fourth"]
    assert (m.label("q"), m.row_label("r_one"), m.row_label("r2")) == ("Queue", "R one", "Second")
    assert (scale.min, scale.max, scale.label("0"), scale.label("2")) == (0, 2, "Never", "Always")
    assert scale.label("3") == "3"


HEAD = "id: a\nversion: 1\nunit: team\nsections: [s]\nquestions:\n"
OK = "- {id: ok, type: bool}\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("- a", 1, "is no instrument"),
        ("id: a\nunit: [\n", 3, "expected"),
        ("id: a\nid: b", 2, "written twice"),
        ("ids: a", 1, "Did you mean 'id'"),
        ("id: a\nversion: 1\nunit: t\nsections: [s]", 1, "asks nothing"),
        (HEAD.replace("sections: [s]\n", "") + OK, 1, "no sections"),
        (HEAD.replace("version: 1\n", "") + OK, 1, "lacks 'version'"),
        (HEAD.replace("[s]", "[s, s]") + OK, 4, "there twice"),
        (HEAD.replace("version: 1", "version: 1.5") + OK, 2, "'version' is 1.5"),
        (HEAD + "- word", 5, "is no question"),
        (HEAD + "- {type: bool}", 6, "lacks 'id'"),
        (HEAD + "- {id: A b, type: bool}", 6, "cannot be an id"),
        (HEAD + "- {id: csrf, type: bool}", 6, "cannot be an id"),
        (HEAD + "- {id: not, type: bool}", 6, "cannot be an id"),
        (HEAD + "- {id: email, type: text}", 6, "personal"),
        (HEAD + "- {id: x, type: choice}", 6, "no type 'choice'"),
        (HEAD + "- {id: x, type: bool, requierd: true}", 6, "Did you mean 'required'"),
        (HEAD + "- {id: x, type: bool, required: yes}", 6, "true or false"),
        (HEAD + OK + OK, 7, "'ok' is there twice"),
        (HEAD + "- {id: x, type: single}", 6, "needs 'options'"),
        (HEAD + "- {id: x, type: bool, options: [a]}", 6, "does not fit a bool"),
        (HEAD + "- id: x\n  type: single\n  options: [true, false]", 8, '"true" in quotes'),
        (HEAD + "- id: x\n  type: single\n  options: [1, 2]", 8, '"1" in quotes'),
        (HEAD + "- id: x\n  type: single\n  options: [~, a]", 8, "null is not a text"),
        (HEAD + "- id: x\n  type: single\n  options:\n  - a\n  - {b: true}", 10, "not a text"),
        (HEAD + "- {id: x, type: single, options: [a, a]}", 6, "there twice"),
        (HEAD + '- {id: x, type: single, options: ["a b"]}', 6, "cannot name an option"),
        (HEAD + "- {id: x, type: multi, options: [a], exclusive: [none]}", 6, "no option 'none'"),
        (HEAD + "- {id: x, type: multi, options: [a], other_text: true}", 6, "option 'other'"),
        (HEAD + "- {id: x, type: int, min: 2, max: 1}", 6, "above 'max'"),
        (HEAD + "- {id: x, type: int, min: .nan}", 6, "a number"),
        (HEAD + "- {id: x, type: int, min: 1.5}", 6, "not whole"),
        (HEAD + "- {id: x, type: likert, options: [A, B], max: 5}", 6, "not the points 1 to 5"),
        (HEAD + "- {id: x, type: matrix, options: [a]}", 6, "needs 'rows'"),
        (HEAD + "- {id: x, type: int, source: jury}", 6, "respondent or organiser"),
        (HEAD + "- {id: x, type: int, source: organiser, required: true}", 6, "is not asked"),
        (HEAD + "- {id: x, section: t, type: bool}", 6, "no section 't'"),
        (HEAD + OK + "- {id: x, type: bool, show_if: ko == true}", 7, "column 1: no question 'ko'"),
        (HEAD + "- {id: x, type: bool, show_if: ok == true}\n" + OK, 6, "not asked before"),
        (HEAD + "- {id: x, type: bool, show_if: x == true}", 6, "not asked before"),
        (HEAD + OK + "- {id: x, type: bool, show_if: true}", 7, "no condition"),
        (
            HEAD + "- {id: x, type: single, options: [other], other_text: true}\n"
            "- {id: x_other, type: text}", 7, "there twice",
        ),
        (HEAD + "- &a {id: x, type: bool}\n- *a", 6, "aliases"),
        (HEAD + "- !!python/object:os.system {id: x}", 6, "tags"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_line(read, text, line, says):
    said = refused(read, text)

    assert says in said
    assert f" line {line}:" in said or f" line {line} show_if" in said


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path):
    with pytest.raises(DataError, match=r"none\.yaml: cannot be read \(No such file"):
        read_instrument(tmp_path / "none.yaml")
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not text"):
        read_instrument(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("paper, data", "papers, data"),
        ("[none, infrastructure", "[none, {infrastructure: Computers}"),
        ("type: number", "type: int"),
        ("show_if: deep==true", "show_if: deep==false"),
        ("max: 5000", "max: 6000"),
        ("version: 3", "version: 4"),
        ("{id: deep, type: bool}", "{id: deep, type: bool, text: Deep learning}"),
        ("{id: deep, type: bool}", "{id: deep, type: bool, required: true}"),
        ("general, expertise", "expertise, general"),
        (", exclusive: [none]", ""),
    ],
)
def test_the_hash_changes_with_what_is_asked(read, old, new):
    assert old in SPEC
    assert read(SPEC.replace(old, new)).hash != read(SPEC).hash


def test_the_hash_does_not_change_with_the_layout_of_the_file(read):
    one = read(SPEC)
    for old, new in (
        ("deep==true", "'deep   == true'"),
        ("# joined, never asked", ""),
        ("{id: deep, type: bool}", "{type: bool, id: deep}"),
        ("sections: [", "sections: [ "),
    ):
        assert read(SPEC.replace(old, new)).hash == one.hash
    assert len(one.hash) == 64


def test_questions_are_asked_section_by_section(read):
    instrument = read(
        "id: a\nversion: 1\nunit: t\nsections: [one, two]\nquestions:\n"
        "- {id: x, section: two, type: bool, show_if: y == true}\n"
        "- {id: y, section: one, type: bool}\n"
    )

    assert [q.id for q in instrument.questions] == ["y", "x"]


OWN = """
extends: participation
sections: [{id: jury, title: The jury}]
questions:
- {id: food, type: single, options: [good, bad]}
- {id: layers, section: algorithm, type: int, show_if: arch == own}
"""


def test_an_extension_adds_to_the_ready_made_questions(read):
    base, instrument = ready_made("participation"), read(OWN)

    assert read("extends: participation\n") == base
    added = [q.id for q in instrument.questions if q.id not in base.by_id]
    assert added == ["layers", "food"]
    assert instrument.question("food").section == "jury"
    assert [q for q in instrument.questions if q.id in base.by_id] == list(base.questions)
    assert instrument.hash != base.hash
    assert read("id: ours\nversion: 7\n" + OWN).version == "7"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("extends: participating", "no instrument 'participating'"),
        ("extends: ../../secret", "no instrument"),
        (OWN + "- {id: deep, type: bool}", "line 7: 'deep' is there already in the ready-made"),
        (OWN + "- {id: reasons_other, type: text}", "line 7: 'reasons_other' is there already"),
        (OWN.replace("jury", "general"), "line 3: 'general' is there already"),
    ],
)
def test_an_extension_never_redefines_what_is_there(read, text, says):
    assert says in refused(read, text)


# The ready-made questions


def test_the_ready_made_questions_cover_what_the_survey_reports():
    instrument = ready_made("participation")
    reported = {
        "reasons": {"knowledge_exchange", "prize"},
        "hours_dev": set(),
        "time_enough": {"yes", "no"},
        "bottleneck": {"infrastructure", "none"},
        "deep": set(),
        "arch": {"standard"},
        "too_large": set(),
        "size_strategy": {"patch", "downsample", "slices2d"},
        "kfold": {"kfold"},
        "ensemble": set(),
        "ensemble_kind": {"identical", "heterogeneous"},
        "postproc": {"none"},
        "solved": {"yes"},
        "multitask": set(),
        "multistage": set(),
        "augmentation": set(),
        "preprocessing": set(),
        "curation": set(),
        "lead_field": {"computer_science"},
        "lead_degree": {"doctorate"},
        "years_imaging": set(),
        "years_deep": set(),
        "metric_design": set(),
        "failure_analysis": set(),
        "rank": set(),
    }
    for name, options in reported.items():
        assert options <= set(instrument.question(name).options), name
    assert len(instrument.sections) == 5
    assert 30 <= len(instrument.asked) <= 50
    assert {q.type for q in instrument.asked} == set(TYPES)
    assert instrument.question("rank").source == "organiser"
    for name, before in (("arch", "deep"), ("size_strategy", "too_large"), ("k", "kfold"),
                         ("ensemble_kind", "ensemble"), ("n_models", "ensemble")):  # fmt: skip
        assert named(instrument.question(name).show_if) == {before}


def test_the_ready_made_questions_can_be_read_by_people():
    instrument = ready_made("participation")
    for question in instrument.asked:
        assert question.text.endswith("?") or question.type == "hash", question.text
        for name in (*question.options, *question.rows):
            label = question.row_label(name) if name in question.rows else question.label(name)
            assert "_" not in label
            assert label[0].isupper() or label == "nnU-Net"
        chosen = [question.label(o) for o in question.options]
        assert len(set(chosen)) == len(chosen)


def test_every_ready_made_question_has_a_field_in_the_form():
    instrument = ready_made("participation")
    parts = sections(instrument)
    found = [v for part in parts for v in views(instrument, part, {}, {}, {})]

    hidden = {q.id for q in instrument.asked} - {v["id"] for v in found}
    assert not hidden
    effort = next(v for v in found if v["id"] == "effort")
    assert effort["rows"][0]["text"] == "Reading what others did"
    again = next(v for v in found if v["id"] == "again")
    assert [o["value"] for o in again["options"]] == ["1", "2", "3", "4", "5", ""]


def test_a_condition_is_said_in_words_with_its_brackets(read):
    instrument = read(
        INSTRUMENT
        + "- {id: x, section: method, type: bool, show_if: (deep == true or arch == own) and "
        "not (arch != own)}\n"
    )
    part = next(p for p in sections(instrument) if p.id == "method")
    shown = {v["id"]: v["only"] for v in views(instrument, part, {}, {}, {})}

    assert shown["x"] == (
        "Only if (“Deep learning” is Yes or “Architecture” is Own) "
        "and not (“Architecture” is not Own)."
    )
