"""Stages that score: what is kept of a scorer's work when it is cut short, and what counts as a reward."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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
SIZE = 2 * SCORES_PER_CHUNK + 22  # answers: two whole chunks and a part of one
PAIRS_OF_TEST = [
    Pair.from_responses(build_user_prompt(f"Question {n}?"), "yes " * (n + 1), "no", "first") for n in range(SIZE // 2)
]
ANSWERS = [
    Completion(
        prompt_id=prompt_hash(build_user_prompt(f"{n}?")),
        prompt=build_user_prompt(f"{n}?"),
        text="y" * n,
        n_tokens=n,
        finish_reason="end",
    )
    for n in range(SIZE)
]


class Counted(Component):
    """Scores an answer by its length and notes each in a file; it breaks down at the one of this number."""

    calls: str
    breaks_at: int = 0

    def content_hash(self) -> str:
        return "the same scorer"

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        return list(self.iter_scores(completions, runtime))

    def iter_scores(self, completions: Sequence[Completion], runtime: Runtime) -> Iterator[Score]:
        for each in completions:
            with Path(self.calls).open("a") as out:
                out.write(f"{each.prompt_id}\n")
            if len(asked(self.calls)) == self.breaks_at:
                raise KeyboardInterrupt
            yield Score(prompt_id=each.prompt_id, value=math.log(1 + len(each.text)))


class Whole(Component):
    """Gives what it is told to, for all answers at once, and says nothing of how it scores each. `-` is a score that failed."""

    values: tuple[str, ...]

    def content_hash(self) -> str:
        return "no model"

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        return [
            Score(prompt_id=each.prompt_id, value=None, status="failed")
            if value == "-"
            else Score(prompt_id=each.prompt_id, value=float(value))
            for each, value in zip(completions, self.values, strict=False)
        ]


class Generous(Counted):
    """Gives a score more than it was asked for."""

    def iter_scores(self, completions: Sequence[Completion], runtime: Runtime) -> Iterator[Score]:
        yield from super().iter_scores(completions, runtime)
        yield Score(prompt_id="nobody's", value=1.0)


def asked(calls: str) -> list[str]:
    return Path(calls).read_text().splitlines() if Path(calls).is_file() else []


def given(store: Store, kind: str, tables: Mapping[str, tuple[list[dict[str, Any]], Any]]) -> tuple[Stage, Artifact]:
    """A stage that has written these tables."""

    def make(draft: Any, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
        for name, (rows, schema) in tables.items():
            draft.write_rows(name, rows, schema)
        return {}

    stage = Stage(name=kind, kind=kind, execute=make)
    return stage, store.get_or_create(kind, stage.recipe, lambda draft: make(draft, {}, RUNTIME))


def scored(folder: Path, scorer: Component, answers: Sequence[Completion] = ANSWERS) -> Artifact:
    store = Store(folder)
    stage, made = given(
        store, "generate", {"completions": ([completion_to_row(each) for each in answers], COMPLETION_SCHEMA)}
    )
    score = score_stage("score.x.gold", scorer, stage, None)
    inputs = {"completions": made}
    return store.get_or_create(score.name, score.recipe, lambda draft: score.execute(draft, inputs, RUNTIME))


def rewarded(folder: Path, scorer: Component, pairs: Sequence[Pair] = PAIRS_OF_TEST) -> Artifact:
    store = Store(folder)
    stage, made = given(store, "split", {"test": (pairs_to_rows(pairs), PAIR_SCHEMA)})
    rewards = pair_scores_stage("rewards.test.gold", scorer, stage, "test")
    return store.get_or_create(
        rewards.name, rewards.recipe, lambda draft: rewards.execute(draft, {"split": made}, RUNTIME)
    )


@pytest.mark.parametrize(("work", "table"), [(scored, "scores"), (rewarded, "rewards")])
def test_a_scorer_that_was_cut_short_scores_the_last_chunk_again_and_no_other(
    work: Callable[[Path, Component], Artifact], table: str, tmp_path: Path
) -> None:
    whole = work(tmp_path / "whole", Counted(calls=str(tmp_path / "calls-whole")))
    assert len(asked(str(tmp_path / "calls-whole"))) == SIZE
    cut = Counted(calls=str(tmp_path / "calls-cut"), breaks_at=SCORES_PER_CHUNK + 10)
    with pytest.raises(KeyboardInterrupt):
        work(tmp_path / "cut", cut)
    again = work(tmp_path / "cut", cut)
    assert len(asked(str(tmp_path / "calls-cut"))) == SIZE + 10
    read, expected = ((each.folder / f"{table}.parquet").read_bytes() for each in (again, whole))
    assert read == expected
    assert again.record["facts"] == whole.record["facts"]
    assert not list(again.folder.glob("*.part"))


def test_a_scorer_that_does_not_say_how_it_scores_each_is_given_all_answers_at_once(tmp_path: Path) -> None:
    scorer = Whole(values=tuple(str(n) for n in range(SIZE)))
    assert not isinstance(scorer, StreamingScorer)
    found = load_scores(scored(tmp_path, scorer))
    assert found == {each.prompt_id: float(place) for place, each in enumerate(ANSWERS)}


def test_a_reward_that_is_no_number_is_failed_and_says_what_it_was(tmp_path: Path) -> None:
    made = scored(tmp_path, Whole(values=("0.5", "nan", "inf", "-inf", "-")), ANSWERS[:5])
    rows = made.read_rows("scores")
    assert [(row["value"], row["status"]) for row in rows] == [(0.5, "ok"), *[(None, "failed")] * 4]
    assert [row["note"] for row in rows] == ["", *(f"the reward is {each}" for each in ("nan", "inf", "-inf")), ""]
    assert made.record["facts"] == {"prompts": 5, "failed": 4}


def test_a_pair_of_which_a_reward_is_no_number_is_left_out_and_counted(tmp_path: Path) -> None:
    made = rewarded(tmp_path, Whole(values=("1", "0", "nan", "0.5", "2", "3")), PAIRS_OF_TEST[:3])
    first, _, third = PAIRS_OF_TEST[:3]
    assert made.read_rows("rewards") == [{"id": first.id, "a": 1.0, "b": 0.0}, {"id": third.id, "a": 2.0, "b": 3.0}]
    assert made.record["facts"] == {"pairs": 3, "failed": 1}


@pytest.mark.parametrize("scorer", [Whole(values=("1",)), Generous(calls="calls")], ids=["too few", "too many"])
def test_a_scorer_must_give_one_score_an_answer(
    scorer: Component, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"score\.x\.gold: the scorer must give one score a completion, in order"):
        scored(tmp_path, scorer)
