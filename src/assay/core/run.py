"""A run: one execution of a study; its folder holds the log, the records and the report."""

import json
import os
import platform
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.claims import judge
from assay.core.collected import collect
from assay.core.component import Component, find
from assay.core.disk import reading, write_text, writing
from assay.core.events import EventLog, Listener
from assay.core.execution import Driver
from assay.core.identity import library_versions
from assay.core.index import Index
from assay.core.params import native, scalar
from assay.core.places import Cluster, Inline, Place, connect
from assay.core.plan import Plan
from assay.core.store import Store
from assay.core.task import available_cores
from assay.core.wording import passed
from assay.core.worker import Value
from assay.core.workflow import Ref
from assay.errors import StoreError, UsageError, did_you_mean

if TYPE_CHECKING:
    from assay.core.study import Study

LIBRARIES = ("assay", "numpy", "scipy", "pandas", "dask", "distributed", "numba", "torch")
NOTHING: dict[str, Any] = {"records": 0, "claims": [], "checks": [], "report": ""}


def default_store() -> Path:
    """``$ASSAY_STORE``, or ``assay-store`` in the current folder."""
    return Path(os.environ.get("ASSAY_STORE") or "assay-store")


class Run:
    """One execution of a study.

    Args:
        store: The store it lies in.
        name: Its name, that of its folder.

    Raises:
        UsageError: If the store has no such run.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        self.folder = store.root / "runs" / name
        if not (self.folder / "run.json").is_file():
            known = [p.parent.name for p in (store.root / "runs").glob("*/run.json")]
            raise UsageError(
                f"no run {name!r} in {store.root}", next=did_you_mean(name, known) or "Run one."
            )
        self._components: dict[str, Component] = {}

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What ``--json`` prints and more: study, preset, trials, claims, checks, errors."""
        with self._intact("run.json") as path:
            said = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(said["status"], str):
                raise TypeError("status")
        return said

    @property
    def ok(self) -> bool:
        """Whether every trial succeeded."""
        return self.summary["status"] == "done"

    @property
    def verdicts(self) -> Any:
        """Claims and checks with their verdicts, as a DataFrame."""
        import pandas as pd

        claims = [{"claim": c["id"], **{k: c[k] for k in c if k != "id"}} for c in self.claims]
        checks = [
            {
                "claim": c["id"],
                "sentence": c["sentence"],
                "verdict": passed(c["passed"]),
                "text": c["text"],
            }
            for c in self.checks
        ]
        return pd.DataFrame(claims + checks)

    @property
    def claims(self) -> list[dict[str, Any]]:
        """Verdicts of the claims."""
        return self.summary["claims"]

    @property
    def checks(self) -> list[dict[str, Any]]:
        """Results of the checks."""
        return self.summary["checks"]

    @cached_property
    def records(self) -> Any:
        """All measured values as a long DataFrame, decisions and seed joined on."""
        import pandas as pd

        with self._intact("records.parquet") as path:
            return pd.read_parquet(path)

    @property
    def report(self) -> Path:
        """The report's page."""
        return self.folder / "report" / "index.html"

    @property
    def trials(self) -> list[dict[str, Any]]:
        """Trials with their choices, seed and steps."""
        with self._intact("trials.json") as path:
            said = json.loads(path.read_text(encoding="utf-8"))
            if not all("steps" in trial for trial in said):
                raise TypeError("steps")
        return said

    @contextmanager
    def _intact(self, name: str) -> Iterator[Path]:
        """Say in one line that a file of the run is not what was written."""
        path = self.folder / name
        try:
            with reading(path):
                yield path
        except (FileNotFoundError, ValueError, LookupError, TypeError) as error:
            raise StoreError(
                "is missing or damaged", where=str(path),
                next="Run the study again: finished steps are kept.",
            ) from error  # fmt: skip

    def load(self, step: str, *, trial: int = 0, **member: Any) -> Any:
        """Read a stored value.

        Args:
            step: A step, or one of its ports as ``step.port``.
            trial: Number of the trial.
            **member: Values that single out one member of an `each` step.

        Returns:
            The value; a list with one value per member where several members match.

        Raises:
            UsageError: If there is no such step, trial or member, or it did not succeed.
        """
        ref = Ref.parse(step)
        found = [self._made(ref, key) for key in self._keys(ref, trial, member)]
        values = [Value(component, ref.port, ports).load(self.store) for component, ports in found]
        return values[0] if len(values) == 1 else values

    def file(self, output: str, *, trial: int = 0, **member: Any) -> Path:
        """Where the store keeps a value, as a file or folder to read or copy, never to change.

        Args:
            output: A step with one output, or one of its ports as ``step.port``.
            trial: Number of the trial.
            **member: Values that single out one member of an `each` step.

        Raises:
            UsageError: If that names no value or several.
            StoreError: If it is damaged.
        """
        ref = Ref.parse(output)
        keys = self._keys(ref, trial, member)
        _, ports = self._made(ref, keys[0])
        if len(keys) > 1:
            each = [one for one in self.trials[trial]["steps"][ref.step] if one["key"] in keys]
            names = " or ".join(_spelt(one["member"]) for one in each)
            raise UsageError(f"{output!r} is {len(keys)} members", accepted=names)
        if len(ports) > 1:
            names = " or ".join(f"{ref.step}.{port}" for port in ports)
            raise UsageError(f"{output!r} has {len(ports)} outputs", accepted=names)
        (artifact,) = ports.values()
        if not self.store.check(artifact):
            raise StoreError(f"{output!r} is damaged", where=self.name, next="Run the study again.")
        return self.store.path(artifact)

    def _keys(self, ref: Ref, trial: int, member: Mapping[str, Any]) -> list[str]:
        """Keys of the members of a step that match."""
        trials = self.trials
        if not 0 <= trial < len(trials):
            raise UsageError(f"no trial {trial}", where=self.name, accepted=f"0..{len(trials) - 1}")
        steps = trials[trial]["steps"]
        if ref.step not in steps:
            raise UsageError(
                f"no step {ref.step!r}", where=self.name, next=did_you_mean(ref.step, steps)
            )
        wanted = {name: scalar(native(value)) for name, value in member.items()}
        found = [m for m in steps[ref.step] if wanted.items() <= m["member"].items()]
        if not found:
            names = " or ".join(_spelt(m["member"]) for m in steps[ref.step])
            raise UsageError(
                f"no member {_spelt(wanted)} of {ref.step!r}", where=self.name, accepted=names
            )
        return [m["key"] for m in found]

    def _made(self, ref: Ref, key: str) -> tuple[Component, dict[str, Any]]:
        """The component that made a step, and the artifacts that are referred to by port."""
        manifest = self.store.step(key) if key else None
        if manifest is None:
            raise UsageError(f"{ref.step!r} did not succeed in this trial", where=self.name)
        made = self._components.get(manifest.component) or find(manifest.component)
        ports = manifest.outputs
        if ref.port and ref.port not in ports:
            raise UsageError(
                f"{ref.step!r} has no output {ref.port!r}", next=did_you_mean(ref.port, ports)
            )
        return made, {ref.port: ports[ref.port]} if ref.port else ports

    def _repr_html_(self) -> str:
        from assay.core.report import verdict_table

        return verdict_table(self)

    def __repr__(self) -> str:
        said = ", ".join(f"{c['id']} {c['verdict']}" for c in self.claims)
        return f"<Run {self.name}: {self.summary['status']}; {said}>"


def _spelt(member: Mapping[str, Any]) -> str:
    """A member as it is named: ``fold=1, size=small``."""
    return ", ".join(f"{name}={value}" for name, value in member.items())


def start(
    study: "Study",
    plan: Plan,
    *,
    preset: str,
    overrides: Mapping[str, Any],
    store: Path | str | None = None,
    workers: int | None = None,
    on: str | None = None,
    progress: bool = True,
    report: bool = True,
    listeners: tuple[Listener, ...] = (),
) -> Run:
    """Execute a plan, judge the claims, write the run's folder and its report.

    Raises:
        UsageError: If the number of workers is negative.
        ResourceError: If the place of execution lacks what a step asks for.
        StoreError: If the disk is full; finished steps are kept.
    """
    if workers is not None and workers < 0:
        raise UsageError(f"{workers} workers", accepted="0, to run in this process, or more")
    if on is not None:
        connect(on).close()  # before anything is made
    home = Store(store or default_store())
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{study.name}-{uuid.uuid4().hex[:6]}"
    folder = home.root / "runs" / name
    clock = time.perf_counter()
    head = {
        "run": name,
        "study": study.name,
        "title": study.title,
        "preset": preset,
        "overrides": {k: str(v) if isinstance(v, Path) else v for k, v in overrides.items()},
        "started": time.time(),
        "trials": len(plan.trials),
        "host": platform.node(),
        "platform": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "libraries": {k: v for k, v in library_versions(LIBRARIES).items() if v != "absent"},
        "figures": study.figures,
    }
    shown = _progress() if progress else None
    with writing(folder.parent):
        folder.mkdir()
    write_text(folder / "run.json", _json({**head, "status": "running", **NOTHING}))
    log = EventLog(folder / "events.jsonl", [*listeners, *([shown] if shown else [])])
    driver = Driver(plan, home, log)
    run: Run | None = None
    try:
        log({"kind": "run_started", "study": study.name, "trials": len(plan.trials)})
        driver.run(lambda: _place(home, log, workers, on))
        frame = collect(plan, driver, home)
        verdicts, results = judge(study.claims, study.checks, frame)
        _write_frame(frame, folder)
        found = {
            "records": len(frame),
            "claims": [v.to_dict() for v in verdicts],
            "checks": [r.to_dict() for r in results],
            "report": str(folder / "report" / "index.html") if report else "",
        }
        seconds = {"seconds": round(time.perf_counter() - clock, 3)}
        _record(home, plan, driver, {**head, **_account(plan, driver), **found, **seconds})
        run = Run(home, name)
        run._components = {n.component.reference: n.component for n in plan.nodes.values()}
        if report:
            from assay.core.report import write_report

            log({"kind": "reporting"})
            write_report(run, study)
        log({"kind": "run_finished", "status": run.summary["status"], **seconds})
    except BaseException as error:
        if run is None:
            seconds = {"seconds": round(time.perf_counter() - clock, 3)}
            with suppress(StoreError):
                _record(home, plan, driver, {**head, **_cut_short(plan, driver, error), **seconds})
        raise
    finally:
        if shown:
            shown.close()
        log.close()
    return run


def _record(home: Store, plan: Plan, driver: Driver, summary: dict[str, Any]) -> None:
    """Write down how a run ended: in its folder, then in the index."""
    folder = home.root / "runs" / summary["run"]
    write_text(folder / "trials.json", _json(_trials(plan, driver)))
    write_text(folder / "run.json", _json(summary))
    ran = [s.key for s in driver.states.values() if s.status in ("done", "shared")]
    index = Index(home)
    index.add_steps(m for key in ran if (m := home.step(key)) is not None)
    index.add_run(summary)


def _cut_short(plan: Plan, driver: Driver, error: BaseException) -> dict[str, Any]:
    """The summary of a run that did not get to its claims."""
    account = {**_account(plan, driver), **NOTHING}
    if isinstance(error, KeyboardInterrupt):
        return {**account, "status": "stopped"}
    told = {"step": "", "error": str(error) or type(error).__name__, "trace": ""}
    return {**account, "status": "failed", "errors": [*account["errors"], told]}


def _write_frame(frame: Any, folder: Path) -> None:
    """Write the records; a file is there whole or not at all."""
    writers = {
        "records.parquet": frame.to_parquet,
        "records.csv": partial(frame.to_csv, index=False),
    }
    for name, write in writers.items():
        unfinished = folder / f".{name}"
        try:
            with writing(folder):
                write(unfinished)
                os.replace(unfinished, folder / name)
        finally:
            unfinished.unlink(missing_ok=True)


def _place(store: Store, log: EventLog, workers: int | None, on: str | None) -> Place:
    if on is not None:
        return Cluster(store.root, log, address=on)
    count = available_cores() if workers is None else workers
    return Cluster(store.root, log, workers=count) if count else Inline(store.root, log)


def _progress() -> Any:
    from assay.core.progress import Progress

    return Progress()


def _trials(plan: Plan, driver: Driver) -> list[dict[str, Any]]:
    """For every trial its choices, seed, and each step's members with their keys."""
    return [
        {
            "trial": trial.number,
            "choices": dict(trial.choices),
            "seed": trial.seed,
            "steps": {
                step: [_member(plan, driver, node) for node in nodes.values()]
                for step, nodes in trial.nodes.items()
            },
        }
        for trial in plan.trials
    ]


def _member(plan: Plan, driver: Driver, node: str) -> dict[str, Any]:
    state = driver.states[node]
    return {
        "member": {k: scalar(v) for k, v in plan.nodes[node].member.items()},
        "key": state.key if state.ok else "",
        "status": state.status,
        "seconds": round(state.seconds, 4),
        **({"error": state.error} if state.error else {}),
    }


def _account(plan: Plan, driver: Driver) -> dict[str, Any]:
    """How many trials and steps came to what, and the first words of every failure."""
    lost = [
        trial.number
        for trial in plan.trials
        if any(
            node in plan.targets and not driver.states[node].ok
            for nodes in trial.nodes.values()
            for node in nodes.values()
        )
    ]
    errors = [
        {"step": plan.nodes[name].label, "error": state.error, "trace": state.trace}
        for name, state in driver.states.items()
        if state.status == "failed"
    ]
    counts: dict[str, int] = {}
    for state in driver.states.values():
        counts[state.status] = counts.get(state.status, 0) + 1
    status = "failed" if lost else "done"
    return {"status": status, "failed": len(lost), "steps": counts, "errors": errors}


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, default=str)
