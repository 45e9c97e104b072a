"""Which models wrote the responses of pairs, and how often labels prefer those of one model over another's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ConfigDict

from trimtab.stats import win_rate
from trimtab.types import Annotation, Metric, Outcome

# More models than this have too many pairs of models for a summary.
MAX_COMPARISONS = 10
# The models of the responses a and b, by pair id.
ResponseModels = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPreference:
    """The share of pairs in which the response of the first model is preferred over that of the second; ties are half."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    models: tuple[str, str]
    share: Metric


def compare_models(
    labels: Iterable[Annotation], models: ResponseModels, prompts: Mapping[str, str]
) -> list[ModelPreference]:
    """One preference for every two models with labeled pairs, those with the most pairs first.

    `prompts` is the prompt's id by pair id; pairs of one prompt are not independent.
    """
    if not models:
        return []
    outcomes: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    clusters: dict[tuple[str, str], list[str]] = defaultdict(list)
    for label in labels:
        model_a, model_b = models.get(label.pair_id, ("", ""))
        if model_a == model_b or label.status != "ok":
            continue
        key = (min(model_a, model_b), max(model_a, model_b))
        winner = {"a": model_a, "b": model_b, None: None}[label.choice]
        outcomes[key].append("tie" if winner is None else "win" if winner == key[0] else "loss")
        clusters[key].append(prompts[label.pair_id])
    compared = [ModelPreference(models=key, share=win_rate(outcomes[key], clusters=clusters[key])) for key in outcomes]
    return sorted(compared, key=lambda each: (-each.share.n, each.models))


def select_shown(preferences: Sequence[ModelPreference]) -> tuple[Sequence[ModelPreference], str]:
    """The comparisons that a summary shows, and a sentence on the others, which is empty if there are none."""
    shown = preferences[:MAX_COMPARISONS]
    rest = len(preferences) - len(shown)
    return shown, f"{rest} more comparisons of two models, with fewer pairs" if rest else ""
