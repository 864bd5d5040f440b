"""What a store may forget: everything no run refers to, and large intermediates.

The roots are the runs. A value is kept if a step of a run gave it and the component did not declare
``keep=False``; the manifest of such an intermediate stays, so that what was made from it is still
found, and the value is computed again only when something new needs it.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from assay.core.index import Index
from assay.core.store import Artifact, Store, _remove
from assay.errors import UsageError, did_you_mean

GRACE_SECONDS = 24 * 3600
"""Younger files may belong to a run that is under way and are left alone."""


@dataclass
class Garbage:
    """What can be deleted, and how many bytes that frees."""

    paths: list[Path] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    bytes: int = 0

    def add(self, path: Path) -> None:
        """Count a file or folder as garbage."""
        self.paths.append(path)
        self.bytes += size_of(path)


@dataclass
class Damage:
    """What [`verify`][] found."""

    steps: int = 0
    values: int = 0
    damaged: list[str] = field(default_factory=list)


def find_garbage(store: Store, drop: list[str], *, now: float | None = None) -> Garbage:
    """Find what no run refers to.

    Args:
        store: The store.
        drop: Names of runs to give up.
        now: Seconds since 1970 that ages are counted from.

    Raises:
        UsageError: If a run to drop does not exist.
    """
    garbage, clock = Garbage(), time.time() if now is None else now
    folders = {p.name: p for p in (store.root / "runs").iterdir() if p.is_dir()}
    for name in drop:
        if name not in folders:
            raise UsageError(f"no run {name!r}", where="--drop", next=did_you_mean(name, folders))
        garbage.add(folders.pop(name))
        garbage.runs.append(name)
    live, under_way = _roots(folders.values())
    kept: set[str] = set()
    manifests = list(store.steps())
    for manifest in manifests:
        path = store.manifest_path(manifest.key)
        young = under_way and clock - path.stat().st_mtime < GRACE_SECONDS
        if manifest.key in live or young:
            if manifest.keep or young:
                kept |= {store.path(a).name for a in manifest.outputs.values()}
        else:
            garbage.add(path)
    for place in ("objects/*/*", "scratch/*", "tmp/*", "tmp/.*"):
        for path in sorted(store.root.glob(place)):
            young = clock - path.stat().st_mtime < (GRACE_SECONDS if under_way else 0)
            if path.name not in kept and not young:
                garbage.add(path)
    return garbage


def _roots(folders: Iterable[Path]) -> tuple[set[str], bool]:
    """Keys of the steps that runs refer to, and whether a run may be under way."""
    live: set[str] = set()
    under_way = False
    for folder in folders:
        try:
            status = json.loads((folder / "run.json").read_text(encoding="utf-8"))["status"]
            trials = json.loads((folder / "trials.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError):
            under_way = True
            continue
        under_way |= status == "running"
        for trial in trials:
            for members in trial["steps"].values():
                live |= {m["key"] for m in members if m["key"]}
    return live, under_way


def collect(store: Store, garbage: Garbage) -> None:
    """Delete what was found."""
    for path in garbage.paths:
        _remove(path)
    if garbage.runs or garbage.paths:
        Index(store).rebuild()


def verify(store: Store) -> Damage:
    """Compare every stored value with its digest; what differs goes to quarantine.

    The values of intermediates that were collected are missing by design and not counted.
    """
    damage = Damage()
    seen: set[Artifact] = set()
    for path in sorted((store.root / "steps").glob("*/*.json")):
        manifest = store.step(path.stem)
        if manifest is None:
            damage.damaged.append(f"manifest {path.name}")
            continue
        damage.steps += 1
        for artifact in manifest.outputs.values():
            if artifact in seen or (not manifest.keep and not store.path(artifact).exists()):
                continue
            seen.add(artifact)
            damage.values += 1
            if not store.check(artifact):
                damage.damaged.append(f"value {store.path(artifact).name} ({manifest.component})")
    return damage


def size_of(path: Path) -> int:
    """Bytes of a file, or of everything below a folder."""
    if path.is_dir():
        return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return path.stat().st_size
