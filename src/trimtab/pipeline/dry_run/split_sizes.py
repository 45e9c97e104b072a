"""How many pairs, prompts and tokens the splits of a study have, for time estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trimtab.config.data_sources import PredefinedSplits, TrainTestSources, list_sources
from trimtab.config.study import Study
from trimtab.core.component import Component, get_kind
from trimtab.data.split import SPLIT_NAMES, build_splits
from trimtab.pipeline.dry_run.offline_sources import uses_hub
from trimtab.pipeline.stages.split import as_source, exclude_train_prompts
from trimtab.storage.artifacts import Artifact
from trimtab.types import Dataset, Pair

TYPICAL_PAIR_TOKENS = 150  # a prompt and two responses, if no pairs can be read yet
CHARACTERS_PER_TOKEN = 4
TEMPLATE_TOKENS = 20  # the chat template and the ends of two responses


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSizes:
    """By split: the number of pairs and the mean number of tokens of a pair. Unknown counts are None."""

    pairs: Mapping[str, int | None]
    test_prompts: int | None
    tokens_per_pair: Mapping[str, float]


def measure_split(split: Artifact) -> SplitSizes:
    """The sizes of a finished split."""
    facts = split.record["facts"]
    tokens = {name: _mean_tokens(map(_row_length, split.read_rows(name))) for name in SPLIT_NAMES}
    return SplitSizes(pairs=facts["pairs"], test_prompts=facts["prompts"]["test"], tokens_per_pair=tokens)


def predict_split(study: Study) -> SplitSizes:
    """The sizes of a split that has not been made: from local rows, without those whose characters suggest too many tokens.

    Sources on a hub, and custom sources, are not read; of these, only the limits in the settings are known.
    """
    sources = list_sources(study.data)
    if not all(map(_is_local, sources.values())):
        limits = _known_limits(study)
        return SplitSizes(
            pairs=limits,
            test_prompts=limits["test"],
            tokens_per_pair=dict.fromkeys(SPLIT_NAMES, float(TYPICAL_PAIR_TOKENS)),
        )
    datasets = {name: _drop_long_pairs(as_source(source).load(), study.max_length) for name, source in sources.items()}
    if "train" in datasets:
        datasets["test"] = exclude_train_prompts(datasets)
    settings = study.split.model_copy(update={"seed": study.split_seed})
    splits = build_splits({name: dataset.pairs for name, dataset in datasets.items()}, settings)
    pairs_by_split: dict[str, Sequence[Pair]] = {name: getattr(splits, name) for name in SPLIT_NAMES}
    return SplitSizes(
        pairs={name: len(pairs) for name, pairs in pairs_by_split.items()},
        test_prompts=len({pair.prompt_id for pair in splits.test}),
        tokens_per_pair={name: _mean_tokens(map(_pair_length, pairs)) for name, pairs in pairs_by_split.items()},
    )


def _drop_long_pairs(dataset: Dataset, max_length: int) -> Dataset:
    """The pairs that are probably at most `max_length` tokens long; all pairs if that is none of them."""
    max_characters = (max_length - TEMPLATE_TOKENS / 2) * CHARACTERS_PER_TOKEN
    short = tuple(pair for pair in dataset.pairs if _text_length(pair) <= max_characters)
    return replace(dataset, pairs=short or dataset.pairs)


def _text_length(pair: Pair) -> int:
    """The characters of the prompt and the longer response."""
    return _pair_length(pair) - min(len(pair.a), len(pair.b))


def _is_local(source: Component) -> bool:
    return get_kind(source) in ("file", "starter", "concat", "exclude") and not uses_hub(source)


def _known_limits(study: Study) -> dict[str, int | None]:
    """The maximum number of pairs per split; None if there is no limit."""
    if isinstance(study.data, PredefinedSplits):
        return {name: _source_limit(getattr(study.data, name)) for name in SPLIT_NAMES}
    limits = {name: getattr(study.split, f"max_{name}") for name in SPLIT_NAMES}
    if isinstance(study.data, TrainTestSources) and limits["test"] is None:
        limits["test"] = _source_limit(study.data.test)
    return limits


def _source_limit(source: Component) -> int | None:
    limit = getattr(source, "limit", None)
    return limit if isinstance(limit, int) else None


def _pair_length(pair: Pair) -> int:
    return sum(len(message.content) for message in pair.prompt) + len(pair.a) + len(pair.b)


def _row_length(row: Mapping[str, Any]) -> int:
    return len(row["prompt"]) + len(row["a"]) + len(row["b"])


def _mean_tokens(lengths: Any) -> float:
    """The mean number of tokens of pairs with these numbers of characters."""
    counted: Sequence[int] = list(lengths)
    if not counted:
        return float(TYPICAL_PAIR_TOKENS)
    return sum(counted) / CHARACTERS_PER_TOKEN / len(counted) + TEMPLATE_TOKENS
