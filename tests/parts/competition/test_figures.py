"""The board as a page shows it."""

import math

import pandas as pd

from assay.parts.competition.figures import short


def test_the_board_that_is_shown_has_no_empty_numbers_and_no_ranks():
    board = pd.DataFrame(
        [
            (1.0, "a", "Team A", "rules", 1.5, 0.123456, 1.0, ""),
            (math.nan, "b", "Team B", "", math.nan, math.nan, math.nan, "not ranked: refused"),
        ],
        columns=["place", "entry", "team", "method", "mean_rank", "t m", "rank by t m", "reason"],
    )
    shown = short(board)
    assert list(shown) == ["place", "entry", "team", "mean rank", "t m"]
    assert shown.iloc[0].tolist() == ["1", "a", "Team A", "1.5", "0.1235"]
    assert shown.iloc[1].tolist() == ["", "b", "Team B", "", ""]
