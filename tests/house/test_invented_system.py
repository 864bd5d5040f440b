"""A second system takes its own folder and one line in a table of contents, nothing else."""

import json
import subprocess
import sys

import pytest

STUDY = '''
from assay import Claim, Preset, Records, Seed, Study, Workflow, component, difference, sweep


@component(version="1")
def toss(*, bias: float = 0.5, count: int = 100, seed: Seed) -> Records:
    """Toss a coin."""
    import numpy as np

    heads = np.random.default_rng(seed).random(count) < bias
    records = Records()
    records.add("share_of_heads", heads.mean())
    return records


def tosses() -> Study:
    flow = Workflow("tosses")
    flow.step("toss", toss)
    return Study(
        flow,
        title="Is a bent coin told from a fair one?",
        decisions={"bias": sweep("toss.bias", [0.5, 0.7])},
        seeds=8,
        claims=[
            Claim(
                id="H1",
                sentence="A bent coin shows more heads",
                source="arithmetic",
                estimand=difference("share_of_heads", "bias", 0.7, 0.5),
                direction="above",
                unit="seed",
            )
        ],
        presets={"tiny": Preset(note="Under a second.")},
    )
'''
INIT = """
from assay import System

SYSTEM = System(
    "coins", "Coins, fair and bent", "Nobody 1654", {"tosses": "coins.study:tosses"}, "tosses"
)
"""


@pytest.fixture
def invented(tmp_path):
    folder = tmp_path / "site" / "coins"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(INIT)
    (folder / "study.py").write_text(STUDY)
    metadata = tmp_path / "site" / "coins-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: coins\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[assay.systems]\ncoins = coins:SYSTEM\n")
    return tmp_path


def assay_command(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "assay.app.cli", *words],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "site"), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_invented_system_is_listed_shown_and_run(invented):
    listed = assay_command(invented, "list", "--json")
    names = [s["system"] for s in json.loads(listed.stdout)]
    shown = assay_command(invented, "show", "coins")
    run = assay_command(invented, "run", "coins", "--workers", "0", "--json")

    assert {"coins", "climate_impact"} <= set(names)
    assert "toss.bias" in shown.stdout
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout)
    assert summary["trials"] == 16
    assert summary["claims"][0]["verdict"] == "holds"
