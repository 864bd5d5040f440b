"""Every test of this folder kills processes, fills disks or damages files."""

from pathlib import Path

import pytest

from faults.yard import Yard

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.faults)


@pytest.fixture
def yard(tmp_path, monkeypatch):
    made = Yard(tmp_path, monkeypatch)
    yield made
    made.close()
