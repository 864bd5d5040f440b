"""The loop of a worker: take a submission, score it, give it back, whatever happens."""

import os
import secrets
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from assay.errors import StoreError
from assay.parts.competition.job import Job
from assay.parts.competition.queue import Queue
from assay.parts.competition.rules import LeaseLost, Refusal

__all__ = ["work"]

LONGEST_PAUSE_SECONDS = 60.0
TELLINGS = 8
"""How often an outcome is told to a database that does not answer, before the lease is let go."""


def work(
    queue: Queue,
    evaluate: Callable[[str, Path], Mapping[str, Any]],
    *,
    worker: str = "",
    beat_seconds: float | None = None,
    idle_seconds: float = 1.0,
    drain: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Score submissions until told to stop.

    After a fault of the platform the worker pauses, twice as long each time up to a minute: a full
    disk shall not use up the retries of the whole queue in a second.

    Args:
        queue: Where they come from.
        evaluate: Gives the result of a submission, from its phase and the path to its bytes.
            `Refusal` is the participant's fault; any other exception is the platform's.
        worker: Its name; host, process and four random bytes if not given.
        beat_seconds: Between two signs of life; a sixth of the lease if not given.
        idle_seconds: Between two looks at an empty queue; the first pause after a fault.
        drain: Whether to return when nothing waits. What another worker holds is not waited for.
        stop: Asked between two submissions.

    Returns:
        How many submissions were taken.
    """
    worker = worker or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    every = beat_seconds or queue.rules.lease_seconds / 6
    taken, pause = 0, idle_seconds
    while not stop():
        try:
            job = queue.take(worker)
        except StoreError:  # the database may come back
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            continue
        if job is None:
            if drain:
                return taken
            time.sleep(idle_seconds)
            continue
        taken += 1
        if _scored(queue, job, evaluate, every):
            pause = idle_seconds
        else:
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    return taken


def _scored(
    queue: Queue, job: Job, evaluate: Callable[[str, Path], Mapping[str, Any]], every: float
) -> bool:
    """Score one submission and tell the outcome; whether the platform did its part."""
    with _beating(job, every):
        try:
            result = evaluate(job.phase, queue.intact(job.path.name))
        except Refusal as refusal:
            return _told(job, partial(_given_back, job, refusal))
        except Exception:  # whatever it is, it is not the participant's fault
            reason = traceback.format_exc()
            _told(job, partial(job.fault, reason))
            return False
        except BaseException:  # the worker is being stopped
            with suppress(StoreError):
                job.release()
            raise
        return _told(job, partial(job.done, result))


def _given_back(job: Job, refusal: Refusal) -> None:
    if refusal.failed:
        job.failed(refusal.code, refusal.tail, refusal.problems)
    else:
        job.refused(refusal.code, refusal.problems)


def _told(job: Job, outcome: Callable[[], None]) -> bool:
    """Write an outcome; a database that does not answer is asked again, the lease being kept."""
    for telling in range(TELLINGS):
        try:
            outcome()
            return True
        except LeaseLost:  # another scores it, or has
            return True
        except StoreError:
            time.sleep(min(0.1 * 2**telling, LONGEST_PAUSE_SECONDS))
        except Exception:  # such as a result that is not JSON
            reason = traceback.format_exc()
            with suppress(Exception):  # the lease will run out
                job.fault(reason)
            return False
    return False


@contextmanager
def _beating(job: Job, every: float) -> Iterator[None]:
    """Give signs of life meanwhile, from a thread of its own."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every):
            try:
                job.beat()
            except LeaseLost:
                return
            except Exception:  # noqa: S112 - the database may come back, and the lease be held still
                continue

    thread = threading.Thread(target=beat, name=f"beat-{job.id[:8]}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
