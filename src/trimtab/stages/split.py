"""Pairs are read, those that are too long for a model are set aside, and the rest are split by prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.components import Component
from trimtab.data.split import Split, Splits, given, normalized, split
from trimtab.errors import DataError, StudyError
from trimtab.lm.rows import encode
from trimtab.lm.weights import Model
from trimtab.protocols import Runtime, Source
from trimtab.stages.stage import Inputs, Stage, model_identity, told
from trimtab.stages.tables import PAIRS, pair_rows, pairs_of
from trimtab.store import Draft
from trimtab.types import Dataset, Pair, RowFailure

SIDES = ("labeled", "unlabeled", "test")


def split_stage(
    sources: Mapping[str, Component], settings: Split, max_tokens: int, models: Mapping[str, Model]
) -> Stage:
    """Reads `sources` (one named `all`, or one for each side that is wanted) and writes a table for each side."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        del inputs
        read = {name: _short(as_source(source).load(), max_tokens, models, runtime) for name, source in sources.items()}
        sides = (
            split(read["all"].pairs, settings)
            if "all" in read
            else given(**{side: read[side].pairs for side in SIDES if side in read})
        )
        for side in SIDES:
            draft.write_rows(side, pair_rows(getattr(sides, side)), PAIRS)
        failures = [failure for dataset in read.values() for failure in dataset.failures]
        draft.write_json("failures", [{"where": failure.where, "reason": failure.reason} for failure in failures])
        return _facts(sides, read, failures)

    return Stage(
        name="split",
        kind="split",
        make=make,
        settings={
            "sources": {name: told(source) for name, source in sources.items()},
            "split": told(settings),
            "max_tokens": max_tokens,
        },
        identities={
            **{f"source.{name}": as_source(source).identity() for name, source in sources.items()},
            **{f"tokens.{name}": model_identity(model) for name, model in models.items()},
        },
    )


def elsewhere_stage(name: str, source: Component, split: Stage, max_tokens: int, models: Mapping[str, Model]) -> Stage:
    """Reads labeled pairs of another domain as a test side, without those whose prompt stands in the split: these are not new
    to the models that the study trains."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        read = _short(as_source(source).load(), max_tokens, models, runtime)
        taken = {normalized(pair.prompt) for side in SIDES for pair in pairs_of(inputs["split"], side)}
        kept = [pair for pair in read.pairs if pair.human is not None and normalized(pair.prompt) not in taken]
        if not kept:
            raise DataError(
                f"{name}: of {len(read.pairs)} pairs none has a human label and a prompt that is not in the study's own data"
            )
        for side in SIDES:
            draft.write_rows(side, pair_rows(kept if side == "test" else []), PAIRS)
        return {"pairs": {"test": len(kept)}, "left_out": len(read.pairs) - len(kept), "failures": len(read.failures)}

    return Stage(
        name=name,
        kind="elsewhere",
        make=make,
        settings={"source": told(source), "max_tokens": max_tokens},
        needs={"split": split},
        identities={
            "source": as_source(source).identity(),
            **{f"tokens.{each}": model_identity(model) for each, model in models.items()},
        },
    )


def as_source(component: Component) -> Source:
    """The component, checked to be a source."""
    if not isinstance(component, Source):
        raise DataError(f"{type(component).__name__} is not a source of pairs (it needs `load` and `identity`)")
    return component


def _short(dataset: Dataset, limit: int, models: Mapping[str, Model], runtime: Runtime) -> Dataset:
    """The pairs whose prompt and longer response fit the limit by every model's tokenizer; the rest become failures."""
    from trimtab.lm.models import max_positions, open_tokenizer

    for name, model in models.items():
        most = max_positions(model, runtime.notify)
        if most is not None and limit > most:
            raise StudyError(
                f"max_tokens: {limit}, and the {name} model ({model.base}) reads texts of at most {most} tokens; lower it"
            )
    chats = {name: open_tokenizer(model, runtime.notify) for name, model in models.items()}
    kept, failures = list[Pair](), list(dataset.failures)
    with runtime.progress("Counting tokens", len(dataset.pairs), "pairs") as tick:
        for pair in dataset.pairs:
            over = {
                name: tokens
                for name, chat in chats.items()
                if (tokens := encode(chat, pair.prompt, pair.a, pair.b).longest_text) > limit
            }
            if over:
                counts = ", ".join(f"{tokens} by the {name} model's tokenizer" for name, tokens in over.items())
                failures.append(RowFailure(where=f"pair {pair.id}", reason=f"longer than {limit} tokens ({counts})"))
            else:
                kept.append(pair)
            tick()
    if not kept:
        raise DataError(
            f"no pair is short enough: all {len(dataset.pairs)} have a prompt and response of more than {limit} tokens; "
            "raise max_tokens"
        )
    return Dataset(pairs=tuple(kept), failures=tuple(failures), layout=dataset.layout)


def _facts(sides: Splits, read: Mapping[str, Dataset], failures: Sequence[RowFailure]) -> dict[str, Any]:
    def of(count: Callable[[Sequence[Pair]], int]) -> dict[str, int]:
        return {side: count(getattr(sides, side)) for side in SIDES}

    return {
        "pairs": of(len),
        "prompts": of(lambda pairs: len({pair.prompt_id for pair in pairs})),
        "with_human": of(lambda pairs: sum(pair.human is not None for pair in pairs)),
        "layout": {name: dataset.layout for name, dataset in read.items()},
        "failures": len(failures),
        "reasons": dict(Counter(_kind(failure.reason) for failure in failures).most_common(8)),
    }


def _kind(reason: str) -> str:
    return reason.split(" (", 1)[0]
