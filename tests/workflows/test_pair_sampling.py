"""`trimtab sample` makes pairs from prompts: two responses per prompt, and what was left out is counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.data.parsing.prompt_rows import parse_prompt_row
from trimtab.data.parsing.text_values import UnusableRowError
from trimtab.errors import DataError, ModelError, StoreError, StudyError
from trimtab.pipeline.response_sampling import PairSampling
from trimtab.sources.file import File
from trimtab.types import Completion, Cost, EngineRequest, Generation, Score
from trimtab.workflows.output_files import lock_completions
from trimtab.workflows.pair_sampling import sample_pair_file
from trimtab.workflows.response_sampling import SamplingRequest, parse_engines, parse_scorer

CALLS: Counter[str] = Counter()


class Parrot(Component):
    """Answers with its name, the prompt and the seed, or with `says` and the seed. It cannot answer prompts that end with
    `fails_on`, and raises an error for those that end with `rejects`, as for a chat template."""

    model: str
    fails_on: str = ""
    says: str = ""
    rejects: str = ""
    ignores_seed: bool = False

    def start(self, runtime: Runtime) -> Parrot:
        del runtime
        return self

    def content_hash(self) -> str:
        return self.model

    def generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Generation]:
        del temperature
        if self.rejects and any(request.prompt[-1].content.endswith(self.rejects) for request in requests):
            raise ModelError("the chat template rejects the prompt")
        CALLS[self.model] += len(requests)
        responses = [self.respond(request.prompt[-1].content, seed, max_new_tokens) for request in requests]
        return (
            [replace(each, text=min((each.text.split(text)[0] for text in stop), key=len)) for each in responses]
            if stop
            else responses
        )

    def respond(self, prompt: str, seed: int, max_new_tokens: int) -> Generation:
        if self.fails_on and prompt.endswith(self.fails_on):
            return Generation(text="", status="failed", note="no answer")
        text = f"{self.says or f'{self.model} says {prompt}'} {'' if self.ignores_seed else seed}"
        return Generation(
            text=text, finish_reason="length" if max_new_tokens == 1 else "end", cost=Cost(generated_tokens=3)
        )

    def score_choices(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


class SeedScorer(Component):
    """Scores a response by its last character. `is_usable: false`: as a model that gives no reward."""

    is_usable: bool = True

    def preflight(self, runtime: Runtime) -> None:
        del runtime
        if not self.is_usable:
            raise ModelError("not a reward model")

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        del runtime
        return [Score(prompt_id=each.prompt_id, value=float(each.text[-1])) for each in completions]

    def content_hash(self) -> str:
        return ""


def parrot(model: str = "polly", **settings: Any) -> str:
    return json.dumps({"kind": f"{__name__}:Parrot", "model": model, **settings})


def build_request(*models: str, **changes: Any) -> SamplingRequest:
    values: dict[str, Any] = {"num_responses": 4, "temperature": 1.0, "max_new_tokens": 8, "rule": "random"}
    return SamplingRequest(engines=parse_engines(models or (parrot(),)), sampling=PairSampling(**{**values, **changes}))


@pytest.fixture
def prompts(tmp_path: Path) -> File:
    rows = [{"prompt": f"Question {number}"} for number in range(9)]
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return File(path=str(path))


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_prompt_gets_a_pair_and_every_response_names_its_model(
    prompts: File, tmp_path: Path, runtime: Runtime
) -> None:
    output = tmp_path / "pool.jsonl"
    summary = sample_pair_file(prompts, build_request(parrot(), parrot("coco")), output, runtime)
    rows = read_rows(output)
    assert [row["prompt"] for row in rows] == [f"Question {number}" for number in range(9)]
    for row in rows:
        assert row["response_a"] != row["response_b"]
        for side in ("a", "b"):
            assert row[f"response_{side}"].startswith(f"{row[f'model_{side}']} says {row['prompt']} ")
    assert {row[f"model_{side}"] for row in rows for side in ("a", "b")} == {"polly", "coco"}
    assert "polly: 36 responses, 108 tokens" in summary
    assert "pairs: 9, of 9 prompts, selected by random" in summary
    assert not (tmp_path / "pool.jsonl.completions").exists()
    assert len(File(path=str(output)).load().pairs) == 9


def test_responses_end_before_the_first_stop_text(prompts: File, tmp_path: Path, runtime: Runtime) -> None:
    request = build_request(parrot(), parrot("coco"), stop=(" Question", " 3"))
    sample_pair_file(prompts, request, tmp_path / "pool.jsonl", runtime)
    texts = {row[f"response_{side}"] for row in read_rows(tmp_path / "pool.jsonl") for side in ("a", "b")}
    assert texts == {"polly says", "coco says"}


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_a_stop_text_of_white_space_is_an_error(text: str) -> None:
    with pytest.raises(StudyError, match="--stop: expected texts with more than white space"):
        build_request(stop=("User:", text)).validate()


def test_a_pair_of_the_best_and_the_worst_is_in_random_order(prompts: File, tmp_path: Path, runtime: Runtime) -> None:
    scorer = parse_scorer(json.dumps({"kind": f"{__name__}:SeedScorer"}), "best_worst")
    sample_pair_file(prompts, build_request(rule="best_worst", scorer=scorer), tmp_path / "pool.jsonl", runtime)
    ends = {(row["response_a"][-1], row["response_b"][-1]) for row in read_rows(tmp_path / "pool.jsonl")}
    assert ends == {("0", "3"), ("3", "0")}


def test_failed_responses_are_counted_and_tried_again(prompts: File, tmp_path: Path, runtime: Runtime) -> None:
    output = tmp_path / "pool.jsonl"
    summary = sample_pair_file(prompts, build_request(parrot(fails_on="1")), output, runtime)
    assert "polly: 32 responses, 96 tokens; 4 failed, most often: no answer" in summary
    assert "prompts without a pair: 1 (fewer than two responses)" in summary
    assert "run the same command to retry the failed responses" in summary
    assert len(read_rows(output)) == 8
    CALLS.clear()
    summary = sample_pair_file(prompts, build_request(parrot()), output, runtime)  # it answers now, under the same key
    assert "pairs: 9, of 9 prompts" in summary


def test_a_prompt_that_a_chat_template_rejects_fails_alone(prompts: File, tmp_path: Path, runtime: Runtime) -> None:
    summary = sample_pair_file(prompts, build_request(parrot(rejects="5")), tmp_path / "pool.jsonl", runtime)
    assert "polly: 32 responses, 96 tokens; 4 failed, most often: the chat template rejects the prompt" in summary
    assert [row["prompt"][-1] for row in read_rows(tmp_path / "pool.jsonl")] == list("01234678")


def test_a_repeated_run_asks_only_for_what_failed(prompts: File, tmp_path: Path, runtime: Runtime) -> None:
    request = build_request(parrot(fails_on="1"))
    sample_pair_file(prompts, request, tmp_path / "pool.jsonl", runtime)
    CALLS.clear()
    sample_pair_file(prompts, request, tmp_path / "pool.jsonl", runtime)
    assert CALLS["polly"] == 4


def test_prompts_whose_responses_are_all_equal_have_no_pair(prompts: File, tmp_path: Path, runtime: Runtime) -> None:
    with pytest.raises(DataError, match=r"none of 9 prompts has a pair.* 9 \(all responses are equal or empty\)"):
        sample_pair_file(prompts, build_request(parrot(ignores_seed=True)), tmp_path / "pool.jsonl", runtime)
    assert not (tmp_path / "pool.jsonl").exists()


def test_every_model_and_the_scorer_are_checked_before_the_first_response(
    prompts: File, tmp_path: Path, runtime: Runtime
) -> None:
    CALLS.clear()
    output = tmp_path / "pool.jsonl"
    with pytest.raises(ModelError, match="--model no-such-model: "):
        sample_pair_file(prompts, build_request(parrot(), "no-such-model"), output, runtime)
    with pytest.raises(StudyError, match="--model @weak: @weak is a model of a run"):
        sample_pair_file(prompts, build_request(parrot(), "@weak"), output, runtime)
    scorer = parse_scorer(json.dumps({"kind": f"{__name__}:SeedScorer", "is_usable": False}), "best_worst")
    with pytest.raises(ModelError, match="--scorer: not a reward model"):
        sample_pair_file(prompts, build_request(rule="best_worst", scorer=scorer), output, runtime)
    assert not CALLS
    assert not (tmp_path / "pool.jsonl.completions").exists()


def test_prompts_that_a_scorer_cannot_score_are_reported_with_its_reason(
    prompts: File, tmp_path: Path, runtime: Runtime
) -> None:
    scorer = parse_scorer("{kind: synthetic_checker}", "best_worst")
    with pytest.raises(DataError, match=r"9 \(no two responses with different scores\); most often: .*starter"):
        sample_pair_file(prompts, build_request(rule="best_worst", scorer=scorer), tmp_path / "pool.jsonl", runtime)


def test_if_all_responses_fail_the_error_has_their_reason(prompts: File, tmp_path: Path, runtime: Runtime) -> None:
    failing = parrot(fails_on="n 1")
    path = tmp_path / "one.jsonl"
    path.write_text('{"prompt": "Question 1"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"1 \(fewer than two responses\); most often: no answer"):
        sample_pair_file(File(path=str(path)), build_request(failing), tmp_path / "pool.jsonl", runtime)


def test_a_second_process_on_the_same_output_is_refused(prompts: File, tmp_path: Path, runtime: Runtime) -> None:
    output = tmp_path / "pool.jsonl"
    with (
        lock_completions(output),
        pytest.raises(StoreError, match=r"pool\.jsonl\.completions is in use by another run"),
    ):
        sample_pair_file(prompts, build_request(), output, runtime)
    assert not (tmp_path / "pool.jsonl.completions").exists()
    assert "pairs: 9" in sample_pair_file(prompts, build_request(), output, runtime)


def test_a_random_pair_of_equal_responses_depends_on_the_prompt(tmp_path: Path, runtime: Runtime) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"p{number}"}) + "\n" for number in range(40)), encoding="utf-8")
    models = [parrot(name, says="one of three texts") for name in ("polly", "coco")]
    sample_pair_file(File(path=str(path)), build_request(*models, num_responses=3), tmp_path / "pool.jsonl", runtime)
    rows = read_rows(tmp_path / "pool.jsonl")
    assert len({frozenset((row["response_a"], row["response_b"])) for row in rows}) == 3
    # both models wrote all three texts: neither may count as the author of all of them
    assert {row["model_a"] for row in rows} == {row["model_b"] for row in rows} == {"polly", "coco"}


def test_responses_at_the_limit_are_counted(prompts: File, tmp_path: Path, runtime: Runtime) -> None:
    summary = sample_pair_file(prompts, build_request(max_new_tokens=1), tmp_path / "pool.jsonl", runtime)
    assert "100% of them cut off at 1 tokens" in summary


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_request(parrot(), parrot()), "--model polly: given twice"),
        (lambda: build_request("{kind: nothing}"), r"--model \{kind: nothing\}: "),
        (lambda: build_request(num_responses=1).validate(), "--responses 1: one model gives one response"),
        (lambda: build_request(temperature=0).validate(), "--temperature 0: all 4 responses of a model would be equal"),
        (lambda: parse_scorer("", "best_worst"), "--select best_worst: requires --scorer"),
        (lambda: parse_scorer("x", "random"), "--scorer: unused with --select random"),
        (lambda: parse_scorer("{kind: synthetic_checker, x: 1}", "best_worst"), "--scorer .*: x"),
        (lambda: parse_scorer("{kind: reward_model}", "best_worst"), "--scorer {kind: reward_model}: model: required"),
        (lambda: parse_scorer("{kind: study_reward_model}", "best_worst"), "it exists only in a study"),
        (lambda: parse_scorer("reward_model", "best_worst"), "--scorer reward_model: model: required"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(call: Any, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        call()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pool.csv", r"the suffix must be \.jsonl, got \.csv"),
        ("prompts.jsonl", "a file of prompts"),
        ("prompts.jsonl/pool.jsonl", "cannot create the folder .*: it is not a folder"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(
    prompts: File, tmp_path: Path, runtime: Runtime, name: str, message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        sample_pair_file(prompts, build_request(), tmp_path / name, runtime)


def test_prompts_are_read_from_messages_instructions_and_text() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert [turn.content for turn in parse_prompt_row({"messages": turns})] == ["Hi"]
    assert [turn.content for turn in parse_prompt_row({"prompt": [*turns, turns[0]]})] == ["Hi", "Hello", "Hi"]
    (turn,) = parse_prompt_row({"instruction": "Add.", "input": "1 and 2"})
    assert "Add." in turn.content
    assert "1 and 2" in turn.content
    with pytest.raises(UnusableRowError, match=r"its columns have no prompt: text; .* or --data columns\.prompt=NAME"):
        parse_prompt_row({"text": "Hi"})
    for prompt in ("", None):
        with pytest.raises(UnusableRowError, match="'prompt' is empty"):
            parse_prompt_row({"prompt": prompt, "text": "Hi"})


def test_an_empty_file_is_an_error_that_says_so(tmp_path: Path, runtime: Runtime) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=r"empty\.jsonl: has no rows; expected rows with a column such as prompt"):
        sample_pair_file(File(path=str(path)), build_request(), tmp_path / "pool.jsonl", runtime)


def test_repeated_prompts_are_counted_once(tmp_path: Path, runtime: Runtime) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "Hi"}\n{"prompt": "Hi"}\n{"text": "x"}\n', encoding="utf-8")
    summary = sample_pair_file(File(path=str(path)), build_request(), tmp_path / "pool.jsonl", runtime)
    assert "rows left out: 2, starting with" in summary
    assert "pairs: 1, of 1 prompts" in summary
