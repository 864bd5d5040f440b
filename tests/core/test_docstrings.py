"""What a docstring says of each argument."""

from assay.core.docstrings import arguments


def several(x, *, width_m: float, **rest):
    """First line.

    Text that is no argument: none.

    Args:
        x: What.
        width_m (float): How wide,
            in metres: at most 3.
        **rest: More.

    Raises:
        ValueError: Never.
    """


def test_lines_are_joined_and_other_sections_left_out():
    assert arguments(several) == {
        "x": "What.",
        "width_m": "How wide, in metres: at most 3.",
        "rest": "More.",
    }


def test_a_function_that_says_nothing_has_no_explanations():
    assert arguments(lambda x: x) == {}
    assert arguments(test_a_function_that_says_nothing_has_no_explanations) == {}
