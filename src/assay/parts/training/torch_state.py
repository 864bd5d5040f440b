"""What torch keeps for the whole process, borrowed and given back: threads and random numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_threads(threads: int) -> Iterator[None]:
    """Compute with this many threads; afterwards the process has its own number again."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's numbers on the CPU from a seed; afterwards its state is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
