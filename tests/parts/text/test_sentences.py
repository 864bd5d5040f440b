"""Where sentences begin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.parts.text.sentences import split_sentences

LETTERS = st.text(alphabet="aB1.!?…\"') \n\t\u201céÉ日", max_size=60)


def pieces(text):
    starts = split_sentences(text)
    return [text[a:b] for a, b in zip(starts, (*starts[1:], None), strict=False)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["It rained. ", "We left!  ", "Why? ", "Nobody knew."],
        ["\u201cWho is there?\u201d ", "She asked twice. ", "\u201cMe.\u201d"],
        ["He said (so I heard.) ", "Then he left."],
        ["It cost 3.50 euros. ", "7 of them were sold."],
        ["Wait... ", "What?! ", "No."],
        ["The title\n\n", "lower case after a blank line\n \n", "and again"],
        ["One line\nand the next. ", "Élan has an accent."],
        ["  Space comes first. ", "Then no more. \n"],
        ["So am I. ", "You are not."],
        ["It was plan B. ", "Then we left."],
        ["Take vitamin C. ", "\u201cThe best of all,\u201d she said."],
    ],
)
def test_sentences_are_found(sentences):
    assert pieces("".join(sentences)) == sentences


@pytest.mark.parametrize(
    "sentence",
    [
        "Dr. Ada met Mr. Bo and J. R. Smith.",
        "By K. He, X. Zhang and J. Theroux",
        "Fruit, e.g. Apples, etc. and more",
        "see fig. 3 and eq. 4",
        'he cried "stop!" and ran',
        "Version 2.13 is out",
        "no end",
    ],
)
def test_what_does_not_end_a_sentence(sentence):
    assert split_sentences(sentence) == (0,)


@given(LETTERS)
def test_sentences_rebuild_the_text(text):
    starts = split_sentences(text)

    assert "".join(pieces(text)) == text
    assert starts[:1] == ((0,) if text else ())
    assert list(starts) == sorted(set(starts))
    assert all(piece.strip() for piece in pieces(text)) or not text.strip()
    assert all(not text[start].isspace() for start in starts[1:])


@pytest.mark.parametrize("unit", [".", "\n", "\n ", '."', ". ", "(", "A.", ".'\n"])
@pytest.mark.timeout(60)  # a rule that goes back over the text would take hours
def test_the_work_grows_no_faster_than_the_text(unit):
    starts = split_sentences("x" + unit * 200_000 + "x")

    assert starts[0] == 0
