"""Loads pairs, drops those that are too long for a model, and splits the rest by prompt."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

import numpy as np

from trimtab.core.component import Component
from trimtab.core.interfaces import Source
from trimtab.core.runtime import Runtime
from trimtab.data.excluded_prompts import exclude_prompts
from trimtab.data.parsing.dataset_builder import select_origins
from trimtab.data.row_counts import count_failures_by_file, format_unusable_rows, name_source
from trimtab.data.split import (
    SPLIT_NAMES,
    DataSplits,
    SplitSettings,
    build_splits,
    normalized_prompt_hash,
)
from trimtab.errors import DataError, StudyError, ToolCallError
from trimtab.models.chat import ChatTokenizer
from trimtab.models.config import Model
from trimtab.models.packing.pair_batch import tokenize_pair
from trimtab.models.references import ModelRef
from trimtab.pipeline.stage import Stage, StageInputs, Work, identity_settings
from trimtab.storage.artifacts import Draft
from trimtab.storage.disk_sequence import select_values
from trimtab.storage.id_index import find_first_and_last, hash_ids
from trimtab.storage.schemas import (
    ORIGIN_SCHEMA,
    PAIR_SCHEMA,
    RESPONSE_MODEL_SCHEMA,
    load_split_pairs,
    pairs_to_rows,
)
from trimtab.types import Dataset, Pair, RowFailure, RowOrigin

# How many different reasons for dropped rows are recorded.
MAX_REASONS = 8


def split_stage(
    sources: Mapping[str, Component], settings: SplitSettings, max_length: int, models: Mapping[str, Model]
) -> Stage:
    """Loads `sources` (one named `all`, `train` and `test`, or one per split) and writes a table for each split."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del inputs
        datasets = {
            name: drop_overlong(name, as_source(source).load(), max_length, models, runtime)
            for name, source in sources.items()
        }
        if "train" in datasets:
            datasets["test"] = exclude_train_prompts(datasets)
        splits = build_splits({name: dataset.pairs for name, dataset in datasets.items()}, settings)
        for name in SPLIT_NAMES:
            draft.write_rows(name, pairs_to_rows(getattr(splits, name)), PAIR_SCHEMA)
        origins = (origin for dataset in datasets.values() for origin in _select_first_origins(dataset.origins))
        draft.write_rows("origins", map(asdict, origins), ORIGIN_SCHEMA)
        _write_response_models(draft, chain.from_iterable(dataset.origins for dataset in datasets.values()))
        failures = [failure for dataset in datasets.values() for failure in dataset.failures]
        draft.write_json("failures", [{"location": failure.location, "reason": failure.reason} for failure in failures])
        return _summarize_splits(splits, datasets, failures)

    return Stage(
        name="split",
        kind="split",
        execute=execute,
        version=2,  # pairs whose responses have the same tokens are left out
        settings={
            "sources": {name: identity_settings(source) for name, source in sources.items()},
            "split": identity_settings(settings),
            "max_length": max_length,
        },
        external_hashes={
            **{f"source.{name}": as_source(source).content_hash() for name, source in sources.items()},
            **hash_tokenizers(models),
        },
        work=Work(rate_key="split", unit="once"),
    )


def _write_response_models(draft: Draft, origins: Iterable[RowOrigin]) -> None:
    """Writes the models of the pairs whose rows name them; no table if there are none."""
    named = ((origin.pair_id, origin.models) for origin in origins if origin.models is not None)
    rows = ({"pair_id": pair_id, "a": a, "b": b} for pair_id, (a, b) in named)
    first = next(rows, None)
    if first is not None:
        draft.write_rows("response_models", chain([first], rows), RESPONSE_MODEL_SCHEMA)


def _select_first_origins(origins: Sequence[RowOrigin]) -> Sequence[RowOrigin]:
    """The first origin of each pair. The pair whose last origin is the last comes first."""
    first, last = find_first_and_last(hash_ids(origin.pair_id for origin in origins))
    return select_values(origins, first[np.argsort(-last)])


def ood_pairs_stage(name: str, source: Component, split: Stage, max_length: int, models: Mapping[str, Model]) -> Stage:
    """Loads labeled pairs of another domain as a test split, without prompts that occur in the study's own data."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        dataset = drop_overlong(name, as_source(source).load(), max_length, models, runtime)
        study_prompts = {
            normalized_prompt_hash(pair.prompt)
            for split_name in SPLIT_NAMES
            for pair in load_split_pairs(inputs["split"], split_name)
        }
        usable = [
            pair
            for pair in dataset.pairs
            if pair.human is not None and normalized_prompt_hash(pair.prompt) not in study_prompts
        ]
        if not usable:
            raise DataError(
                f"{name}: none of the {len(dataset.pairs)} pairs has both a human label and a prompt that is not already in "
                "the study's own data"
            )
        for split_name in SPLIT_NAMES:
            draft.write_rows(split_name, pairs_to_rows(usable if split_name == "test" else []), PAIR_SCHEMA)
        return {
            "pairs": {"test": len(usable)},
            "excluded": len(dataset.pairs) - len(usable),
            "failures": sum(failure.kind == "failed" for failure in dataset.failures),
        }

    return Stage(
        name=name,
        kind="ood_pairs",
        execute=execute,
        version=2,
        settings={"source": identity_settings(source), "max_length": max_length},
        input_stages={"split": split},
        external_hashes={"source": as_source(source).content_hash(), **hash_tokenizers(models)},
        work=Work(rate_key="ood_pairs", unit="once"),
    )


def exclude_train_prompts(datasets: Mapping[str, Dataset]) -> Dataset:
    """The dataset `test` without the prompts of `train`. Raises `DataError` if no pair remains."""
    return exclude_prompts(
        datasets["test"], datasets["train"].pairs, "the training source", "use another source as `test`"
    )


def as_source(component: Component) -> Source:
    if not isinstance(component, Source):
        raise DataError(f"{type(component).__name__} is not a source of pairs (it needs `load` and `content_hash`)")
    return component


def hash_tokenizers(models: Mapping[str, Model]) -> dict[str, str]:
    return {f"tokens.{name}": ModelRef(model).content_hash for name, model in models.items()}


def drop_overlong(
    name: str, dataset: Dataset, max_length: int, models: Mapping[str, Model], runtime: Runtime
) -> Dataset:
    """The pairs whose prompt and longer response fit `max_length` by every model's tokenizer. The rest become failures.

    So do pairs with tool calls that a model's chat template cannot render, and pairs whose responses have the same tokens,
    such as two spellings that the tokenizer maps to one: a model cannot learn from them. Notifies the user of all failures of
    the source `name`.
    """
    from trimtab.models.checkpoint import load_chat_tokenizer

    require_max_length(max_length, models, runtime)
    for notice in dataset.notices:
        runtime.notify(notice)
    tokenizers = {name: load_chat_tokenizer(model, runtime.notify) for name, model in models.items()}
    positions, failures = array("q"), list(dataset.failures)
    with runtime.progress("Counting tokens", len(dataset.pairs), "pairs") as tick:
        for position, pair in enumerate(dataset.pairs):
            failure = _find_token_failure(pair, max_length, tokenizers)
            if failure is None:
                positions.append(position)
            else:
                failures.append(failure)
            tick()
    kept = select_values(dataset.pairs, np.asarray(positions))
    if not kept:
        raise DataError(_describe_no_pairs(failures, len(dataset.pairs), max_length))
    for line in format_unusable_rows(
        name_source(dataset, f"the source `{name}`"), failures, count_failures_by_file([dataset]).items()
    ):
        runtime.notify(line)
    _report_turn_markers(kept, tokenizers, runtime)
    return Dataset(
        pairs=kept,
        failures=tuple(failures),
        layout=dataset.layout,
        notices=dataset.notices,
        origins=dataset.origins if len(kept) == len(dataset.pairs) else select_origins(dataset.origins, kept),
    )


def _find_token_failure(pair: Pair, max_length: int, tokenizers: Mapping[str, ChatTokenizer]) -> RowFailure | None:
    """Why a pair is dropped: too many tokens, responses with the same tokens, or tool calls that a template cannot render."""
    location = f"pair {pair.id}"
    lengths: dict[str, int] = {}
    for name, chat in tokenizers.items():
        try:
            tokens = tokenize_pair(chat, pair.prompt, pair.a, pair.b)
        except ToolCallError as error:
            return RowFailure(location=location, reason=f"the {name} model cannot be used with it: {error}")
        if tokens.first == tokens.second:
            return RowFailure(location=location, reason=f"both responses have the same tokens in the {name} model")
        lengths[name] = tokens.max_text_length
    overlong = [f"{length} by the {name} model's tokenizer" for name, length in lengths.items() if length > max_length]
    if not overlong:
        return None
    reason = f"longer than {max_length} tokens ({', '.join(overlong)})"
    return RowFailure(location=location, reason=reason, kind="overlong")


def _describe_no_pairs(failures: Sequence[RowFailure], num_pairs: int, max_length: int) -> str:
    other = next((failure for failure in reversed(failures) if failure.kind == "failed"), None)
    if other is not None and not any(failure.kind == "overlong" for failure in failures):
        return f"none of the {num_pairs} pairs is usable: {other.reason}"
    return (
        f"no pair is short enough: all {num_pairs} have a prompt and response of more than {max_length} tokens; raise "
        "max_length"
    )


def _report_turn_markers(pairs: Sequence[Pair], tokenizers: Mapping[str, ChatTokenizer], runtime: Runtime) -> None:
    """Notifies the user of texts that contain what a chat template writes between turns, if these are not control tokens."""
    for name, chat in tokenizers.items():
        markers = chat.find_turn_markers()
        texts = ([*(message.content for message in pair.prompt), pair.a, pair.b] for pair in pairs)
        found = Counter(next((mark for mark in markers if any(mark in text for text in each)), "") for each in texts)
        del found[""]
        if found:
            mark = found.most_common(1)[0][0]
            runtime.notify(
                f"{found.total()} of {len(pairs)} pairs contain text that the {name} model's chat template writes between "
                f"turns, such as {mark!r}; the model may read it as the start of a turn"
            )


def require_max_length(max_length: int, models: Mapping[str, Model], runtime: Runtime) -> None:
    """Raises `StudyError` if a model cannot process texts of `max_length` tokens."""
    from trimtab.models.checkpoint import read_max_positions

    for name, model in models.items():
        limit = read_max_positions(model, runtime.notify)
        if limit is not None and max_length > limit:
            raise StudyError(
                f"max_length: {max_length} is more than the {limit} tokens that the {name} model ({model.base}) can process; "
                "lower it"
            )


def _summarize_splits(
    splits: DataSplits, datasets: Mapping[str, Dataset], failures: Sequence[RowFailure]
) -> dict[str, Any]:
    def count(measure: Callable[[Sequence[Pair]], int]) -> dict[str, int]:
        return {name: measure(getattr(splits, name)) for name in SPLIT_NAMES}

    reasons = Counter(_strip_detail(failure.reason) for failure in failures)
    return {
        "pairs": count(len),
        "prompts": count(lambda pairs: len(np.unique(hash_ids(pair.prompt_id for pair in pairs)))),
        "human_labeled": count(lambda pairs: sum(pair.human is not None for pair in pairs)),
        "layout": {name: dataset.layout for name, dataset in datasets.items()},
        "failures": sum(failure.kind == "failed" for failure in failures),
        "failures_by_source": {
            name: sum(failure.kind == "failed" for failure in dataset.failures) for name, dataset in datasets.items()
        },
        "failures_by_file": count_failures_by_file(datasets.values()),
        "reasons": dict(reasons.most_common(MAX_REASONS)),
    }


def _strip_detail(reason: str) -> str:
    return reason.split(" (", 1)[0]
