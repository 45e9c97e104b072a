"""A table of the log-probabilities that a model gives to both responses of each pair.

Reference tables, implicit rewards and accuracies are all read from it, so relabeling a pair costs no forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.errors import DataError
from trimtab.lm.rows import Row, encode
from trimtab.protocols import ResponseScores, Runtime
from trimtab.stages.models import ModelSource, identities, needs, unopened
from trimtab.stages.stage import Inputs, Stage
from trimtab.stages.tables import LOGPROBS, pairs_of
from trimtab.store import Draft
from trimtab.types import Pair

if TYPE_CHECKING:
    from trimtab.lm.unopened import Unopened


def logprobs_stage(name: str, model: ModelSource, split: Stage, sides: Sequence[str]) -> Stage:
    """Reads the pairs of these sides of the split with the model."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = [pair for side in sides for pair in pairs_of(inputs["split"], side)]
        return _write(draft, name, unopened(model, inputs, runtime), pairs, runtime)

    return Stage(
        name=name,
        kind="logprobs",
        make=make,
        settings={"sides": list(sides)},
        needs={"split": split, **needs(model)},
        identities=identities(model),
    )


def _write(draft: Draft, name: str, model: Unopened, pairs: Sequence[Pair], runtime: Runtime) -> dict[str, Any]:
    from trimtab.lm.forms import SAID
    from trimtab.lm.unopened import read_or_recall

    rows = [encode(model.chat, pair.prompt, pair.a, pair.b) for pair in pairs]
    for pair, row in zip(pairs, rows, strict=True):
        if not model.reads(row):
            raise DataError(f"{name}: pair {pair.id} has {_too_long(model, row)}; lower the study's max_tokens")

    def make(ids: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        wanted = set(ids)
        with runtime.progress(f"Reading pairs: {name}", len(pairs), "pairs") as tick:
            tick(len(pairs) - len(ids))
            asked = [pair.id in wanted for pair in pairs]
            for places, found, recalled in read_or_recall(model, rows, runtime.token_budget, asked, runtime.notify):
                new = [place for place in places if pairs[place].id in wanted]
                sums = dict(zip(places, found.sums, strict=True))
                how = {"form": found.form, "recalled": recalled}
                yield [{"key": pairs[place].id, "a": sums[place][0], "b": sums[place][1], **how} for place in new]
                tick(len(new))

    kept = draft.keep("logprobs", [pair.id for pair in pairs], make)
    table = [
        {"id": sums["key"], "a": sums["a"], "b": sums["b"], "n_a": len(row.first), "n_b": len(row.second)}
        for sums, row in zip(kept, rows, strict=True)
    ]
    draft.write_rows("logprobs", table, LOGPROBS)
    return {
        "pairs": len(pairs),
        "tokens": sum(map(len, rows)),
        "recalled": sum(bool(sums.get("recalled")) for sums in kept),
        "path": "; ".join(sorted({SAID[sums["form"]] for sums in kept if "form" in sums})),
    }


def score_pairs(model: Unopened, pairs: Sequence[Pair], runtime: Runtime) -> dict[str, ResponseScores]:
    """The same table in memory, for labels without a study. Pairs that are too long for the model have no sums, and say so."""
    from trimtab.lm.unopened import read_or_recall

    rows = [encode(model.chat, pair.prompt, pair.a, pair.b) for pair in pairs]
    found: dict[str, ResponseScores] = {}
    short = [place for place, row in enumerate(rows) if model.reads(row)]
    read = [rows[place] for place in short]
    with runtime.progress("Reading pairs", len(pairs), "pairs") as tick:
        for places, known, _ in read_or_recall(model, read, runtime.token_budget, [True] * len(read), runtime.notify):
            for place, (a, b) in zip(places, known.sums, strict=True):
                row = read[place]
                found[pairs[short[place]].id] = ResponseScores(a=a, b=b, n_a=len(row.first), n_b=len(row.second))
            tick(len(places))
        for pair, row in zip(pairs, rows, strict=True):
            if not model.reads(row):
                found[pair.id] = ResponseScores(a=math.nan, b=math.nan, n_a=0, n_b=0, note=_too_long(model, row))
                tick(1)
    return found


def _too_long(model: Unopened, row: Row) -> str:
    return f"{row.longest_text} tokens, and the model reads texts of at most {model.most}"
