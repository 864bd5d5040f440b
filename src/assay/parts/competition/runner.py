"""Run a program that nobody trusts, once, within limits and away from the truth.

A participant's program reads a folder of inputs and writes a folder of predictions. Scoring is not
done here: it happens afterwards, in the process of the caller, when the program and all that it
started are dead and what they wrote has been copied, as data.

**What it protects against**, on Linux, where the host allows it (`Ran.isolation` says what was in
force in this very run, nothing else):

- *Reading the truth.* The program gets a copy of the inputs. What is ``hidden`` is masked in a
  mount namespace of its own; started by root it runs as ``nobody`` as well. As that user, in that
  view, the keeper tries to read what is hidden, and does not start the program if it can.
- *Changing anything.* In the namespace the disk is read-only but for the folders of this run;
  ``/tmp``, ``/var/tmp`` and ``/dev/shm`` are its own; ``/run`` is empty, so it finds no socket.
- *The network.* A network namespace without interfaces: not even loopback answers.
- *Staying.* All that it started is killed at the end, however often it forked and whatever session
  it is in; in a process namespace by the kernel itself.
- *Too much.* Wall-clock time, processor time, memory of all its processes together (shared pages
  count once), processes and threads, open files, size and number of the files written.
- *Secrets of the worker.* It inherits no environment, no open file and no privilege (it has no
  capability, no set-user-id program works), and cannot look into the keeper.
- *Its output.* Only plain files and folders are copied; a link, socket or device is refused.

**What it does not protect against**: holes of the kernel; what can be read from timing or the
processor's caches; files that everybody may read and that are not ``hidden``, such as the rest of
the host's disk; servers that listen on a socket with a path outside ``/run`` and ``/tmp``; GPUs and
what is left in their memory; memory that no process maps (pipes, sockets, files without a name),
which only a control group bounds: run the worker in one (a container, or ``systemd-run -p
MemoryMax=...``). Between two looks of the keeper (20 ms for memory, 100 ms for files) a limit may
be passed by what can be taken in that time. Where namespaces are refused, runs of one user at one
time can see each other, and nothing written outside the folders of the run is counted. A worker
that is killed leaves the folder of its run, ``assay-run-...``, to whoever clears ``TMPDIR``.
"""

import json
import os
import pwd
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.errors import ParameterError, ResourceError, StepError, StoreError, UsageError
from assay.parts.competition import confined
from assay.parts.competition.confined import IPC, MOUNT, NETWORK, PROCESS, USER
from assay.parts.competition.handover import deliver, prepare, remove

__all__ = ["Limits", "Ran", "isolation", "run"]

SPACES = (MOUNT | NETWORK | PROCESS | IPC, MOUNT | NETWORK, NETWORK)
"""Sets of namespaces, the most protecting first; the keeper takes the first that it may have."""
ACCOUNT = "nobody"
PATH = "/usr/local/bin:/usr/bin:/bin"
GRACE_SECONDS = 10.0
SAID = {
    "MemoryError": "memory", "bad_alloc": "memory", "Cannot allocate memory": "memory",
    "out of memory": "memory", "File too large": "too_large",
}  # fmt: skip
"""What a program prints when the system refused it more."""
SIGXCPU, SIGXFSZ, SIGKILL = -24, -25, -9


@dataclass(frozen=True)
class Limits:
    """What one run may take.

    Attributes:
        seconds: From its start to its end.
        cpu_seconds: Processor time of each process; 0 for as much as 16 cores give in ``seconds``.
        memory_bytes: Memory in use by all its processes together.
        address_bytes: Memory that each process may reserve, used or not; 0 for four times as much
            as it may use.
        output_bytes: Size of all files it leaves or uses on the way, also of one alone.
        files: How many of them, folders included.
        processes: Processes and threads at one time.
        open_files: Of each process.
        tail_bytes: How much of what it prints is kept: the end.
    """

    seconds: float = 60.0
    cpu_seconds: int = 0
    memory_bytes: int = 2 * 2**30
    address_bytes: int = 0
    output_bytes: int = 64 * 2**20
    files: int = 1000
    processes: int = 64
    open_files: int = 256
    tail_bytes: int = 8192

    def __post_init__(self) -> None:
        may_be_zero = ("cpu_seconds", "address_bytes")
        for name, value in asdict(self).items():
            if not (value > 0 or (value == 0 and name in may_be_zero)):
                raise ParameterError(f"{name} is {value}", where="limits", accepted="more than 0")


@dataclass(frozen=True)
class Ran:
    """How a run went.

    Attributes:
        code: Empty if it ended by itself with status 0; else ``timeout``, ``memory``,
            ``processes``, ``too_large``, ``link`` (a link, socket or device among its outputs),
            ``crash``, or ``not_started`` (no such program, or none that may be started).
        seconds: How long it ran.
        max_memory_bytes: The most that was seen in use.
        tail: The end of what it printed; why it was not started.
        status: Its exit status, or minus the signal that ended it; None if it had to be ended.
        isolation: What was in force, such as ``network: off``.
    """

    code: str
    seconds: float
    max_memory_bytes: int
    tail: str
    status: int | None
    isolation: tuple[str, ...]


def run(
    command: Sequence[str],
    inputs: Path,
    outputs: Path,
    limits: Limits | None = None,
    *,
    hidden: Sequence[Path] = (),
    program: Path | None = None,
    environment: Mapping[str, str] | None = None,
    allow_unprotected: bool = False,
) -> Ran:
    """Run a command on a copy of the inputs; what it wrote is delivered if it ended well.

    Args:
        command: The program and its arguments, in which ``{inputs}``, ``{outputs}`` and
            ``{program}`` stand for the folders as the program finds them. No shell reads it.
        inputs: A folder without labels.
        outputs: Where the predictions are put: an empty folder, or none yet. Untouched unless the
            code is empty.
        limits: What the run may take; `Limits()` if not given.
        hidden: Files and folders that it must not read: the truth, other submissions, the database.
        program: A folder that it may read; readable by everybody.
        environment: Variables beyond ``PATH``, ``HOME``, ``TMPDIR`` and ``LANG``.
        allow_unprotected: Run it even where files cannot be protected, as whoever calls.

    Raises:
        UsageError: If a folder or what is hidden is missing, what is hidden lies in what the
            program is given, or the outputs are not empty.
        ResourceError: If this host cannot protect what is hidden.
        StepError: If the keeper failed, or a process could not be ended.
        StoreError: If the disk refuses.
    """
    limits = limits or Limits()
    _usable(command, inputs, outputs, program, hidden)
    try:
        work = Path(tempfile.mkdtemp(prefix="assay-run-")).resolve()
        try:
            user = pwd.getpwnam(ACCOUNT).pw_uid if os.geteuid() == 0 else None
            prepare(work, inputs, user)
            plan = _plan(command, work, limits, hidden, program, environment or {})
            plan |= {"user": user, "allow_unprotected": allow_unprotected}
            report, tail = _kept(plan, limits)
            _sound(report, tail)
            code = _code(report, tail, plan["limits"]["cpu_seconds"]) or deliver(
                work / "written/outputs", outputs, asdict(limits)
            )
        finally:
            remove(work)
    except OSError as error:
        raise StoreError(f"a run failed: {error.strerror or error}", where="runner") from error
    return Ran(
        code=code,
        seconds=report["seconds"],
        max_memory_bytes=report["memory"],
        tail=report["unstarted"] or tail,
        status=report["status"],
        isolation=_isolation(report, bool(plan["hidden"])),
    )


def isolation() -> tuple[str, ...]:
    """What this host lets a run be kept from, found by running a program that does nothing.

    Raises:
        ResourceError: If files cannot be protected.
    """
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs")
        inputs.mkdir()
        return run(["true"], inputs, Path(folder, "outputs")).isolation


def _usable(
    command: Sequence[str],
    inputs: Path,
    outputs: Path,
    program: Path | None,
    hidden: Sequence[Path],
) -> None:
    if sys.platform != "linux":
        raise ResourceError("programs can be confined on Linux only", where="runner")
    if not command:
        raise UsageError("no command", where="runner")
    for folder in (inputs, program):
        if folder and not folder.is_dir():
            raise UsageError(f"no folder {str(folder)!r}", where="runner")
        for path in hidden:
            if folder and path.resolve().is_relative_to(folder.resolve()):
                raise UsageError("lies in what the program is given", where=str(path))
    for path in hidden:
        if not path.exists():  # a truth that is spelled wrong would not be hidden
            raise UsageError("is to be hidden, but is not there", where=str(path))
    if outputs.is_symlink() or (
        outputs.exists() and (not outputs.is_dir() or any(outputs.iterdir()))
    ):
        raise UsageError("not an empty folder", where=str(outputs))


def _plan(
    command: Sequence[str],
    work: Path,
    limits: Limits,
    hidden: Sequence[Path],
    program: Path | None,
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """What the keeper is told."""
    masked = [path.resolve() for path in hidden]
    found = next((path for path in masked if work.is_relative_to(path)), None)
    if found:
        raise UsageError(
            f"runs take place in {work.parent}, which would be hidden", where=str(found),
            next="Set TMPDIR to another folder.",
        )  # fmt: skip
    scratch = str(work / "written/scratch")
    places = {
        "{inputs}": f"{work}/inputs",
        "{outputs}": f"{work}/written/outputs",
        "{program}": f"{work}/program",
    }
    told = asdict(limits)
    told["cpu_seconds"] = limits.cpu_seconds or int(16 * limits.seconds) + 1
    told["address_bytes"] = limits.address_bytes or 4 * limits.memory_bytes
    spaces = [*SPACES, *(each | USER for each in SPACES)] if os.geteuid() == 0 else [
        each | USER for each in SPACES
    ]  # fmt: skip
    return {
        "worker": os.getpid(),
        "command": [_filled(str(part), places) for part in command],
        "environment": {
            "PATH": PATH, "HOME": scratch, "TMPDIR": scratch, "LANG": "C.UTF-8", **environment
        },
        "work": str(work),
        "scratch": scratch,
        "hidden": [str(path) for path in masked],
        "program": str(program.resolve()) if program else "",
        "limits": told,
        "spaces": spaces,
    }  # fmt: skip


def _filled(part: str, places: Mapping[str, str]) -> str:
    for name, place in places.items():
        part = part.replace(name, place)
    return part


def _kept(plan: dict[str, Any], limits: Limits) -> tuple[dict[str, Any], str]:
    """Start the keeper and wait for it; its report, and the end of what was printed."""
    reports, report = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", confined.__file__, str(report)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": PATH, "LANG": "C.UTF-8"}, cwd="/", pass_fds=[report],
            start_new_session=True,
        )  # fmt: skip
        os.close(report)
        report = -1
        with process:
            try:
                with suppress(BrokenPipeError), process.stdin as told:  # type: ignore[union-attr]
                    told.write(json.dumps(plan).encode())
                said, tail = _heard(process, reports, limits)
            finally:
                _stop(process)
    finally:
        os.close(reports)
        if report >= 0:
            os.close(report)
    return (json.loads(said) if said else {}), tail.decode(errors="replace").replace("\0", "\ufffd")


def _heard(
    process: subprocess.Popen[bytes], reports: int, limits: Limits
) -> tuple[bytearray, bytearray]:
    """Listen until the keeper has ended: its report, and the end of what was printed."""
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    printed, said, tail = process.stdout.fileno(), bytearray(), bytearray()
    open_ = {printed, reports}
    until = time.monotonic() + limits.seconds + GRACE_SECONDS
    while reports in open_ and (left := until - time.monotonic()) > 0:
        for source in select.select(list(open_), [], [], left)[0]:
            chunk = os.read(source, 2**16)
            if not chunk:
                open_.discard(source)
            elif source == reports:
                said += chunk
            else:
                tail = (tail + chunk)[-limits.tail_bytes :]
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, until - time.monotonic()))
    os.set_blocking(printed, False)
    with suppress(BlockingIOError):
        for _ in range(16):  # more than a pipe holds
            tail = (tail + os.read(printed, 2**16))[-limits.tail_bytes :]
    return said, tail


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the keeper, which ends everything below it, if it has not ended."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _sound(report: Mapping[str, Any], tail: str) -> None:
    """What went wrong on the platform's part is no outcome of the program.

    Raises:
        ResourceError: If the hidden could have been read.
        StepError: If the keeper failed.
    """
    if not report:
        raise StepError(f"the keeper of a program failed: {tail.strip()[-300:]}", where="runner")
    if "over" not in report or report["reached"]:
        what = f"{report['reached']} could be read" if "over" in report else "no file is protected"
        raise ResourceError(
            f"this host cannot keep a program from the truth: {what}",
            where="runner",
            next="Run the worker as root, or where user namespaces are allowed.",
        )
    if report["broken"]:
        raise StepError(f"a program could not be confined: {report['broken']}", where="runner")
    if not report["ended"]:
        raise StepError("a process of a program could not be ended", where="runner")
    if report["over"] == "stopped":
        raise StepError("a run was stopped from outside", where="runner")


def _code(report: Mapping[str, Any], tail: str, cpu_seconds: int) -> str:
    """Why a run counts as failed; empty if it does not."""
    status = report["status"]
    if report["unstarted"]:
        return "not_started"
    if report["over"]:
        return report["over"]
    if status == 0:
        return ""
    if status == SIGXFSZ:
        return "too_large"
    if status == SIGXCPU or (status == SIGKILL and report["cpu_seconds"] > 0.95 * cpu_seconds):
        return "timeout"
    return next((code for words, code in SAID.items() if words in tail), "crash")


def _isolation(report: Mapping[str, Any], masked: bool) -> tuple[str, ...]:
    """What was in force, in words."""
    spaces, user = report["spaces"], report["user"]
    files = "not protected"
    if spaces & MOUNT:
        files = "read-only, hidden masked" if masked else "read-only"
    elif user is not None:
        files = "kept by their permissions"
    return (
        f"network: {'off' if spaces & NETWORK else 'not isolated'}",
        f"processes: {'own namespace' if spaces & PROCESS else 'own session'}",
        f"files: {files}",
        f"user: {os.geteuid() if user is None else user}",
    )
