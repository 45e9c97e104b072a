"""A study that evaluates some of its test pairs uses a sample of them, whatever their order in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trimtab.config.study import Study
from trimtab.core.annotator_inputs import Requirements
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
num_test_prompts: 5
judges: {rule: {kind: pairwise, engine: {kind: scripted}}}
"""
ONE = "{kind: starter, limit: 40}"
THREE = "{labeled: {kind: starter, seed: 1}, unlabeled: {kind: starter, seed: 2}, test: {kind: starter, seed: 3%s}}"
# A file like those of benchmarks: one subset after another.
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
    """A judge that prefers every candidate."""

    def requirements(self) -> Requirements:
        return Requirements()

    def judge(self, comparisons: Sequence[Comparison], engines: Mapping[str, Engine]) -> list[Verdict]:
        return [Verdict(id=comparison.id, outcome="win") for comparison in comparisons]


def settings_of(plan: Plan, name: str) -> dict[str, Any]:
    return dict(next(stage for stage in plan.stages if stage.name == name).settings)


def planned(data: str, *changes: str) -> Plan:
    return build_plan(Study.parse(YAML.replace("DATA", data), changes))


def judged_pair_ids(folder: Path, count: int, *, shuffle: bool) -> list[str]:
    """The ids of the pairs on which a judge is compared with human labels."""

    def write(draft: Any, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
        draft.write_rows("test", pairs_to_rows(SORTED), PAIR_SCHEMA)
        return {}

    store, split = Store(folder), Stage(name="split", kind="split", execute=write)
    inputs = {"split": store.get_or_create("split", split.recipe, lambda draft: write(draft, {}, RUNTIME))}
    stage = judge_human_pairs_stage("judge-human-pairs.x", Lenient(), EngineResources(), split, count, shuffle=shuffle)
    artifact = store.get_or_create(stage.name, stage.recipe, lambda draft: stage.execute(draft, inputs, RUNTIME))
    return list(load_verdicts(artifact))


def test_the_first_ids_are_selected_or_sampled() -> None:
    ids = [str(n) for n in range(50)]
    assert subsample_ids(ids, 3, shuffle=False) == ["0", "1", "2"]
    assert subsample_ids(ids, None, shuffle=False) == ids
    assert sorted(subsample_ids(ids, None, shuffle=True)) == sorted(ids)


def test_a_sample_does_not_depend_on_the_order_and_a_larger_count_only_adds() -> None:
    ids = [str(n) for n in range(50)]
    assert subsample_ids(ids, 10, shuffle=True) == subsample_ids(ids[::-1], 10, shuffle=True) != ids[:10]
    assert subsample_ids(ids, 20, shuffle=True)[:10] == subsample_ids(ids, 10, shuffle=True)


def test_judges_are_compared_with_human_labels_on_every_part_of_a_sorted_file(tmp_path: Path) -> None:
    subset = {pair.id: pair.prompt[0].content.split()[0] for pair in SORTED}
    assert {subset[pair_id] for pair_id in judged_pair_ids(tmp_path, 30, shuffle=False)} == {"chat"}
    assert {subset[pair_id] for pair_id in judged_pair_ids(tmp_path, 30, shuffle=True)} == {"chat", "code", "math"}


@pytest.mark.parametrize("data", [ONE, THREE % ", limit: 9"], ids=["one source", "a sample of a source"])
def test_test_pairs_that_are_a_sample_already_are_used_in_their_order(data: str) -> None:
    plan = planned(data)
    for name in ("generate.base", "judge-human-pairs.rule"):
        assert "shuffle" not in settings_of(plan, name), name


def test_a_part_of_a_test_file_is_sampled_and_that_is_in_the_fingerprint() -> None:
    plan = planned(THREE % "")
    assert settings_of(plan, "generate.base")["shuffle"] is True
    assert settings_of(plan, "judge-human-pairs.rule") == {
        **settings_of(planned(ONE), "judge-human-pairs.rule"),
        "shuffle": True,
    }


def test_if_all_test_prompts_are_used_nothing_is_sampled() -> None:
    assert "shuffle" not in settings_of(planned(THREE % "", "num_test_prompts=null"), "generate.base")
