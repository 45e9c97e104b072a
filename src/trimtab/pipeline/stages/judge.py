"""Verdicts of one judge: on the answers of two rows, or on pairs of which it is known what people preferred."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.core.component import Component
from trimtab.core.interfaces import Engine, HasContentHash, Judge
from trimtab.core.runtime import Runtime
from trimtab.data.subsample import subsample_ids
from trimtab.errors import DataError, StudyError
from trimtab.pipeline.engine_resources import EngineResources
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import load_completions, load_split_pairs
from trimtab.storage.verdict_schema import VERDICT_SCHEMA, verdicts_to_rows
from trimtab.types import Comparison, Completion, Verdict

# Contests that are put to an engine in one call; of these a kill costs those alone that no answer has come to.
COMPARISONS_PER_CALL = 64
# Past this share of verdicts that failed the rest says little of the answers.
MAX_FAILED_VERDICT_FRACTION = 0.5
MAX_LISTED_IDS = 3


def judge_stage(name: str, judge: Component, engines: EngineResources, candidate: Stage, baseline: Stage) -> Stage:
    """Compares the answers that two stages generated for the same prompts; outcomes are those of `ours`."""

    def contests(inputs: StageInputs) -> list[Comparison]:
        return match_completions(name, load_completions(inputs["candidate"]), load_completions(inputs["baseline"]))

    return _build_stage(name, judge, engines, contests, {"candidate": candidate, "baseline": baseline})


def judge_human_pairs_stage(
    name: str, judge: Component, engines: EngineResources, split: Stage, count: int, *, shuffle: bool = False
) -> Stage:
    """Compares the two responses of `count` test pairs that people labeled; outcomes are those of `a`.

    The pairs are the first ones; with `draw`, which is for a test side that nothing has drawn, they are drawn by their ids.
    """

    def contests(inputs: StageInputs) -> list[Comparison]:
        labeled = {pair.id: pair for pair in load_split_pairs(inputs["split"], "test") if pair.human is not None}
        held = [labeled[key] for key in subsample_ids(list(labeled), count, shuffle=shuffle)]
        return [Comparison(id=pair.id, prompt=pair.prompt, candidate=pair.a, baseline=pair.b) for pair in held]

    settings = {"pairs": count, **({"draw": True} if shuffle else {})}
    return _build_stage(name, judge, engines, contests, {"split": split}, settings)


def match_completions(name: str, ours: Sequence[Completion], theirs: Sequence[Completion]) -> list[Comparison]:
    """The two answers to each prompt, in the order of ours. Raises `DataError` with the ids that one side alone has."""
    other = {each.prompt_id: each for each in theirs}
    alone = sorted({each.prompt_id for each in ours} ^ set(other))
    if alone:
        listed = ", ".join(alone[:MAX_LISTED_IDS]) + (", …" if len(alone) > MAX_LISTED_IDS else "")
        raise DataError(
            f"{name}: {len(alone)} of the prompts were answered by one side alone ({listed}); both must answer the same prompts"
        )
    return [
        Comparison(id=each.prompt_id, prompt=each.prompt, candidate=each.text, baseline=other[each.prompt_id].text)
        for each in ours
    ]


def as_judge(component: Component) -> Judge:
    if not isinstance(component, Judge):
        raise StudyError(f"{type(component).__name__} is not a judge (it needs `judge`)")
    return component


def validate_verdicts(
    name: str, contests: Sequence[Comparison], verdicts: Sequence[Verdict], where: str
) -> dict[str, Any]:
    """Facts for the record. Raises `DataError` where verdicts are not one a contest in order, or too many failed."""
    if [each.id for each in contests] != [each.id for each in verdicts]:
        raise DataError(f"{name}: the judge must give one verdict a contest, in the order of the contests")
    outcomes = Counter(each.outcome for each in verdicts)
    if outcomes["failed"] > MAX_FAILED_VERDICT_FRACTION * len(verdicts):
        notes = Counter(each.note for each in verdicts if each.outcome == "failed")
        raise DataError(
            f"{name}: {outcomes['failed']} of {len(verdicts)} verdicts failed (more than {MAX_FAILED_VERDICT_FRACTION:.0%}), most often with "
            f"“{notes.most_common(1)[0][0]}”; what was said stands in {where}"
        )
    tokens = sum(each.cost.prompt_tokens + each.cost.generated_tokens for each in verdicts)
    return {"comparisons": len(verdicts), "outcomes": dict(outcomes), "tokens": tokens}


def _build_stage(
    name: str,
    judge: Component,
    engines: EngineResources,
    contests: Callable[[StageInputs], list[Comparison]],
    needs: Mapping[str, Stage],
    settings: Mapping[str, Any] | None = None,
) -> Stage:
    asked = as_judge(judge)

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        found = contests(inputs)
        verdicts = _judge_in_batches(name, asked, found, engines.open_engines(draft, inputs, runtime), runtime)
        draft.write_rows("verdicts", verdicts_to_rows(verdicts), VERDICT_SCHEMA)
        return validate_verdicts(name, found, verdicts, f"{draft.folder}/verdicts.parquet")

    return Stage(
        name=name,
        kind="judge",
        execute=make,
        settings={"judge": identity_settings(judge), **(settings or {})},
        input_stages={**needs, **engines.input_stages()},
        external_hashes={
            **({"judge": judge.content_hash()} if isinstance(judge, HasContentHash) else {}),
            **engines.external_hashes(),
        },
    )


def _judge_in_batches(
    name: str, judge: Judge, contests: Sequence[Comparison], engines: Mapping[str, Engine], runtime: Runtime
) -> list[Verdict]:
    """Answers that were given before a kill are not asked for again, since engines keep them; verdicts are made anew."""
    verdicts: list[Verdict] = []
    with runtime.progress(f"Judging: {name}", len(contests), "contests") as tick:
        for start in range(0, len(contests), COMPARISONS_PER_CALL):
            batch = contests[start : start + COMPARISONS_PER_CALL]
            verdicts += judge.judge(batch, engines)
            tick(len(batch))
    return verdicts
