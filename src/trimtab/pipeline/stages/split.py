"""Pairs are read, those that are too long for a model are set aside, and the rest are split by prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.core.component import Component
from trimtab.core.interfaces import Source
from trimtab.core.runtime import Runtime
from trimtab.data.split import DataSplits, SplitSettings, build_predefined_splits, normalized_prompt_hash, split_pairs
from trimtab.errors import DataError, StudyError
from trimtab.models.config import Model
from trimtab.models.packing.pair_batch import tokenize_pair
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings, model_content_hash
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import PAIR_SCHEMA, load_split_pairs, pairs_to_rows
from trimtab.types import Dataset, Pair, RowFailure

SPLIT_NAMES = ("labeled", "unlabeled", "test")


def split_stage(
    sources: Mapping[str, Component], settings: SplitSettings, max_length: int, models: Mapping[str, Model]
) -> Stage:
    """Reads `sources` (one named `all`, or one for each side that is wanted) and writes a table for each side."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del inputs
        read = {
            name: _drop_overlong(as_source(source).load(), max_length, models, runtime)
            for name, source in sources.items()
        }
        sides = (
            split_pairs(read["all"].pairs, settings)
            if "all" in read
            else build_predefined_splits(**{side: read[side].pairs for side in SPLIT_NAMES if side in read})
        )
        for side in SPLIT_NAMES:
            draft.write_rows(side, pairs_to_rows(getattr(sides, side)), PAIR_SCHEMA)
        failures = [failure for dataset in read.values() for failure in dataset.failures]
        draft.write_json("failures", [{"where": failure.location, "reason": failure.reason} for failure in failures])
        return _summarize_splits(sides, read, failures)

    return Stage(
        name="split",
        kind="split",
        execute=make,
        settings={
            "sources": {name: identity_settings(source) for name, source in sources.items()},
            "split": identity_settings(settings),
            "max_tokens": max_length,
        },
        external_hashes={
            **{f"source.{name}": as_source(source).content_hash() for name, source in sources.items()},
            **{f"tokens.{name}": model_content_hash(model) for name, model in models.items()},
        },
    )


def ood_pairs_stage(name: str, source: Component, split: Stage, max_length: int, models: Mapping[str, Model]) -> Stage:
    """Reads labeled pairs of another domain as a test side, without those whose prompt stands in the split: these are not new
    to the models that the study trains."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        read = _drop_overlong(as_source(source).load(), max_length, models, runtime)
        taken = {
            normalized_prompt_hash(pair.prompt)
            for side in SPLIT_NAMES
            for pair in load_split_pairs(inputs["split"], side)
        }
        kept = [
            pair for pair in read.pairs if pair.human is not None and normalized_prompt_hash(pair.prompt) not in taken
        ]
        if not kept:
            raise DataError(
                f"{name}: of {len(read.pairs)} pairs none has a human label and a prompt that is not in the study's own data"
            )
        for side in SPLIT_NAMES:
            draft.write_rows(side, pairs_to_rows(kept if side == "test" else []), PAIR_SCHEMA)
        return {"pairs": {"test": len(kept)}, "excluded": len(read.pairs) - len(kept), "failures": len(read.failures)}

    return Stage(
        name=name,
        kind="ood_pairs",
        execute=make,
        settings={"source": identity_settings(source), "max_tokens": max_length},
        input_stages={"split": split},
        external_hashes={
            "source": as_source(source).content_hash(),
            **{f"tokens.{each}": model_content_hash(model) for each, model in models.items()},
        },
    )


def as_source(component: Component) -> Source:
    """The component, checked to be a source."""
    if not isinstance(component, Source):
        raise DataError(f"{type(component).__name__} is not a source of pairs (it needs `load` and `identity`)")
    return component


def _drop_overlong(dataset: Dataset, limit: int, models: Mapping[str, Model], runtime: Runtime) -> Dataset:
    """The pairs whose prompt and longer response fit the limit by every model's tokenizer; the rest become failures."""
    from trimtab.models.checkpoint import load_chat_tokenizer, read_max_positions

    for name, model in models.items():
        most = read_max_positions(model, runtime.notify)
        if most is not None and limit > most:
            raise StudyError(
                f"max_tokens: {limit}, and the {name} model ({model.base}) reads texts of at most {most} tokens; lower it"
            )
    chats = {name: load_chat_tokenizer(model, runtime.notify) for name, model in models.items()}
    kept, failures = list[Pair](), list(dataset.failures)
    with runtime.progress("Counting tokens", len(dataset.pairs), "pairs") as tick:
        for pair in dataset.pairs:
            over = {
                name: tokens
                for name, chat in chats.items()
                if (tokens := tokenize_pair(chat, pair.prompt, pair.a, pair.b).max_text_length) > limit
            }
            if over:
                counts = ", ".join(f"{tokens} by the {name} model's tokenizer" for name, tokens in over.items())
                failures.append(RowFailure(location=f"pair {pair.id}", reason=f"longer than {limit} tokens ({counts})"))
            else:
                kept.append(pair)
            tick()
    if not kept:
        raise DataError(
            f"no pair is short enough: all {len(dataset.pairs)} have a prompt and response of more than {limit} tokens; "
            "raise max_tokens"
        )
    return Dataset(pairs=tuple(kept), failures=tuple(failures), layout=dataset.layout)


def _summarize_splits(sides: DataSplits, read: Mapping[str, Dataset], failures: Sequence[RowFailure]) -> dict[str, Any]:
    def of(count: Callable[[Sequence[Pair]], int]) -> dict[str, int]:
        return {side: count(getattr(sides, side)) for side in SPLIT_NAMES}

    return {
        "pairs": of(len),
        "prompts": of(lambda pairs: len({pair.prompt_id for pair in pairs})),
        "human_labeled": of(lambda pairs: sum(pair.human is not None for pair in pairs)),
        "layout": {name: dataset.layout for name, dataset in read.items()},
        "failures": len(failures),
        "reasons": dict(Counter(_strip_detail(failure.reason) for failure in failures).most_common(8)),
    }


def _strip_detail(reason: str) -> str:
    return reason.split(" (", 1)[0]
