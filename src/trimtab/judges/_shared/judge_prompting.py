"""How a judge is asked about contests, one order at a time, and what becomes of its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from trimtab.core.interfaces import Engine
from trimtab.prompts.comparison import Position
from trimtab.prompts.judge import SCORE_SCALE, VERDICT_CHOICES, JudgePrompt, parse_scores, parse_verdict
from trimtab.prompts.reply_checks import describe_generation_error, describe_scoring_error
from trimtab.types import ChoiceScores, Comparison, Cost, EngineRequest, Generation, JudgeChoice, SingleVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeGenerationSettings:
    """How a judge writes: greedily at temperature 0."""

    max_tokens: int
    temperature: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedComparison:
    """A contest with its answers in one order, and how far the asking has come. Once `failure` says something, nothing more
    is asked."""

    comparison: Comparison
    candidate_first: bool
    explanation: str = ""
    verdict: SingleVerdict | None = None
    failure: str = ""
    cost: Cost = field(default_factory=Cost)

    @property
    def responses(self) -> tuple[str, str]:
        """The answers as they stand, the first one first."""
        contest = self.comparison
        return (contest.candidate, contest.baseline) if self.candidate_first else (contest.baseline, contest.candidate)

    def with_verdict(self, reading: SingleVerdict) -> OrderedComparison:
        """The case with its reading, which is none where something failed."""
        said = "\n\n".join(filter(None, [self.explanation, reading.text]))
        return replace(self, verdict=replace(reading, text=said))


def build_ordered_comparisons(contests: Sequence[Comparison]) -> list[OrderedComparison]:
    """Both orders of each contest, one behind the other, ours first."""
    return [OrderedComparison(comparison=each, candidate_first=ahead) for each in contests for ahead in (True, False)]


def generate_explanations(
    engine: Engine, judging: JudgePrompt, cases: Sequence[OrderedComparison], how: JudgeGenerationSettings
) -> list[OrderedComparison]:
    """The cases with what the judge thinks of them, all in one call."""

    def heard(case: OrderedComparison, reply: Generation) -> OrderedComparison:
        return replace(case, explanation=reply.text.strip())

    questions = [judging.reasoning(case.comparison.prompt, *case.responses) for case in cases]
    return _generate(engine, cases, questions, heard, how, stop=(judging.verdict_label,))


def generate_verdicts(
    engine: Engine, judging: JudgePrompt, cases: Sequence[OrderedComparison], how: JudgeGenerationSettings
) -> list[OrderedComparison]:
    """The cases with their verdicts as the judge wrote them, all in one call."""

    def heard(case: OrderedComparison, reply: Generation) -> OrderedComparison:
        return case.with_verdict(_parse_verdict(judging, reply.text))

    questions = [_build_verdict_request(judging, case) for case in cases]
    return _generate(engine, cases, questions, heard, how)


def score_verdict_choices(
    engine: Engine, judging: JudgePrompt, cases: Sequence[OrderedComparison]
) -> list[OrderedComparison]:
    """The cases with their verdicts read from probabilities: one question for a choice, one for each of two scores."""
    if judging.output_format == "choice":
        return _score(engine, cases, judging, 1, lambda case, found: case.with_verdict(_most_likely_verdict(found)))
    first = _score(
        engine, cases, judging, 1, lambda case, found: replace(case, verdict=_first_score_only(_expected_score(found)))
    )
    return _score(
        engine,
        first,
        judging,
        2,
        lambda case, found: case.with_verdict(_add_second_score(case, _expected_score(found))),
    )


def _generate(
    engine: Engine,
    cases: Sequence[OrderedComparison],
    questions: Sequence[EngineRequest],
    heard: Callable[[OrderedComparison, Generation], OrderedComparison],
    how: JudgeGenerationSettings,
    stop: Sequence[str] = (),
) -> list[OrderedComparison]:
    waiting = [place for place, case in enumerate(cases) if not case.failure]
    asked = [questions[place] for place in waiting]
    replies = engine.generate(
        asked, max_new_tokens=how.max_tokens, temperature=how.temperature, seed=how.seed, stop=stop
    )
    after = list(cases)
    for place, reply in zip(waiting, replies, strict=True):
        paid = replace(cases[place], cost=cases[place].cost + reply.cost)
        failure = describe_generation_error(reply)
        after[place] = replace(paid, failure=failure) if failure else heard(paid, reply)
    return after


def _score(
    engine: Engine,
    cases: Sequence[OrderedComparison],
    judging: JudgePrompt,
    slot: Position,
    heard: Callable[[OrderedComparison, ChoiceScores], OrderedComparison],
) -> list[OrderedComparison]:
    waiting = [place for place, case in enumerate(cases) if not case.failure]
    choosing = judging.output_format == "choice"
    candidates = judging.candidates if choosing else tuple(str(each) for each in SCORE_SCALE)
    questions = [_build_verdict_request(judging, cases[place], slot) for place in waiting]
    # the end of the turn tells a score of 1 from the beginning of a 10
    found = engine.score_choices(questions, [candidates] * len(questions), include_end_of_turn=not choosing)
    after = list(cases)
    for place, weighing in zip(waiting, found, strict=True):
        paid = replace(cases[place], cost=cases[place].cost + weighing.cost)
        failure = describe_scoring_error(weighing)
        after[place] = replace(paid, failure=failure, verdict=None) if failure else heard(paid, weighing)
    return after


def _build_verdict_request(judging: JudgePrompt, case: OrderedComparison, slot: Position = 1) -> EngineRequest:
    return judging.verdict(case.comparison.prompt, *case.responses, reasoning=case.explanation, position=slot)


def _parse_verdict(judging: JudgePrompt, text: str) -> SingleVerdict:
    if judging.output_format == "choice":
        return SingleVerdict(choice=parse_verdict(text, ties=len(judging.candidates) > 2), text=text)
    scores = parse_scores(text)
    return SingleVerdict(choice=None if scores is None else _compare_scores(*scores), scores=scores, text=text)


def _most_likely_verdict(weighing: ChoiceScores) -> SingleVerdict:
    """The likeliest candidate; where two are equally likely and none is likelier, neither."""
    most = max(weighing.probabilities)
    likeliest = [name for name, share in zip(VERDICT_CHOICES, weighing.probabilities, strict=False) if share == most]
    return SingleVerdict(
        choice=likeliest[0] if len(likeliest) == 1 else "tie", probability_first=weighing.probabilities[0]
    )


def _expected_score(weighing: ChoiceScores) -> float:
    """The expected score."""
    return sum(score * share for score, share in zip(SCORE_SCALE, weighing.probabilities, strict=True))


def _first_score_only(first: float) -> SingleVerdict:
    """The first of two scores; nothing can be named yet."""
    return SingleVerdict(choice=None, scores=(first, first))


def _add_second_score(case: OrderedComparison, second: float) -> SingleVerdict:
    if case.verdict is None or case.verdict.scores is None:
        raise ValueError("the second score of a case is weighed after the first one")
    first = case.verdict.scores[0]
    return SingleVerdict(choice=_compare_scores(first, second), scores=(first, second))


def _compare_scores(first: float, second: float) -> JudgeChoice:
    return "tie" if first == second else "first" if first > second else "second"
