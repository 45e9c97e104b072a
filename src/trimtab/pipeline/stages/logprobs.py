"""A table of the log-probabilities that a model assigns to both responses of each pair.

Reference log-probabilities, implicit rewards and accuracies are computed from it, so relabeling pairs costs no forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.core.annotator_inputs import ResponseScores
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, ToolCallError
from trimtab.models.packing.pair_batch import TokenizedPair, tokenize_pair
from trimtab.models.packing.token_file import create_token_file
from trimtab.pipeline.stage import Stage, StageInputs, Work
from trimtab.pipeline.stage_models import ModelSource, as_external_hashes, as_input_stages, resolve_model
from trimtab.storage.artifacts import Draft
from trimtab.storage.chunks import Chunking
from trimtab.storage.disk_sequence import join_sequences
from trimtab.storage.schemas import LOGPROB_SCHEMA, load_split_pairs
from trimtab.types import Pair

if TYPE_CHECKING:
    from trimtab.models.lazy_model import LazyModel

# Number of pairs whose log-probabilities are saved together. A constant: batches are formed inside a chunk.
LOGPROB_CHUNK = 512


def logprobs_stage(name: str, model: ModelSource, split: Stage, split_names: Sequence[str]) -> Stage:
    """Computes log-probabilities for the pairs of these splits."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = join_sequences([load_split_pairs(inputs["split"], name) for name in split_names])
        return _write_table(
            draft, name, resolve_model(model, inputs).lazy(runtime.notify, runtime.device), pairs, runtime
        )

    return Stage(
        name=name,
        kind="logprobs",
        role="pair_table",
        version=2,  # batches are formed inside a chunk
        execute=execute,
        settings={"splits": list(split_names)},
        input_stages={"split": split, **as_input_stages(model)},
        external_hashes=as_external_hashes(model),
        work=Work(rate_key="logprobs", unit="tokens", fact="tokens", splits=tuple(split_names)),
    )


def _write_table(draft: Draft, name: str, model: LazyModel, pairs: Sequence[Pair], runtime: Runtime) -> dict[str, Any]:
    from trimtab.models.packing.layout_probe import LAYOUT_DESCRIPTIONS

    token_file = create_token_file()
    for pair in pairs:
        row = tokenize_pair(model.chat, pair.prompt, pair.a, pair.b)
        if not model.fits(row):
            raise DataError(
                f"{name}: pair {pair.id} has {_describe_overlong(model, row)}; lower the study's max_length"
            )
        token_file.append(row)
    rows = token_file.as_sequence()
    entries = _compute_entries(draft, name, model, rows, runtime)
    table = (
        {"id": pair.id, "a": entry["a"], "b": entry["b"], "n_a": len(row.first), "n_b": len(row.second)}
        for pair, entry, row in zip(pairs, entries, rows, strict=True)
    )
    draft.write_rows("logprobs", table, LOGPROB_SCHEMA)
    layouts = {LAYOUT_DESCRIPTIONS[entry["layout"]] for entry in entries}
    return {
        "pairs": len(pairs),
        "tokens": sum(map(len, rows)),
        "from_cache": sum(entry["from_cache"] for entry in entries),
        "batch_layouts": "; ".join(sorted(layouts)),
    }


def _compute_entries(
    draft: Draft, name: str, model: LazyModel, rows: Sequence[TokenizedPair], runtime: Runtime
) -> list[dict[str, Any]]:
    """For each row the sums of both responses, the layout of its batch, and whether it comes from the cache."""
    from trimtab.models.lazy_model import CachedLogprobReader

    reader = CachedLogprobReader(model, runtime.notify)
    with runtime.progress(f"Computing log-probabilities: {name}", len(rows), "pairs") as tick:

        def compute(part: slice) -> list[dict[str, Any]]:
            entries: dict[int, dict[str, Any]] = {}
            for indices, batch, from_cache in reader.iter_batches(list(rows[part]), runtime.token_budget):
                for index, (a, b) in zip(indices, batch.sums, strict=True):
                    entries[index] = {"a": a, "b": b, "layout": batch.layout, "from_cache": from_cache}
                tick(len(indices))
            return [entries[index] for index in range(len(entries))]

        chunking = Chunking(num_rows=len(rows), size=LOGPROB_CHUNK, conditions=runtime.rounding_options, on_load=tick)
        return draft.compute_rows("logprobs", chunking, compute)


def compute_pair_logprobs(model: LazyModel, pairs: Sequence[Pair], runtime: Runtime) -> dict[str, ResponseScores]:
    """The same table in memory, for labeling without a study.

    Pairs that the model cannot process have NaN scores and a note.
    """
    from trimtab.models.lazy_model import CachedLogprobReader

    scores: dict[str, ResponseScores] = {}
    fitting: list[tuple[Pair, TokenizedPair]] = []
    for pair in pairs:
        try:
            row = tokenize_pair(model.chat, pair.prompt, pair.a, pair.b)
            note = "" if model.fits(row) else _describe_overlong(model, row)
        except ToolCallError as error:
            note = str(error)
        if note:
            scores[pair.id] = ResponseScores(a=math.nan, b=math.nan, n_a=0, n_b=0, note=note)
        else:
            fitting.append((pair, row))
    rows = [row for _, row in fitting]
    with runtime.progress("Computing log-probabilities", len(pairs), "pairs") as tick:
        tick(len(scores))
        for indices, batch, _ in CachedLogprobReader(model, runtime.notify).iter_batches(rows, runtime.token_budget):
            for index, (a, b) in zip(indices, batch.sums, strict=True):
                pair, row = fitting[index]
                scores[pair.id] = ResponseScores(a=a, b=b, n_a=len(row.first), n_b=len(row.second))
            tick(len(indices))
    return scores


def _describe_overlong(model: LazyModel, row: TokenizedPair) -> str:
    return f"{row.max_text_length} tokens, more than the model's maximum of {model.max_positions}"
