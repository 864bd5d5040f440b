"""Submissions: predictions as data, checked by the same code at home and officially.

submission/  (or the same in a .zip)
  manifest.json         team, method, seeds, model_hash, hardware, minutes
  boxes/<case>.json     for a task of boxes
  <task>.csv            for a task of a table

Notable: nothing is run, unpickled or unpacked to disk; a submission is refused with everything
that is wrong with it (`problems.py` lists the codes), or taken whole.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.parts.competition.archives import Members, read_members
from assay.parts.competition.boxes_json import Expected, boxes_from_json
from assay.parts.competition.json_text import Complaint, number, read_json, require_keys
from assay.parts.competition.problems import CODES, Capped, Problem, nearest, printable, shown
from assay.parts.competition.schema import Challenge, Task
from assay.parts.competition.tables import Table, read_table
from assay.parts.detection.boxes import Boxes

__all__ = ["CODES", "Checked", "Manifest", "Problem", "Submission", "check", "expected_boxes"]

MANIFEST = "manifest.json"
KEYS = ("team", "method", "seeds", "model_hash", "hardware", "minutes")
NEEDED = ("team", "method")
LONGEST_WORDS = 200
MOST_SEEDS = 1_000


@dataclass(frozen=True)
class Manifest:
    """Who predicted, and how.

    Attributes:
        team: Its name.
        method: In a few words.
        seeds: Of its random numbers.
        model_hash: Of the weights, in the team's own way.
        hardware: It ran on.
        minutes: It took, training included; None if not told.
    """

    team: str
    method: str
    seeds: tuple[int, ...] = ()
    model_hash: str = ""
    hardware: str = ""
    minutes: float | None = None


@dataclass(frozen=True)
class Submission:
    """What was predicted.

    Attributes:
        manifest: Who, and how.
        cases: That were to be predicted, in the order of the challenge.
        boxes: By case; a case without a prediction is not there. Images are frames from 0.
        tables: By task; a task without a table is not there.
        digest: SHA-256 of names and contents; the same for a folder and a zip.
    """

    manifest: Manifest
    cases: tuple[str, ...]
    boxes: Mapping[str, Boxes]
    tables: Mapping[str, Table]
    digest: str


@dataclass(frozen=True)
class Checked:
    """A submission, or what is wrong with it.

    Attributes:
        problems: By file and line; empty if there is nothing.
        more: How many more there are.
        submission: None if there is a problem.
    """

    problems: tuple[Problem, ...]
    more: int
    submission: Submission | None


def check(challenge: Challenge, path: Path, *, phase: str | None = None) -> Checked:
    """Check a submission, and read it.

    Args:
        challenge: What it is for.
        path: A folder, or a zip.
        phase: Whose cases are to be predicted; those of all sets if None.

    Raises:
        UsageError: If there is nothing at the path, or no such phase.
    """
    cases = challenge.cases_of(phase)
    tables = {f"{name}.csv": name for name, task in challenge.tasks.items() if task.kind == "table"}
    boxes = any(task.kind == "boxes" for task in challenge.tasks.values())
    files = {f"boxes/{case}.json": case for case in cases} if boxes else {}
    known = {MANIFEST, *tables, *files}
    members = read_members(path, challenge.limits, known.__contains__)
    found = members.problems
    for name in members.strangers:
        found.add(_stranger(name, known, boxes=boxes, full=found.full))
    if found.kept and not members.there:
        return _refused(found)
    manifest = _manifest(members, found)
    read_tables = {
        task: table
        for file, task in tables.items()
        if (table := _table(challenge.tasks[task], file, cases, members, found)) is not None
    }
    read_boxes = _boxes(challenge, files, members, found)
    if not found.kept and not read_tables and not read_boxes:
        found.add(Problem("missing_file", "", None, "no prediction", ", ".join(sorted(known)[:4])))
    if found.kept or manifest is None:
        return _refused(found)
    digest = _digest(members.files)
    return Checked((), 0, Submission(manifest, cases, read_boxes, read_tables, digest))


def _refused(found: Capped[Problem]) -> Checked:
    ordered = sorted(found.kept, key=lambda problem: (problem.file, problem.line or 0))
    return Checked(tuple(ordered), found.more, None)


def _stranger(name: str, known: set[str], *, boxes: bool, full: bool) -> Problem:
    """A file that nobody asked for."""
    file = printable(name)
    if boxes and name.startswith("boxes/") and name.endswith(".json"):
        return Problem("unknown_case", file, None, "no case of this name", "a case of the phase")
    if name.endswith(f"/{MANIFEST}"):
        return Problem("unknown_file", file, None, "lies in a folder of its own", MANIFEST)
    fits = "" if full else nearest(name, known, "the manifest and predictions")
    return Problem("unknown_file", file, None, "no task asks for this file", fits)


def _manifest(members: Members, found: Capped[Problem]) -> Manifest | None:
    if MANIFEST not in members.files:
        if MANIFEST not in members.there:
            what = "is not at the top of the submission"
            found.add(Problem("missing_file", MANIFEST, None, what, "team and method"))
        return None
    made, problems = read_json(
        members.files[MANIFEST], MANIFEST, lambda said, _: _read_manifest(said)
    )
    found.extend(problems.kept, problems.more)
    return made


def _read_manifest(said: Any) -> Manifest:
    require_keys(said, NEEDED, (), optional=KEYS)
    for key in ("team", "method", "model_hash", "hardware"):
        _words(said.get(key, ""), key, needed=key in NEEDED)
    seeds, minutes = said.get("seeds", []), said.get("minutes")
    if not isinstance(seeds, list) or len(seeds) > MOST_SEEDS:
        raise Complaint(("seeds",), "format", f"{shown(seeds)} is refused", "a list of numbers")
    for n, seed in enumerate(seeds):
        if number(seed, ("seeds", n), 0, 2**64) != int(seed):
            raise Complaint(("seeds", n), "format", f"{seed} is refused", "a whole number")
    return Manifest(
        said["team"],
        said["method"],
        tuple(int(seed) for seed in seeds),
        said.get("model_hash", ""),
        said.get("hardware", ""),
        None if minutes is None else number(minutes, ("minutes",), 0, 1e9),
    )


def _words(said: Any, key: str, *, needed: bool) -> None:
    wanted = f"{'1' if needed else '0'} to {LONGEST_WORDS} characters in one line"
    fits = isinstance(said, str) and said.isprintable() and len(said) <= LONGEST_WORDS
    if not fits or (needed and not said.strip()):
        raise Complaint((key,), "format", f"{shown(said)} is refused", wanted)


def _table(
    task: Task, file: str, cases: tuple[str, ...], members: Members, found: Capped[Problem]
) -> Table | None:
    lenient = task.missing == "worst"
    if file not in members.files:
        if not lenient and file not in members.there:
            accepted = ",".join(("case", *task.columns))
            found.add(Problem("missing_file", file, None, "is not there", accepted))
        return None
    table, problems = read_table(members.files[file], file, task.columns, cases, lenient=lenient)
    found.extend(problems.kept, problems.more)
    return table


def _boxes(
    challenge: Challenge, files: Mapping[str, str], members: Members, found: Capped[Problem]
) -> dict[str, Boxes]:
    read: dict[str, Boxes] = {}
    for file, case in files.items():
        if file in members.files:
            boxes, problems = boxes_from_json(members.files[file], file, expected_boxes(challenge))
            found.extend(problems.kept, problems.more)
            if boxes is not None:
                read[case] = boxes
        elif file not in members.there and _boxes_task(challenge).missing == "refuse":
            what = f"case {case!r} has no file"
            found.add(Problem("missing_case", file, None, what, "a file for each case"))
    return read


def expected_boxes(challenge: Challenge) -> Expected:
    """What a file of boxes may hold."""
    return Expected(
        challenge.classes,
        challenge.frame_base,
        _boxes_task(challenge).frames,
        challenge.limits.boxes_per_image,
    )


def _boxes_task(challenge: Challenge) -> Task:
    return next(task for task in challenge.tasks.values() if task.kind == "boxes")


def _digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over the names and the digests of contents."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return total.hexdigest()
