"""Random numbers without a state.

The j-th number of a stream is a hash of the stream's key and j, and the key is one of (seed, epoch,
index of the row, stream). A row's noise therefore depends on nothing else: not on its batch, not on
the padding, not on how much another stream has drawn; and any number can be had again.

The hash is that of splitmix64: the numbers of a stream are those of its generator begun at the key.
Numba's cache of compiled code does not notice a change here: delete ``__pycache__`` after one.

Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators".
"""

import numpy as np
from numba import njit

__all__ = ["compiled", "draw_below", "draw_uniform", "row_key", "stream_key"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)

compiled = njit(error_model="numpy")


@compiled
def _mix(x):
    """The finaliser of splitmix64: a bijection whose every output bit hangs on every input bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def row_key(seed, epoch, index):
    """The key of a row in an epoch; all three are uint64."""
    return _mix(_mix(_mix(seed + GOLDEN) + epoch * GOLDEN) + index * GOLDEN)


@compiled
def stream_key(row, stream):
    """The key of one stream of a row; both are uint64."""
    return _mix(row + stream * GOLDEN)


@compiled
def draw_uniform(key, j):
    """The j-th number of a stream, uniform in [0, 1)."""
    return np.int64(_mix(key + np.uint64(j + 1) * GOLDEN) >> np.uint64(11)) * 2.0**-53


@compiled
def draw_below(key, j, n):
    """The j-th number of a stream as an integer, uniform in 0 .. n - 1."""
    return np.int64(draw_uniform(key, j) * n)
