"""Tokens on disk: nothing lost, sentences where they were, rows as they should be cut."""

import copy
import itertools
import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from assay.errors import DataError
from assay.parts.text import tokens as module
from assay.parts.text.documents import Document, split_sentences, write_documents
from assay.parts.text.tokenizer import content_tokenizer, load_tokenizer, train_tokenizer
from assay.parts.text.tokens import (
    TokenStore,
    document_rows,
    open_tokens,
    stream_rows,
    tokenize,
    write_tokens,
)

TEXT = "The cat sat. It purred!  Nobody knew why.\n\nÉlan was its name, 日本 its home. </s> <mask>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([Document(TEXT * 4, (0,), "a")], 330, folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder)


def document(text):
    return Document(text, split_sentences(text), "any")


@st.composite
def documents(draw):
    letters = st.sampled_from(["a", " ", ".", "The cat", "\n", "é", "日", "🐈", "</s>", "  ", "B"])
    text = draw(st.lists(letters, min_size=1, max_size=40).map("".join))
    starts = draw(st.sets(st.integers(0, len(text) - 1), max_size=6))
    return Document(text, tuple(sorted({0} | starts)), "any")


# -- writing ------------------------------------------------------------------------------------


@given(st.lists(documents(), min_size=1, max_size=5), st.sampled_from([1, 5, 30, 1000]))
def test_pieces_and_batches_do_not_show(tmp_path_factory, tokenizer, given_documents, piece):
    folder = tmp_path_factory.mktemp("any") / "tokens"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", piece)
        patch.setattr(module, "BATCH", 2)
        write_tokens(folder, given_documents, tokenizer)
    store, encoder = open_tokens(folder), content_tokenizer(tokenizer)
    texts = [d.text for d in given_documents]
    whole = [encoder.encode(text, add_special_tokens=False).ids for text in texts]

    assert store.ids.tolist() == [number for ids in whole for number in ids]
    assert store.documents.tolist() == np.cumsum([0, *map(len, whole)]).tolist()
    assert store.characters == sum(map(len, texts))
    assert store.bytes == sum(len(text.encode()) for text in texts)


@given(st.lists(documents(), min_size=1, max_size=5), st.sampled_from([1, 5, 1000]))
def test_documents_end_where_that_is_asked_for(tmp_path_factory, tokenizer, several, piece):
    folder = tmp_path_factory.mktemp("any")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", piece)
        write_tokens(folder / "plain", several, tokenizer)
        write_tokens(folder / "ended", several, tokenizer, ends=True)
    plain, ended = open_tokens(folder / "plain"), open_tokens(folder / "ended")
    last = ended.documents[1:] - 1

    assert (ended.ids[last] == tokenizer.eos_token_id).all()
    assert np.delete(ended.ids, last).tolist() == plain.ids.tolist()
    added = np.searchsorted(plain.documents[1:], plain.sentences, side="right")
    assert ended.sentences.tolist() == (plain.sentences + added).tolist()


def test_a_tokenizer_that_knows_no_end_of_documents(tmp_path, tokenizer):
    none = copy.deepcopy(tokenizer)
    none.eos_token = None

    with pytest.raises(DataError, match="without </s>"):
        write_tokens(tmp_path / "t", [document(TEXT)], none, ends=True)
    assert not (tmp_path / "t").exists()


@given(documents())
@example(Document("The cat. A cat. B é. " * 3, (0, 9, 16, 21, 30, 37, 42, 51, 58), "any"))
def test_a_sentence_begins_at_the_token_that_holds_its_first_byte(tmp_path_factory, tokenizer, one):
    folder = tmp_path_factory.mktemp("any") / "tokens"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", 7)
        write_tokens(folder, [one], tokenizer)
    store = open_tokens(folder)
    sizes = [len(token) for token in tokenizer.convert_ids_to_tokens(store.ids.tolist())]
    ends = np.cumsum(sizes)  # a byte-level token is spelt with one letter for each byte
    assert ends[-1] == len(one.text.encode())
    # A start in the white space before a word may mean the token before the word or the word.
    clear = [k for k in one.sentences if not one.text[k].isspace()]
    expected = {0} | {
        int(np.searchsorted(ends, len(one.text[:k].encode()), "right")) for k in clear
    }

    found = set(store.sentences.tolist())
    assert expected <= found
    assert len(found) <= len(one.sentences)
    assert store.sentences.tolist() == sorted(found)


def test_text_that_spells_special_tokens_holds_none(tmp_path, tokenizer):
    write_tokens(tmp_path / "t", [document(TEXT)], tokenizer)
    ids = open_tokens(tmp_path / "t").ids

    assert ids.min() > 3
    assert ids.max() < tokenizer.mask_token_id
    assert tokenizer.decode(ids.tolist()) == TEXT


def test_documents_are_read_as_they_are_needed(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 2)
    ahead = []

    def counted():
        for k in range(20):
            ahead.append(k - written[0])
            yield document(f"Number {k}.")

    encode, written = module.content_tokenizer, [0]

    class Counting:
        def __init__(self, tokenizer):
            self.inner = encode(tokenizer)

        def encode_batch(self, texts, **options):
            written[0] += len(texts)
            return self.inner.encode_batch(texts, **options)

    monkeypatch.setattr(module, "content_tokenizer", Counting)
    write_tokens(tmp_path / "t", counted(), tokenizer)

    assert max(ahead) == 1
    assert len(open_tokens(tmp_path / "t").documents) == 21


@pytest.mark.parametrize(("size", "dtype"), [(65_536, "uint16"), (65_537, "uint32")])
def test_numbers_take_two_bytes_where_they_fit(tmp_path, size, dtype):
    vocabulary = {"<unk>": 0} | {f"w{k}": k for k in range(1, size)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    write_tokens(
        tmp_path / "t",
        [document(f"w7 w{size - 1}")],
        PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>"),
    )
    store = open_tokens(tmp_path / "t")

    assert store.ids.dtype == dtype
    assert store.ids.tolist() == [7, size - 1]
    assert store.vocabulary == size


def test_no_documents_are_refused_and_leave_nothing(tmp_path, tokenizer):
    with pytest.raises(DataError, match="hold no tokens"):
        write_tokens(tmp_path / "t", [], tokenizer)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_no_tokens_or_too_few_is_refused(tmp_path, tokenizer):
    with pytest.raises(DataError, match=r"holds no tokens.*tokens\.json"):
        open_tokens(tmp_path)
    write_tokens(tmp_path / "t", [document(TEXT)], tokenizer)
    content = (tmp_path / "t" / "ids.bin").read_bytes()
    (tmp_path / "t" / "ids.bin").write_bytes(content[:-2])
    with pytest.raises(DataError, match=r"holds no tokens \(\d+ of uint16 instead of \d+ tokens\)"):
        open_tokens(tmp_path / "t")


# -- rows ---------------------------------------------------------------------------------------


@st.composite
def stores(draw):
    """A store of documents of 0 to 30 tokens with sentences anywhere; token k has the number k."""
    sizes = draw(st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(sum))
    ends = np.cumsum([0, *sizes])
    starts = draw(st.sets(st.integers(0, int(ends[-1]) - 1), max_size=20))
    begins = {int(b) for b, size in zip(ends, sizes, strict=False) if size}
    sentences = np.array(sorted(starts | begins), dtype=np.int64)
    return TokenStore(np.arange(ends[-1], dtype=np.uint16), ends, sentences, 0, 0, 1 << 16)


def flags(store):
    every = np.zeros(len(store.ids), dtype=bool)
    every[store.sentences] = True
    return every


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("documents", [0, 2.5]),
        ("documents", [1, 2]),
        ("documents", [0, 10**6]),
        ("sentences", [0, 3, 2]),
        ("sentences", [0, -1]),
    ],
)
def test_beginnings_that_lie_nowhere_are_refused(tmp_path, tokenizer, name, found):
    write_tokens(tmp_path / "t", [document(TEXT)], tokenizer)
    np.save(tmp_path / "t" / f"{name}.npy", np.array(found))

    with pytest.raises(DataError, match="begin nowhere"):
        open_tokens(tmp_path / "t")


@pytest.mark.parametrize("cut", [stream_rows, document_rows])
@pytest.mark.parametrize("length", [0, -1])
def test_rows_without_a_length_are_refused(tmp_path, tokenizer, cut, length):
    write_tokens(tmp_path / "t", [document(TEXT)], tokenizer)

    with pytest.raises(ValueError, match=f"rows of {length} tokens"):
        cut(open_tokens(tmp_path / "t"), length)


@given(stores(), st.integers(1, 12))
def test_stream_rows_are_the_stream(store, length):
    count = len(store.ids) // length
    if not count:
        with pytest.raises(DataError, match=r"a row takes \d+"):
            stream_rows(store, length)
        return
    rows = stream_rows(store, length).take(slice(None))

    assert rows.ids.ravel().tolist() == list(range(count * length))
    assert rows.sentences.ravel().tolist() == flags(store)[: count * length].tolist()
    assert rows.lengths.tolist() == [length] * count


@given(stores(), st.integers(1, 12))
def test_document_rows_hold_every_token_once_and_never_two_documents(store, length):
    index = document_rows(store, length)
    rows = index.take(np.arange(len(index)))
    found = [ids[:n].tolist() for ids, n in zip(rows.ids, rows.lengths, strict=True)]

    assert [number for row in found for number in row] == list(range(len(store.ids)))
    assert all(1 <= len(row) <= length for row in found)
    owner = np.searchsorted(store.documents, np.arange(len(store.ids)), side="right")
    assert all(len(set(owner[row])) == 1 for row in found)
    inside = np.arange(length) < rows.lengths[:, None]
    assert not rows.ids[~inside].any()
    assert not rows.sentences[~inside].any()
    assert rows.sentences[inside].tolist() == flags(store).tolist()


@given(stores(), st.integers(1, 12))
def test_documents_are_cut_at_the_last_sentence_that_fits(store, length):
    index, begins = document_rows(store, length), flags(store)
    starts = index.starts.tolist()
    for start, following in itertools.pairwise(starts):
        if following in store.documents:
            continue
        fits = [k for k in range(start + 1, start + length + 1) if begins[k]]
        assert following == (fits[-1] if fits else start + length)


@given(stores(), st.data())
def test_rows_are_taken_in_the_order_asked_for(store, data):
    index = document_rows(store, 5)
    some = data.draw(st.lists(st.integers(0, len(index) - 1), max_size=6))
    every, taken = index.take(slice(None)), index.take(np.array(some, dtype=np.int64))

    for one, all_of_them in zip(taken, every, strict=True):
        assert np.array_equal(one, all_of_them[some])
    assert taken.ids.dtype == np.int32


# -- the component ------------------------------------------------------------------------------


def corpus(folder, texts):
    write_documents(folder, map(document, texts))
    return folder


def texts_of(store, tokenizer):
    bounds = store.documents.tolist()
    pairs = itertools.pairwise(bounds)
    return {tokenizer.decode(store.ids[a:b].tolist()) for a, b in pairs}


def test_a_corpus_is_split_by_its_texts_whatever_their_order(tmp_path, folder, tokenizer):
    texts = [f"Story {k} begins. It ends." for k in range(40)]
    parts = []
    for name, ordered in (("a", texts), ("b", texts[::-1])):
        made = tokenize(corpus(tmp_path / name, ordered), folder, validation_share=0.1)
        stores = [open_tokens(path) for path in (made.train, made.validation)]
        parts.append([texts_of(store, tokenizer) for store in stores])
    (train, validation), again = parts

    assert [train, validation] == again
    assert len(validation) == 4
    assert train | validation == set(texts)
    assert not train & validation


def test_the_records_say_what_there_is(tmp_path, folder, tokenizer):
    texts = ["One. Two. Three.", "Four."]
    made = tokenize(corpus(tmp_path / "c", texts), folder, validation_share=0.5)
    found = {(row["measure"], row.get("split")): row["value"] for row in made.records}
    splits = ("train", "validation")

    assert {found["sentences", split] for split in splits} == {3, 1}
    assert [found["documents", split] for split in splits] == [1, 1]
    assert sum(found["characters", split] for split in splits) == sum(map(len, texts))
    assert found["tokens", "train"] == len(open_tokens(made.train).ids)
    assert found["vocabulary", None] == len(tokenizer)
    assert made.train.parent == made.validation.parent


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_neither_part_is_empty(tmp_path, folder, share):
    made = tokenize(corpus(tmp_path / "c", ["One.", "Two.", "Three."]), folder,
                    validation_share=share)  # fmt: skip
    sizes = [len(open_tokens(path).documents) - 1 for path in (made.train, made.validation)]

    assert sizes == ([2, 1] if share < 0.5 else [1, 2])


def test_of_one_document_the_last_sentences_are_held_out(tmp_path, folder, tokenizer):
    sentences = [f"Sentence {k} is here. " for k in range(20)]
    made = tokenize(corpus(tmp_path / "c", ["".join(sentences)]), folder, validation_share=0.1)
    stores = [open_tokens(path) for path in (made.train, made.validation)]

    assert texts_of(stores[0], tokenizer) == {"".join(sentences[:18])}
    assert texts_of(stores[1], tokenizer) == {"".join(sentences[18:])}
    assert [len(store.sentences) for store in stores] == [18, 2]


def test_one_sentence_is_refused(tmp_path, folder):
    with pytest.raises(DataError, match="one sentence: nothing can be held out"):
        tokenize(corpus(tmp_path / "c", ["only one sentence"]), folder)


def test_the_file_of_facts_is_plain(tmp_path, tokenizer):
    write_tokens(tmp_path / "t", [document("The cat.")], tokenizer)
    facts = json.loads((tmp_path / "t" / "tokens.json").read_text())

    assert facts["dtype"] == "<u2"
    assert (tmp_path / "t" / "ids.bin").stat().st_size == 2 * facts["tokens"]
