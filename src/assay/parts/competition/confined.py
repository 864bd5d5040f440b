"""The keeper of a command that nobody trusts: confines it, starts it, watches it, ends it.

`runner.py` starts this file as a process of its own, by its path and with the standard library
alone: a process of one thread can leave its namespaces, and nothing of the worker's memory is here.
It reads a plan as JSON from its input and writes a report as JSON to the descriptor it is told.

    runner ── keeper ── [first process of the namespace, which keeps then] ── the command ── ...

Notable: with a process namespace the keeper is its first process, and when that ends the kernel has
killed everything in it. Without one the keeper is whom orphans are given to (a "subreaper"): it
stops all of them until no new one appears, then kills them.
"""

import ctypes
import json
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NoReturn

MOUNT, IPC, USER, PROCESS, NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
"""Flags of `unshare(2)`."""
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 0x1000, 0x4000, 1 << 18
"""Flags of `mount(2)`; the first two are those of `mount_setattr(2)` as well."""
PDEATHSIG, DUMPABLE, CAPBSET_DROP, SECUREBITS = 1, 4, 24, 28
SUBREAPER, NO_NEW_PRIVS, AMBIENT = 36, 38, 47
"""What is asked of `prctl(2)`."""
SHARED = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
"""Where everybody may write: the command gets folders of its own there."""
SOCKETS = "/run"
"""Where servers of the host listen: sockets with a path are not part of the network."""
WATCH_SECONDS, WALK_SECONDS, END_SECONDS = 0.02, 0.1, 5.0
DEEPEST = 32
"""Folders within folders that may be written."""
REACHED, BROKEN, UNSTARTED = b"1", b"2", b"3"
"""Why a command was not started: it could read the hidden, the host failed, it cannot be."""

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    """A system call of the C library; numbers go as unsigned long.

    Raises:
        OSError: If it is refused.
    """
    given = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    if getattr(_libc, name)(*given) == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), name)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Put a file system, or a folder that is there already, at a place."""
    call("mount", source.encode(), target.encode(), kind.encode(), flags, data.encode())


def attributes(path: str, on: int, off: int = 0, *, below: bool = False) -> None:
    """Change what may be done at a mount, or at all mounts below a place (Linux 5.12)."""
    asked = struct.pack("QQQQ", on, off, 0, 0)
    call("syscall", 442, -100, path.encode(), 0x8000 if below else 0, asked, len(asked))


def enter(spaces: int) -> None:
    """Leave the namespaces of the host for new ones.

    Raises:
        OSError: If the host refuses.
        ValueError: If processes were to be apart, but not mounts: their view belongs to them.
    """
    if spaces & PROCESS and not spaces & MOUNT:
        raise ValueError("a process namespace needs a mount namespace")
    user, group = os.geteuid(), os.getegid()
    call("unshare", spaces)
    if spaces & USER:
        told = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
        for name, text in told.items():
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    if spaces & MOUNT:
        mount("none", "/", flags=REC | PRIVATE)


def feasible(candidates: Sequence[int]) -> int:
    """The first of some sets of namespaces that this process may have, found by trying."""
    return next((spaces for spaces in candidates if _tried(spaces)), 0)


def _tried(spaces: int) -> bool:
    child = os.fork()
    if child == 0:
        try:
            enter(spaces)
            if spaces & MOUNT:
                attributes("/", RDONLY | NOSUID, below=True)
            if spaces & PROCESS and (first := os.fork()):
                os._exit(os.waitpid(first, 0)[1] != 0)
            if spaces & PROCESS:  # a container may refuse a view of its processes
                mount("proc", "/proc", "proc", NOSUID | NODEV | NOEXEC)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def rearrange(plan: dict[str, Any], spaces: int) -> None:
    """What the command finds on the disk: all read-only but its own folders, the hidden masked."""
    work = plan["work"]
    held = os.open(work, os.O_PATH)
    if plan["program"]:
        mount(plan["program"], f"{work}/program", flags=BIND | REC)
    for path in plan["hidden"]:
        if os.path.isdir(path):
            mount("none", path, "tmpfs", NOSUID | NODEV | NOEXEC, "mode=000,size=4k")
        elif os.path.lexists(path):
            mount(f"{work}/nothing", path, flags=BIND)
    if os.path.isdir(SOCKETS) and not os.path.islink(SOCKETS):
        mount("none", SOCKETS, "tmpfs", NOSUID | NODEV | NOEXEC, "mode=755,size=4k")
    writable = [f"{work}/written"]
    for place in SHARED:
        if os.path.isdir(place) and not os.path.islink(place):
            own = f"/proc/self/fd/{held}/written/{place.replace('/', '-')}"
            mount(own, place, flags=BIND)
            writable.append(place)
    if not os.path.isdir(f"{work}/written"):  # it lay in a place that has just been replaced
        os.makedirs(work)
        mount(f"/proc/self/fd/{held}", work, flags=BIND | REC)
    mount(writable[0], writable[0], flags=BIND)
    attributes("/", RDONLY | NOSUID, below=True)
    for place in writable:
        attributes(place, NODEV, RDONLY)
    if spaces & PROCESS:
        mount("proc", "/proc", "proc", NOSUID | NODEV | NOEXEC)
    os.close(held)


def reachable(path: str) -> bool:
    """Whether this process can read anything of a file or folder."""
    if not os.path.isdir(path):
        return os.access(path, os.R_OK)
    listed, entered = os.access(path, os.R_OK), os.access(path, os.X_OK)
    if not (listed and entered):
        return entered  # names in it may be guessed
    return any(reachable(f"{path}/{name}") for name in os.listdir(path))


def drop(user: int | None) -> None:
    """Give up every privilege for good."""
    asked = [(SECUREBITS, 3), (AMBIENT, 4), *((CAPBSET_DROP, number) for number in range(64))]
    for what, value in asked:  # the first: to be user 0 of a namespace gives no rights
        with suppress(OSError):  # no right to ask, or beyond the last capability
            call("prctl", what, value, 0, 0, 0)
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    call("prctl", NO_NEW_PRIVS, 1, 0, 0, 0)


def limit(limits: dict[str, Any], running: int) -> None:
    """Limits of each process; ``running`` counts what the user runs already."""
    cpu = limits["cpu_seconds"]
    written = limits["output_bytes"] + 1  # a file of this size has broken the limit
    for what, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_CPU, cpu, cpu),
        (resource.RLIMIT_FSIZE, written, written),
        (resource.RLIMIT_NOFILE, limits["open_files"], limits["open_files"]),
        (resource.RLIMIT_NPROC, *(2 * [running + limits["processes"]])),
        (resource.RLIMIT_AS, *(2 * [limits["address_bytes"]])),
    ):
        most = resource.getrlimit(what)[1]
        bound = hard if most == resource.RLIM_INFINITY else min(hard, most)
        resource.setrlimit(what, (min(soft, bound), bound))


def start(plan: dict[str, Any], user: int | None, running: int, said: int) -> NoReturn:
    """Become the command; why not goes to ``said``."""
    kind = BROKEN
    try:
        os.setsid()
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # if memory runs out, this goes first
        os.umask(0o022)
        os.chdir(plan["scratch"])
        drop(user)
        found = next((path for path in plan["hidden"] if reachable(path)), "")
        if found and not plan["allow_unprotected"]:
            kind = REACHED
            raise PermissionError(0, found)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        limit(plan["limits"], running)
        kind = UNSTARTED
        os.execvpe(plan["command"][0], plan["command"], plan["environment"])  # noqa: S606
    except (OSError, ValueError) as error:
        os.write(said, kind + (getattr(error, "strerror", "") or str(error)).encode())
    finally:
        os._exit(127)


def threads_of(user: int) -> int:
    """Tasks of a user in sight, which count towards its limit of processes."""
    mine = (s for s in _statuses() if s.get("Uid", "").split()[:1] == [str(user)])
    return sum(int(status.get("Threads", "1")) for status in mine)


def _statuses() -> Iterator[dict[str, str]]:
    for number in os.listdir("/proc"):
        if number.isdecimal():
            with suppress(OSError), open(f"/proc/{number}/status", errors="replace") as file:
                yield dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def descendants() -> list[dict[str, str]]:
    """Every living process below this one, as the system tells of it."""
    children: dict[str, list[dict[str, str]]] = {}
    for status in _statuses():
        children.setdefault(status.get("PPid", ""), []).append(status)
    found, pending = [], [str(os.getpid())]
    while pending:
        mine = children.pop(pending.pop(), [])
        found += [status for status in mine if not status.get("State", "").startswith("Z")]
        pending += [status["Pid"] for status in mine]
    return found


def memory(processes: Sequence[dict[str, str]], most: int) -> int:
    """Bytes of memory that processes hold; what they share counts once where it decides."""
    held = sum(1024 * _number(s, "VmRSS") + 1024 * _number(s, "VmSwap") for s in processes)
    if held <= most:
        return held
    fair = 0
    for status in processes:
        with suppress(OSError, ValueError):
            with open(f"/proc/{status['Pid']}/smaps_rollup") as file:
                lines = [line.split() for line in file if line.startswith(("Pss:", "SwapPss:"))]
            fair += 1024 * sum(int(words[1]) for words in lines)
            continue
        fair += 1024 * _number(status, "VmRSS")  # it ended, or does not let itself be looked at
    return fair


def _number(status: dict[str, str], name: str) -> int:
    return int(status.get(name, "0 kB").split()[0])


def exceeds(folder: str, limits: dict[str, Any]) -> bool:
    """Whether a folder holds too many bytes, too many files, or folders too deep."""
    held = count = 0
    pending = [(folder, 0)]
    while pending:
        place, depth = pending.pop()
        with (
            suppress(FileNotFoundError, NotADirectoryError, PermissionError),
            os.scandir(place) as s,
        ):
            for entry in s:
                with suppress(FileNotFoundError):
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, depth + 1))
                    else:
                        held += entry.stat(follow_symlinks=False).st_size
                if held > limits["output_bytes"] or count > limits["files"] + 8 or depth > DEEPEST:
                    return True
    return False


def watch(child: int, plan: dict[str, Any], wake: set[signal.Signals]) -> dict[str, Any]:
    """Wait for the command, or for the first limit it breaks.

    Returns:
        ``over`` (why it has to be ended), ``status``, ``seconds``, ``cpu_seconds``, ``memory``.
    """
    limits, began, walked, most, over, pause = plan["limits"], time.monotonic(), 0.0, 0, "", 0.001
    ended: tuple[int, Any] | None = None
    while ended is None and not over:
        with suppress(ChildProcessError):
            while ended is None and (done := os.wait4(-1, os.WNOHANG))[0]:
                if done[0] == child:
                    ended = (os.waitstatus_to_exitcode(done[1]), done[2])
        if ended:
            break
        now = time.monotonic()
        alive = descendants()
        held = memory(alive, limits["memory_bytes"])
        most = max(most, held)
        if now - began > limits["seconds"]:
            over = "timeout"
        elif held > limits["memory_bytes"]:
            over = "memory"
        elif sum(int(status.get("Threads", "1")) for status in alive) > limits["processes"]:
            over = "processes"
        elif now - walked > WALK_SECONDS:
            walked = now
            over = "too_large" if exceeds(f"{plan['work']}/written", limits) else ""
        took = time.monotonic() - now
        pause = min(2 * pause, max(WATCH_SECONDS, 5 * took))  # watching shall not cost much
        until = time.monotonic() + pause
        while not over and (left := until - time.monotonic()) > 0:
            if (caught := signal.sigtimedwait(wake, left)) is not None:
                over = "stopped" if caught.si_signo == signal.SIGTERM else over
                break
    status, usage = ended or (None, None)
    return {
        "over": over,
        "status": status,
        "seconds": time.monotonic() - began,
        "cpu_seconds": usage.ru_utime + usage.ru_stime if usage else 0.0,
        "memory": max(most, 1024 * usage.ru_maxrss if usage else 0),
    }


def end_all() -> bool:
    """Kill every descendant; whether that succeeded. Stopped first, they make no new ones."""
    until, stopped = time.monotonic() + END_SECONDS, set()
    while time.monotonic() < until:
        alive = {int(status["Pid"]) for status in descendants()}
        if alive <= stopped:
            break
        _send(signal.SIGSTOP, alive)
        stopped = alive
    while time.monotonic() < until:
        alive = {int(status["Pid"]) for status in descendants()}
        _send(signal.SIGKILL, alive)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not alive:
            return True
        time.sleep(0.001)
    return False


def _send(what: signal.Signals, processes: set[int]) -> None:
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, what)


def keep(plan: dict[str, Any], spaces: int, user: int | None, running: int) -> dict[str, Any]:
    """Start the command, watch over it, end everything; what is to be reported."""
    if spaces & MOUNT:
        rearrange(plan, spaces)
    elif plan["program"]:
        os.rmdir(f"{plan['work']}/program")
        os.symlink(plan["program"], f"{plan['work']}/program")
    call("prctl", DUMPABLE, 0, 0, 0, 0)  # nobody looks into the keeper
    wake = {signal.SIGCHLD} if spaces & PROCESS else {signal.SIGCHLD, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, wake)
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        start(plan, user, running, said)
    os.close(said)
    why = os.read(heard, 4096)
    found = watch(child, plan, wake)
    found["ended"] = bool(spaces & PROCESS) or end_all()
    if not found["over"] and exceeds(f"{plan['work']}/written", plan["limits"]):
        found["over"] = "too_large"
    kinds = {"reached": REACHED, "broken": BROKEN, "unstarted": UNSTARTED}
    return found | {k: why[1:].decode() if why[:1] == v else "" for k, v in kinds.items()}


def main() -> None:
    """Carry out the plan."""
    plan, report = json.load(sys.stdin), int(sys.argv[1])
    call("prctl", PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != plan["worker"]:
        return  # it has died meanwhile
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.set_inheritable(report, False)
    spaces = feasible(plan["spaces"])
    user = None if spaces & USER else plan["user"]
    facts = {"spaces": spaces, "user": user}
    if user is None and not spaces & MOUNT and not plan["allow_unprotected"]:
        os.write(report, json.dumps(facts).encode())
        return
    running = threads_of(os.geteuid() if user is None else user)
    enter(spaces)
    if spaces & PROCESS:
        if first := os.fork():
            os.close(report)
            os.waitpid(first, 0)
            return
        call("prctl", PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    else:
        call("prctl", SUBREAPER, 1, 0, 0, 0)
    os.write(report, json.dumps(facts | keep(plan, spaces, user, running)).encode())


if __name__ == "__main__":
    main()
