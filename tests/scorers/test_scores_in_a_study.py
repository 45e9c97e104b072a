"""Scoring stages: what survives an interruption, and which values count as rewards."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from trimtab.core.component import Component
from trimtab.core.interfaces import StreamingScorer
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.score import SCORES_PER_CHUNK, pair_scores_stage, score_stage
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.schemas import COMPLETION_SCHEMA, PAIR_SCHEMA, completion_to_row, load_scores, pairs_to_rows
from trimtab.types import Completion, Pair, Score, build_user_prompt, prompt_hash

RUNTIME = Runtime(progress=lambda label, total, unit: nullcontext(lambda done=1: None), notify=lambda text: None)
SIZE = 2 * SCORES_PER_CHUNK + 22  # completions: two full chunks and a partial one
TEST_PAIRS = [
    Pair.from_responses(build_user_prompt(f"Question {n}?"), "yes " * (n + 1), "no", "first") for n in range(SIZE // 2)
]
COMPLETIONS = [
    Completion(
        prompt_id=prompt_hash(build_user_prompt(f"{n}?")),
        prompt=build_user_prompt(f"{n}?"),
        text="y" * n,
        n_tokens=n,
        finish_reason="end",
    )
    for n in range(SIZE)
]


class InterruptedScorer(Component):
    """Scores a response by its length and logs each call in a file; raises at call number `interrupt_at`."""

    calls: str
    interrupt_at: int = 0

    def content_hash(self) -> str:
        return "the same scorer"

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        raise NotImplementedError

    def load_score_function(self, runtime: Runtime) -> Callable[[Completion], Score]:
        return self._score_one

    def _score_one(self, item: Completion) -> Score:
        with Path(self.calls).open("a") as out:
            out.write(f"{item.prompt_id}\n")
        if len(read_calls(self.calls)) == self.interrupt_at:
            raise KeyboardInterrupt
        return Score(prompt_id=item.prompt_id, value=math.log(1 + len(item.text)))


class BatchScorer(Component):
    """Returns the given values for all responses at once and does not stream scores. `-` is a failed score."""

    values: tuple[str, ...]

    def content_hash(self) -> str:
        return "no model"

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        return [
            Score(prompt_id=item.prompt_id, value=None, status="failed")
            if value == "-"
            else Score(prompt_id=item.prompt_id, value=float(value))
            for item, value in zip(completions, self.values, strict=False)
        ]


class ShorteningScorer(Component):
    """Shortens responses of three characters and more."""

    def content_hash(self) -> str:
        return "the same scorer"

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        return [
            Score(prompt_id=item.prompt_id, value=1.0, note="shorter" * (len(item.text) > 2)) for item in completions
        ]


class OtherScore(InterruptedScorer):
    """Returns the scores of another completion."""

    def load_score_function(self, runtime: Runtime) -> Callable[[Completion], Score]:
        return lambda completion: Score(prompt_id="nobody's", value=1.0)


def read_calls(calls: str) -> list[str]:
    return Path(calls).read_text().splitlines() if Path(calls).is_file() else []


def make_input(
    store: Store, kind: str, tables: Mapping[str, tuple[Iterable[dict[str, Any]], Any]]
) -> tuple[Stage, Artifact]:
    """A finished stage with these tables."""

    def make(draft: Any, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
        for name, (rows, schema) in tables.items():
            draft.write_rows(name, rows, schema)
        return {}

    stage = Stage(name=kind, kind=kind, execute=make)
    return stage, store.get_or_create(kind, stage.recipe, lambda draft: make(draft, {}, RUNTIME))


def score_completions(folder: Path, scorer: Component, completions: Sequence[Completion] = COMPLETIONS) -> Artifact:
    store = Store(folder)
    stage, artifact = make_input(
        store,
        "generate",
        {"completions": ([completion_to_row(completion) for completion in completions], COMPLETION_SCHEMA)},
    )
    score = score_stage("score.x.gold", scorer, stage, None)
    inputs = {"completions": artifact}
    return store.get_or_create(score.name, score.recipe, lambda draft: score.execute(draft, inputs, RUNTIME))


def score_pairs(folder: Path, scorer: Component, pairs: Sequence[Pair] = TEST_PAIRS) -> Artifact:
    store = Store(folder)
    stage, artifact = make_input(store, "split", {"test": (pairs_to_rows(pairs), PAIR_SCHEMA)})
    rewards = pair_scores_stage("rewards.test.gold", scorer, stage, "test")
    return store.get_or_create(
        rewards.name, rewards.recipe, lambda draft: rewards.execute(draft, {"split": artifact}, RUNTIME)
    )


@pytest.mark.parametrize(("work", "table"), [(score_completions, "scores"), (score_pairs, "rewards")])
def test_an_interrupted_scorer_repeats_only_the_last_chunk(
    work: Callable[[Path, Component], Artifact], table: str, tmp_path: Path
) -> None:
    uninterrupted = work(tmp_path / "whole", InterruptedScorer(calls=str(tmp_path / "calls-whole")))
    assert len(read_calls(str(tmp_path / "calls-whole"))) == SIZE
    cut = InterruptedScorer(calls=str(tmp_path / "calls-cut"), interrupt_at=SCORES_PER_CHUNK + 10)
    with pytest.raises(KeyboardInterrupt):
        work(tmp_path / "cut", cut)
    resumed = work(tmp_path / "cut", cut)
    assert len(read_calls(str(tmp_path / "calls-cut"))) == SIZE + 10
    read, expected = ((item.folder / f"{table}.parquet").read_bytes() for item in (resumed, uninterrupted))
    assert read == expected
    assert resumed.record["facts"] == uninterrupted.record["facts"]
    assert not list(resumed.folder.glob("*.part"))


def test_a_scorer_without_streaming_gets_all_completions_at_once(tmp_path: Path) -> None:
    scorer = BatchScorer(values=tuple(str(n) for n in range(SIZE)))
    assert not isinstance(scorer, StreamingScorer)
    scores = load_scores(score_completions(tmp_path, scorer))
    assert scores == {completion.prompt_id: float(index) for index, completion in enumerate(COMPLETIONS)}


def test_a_reward_that_is_not_finite_is_failed_with_its_value(tmp_path: Path) -> None:
    artifact = score_completions(tmp_path, BatchScorer(values=("0.5", "nan", "inf", "-inf", "-")), COMPLETIONS[:5])
    rows = artifact.read_rows("scores")
    assert [(row["value"], row["status"]) for row in rows] == [(0.5, "ok"), *[(None, "failed")] * 4]
    assert [row["note"] for row in rows] == ["", *(f"the reward is {item}" for item in ("nan", "inf", "-inf")), ""]
    assert artifact.record["facts"] == {"prompts": 5, "failed": 4, "truncated": 0}


def test_a_pair_with_a_reward_that_is_not_finite_is_excluded_and_counted(tmp_path: Path) -> None:
    artifact = score_pairs(tmp_path, BatchScorer(values=("1", "0", "nan", "0.5", "2", "3")), TEST_PAIRS[:3])
    first, _, third = TEST_PAIRS[:3]
    assert artifact.read_rows("rewards") == [{"id": first.id, "a": 1.0, "b": 0.0}, {"id": third.id, "a": 2.0, "b": 3.0}]
    assert artifact.record["facts"] == {"pairs": 3, "failed": 1, "truncated": 0}


def test_scores_of_shortened_texts_are_counted(tmp_path: Path) -> None:
    scorer = ShorteningScorer()
    assert score_completions(tmp_path / "a", scorer, COMPLETIONS[:6]).record["facts"]["truncated"] == 3
    assert score_pairs(tmp_path / "b", scorer, TEST_PAIRS[:3]).record["facts"]["truncated"] == 3


@pytest.mark.parametrize(
    "scorer", [BatchScorer(values=("1",)), OtherScore(calls="calls")], ids=["too few", "another one"]
)
def test_a_scorer_must_return_one_score_per_completion(
    scorer: Component, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"score\.x\.gold: the scorer must return one score per completion, in order"):
        score_completions(tmp_path, scorer)
