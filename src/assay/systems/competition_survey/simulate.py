"""Respondents that never were: what they answer follows published marginals, by competition.

Every yes or no of a team of competition *c* has the chance ``logistic(a + sd z_c)``, with *z_c*
standard normal and *a* such that the mean over competitions is the marginal wanted. Marginals are
the published figures and nothing else; answers that nothing was published about are drawn evenly.

Notable: all teams of a competition are drawn, then some of them answer, so that ranks count among
all; some forms are broken in a known way, and the ledger says which.
"""

from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeFloat, PositiveInt

from assay.core.component import Seed, component
from assay.core.task import task
from assay.systems.competition_survey.answers import rows_of, tables
from assay.systems.competition_survey.faults import LEDGER, plant
from assay.systems.competition_survey.instrument import Instrument, Question
from assay.systems.competition_survey.published import Figure, published
from assay.systems.competition_survey.questions import OTHER
from assay.systems.competition_survey.show_if import shown
from assay.systems.competition_survey.winners import read_strategy

__all__ = ["Simulated", "centre", "simulate", "team_counts"]

Share = Annotated[float, Field(ge=0, le=1)]
COMPETITIONS, SD, BROKEN, RESPONSE = 80, 0.7, 0.14, 0.72
UNKNOWN_CHOICE = 0.2
"""Chance of a choice among several that nothing was published about."""
PLANTED = {"metric_design": 0.8, "failure_analysis": 0.8}
"""The two strategies that separated high ranks in arXiv 2303.17719; the size is ours."""


class Simulated(NamedTuple):
    """A survey of teams that never were.

    Attributes:
        respondents: Everybody invited, as `Answers` has them.
        answers: What was submitted.
        competitions: ``competition``, ``team``, ``rank``.
        ledger: Faults that were planted: ``code``, ``respondent``, ``question``.
        truth: For each published figure that was simulated its ``figure`` and ``value``.
    """

    respondents: pd.DataFrame
    answers: pd.DataFrame
    competitions: pd.DataFrame
    ledger: pd.DataFrame
    truth: pd.DataFrame


@component(version="1", requires=("numpy", "pandas", "scipy"))
def simulate(
    instrument: Instrument,
    *,
    competitions: PositiveInt = COMPETITIONS,
    sd: NonNegativeFloat = SD,
    response: Share = RESPONSE,
    broken: Share = BROKEN,
    planted: dict[str, float] = PLANTED,
    seed: Seed,
) -> Simulated:
    """Draw a survey.

    Args:
        instrument: The questions.
        competitions: How many; the teams of each are 1 plus negative binomial, with median 6.
        sd: Standard deviation of competitions' effects on the logit scale.
        response: Chance that a team answers.
        broken: Share of the forms that are broken, each in one way.
        planted: Effect of each strategy on a team's latent quality, in standard deviations of
            everything else that it is made of.
        seed: Seed of all draws.
    """
    rng = np.random.default_rng(seed)
    sizes = team_counts(competitions, rng)
    competition = np.repeat(np.arange(competitions), sizes)
    known = published()
    forms = _forms(instrument, _marginals(known), competition, sd, rng)
    names = [f"competition {c + 1}" for c in range(competitions)]
    within = np.arange(len(competition)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rank = _ranks(instrument, forms, planted, competition, rng)
    table = pd.DataFrame(
        {
            "competition": [names[c] for c in competition],
            "team": [f"team {k + 1}" for k in within],
            "rank": rank.astype(float),
        }
    ).astype({"competition": "str", "team": "str"})
    chance = _chances(response, sd, competitions, rng)[competition]
    answers = rng.random(len(chance)) < chance
    status = np.where(answers, "completed", np.where(rng.random(len(chance)) < 0.3, "started",
                      "invited"))  # fmt: skip
    people = [
        {
            "respondent": f"{number:08x}",
            "competition": table.competition[number],
            "team": table.team[number],
            "status": str(status[number]),
            "instrument": instrument.hash if status[number] != "invited" else "",
            "seconds": float(rng.lognormal(7.0, 0.4)) + 120 if answers[number] else np.nan,
        }
        for number in range(len(table))
    ]
    done = np.flatnonzero(answers)
    ill = rng.permutation(done)[: round(broken * len(done))]
    ledger = plant(instrument, people, forms, ill.tolist(), rng)
    rows = [
        (people[k]["respondent"], question, *rest)
        for k in done
        for question, value in forms[k].items()
        for rest in rows_of(value)
    ]
    both = tables([tuple(p.values()) for p in people], rows)
    truth = [(f.id, f.value) for f in known]
    return Simulated(
        *both,
        table,
        pd.DataFrame(ledger, columns=list(LEDGER)).astype("str"),
        pd.DataFrame(truth, columns=["figure", "value"]),
    )


def team_counts(competitions: int, rng: np.random.Generator) -> np.ndarray:
    """Teams of each competition: 1 plus negative binomial with shape 3 and mean 6, median 6."""
    return 1 + rng.negative_binomial(3, 1 / 3, competitions)


@lru_cache(maxsize=1024)
def centre(marginal: float, sd: float) -> float:
    """The *a* for which the mean of ``logistic(a + sd z)`` over standard normal *z* is a marginal.

    Example:
        >>> centre(0.5, 0.7), round(centre(0.94, 0.0), 3)
        (0.0, 2.752)
    """
    from scipy.optimize import brentq
    from scipy.special import expit

    if marginal in (0.0, 0.5, 1.0):
        return {0.0: -np.inf, 0.5: 0.0, 1.0: np.inf}[marginal]
    node, weight = np.polynomial.hermite_e.hermegauss(41)
    weight = weight / weight.sum()
    found: Any = brentq(lambda a: weight @ expit(a + sd * node) - marginal, -60, 60)
    return float(found)


def _chances(marginal: float, sd: float, competitions: int, rng: np.random.Generator) -> np.ndarray:
    """The chance of a yes in every competition."""
    from scipy.special import expit

    return expit(centre(marginal, sd) + sd * rng.standard_normal(competitions))


def _marginals(figures: tuple[Figure, ...]) -> dict[str, dict[str, float]]:
    """Published shares by question and option; under the option ``""`` a median."""
    found: dict[str, dict[str, float]] = {}
    for f in figures:
        if f.question:
            value = round(1 - f.value, 12) if f.negated else f.value
            found.setdefault(f.question, {})[f.option if f.kind == "share" else ""] = value
    return found


def _forms(
    instrument: Instrument,
    marginals: dict[str, dict[str, float]],
    competition: np.ndarray,
    sd: float,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """A valid form of every team."""
    forms: list[dict[str, Any]] = [{} for _ in competition]
    for done, question in enumerate(instrument.asked, 1):
        condition = question.show_if
        asked = np.array(
            [k for k, f in enumerate(forms) if condition is None or shown(condition, f)], int
        )
        draw = _Draw(question, marginals.get(question.id, {}), competition[asked], sd, rng)
        for team, value in zip(asked, draw.values(), strict=True):
            forms[team][question.id] = value
            chosen = value if isinstance(value, list) else [value]
            if question.other_text and OTHER in chosen:
                forms[team][f"{question.id}_other"] = "something else"
        task().progress(done, len(instrument.asked), "questions")
    return forms


class _Draw:
    """Answers of the teams that are asked a question."""

    def __init__(
        self,
        question: Question,
        marginals: dict[str, float],
        competition: np.ndarray,
        sd: float,
        rng: np.random.Generator,
    ) -> None:
        self.question, self.marginals, self.rng = question, marginals, rng
        self.competition, self.sd, self.n = competition, sd, len(competition)

    def yes(self, marginal: float) -> np.ndarray:
        """Who says yes."""
        most = int(self.competition.max(initial=-1)) + 1
        chance = _chances(marginal, self.sd, most, self.rng)[self.competition]
        return self.rng.random(self.n) < chance

    def values(self) -> list[Any]:
        """One valid value for each team."""
        draw = {"bool": self._bool, "single": self._single, "multi": self._multi,
                "matrix": self._matrix, "likert": self._likert, "int": self._number,
                "number": self._number}.get(self.question.type, self._other)  # fmt: skip
        return draw()

    def _bool(self) -> list[Any]:
        return [bool(v) for v in self.yes(self.marginals.get("true", 0.5))]

    def _single(self) -> list[Any]:
        rest = [o for o in self.question.options if o not in self.marginals]
        found = self.rng.choice(rest, self.n) if rest else np.full(self.n, "")
        left, taken = 1.0, np.zeros(self.n, bool)
        for option, marginal in self.marginals.items():
            now = ~taken & self.yes(min(marginal / left, 1.0))
            found = np.where(now, option, found)
            left, taken = left - marginal, taken | now
        return [str(v) for v in found]

    def _multi(self) -> list[Any]:
        """Each published option by its marginal; who is left without a choice gets an even one.

        Where every option has a published share, the last one is for whoever chose nothing else.
        """
        q = self.question
        known = [o for o in self.marginals if o not in q.exclusive]
        open_ = [o for o in q.options if o not in self.marginals]
        if not open_ and known:
            known, open_ = known[:-1], known[-1:]
        chances = [self.yes(self.marginals[o]) for o in known]
        extra = [o for o in open_ if o not in q.exclusive and len(open_) > 1]
        more = self.rng.random((self.n, len(extra))) < UNKNOWN_CHOICE
        fill = self.rng.integers(0, len(open_), self.n)
        alone = {o: self.yes(self.marginals[o]) for o in q.exclusive if o in self.marginals}
        found: list[Any] = []
        for k in range(self.n):
            single = [o for o, who in alone.items() if who[k]]
            some = [o for o, who in zip(known, chances, strict=True) if who[k]]
            some += [o for o, one in zip(extra, more[k], strict=True) if one]
            found.append(single or some or [open_[fill[k]]])
        return found

    def _matrix(self) -> list[Any]:
        """Rows at random, never one choice in all of them."""
        q = self.question
        drawn = self.rng.integers(0, len(q.options), (self.n, len(q.rows)))
        if len(q.rows) > 1 and len(q.options) > 1:
            lined = (drawn == drawn[:, :1]).all(axis=1)
            drawn[lined, 0] = (drawn[lined, 0] + 1) % len(q.options)
        return [
            {row: q.options[one] for row, one in zip(q.rows, line, strict=True)} for line in drawn
        ]

    def _likert(self) -> list[Any]:
        low = int(self.question.min or 1)
        return [low + int(v) for v in self.rng.integers(0, len(self.question.options), self.n)]

    def _number(self) -> list[Any]:
        """Lognormal about the published median, or ten from the lowest allowed."""
        q = self.question
        low = q.min if q.min is not None else 0.0
        high = q.max if q.max is not None else np.inf
        middle = self.marginals.get("", min(low + 10, (low + min(high, low + 20)) / 2))
        most = int(self.competition.max(initial=-1)) + 1
        shift = 0.5 * self.rng.standard_normal(most)[self.competition]
        value = middle * np.exp(shift + self.rng.standard_normal(self.n))
        return [int(v) for v in np.clip(np.round(value), np.ceil(low), high)]

    def _other(self) -> list[Any]:
        said = {"date": "2021-03-01", "hash": "0" * 64}.get(self.question.type, "Nothing to add.")
        return [said] * self.n


def _ranks(
    instrument: Instrument,
    forms: list[dict[str, Any]],
    planted: dict[str, float],
    competition: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Rank of every team within its competition, by a latent quality; 1 is the best."""
    quality = rng.standard_normal(len(forms))
    for name, effect in planted.items():
        strategy = read_strategy(instrument, name)
        for team, form in enumerate(forms):
            values = [text for _, text in rows_of(form.get(strategy.question, []))]
            if values:
                quality[team] += effect * ((strategy.option in values) != strategy.negated)
    return pd.Series(-quality).groupby(competition).rank().to_numpy().astype(int)
