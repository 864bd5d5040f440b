"""The base of a share in words: of whom is it a share?"""

from assay.systems.competition_survey.instrument import Instrument, Question
from assay.systems.competition_survey.show_if import Condition

__all__ = ["base_in_words", "condition_in_words"]


def base_in_words(instrument: Instrument, question: Question, base: str) -> str:
    """Of whom the shares of a question are shares.

    Args:
        instrument: The questions.
        question: The one that was asked.
        base: ``shown`` or ``answered``.
    """
    who = "teams" if base == "shown" else "teams that answered"
    if question.show_if is None:
        return f"all {who}"
    joint = "that" if base == "shown" else "and"
    return f"{who} {joint} {condition_in_words(instrument, question.show_if)}"


def condition_in_words(instrument: Instrument, condition: Condition) -> str:
    """What a condition asks for, as the end of a sentence that begins *teams that*.

    Example:
        >>> deep = Question("deep", "method", "bool", "Was it deep learning?")
        >>> made = Instrument("mine", "1", "team", (), (deep,))
        >>> condition_in_words(made, ("==", "deep", True))
        'answered “Yes” to “Was it deep learning?”'
    """
    what, *of = condition
    if what in ("and", "or"):
        parts = [condition_in_words(instrument, part) for part in of]
        mixed = [part[0] in ("and", "or") and part[0] != what for part in of]
        return f" {what} ".join(f"({p})" if m else p for p, m in zip(parts, mixed, strict=True))
    if what == "not":
        return f"not ({condition_in_words(instrument, of[0])})"
    question = instrument.question(of[0])
    literals = of[1] if what == "in" else [of[1]]
    said = " or ".join(f"“{question.label(_text(literal))}”" for literal in literals)
    verb = "answered other than" if what == "!=" else "answered"
    return f"{verb} {said} to “{question.text}”"


def _text(literal: object) -> str:
    return str(literal).lower() if isinstance(literal, bool) else str(literal)
