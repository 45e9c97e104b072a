"""The models that wrote the responses of pairs: which of them are preferred over another model's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from trimtab.data.parsing.row_columns import CONVERSATION_COLUMNS, MODEL_COLUMNS
from trimtab.data.parsing.rows import SourceRow
from trimtab.sources.file import File
from trimtab.stats import win_rate
from trimtab.types import Annotation, Dataset, Metric, Outcome
from trimtab.workflows.label_rows import join_origins

# More models than this have too many pairs of models for a summary.
MAX_COMPARISONS = 10
# The models of the responses a and b, by pair id.
ResponseModels = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPreference:
    """The share of pairs in which the response of the first model is preferred over that of the second; ties are half."""

    models: tuple[str, str]
    share: Metric


def read_response_models(source: File, dataset: Dataset) -> dict[str, tuple[str, str]]:
    """The models of each pair's responses a and b, by pair id.

    A pair without the columns, with an empty one, or with responses in columns that have no fixed order has no entry.
    """
    settings = source.column_settings
    ordered = ((settings.get_name("response_a"), settings.get_name("response_b")), CONVERSATION_COLUMNS)
    origins = (origin for origin in dataset.origins if origin.columns in ordered)
    first_origin = next(origins, None)
    models: dict[str, tuple[str, str]] = {}
    if first_origin is None:
        return models
    for row, origin in join_origins(source.read_rows(), chain([first_origin], origins)):
        if origin is None or not isinstance(row, SourceRow):
            continue
        first, second = (row.cells.get(name) for name in MODEL_COLUMNS)
        if isinstance(first, str) and isinstance(second, str) and first.strip() and second.strip():
            models.setdefault(origin.pair_id, (first, second) if origin.first == "a" else (second, first))
    return models


def compare_models(
    labels: Sequence[Annotation], models: ResponseModels, prompts: Mapping[str, str]
) -> list[ModelPreference]:
    """One preference for every two models with labeled pairs, those with the most pairs first.

    `prompts` is the prompt's id by pair id; pairs of one prompt are not independent.
    """
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


def format_model_preferences(preferences: Sequence[ModelPreference]) -> list[str]:
    """For example: `gemma3-270m preferred over smollm2-135m-instruct: 62% [45%, 77%] of 30 pairs`."""
    lines = [
        f"{each.models[0]} preferred over {each.models[1]}: {_format_share(each.share)}"
        for each in preferences[:MAX_COMPARISONS]
    ]
    if rest := len(preferences) - len(lines):
        lines.append(f"{rest} more comparisons of two models, with fewer pairs")
    return lines


def _format_share(share: Metric) -> str:
    value = "" if share.value is None else f"{100 * share.value:.0f}% "
    interval = "" if share.low is None or share.high is None else f"[{100 * share.low:.0f}%, {100 * share.high:.0f}%] "
    return f"{value}{interval}of {share.n} pair{'s' * (share.n != 1)}"
