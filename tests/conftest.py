"""What every test stands on: property profiles, a network that is closed, a store of its own."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("dev", max_examples=25, deadline=None, suppress_health_check=quiet)
settings.register_profile(
    "ci", max_examples=100, deadline=None, suppress_health_check=quiet, derandomize=True
)  # the same examples each time; the other profiles look for new ones
settings.register_profile("soak", max_examples=5000, deadline=None, suppress_health_check=quiet)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

os.environ["ASSAY_THREADS"] = "1"  # tests run beside each other

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LOCAL = ("127.", "::1", "localhost", "0.0.0.0")


@pytest.fixture(autouse=True)
def closed_network(monkeypatch):
    """No test may reach beyond this host."""
    connect = socket.socket.connect

    def only_local(self, address):
        if isinstance(address, tuple) and not str(address[0]).startswith(LOCAL):
            raise OSError(f"a test tried to reach {address[0]}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_local)


@pytest.fixture(autouse=True)
def own_store(monkeypatch, tmp_path):
    """A run without a named store leaves nothing in the repository."""
    monkeypatch.setenv("ASSAY_STORE", str(tmp_path / "store"))


@pytest.fixture(scope="session")
def flood_data() -> Path:
    """The folder of real terrains and observations, which the project does not ship."""
    folder = DATA / "flood"
    if not folder.is_dir():
        pytest.skip("needs the real flood data beside the checkout (../shared/data/flood)")
    return folder
