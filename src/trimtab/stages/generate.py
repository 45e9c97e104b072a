"""A model's answers to the test prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.protocols import Runtime
from trimtab.stages.drawn import some
from trimtab.stages.models import ModelSource, identities, load, needs
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import COMPLETIONS, completion_row, pairs_of
from trimtab.store import Draft

if TYPE_CHECKING:
    from trimtab.lm.sampling import Sampling


def generate_stage(
    name: str, model: ModelSource, split: Stage, sampling: Sampling, prompts: int | None, *, draw: bool = False
) -> Stage:
    """Answers the first `prompts` distinct test prompts; all of them where it is None.

    With `draw`, which is for a test side that nothing has drawn, they are drawn by their hashes instead.
    """
    drawn = draw and prompts is not None

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        from trimtab.lm.generate import generate

        asked = {pair.prompt_id: pair.prompt for pair in pairs_of(inputs["split"], "test")}
        chosen = {key: asked[key] for key in some(list(asked), prompts, draw=drawn)}
        loaded = load(model, inputs, runtime, merge=True)

        def answer(ids: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
            wanted = set(ids)
            with runtime.progress(f"Answering: {name}", len(chosen), "prompts") as tick:
                tick(len(chosen) - len(ids))
                for batch in generate(
                    loaded.model, loaded.chat, list(chosen.items()), sampling, wanted, runtime.token_budget
                ):
                    yield [{"key": each.prompt_id, **completion_row(each)} for each in batch]
                    tick(len(batch))

        kept = draft.keep("completions", list(chosen), answer)
        rows = [{field: row[field] for field in COMPLETIONS.names} for row in kept]
        draft.write_rows("completions", rows, COMPLETIONS)
        return {"prompts": len(rows), "tokens": sum(row["n_tokens"] for row in rows)}

    return Stage(
        name=name,
        kind="generate",
        make=make,
        settings={"sampling": told(sampling), "prompts": prompts, **({"draw": True} if drawn else {})},
        needs={"split": split, **needs(model)},
        identities=identities(model),
    )
