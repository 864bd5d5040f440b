"""A study: a workflow, the decisions varied, the seeds, and the claims tested.

study = Study(
flow,
decisions={"manning": sweep("flood.manning", [0.02, 0.035, 0.05])},
seeds=3,
claims=[...],
)
run = study.run("tiny")
run.verdicts
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.claims import Check, Claim
from assay.core.decisions import Assign, Choices, Decision, Preset, Sampler, Use, as_decision
from assay.core.plan import Plan
from assay.core.workflow import Workflow
from assay.errors import UsageError, WorkflowError, did_you_mean

if TYPE_CHECKING:
    from assay.core.run import Run


class Study:
    """A workflow whose decisions are varied and whose claims get a verdict.

    Args:
        flow: The workflow.
        name: Name of the study; that of the workflow if not given.
        title: One line on what it finds out.
        decisions: What is varied, by name: ``sweep``, ``span`` or a dict of named patches.
        seeds: Number of seeds (0, 1, ...) or the seeds themselves.
        sampler: How trials are chosen from the decisions.
        claims: Sentences put to a statistical test.
        checks: Exact statements.
        presets: Sets of overrides by name, such as ``tiny``, ``small`` and ``paper``.
        figures: ``module:function`` that turns a run into figures.

    Raises:
        WorkflowError: If a decision or preset does not fit the workflow.
    """

    def __init__(
        self,
        flow: Workflow,
        *,
        name: str = "",
        title: str = "",
        decisions: Mapping[str, Any] | None = None,
        seeds: int | Sequence[int] = 1,
        sampler: Sampler | None = None,
        claims: Sequence[Claim] = (),
        checks: Sequence[Check] = (),
        presets: Mapping[str, Preset] | None = None,
        figures: str = "",
    ) -> None:
        self.flow, self.name, self.title = flow, name or flow.name, title
        self.decisions: dict[str, Decision] = {
            n: as_decision(n, d) for n, d in (decisions or {}).items()
        }
        self.seeds = seeds
        self.sampler = sampler or Sampler()
        self.claims, self.checks = list(claims), list(checks)
        self.presets = dict(presets or {})
        self.figures = figures
        self.overrides: dict[str, Any] = {}
        self._refuse_twins()
        for decision in self.decisions.values():
            self._try(decision)

    def _refuse_twins(self) -> None:
        names = [c.id for c in (*self.claims, *self.checks)]
        twins = sorted({n for n in names if names.count(n) > 1})
        if twins:
            raise WorkflowError(f"two claims are named {twins[0]!r}", where=self.name)

    def _try(self, decision: Decision) -> None:
        """Apply every choice once, so that a misspelt step is found before anything runs."""
        choices = decision.options if isinstance(decision, Choices) else [decision.at(0.0)]
        for _, patches in choices:
            flow = self.flow
            for patch in patches:
                flow = patch.apply(flow)
            flow.order()

    # -- planning -------------------------------------------------------------------------------

    def plan(
        self,
        preset: str | None = None,
        *,
        set: Mapping[str, Any] | None = None,
        seeds: int | Sequence[int] | None = None,
    ) -> Plan:
        """Lay out every trial.

        Args:
            preset: Name of a preset.
            set: Values by ``step.parameter``; they win over file and preset.
            seeds: Number of seeds or the seeds; wins over file and preset.

        Raises:
            AssayError: If a name, a value or a path is wrong; nothing has run.
        """
        chosen = self._preset(preset)
        values = {**chosen.set, **self.overrides, **(set or {})}
        count = seeds if seeds is not None else chosen.seeds
        plan = Plan()
        reached: dict[str, bool] = dict.fromkeys(values, False)
        for point in self.sampler.points(self._restricted(chosen)):
            flow = self._patched(point, values, reached)
            choices = {name: label for name, (label, _) in point.items()}
            for seed in self._seeds(count):
                plan.add_trial(flow, choices, seed)
        for path, found in reached.items():
            if not found:
                self.flow.locate(path)  # raises, with a suggestion
        return plan

    def _preset(self, name: str | None) -> Preset:
        if name is None:
            return Preset()
        if name not in self.presets:
            raise UsageError(
                f"no preset {name!r}", where=self.name, next=did_you_mean(name, self.presets)
            )
        return self.presets[name]

    def _seeds(self, count: int | Sequence[int] | None) -> list[int]:
        chosen = self.seeds if count is None else count
        numbers = list(range(chosen)) if isinstance(chosen, int) else list(chosen)
        if not numbers:
            raise UsageError("no seeds", where=self.name, accepted="at least one")
        return numbers

    def _restricted(self, preset: Preset) -> dict[str, Decision]:
        """The decisions, with the choices a preset keeps."""
        kept = dict(self.decisions)
        for name, labels in preset.only.items():
            decision = kept.get(name)
            if not isinstance(decision, Choices):
                raise UsageError(
                    f"no decision {name!r} to restrict",
                    where=self.name,
                    next=did_you_mean(name, self.decisions),
                )
            options = tuple(o for o in decision.options if o[0] in labels)
            if len(options) != len(labels):
                raise UsageError(
                    f"choices {labels} are not all in decision {name!r}",
                    where=self.name,
                    accepted=", ".join(map(str, decision.labels())),
                )
            kept[name] = Choices(options)
        return kept

    def _patched(
        self, point: Mapping[str, Any], values: Mapping[str, Any], reached: dict[str, bool]
    ) -> Workflow:
        """The workflow of one point: overrides where they apply, then the choices."""
        flow = self.flow
        patches = [(name, p) for name, (_, patches) in point.items() for p in patches]
        for _, patch in patches:
            if isinstance(patch, Use):
                flow = patch.apply(flow)
        for path, value in values.items():
            step, _, parameter = path.rpartition(".")
            if step in flow.steps and parameter in flow.steps[step].component.params:
                flow, reached[path] = flow.with_value(path, value), True
        for name, patch in patches:
            if isinstance(patch, Assign):
                if patch.path in values:
                    raise UsageError(
                        f"{patch.path} is varied by decision {name!r}",
                        where="--set",
                        next="Set another parameter, or run a study without that decision.",
                    )
                flow = patch.apply(flow)
        return flow

    # -- running --------------------------------------------------------------------------------

    def run(
        self,
        preset: str | None = None,
        *,
        set: Mapping[str, Any] | None = None,
        seeds: int | Sequence[int] | None = None,
        store: Path | str | None = None,
        workers: int | None = None,
        on: str | None = None,
        progress: bool = True,
        report: bool = True,
    ) -> "Run":
        """Run the study and write its report.

        Args:
            preset: Name of a preset.
            set: Values by ``step.parameter``.
            seeds: Number of seeds or the seeds.
            store: Folder of the store; ``$ASSAY_STORE`` or ``assay-store`` if not given.
            workers: Processes; 0 runs in this process; the cores of this host if not given.
            on: Address of a ``distributed`` scheduler.
            progress: Whether to show progress.
            report: Whether to write the report.

        Returns:
            The run, with its verdicts, records and stored values.
        """
        from assay.core.run import start

        plan = self.plan(preset, set=set, seeds=seeds)
        return start(
            self,
            plan,
            preset=preset or "",
            overrides={**self._preset(preset).set, **self.overrides, **(set or {})},
            store=store,
            workers=workers,
            on=on,
            progress=progress,
            report=report,
        )
