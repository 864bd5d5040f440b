"""Byte-level BPE: the numbers, the framing, and that any text comes back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from assay.core.component import describe
from assay.core.identity import content_digest
from assay.errors import DataError, ParameterError
from assay.parts.text.documents import Document, write_documents
from assay.parts.text.tokenizer import (
    MASK,
    SPECIALS,
    bpe,
    check_fits,
    content_tokenizer,
    load_tokenizer,
    train_tokenizer,
    word_starts,
)

STORY = "The old baker lives by the sea.\n\nThe baker sells bread, and the sea is cold. "
UNICODE = st.text(st.characters(codec="utf-8"))


def documents(*texts):
    return [Document(text, (0,), f"{k}") for k, text in enumerate(texts)]


def trained(folder, *texts, vocabulary=320):
    train_tokenizer(documents(*texts), vocabulary, folder)
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(documents(STORY * 3, "</s> and <mask> and <s><pad><unk> " * 50), 320, folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder)


# -- training -----------------------------------------------------------------------------------


def test_special_tokens_have_the_numbers_of_bart(tokenizer):
    assert tokenizer.convert_tokens_to_ids([*SPECIALS, MASK]) == [0, 1, 2, 3, len(tokenizer) - 1]
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id) == (0, 1)
    assert (tokenizer.eos_token_id, tokenizer.unk_token_id) == (2, 3)
    assert (tokenizer.cls_token_id, tokenizer.sep_token_id) == (0, 2)
    assert tokenizer.mask_token_id == len(tokenizer) - 1


def test_one_text_and_a_pair_are_framed_as_bart_frames_them(tokenizer):
    one, two = (
        tokenizer(text, add_special_tokens=False).input_ids for text in ("the sea", "bread")
    )

    assert tokenizer("the sea").input_ids == [0, *one, 2]
    assert tokenizer("the sea", "bread").input_ids == [0, *one, 2, 2, *two, 2]


def test_a_mask_takes_the_space_before_it(tokenizer):
    begin, end = (tokenizer(text, add_special_tokens=False).input_ids for text in ("the", " sea"))

    assert tokenizer("the <mask> sea").input_ids == [0, *begin, tokenizer.mask_token_id, *end, 2]


def test_merges_are_those_of_the_most_frequent_pairs(tmp_path):
    # Sennrich et al. 2016: low 5, lower 2, newest 6, widest 3. Pairs e-s and s-t occur 9 times, so
    # the first two merges make "est"; then space-l, l-o, o-w (7 each) make " low".
    text = " low" * 5 + " lower" * 2 + " newest" * 6 + " widest" * 3
    vocabulary = trained(tmp_path, text, vocabulary=261 + 5).get_vocab()

    assert len(vocabulary) == 266
    assert {"est", "Ġlow"} <= set(vocabulary)
    assert not {"Ġlowe", "west", "Ġn"} & set(vocabulary)


def test_training_twice_gives_the_same_bytes(tmp_path):
    digests = set()
    for name in ("one", "two"):
        trained(tmp_path / name, STORY, "日本の海 naïve " * 3)
        digests.add(content_digest(tmp_path / name))

    assert len(digests) == 1


def test_a_vocabulary_has_room_for_every_byte_and_not_more_than_two_bytes_can_count(tmp_path):
    tokenizer = trained(tmp_path, STORY, vocabulary=261)

    assert len(tokenizer) == 261
    assert len(tokenizer("the é", add_special_tokens=False).input_ids) == len("the é".encode())
    for vocabulary in (260, 65_537):
        with pytest.raises(ValueError, match="261 to 65536"):
            train_tokenizer(documents(STORY), vocabulary, tmp_path)
        made = describe(bpe)
        with pytest.raises(ParameterError, match=r"bpe\.vocabulary"):
            made.validate({"vocabulary": vocabulary}, "bpe")


def test_a_small_text_ends_in_a_smaller_vocabulary(tmp_path):
    tokenizer = trained(tmp_path, "abab abab", vocabulary=4096)

    assert len(tokenizer) == 261 + 2  # ab and abab; a space before it occurs once
    assert tokenizer.mask_token_id == len(tokenizer) - 1


def test_the_component_trains_on_a_corpus(tmp_path):
    write_documents(tmp_path / "corpus", documents(STORY, "more of the same baker"))

    assert len(load_tokenizer(bpe(tmp_path / "corpus", vocabulary=270))) == 270


# -- text that spells special tokens ------------------------------------------------------------


def test_no_merge_ends_in_a_special_token(tokenizer):
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    joined = {"".join(pair) for pair in model["merges"]}

    assert joined
    assert not joined & {*SPECIALS, MASK}


@given(st.lists(st.sampled_from([*SPECIALS, MASK, " ", "<", "s>", "sea "])).map("".join))
def test_content_is_only_text_and_comes_back(tokenizer, text):
    encoder = content_tokenizer(tokenizer)
    ids = encoder.encode(text, add_special_tokens=False).ids

    assert all(3 < number < tokenizer.mask_token_id for number in ids)
    assert encoder.decode(ids, skip_special_tokens=False) == text


def test_the_tokenizer_itself_still_knows_its_special_tokens(tokenizer):
    content_tokenizer(tokenizer)

    assert tokenizer("</s>", add_special_tokens=False).input_ids == [2]


@given(UNICODE)
def test_any_text_comes_back(tokenizer, text):
    encoder = content_tokenizer(tokenizer)
    ids = encoder.encode(text, add_special_tokens=False).ids

    assert encoder.decode(ids, skip_special_tokens=False) == text
    if "<" not in text:
        assert tokenizer(text).input_ids == [0, *ids, 2]
        assert tokenizer.decode(ids) == text


# -- loading ------------------------------------------------------------------------------------


def test_it_is_loaded_as_any_tokenizer_is(folder, tokenizer):
    found = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    for text in (STORY, "naïve <mask> 日本</s>"):
        assert found(text, text).input_ids == tokenizer(text, text).input_ids


def test_a_folder_without_tokenizer_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tokenizer.json").write_text("{")
    (tmp_path / "broken" / "tokenizer_config.json").write_text("{}")
    for place in (tmp_path, tmp_path / "gone", tmp_path / "file", tmp_path / "broken"):
        with pytest.raises(DataError, match=r"holds no tokenizer.*tokenizer\.json") as caught:
            load_tokenizer(place)
        assert "\n" not in str(caught.value)


def test_code_that_a_folder_brings_is_not_run(tmp_path, folder):
    (tmp_path / "tokenizer.json").write_text((folder / "tokenizer.json").read_text())
    (tmp_path / "own.py").write_text("raise SystemExit('code was run')")
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": [null, "own.Own"]}}'
    )

    with pytest.raises(DataError, match="holds no tokenizer that can be read"):
        load_tokenizer(tmp_path)


@pytest.fixture
def word_pieces(tmp_path):
    """A tokenizer of another family: word pieces, with cls and sep but neither bos nor eos."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sea", "##side", "."]
    backend = Tokenizer(models.WordPiece({n: k for k, n in enumerate(names)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    specials = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    named = {f"{kind}_token": token for kind, token in specials.items()}
    PreTrainedTokenizerFast(tokenizer_object=backend, **named).save_pretrained(tmp_path / "wp")
    return tmp_path / "wp"


def test_special_tokens_that_are_needed_and_missing_are_named(word_pieces):
    with pytest.raises(DataError, match="no bos_token and no eos_token"):
        load_tokenizer(word_pieces)
    assert load_tokenizer(word_pieces, needs=("cls_token", "mask_token")).mask_token_id == 4


def test_a_tokenizer_must_fit_its_model(tokenizer):
    check_fits(tokenizer, len(tokenizer), "model")
    check_fits(tokenizer, len(tokenizer) + 7, "model")
    with pytest.raises(DataError, match=rf"model: the tokenizer has {len(tokenizer)} entries"):
        check_fits(tokenizer, len(tokenizer) - 1, "model")


def test_words_begin_with_white_space(tokenizer):
    starts = word_starts(tokenizer)
    found = {number for number in range(len(tokenizer)) if starts[number]}
    begins = {n for n in found if tokenizer.decode([n])[:1].isspace()}

    assert starts.shape == (len(tokenizer),)
    assert found == begins
    ids = tokenizer("sea is\ncold", add_special_tokens=False).input_ids
    text, words = "", []
    for number in ids:
        words += [text] if starts[number] else []
        text += tokenizer.decode([number])
    assert words == ["sea", "sea is"]


def test_word_pieces_begin_a_word_unless_they_continue_one(word_pieces):
    tokenizer = load_tokenizer(word_pieces, needs=())

    assert word_starts(tokenizer).tolist() == [False] * 5 + [True, False, True]
