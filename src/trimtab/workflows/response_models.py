"""The models that wrote the responses of a file's pairs, and which of them are preferred, as text."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.metrics.model_preference import ModelPreference, select_shown
from trimtab.types import Dataset, Metric


def read_response_models(dataset: Dataset) -> dict[str, tuple[str, str]]:
    """The models of each pair's responses a and b, by pair id; a pair whose rows name none has no entry."""
    models: dict[str, tuple[str, str]] = {}
    for origin in dataset.origins:
        if origin.models is not None:
            models.setdefault(origin.pair_id, origin.models)
    return models


def format_model_preferences(preferences: Sequence[ModelPreference]) -> list[str]:
    """For example: `gemma3-270m preferred over smollm2-135m-instruct: 62% [45%, 77%] of 30 pairs`."""
    shown, rest = select_shown(preferences)
    lines = [f"{each.models[0]} preferred over {each.models[1]}: {_format_share(each.share)}" for each in shown]
    return [*lines, *([rest] if rest else [])]


def _format_share(share: Metric) -> str:
    value = "" if share.value is None else f"{100 * share.value:.0f}% "
    interval = "" if share.low is None or share.high is None else f"[{100 * share.low:.0f}%, {100 * share.high:.0f}%] "
    return f"{value}{interval}of {share.n} pair{'s' * (share.n != 1)}"
