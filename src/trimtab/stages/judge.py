"""Verdicts of one judge: on the answers of two rows, or on pairs of which it is known what people preferred."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.components import Component
from trimtab.errors import DataError, StudyError
from trimtab.protocols import Engine, Identified, Judge, Runtime
from trimtab.stages.drawn import some
from trimtab.stages.engines import Engines
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import completions_of, pairs_of
from trimtab.stages.verdicts import VERDICTS, verdict_rows
from trimtab.store import Draft
from trimtab.types import Completion, Contest, Verdict

# Contests that are put to an engine in one call; of these a kill costs those alone that no answer has come to.
BATCH = 64
# Past this share of verdicts that failed the rest says little of the answers.
MAX_FAILED = 0.5
SHOWN_IDS = 3


def judge_stage(name: str, judge: Component, engines: Engines, ours: Stage, theirs: Stage) -> Stage:
    """Compares the answers that two stages generated for the same prompts; outcomes are those of `ours`."""

    def contests(inputs: Inputs) -> list[Contest]:
        return matched(name, completions_of(inputs["ours"]), completions_of(inputs["theirs"]))

    return _stage(name, judge, engines, contests, {"ours": ours, "theirs": theirs})


def judge_people_stage(
    name: str, judge: Component, engines: Engines, split: Stage, count: int, *, draw: bool = False
) -> Stage:
    """Compares the two responses of `count` test pairs that people labeled; outcomes are those of `a`.

    The pairs are the first ones; with `draw`, which is for a test side that nothing has drawn, they are drawn by their ids.
    """

    def contests(inputs: Inputs) -> list[Contest]:
        labeled = {pair.id: pair for pair in pairs_of(inputs["split"], "test") if pair.human is not None}
        held = [labeled[key] for key in some(list(labeled), count, draw=draw)]
        return [Contest(id=pair.id, prompt=pair.prompt, ours=pair.a, theirs=pair.b) for pair in held]

    settings = {"pairs": count, **({"draw": True} if draw else {})}
    return _stage(name, judge, engines, contests, {"split": split}, settings)


def matched(name: str, ours: Sequence[Completion], theirs: Sequence[Completion]) -> list[Contest]:
    """The two answers to each prompt, in the order of ours. Raises `DataError` with the ids that one side alone has."""
    other = {each.prompt_id: each for each in theirs}
    alone = sorted({each.prompt_id for each in ours} ^ set(other))
    if alone:
        listed = ", ".join(alone[:SHOWN_IDS]) + (", …" if len(alone) > SHOWN_IDS else "")
        raise DataError(
            f"{name}: {len(alone)} of the prompts were answered by one side alone ({listed}); both must answer the same prompts"
        )
    return [
        Contest(id=each.prompt_id, prompt=each.prompt, ours=each.text, theirs=other[each.prompt_id].text)
        for each in ours
    ]


def as_judge(component: Component) -> Judge:
    if not isinstance(component, Judge):
        raise StudyError(f"{type(component).__name__} is not a judge (it needs `judge`)")
    return component


def checked(name: str, contests: Sequence[Contest], verdicts: Sequence[Verdict], where: str) -> dict[str, Any]:
    """Facts for the record. Raises `DataError` where verdicts are not one a contest in order, or too many failed."""
    if [each.id for each in contests] != [each.id for each in verdicts]:
        raise DataError(f"{name}: the judge must give one verdict a contest, in the order of the contests")
    outcomes = Counter(each.outcome for each in verdicts)
    if outcomes["failed"] > MAX_FAILED * len(verdicts):
        notes = Counter(each.note for each in verdicts if each.outcome == "failed")
        raise DataError(
            f"{name}: {outcomes['failed']} of {len(verdicts)} verdicts failed (more than {MAX_FAILED:.0%}), most often with "
            f"“{notes.most_common(1)[0][0]}”; what was said stands in {where}"
        )
    tokens = sum(each.cost.prompt_tokens + each.cost.generated_tokens for each in verdicts)
    return {"contests": len(verdicts), "outcomes": dict(outcomes), "tokens": tokens}


def _stage(
    name: str,
    judge: Component,
    engines: Engines,
    contests: Callable[[Inputs], list[Contest]],
    needs: Mapping[str, Stage],
    settings: Mapping[str, Any] | None = None,
) -> Stage:
    asked = as_judge(judge)

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        found = contests(inputs)
        verdicts = _in_batches(name, asked, found, engines.opened(draft, inputs, runtime), runtime)
        draft.write_rows("verdicts", verdict_rows(verdicts), VERDICTS)
        return checked(name, found, verdicts, f"{draft.folder}/verdicts.parquet")

    return Stage(
        name=name,
        kind="judge",
        make=make,
        settings={"judge": told(judge), **(settings or {})},
        needs={**needs, **engines.needs()},
        identities={
            **({"judge": judge.identity()} if isinstance(judge, Identified) else {}),
            **engines.identities(),
        },
    )


def _in_batches(
    name: str, judge: Judge, contests: Sequence[Contest], engines: Mapping[str, Engine], runtime: Runtime
) -> list[Verdict]:
    """Answers that were given before a kill are not asked for again, since engines keep them; verdicts are made anew."""
    verdicts: list[Verdict] = []
    with runtime.progress(f"Judging: {name}", len(contests), "contests") as tick:
        for start in range(0, len(contests), BATCH):
            batch = contests[start : start + BATCH]
            verdicts += judge.judge(batch, engines)
            tick(len(batch))
    return verdicts
