"""Kinds of text: what is left of a file, what is held out, and equal shares in training."""

import ast
import importlib.metadata
import json
from pathlib import Path, PurePosixPath
from typing import get_args

import numpy as np
import pytest

import assay
from assay.core.component import describe
from assay.errors import DataError, ParameterError
from assay.parts.text.documents import corpus_facts, stored_documents
from assay.parts.text.tokenizer import load_tokenizer
from assay.parts.text.tokens import RowIndex, TokenStore, stream_rows
from assay.systems.mixture_of_experts import text_kinds as module
from assay.systems.mixture_of_experts.data import (
    equal_shares,
    kind_tokens,
    open_kinds,
    shared_tokenizer,
    text_kinds,
)
from assay.systems.mixture_of_experts.text_kinds import (
    LARGEST,
    Kind,
    bare_c,
    bare_python,
    cut,
    kind_corpus,
    kind_documents,
    table,
)

# -- what is left of a text ---------------------------------------------------------------------

STATEMENTS = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class WithoutDocumentation(ast.NodeTransformer):
    def generic_visit(self, node):
        super().generic_visit(node)
        if isinstance(node, STATEMENTS) and ast.get_docstring(node) is not None:
            empty = [] if isinstance(node, ast.Module) else [ast.Expr(ast.Constant(...))]
            node.body = node.body[1:] or empty
        return node


TRICKY = '''# a licence
"""Of the module."""; x = 1  # said after it


class A: "Of a class on one line."


class B:
    """Über."""; y = 2


def f(z):  # why
    """Over

    lines.
    """
    text = """# not a comment
    \'\'\'nor documentation\'\'\'   """  # but this is
    return "#", z


async def g():
    'Alone.'
'''


def test_code_loses_comments_and_documentation_and_nothing_else():
    files = sorted(Path(assay.__file__).parent.rglob("*.py"))
    for source in [TRICKY, *(file.read_text() for file in files[::6])]:
        expected = WithoutDocumentation().visit(ast.parse(source))
        bare = bare_python(source)

        assert ast.dump(ast.parse(bare)) == ast.dump(expected)
    left = bare_python(TRICKY)
    for gone in ("licence", "Of ", "Über", "why", "Over", "Alone", "but this"):
        assert gone not in left
    assert "# not a comment" in left
    assert bare_python("x = 1\n# said\ny = 2\n") == "x = 1\ny = 2"


@pytest.mark.parametrize("text", ["def f(:", "print 'two'", "x = '''", "\tx\n y"])
def test_what_is_not_python_is_not_code(text):
    assert bare_python(text) == ""


def test_headers_lose_their_comments_only():
    assert bare_c("a /* b\n// c */ d // e /* f\ng") == "a  d\ng"
    assert bare_c(r"""s = "/* \" // */"; c = '"'; // x""") == r"""s = "/* \" // */"; c = '"';"""


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("code,name\n1,a\n2,b", True),
        ("# zones\nFR\t+4852\tParis\nDE\t+5230\tBerlin", True),
        ("1.5 2.5\n3.5 4.5", True),
        ("Permission is granted, free of charge,\nto any person, to deal in it.", False),
        ("a,b\nc,d", False),
        ("", False),
    ],
)
def test_what_a_table_is(text, kept):
    assert table(text) == (text if kept else "")


def test_long_texts_are_cut_at_blank_lines_and_lose_nothing():
    random = np.random.default_rng(0)
    blocks = ["\n".join("word" * 5 for _ in range(n)) for n in random.integers(1, 300, 60)]
    blocks.append("\n".join("a line that is long" for _ in range(3000)))
    parts = list(cut("\n\n".join(blocks)))

    assert all(len(part) <= LARGEST for part in parts)
    assert "".join("".join(parts).split()) == "".join("".join(blocks).split())
    assert sum(map(len, parts[:-4])) / len(parts[:-4]) > LARGEST / 2
    assert list(cut("")) == []


# -- kinds at hand ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_is_at_hand_and_the_same_each_time(kind):
    folder = kind_corpus(kind=kind, megabytes=0.03)
    facts, documents = corpus_facts(folder), list(stored_documents(folder))

    size = sum(len(document.text.encode()) for document in documents)
    assert 5_000 < size <= 30_000
    assert all(200 <= len(document.text) <= LARGEST or kind in ("prose", "stories")
               for document in documents)  # fmt: skip
    assert facts["origin"]["kind"] == kind
    if kind != "stories":
        assert facts["origin"]["packages"]["numpy"] == importlib.metadata.version("numpy")
    again = [document.text for document in kind_documents(kind, 0.03)]
    assert again == [document.text for document in documents]


def test_a_corpus_counts_with_the_versions_of_what_it_is_read_from():
    assert {"torch", "numpy", "tzdata"} <= set(describe(kind_corpus).requires)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Makes files be those of the only installed distribution."""

    class Installed(PurePosixPath):
        def locate(self):
            return tmp_path / self

    def install(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        monkeypatch.setattr(module, "DISTRIBUTIONS", ("one", "absent"))

        def listed(name):
            if name == "absent":
                raise importlib.metadata.PackageNotFoundError(name)
            return [Installed(n) for n in (*files, "../bin/licence.txt", "gone/LICENSE")]

        monkeypatch.setattr(importlib.metadata, "files", listed)

    return install


GRANT = "Permission is hereby granted, free of charge, to any person obtaining a copy. " * 3
WARRANTY = "This software is provided as is, without warranty of any kind. " * 4


def test_every_paragraph_of_a_licence_is_read_once(installed):
    installed({
        "a/LICENSE": f"{GRANT}\n\n{WARRANTY}",
        "b/COPYING.txt": f"Copyright one.\n\n{GRANT.upper()}\n\n{WARRANTY.replace(' ', '  ')}",
        "c/notes.txt": "Not of a licence. " * 20,
        "d/license.py": "x = 1\n" * 200,
    })  # fmt: skip
    texts = [document.text for document in kind_documents("licences", 1.0)]

    assert len(texts) == 1
    assert "warranty" in texts[0].lower()


def test_files_that_no_reader_could_follow_are_left_out_and_no_file_outweighs_the_rest(installed):
    line = "int f(int a);\n" * 400 + "\n"
    installed({
        "a/blob.h": "x" * 5000,
        "a/latin.h": b"char* s = \"\xe9\";\n" * 100,
        "a/nul.h": b"int a;\0\n" * 100,
        "a/short.h": "int a;\n",
        "a/large.h": line * 50,
        "tests/good.h": "int g(int b);\r\n" * 100,
    })  # fmt: skip
    documents = list(kind_documents("headers", 10.0))

    assert {document.name.partition(":")[0] for document in documents} == {
        "a/large.h", "tests/good.h"
    }  # fmt: skip
    assert sum(len(document.text) for document in documents) < 110_000
    assert all("\r" not in document.text for document in documents)
    assert documents[0].sentences[0] == 0
    for document in documents:
        for begin in document.sentences[1:]:
            assert document.text[begin - 2 : begin] == "\n\n"


def test_tests_are_not_code(installed):
    installed({"a/tests/x.py": "x = 1\n" * 100, "a/y.py": "y = 1\n" * 100})

    assert [document.name for document in kind_documents("code", 1.0)] == ["a/y.py:0"]


def test_nothing_of_a_kind(installed):
    installed({"a/y.py": "y = 1\n" * 100})

    with pytest.raises(DataError, match="no text of kind 'headers' is installed"):
        list(kind_documents("headers", 1.0))


# -- folders of kinds ---------------------------------------------------------------------------


def words(start, count=40):
    return " ".join(f"{start}{n % 7}" for n in range(count)) + ".\n"


@pytest.fixture
def own(tmp_path):
    """A user's folder with three kinds of ten, ten and four texts."""
    for kind, count in (("letters", 10), ("minutes", 10), ("poems", 4)):
        (tmp_path / "own" / kind).mkdir(parents=True)
        for n in range(count):
            (tmp_path / "own" / kind / f"{n}.txt").write_text(words(f"{kind}{n}", 40 + n))
    (tmp_path / "own" / ".hidden").mkdir()
    return tmp_path / "own"


def domains(folder):
    return json.loads((folder / "kinds.json").read_text())["domains"]


def test_the_kinds_of_a_user_are_the_folders(own):
    folder = text_kinds(path=own, held_out=["poems"])

    assert domains(folder) == {"letters": "in", "minutes": "in", "poems": "out"}
    assert corpus_facts(folder / "letters")["documents"] == 10
    assert domains(text_kinds(path=own)) == dict.fromkeys(("letters", "minutes", "poems"), "in")


def test_a_folder_without_folders_is_one_kind(own):
    assert domains(text_kinds(path=own / "poems")) == {"poems": "in"}


def test_kinds_at_hand():
    folder = text_kinds(kinds=["licences", "stories", "licences"], held_out=["licences"],
                        megabytes=0.01)  # fmt: skip

    assert domains(folder) == {"licences": "out", "stories": "in"}
    assert corpus_facts(folder / "stories")["origin"]["kind"] == "stories"


def test_kinds_that_cannot_be_held_out(own):
    with pytest.raises(ParameterError, match=r"'poem' is not among the kinds\. .*'poems'"):
        text_kinds(path=own, held_out=["poem"])
    with pytest.raises(ParameterError, match="every kind is held out"):
        text_kinds(path=own, held_out=["letters", "minutes", "poems"])
    with pytest.raises(ParameterError, match="every kind is held out"):
        text_kinds(kinds=["licences"], megabytes=0.01)


def test_files_beside_the_folders_of_kinds_are_refused(own):
    (own / "stray.txt").write_text("Where do I belong?")

    with pytest.raises(DataError, match=r"stray\.txt lies beside folders"):
        text_kinds(path=own)


@pytest.fixture
def numbered(own):
    texts = text_kinds(path=own, held_out=["poems"])
    tokenizer = shared_tokenizer(texts, vocabulary=400)
    return texts, tokenizer, kind_tokens(texts, tokenizer, validation_share=0.2)


def test_the_tokenizer_learns_from_the_kinds_trained_on_alone(numbered):
    _, tokenizer, _ = numbered
    known = load_tokenizer(tokenizer).get_vocab()

    assert any("letters" in token for token in known)
    assert not any("poem" in token for token in known)


def test_kinds_trained_on_are_split_and_the_others_held_out_whole(numbered):
    texts, tokenizer, found = numbered
    kinds = {kind.name: kind for kind in open_kinds(found.tokens)}

    assert [kind.domain for kind in kinds.values()] == ["in", "in", "out"]
    assert kinds["poems"].train is None
    assert len(kinds["poems"].validation.documents) - 1 == 4
    for name in ("letters", "minutes"):
        train, validation = kinds[name].train, kinds[name].validation
        assert (len(train.documents) - 1, len(validation.documents) - 1) == (8, 2)
        every = sorted(document.text for document in stored_documents(texts / name))
        read = load_tokenizer(tokenizer)
        back = [
            read.decode(store.ids[a:b])
            for store in (train, validation)
            for a, b in zip(store.documents[:-1], store.documents[1:], strict=True)
        ]
        assert sorted(back) == sorted(f"{text}{read.eos_token}" for text in every)
    poems = kinds["poems"].validation
    assert (poems.ids[poems.documents[1:] - 1] == read.eos_token_id).all()
    rows = found.records.frame()
    tokens = rows[(rows["measure"] == "tokens") & (rows["text_kind"] == "poems")]
    assert tokens[["domain", "split", "value"]].to_numpy().tolist() == [
        ["out", "validation", len(kinds["poems"].validation.ids)]
    ]


def test_a_folder_that_holds_no_kinds(tmp_path):
    with pytest.raises(DataError, match="holds no kinds of text"):
        open_kinds(tmp_path)


def test_a_kind_of_one_sentence_is_named(own):
    for file in (own / "minutes").iterdir():
        file.unlink()
    (own / "minutes" / "only.txt").write_text("No end of it")
    texts = text_kinds(path=own)
    tokenizer = shared_tokenizer(texts, vocabulary=300)

    with pytest.raises(DataError, match=r"^minutes: .*one sentence"):
        kind_tokens(texts, tokenizer)


# -- equal shares -------------------------------------------------------------------------------


def rows_of(begin, count, length=4):
    """Rows of a kind, whose tokens are numbered from ``begin``."""
    ids = np.arange(begin, begin + count * length, dtype=np.uint16)
    places = np.array([0, len(ids)])
    return stream_rows(TokenStore(ids, places, places[:1], 1, 1, 1 << 16), length)


def test_every_kind_has_an_equal_share_whatever_its_size():
    kinds = [rows_of(0, 5), rows_of(1000, 50), rows_of(2000, 11)]
    of_step = equal_shares(kinds, batch=8, seed=3)
    seen = np.concatenate([of_step(step).ids[:, 0] for step in range(30)])

    counts = [int(((seen >= k * 1000) & (seen < (k + 1) * 1000)).sum()) for k in range(3)]
    assert counts == [80, 80, 80]
    for step in range(9):
        assert np.ptp(np.bincount(of_step(step).ids[:, 0] // 1000, minlength=3)) <= 1


def test_a_pass_over_a_kind_sees_every_row_once_in_an_order_of_its_own():
    of_step = equal_shares([rows_of(0, 6), rows_of(1000, 6)], batch=4, seed=1)
    seen = np.concatenate([of_step(step).ids[:, 0] for step in range(12)])
    first, second, *_ = np.split(seen[seen < 1000], 4)

    assert sorted(first) == sorted(second) == [0, 4, 8, 12, 16, 20]
    assert first.tolist() != second.tolist()


def test_rows_come_whole_and_depend_on_step_and_seed_alone():
    kinds = [rows_of(0, 40), rows_of(1000, 40)]
    late = equal_shares(kinds, batch=6, seed=1)(7)
    of_step = equal_shares(kinds, batch=6, seed=1)
    for step in range(7):
        of_step(step)

    assert (late.ids == of_step(7).ids).all()
    assert (late.ids != equal_shares(kinds, batch=6, seed=2)(7).ids).any()
    assert (late.ids == late.ids[:, :1] + np.arange(4)).all()
    assert late.lengths.tolist() == [4] * 6
    assert late.ids.dtype == np.int32
    starts = [of_step(step).sentences[:, 0].sum() for step in range(14)]
    assert sum(starts) == 2  # each kind is one sentence


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="rows of"):
        equal_shares([rows_of(0, 5), rows_of(0, 5, length=5)], batch=2, seed=0)
    with pytest.raises(ValueError, match="rows of"):
        equal_shares(list[RowIndex](), batch=2, seed=0)
