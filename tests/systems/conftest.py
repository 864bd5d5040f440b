"""What tests of several systems stand on."""

import pytest

from assay.core.task import Task, _current


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    """Calls a function as a step on one thread, in a scratch folder of this name."""
    folder = tmp_path_factory.mktemp("steps")

    def call(name, function, *inputs, emit=None, **values):
        token = _current.set(Task("step", name, 1, folder / name, emit))
        try:
            return function(*inputs, **values)
        finally:
            _current.reset(token)

    return call
