"""An invented system in a package of its own, and the command line run in this process."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from assay.app.cli import main
from assay.core import system

STUDY = '''
import os
import time
from typing import Literal

from assay import (
    Check, Claim, Preset, Records, Seed, Study, Workflow, component, difference, sweep, use,
)


@component
def toss(*, bias: float = 0.5, count: int = 100, coin: Literal["euro", "pound"] = "euro",
         seed: Seed) -> Records:
    """Toss a coin.

    Args:
        bias: Chance of heads.
        count: How often it is tossed.
        seed: Seed of the tosses.
    """
    import numpy as np

    print("tossing", flush=True)
    os.write(1, b"tossing below python\\n")
    if count > 5000:
        raise ValueError("the hand [of the tosser] is tired")
    records = Records()
    heads = np.random.default_rng(seed).random(count) < bias
    records.add("share_of_heads", heads.mean())
    return records


@component
def wait(*, marker: str, count: int = 1) -> Records:
    """Say that it waits, and wait for a minute."""
    from pathlib import Path

    Path(marker).touch()
    for _ in range(600):
        time.sleep(0.1)
    return Records()


CLAIM = Claim(
    id="H1",
    sentence="A bent coin shows more heads",
    source="arithmetic",
    estimand=difference("share_of_heads", "bias", 0.7, 0.5),
    direction="above",
    design={"effect": 0.2, "spread": 0.07},
)
CHECK = Check(id="K1", sentence="A share is at most 1", source="arithmetic",
              measure="share_of_heads", at_most=1.0)


def tosses() -> Study:
    flow = Workflow("tosses")
    flow.step("toss", toss)
    return Study(
        flow,
        title="Is a bent coin [fair/unfair] told apart? €",
        decisions={"bias": sweep("toss.bias", [0.5, 0.7])},
        seeds=8,
        claims=[CLAIM],
        checks=[CHECK],
        presets={
            "tiny": Preset(set={"toss.count": 50}, seeds=4, note="Under a second."),
            "small": Preset(note="Some seconds."),
        },
    )


def tired() -> Study:
    flow = Workflow("tired")
    flow.step("toss", toss)
    return Study(flow, title="Some trials fail", seeds=3, claims=[CLAIM],
                 decisions={"count": sweep("toss.count", [50, 6000])},
                 presets={"tiny": Preset(note="Half of it fails.")})


def waiting() -> Study:
    flow = Workflow("waiting")
    flow.step("wait", wait, marker="waiting.txt")
    return Study(flow, title="It takes a minute")
'''
INIT = """
from assay import System

SYSTEM = System(
    "coins", "Coins, fair and bent", "Nobody 1654",
    {name: f"coins.study:{name}" for name in ("tosses", "tired", "waiting")}, "tosses",
    commands={"flip": "coins.verbs:app", "lost": "coins.nowhere:app", "odd": "coins.study:CLAIM"},
)
"""
VERBS = '''
import typer

app = typer.Typer()


@app.command()
def flip(times: int = 1, side: str = "heads") -> None:
    """Flip a coin."""
    print(side * times)
'''


def make_package(site: Path, name: str, files: dict[str, str], entry: str) -> None:
    """Put a package with an entry point into a folder, as pip would."""
    folder = site / name
    folder.mkdir(parents=True)
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[assay.systems]\n{name} = {entry}\n")


@dataclass
class Shell:
    """The command line in a folder of its own."""

    folder: Path
    capsys: pytest.CaptureFixture

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Run a verb in this process: exit code, standard output, standard error."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        said = self.capsys.readouterr()
        return ended.value.code, said.out, said.err

    def json(self, *words: str) -> tuple[int, object]:
        """Run a verb with --json: exit code and the one value printed."""
        code, out, _ = self(*words, "--json")
        return code, json.loads(out)

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(self.folder / "site"),
            "ASSAY_STORE": str(self.folder / "store"),
            **more,
        }

    def process(self, *words: str, stdout=subprocess.PIPE, **more: str):
        """Start a verb in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "assay.app.cli", *words],
            cwd=self.folder,
            env=self.environment(**more),
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def run(self, *words: str, **more: str) -> tuple[int, str, str]:
        """Run a verb in a process of its own: exit code, standard output, standard error."""
        process = self.process(*words, **more)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


def forget_systems() -> None:
    """Look for installed systems anew."""
    system._entries.cache_clear()
    system.find_system.cache_clear()


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    """A folder with the invented system installed, and nothing else in it."""
    files = {"__init__.py": INIT, "study.py": STUDY, "verbs.py": VERBS}
    make_package(tmp_path / "site", "coins", files, "coins:SYSTEM")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)  # test workers set it
    forget_systems()
    yield Shell(tmp_path, capsys)
    for name in [n for n in sys.modules if n.partition(".")[0] in ("coins", "broken")]:
        del sys.modules[name]
    forget_systems()
