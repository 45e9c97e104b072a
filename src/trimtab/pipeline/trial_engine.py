"""An engine that keeps its replies and their cost, and does not cache them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trimtab.core.interfaces import Engine
from trimtab.types import ChoiceScores, Cost, EngineRequest, Generation


@dataclass(slots=True, kw_only=True)
class TrialEngine:
    """Passes requests to `engine`. `replies` are the generated texts, in order; `cost` is that of all requests."""

    engine: Engine
    replies: list[str] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)

    def generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Generation]:
        generations = self.engine.generate(
            requests, max_new_tokens=max_new_tokens, temperature=temperature, stop=stop, seed=seed
        )
        self.replies += [each.text for each in generations if each.status == "ok"]
        self.cost = sum((each.cost for each in generations), self.cost)
        return generations

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        scores = self.engine.score_choices(
            requests, candidates, first_token_only=first_token_only, include_end_of_turn=include_end_of_turn
        )
        self.cost = sum((each.cost for each in scores), self.cost)
        return scores
