"""The store: a folder in which every value is found by what it is and every step by what it did.

    objects/ab/<digest><suffix>   values, addressed by content
    steps/ab/<key>.json           one manifest per finished step: what it was, what it gave
    runs/<run>/                   one folder per run: plan, log, records, report
    scratch/<key>/                durable working folder of a step that is not finished
    leases/<key>                  who computes the step now
    quarantine/                   what was found damaged; never deleted silently
    index.sqlite                  a view of the manifests that `assay reindex` rebuilds

Files are the truth. A write goes to a temporary name in the same file system and is renamed; the
manifest comes last, so a step is either finished or absent whenever the process dies. After a
power failure a manifest may name a value that never reached the disk: every read compares size
and digest, and what does not match is quarantined and computed again.
"""

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.core.artifacts import FORMATS, format_of
from assay.core.identity import digest, file_digest, folder_listing
from assay.errors import DamagedArtifact, StoreError

LAYOUT = 1
FLUSH_SECONDS = 1.0


def reached(point: str) -> None:
    """A named write point. Tests replace this function to stop the process exactly there."""


@dataclass(frozen=True)
class Artifact:
    """A stored value: its content digest, its format, its bytes and the suffix of its file."""

    digest: str
    format: str
    size: int
    suffix: str


@dataclass(frozen=True)
class StepManifest:
    """What one finished step was and gave.

    Attributes:
        key: Digest of identity, parameters and the content of the inputs.
        component: ``module:function``.
        identity: Digest of the component's code, version and libraries.
        params: Parameters as JSON, files by content.
        inputs: Digest or list of digests by input.
        outputs: Artifact by output port.
        keep: False for a large intermediate that may be collected.
        seconds: How long it took.
        threads: Threads it was allowed.
        host: Where it ran.
        finished: When it was finished, in seconds since 1970 (UTC).
    """

    key: str
    component: str
    identity: str
    params: dict[str, Any]
    inputs: dict[str, Any]
    outputs: dict[str, Artifact]
    keep: bool = True
    seconds: float = 0.0
    threads: int = 1
    host: str = ""
    finished: float = 0.0

    def to_json(self) -> str:
        """One line of JSON that carries its own digest."""
        body = asdict(self)
        return json.dumps({"sha256": digest(body), "step": body}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "StepManifest":
        """Read and check a manifest.

        Raises:
            ValueError: If it is not what was written.
        """
        whole = json.loads(text)
        body = whole["step"]
        if digest(body) != whole["sha256"]:
            raise ValueError("the manifest's digest does not match")
        outputs = {port: Artifact(**made) for port, made in body.pop("outputs").items()}
        return cls(outputs=outputs, **body)


class Store:
    """A folder of artifacts and runs, safe to share between processes.

    Args:
        root: The folder; made if it does not exist.

    Raises:
        StoreError: If the folder cannot be written or has another layout.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()
        self._pending: set[Path] = set()
        self._flushed = time.monotonic()
        self._made: set[Path] = set()
        try:
            for name in ("objects", "steps", "runs", "scratch", "leases", "quarantine", "tmp"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            layout = self.root / "layout"
            if not layout.exists():
                write_text(layout, f"{LAYOUT}\n")
        except OSError as error:
            raise StoreError(
                f"cannot be written ({error.strerror})",
                where=str(self.root),
                next="Choose another folder with --store.",
            ) from error
        found = layout.read_text().strip()
        if found != str(LAYOUT):
            raise StoreError(f"has layout {found}", where=str(self.root), accepted=str(LAYOUT))

    # -- values ---------------------------------------------------------------------------------

    def path(self, artifact: Artifact) -> Path:
        """Where a value lies."""
        name = artifact.digest + artifact.suffix
        return self.root / "objects" / artifact.digest[:2] / name

    def has(self, artifact: Artifact) -> bool:
        """Whether the value is there with the right size; its digest is checked when it is read."""
        try:
            stat = self.path(artifact).stat()
        except OSError:
            return False
        return artifact.format in ("folder", "arrays") or stat.st_size == artifact.size

    def put(self, value: Any) -> Artifact:
        """Store a value under its content.

        Raises:
            StoreError: If the disk is full; nothing is left half written.
            WorkflowError: If the value's type has no format.
        """
        name = format_of(value)
        suffix = FORMATS[name].suffix or ("".join(value.suffixes[-2:]) if name == "file" else "")
        temporary = self.root / "tmp" / uuid.uuid4().hex
        try:
            FORMATS[name].write(value, temporary)
            reached("object-written")
            made = _fingerprint(temporary, name, suffix)
            self._place(temporary, made)
        except OSError as error:
            raise self._refused(error) from error
        finally:
            _remove(temporary)
        return made

    def _place(self, temporary: Path, artifact: Artifact) -> None:
        target = self.path(artifact)
        if not self.has(artifact):
            self._folder(target.parent)
            try:
                os.rename(temporary, target)
            except OSError:
                if not target.is_dir():  # another process placed the same folder first
                    raise
        self._pending.update(p for p in _files(target))
        self._pending.add(target.parent)
        reached("object-placed")

    def get(self, artifact: Artifact, annotation: Any = Any) -> Any:
        """Read a value back into its annotated type.

        Raises:
            DamagedArtifact: If the bytes are not those that were written; they are moved to
                ``quarantine`` so that the value is computed again.
        """
        path = self.path(artifact)
        try:
            self._verify(artifact)
            return FORMATS[artifact.format].read(path, annotation)
        except FileNotFoundError as error:
            raise DamagedArtifact("the value is missing", where=str(path)) from error

    def check(self, artifact: Artifact) -> bool:
        """Whether the value is there and its bytes are those that were written."""
        try:
            self._verify(artifact)
        except (DamagedArtifact, OSError):
            return False
        return True

    def _verify(self, artifact: Artifact) -> None:
        path = self.path(artifact)
        found = _fingerprint(path, artifact.format, artifact.suffix)
        if found != artifact:
            self.quarantine(path)
            raise DamagedArtifact(
                "the bytes are not those that were written",
                where=str(path),
                next="It was moved to quarantine and is computed again by the next run.",
            )

    def quarantine(self, path: Path) -> None:
        """Move a damaged file or folder aside."""
        target = self.root / "quarantine" / f"{time.time_ns()}-{path.name}"
        if path.exists():
            os.rename(path, target)

    # -- steps ----------------------------------------------------------------------------------

    def manifest_path(self, key: str) -> Path:
        """Where the manifest of a step lies."""
        return self.root / "steps" / key[:2] / f"{key}.json"

    def step(self, key: str) -> StepManifest | None:
        """The manifest of a finished step; a damaged one is quarantined and counts as absent."""
        path = self.manifest_path(key)
        try:
            manifest = StepManifest.from_json(path.read_text(encoding="utf-8"))
            if manifest.key != key:
                raise ValueError("the manifest belongs to another step")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            self.quarantine(path)
            return None
        return manifest

    def commit(self, manifest: StepManifest) -> None:
        """Declare a step finished; its values must have been put before.

        The write is made durable in batches of at most a second, and at once after a step that
        took longer.
        """
        path = self.manifest_path(manifest.key)
        self._folder(path.parent)
        reached("before-manifest")
        try:
            write_text(path, manifest.to_json(), sync=False, temporary=self.root / "tmp")
        except OSError as error:
            raise self._refused(error) from error
        reached("manifest-placed")
        self._pending |= {path, path.parent}
        if manifest.seconds > FLUSH_SECONDS or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Make every write so far durable."""
        pending, self._pending = self._pending, set()
        for path in sorted(pending, key=lambda p: p.is_dir()):
            _sync(path)
        self._flushed = time.monotonic()
        reached("flushed")

    def scratch(self, key: str) -> Path:
        """Durable working folder of a step."""
        return self.root / "scratch" / key

    def drop_scratch(self, key: str) -> None:
        """Remove the working folder of a step that is finished."""
        _remove(self.scratch(key))

    def steps(self) -> Iterator[StepManifest]:
        """Every readable manifest."""
        for path in sorted((self.root / "steps").glob("*/*.json")):
            manifest = self.step(path.stem)
            if manifest is not None:
                yield manifest

    # -- details --------------------------------------------------------------------------------

    def _folder(self, path: Path) -> None:
        if path not in self._made:
            path.mkdir(exist_ok=True)
            self._made.add(path)

    def _refused(self, error: OSError) -> StoreError:
        free = shutil.disk_usage(self.root).free / 2**20
        return StoreError(
            f"a write was refused ({error.strerror or error}); {free:,.0f} MiB are free",
            where=str(self.root),
            next="Free some space (`assay gc`) or choose another folder with --store, "
            "then run again: finished steps are kept.",
        )


def write_text(path: Path, text: str, *, sync: bool = True, temporary: Path | None = None) -> None:
    """Replace a file in one step: readers see the old text or the new one, never a part.

    Args:
        path: The file; its folder exists.
        text: What it shall hold.
        sync: Whether to return only when it has reached the disk.
        temporary: Folder on the same file system for the unfinished file; that of ``path`` if
            not given.
    """
    unfinished = (temporary or path.parent) / f".{path.name}.{uuid.uuid4().hex}"
    try:
        with unfinished.open("x", encoding="utf-8") as file:
            file.write(text)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.rename(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    if sync:
        _sync(path.parent)


def _fingerprint(path: Path, name: str, suffix: str) -> Artifact:
    """Digest of a value as it lies on disk; the format is part of what it is."""
    if path.is_dir():
        listing = folder_listing(path)
        size = sum(bytes_ for _, _, bytes_ in listing)
        return Artifact(digest([name, suffix, listing]), name, size, suffix)
    content = file_digest(path)
    mixed = hashlib.sha256(f"{name}\0{suffix}\0{content}".encode()).hexdigest()
    return Artifact(mixed, name, path.stat().st_size, suffix)


def _files(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir():
        yield from path.rglob("*")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # replaced or collected since
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
