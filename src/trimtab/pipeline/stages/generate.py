"""A model's answers to the test prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.core.runtime import Runtime
from trimtab.data.subsample import subsample_ids
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.pipeline.stage_models import ModelSource, as_external_hashes, as_input_stages, load_model_source
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import COMPLETION_SCHEMA, completion_to_row, load_split_pairs

if TYPE_CHECKING:
    from trimtab.models.inference.sampling import Sampling


def generate_stage(
    name: str, model: ModelSource, split: Stage, sampling: Sampling, num_prompts: int | None, *, shuffle: bool = False
) -> Stage:
    """Answers the first `prompts` distinct test prompts; all of them where it is None.

    With `draw`, which is for a test side that nothing has drawn, they are drawn by their hashes instead.
    """
    drawn = shuffle and num_prompts is not None

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        from trimtab.models.inference.generate import sample_completions

        asked = {pair.prompt_id: pair.prompt for pair in load_split_pairs(inputs["split"], "test")}
        chosen = {key: asked[key] for key in subsample_ids(list(asked), num_prompts, shuffle=drawn)}
        loaded = load_model_source(model, inputs, runtime, merge=True)

        def answer(ids: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
            wanted = set(ids)
            with runtime.progress(f"Answering: {name}", len(chosen), "prompts") as tick:
                tick(len(chosen) - len(ids))
                for batch in sample_completions(
                    loaded.model, loaded.chat, list(chosen.items()), sampling, wanted, runtime.token_budget
                ):
                    yield [{"key": each.prompt_id, **completion_to_row(each)} for each in batch]
                    tick(len(batch))

        kept = draft.resumable_rows("completions", list(chosen), answer)
        rows = [{field: row[field] for field in COMPLETION_SCHEMA.names} for row in kept]
        draft.write_rows("completions", rows, COMPLETION_SCHEMA)
        return {"prompts": len(rows), "tokens": sum(row["n_tokens"] for row in rows)}

    return Stage(
        name=name,
        kind="generate",
        execute=make,
        settings={"sampling": identity_settings(sampling), "prompts": num_prompts, **({"draw": True} if drawn else {})},
        input_stages={"split": split, **as_input_stages(model)},
        external_hashes=as_external_hashes(model),
    )
