"""Where a study asks about some of its test pairs, these speak of all of them, whatever the order of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trimtab.config.study import Study
from trimtab.core.component import Component
from trimtab.core.interfaces import Engine
from trimtab.core.runtime import ProgressTick, Runtime
from trimtab.data.subsample import subsample_ids
from trimtab.pipeline.engine_resources import EngineResources
from trimtab.pipeline.plan import Plan, build_plan
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.judge import judge_human_pairs_stage
from trimtab.storage.artifacts import Store
from trimtab.storage.schemas import PAIR_SCHEMA, pairs_to_rows
from trimtab.storage.verdict_schema import load_verdicts
from trimtab.types import Comparison, Pair, Verdict, build_user_prompt

YAML = """
name: small
data: DATA
models: {weak: {base: smollm2-135m-instruct, layers: 4}, student: smollm2-135m-instruct}
prompts: 5
judges: {rule: {kind: pairwise, engine: {kind: scripted}}}
"""
ONE = "{kind: starter, limit: 40}"
THREE = "{labeled: {kind: starter, seed: 1}, unlabeled: {kind: starter, seed: 2}, test: {kind: starter, seed: 3%s}}"
# A file as benchmarks are: one subset behind another.
SORTED = [
    Pair.from_responses(build_user_prompt(f"{subset} {n}?"), "yes", "no", "first")
    for subset in ("chat", "code", "math")
    for n in range(40)
]


@contextmanager
def quiet(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    del label, total, unit
    yield lambda done=1: None


RUNTIME = Runtime(progress=quiet, notify=lambda text: None)


class Lenient(Component):
    """Everything wins."""

    def judge(self, contests: Sequence[Comparison], engines: Mapping[str, Engine]) -> list[Verdict]:
        return [Verdict(id=each.id, outcome="win") for each in contests]


def settings_of(plan: Plan, name: str) -> dict[str, Any]:
    return dict(next(stage for stage in plan.stages if stage.name == name).settings)


def planned(data: str, *changes: str) -> Plan:
    return build_plan(Study.parse(YAML.replace("DATA", data), changes))


def judged(folder: Path, count: int, *, draw: bool) -> list[str]:
    """The ids of the pairs on which a judge is held to people."""

    def make(draft: Any, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
        draft.write_rows("test", pairs_to_rows(SORTED), PAIR_SCHEMA)
        return {}

    store, split = Store(folder), Stage(name="split", kind="split", execute=make)
    inputs = {"split": store.get_or_create("split", split.recipe, lambda draft: make(draft, {}, RUNTIME))}
    stage = judge_human_pairs_stage("judge-people.x", Lenient(), EngineResources(), split, count, shuffle=draw)
    made = store.get_or_create(stage.name, stage.recipe, lambda draft: stage.execute(draft, inputs, RUNTIME))
    return list(load_verdicts(made))


def test_the_first_ids_are_taken_or_drawn() -> None:
    ids = [str(n) for n in range(50)]
    assert subsample_ids(ids, 3, shuffle=False) == ["0", "1", "2"]
    assert subsample_ids(ids, None, shuffle=False) == ids
    assert sorted(subsample_ids(ids, None, shuffle=True)) == sorted(ids)


def test_what_is_drawn_depends_on_no_order_and_a_larger_count_only_adds() -> None:
    ids = [str(n) for n in range(50)]
    assert subsample_ids(ids, 10, shuffle=True) == subsample_ids(ids[::-1], 10, shuffle=True) != ids[:10]
    assert subsample_ids(ids, 20, shuffle=True)[:10] == subsample_ids(ids, 10, shuffle=True)


def test_judges_are_held_to_pairs_of_every_part_of_a_sorted_file(tmp_path: Path) -> None:
    subset = {pair.id: pair.prompt[0].content.split()[0] for pair in SORTED}
    assert {subset[key] for key in judged(tmp_path, 30, draw=False)} == {"chat"}
    assert {subset[key] for key in judged(tmp_path, 30, draw=True)} == {"chat", "code", "math"}


@pytest.mark.parametrize("data", [ONE, THREE % ", limit: 9"], ids=["one source", "a sample of a source"])
def test_test_pairs_that_were_drawn_already_are_taken_in_their_order(data: str) -> None:
    plan = planned(data)
    for name in ("generate.base", "judge-people.rule"):
        assert "draw" not in settings_of(plan, name), name


def test_some_of_a_test_source_as_it_is_are_drawn_and_the_fingerprint_tells_it() -> None:
    plan = planned(THREE % "")
    assert settings_of(plan, "generate.base")["draw"] is True
    assert settings_of(plan, "judge-people.rule") == {**settings_of(planned(ONE), "judge-people.rule"), "draw": True}


def test_where_all_test_prompts_are_answered_nothing_is_drawn() -> None:
    assert "draw" not in settings_of(planned(THREE % "", "prompts=null"), "generate.base")
