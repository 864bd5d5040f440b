"""Where sentences begin: a small rule, for text whose author did not say."""

import re

__all__ = ["split_sentences"]

ABBREVIATIONS = frozenset(
    "al approx cf ch co dr ed eds eq eqs etc fig figs gen inc jr ltd mr mrs ms nos p pp prof "
    "ref refs rev sec sr st vol vs e.g i.e u.s u.k a.m p.m".split()
)
OPENERS = frozenset(  # begin sentences and are hardly anybody's name, as He, So and An are
    "after all also although and at because before both but each every first for from her here his "
    "how however if in it its later many most my next nobody not now on only or our she since some "
    "still that the their then there these they this those though thus until we what when where "
    "which while who why with yet your".split()
)
OPENING = "\"'([¿¡\u2018\u201c\u00ab"
BREAK = re.compile(
    r"(?<![.!?…])(?P<end>[.!?…]++[\"')\]\u2019\u201d\u00bb]*+)(?P<gap>\s++)"
    r"(?=[\"'(\[¿¡\u2018\u201c\u00ab]*[^\W_])"  # may end a sentence, see `_ends`
    r"|\n[^\S\n]*\n\s*"  # a blank line does
)
LAST_WORD = re.compile(r"[\w.]*\w$")
NEXT_WORD = re.compile(r"[^\W\d_]+")


def split_sentences(text: str) -> tuple[int, ...]:
    """Guess where sentences begin.

    A sentence ends at a blank line, or at end marks (with the quotes and brackets that close after
    them) followed by white space and a capital or digit, with or without an opening quote or
    bracket. A lone full stop does not end it after a common abbreviation, nor after an initial if
    a name may follow. White space between two sentences belongs to the first.

    Returns:
        Characters at which sentences begin, increasing, the first 0; empty for an empty text.

    Example:
        >>> text = 'Dr. Ada asked: "Why?" Nobody knew, e.g. Bo. 7 left.'
        >>> starts = split_sentences(text)
        >>> [text[a:b] for a, b in zip(starts, (*starts[1:], None))]
        ['Dr. Ada asked: "Why?" ', 'Nobody knew, e.g. Bo. ', '7 left.']
    """
    if not text.strip():
        return (0,) if text else ()
    begin, stop = len(text) - len(text.lstrip()), len(text.rstrip())
    breaks = BREAK.finditer(text, begin, stop)
    return (0, *(found.end() for found in breaks if _ends(text, found)))


def _ends(text: str, found: re.Match[str]) -> bool:
    """Whether a break that was found ends a sentence."""
    if found["gap"] is None or found["gap"].count("\n") > 1:
        return True
    after = text[found.end() : found.end() + 16].lstrip(OPENING)
    if after[:1].islower():
        return False
    word = LAST_WORD.search(text, max(found.start() - 12, 0), found.start())
    if found["end"] != "." or word is None:
        return True
    if len(word[0]) == 1 and word[0].isupper() and word[0] != "I":  # an initial, or plan B
        follows = NEXT_WORD.match(after)
        return follows is not None and follows[0].lower() in OPENERS
    return word[0].lower() not in ABBREVIATIONS
