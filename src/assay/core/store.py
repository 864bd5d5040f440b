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

import errno
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.core.artifacts import FORMATS, format_of
from assay.core.disk import below, make_durable, reading, remove, write_text, writing
from assay.core.identity import digest, file_digest
from assay.errors import DamagedArtifact, StoreError

LAYOUT = 1
FOLDERS = ("objects", "steps", "runs", "scratch", "leases", "quarantine", "tmp")
FLUSH_SECONDS = 1.0
DIGEST = re.compile(r"[0-9a-f]{64}")
SUFFIX = re.compile(r"(\.[A-Za-z]\w{0,15})?(\.\w{1,16})?", re.ASCII)
"""What is kept of a file's name: its suffix, and one before it, as in ``.nii.gz``."""


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
        try:
            whole = json.loads(text)
            body = whole["step"]
            if digest(body) != whole["sha256"]:
                raise ValueError("the manifest's digest does not match")
            outputs = {port: Artifact(**made) for port, made in body.pop("outputs").items()}
            manifest = cls(outputs=outputs, **body)
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise ValueError("not a manifest") from error
        if not all(map(_is_sound, outputs.values())):
            raise ValueError("the manifest names a value that no store could hold")
        return manifest


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
        layout = self.root / "layout"
        with writing(self.root):
            _require_ours(self.root)
            for name in FOLDERS:
                (self.root / name).mkdir(parents=True, exist_ok=True)
            if not layout.exists():
                write_text(layout, f"{LAYOUT}\n")
        with reading(layout):
            found = layout.read_text(encoding="utf-8", errors="replace").strip()
        if found != str(LAYOUT):
            raise StoreError(f"has layout {found!r}", where=str(self.root), accepted=str(LAYOUT))

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
        return _is_folder(artifact.format) or stat.st_size == artifact.size

    def put(self, value: Any) -> Artifact:
        """Store a value under its content.

        Raises:
            StoreError: If the disk is full; nothing is left half written.
            WorkflowError: If the value's type has no format.
        """
        temporary = self.root / "tmp" / uuid.uuid4().hex
        try:
            with writing(self.root):
                name = format_of(value)
                suffix = FORMATS[name].suffix or (_suffix(value) if name == "file" else "")
                FORMATS[name].write(value, temporary)
                reached("object-written")
                made = _fingerprint(temporary, name, suffix)
                self._place(temporary, made)
        finally:
            remove(temporary)
        return made

    def _place(self, temporary: Path, artifact: Artifact) -> None:
        target = self.path(artifact)
        if not self.has(artifact):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(temporary, target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise  # otherwise another process placed the same folder first
        self._pending.update(below(target))
        self._pending.add(target.parent)
        reached("object-placed")

    def get(self, artifact: Artifact, annotation: Any = Any) -> Any:
        """Read a value back into its annotated type.

        Raises:
            DamagedArtifact: If the bytes are not those that were written; they are moved to
                ``quarantine`` so that the value is computed again.
            StoreError: If they cannot be read now.
        """
        path = self.path(artifact)
        try:
            with reading(path):
                self._verify(artifact)
                return FORMATS[artifact.format].read(path, annotation)
        except FileNotFoundError as error:
            raise DamagedArtifact("the value is missing", where=str(path)) from error

    def check(self, artifact: Artifact) -> bool:
        """Whether the value is there and its bytes are those that were written.

        Raises:
            StoreError: If they cannot be read now.
        """
        try:
            with reading(self.path(artifact)):
                self._verify(artifact)
        except (DamagedArtifact, FileNotFoundError):
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
        with writing(self.root), suppress(FileNotFoundError):  # another process was first
            os.rename(path, target)

    # -- steps ----------------------------------------------------------------------------------

    def manifest_path(self, key: str) -> Path:
        """Where the manifest of a step lies."""
        return self.root / "steps" / key[:2] / f"{key}.json"

    def step(self, key: str) -> StepManifest | None:
        """The manifest of a finished step; a damaged one is quarantined and counts as absent."""
        path = self.manifest_path(key)
        try:
            with reading(path):
                manifest = StepManifest.from_json(path.read_text(encoding="utf-8"))
            if manifest.key != key:
                raise ValueError("the manifest belongs to another step")
        except FileNotFoundError:
            return None
        except ValueError:
            self.quarantine(path)
            return None
        return manifest

    def commit(self, manifest: StepManifest) -> None:
        """Declare a step finished; its values must have been put before.

        The write is made durable in batches of at most a second, and at once after a step that
        took longer.

        Raises:
            StoreError: If the disk is full.
        """
        path = self.manifest_path(manifest.key)
        with writing(self.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            reached("before-manifest")
            write_text(path, manifest.to_json(), sync=False, temporary=self.root / "tmp")
        reached("manifest-placed")
        self._pending |= {path, path.parent}
        if manifest.seconds > FLUSH_SECONDS or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Make every write so far durable.

        Raises:
            StoreError: If the disk refuses; what was written is tried again by the next flush.
        """
        with writing(self.root):
            for path in sorted(self._pending, key=lambda p: p.is_dir()):
                make_durable(path)
        self._pending.clear()
        self._flushed = time.monotonic()
        reached("flushed")

    def scratch(self, key: str) -> Path:
        """Durable working folder of a step."""
        return self.root / "scratch" / key

    def drop_scratch(self, key: str) -> None:
        """Remove the working folder of a step that is finished."""
        remove(self.scratch(key))

    def steps(self) -> Iterator[StepManifest]:
        """Every readable manifest."""
        with reading(self.root):
            paths = sorted((self.root / "steps").glob("*/*.json"))
        for path in paths:
            manifest = self.step(path.stem)
            if manifest is not None:
                yield manifest


# -- details ------------------------------------------------------------------------------------


def _require_ours(root: Path) -> None:
    """Refuse to make a store of a folder that holds anything else: `assay gc` would empty it."""
    for entry in root.iterdir() if root.is_dir() else ():
        begun = entry.name in FOLDERS and entry.is_dir() and not any(entry.iterdir())
        if not begun and not entry.name.startswith(".layout") and not (root / "layout").exists():
            raise StoreError(
                f"is no store and not empty: it holds {entry.name!r}", where=str(root),
                next="Choose another folder with --store.",
            )  # fmt: skip


def _fingerprint(path: Path, name: str, suffix: str) -> Artifact:
    """Digest of a value as it lies on disk; the format is part of what it is."""
    if path.is_dir():
        listing = _listing(path)
        size = sum(bytes_ for _, _, bytes_ in listing)
        return Artifact(digest([name, suffix, listing]), name, size, suffix)
    content = file_digest(path)
    mixed = hashlib.sha256(f"{name}\0{suffix}\0{content}".encode()).hexdigest()
    return Artifact(mixed, name, path.stat().st_size, suffix)


def _listing(path: Path) -> list[tuple[str, str, int]]:
    """Every file of a stored folder as (relative name, digest, bytes), sorted by name."""
    found = sorted((p.relative_to(path).as_posix(), p) for p in below(path) if not p.is_dir())
    return [(name, file_digest(p), p.stat().st_size) for name, p in found]


def _is_folder(name: str) -> bool:
    return name in ("folder", "arrays")


def _is_sound(artifact: Artifact) -> bool:
    """Whether a path can be made of it: what a foreign manifest says is not believed."""
    texts = (artifact.digest, artifact.suffix, artifact.format)
    return (
        all(isinstance(text, str) for text in texts)
        and DIGEST.fullmatch(artifact.digest) is not None
        and SUFFIX.fullmatch(artifact.suffix) is not None
        and artifact.format in FORMATS
    )


def _suffix(path: Path) -> str:
    """The end of a file's name that tells its format."""
    for tail in ("".join(path.suffixes[-2:]), path.suffix):
        if SUFFIX.fullmatch(tail):
            return tail
    return ""
