"""The reader's own files, and the folder a corpus is kept in."""

import csv
import hashlib
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.component import describe
from assay.core.identity import content_digest
from assay.errors import DataError, ParameterError
from assay.parts.text.documents import (
    Document,
    corpus_facts,
    read_corpus,
    read_documents,
    stored_documents,
    text_files,
    write_documents,
)

TEXTS = ["It rained. We left.", 'A "quoted",\n\ntwo-paragraph naïve text: 日本.']
SENTENCES = [(0, 11), (0, 13)]


def write_jsonl(path, *rows):
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def write_csv(path, texts):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "text"], *enumerate(texts)])
    return path


def write_parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


# -- reading ------------------------------------------------------------------------------------


def test_every_format_gives_the_same_documents(tmp_path):
    folder = tmp_path / "plain"
    folder.mkdir()
    for name, text in zip(("a.txt", "b.md"), TEXTS, strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    sources = {
        folder: ["a.txt", "b.md"],
        write_jsonl(tmp_path / "c.jsonl", *({"text": t} for t in TEXTS)): [
            "c.jsonl:1",
            "c.jsonl:2",
        ],
        write_csv(tmp_path / "d.csv", TEXTS): ["d.csv:2", "d.csv:3"],
        write_parquet(tmp_path / "e.parquet", text=TEXTS): ["e.parquet:1", "e.parquet:2"],
    }

    for source, names in sources.items():
        expected = map(Document, TEXTS, SENTENCES, names)
        assert list(read_documents(source)) == list(expected)


def test_a_folder_is_walked_by_name_and_what_is_not_text_is_skipped_and_counted(tmp_path):
    for name in ("b.txt", "a/z.TXT", "a/c.md", ".hidden/x.txt", "a/.y.txt", "p.png", "a/noend"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"Text of {name}")

    assert [d.name for d in read_documents(tmp_path)] == ["a/c.md", "a/z.TXT", "b.txt"]
    assert text_files(tmp_path).skipped == 2


def test_links_to_folders_are_followed_and_every_folder_is_read_once(tmp_path):
    for name in ("mine/b/x.txt", "elsewhere/y.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(f"Text of {name}")
    mine = tmp_path / "mine"
    (mine / "a").symlink_to(tmp_path / "elsewhere")  # from outside
    (mine / "c").symlink_to(mine / "b")  # which has a name of its own below the path
    (mine / "z.txt").symlink_to(tmp_path / "nowhere.txt")

    assert [d.name for d in read_documents(mine)] == ["a/y.txt", "b/x.txt"]
    assert text_files(mine).skipped == 1


def test_a_link_that_leads_back_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text("Text.")
    (tmp_path / "a" / "round").symlink_to(tmp_path)

    with pytest.raises(DataError, match=r"a/round: leads back to .*, which holds it"):
        text_files(tmp_path)


def test_a_name_that_is_not_utf_8_is_spelt_out(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("Coffee.")
    (tmp_path / os.fsdecode(b"\xff.jsonl")).write_text("{")

    documents = read_documents(tmp_path)
    assert next(documents).name == r"caf\xe9.txt"
    with pytest.raises(DataError, match=r"\\xff\.jsonl:1: is not JSON"):
        next(documents)


def test_a_column_that_is_there_twice_is_refused_and_another_one_is_not(tmp_path):
    pq.write_table(pa.table([["x"], ["y"]], names=["text", "text"]), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("text,text\nx,y\n")
    (tmp_path / "b.csv").write_text("text,id,id\nx,1,2\n")

    for name, place in (("a.parquet", ""), ("a.csv", ":1")):
        with pytest.raises(DataError, match=rf"{name}{place}: 2 columns 'text'"):
            list(read_documents(tmp_path / name))
    assert [d.text for d in read_documents(tmp_path / "b.csv")] == ["x"]


def test_the_limit_of_a_field_is_the_callers_again(tmp_path):
    path = write_csv(tmp_path / "a.csv", ["long " * 50_000, "short"])
    before = csv.field_size_limit(1000)
    try:
        documents = read_documents(path)
        assert len(next(documents).text) == 250_000
        assert csv.field_size_limit() == 1000
        list(documents)
        assert csv.field_size_limit() == 1000
    finally:
        csv.field_size_limit(before)


def test_sentences_that_the_user_gives_are_kept(tmp_path):
    path = write_jsonl(
        tmp_path / "a.jsonl",
        {"text": "no capital. no stop", "sentences": [0, 12]},
        {"text": ["first one", " ", "Second. One. ", "third"]},
    )

    assert list(read_documents(path)) == [
        Document("no capital. no stop", (0, 12), "a.jsonl:1"),
        Document("first one Second. One.  third", (0, 10, 24), "a.jsonl:2"),
    ]


def test_sentences_in_parquet_are_kept(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", body=["a b c"], sentences=[[0, 2]])

    assert [d.sentences for d in read_documents(path, field="body")] == [(0, 2)]


@pytest.mark.parametrize("starts", [[1, 5], [0, 9], [0, 5, 5], [0, 7, 5], [], "05", [0, 2.5], 3])
def test_sentences_that_cannot_be_are_refused(tmp_path, starts):
    path = write_jsonl(tmp_path / "a.jsonl", {"text": "It rains.", "sentences": starts})

    with pytest.raises(DataError, match=r"a\.jsonl:1: 'sentences'.*from 0 to 8"):
        list(read_documents(path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', r"a\.jsonl:2: is not JSON.*one JSON object"),
        ("a.jsonl", b'{"text": "x"}\n\n["x"]\n', r"a\.jsonl:3: is a list; expected a JSON object"),
        ("a.jsonl", b'{"txt": "x"}', r"a\.jsonl:1: no field 'text'. Did you mean 'txt'\?"),
        ("a.jsonl", b'{"text": 3}', r"a\.jsonl:1: 'text' is of type int; expected a text"),
        ("a.jsonl", b'{"text": ["a", 3]}', r"a\.jsonl:1: 'text' is of type list"),
        ("a.jsonl", b'{"text": "ab\\ud800"}', r"a\.jsonl:1: half a surrogate pair at character 2"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl:1: is not JSON"),
        ("a.csv", b"id,texts\n1,x\n", r"a\.csv:1: no column 'text'. Did you mean 'texts'\?"),
        ("a.csv", b'id,text\n1,"a\nb"\n2\n', r"a\.csv:4: 1 cells; expected 2"),
        ("a.csv", b'id,text\n1,"a\n', r"a\.csv:2: is not CSV"),
        ("a.csv", b"", r"a\.csv:1: no column 'text'"),
        ("a.parquet", b"nothing of the kind", r"a\.parquet: is not Parquet"),
        ("a.txt", b"ab\ncd\x00e", r"a\.txt:2: is not text: byte 5 is 0"),
        ("a.txt", b"\xc3\xa9\r\nb\nc\xff", r"a\.txt:3: is not UTF-8 at byte 7"),
        ("a.csv", b"text\n\xe9t\xe9\n", r"a\.csv:2: is not UTF-8 at byte 5"),
        ("a.jsonl", b'{"text": "\x00"}', r"a\.jsonl:1: is not text: byte 10 is 0"),
        ("a.txt", b" \n\t\n", r"a\.txt: holds no text: every document is blank"),
        ("a.jsonl", b'{"text": null}\n{"text": " "}', r"every document is blank"),
        ("a.pdf", b"x", r"a\.pdf: files ending in \.pdf are not read; expected \.txt, \.md"),
        ("a", b"x", r"a: files without a suffix are not read"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused_with_its_place(
    tmp_path, name, content, message
):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError, match=message) as caught:
        list(read_documents(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_parquet_file_without_the_column_is_refused(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", body=["x"])

    with pytest.raises(DataError, match=r"no column 'boddy'. Did you mean 'body'"):
        list(read_documents(path, field="boddy"))


def test_a_folder_without_text_and_a_path_to_nothing_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no text files"):
        list(read_documents(tmp_path))
    with pytest.raises(DataError, match="no such file or folder"):
        list(read_documents(tmp_path / "gone"))


def test_line_ends_and_byte_order_mark_are_not_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfOne.\r\nTwo.\r\n")

    assert next(read_documents(tmp_path)).text == "One.\nTwo.\n"


def test_a_long_text_fits_in_one_field(tmp_path):
    path = write_csv(tmp_path / "a.csv", ["long " * 50_000])

    assert len(next(read_documents(path)).text) == 250_000


def test_documents_come_before_the_whole_file_is_read(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "first"}\nnot JSON at all\n')
    documents = read_documents(tmp_path)

    assert next(documents).text == "first"
    with pytest.raises(DataError, match=r"a\.jsonl:2"):
        next(documents)


# -- a corpus -----------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1))
def test_a_corpus_gives_back_what_was_written_less_duplicates(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("any") / "corpus"
    documents = [Document(text, (0,), f"{k}") for k, text in enumerate(texts)]
    kept = list(dict.fromkeys(texts))

    assert write_documents(folder, documents) == len(kept)
    assert [d.text for d in stored_documents(folder)] == kept
    assert {d.name for d in stored_documents(folder)} == {str(texts.index(text)) for text in kept}
    facts = corpus_facts(folder)
    assert facts["duplicates"] == len(texts) - len(kept)
    assert facts["characters"] == sum(map(len, kept))
    marks = b"".join(hashlib.sha256(text.encode()).digest() for text in kept)
    assert facts["sha256"] == hashlib.sha256(marks).hexdigest()


def test_a_corpus_without_documents_is_refused(tmp_path):
    with pytest.raises(DataError, match="without documents"):
        write_documents(tmp_path / "corpus", [])
    assert list(tmp_path.iterdir()) == []


def test_writing_that_fails_leaves_what_was_there(tmp_path):
    def failing():
        yield Document("new", (0,), "b")
        raise KeyboardInterrupt

    write_documents(tmp_path / "corpus", [Document("old", (0,), "a")])
    before = content_digest(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write_documents(tmp_path / "corpus", failing())

    assert content_digest(tmp_path) == before


def test_a_folder_half_replaced_is_no_corpus(tmp_path, monkeypatch):
    def failing(source, target):
        raise OSError("disk full")

    write_documents(tmp_path / "corpus", [Document("old", (0,), "a")])
    monkeypatch.setattr("os.replace", failing)
    with pytest.raises(OSError, match="disk full"):
        write_documents(tmp_path / "corpus", [Document("new", (0,), "b")])

    with pytest.raises(DataError, match="holds no corpus"):
        list(stored_documents(tmp_path / "corpus"))


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    write_documents(tmp_path, [Document("text", (0,), "a")])

    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert [d.text for d in stored_documents(tmp_path)] == ["text"]


def test_a_folder_that_is_no_corpus_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no corpus .*documents\.jsonl and corpus\.json"):
        list(stored_documents(tmp_path))
    write_documents(tmp_path, [Document("text", (0,), "a")])
    (tmp_path / "documents.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(DataError, match=r"documents\.jsonl:1: is damaged"):
        list(stored_documents(tmp_path))
    (tmp_path / "corpus.json").write_text('{"format": 99}')
    with pytest.raises(DataError, match="format 99"):
        corpus_facts(tmp_path)


def test_the_component_says_what_the_corpus_is_made_of(tmp_path):
    for name in ("a.txt", "b.txt", "c.png"):
        (tmp_path / name).write_text("The same text.")
    corpus = read_corpus(path=tmp_path)
    facts = corpus_facts(corpus)

    assert (facts["documents"], facts["duplicates"]) == (1, 1)
    assert facts["origin"] == {"kind": "files", "path": tmp_path.name, "skipped": 1}


def test_the_path_may_be_a_file_or_a_folder_and_counts_by_content(tmp_path):
    made = describe(read_corpus)
    (tmp_path / "a.txt").write_text("one")

    def form(path):
        return made.key_form(made.validate({"path": path}, "corpus"))

    before = [form(tmp_path), form(tmp_path / "a.txt")]
    assert before[0] != before[1]
    (tmp_path / "a.txt").write_text("two two")
    assert form(tmp_path) != before[0]
    assert form(tmp_path / "a.txt") != before[1]
    with pytest.raises(ParameterError, match="no such"):
        form(tmp_path / "gone.txt")
