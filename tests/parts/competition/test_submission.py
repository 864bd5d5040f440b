"""Submissions that are right, broken or hostile: taken whole, or refused with code and line."""

import json
import os
import pickle
import socket
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import UsageError
from assay.parts.competition import archives
from assay.parts.competition.problems import CODES, MOST
from assay.parts.competition.submission import check
from parts.competition.hosted import (
    CASES,
    MANIFEST,
    SKILL,
    TRUTH,
    as_folder,
    as_json,
    as_zip,
    hosted,
    one_box,
    right,
)

CASE = "boxes/case_2.json"


def said(checked):
    """What is compared: code, file and line of every problem."""
    return [(p.code, p.file, p.line) for p in checked.problems]


def tree(path):
    """Every name below a folder, with its size."""
    return sorted((str(p.relative_to(path)), p.lstat().st_size) for p in path.rglob("*"))


@pytest.mark.parametrize("kind", [as_folder, as_zip])
def test_what_is_right_is_taken_whole(tmp_path, kind):
    checked = check(hosted(), kind(tmp_path / "in", right()), phase="final")
    assert checked.problems == ()
    given = checked.submission
    assert (given.manifest.team, given.manifest.seeds, given.manifest.minutes) == ("A", (1, 2), 2.5)
    assert given.tables["skill"]["path"] == {"case_1": 12.5, "case_2": 8.0, "case_3": 20.0}
    assert given.cases == CASES
    for case, boxes in TRUTH.items():
        for column, values in vars(boxes).items():
            np.testing.assert_array_equal(getattr(given.boxes[case], column), values)


def test_a_folder_and_a_zip_are_one_submission(tmp_path):
    folder = check(hosted(), as_folder(tmp_path / "in", right())).submission
    packed = check(hosted(), as_zip(tmp_path / "in.zip", right())).submission
    other = check(hosted(), as_zip(tmp_path / "b.zip", {**right(), "skill.csv": SKILL + "\n"}))
    assert folder.digest == packed.digest != other.submission.digest


def replaced(**files):
    return {**right(), **{name.replace("__", "/"): text for name, text in files.items()}}


def csv(*rows):
    return "\n".join(("case,drops,path", *rows)) + "\n"


NESTED = "[" * 100_000
BROKEN = {
    "NaN as a probability": (CASE, one_box(probability=float("nan")), [("nonfinite", 8)]),
    "infinity as a corner": (
        CASE,
        one_box(corners=[[1, 1, 0.5], [float("inf"), 1, 0.5], [9, 9, 0.5], [1, 9, 0.5]]),
        [("nonfinite", 6)],
    ),
    "a float that overflows": (
        CASE,
        one_box(probability=0.25).replace("0.25", "1e999"),
        [("nonfinite", 8)],
    ),
    "an integer of 1000 digits": (
        CASE,
        one_box(probability=0.25).replace("0.25", "9" * 1000),
        [("out_of_range", 8)],
    ),
    "an integer of a million digits": (
        CASE,
        one_box(probability=0.25).replace("0.25", "9" * 100_000),
        [("out_of_range", 8)],
    ),
    "a probability above 1": (CASE, one_box(probability=1.5), [("out_of_range", 8)]),
    "a probability as a text": (CASE, one_box(probability="0.5"), [("format", 8)]),
    "a probability of true": (CASE, one_box(probability=True), [("format", 8)]),
    "a wrong class": (CASE, one_box(name="slice_nr_1_thread"), [("unknown_class", 7)]),
    "a class with a blank": (
        CASE,
        one_box(name="slice_nr_1_needle driver"),
        [("unknown_class", 7)],
    ),
    "no name of a frame": (CASE, one_box(name="needle"), [("format", 7)]),
    "a frame before the first": (CASE, one_box(name="slice_nr_0_needle"), [("out_of_range", 7)]),
    "a frame behind the last": (CASE, one_box(name="slice_nr_11_needle"), [("out_of_range", 7)]),
    "a corner far away": (
        CASE,
        one_box(corners=[[1, 1, 0.5], [1e9, 1, 0.5], [1e9, 9, 0.5], [1, 9, 0.5]]),
        [("out_of_range", 6)],
    ),
    "corners the other way round": (
        CASE,
        one_box(corners=[[1, 1, 0.5], [1, 9, 0.5], [9, 9, 0.5], [9, 1, 0.5]]),
        [("format", 6)],
    ),
    "a third coordinate": (
        CASE,
        one_box(corners=[[1, 1, 1], [9, 1, 1], [9, 9, 1], [1, 9, 1]]),
        [("format", 6)],
    ),
    "no area": (
        CASE,
        one_box(corners=[[1, 1, 0.5], [1, 1, 0.5], [1, 9, 0.5], [1, 9, 0.5]]),
        [("out_of_range", 6)],
    ),
    "a key of a box that is unknown": (CASE, one_box(label="x"), [("format", 9)]),
    "another version": (
        CASE,
        one_box().replace('"major": 1', '"major": 2'),
        [("format", 3)],
    ),
    "a key twice": (
        CASE,
        one_box().replace('    "prob', '    "name": "slice_nr_2_needle",\n    "prob'),
        [("duplicate", 8)],
    ),
    "a key twice, once escaped": (
        CASE,
        one_box().replace('    "prob', '    "n\\u0061me": "slice_nr_2_needle",\n    "prob'),
        [("duplicate", 8)],
    ),
    "nested without end": (CASE, '{"boxes":\n' + NESTED, [("format", 2)]),
    "nested deeply, but closed": (CASE, "\n" + "[" * 60 + "]" * 60, [("format", 2)]),
    "no JSON": (CASE, one_box() + "}", [("format", 12)]),
    "a file that ends too soon": (CASE, one_box()[:150], [("format", 6)]),
    "an empty file": (CASE, "", [("format", 1)]),
    "no UTF-8": (CASE, b'{"boxes":\n"\xff"}', [("format", 2)]),
    "half of a pair as a class": (CASE, one_box(name="slice_nr_1_\ud800"), [("unknown_class", 7)]),
    "nan in a table": (
        "skill.csv",
        csv("case_1,nan,1", "case_2,0,1", "case_3,0,1"),
        [("nonfinite", 2)],
    ),
    "infinity in a table": (
        "skill.csv",
        csv("case_1,0,1", "case_2,-Infinity,1", "case_3,0,1e999"),
        [("nonfinite", 3), ("nonfinite", 4)],
    ),
    "a number beyond the range": (
        "skill.csv",
        csv("case_1,20.5,1", "case_2,-1,1", "case_3,0,1"),
        [("out_of_range", 2), ("out_of_range", 3)],
    ),
    "no number": (
        "skill.csv",
        csv("case_1,0x1,1", "case_2,1_0,1", "case_3,٣,=1+1"),
        [("format", 2), ("format", 3), ("format", 4), ("format", 4)],
    ),
    "a case twice": (
        "skill.csv",
        csv("case_1,0,1", "case_2,0,1", "case_3,0,1", "case_1,1,1"),
        [("duplicate", 5)],
    ),
    "a case that is unknown": (
        "skill.csv",
        csv("case_1,0,1", "case_2,0,1", "case_3,0,1", "Case_1,1,1"),
        [("unknown_case", 5)],
    ),
    "a case that is missing": (
        "skill.csv",
        csv("case_1,0,1", "case_3,0,1"),
        [("missing_case", None)],
    ),
    "a cell that is missing": (
        "skill.csv",
        csv("case_1,0,1", "case_2,,1", "case_3,NA,1"),
        [("missing_case", 3), ("missing_case", 4)],
    ),
    "too many cells": (
        "skill.csv",
        csv("case_1,0,1,7", "case_2,0", "case_3,0,1"),
        [("format", 2), ("format", 3)],
    ),
    "a column that is missing": ("skill.csv", "case,path\n", [("missing_column", 1)]),
    "a column that is unknown": ("skill.csv", "case,drops,path,x\n", [("format", 1)]),
    "a column twice": ("skill.csv", "case,drops,path,drops\n", [("duplicate", 1)]),
    "a million columns": (
        "skill.csv",
        "case,drops,path" + ",x" * 60_000,
        [("duplicate", 1), ("format", 1)],
    ),
    "semicolons": ("skill.csv", "case;drops;path\n", [("format", 1)]),
    "an empty table": ("skill.csv", "\n\n", [("format", 1)]),
    "a quote that is never closed": (
        "skill.csv",
        csv("case_1,0,1", '"case_2,0,1', "case_3,0,1"),
        [("format", 3)],
    ),
    "letters behind a quote": (
        "skill.csv",
        csv("case_1,0,1", '"case_2"x,0,1', "case_3,0,1"),
        [("format", 3)],
    ),
    "a row of several lines": (
        "skill.csv",
        csv("case_1,0,1", "case_2,0,1", "case_3,0,1", '"a\nb",0,1', "case_9,0,1"),
        [("unknown_case", 5), ("unknown_case", 7)],
    ),
    "a zero byte": (
        "skill.csv",
        csv("case_1,0,1", "case_2\0,0,1", "case_2,0,1", "case_3,0,1"),
        [("unknown_case", 3)],
    ),
    "no UTF-8 in a table": ("skill.csv", b"case,drops,path\ncase_1,\xe4,1\n", [("format", 2)]),
    "a pickle by the name of a table": (
        "skill.csv",
        pickle.dumps(np.array([print], dtype=object)),
        [("format", 1)],
    ),
    "no team": ("manifest.json", '{\n"method": "x"}', [("format", 1)]),
    "a team of two lines": ("manifest.json", MANIFEST.replace('"A"', '"A\\nB"'), [("format", 2)]),
    "a team without a name": ("manifest.json", MANIFEST.replace('"A"', '" "'), [("format", 2)]),
    "seeds that are texts": (
        "manifest.json",
        MANIFEST.replace("[1, 2]", '[1, "2"]'),
        [("format", 4)],
    ),
    "minutes that are no number": (
        "manifest.json",
        MANIFEST.replace("2.5", "NaN"),
        [("nonfinite", 5)],
    ),
    "a key of the manifest": (
        "manifest.json",
        MANIFEST.replace("method", "metod"),
        [("format", 3)],
    ),
    "a manifest that is a list": ("manifest.json", "[]", [("format", 1)]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_refused_with_its_line(tmp_path, name):
    file, content, expected = BROKEN[name]
    files = {**right(), file: content}
    folder = as_folder(tmp_path / "in", files)
    before = tree(tmp_path)
    found = check(hosted(), folder)
    assert said(found) == [(code, file, line) for code, line in expected]
    assert found.submission is None
    assert found == check(hosted(), as_zip(tmp_path / "in.zip", files, tight=False))
    (tmp_path / "in.zip").unlink()
    assert tree(tmp_path) == before
    for problem in found.problems:
        assert problem.code in CODES
        str(problem).encode()
        assert "\n" not in str(problem)


def test_every_fault_of_a_file_is_told(tmp_path):
    boxes = json.loads(one_box())
    good = boxes["boxes"][0]
    boxes["boxes"] = [
        {**good, "probability": 2},
        {**good, "name": "slice_nr_1_scissors"},
        good,
        good,
    ]
    text = json.dumps(boxes, indent=1)
    found = check(hosted(), as_folder(tmp_path, replaced(boxes__case_2=text) | {CASE: text}))
    lines = text.split("\n")
    assert [(p.code, p.file) for p in found.problems] == [
        ("unknown_file", "boxes/case_2"),
        ("out_of_range", CASE),
        ("unknown_class", CASE),
        ("duplicate", CASE),
    ]
    assert lines[found.problems[1].line - 1].strip() == '"probability": 2'
    assert "scissors" in lines[found.problems[2].line - 1]
    fourth = [n for n, line in enumerate(lines, 1) if line == "  {"][3]
    assert found.problems[3].line == fourth


def test_too_many_boxes_in_a_frame_are_refused_at_the_first_that_is_too_many(tmp_path):
    def boxes(n):
        return as_json(type(TRUTH["case_1"]).of([0] * n, [0] * n, [[i, 0, 5, 5] for i in range(n)]))

    assert not check(hosted(), as_folder(tmp_path / "a", {**right(), CASE: boxes(3)})).problems
    found = check(hosted(), as_folder(tmp_path / "b", {**right(), CASE: boxes(6)}))
    assert said(found) == [("too_many", CASE, 5)]


def test_problems_are_counted_beyond_those_that_are_listed(tmp_path):
    rows = [f"case_{n},0,1" for n in range(4, 304)]
    table = csv("case_1,0,1", "case_2,0,1", "case_3,0,1", *rows)
    found = check(hosted(), as_folder(tmp_path, {**right(), "skill.csv": table}))
    assert (len(found.problems), found.more) == (MOST, 300 - MOST)


FRIENDLY = {
    "a byte-order mark": b"\xef\xbb\xbf" + SKILL.encode(),
    "line ends of Windows": SKILL.replace("\n", "\r\n"),
    "quotes": SKILL.replace("case_2", '"case_2"').replace("8", '"8.0"'),
    "no end of the last line": SKILL.rstrip(),
    "blank lines and blanks": SKILL.replace("\ncase_2,3", "\n\ncase_2, 3 "),
    "columns in another order": "case,path,drops\ncase_3,20,1\ncase_1,12.5,0\ncase_2,8,3\n",
    "numbers as programs write them": SKILL.replace("12.5", "+1.25e1").replace("20", "20."),
}


@pytest.mark.parametrize("name", FRIENDLY)
def test_tables_are_read_as_programs_write_them(tmp_path, name):
    found = check(hosted(), as_folder(tmp_path, {**right(), "skill.csv": FRIENDLY[name]}))
    assert found.problems == ()
    assert found.submission.tables["skill"]["path"] == {"case_1": 12.5, "case_2": 8, "case_3": 20}
    assert found.submission.tables["skill"]["drops"] == {"case_1": 0, "case_2": 3, "case_3": 1}


LACKING = {
    "manifest.json": ("missing_file", "manifest.json"),
    "skill.csv": ("missing_file", "skill.csv"),
    CASE: ("missing_case", CASE),
}


@pytest.mark.parametrize("name", LACKING)
def test_what_is_not_there_is_refused(tmp_path, name):
    files = {n: text for n, text in right().items() if n != name}
    found = check(hosted(), as_folder(tmp_path, files))
    assert [(p.code, p.file) for p in found.problems] == [LACKING[name]]


def test_what_is_not_there_is_taken_if_the_challenge_says_so(tmp_path):
    files = {n: text for n, text in right().items() if n not in (CASE, "skill.csv")}
    files["skill.csv"] = "case,drops\ncase_1,1\ncase_3,\n"
    found = check(hosted("worst"), as_folder(tmp_path / "in", files))
    assert found.problems == ()
    assert set(found.submission.boxes) == {"case_1", "case_3"}
    drops = found.submission.tables["skill"]["drops"]
    assert drops["case_1"] == 1
    assert np.isnan([drops["case_2"], drops["case_3"]]).all()
    nothing = check(hosted("worst"), as_folder(tmp_path / "b", {"manifest.json": MANIFEST}))
    assert said(nothing) == [("missing_file", "", None)]


# Hostile archives and folders.


def entry(name, content=b"x", mode=0, method=zipfile.ZIP_STORED, **fields):
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    info.external_attr = mode << 16
    info.compress_type = method
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


NAMES = {
    "out of the folder": "../manifest.json",
    "out of it, further in": "boxes/../../case.json",
    "absolute": "/etc/passwd",
    "with a drive": "C:/case.json",
    "with a backslash": "..\\case.json",
    "with a dot": "./manifest.json",
    "with two slashes": "boxes//case_1.json",
    "with a line break": "a\nb.json",
    "with half of a pair": "a\u202eb.json",
    "too long": "a" * 300,
    "too deep": "a/" * 20 + "b",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    path = as_zip(tmp_path / "in.zip", right() | {NAMES[name]: "{}"})
    before = tree(tmp_path)
    found = check(hosted(), path)
    assert [p.code for p in found.problems] == ["unsafe_path"]
    assert found.problems[0].file.isprintable()
    assert tree(tmp_path) == before
    assert not (tmp_path.parent / "manifest.json").exists()


MODES = {
    "a link": stat.S_IFLNK | 0o777,
    "a device": stat.S_IFCHR | 0o666,
    "a pipe": stat.S_IFIFO | 0o666,
    "a folder with the name of a file": stat.S_IFDIR | 0o755,
}


@pytest.mark.parametrize("name", MODES)
def test_what_is_no_file_in_a_zip_is_refused(tmp_path, name):
    path = as_zip(tmp_path / "in.zip", {n: t for n, t in right().items() if n != "skill.csv"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(*entry("skill.csv", b"../truth/skill.csv", MODES[name]))
    found = check(hosted(), path)
    assert ("unsafe_path", "skill.csv", None) in said(found)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_another_method_of_packing_is_refused(tmp_path, method):
    path = as_zip(tmp_path / "in.zip", {n: t for n, t in right().items() if n != "skill.csv"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(*entry("skill.csv", SKILL, method=method))
    assert said(check(hosted(), path)) == [("format", "skill.csv", None)]


def test_a_password_is_refused(tmp_path):
    path = as_zip(tmp_path / "in.zip", right())
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(data)
    assert [p.code for p in check(hosted(), path).problems] == ["encrypted"]


def test_a_name_twice_is_refused(tmp_path):
    path = as_zip(tmp_path / "in.zip", right())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(CASE, one_box())
    assert said(check(hosted(), path)) == [("duplicate", CASE, None)]


def test_a_name_that_ends_at_a_zero_is_refused(tmp_path):
    path = as_zip(tmp_path / "in.zip", {**right(), "manifest.json_": "x"})
    path.write_bytes(path.read_bytes().replace(b"manifest.json_", b"manifest.json\0"))
    assert [p.code for p in check(hosted(), path).problems] == ["unsafe_path"]


BOMBS = {
    "packed too tightly": ({CASE: b"0" * 150_000}, CASE),
    "larger than is allowed": ({CASE: b"0" * 30_000_000}, CASE),
    "larger together": (
        {f"boxes/{case}.json": os.urandom(9_000) * 8 for case in CASES},
        "boxes/case_3.json",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(tmp_path, name):
    files, file = BOMBS[name]
    path = as_zip(tmp_path / "in.zip", right() | files)
    assert ("too_large", file, None) in said(check(hosted(), path))


def test_bytes_are_counted_whatever_the_headers_say(tmp_path):
    path = as_zip(tmp_path / "in.zip", {**right(), CASE: os.urandom(1000) * 190 + b" " * 100_000})
    data = bytearray(path.read_bytes())
    at = data.find(CASE.encode(), data.find(b"PK\x01\x02")) - 46
    data[at + 24 : at + 28] = struct.pack("<I", 10)  # the size it says it has
    path.write_bytes(data)
    found = check(hosted(), path)
    assert [p.code for p in found.problems if p.file == CASE] in (["format"], ["too_large"])


def test_members_that_share_their_bytes_are_counted_each(tmp_path):
    challenge = hosted(**{"bytes: 200000": "bytes: 250000", "ratio: 50": "ratio: 1000"})
    path = as_zip(tmp_path / "in.zip", {f"boxes/{case}.json": "0" * 100_000 for case in CASES})
    found = check(challenge, path)
    assert ("too_large", "boxes/case_3.json", None) in said(found)


def test_too_many_files_are_refused_before_they_are_read(tmp_path):
    files = {f"{n}.json": "" for n in range(9)}
    for path in (as_zip(tmp_path / "in.zip", files), as_folder(tmp_path / "in", files)):
        assert said(check(hosted(), path)) == [("too_many", "", None)]
    many = as_zip(tmp_path / "many.zip", {f"{n:0200}": "" for n in range(300)})
    assert said(check(hosted(), many)) == [("too_many", "", None)]
    long = as_zip(tmp_path / "long.zip", {f"{n:02000}": "" for n in range(3)})
    assert said(check(hosted(), long)) == [("too_many", "", None)]
    for n in range(60):
        (tmp_path / "wide" / str(n)).mkdir(parents=True)
    assert said(check(hosted(), tmp_path / "wide")) == [("too_many", "", None)]


def test_what_nobody_asked_for_is_refused_unread(tmp_path):
    strangers = {"a.zip": "PK", "weights.npz": "x", "boxes/case_4.json": "{", "skil.csv": ""}
    found = check(
        hosted(**{"members: 8": "members: 20"}), as_zip(tmp_path / "z", right() | strangers)
    )
    assert said(found) == [
        ("unknown_file", "a.zip", None),
        ("unknown_case", "boxes/case_4.json", None),
        ("unknown_file", "skil.csv", None),
        ("unknown_file", "weights.npz", None),
    ]
    assert found.problems[2].accepted == "'skill.csv'"


def test_an_array_of_objects_is_never_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    np.save(tmp_path / "a.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    data = (tmp_path / "a.npy").read_bytes()
    for name in ("skill.csv", "manifest.json", CASE, "skill.npz"):
        found = check(
            hosted(), as_folder(tmp_path / name.replace("/", "_"), {**right(), name: data})
        )
        assert {p.file for p in found.problems} == {name}
    assert not (tmp_path / "ran").exists()


def test_a_folder_in_the_zip_is_named(tmp_path):
    files = {f"entry/{name}": text for name, text in right().items()}
    found = check(hosted(), as_zip(tmp_path / "in.zip", files))
    told = {p.file: p.what for p in found.problems}
    assert told["entry/manifest.json"] == "lies in a folder of its own"
    assert "manifest.json" in told


def test_folders_of_a_zip_do_not_count(tmp_path):
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("boxes")
        for name, text in right().items():
            archive.writestr(name, text)
    assert check(hosted(), path).problems == ()


def test_no_link_leads_out_of_a_folder(tmp_path):
    secret = as_folder(tmp_path / "secret", right())
    folder = as_folder(tmp_path / "in", {"manifest.json": MANIFEST})
    (folder / "skill.csv").symlink_to(secret / "skill.csv")
    (folder / "boxes").symlink_to(secret / "boxes")
    found = check(hosted(), folder)
    links = [(p.code, p.file) for p in found.problems if p.code == "unsafe_path"]
    assert links == [("unsafe_path", "boxes"), ("unsafe_path", "skill.csv")]
    assert all(p.code == "missing_case" for p in found.problems if p.code != "unsafe_path")


def test_a_link_or_pipe_that_is_put_there_after_the_listing_is_not_opened(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    where = os.open(tmp_path, os.O_RDONLY)
    try:
        for name in ("link", "pipe"):
            with pytest.raises(OSError, match=r"not a file|symbolic links"):
                archives._regular(name, where)
    finally:
        os.close(where)


def test_pipes_and_sockets_do_not_block(tmp_path):
    folder = as_folder(tmp_path / "in", {n: t for n, t in right().items() if n != "skill.csv"})
    os.mkfifo(folder / "skill.csv")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "s"))
        found = check(hosted(), folder)
    assert [p for p in said(found) if p[0] == "unsafe_path"] == [
        ("unsafe_path", "s", None),
        ("unsafe_path", "skill.csv", None),
    ]


def test_a_sparse_file_of_10_gb_is_refused(tmp_path):
    folder = as_folder(tmp_path / "in", right())
    with (folder / CASE).open("r+b") as file:
        file.truncate(10 * 2**30)
    assert said(check(hosted(), folder)) == [("too_large", CASE, None)]
    with (tmp_path / "in.zip").open("wb") as file:
        file.truncate(10 * 2**30)
    assert said(check(hosted(), tmp_path / "in.zip")) == [("too_large", "", None)]


def test_a_billion_boxes_are_refused_by_their_bytes(tmp_path):
    line = json.dumps(json.loads(one_box())["boxes"][0])
    folder = as_folder(tmp_path, {**right(), CASE: f"[{line}" + f",{line}" * 2_000 + "]"})
    assert ("too_large", CASE, None) in said(check(hosted(), folder))


def test_a_device_is_no_submission():
    assert said(check(hosted(), Path("/dev/zero"))) == [("format", "", None)]


def test_what_is_not_there_is_an_error_of_the_caller(tmp_path):
    with pytest.raises(UsageError, match="nothing is there"):
        check(hosted(), tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no phase 'finl'; expected final"):
        check(hosted(), as_folder(tmp_path, right()), phase="finl")


@given(at=st.integers(0, 3000), flip=st.integers(1, 255))
def test_a_damaged_zip_is_refused_or_taken_and_never_raises(tmp_path_factory, at, flip):
    path = as_zip(tmp_path_factory.mktemp("zip") / "in.zip", right())
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= flip
    path.write_bytes(data)
    whole = check(hosted(), path)
    assert whole.problems or whole.submission is not None


@given(st.binary(max_size=300), st.sampled_from(["manifest.json", "skill.csv", CASE]))
def test_any_bytes_are_judged(tmp_path_factory, data, name):
    found = check(hosted(), as_folder(tmp_path_factory.mktemp("in"), {**right(), name: data}))
    assert {p.file for p in found.problems} == {name}
