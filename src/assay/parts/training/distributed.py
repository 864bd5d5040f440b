"""One task that trains on several processes: it starts `torchrun` and waits for it.

    losses = launch("my.module:train", {"steps": 100}, processes=2, folder=task().scratch())

The function is called in every process with the arguments, in a process group, which `fit` finds by
itself. Rank 0's result comes back, and the error of whichever process failed first. The processes
hold the reading end of a pipe and end with the one that started them, however that ends.
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import assay.errors
from assay.core.disk import remove, write_text, writing
from assay.core.task import Task, _current, task
from assay.errors import AssayError, StepError, UsageError

REQUEST, RESULT, EVENTS, LOG = "request.json", "result.json", "events.jsonl", "processes.log"
POLL_S, PATIENCE_S = 0.1, 10.0


def launch(
    reference: str, arguments: Mapping[str, Any], processes: int, folder: Path, *, threads: int = 1
) -> Any:
    """Call a function in several processes of this host that work together.

    Args:
        reference: The function, as ``module:function``; importable wherever this process imports.
        arguments: Its arguments, as JSON values.
        processes: How many; on a host with GPUs, one for each.
        folder: The function's scratch folder; beside what it writes, the request, the result, the
            events and a log are put here.
        threads: Threads of each process.

    Returns:
        What the function returned in the process of rank 0, by way of JSON.

    Raises:
        AssayError: What a process raised; a `StepError` for everything else that went wrong.
    """
    _function(reference)
    run = folder / "processes"
    remove(run)
    with writing(folder):
        run.mkdir(parents=True)
    request = {"reference": reference, "arguments": dict(arguments), "threads": threads}
    request |= {"scratch": str(folder.absolute()), "step": task().step, "key": task().key}
    write_text(run / REQUEST, json.dumps(request), sync=False)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1",
        f"--nproc-per-node={processes}", "--monitor-interval=0.1",
        "-m", "assay.parts.training.distributed", str(run.absolute()),
    ]  # fmt: skip
    code = _run(command, run, threads)
    if code or not (run / RESULT).exists():
        raise _failure(run, processes, code)
    return json.loads((run / RESULT).read_text(encoding="utf-8"))


def _run(command: list[str], run: Path, threads: int) -> int:
    """Wait for a command and pass on its events; whatever ends the wait ends the command."""
    here = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    here |= {
        "OMP_NUM_THREADS": str(threads),
        "GLOO_SOCKET_IFNAME": "lo",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    with (run / LOG).open("wb") as said:
        child = subprocess.Popen(
            command, env={**os.environ, **here}, stdin=subprocess.PIPE, stdout=said, stderr=said
        )
        told = 0
        try:
            while child.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(POLL_S)
                told = _pass_on(run / EVENTS, told)
            return child.returncode
        finally:
            child.stdin.close()  # type: ignore[union-attr] - which ends the processes
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(PATIENCE_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def _pass_on(path: Path, told: int) -> int:
    """Send the whole lines after an offset to this process's own task; the new offset."""
    if not path.exists():
        return told
    with path.open("rb") as file:
        file.seek(told)
        lines = file.read().rpartition(b"\n")[0]
    for line in lines.splitlines():
        event = json.loads(line)
        kind = event.pop("kind")
        task().event(kind, **event)
    return told + (len(lines) + 1 if lines else 0)


def _failure(run: Path, processes: int, code: int) -> AssayError:
    """The error of the process that failed first, those that explain themselves before others."""
    found = [json.loads(p.read_text(encoding="utf-8")) for p in run.glob("error-*.json")]
    if not found:
        text = (run / LOG).read_bytes()[-400:].decode("utf-8", "replace").strip()
        last = (text.splitlines() or ["no message"])[-1]
        return StepError(f"the {processes} processes ended with code {code}: {last}")
    first = min(found, key=lambda error: (not error["foreseen"], error["time"]))
    what = first["what"]
    silent = sorted({*range(processes)} - {error["rank"] for error in found})
    if silent and not first["foreseen"]:
        what += f" (process {silent[0]} ended without a word; out of memory?)"
    kind = getattr(assay.errors, first["kind"], StepError)
    made = kind(what, where=first["where"], accepted=first["accepted"], next=first["next"])
    return made.at(f"process {first['rank']} of {processes}")


def _function(reference: str) -> Callable[..., Any]:
    """The function of a reference.

    Raises:
        UsageError: If there is none.
    """
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"no function {reference!r} ({error})", accepted="module:function"
        ) from error


# -- in each process -------------------------------------------------------------------------------


def main() -> int:
    """Call the function that the request names; 0 if it returned."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    run, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    request = json.loads((run / REQUEST).read_text(encoding="utf-8"))
    here = Task(request["step"], request["key"], request["threads"], Path(request["scratch"]))
    if rank == 0:
        here.emit = _Writer(run / EVENTS)
    token = _current.set(here)
    try:
        result = _in_group(request)
        if rank == 0:
            write_text(run / RESULT, json.dumps(result), sync=False)
        return 0
    except Exception as error:
        write_text(run / f"error-{rank}.json", json.dumps(_told(error, rank)), sync=False)
        return 1
    finally:
        _current.reset(token)


def _in_group(request: Mapping[str, Any]) -> Any:
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        result = _function(request["reference"])(**request["arguments"])
        dist.barrier()
        return result
    finally:
        dist.destroy_process_group()


class _Writer:
    """Appends events to a file, each as one line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, event: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            kept = {k: v for k, v in event.items() if k not in ("step", "key")}
            file.write(json.dumps(kept) + "\n")


def _told(error: Exception, rank: int) -> dict[str, Any]:
    """An error as JSON values."""
    told = {"rank": rank, "time": time.time(), "foreseen": isinstance(error, AssayError)}
    if isinstance(error, AssayError):
        parts = {"what": error.what, "where": error.where}
        parts |= {"accepted": error.accepted, "next": error.next}
        return told | parts | {"kind": type(error).__name__}
    first = (str(error).splitlines() or [""])[0]
    said = {"what": f"{type(error).__name__}: {first}", "where": "", "accepted": "", "next": ""}
    return told | said | {"kind": "StepError"}


def _end_with_parent() -> None:
    """Wait until nobody holds the other end of standard input any more, then end at once."""
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
