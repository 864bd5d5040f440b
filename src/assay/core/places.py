"""The three places a step can run, all through Dask and all behind the same four methods.

`Inline` is Dask's synchronous executor (``--workers 0``, debugging); `Cluster` is a local cluster
of single-threaded processes, or any ``distributed`` scheduler whose workers see the store.
"""

import queue
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

from assay.core.component import Resources
from assay.core.task import Emit, available_cores
from assay.core.worker import Outcome, Request, execute
from assay.errors import ResourceError

Arrival = tuple[str, Outcome]


class Place(Protocol):
    """Where steps run."""

    capacity: Resources
    """All that the place has; what running steps take never exceeds it."""
    largest: Resources
    """The most a single step may ask for."""

    def submit(self, request: Request) -> None:
        """Start a step, or queue it."""
        ...

    def next(self) -> Arrival:
        """Wait for a step to end: its key and its outcome."""
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
    """Steps run one after the other in this process."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        host = Resources(available_cores(), _memory_gb(), _gpus())
        self.capacity = self.largest = host
        self._done: list[Arrival] = []

    def submit(self, request: Request) -> None:
        """Run the step now."""
        from dask.local import synchronous_executor

        future = synchronous_executor.submit(execute, request, self.emit)
        self._done.append((request.key, future.result()))

    def next(self) -> Arrival:
        """The step that has just ended."""
        return self._done.pop()

    def close(self) -> None:
        """Nothing is held."""


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
        self.emit = emit
        self._arrived: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._futures: dict[str, Any] = {}
        self._cluster: Any = None
        self._hidden: Any = None
        self._client = self._connect(address) if address else self._start(workers)
        self._client.subscribe_topic(f"assay-{store.name}", self._event)
        self._measure(local=address is None)
        if address:
            self._probe(store, address)

    def _start(self, workers: int) -> Any:
        from dask import config
        from distributed import Client, LocalCluster

        self._hidden = _main_not_imported()
        self._hidden.__enter__()
        with config.set({"distributed.worker.daemon": True}):
            self._cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=cast(str, None),  # no web page; the annotation forgets it
                memory_limit=0,
                silence_logs=50,
            )
        return Client(self._cluster)

    def _connect(self, address: str) -> Any:
        from distributed import Client

        try:
            return Client(address, timeout=10)
        except (OSError, ValueError) as error:
            raise ResourceError(
                f"no scheduler answers ({error})",
                where=f"--on {address}",
                next="Start one with `dask scheduler` and give its tcp:// address.",
            ) from error

    def _measure(self, *, local: bool) -> None:
        self._client.wait_for_workers(1, timeout=60)
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        threads = [int(w["nthreads"]) for w in workers]
        if local:
            host = Resources(max(available_cores(), len(threads)), _memory_gb(), _gpus())
            self.capacity = Resources(len(threads), host.memory_gb, host.gpus)
            self.largest = host
            return
        memory = [(w["memory_limit"] or 0) / 2**30 or _memory_gb() for w in workers]
        gpus = [int(w.get("resources", {}).get("GPU", 0)) for w in workers]
        self.capacity = Resources(sum(threads), sum(memory), sum(gpus))
        self.largest = Resources(max(threads), max(memory), max(gpus))

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
        """Send the step to the scheduler."""
        wanted = request.component.resources
        tokens = {"GPU": wanted.gpus} if wanted.gpus and self._cluster is None else None
        future = self._client.submit(
            execute,
            request,
            key=f"{request.component.name}-{request.key[:16]}-{uuid.uuid4().hex[:8]}",
            pure=False,
            resources=tokens,
        )
        self._futures[request.key] = future
        future.add_done_callback(lambda f, key=request.key: self._arrived.put((key, f)))

    def next(self) -> Arrival:
        """The next step that ends; events that arrive before it are passed on."""
        while True:
            key, arrived = self._arrived.get()
            if not key:
                self.emit(arrived)
                continue
            self._futures.pop(key, None)
            if arrived.status == "finished":
                return key, arrived.result()
            error = arrived.exception() if arrived.status == "error" else arrived.status
            return key, Outcome("failed", error=_died(error))

    def close(self) -> None:
        """Stop what was started here."""
        for future in self._futures.values():
            future.cancel()
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()
        if self._hidden is not None:
            self._hidden.__exit__(None, None, None)


def _died(error: Any) -> str:
    if type(error).__name__ == "KilledWorker":
        return "the process that ran it was killed again and again (out of memory?)"
    return f"the scheduler gave it up: {error}"


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
