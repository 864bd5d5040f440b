"""What `challenge.yaml` may say: tasks, metrics, ranking, limits and phases.

Notable: there is one set of limits, so that a check at home and the official one cannot differ; and
a moment without an offset from UTC is refused, since a deadline at "midnight" is not one.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from assay.errors import UsageError
from assay.parts.competition.metrics import METRICS, Metric
from assay.parts.ranking.ranks import Ties
from assay.parts.ranking.signed_rank import Adjustment

__all__ = [
    "BIAS_ITEMS", "BiasItem", "Bootstrap", "Challenge", "Limits", "Measure", "Phase",
    "RankingRule", "Task",
]  # fmt: skip

BiasItem = Literal["mission", "organisation", "data", "metrics", "ranking", "statistics"]
BIAS_ITEMS: tuple[BiasItem, ...] = get_args(BiasItem)
"""What a challenge design has to tell (BIAS, Maier-Hein et al. 2020)."""
Text = Annotated[str, Field(min_length=1, max_length=5_000)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
Title = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
CaseId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
T = TypeVar("T")
List = Annotated[
    tuple[T, ...], Strict(False)
]  # lists of YAML become tuples; what is in them stays strict
Pair = Annotated[tuple[Number, Number], Strict(False)]


def _moment(said: Any) -> datetime:
    """A moment with its offset, as UTC."""
    accepted = "a moment with its offset from UTC, such as 2030-01-31T23:59:59+01:00"
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) else None
        if moment is not None and moment.utcoffset() is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError("moment", "Input should be {accepted}", {"accepted": accepted})


def _missing(said: Any) -> Any:
    if said is None or said in ("na.rm", "worst"):
        return said
    if isinstance(said, int | float) and not isinstance(said, bool) and math.isfinite(said):
        return float(said)
    raise PydanticCustomError("missing_rule", "Input should be a number, 'na.rm' or 'worst'")


Moment = Annotated[datetime, BeforeValidator(_moment)]


def _wrong(what: str, *at: str | int, accepted: str = "") -> PydanticCustomError:
    """A refusal of something further inside than the model that finds it."""
    text = what.replace("{", "(").replace("}", ")")  # the template's own signs
    return PydanticCustomError("refused", text, {"at": at, "accepted": accepted})  # type: ignore[arg-type]


class _Strict(BaseModel):
    """Plain data, of exactly the keys and kinds that are named."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, said: Any) -> Any:
        for key in said if isinstance(said, Mapping) else ():
            if key not in cls.model_fields:
                ctx = {"at": (key,), "known": tuple(cls.model_fields)}
                raise PydanticCustomError("unknown_key", "no key", ctx)  # type: ignore[arg-type]
        return said


class Measure(_Strict):
    """A metric of a task.

    Attributes:
        name: One of `METRICS`.
        column: Of the table; empty for boxes.
        small_better: Follows from the metric; a file that says otherwise is refused.
    """

    name: str
    column: str = ""
    small_better: bool

    @model_validator(mode="before")
    @classmethod
    def _direction(cls, said: Any) -> Any:
        if not isinstance(said, Mapping) or "name" not in said:
            return said
        name = said["name"]
        if not isinstance(name, str) or name not in METRICS:
            ctx = {"at": ("name",), "known": tuple(METRICS)}
            raise PydanticCustomError("unknown_metric", "no metric", ctx)  # type: ignore[arg-type]
        right = METRICS[name].small_better
        if said.get("small_better", right) is not right:
            wanted = f"{str(right).lower()} for {name}"
            raise _wrong("is not the metric's direction", "small_better", accepted=wanted)
        return {**said, "small_better": right}

    @property
    def id(self) -> str:
        """Name within the task."""
        return f"{self.column}.{self.name}" if self.column else self.name

    @property
    def metric(self) -> Metric:
        """What it computes."""
        return METRICS[self.name]


class Task(_Strict):
    """What is predicted, and how it is judged.

    Attributes:
        kind: ``boxes``: ``boxes/<case>.json``; ``table``: ``<task>.csv``.
        truth: In the folder ``truth``: a CSV file, or a folder of box files.
        metrics: By which it is judged.
        columns: Of a table, each with the smallest and the largest value there can be. A missing
            prediction takes the worst error within it.
        missing: ``refuse`` a submission that lacks a prediction, or score the ``worst``.
        frames: Of every case of boxes; a box in a later frame is refused.
    """

    kind: Literal["boxes", "table"]
    truth: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    metrics: Annotated[List[Measure], Field(min_length=1)]
    columns: dict[CaseId, Pair] = {}
    missing: Literal["refuse", "worst"] = "refuse"
    frames: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000_000

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind == "table") != bool(self.columns):
            what = "needs columns" if self.kind == "table" else "of boxes has no columns"
            raise _wrong(what, "columns", accepted="`columns: {counts: [0, 20]}` for a table")
        for name, (low, high) in self.columns.items():
            if name == "case" or not low < high:
                what = "is no range" if name != "case" else "is the name of the first column"
                raise _wrong(what, "columns", name, accepted="[smallest, largest]")
        for n, measure in enumerate(self.metrics):
            self._measured(measure, ("metrics", n))
        if len({measure.id for measure in self.metrics}) < len(self.metrics):
            raise _wrong("holds a metric twice", "metrics")
        return self

    def _measured(self, measure: Measure, at: tuple[str | int, ...]) -> None:
        metric = measure.metric
        if metric.kind != self.kind:
            fitting = ", ".join(name for name, m in METRICS.items() if m.kind == self.kind)
            raise _wrong(f"is for {metric.kind}", *at, "name", accepted=fitting)
        if self.kind == "boxes" and measure.column:
            raise _wrong("boxes have no columns", *at, "column")
        if self.kind == "table" and measure.column not in self.columns:
            raise _wrong("is no column", *at, "column", accepted=", ".join(self.columns))
        if metric.positive and self.columns[measure.column][0] <= 0:
            where = ("columns", measure.column)
            raise _wrong("reaches down to 0", *where, accepted=f"above 0 for {measure.name}")


class Bootstrap(_Strict):
    """How often the cases are drawn anew, and from which seed."""

    draws: Annotated[int, Field(ge=0, le=100_000)] = 1_000
    seed: Annotated[int, Field(ge=0)] = 0


class RankingRule(_Strict):
    """How entries are ranked.

    Attributes:
        method: Of one metric; ``overall`` ranks the one number that every metric has.
        aggregate: Of values or ranks over cases.
        ties: Which of their ranks equal entries get.
        missing: What stands for a value that is missing: a number, ``na.rm`` or ``worst``.
        alpha: Level of the tests.
        adjust: Of p-values, over all ordered pairs.
        consensus: Over the metrics of all tasks: the mean of ranks, or none.
        bootstrap: For the stability of the ranking.
    """

    method: Literal["aggregate-then-rank", "rank-then-aggregate", "test-then-rank", "overall"] = (
        "aggregate-then-rank"
    )
    aggregate: Literal["mean", "median"] = "mean"
    ties: Ties = "min"
    missing: Annotated[float | str | None, BeforeValidator(_missing)] = None
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    adjust: Adjustment = "none"
    consensus: Literal["mean-rank", "none"] = "mean-rank"
    bootstrap: Bootstrap = Bootstrap()


class Limits(_Strict):
    """What a submission may take, the same at home and officially.

    Attributes:
        bytes: Of all its files, unpacked.
        members: Files.
        ratio: Of bytes unpacked to bytes packed.
        boxes_per_image: Boxes in one frame.
        seconds: For checking and scoring, and for one run of a program.
        memory_bytes: Likewise.
        tries: Submissions of a team in a phase, where the phase does not say.
    """

    bytes: Annotated[int, Field(ge=1, le=2**31)] = 20_000_000
    members: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    ratio: Annotated[int, Field(ge=1, le=1_000)] = 100
    boxes_per_image: Annotated[int, Field(ge=1, le=10_000)] = 100
    seconds: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    memory_bytes: Annotated[int, Field(ge=2**26)] = 2**31
    tries: Annotated[int, Field(ge=1)] = 10


class Phase(_Strict):
    """When which cases are predicted.

    Attributes:
        name: Of the phase.
        opens: In UTC.
        closes: In UTC; from this moment on nothing is taken.
        cases: Name of the set of cases.
        tries: Submissions of a team; None for that of the limits.
    """

    name: Name
    opens: Moment
    closes: Moment
    cases: Name
    tries: Annotated[int, Field(ge=1)] | None = None


class Challenge(_Strict):
    """Everything that an organiser decides.

    Attributes:
        version: Of this format.
        name: Short, for files and addresses.
        title: What people read.
        organisers: Who they are.
        tasks: By name.
        cases: Sets of cases, by name.
        classes: Of boxes, in the order of their labels.
        frame_base: Number of the first frame in box files.
        ranking: How entries are ranked.
        limits: What a submission may take.
        phases: In their order.
        bias: The organisers' words for the items of a challenge design.
    """

    version: Literal[1]
    name: Name
    title: Title
    organisers: Annotated[List[Title], Field(min_length=1)]
    tasks: Annotated[dict[Name, Task], Field(min_length=1)]
    cases: Annotated[dict[Name, Annotated[List[CaseId], Field(min_length=1)]],
                     Field(min_length=1)]  # fmt: skip
    classes: List[Title] = ()
    frame_base: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    ranking: RankingRule = RankingRule()
    limits: Limits = Limits()
    phases: Annotated[List[Phase], Field(min_length=1)]
    bias: dict[BiasItem, Text] = {}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        boxes = [name for name, task in self.tasks.items() if task.kind == "boxes"]
        if len(boxes) > 1:
            raise _wrong("is a second task of boxes", "tasks", boxes[1], accepted="one")
        if boxes and not self.classes:
            raise _wrong("are needed for boxes", "classes", accepted="`classes: [needle]`")
        if len({name.replace(" ", "_") for name in self.classes}) < len(self.classes):
            raise _wrong("holds a class twice", "classes")
        for name, cases in self.cases.items():
            if len(set(cases)) < len(cases):
                raise _wrong("holds a case twice", "cases", name)
        seen: set[str] = set()
        for n, phase in enumerate(self.phases):
            if phase.cases not in self.cases:
                known = ", ".join(self.cases)
                raise _wrong("is no set of cases", "phases", n, "cases", accepted=known)
            if phase.name in seen:
                raise _wrong("is there twice", "phases", n, "name")
            seen.add(phase.name)
        return self

    @property
    def every_case(self) -> tuple[str, ...]:
        """The cases of all sets, each once."""
        return tuple(dict.fromkeys(case for cases in self.cases.values() for case in cases))

    def cases_of(self, phase: str | None) -> tuple[str, ...]:
        """The cases of a phase; of all sets if None.

        Raises:
            UsageError: If there is no such phase.
        """
        if phase is None:
            return self.every_case
        names = {one.name: one.cases for one in self.phases}
        if phase not in names:
            raise UsageError(f"no phase {phase!r}", where=self.name, accepted=", ".join(names))
        return self.cases[names[phase]]
