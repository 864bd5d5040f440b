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
from assay.core.decisions import (
    Assign,
    Choices,
    Decision,
    Preset,
    Sampler,
    Span,
    Use,
    as_decision,
    patched,
    sole_path,
    sweep,
)
from assay.core.params import Param, native, short
from assay.core.plan import Plan
from assay.core.records import RESERVED
from assay.core.sampling import MOST
from assay.core.steps import checked_name, known
from assay.core.workflow import Workflow
from assay.errors import ClaimError, UsageError, WorkflowError, did_you_mean

if TYPE_CHECKING:
    from assay.core.run import Run

Seeds = int | Sequence[int]


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

    Attributes:
        preset: The preset of a run that names none; a study file may say it.
        overrides: Values by ``step.parameter`` that win over presets; a study file may have some.

    Raises:
        WorkflowError: If a decision, preset or claim does not fit the workflow.
    """

    def __init__(
        self,
        flow: Workflow,
        *,
        name: str = "",
        title: str = "",
        decisions: Mapping[str, Any] | None = None,
        seeds: Seeds = 1,
        sampler: Sampler | None = None,
        claims: Sequence[Claim] = (),
        checks: Sequence[Check] = (),
        presets: Mapping[str, Preset] | None = None,
        figures: str = "",
    ) -> None:
        self.flow, self.name, self.title = flow, checked_name(name or flow.name), title
        self.decisions: dict[str, Decision] = {
            n: as_decision(n, d) for n, d in (decisions or {}).items()
        }
        self.seeds = native(seeds)
        self.sampler = sampler or Sampler()
        self.claims, self.checks = list(claims), list(checks)
        self.presets = dict(presets or {})
        self.figures = figures
        self.preset: str | None = None
        self.overrides: dict[str, Any] = {}
        if not flow.steps:
            raise WorkflowError("has no steps", where=self.name)
        seed_list(self.seeds, self.name)
        self._check_decisions()
        self._check_claims()
        for preset_name, preset in self.presets.items():
            checked_name(preset_name, f"{self.name}, presets")
            try:
                self._check_preset(preset)
            except (WorkflowError, UsageError) as error:
                raise error.at(f"preset {preset_name!r}") from error

    # -- checking -------------------------------------------------------------------------------

    def _check_decisions(self) -> None:
        """Apply every choice once, so that a misspelt step is found before anything runs."""
        axes = {name for step in self.flow.steps.values() for name in step.over}
        for name, decision in self.decisions.items():
            where = f"decision {name!r}"
            if checked_name(name, self.name) in (*RESERVED, *axes):
                raise WorkflowError("has the name of a column of the records", where=where)
            choices = decision.options if isinstance(decision, Choices) else [decision.at(0.0)]
            for _, patches in choices:
                try:
                    patched(self.flow, patches, {})
                except WorkflowError as error:
                    raise error.at(where) from error
        changed = [(_touched(d), n) for n, d in self.decisions.items()]
        for n, (touched, name) in enumerate(changed):
            for others, other in changed[:n]:
                if touched & others:
                    both = f"decisions {other!r} and {name!r} both change {min(touched & others)}"
                    raise WorkflowError(both, where=self.name)

    def _check_claims(self) -> None:
        """Two claims have two names, and a claim about a decision names two of its choices."""
        names = [c.id for c in (*self.claims, *self.checks)]
        twins = sorted({n for n in names if names.count(n) > 1})
        if twins:
            raise WorkflowError(f"two claims are named {twins[0]!r}", where=self.name)
        for claim in self.claims:
            decision = self.decisions.get(getattr(claim.estimand, "decision", ""))
            if isinstance(decision, Choices):
                labels = decision.labels()
                for label in (
                    getattr(claim.estimand, "a", None),
                    getattr(claim.estimand, "b", None),
                ):
                    if label not in labels:
                        raise ClaimError(
                            f"no choice {label!r}",
                            where=f"claim {claim.id!r}",
                            next=did_you_mean(str(label), map(str, labels)),
                        )

    def _check_preset(self, preset: Preset) -> None:
        self._restricted(preset)
        for path in preset.set:
            self._require_free(path)
        if preset.seeds is not None:
            seed_list(preset.seeds, "seeds")

    def _require_free(self, path: str) -> None:
        """Refuse to set a seed, or what a decision varies: its choices would become the same."""
        if self.parameter(path).is_seed:
            raise UsageError(
                f"{path} comes from the seeds of the study", next="Choose them with --seeds."
            )
        for name, decision in self.decisions.items():
            if path in _touched(decision) or self._given_apart(decision, path):
                raise UsageError(
                    f"{path} is varied by decision {name!r}",
                    next="Set another parameter, or run a study without that decision.",
                )

    def _given_apart(self, decision: Decision, path: str) -> bool:
        """Whether exchanged components are given a parameter that others have with another value.

        Components may differ in a default; that is no decision.
        """
        name, _, parameter = path.partition(".")
        step, named, values = self.flow.steps[name], False, list[Any]()
        for _, patches in decision.options if isinstance(decision, Choices) else ():
            used = [p for p in patches if isinstance(p, Use) and p.step == name]
            given = {**step.params, **(used[0].values if used else {})}
            param = (used[0].component if used else step.component).params.get(parameter)
            if param is not None:
                named |= bool(used) and parameter in used[0].values
                values.append(given.get(parameter, param.default))
        return named and any(value != values[0] for value in values)

    def parameter(self, path: str) -> Param:
        """The parameter at ``step.parameter``, of the workflow or of one choice's component.

        Raises:
            WorkflowError: If there is none.
        """
        if not isinstance(path, str):
            raise WorkflowError(f"{path!r} names no parameter", accepted="step.parameter")
        name, _, parameter = path.partition(".")
        for decision in self.decisions.values():
            for _, patches in decision.options if isinstance(decision, Choices) else ():
                for patch in patches:
                    if isinstance(patch, Use) and patch.step == name:
                        if parameter in patch.component.params:
                            return patch.component.params[parameter]
        self.flow.locate(path)
        return self.flow.steps[name].component.params[parameter]

    # -- planning -------------------------------------------------------------------------------

    def plan(
        self,
        preset: str | None = None,
        *,
        set: Mapping[str, Any] | None = None,
        seeds: Seeds | None = None,
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
        count = next(s for s in (seeds, chosen.seeds, self.seeds) if s is not None)
        numbers = seed_list(count, self.name)
        fixed = self._fixed({**self.overrides, **(set or {})})
        values = {k: v for k, v in values.items() if k not in map(sole_path, fixed.values())}
        for path in values:
            self._require_free(path)
        kept = {n: d for n, d in self._restricted(chosen).items() if n not in fixed}
        settled = {n: d.options[0] for n, d in fixed.items()}
        points = [
            {n: (settled | point)[n] for n in self.decisions} for point in self.sampler.points(kept)
        ]
        if len(points) * len(numbers) > MOST:
            raise UsageError(
                f"{len(points) * len(numbers):,} trials",
                where=self.name,
                accepted=f"at most {MOST:,}",
            )
        plan, reached = Plan(), dict[str, Any]()
        for point in points:
            patches = [p for _, several in point.values() for p in several]
            here = self._those_here(values, patches)
            reached |= here
            flow = patched(self.flow, patches, here)
            choices = {name: label for name, (label, _) in point.items()}
            for seed in numbers:
                plan.add_trial(flow, choices, seed)
        for path in values:
            if path not in reached:
                raise UsageError(f"no trial has the parameter {path}", where=self.name)
        return plan

    def _fixed(self, values: Mapping[str, Any]) -> dict[str, Choices]:
        """The decisions that an override settles, since they vary that one parameter and no more.

        A claim that compares choices of such a decision is not tested in that run.
        """
        fixed: dict[str, Choices] = {}
        for name, decision in self.decisions.items():
            path = sole_path(decision)
            if path in values:
                self.parameter(path).check(values[path], path)
                fixed[name] = sweep(path, [values[path]])
        return fixed

    def _those_here(self, values: Mapping[str, Any], patches: Sequence[Any]) -> dict[str, Any]:
        """The overrides whose parameter the components of one trial have."""
        stands = {p.step: p.component for p in patches if isinstance(p, Use)}
        here: dict[str, Any] = {}
        for path, value in values.items():
            name, _, parameter = path.partition(".")
            if parameter in stands.get(name, self.flow.steps[name].component).params:
                here[path] = value
        return here

    def _preset(self, name: str | None) -> Preset:
        name = self.preset if name is None else name
        if name is None:
            return Preset()
        if name not in self.presets:
            raise UsageError(
                f"no preset {name!r}", where=self.name, next=did_you_mean(name, self.presets)
            )
        return self.presets[name]

    def _restricted(self, preset: Preset) -> dict[str, Decision]:
        """The decisions, with the choices a preset keeps."""
        kept = dict(self.decisions)
        known(preset.only, self.decisions, self.name, "decision")
        for name, labels in preset.only.items():
            decision, where = kept[name], f"decision {name!r}"
            if isinstance(decision, Span):
                raise UsageError("a range has no choices to keep", where=where)
            listed = isinstance(labels, list | tuple)
            options = [o for o in decision.options if listed and o[0] in labels]
            if not options or len(options) != len(labels):
                raise UsageError(
                    f"{short(labels)} are not all choices",
                    where=where,
                    accepted=f"a list of {', '.join(map(str, decision.labels()))}",
                )
            kept[name] = Choices(tuple(options))
        return kept

    # -- running --------------------------------------------------------------------------------

    def run(
        self,
        preset: str | None = None,
        *,
        set: Mapping[str, Any] | None = None,
        seeds: Seeds | None = None,
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
            preset=preset or self.preset or "",
            overrides={**self._preset(preset).set, **self.overrides, **(set or {})},
            store=store,
            workers=workers,
            on=on,
            progress=progress,
            report=report,
        )


def _touched(decision: Decision) -> set[str]:
    """Parameters whose values, and steps whose components a decision varies."""
    if isinstance(decision, Span):
        return {decision.path}
    patches = [p for _, several in decision.options for p in several]
    return {p.path if isinstance(p, Assign) else p.step for p in patches}


def seed_list(seeds: Any, where: str) -> list[int]:
    """The seeds that a number of seeds, or a list of them, stands for.

    Raises:
        UsageError: If it is neither, or two are the same.
    """
    given = native(seeds)
    numbers = range(given) if type(given) is int else given
    if isinstance(numbers, range) and numbers[MOST:]:
        raise UsageError(f"{short(given)} seeds", where=where, accepted=f"at most {MOST:,}")
    listed = isinstance(numbers, list | tuple | range) and len(numbers) > 0
    if not listed or any(type(s) is not int for s in numbers) or len({*numbers}) < len(numbers):
        raise UsageError(
            f"{short(seeds)} is neither a number of seeds nor a list of different seeds",
            where=where,
            accepted="a whole number of at least 1, or a list of whole numbers",
        )
    return list(numbers)
