"""A language model judges which of two answers is better, always in both orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from trimtab.components import ENGINE, Component
from trimtab.evaluation._agreed import agreed
from trimtab.evaluation._cases import Case, Writing, opened, reasoned, weighed, written
from trimtab.prompts.judging import CRITERION, Form, Judging, judging
from trimtab.protocols import Engine
from trimtab.types import Contest, Cost, Named, Reading, Verdict

UNREAD = "no verdict could be read"
SAME = "the answers are the same text: nothing was asked"


class Pairwise(Component):
    """Asks a model which of two answers is better, once in each order.

    Opposite verdicts in the two orders are a tie, beside one tie the other verdict decides, and what cannot be read is failed
    (`evaluation._agreed`). In mode `logits` the verdict is the likeliest of the candidates, read in one forward pass; in mode
    `text` it is parsed from what the model writes. With `answer: scores` the answer with the higher score of 1 to 10 is the
    better, and in mode `logits` a score is the expected one. With `votes` each order is asked so often, and most count.
    """

    VERSION: ClassVar[int] = 2

    engine: Annotated[Component, ENGINE]
    mode: Literal["logits", "text"] = "logits"
    answer: Form = "choice"
    ties: bool = Field(False, description="whether it may say that neither is better; with scores equal ones tie")
    criterion: str = Field(CRITERION, min_length=1, description="which answer is the better one")
    explanation_tokens: int = Field(0, ge=0, description="of reasoning before the verdict; 0: none")
    answer_tokens: int = Field(24, gt=0, description="of the verdict in mode text")
    temperature: float = Field(0.0, ge=0.0, description="of what is written; 0: greedy")
    votes: int = Field(1, ge=1, description="how often each order is asked, each time with a seed of its own")
    seed: int = 0

    @model_validator(mode="after")
    def _settings_are_read(self) -> Self:
        if self.ties and self.answer == "scores":
            raise ValueError("ties: with answer: scores equal scores are a tie already")
        if self.mode == "logits" and self.answer_tokens != type(self).model_fields["answer_tokens"].default:
            raise ValueError("answer_tokens: mode logits writes no verdict; choose mode: text")
        if self.temperature and self.mode == "logits" and not self.explanation_tokens:
            raise ValueError("temperature: nothing is written in mode logits without explanation_tokens")
        if self.votes > 1 and not self.temperature:
            raise ValueError(f"votes: at temperature 0 all {self.votes} votes are the same; give a temperature")
        return self

    def asks(self) -> Mapping[str, Component]:
        return {"judge": self.engine}

    def judge(self, contests: Sequence[Contest], engines: Mapping[str, Engine]) -> list[Verdict]:
        differing = [each for each in contests if each.ours != each.theirs]
        rounds = [self._asked(engines["judge"], differing, self.seed + vote) for vote in range(self.votes)]
        said = zip(*rounds, strict=True)
        return [
            Verdict(id=each.id, outcome="tie", note=SAME) if each.ours == each.theirs else _verdict(each.id, said)
            for each in contests
        ]

    def _asked(self, engine: Engine, contests: Sequence[Contest], seed: int) -> list[Case]:
        question, cases = self._question(), opened(contests)
        if not cases:
            return []
        if self.explanation_tokens:
            cases = reasoned(engine, question, cases, self._writing(self.explanation_tokens, seed))
        if self.mode == "logits":
            return weighed(engine, question, cases)
        return written(engine, question, cases, self._writing(self.answer_tokens, seed))

    def _question(self) -> Judging:
        return judging(criterion=self.criterion, form=self.answer, ties=self.ties, reasoned=self.explanation_tokens > 0)

    def _writing(self, max_tokens: int, seed: int) -> Writing:
        return Writing(max_tokens=max_tokens, temperature=self.temperature, seed=seed)


def _verdict(key: str, said: Iterator[tuple[Case, ...]]) -> Verdict:
    """What the next two cases come to, each of them asked as often as there are votes."""
    there, back = next(said), next(said)
    read = _majority(there), _majority(back)
    outcome = agreed(*(each.named for each in read))
    failures = dict.fromkeys(case.failure for case in (*there, *back) if case.failure)
    note = "; ".join(failures) or UNREAD if outcome == "failed" else ""
    cost = sum((case.cost for case in (*there, *back)), Cost())
    return Verdict(id=key, outcome=outcome, there=read[0], back=read[1], note=note, cost=cost)


def _majority(cases: Sequence[Case]) -> Reading:
    """One reading of the votes on one order: what most of them name. Votes that cannot be read do not count, unless they are
    more than half; two that lead alike are a tie."""
    readings = [case.reading or Reading(named=None, text=case.thought) for case in cases]
    if len(readings) == 1:
        return readings[0]
    votes = tuple(each.named for each in readings)
    text = "\n\n".join(each.text for each in readings if each.named is None and each.text)
    return Reading(named=_leading(votes), text=text, votes=votes)


def _leading(votes: Sequence[Named | None]) -> Named | None:
    known = [vote for vote in votes if vote is not None]
    if 2 * len(known) < len(votes):
        return None
    counts = Counter(known).most_common()
    return "tie" if len(counts) > 1 and counts[0][1] == counts[1][1] else counts[0][0]
