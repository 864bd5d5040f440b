"""The three places a step can run, all through Dask and all behind the same five methods.

`Inline` is Dask's synchronous executor (``--workers 0``, debugging); `Cluster` is a local cluster
of single-threaded processes, or any ``distributed`` scheduler whose workers see the store.
"""

import queue
import shutil
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from assay.core.component import Resources
from assay.core.task import Emit, available_cores, threads_alone
from assay.core.worker import (
    Outcome,
    Request,
    execute,
    flush,
    open_store,
    release_threads,
    unpack_and_execute,
)
from assay.errors import ResourceError

Arrival = tuple[str, Outcome]
WAIT_SECONDS = 60.0
"""How long a scheduler is given to have its first worker."""
ANSWER_SECONDS = 5.0
"""How long the answer of a finished step may take to come from its worker."""
CONNECT_SECONDS = 10.0
"""How long it is given to answer at all."""
QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.gil.enabled": False,
}
"""What would otherwise look at a worker's threads every 10 ms, and take the interpreter's lock from
the step each time: runs that train took about 1.1 times as long."""

KEPT_MEMORY = {
    "MALLOC_ARENA_MAX": 1,
    "MALLOC_MMAP_THRESHOLD_": 2**30,
    "MALLOC_TOP_PAD_": 2**26,
    "MALLOC_TRIM_THRESHOLD_": 2**34,
}
"""What tells glibc to keep the memory of a step until the step ends (see `unpack_and_execute`).
Dask's own setting gives it back after every operation and gets it again, page by page: runs that
train took 1.4 times as long."""


class Place(Protocol):
    """Where steps run."""

    capacity: Resources
    """All that the place has; what running steps take never exceeds it."""
    largest: Resources
    """The most a single step may ask for."""
    threads: int
    """Of a step beside which nothing runs."""

    def submit(self, request: Request) -> None:
        """Start a step, or queue it."""
        ...

    def next(self) -> Arrival:
        """Wait for a step to end: its key and its outcome."""
        ...

    def flush(self) -> None:
        """Make what the steps have written durable."""
        ...

    def close(self) -> None:
        """Give back what the place holds."""
        ...


def require(place: Place, wanted: Resources, step: str) -> None:
    """Refuse a request no host of the place can ever satisfy.

    Raises:
        ResourceError: At once, before anything runs.
    """
    for name in ("cores", "memory_gb", "gpus"):
        asked, has = getattr(wanted, name), getattr(place.largest, name)
        if asked > has:
            raise ResourceError(
                f"asks for {asked:g} {name}, the largest host has {has:g}",
                where=f"step {step!r}",
                next="Lower the component's resources or run it on a larger host with --on.",
            )


class Inline:
    """Steps run one after the other in this process.

    Args:
        store: Folder of the store.
        emit: Receives the events of running steps.
    """

    def __init__(self, store: Path, emit: Emit) -> None:
        self.store, self.emit = store, emit
        open_store.cache_clear()  # the folder may have been removed and made anew since
        host = Resources(available_cores(), _memory_gb(), _gpus())
        self.capacity = self.largest = host
        self.threads = threads_alone()
        self._done: list[Arrival] = []

    def submit(self, request: Request) -> None:
        """Run the step now."""
        from dask.local import synchronous_executor

        future = synchronous_executor.submit(execute, request, self.emit)
        self._done.append((request.key, future.result()))

    def next(self) -> Arrival:
        """The step that has just ended."""
        return self._done.pop()

    def flush(self) -> None:
        """Make what this process has written durable."""
        flush(str(self.store))

    def close(self) -> None:
        """Give the numerical libraries of this process their threads back."""
        release_threads()


def connect(address: str) -> Any:
    """A client of the scheduler at an address.

    Raises:
        ResourceError: If none answers, also where something else does.
    """
    from distributed import Client

    came: list[Any] = []

    def call() -> None:
        try:
            came.append(Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
        except BaseException as error:
            came.append(error)

    calling = threading.Thread(target=call, daemon=True)  # a handshake has no limit of its own
    calling.start()
    calling.join(2 * CONNECT_SECONDS)
    if came and not isinstance(came[0], BaseException):
        return came[0]
    why = f" ({came[0]})" if came else ""
    raise ResourceError(
        f"no scheduler answers{why}",
        where=f"--on {address}",
        next="Start one with `dask scheduler` and give its tcp:// address.",
    )


class Cluster:
    """Steps run on the workers of a ``distributed`` scheduler.

    Args:
        store: Folder of the store, which every worker must see.
        emit: Receives the events of running steps, in the caller's thread.
        workers: Processes to start on this host, if no address is given.
        address: A running scheduler, for example ``tcp://head:8786``.

    Raises:
        ResourceError: If the scheduler cannot be reached, has no workers, or a worker does not see
            the store.
    """

    def __init__(
        self, store: Path, emit: Emit, *, workers: int = 1, address: str | None = None
    ) -> None:
        self.store, self.emit = store, emit
        self._topic = f"assay-{uuid.uuid4().hex}"  # of this run alone, on a shared scheduler too
        self._arrived: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._futures: dict[str, Any] = {}
        self._labels: dict[str, str] = {}
        self._cluster: Any = None
        self._scratch = ""
        self._hidden: Any = None
        self._client: Any = None
        try:
            self._client = connect(address) if address else self._start(workers)
            self._client.subscribe_topic(self._topic, self._event)
            self._measure(address)
            if address:
                self._probe(store, address)
        except BaseException:
            self.close()
            raise

    def _start(self, workers: int) -> Any:
        from dask import config
        from distributed import Client, LocalCluster

        self._scratch = tempfile.mkdtemp(prefix="assay-workers-")
        self._hidden = _main_not_imported()
        self._hidden.__enter__()
        settings = {
            "temporary-directory": self._scratch,
            "distributed.worker.daemon": True,
            "distributed.scheduler.allowed-failures": 1,  # the driver tries again, alone
            "distributed.deploy.lost-worker-timeout": "1 day",  # see `_replace_lost`
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
            **QUIET,
            **{f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in KEPT_MEMORY.items()},
        }
        with config.set(settings):
            self._cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",  # a port is always opened; nothing is served there
                scheduler_kwargs={"dashboard": False},
                memory_limit=0,
                silence_logs=50,
            )
        return Client(self._cluster, set_as_default=False)

    def _measure(self, address: str | None) -> None:
        try:
            self._client.wait_for_workers(1, timeout=WAIT_SECONDS)
        except TimeoutError as error:
            raise ResourceError(
                f"has had no worker for {WAIT_SECONDS:g} s",
                where=f"--on {address}" if address else "local cluster",
                next="Start some with `dask worker` and the scheduler's address.",
            ) from error
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        threads = [int(w["nthreads"]) for w in workers]
        if address is None:
            host = Resources(max(available_cores(), len(threads)), _memory_gb(), _gpus())
            self.capacity = Resources(len(threads), host.memory_gb, host.gpus)
            self.largest, self.threads = host, threads_alone()
            return
        memory = [(w["memory_limit"] or 0) / 2**30 or _memory_gb() for w in workers]
        gpus = [int(w.get("resources", {}).get("GPU", 0)) for w in workers]
        self.capacity = Resources(sum(threads), sum(memory), sum(gpus))
        self.largest = Resources(max(threads), max(memory), max(gpus))
        self.threads = self.largest.cores

    def _probe(self, store: Path, address: str) -> None:
        """Make sure that every worker sees the store."""
        token = store / "tmp" / f"probe-{uuid.uuid4().hex}"
        token.touch()
        try:
            blind = [w for w, seen in self._client.run(_sees, str(token)).items() if not seen]
        finally:
            token.unlink()
        if blind:
            raise ResourceError(
                f"worker {blind[0]} does not see the store {store}",
                where=f"--on {address}",
                next="Put the store on a folder all workers share and pass it with --store.",
            )

    def _event(self, event: tuple[Any, Any]) -> None:
        self._arrived.put(("", event[1]))

    def submit(self, request: Request) -> None:
        """Send the step to the scheduler, packed: what a worker cannot unpack fails as a step."""
        from distributed.protocol.pickle import dumps

        wanted = request.component.resources
        tokens = {"GPU": wanted.gpus} if wanted.gpus and self._cluster is None else None
        try:
            future = self._client.submit(
                unpack_and_execute,
                dumps(replace(request, topic=self._topic)),
                request.label,
                key=f"{request.component.name}-{request.key[:16]}-{uuid.uuid4().hex[:8]}",
                pure=False,
                resources=tokens,
            )
        except Exception as error:  # whatever the libraries that pack and send it may raise
            said = f"{request.label}: cannot be sent to a worker ({error})"
            self._arrived.put((request.key, Outcome("failed", error=said)))
            return
        self._futures[request.key], self._labels[request.key] = future, request.label
        self._await(request.key, future)

    def _await(self, key: str, future: Any) -> None:
        future.add_done_callback(lambda done: self._arrived.put((key, done)))

    def next(self) -> Arrival:
        """The next step that ends; events that arrive before it are passed on."""
        while True:
            self._replace_lost()
            try:
                key, arrived = self._arrived.get(timeout=1.0)
            except queue.Empty:
                continue
            if not key:
                self.emit(arrived)
                continue
            if isinstance(arrived, Outcome):
                return key, arrived
            outcome = _outcome(self._labels[key], arrived)
            if outcome is None:
                self._await(key, arrived)
                continue
            del self._futures[key], self._labels[key]
            return key, outcome

    def _replace_lost(self) -> None:
        """Start local workers anew that were killed while they started.

        Any other worker that is killed is started again by its nanny.
        """
        if self._cluster is None:
            return
        count, nannies = len(self._cluster.worker_spec), list(self._cluster.workers.items())
        lost = [name for name, nanny in nannies if nanny.status.name in ("closed", "failed")]
        for name in lost:
            self._cluster.worker_spec.pop(name, None)
        if lost or len(nannies) < count:
            self._cluster.scale(count)

    def flush(self) -> None:
        """Make what the workers have written durable."""
        self._client.run(flush, str(self.store), on_error="ignore")

    def close(self) -> None:
        """Stop what was started here."""
        for future in self._futures.values():
            future.cancel()
        if self._client is not None:
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()
        if self._hidden is not None:
            self._hidden.__exit__(None, None, None)
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)


def _outcome(label: str, future: Any) -> Outcome | None:
    """What came of a step; None if its worker died with the answer, and it is computed again."""
    error: BaseException | None = None
    try:
        if future.status != "cancelled":
            return future.result(timeout=ANSWER_SECONDS)
    except TimeoutError:
        return None
    except Exception as raised:
        error = raised
    if type(error).__name__ == "KilledWorker":
        killed = "the process that ran it was killed each time (out of memory?)"
        return Outcome("killed", error=f"{label}: {killed}")
    gone = error is None or type(error).__name__ == "FutureCancelledError"
    why = "the scheduler went away" if gone else f"{type(error).__name__}: {error}"
    return Outcome("failed", error=f"{label}: {why}")


def _sees(path: str) -> bool:
    return Path(path).exists()


@contextmanager
def _main_not_imported() -> Iterator[None]:
    """Keep started processes from running the caller's script again.

    They would import it as their main module, and a script without a guard would start a study in
    each of them. Components of such a script travel by value instead.
    """
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    if path is None or getattr(main, "__spec__", None) is not None:
        yield
        return
    del main.__file__
    try:
        yield
    finally:
        main.__file__ = path


def _memory_gb() -> float:
    import psutil

    return psutil.virtual_memory().total / 2**30


def _gpus() -> int:
    """Accelerators of this host, counted without importing a library that drives them."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
