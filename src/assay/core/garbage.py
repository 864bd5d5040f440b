"""What a store may forget: everything no run refers to, and large intermediates.

The roots are the runs: one that ended refers to the steps of its trials, one that was killed to
those its log names, so that it can be taken up again, working folders included. A value is kept if
such a step gave it and the component did not declare ``keep=False``; the manifest of such an
intermediate stays, so that what was made from it is still found, and the value is computed again
only when something new needs it. While a run is under way nothing is deleted but the folders of
runs that are given up.
"""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from assay.core.disk import reading, remove, writing
from assay.core.events import read_events, under_way
from assay.core.index import Index, read_summary
from assay.core.store import Artifact, Store
from assay.errors import StoreError, UsageError, did_you_mean

GRACE_SECONDS = 24 * 3600
"""Younger files may belong to a run on another host and are left alone while one has no end."""


@dataclass
class Garbage:
    """What can be deleted.

    Attributes:
        paths: Files and folders, manifests before what they refer to.
        runs: Runs that are given up.
        held: Runs under way, because of which nothing else can be deleted now.
        bytes: How much it frees.
    """

    paths: list[Path] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
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
        UsageError: If a run to drop does not exist or is under way.
        StoreError: If it cannot be told what a run needs, or the store cannot be read.
    """
    with reading(store.root):
        return _find(store, drop, time.time() if now is None else now)


def _find(store: Store, drop: list[str], clock: float) -> Garbage:
    garbage = Garbage()
    folders = {p.name: p for p in (store.root / "runs").iterdir() if p.is_dir()}
    for name in dict.fromkeys(drop):
        if name not in folders:
            raise UsageError(f"no run {name!r}", where="--drop", next=did_you_mean(name, folders))
        if under_way(folders[name] / "events.jsonl"):
            raise UsageError("is under way", where=name, next="Stop it, or wait for its end.")
        garbage.add(folders.pop(name))
        garbage.runs.append(name)
    garbage.held = [name for name, f in folders.items() if under_way(f / "events.jsonl")]
    if garbage.held:
        return garbage
    summaries = [read_summary(folder) for folder in folders.values()]
    unknown = any(s is not None and s["status"] == "running" for s in summaries)
    youngest = clock - (GRACE_SECONDS if unknown else 0)
    for path in _unreferenced(store, {key for f in folders.values() for key in _keys(f)}):
        with suppress(FileNotFoundError):  # gone meanwhile
            if path.lstat().st_mtime <= youngest:
                garbage.add(path)
    return garbage


def _keys(folder: Path) -> Iterator[str]:
    """Keys of the steps that a run refers to."""
    with suppress(FileNotFoundError):
        yield from (e["key"] for e in read_events(folder / "events.jsonl") if "key" in e)
    path = folder / "trials.json"
    try:
        for trial in json.loads(path.read_text(encoding="utf-8")):
            for members in trial["steps"].values():
                yield from (m["key"] for m in members)
    except FileNotFoundError:  # it was killed before its end
        return
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise StoreError(
            "is damaged, so that it is not known what the run needs",
            where=str(path),
            next=f"Give the run up with --drop {folder.name}.",
        ) from error


def _unreferenced(store: Store, live: set[str]) -> Iterator[Path]:
    """Files and folders that none of these steps needs; manifests before what they refer to."""
    finished: set[str] = set()
    values: set[str] = set()
    for manifest in store.steps():
        finished.add(manifest.key)
        if manifest.key not in live:
            yield store.manifest_path(manifest.key)
        elif manifest.keep:
            values |= {store.path(made).name for made in manifest.outputs.values()}
    needed = {"objects/*/*": values, "scratch/*": live - finished, "leases/*": {".takeover"}}
    for place in ("objects/*/*", "scratch/*", "leases/*", "tmp/*", "runs/*/.*"):
        for path in sorted(store.root.glob(place)):
            if path.name not in needed.get(place, ()):
                yield path


def collect(store: Store, garbage: Garbage) -> None:
    """Delete what was found.

    Raises:
        StoreError: If the disk refuses.
    """
    for path in garbage.paths:
        aside = store.root / "tmp" / uuid.uuid4().hex
        with writing(store.root), suppress(FileNotFoundError):
            path.rename(aside)  # at once, so that a folder is there whole or not at all
        remove(aside)
    if garbage.paths:
        Index(store).rebuild()


def verify(store: Store) -> Damage:
    """Compare every stored value with its digest; what differs goes to quarantine.

    The values of intermediates that were collected are missing by design and not counted.
    """
    damage = Damage()
    seen: set[Artifact] = set()
    with reading(store.root):
        manifests = sorted((store.root / "steps").glob("*/*.json"))
        runs = sorted((store.root / "runs").glob("*/run.json"))
    for path in manifests:
        manifest = store.step(path.stem)
        if manifest is None:
            damage.damaged.append(f"manifest {path.name}")
            continue
        damage.steps += 1
        for artifact in manifest.outputs.values():
            if artifact in seen or (not manifest.keep and not store.has(artifact)):
                continue
            seen.add(artifact)
            damage.values += 1
            if not store.check(artifact):
                damage.damaged.append(f"value {store.path(artifact).name} ({manifest.component})")
    for path in runs:
        if read_summary(path.parent) is None:
            store.quarantine(path)
            damage.damaged.append(f"run {path.parent.name}")
    return damage


def size_of(path: Path) -> int:
    """Bytes of a file, or of everything below a folder."""
    parts = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(p.lstat().st_size for p in parts if p.is_symlink() or p.is_file())
