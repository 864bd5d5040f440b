"""A place where the farm's studies run, in this process or in others, and are looked at after."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from assay.core.garbage import verify
from assay.core.store import Store
from faults import farm

TESTS = Path(__file__).resolve().parents[1]
MODULES = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
PATIENCE = 120
_undisturbed: dict[str, dict] = {}


class Yard:
    """A folder with a diary, a store and marker files."""

    def __init__(self, folder: Path, monkeypatch) -> None:
        self.folder, self.store = folder, folder / "store"
        self.marks, self.book = folder / "marks", folder / "diary"
        self.marks.mkdir()
        self.book.touch()
        monkeypatch.setenv("FARM_DIARY", str(self.book))
        monkeypatch.setenv("FARM_MARKS", str(self.marks))
        self.children: list[subprocess.Popen] = []

    def start(self, study: str, workers: int = 0, store: Path | None = None, **environment: str):
        """Start a study in a process of its own, which leads a process group."""
        code = "from faults.farm import main; main()"
        child = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error",
                "-c",
                code,
                study,
                str(store or self.store),
                str(workers),
            ],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": MODULES, "TMPDIR": str(self.folder), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.children.append(child)
        return child

    def run(self, study: str, workers: int = 0, store: Path | None = None):
        """Run a study in this process."""
        made = getattr(farm, study)()
        return made.run(store=store or self.store, workers=workers, progress=False, report=False)

    def undisturbed(self, study: str) -> dict:
        """What a run without trouble gives, in a store and a diary of its own."""
        if study not in _undisturbed:
            diary = self.book.read_text()
            self.run(study, store=self.folder / "undisturbed")
            self.book.write_text(diary)
            _undisturbed[study] = self.digests(self.folder / "undisturbed")
        return _undisturbed[study]

    def diary(self) -> list[list]:
        """Every line: key, step, process and words."""
        return [json.loads(line) for line in self.book.read_text().splitlines()]

    def digests(self, store: Path | None = None) -> dict[str, dict[str, str]]:
        """Content digests by port of every finished step."""
        steps = Store(store or self.store).steps()
        return {m.key: {port: a.digest for port, a in m.outputs.items()} for m in steps}

    def sound(self) -> bool:
        """Whether every value in the store is what its digest says."""
        return verify(Store(self.store)).damaged == []

    def close(self) -> None:
        """End every child that still runs, with its group."""
        for child in self.children:
            kill_group(child)


def kill_group(child: subprocess.Popen) -> None:
    """SIGKILL for a child and all that it started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.communicate(timeout=PATIENCE)
    until = time.monotonic() + PATIENCE
    while of_group(child.pid) and time.monotonic() < until:
        time.sleep(0.01)  # a busy machine kills a group one by one


def of_group(group: int) -> list[int]:
    """Processes of a group that still run; one that is dead and not yet reaped does not count."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            state, _, pgrp = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(pgrp) == group and state not in "ZX":
            found.append(int(entry.name))
    return found
