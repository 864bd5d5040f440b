"""Where water gathers by the faces that the solver knows: what the learned model sees of it.

`drainage` sends water along the steepest of all directions, as a hillslope does; the solver moves
it through four faces and never diagonally, and a net that is to repeat the solver needs its way.
"""

from typing import Any

import numpy as np

from assay.systems.climate_impact.intrinsics import compiled

__all__ = ["drained_cells"]


def drained_cells(elevation_m: np.ndarray) -> np.ndarray:
    """Number of cells whose water runs through each, itself included; 1 where there is no ground.

    Water leaves a cell through its lower sides, in proportion to the root of the fall: so Manning's
    equation shares it out between faces of equal depth, and as in the solver none runs diagonally.

    Args:
        elevation_m: Height of the ground (m), ``[y, x]``, its pits drained; NaN where unknown.

    Example:
        >>> drained_cells(np.array([[3.0, 2.0, 1.0]])).tolist()
        [[1.0, 2.0, 3.0]]
    """
    ground = np.asarray(elevation_m, np.float64)
    padded: Any = np.pad(ground, 1, constant_values=np.nan)
    downwards = np.argsort(-ground, axis=None, kind="stable")  # NaN last
    return _drained_cells(padded, downwards[: np.count_nonzero(np.isfinite(ground))])[1:-1, 1:-1]


@compiled
def _drained_cells(z, downwards):
    cells = np.ones(z.shape)
    columns = z.shape[1] - 2
    for cell in downwards:
        row, column = cell // columns + 1, cell % columns + 1
        shares = np.zeros(4)
        for side in range(4):
            down, right = ((-1, 0), (0, 1), (1, 0), (0, -1))[side]
            fall = z[row, column] - z[row + down, column + right]
            shares[side] = np.sqrt(fall) if fall > 0.0 else 0.0  # also beside unknown ground
        total = shares.sum()
        for side in range(4):
            if shares[side] > 0.0:
                down, right = ((-1, 0), (0, 1), (1, 0), (0, -1))[side]
                cells[row + down, column + right] += cells[row, column] * shares[side] / total
    return cells
