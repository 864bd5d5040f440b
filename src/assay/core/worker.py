"""One step in one process: load its inputs, call the component, store what it returns.

A request and its outcome hold digests and parameters, never arrays; the same function serves all
three places of execution.
"""

import ctypes
import os
import platform
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Literal

from assay.core.component import Component, is_namedtuple
from assay.core.identity import digest
from assay.core.leases import lease
from assay.core.store import Artifact, StepManifest, Store
from assay.core.task import Emit, Task, _current
from assay.errors import AssayError, DamagedArtifact, StepError

LONG = 1.0
"""Seconds from which a step is worth tidying up after."""


@dataclass(frozen=True)
class Value:
    """A stored output: all ports of its producer, or one."""

    producer: Component
    port: str
    artifacts: Mapping[str, Artifact]

    @property
    def content(self) -> Any:
        """Its digest, or those of its ports."""
        if set(self.artifacts) == {self.port}:
            return self.artifacts[self.port].digest
        return {port: made.digest for port, made in sorted(self.artifacts.items())}

    def load(self, store: Store) -> Any:
        """Read it back into the type its producer declares."""
        kinds = self.producer.outputs
        read = {port: store.get(made, kinds[port]) for port, made in self.artifacts.items()}
        if is_namedtuple(self.producer.returns) and not self.port:
            return self.producer.returns(**read)
        return read[self.port]


Feed = Value | tuple[Value, ...]


@dataclass(frozen=True)
class Request:
    """Everything a process needs to compute one step."""

    key: str
    label: str
    component: Component
    params: Mapping[str, Any]
    form: Mapping[str, Any]
    inputs: Mapping[str, Feed]
    store: str
    threads: int
    topic: str = ""
    """Topic of a scheduler under which the driver hears of events."""


@dataclass(frozen=True)
class Outcome:
    """What came of a request.

    Attributes:
        status: ``done``; ``shared`` if another process had finished it meanwhile; ``damaged`` if
            an input was not what its digest says; ``killed`` if its process died each time, be it
            for what this step did or for what a neighbour did; ``failed``.
        artifacts: Stored outputs by port.
        seconds: Time the component took.
        error: One line, if it failed.
        trace: The traceback, if the failure was not a user error.
    """

    status: Literal["done", "shared", "damaged", "killed", "failed"]
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    trace: str = ""


def step_key(component: Component, form: Mapping[str, Any], inputs: Mapping[str, Feed]) -> str:
    """Key of a step: identity, parameters and the content of its inputs."""
    return digest([component.identity, form, contents(inputs)])


def contents(inputs: Mapping[str, Feed]) -> dict[str, Any]:
    """Digests by input."""
    return {
        name: [v.content for v in feed] if isinstance(feed, tuple) else feed.content
        for name, feed in sorted(inputs.items())
    }


@lru_cache(maxsize=4)
def open_store(root: str) -> Store:
    """One store object per folder and process."""
    return Store(root)


def flush(root: str) -> None:
    """Make what this process has written to a store durable."""
    open_store(root).flush()


def execute(request: Request, emit: Emit | None = None) -> Outcome:
    """Compute one step, unless another process does or has done it. Never raises."""
    try:
        store = open_store(request.store)

        def done() -> bool:
            manifest = store.step(request.key)
            return manifest is not None and all(map(store.has, manifest.outputs.values()))

        with lease(store.root / "leases", request.key, done) as needed:
            if not needed:
                manifest = store.step(request.key)
                return Outcome("shared", manifest.outputs if manifest else {})
            return _compute(store, request, emit or _worker_emit(request))
    except DamagedArtifact as error:
        return Outcome("damaged", error=str(error))
    except AssayError as error:
        return Outcome("failed", error=str(error.at(request.label)))
    except (Exception, SystemExit) as error:
        message = f"{request.label}: {type(error).__name__}: {error}".rstrip(": ")
        return Outcome("failed", error=message, trace=traceback.format_exc())


def unpack_and_execute(packed: bytes, label: str) -> Outcome:
    """Compute a step that came over the wire. Never raises.

    A worker that lacks the module of a component finds out here; if the scheduler's own messages
    named the module, they would take the worker down with them.
    """
    from distributed.protocol.pickle import loads

    try:
        request = loads(packed)
    except Exception as error:
        return Outcome("failed", error=f"{label}: the worker on {platform.node()} says: {error}")
    outcome = execute(request)
    if outcome.seconds > LONG:
        _give_back_memory()
    return outcome


def _give_back_memory() -> None:
    """Return to the system what the C library keeps of freed memory, where it can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _compute(store: Store, request: Request, emit: Emit) -> Outcome:
    component, threads = request.component, request.threads
    inputs = {
        name: [v.load(store) for v in feed] if isinstance(feed, tuple) else feed.load(store)
        for name, feed in request.inputs.items()
    }
    limit_threads(threads)
    context = Task(request.label, request.key, threads, store.scratch(request.key), emit)
    context.event("step_started")
    token = _current.set(context)
    began = time.perf_counter()
    try:
        result = component.function(**inputs, **request.params)
    finally:
        _current.reset(token)
    seconds = time.perf_counter() - began
    if step_key(component, component.key_form(request.params), request.inputs) != request.key:
        raise StepError(
            "its code or a file it reads changed since the run began", next="Run again."
        )
    manifest = StepManifest(
        key=request.key,
        component=component.reference,
        identity=component.identity,
        params=dict(request.form),
        inputs=contents(request.inputs),
        outputs={port: store.put(value) for port, value in _ports(component, result).items()},
        keep=component.keep,
        seconds=seconds,
        threads=threads,
        host=platform.node(),
        finished=time.time(),
    )
    store.commit(manifest)
    if context.used_scratch:
        store.drop_scratch(request.key)
    return Outcome("done", manifest.outputs, seconds)


def _ports(component: Component, result: Any) -> dict[str, Any]:
    if not is_namedtuple(component.returns):
        return {"": result}
    if not isinstance(result, component.returns):
        raise StepError(
            f"{component.name} returned a {type(result).__name__}",
            accepted=component.returns.__name__,
        )
    return result._asdict()


def _worker_emit(request: Request) -> Emit:
    """Send events to the driver through the scheduler."""
    try:
        from distributed import get_worker

        worker = get_worker()
    except (ImportError, ValueError):
        return lambda event: None
    return lambda event: worker.log_event(request.topic, event)


THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",  # tokenizers
)
_limits: dict[str, Any] = {}


def limit_threads(count: int) -> None:
    """Fix the threads of numerical libraries in this process.

    What is loaded is told, what is loaded later reads it in the environment. Looking libraries up
    costs milliseconds, so it is done again only when the number changes or another numerical
    library has been imported.
    """
    names = ("numpy", "scipy", "torch", "numba", "sklearn")
    state = (count, os.getpid(), tuple(n for n in names if n in sys.modules))
    if _limits.get("state") == state:
        return
    from threadpoolctl import threadpool_limits

    release_threads()
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    undo = [partial(_set_environment, before), threadpool_limits(count).restore_original_limits]
    for library in (sys.modules[n] for n in ("torch", "numba") if n in sys.modules):
        undo.append(partial(library.set_num_threads, library.get_num_threads()))
        most = library.config.NUMBA_NUM_THREADS if library.__name__ == "numba" else count
        library.set_num_threads(min(count, most))
    _limits.update(state=state, undo=undo)


def release_threads() -> None:
    """Give the libraries of this process the threads they had before the first step."""
    for undo in _limits.pop("undo", ()):
        undo()
    _limits.clear()


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
