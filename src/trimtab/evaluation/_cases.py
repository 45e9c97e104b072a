"""How a judge is asked about contests, one order at a time, and what becomes of its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from trimtab.prompts.answers import unweighed, unwritten
from trimtab.prompts.judging import NAMES, SCALE, Judging, read_choice, read_scores
from trimtab.prompts.preference import Slot
from trimtab.protocols import Engine
from trimtab.types import Contest, Cost, Named, Question, Reading, Reply, Weighing


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How a judge writes: greedily at temperature 0."""

    max_tokens: int
    temperature: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A contest with its answers in one order, and how far the asking has come. Once `failure` says something, nothing more
    is asked."""

    contest: Contest
    ahead: bool
    thought: str = ""
    reading: Reading | None = None
    failure: str = ""
    cost: Cost = field(default_factory=Cost)

    @property
    def texts(self) -> tuple[str, str]:
        """The answers as they stand, the first one first."""
        contest = self.contest
        return (contest.ours, contest.theirs) if self.ahead else (contest.theirs, contest.ours)

    def read(self, reading: Reading) -> Case:
        """The case with its reading, which is none where something failed."""
        said = "\n\n".join(filter(None, [self.thought, reading.text]))
        return replace(self, reading=replace(reading, text=said))


def opened(contests: Sequence[Contest]) -> list[Case]:
    """Both orders of each contest, one behind the other, ours first."""
    return [Case(contest=each, ahead=ahead) for each in contests for ahead in (True, False)]


def reasoned(engine: Engine, judging: Judging, cases: Sequence[Case], how: Writing) -> list[Case]:
    """The cases with what the judge thinks of them, all in one call."""

    def heard(case: Case, reply: Reply) -> Case:
        return replace(case, thought=reply.text.strip())

    questions = [judging.reasoning(case.contest.prompt, *case.texts) for case in cases]
    return _written(engine, cases, questions, heard, how, stop=(judging.mark,))


def written(engine: Engine, judging: Judging, cases: Sequence[Case], how: Writing) -> list[Case]:
    """The cases with their verdicts as the judge wrote them, all in one call."""

    def heard(case: Case, reply: Reply) -> Case:
        return case.read(_parsed(judging, reply.text))

    questions = [_verdict(judging, case) for case in cases]
    return _written(engine, cases, questions, heard, how)


def weighed(engine: Engine, judging: Judging, cases: Sequence[Case]) -> list[Case]:
    """The cases with their verdicts read from probabilities: one question for a choice, one for each of two scores."""
    if judging.form == "choice":
        return _weighed(engine, cases, judging, 1, lambda case, found: case.read(_chosen(found)))
    first = _weighed(engine, cases, judging, 1, lambda case, found: replace(case, reading=_scored(_mean(found))))
    return _weighed(engine, first, judging, 2, lambda case, found: case.read(_both(case, _mean(found))))


def _written(
    engine: Engine,
    cases: Sequence[Case],
    questions: Sequence[Question],
    heard: Callable[[Case, Reply], Case],
    how: Writing,
    stop: Sequence[str] = (),
) -> list[Case]:
    waiting = [place for place, case in enumerate(cases) if not case.failure]
    asked = [questions[place] for place in waiting]
    replies = engine.write(asked, max_tokens=how.max_tokens, temperature=how.temperature, seed=how.seed, stop=stop)
    after = list(cases)
    for place, reply in zip(waiting, replies, strict=True):
        paid = replace(cases[place], cost=cases[place].cost + reply.cost)
        failure = unwritten(reply)
        after[place] = replace(paid, failure=failure) if failure else heard(paid, reply)
    return after


def _weighed(
    engine: Engine, cases: Sequence[Case], judging: Judging, slot: Slot, heard: Callable[[Case, Weighing], Case]
) -> list[Case]:
    waiting = [place for place, case in enumerate(cases) if not case.failure]
    choosing = judging.form == "choice"
    candidates = judging.candidates if choosing else tuple(str(each) for each in SCALE)
    questions = [_verdict(judging, cases[place], slot) for place in waiting]
    # the end of the turn tells a score of 1 from the beginning of a 10
    found = engine.weigh(questions, [candidates] * len(questions), ended=not choosing)
    after = list(cases)
    for place, weighing in zip(waiting, found, strict=True):
        paid = replace(cases[place], cost=cases[place].cost + weighing.cost)
        failure = unweighed(weighing)
        after[place] = replace(paid, failure=failure, reading=None) if failure else heard(paid, weighing)
    return after


def _verdict(judging: Judging, case: Case, slot: Slot = 1) -> Question:
    return judging.verdict(case.contest.prompt, *case.texts, thought=case.thought, slot=slot)


def _parsed(judging: Judging, text: str) -> Reading:
    if judging.form == "choice":
        return Reading(named=read_choice(text, ties=len(judging.candidates) > 2), text=text)
    scores = read_scores(text)
    return Reading(named=None if scores is None else _higher(*scores), scores=scores, text=text)


def _chosen(weighing: Weighing) -> Reading:
    """The likeliest candidate; where two are equally likely and none is likelier, neither."""
    most = max(weighing.shares)
    likeliest = [name for name, share in zip(NAMES, weighing.shares, strict=False) if share == most]
    return Reading(named=likeliest[0] if len(likeliest) == 1 else "tie", share=weighing.shares[0])


def _mean(weighing: Weighing) -> float:
    """The expected score."""
    return sum(score * share for score, share in zip(SCALE, weighing.shares, strict=True))


def _scored(first: float) -> Reading:
    """The first of two scores; nothing can be named yet."""
    return Reading(named=None, scores=(first, first))


def _both(case: Case, second: float) -> Reading:
    if case.reading is None or case.reading.scores is None:
        raise ValueError("the second score of a case is weighed after the first one")
    first = case.reading.scores[0]
    return Reading(named=_higher(first, second), scores=(first, second))


def _higher(first: float, second: float) -> Named:
    return "tie" if first == second else "first" if first > second else "second"
