"""A table of the log-probabilities that a model gives to both responses of each pair.

Reference tables, implicit rewards and accuracies are all read from it, so relabeling a pair costs no forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.core.annotator_inputs import ResponseScores
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError
from trimtab.models.packing.pair_batch import TokenizedPair, tokenize_pair
from trimtab.pipeline.stage import Stage, StageInputs
from trimtab.pipeline.stage_models import ModelSource, as_external_hashes, as_input_stages, open_lazy_source
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import LOGPROB_SCHEMA, load_split_pairs
from trimtab.types import Pair

if TYPE_CHECKING:
    from trimtab.models.lazy_model import LazyModel


def logprobs_stage(name: str, model: ModelSource, split: Stage, split_names: Sequence[str]) -> Stage:
    """Reads the pairs of these sides of the split with the model."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = [pair for side in split_names for pair in load_split_pairs(inputs["split"], side)]
        return _write_table(draft, name, open_lazy_source(model, inputs, runtime), pairs, runtime)

    return Stage(
        name=name,
        kind="logprobs",
        execute=make,
        settings={"sides": list(split_names)},
        input_stages={"split": split, **as_input_stages(model)},
        external_hashes=as_external_hashes(model),
    )


def _write_table(draft: Draft, name: str, model: LazyModel, pairs: Sequence[Pair], runtime: Runtime) -> dict[str, Any]:
    from trimtab.models.lazy_model import read_logprobs_cached
    from trimtab.models.packing.layout_probe import LAYOUT_DESCRIPTIONS

    rows = [tokenize_pair(model.chat, pair.prompt, pair.a, pair.b) for pair in pairs]
    for pair, row in zip(pairs, rows, strict=True):
        if not model.fits(row):
            raise DataError(
                f"{name}: pair {pair.id} has {_describe_overlong(model, row)}; lower the study's max_tokens"
            )

    def make(ids: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        wanted = set(ids)
        with runtime.progress(f"Reading pairs: {name}", len(pairs), "pairs") as tick:
            tick(len(pairs) - len(ids))
            asked = [pair.id in wanted for pair in pairs]
            for places, found, recalled in read_logprobs_cached(
                model, rows, runtime.token_budget, asked, runtime.notify
            ):
                new = [place for place in places if pairs[place].id in wanted]
                sums = dict(zip(places, found.sums, strict=True))
                how = {"form": found.layout, "recalled": recalled}
                yield [{"key": pairs[place].id, "a": sums[place][0], "b": sums[place][1], **how} for place in new]
                tick(len(new))

    kept = draft.resumable_rows("logprobs", [pair.id for pair in pairs], make)
    table = [
        {"id": sums["key"], "a": sums["a"], "b": sums["b"], "n_a": len(row.first), "n_b": len(row.second)}
        for sums, row in zip(kept, rows, strict=True)
    ]
    draft.write_rows("logprobs", table, LOGPROB_SCHEMA)
    return {
        "pairs": len(pairs),
        "tokens": sum(map(len, rows)),
        "recalled": sum(bool(sums.get("recalled")) for sums in kept),
        "path": "; ".join(sorted({LAYOUT_DESCRIPTIONS[sums["form"]] for sums in kept if "form" in sums})),
    }


def compute_pair_logprobs(model: LazyModel, pairs: Sequence[Pair], runtime: Runtime) -> dict[str, ResponseScores]:
    """The same table in memory, for labels without a study. Pairs that are too long for the model have no sums, and say so."""
    from trimtab.models.lazy_model import read_logprobs_cached

    rows = [tokenize_pair(model.chat, pair.prompt, pair.a, pair.b) for pair in pairs]
    found: dict[str, ResponseScores] = {}
    short = [place for place, row in enumerate(rows) if model.fits(row)]
    read = [rows[place] for place in short]
    with runtime.progress("Reading pairs", len(pairs), "pairs") as tick:
        for places, known, _ in read_logprobs_cached(
            model, read, runtime.token_budget, [True] * len(read), runtime.notify
        ):
            for place, (a, b) in zip(places, known.sums, strict=True):
                row = read[place]
                found[pairs[short[place]].id] = ResponseScores(a=a, b=b, n_a=len(row.first), n_b=len(row.second))
            tick(len(places))
        for pair, row in zip(pairs, rows, strict=True):
            if not model.fits(row):
                found[pair.id] = ResponseScores(
                    a=math.nan, b=math.nan, n_a=0, n_b=0, note=_describe_overlong(model, row)
                )
                tick(1)
    return found


def _describe_overlong(model: LazyModel, row: TokenizedPair) -> str:
    return f"{row.max_text_length} tokens, and the model reads texts of at most {model.max_positions}"
