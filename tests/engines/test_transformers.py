"""A local model answers each question as if it were asked alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from trimtab.core.runtime import Runtime
from trimtab.engines._shared.tokenization import encode_request
from trimtab.engines.transformers import Transformers, TransformersEngine
from trimtab.errors import EngineError
from trimtab.types import EngineRequest, build_user_prompt

RULES = "Read the two responses with care and say which of them is the better one. " * 3
QUESTIONS = [
    EngineRequest(prompt=build_user_prompt(f"{RULES} Pair {number}: {'x' * number}"), prefill="Response ")
    for number in range(1, 6)
]
LONG = EngineRequest(prompt=build_user_prompt("x " * 4200))


@pytest.fixture
def engine(tiny_model: Path, runtime: Runtime) -> Iterator[TransformersEngine]:
    opened = Transformers(model=str(tiny_model)).start(runtime)
    assert isinstance(opened, TransformersEngine)
    yield opened


def test_shares_sum_to_one_and_are_the_softmax_of_the_sums(engine: TransformersEngine) -> None:
    for found in engine.score_choices(QUESTIONS, [["1", "2", "33"]] * 5):
        assert sum(found.probabilities) == pytest.approx(1)
        assert found.logprobs is not None
        assert found.probabilities == pytest.approx(torch.tensor(found.logprobs).softmax(0).tolist(), abs=1e-6)
        assert found.tokens == (1, 1, 2)  # the tiny tokenizer's tokens are bytes


def test_a_question_weighs_the_same_in_any_company(engine: TransformersEngine) -> None:
    together = engine.score_choices(QUESTIONS, [["1", "2"]] * 5)
    for question, found in zip(QUESTIONS, together, strict=True):
        (alone,) = engine.score_choices([question], [["1", "2"]])
        assert alone.probabilities == pytest.approx(found.probabilities, abs=1e-5)


def test_answers_come_a_pass_at_a_time_and_known_questions_are_not_asked(engine: TransformersEngine) -> None:
    few = TransformersEngine(engine.loaded_model, 64)
    first, *others = few.iter_score_choices(QUESTIONS, [["1", "2"]] * 5)
    assert others
    rest = {
        place: each
        for found in few.iter_score_choices(QUESTIONS, [["1", "2"]] * 5, skip=set(first))
        for place, each in found.items()
    }
    assert {place: each.logprobs for place, each in rest.items()} == {
        place: each.logprobs for found in others for place, each in found.items()
    }
    assert all(each.cost.seconds > 0 for each in rest.values())
    assert list(few.iter_generate(QUESTIONS, skip=range(5), max_new_tokens=3)) == []


def test_what_all_questions_share_is_read_once(engine: TransformersEngine) -> None:
    costs = [found.cost for found in engine.score_choices(QUESTIONS, [["1", "2"]] * 5)]
    assert sum(cost.cached_tokens == 0 for cost in costs) == 1
    assert all(cost.calls == 1 for cost in costs)
    lengths = {cost.prompt_tokens + cost.cached_tokens for cost in costs}
    assert len(lengths) == 5  # every question is one letter longer than the one before
    assert sum(cost.prompt_tokens for cost in costs) < 2 * max(lengths)


def test_first_tokens_alone_cannot_tell_candidates_apart_that_begin_alike(engine: TransformersEngine) -> None:
    (whole,) = engine.score_choices(QUESTIONS[:1], [["No risk", "No harm", "Yes"]])
    (first,) = engine.score_choices(QUESTIONS[:1], [["No risk", "No harm", "Yes"]], first_token_only=True)
    assert first.probabilities[0] == pytest.approx(first.probabilities[1])
    assert whole.probabilities[0] != pytest.approx(whole.probabilities[1])


def test_writing_stops_at_the_limit_or_the_stop_text(engine: TransformersEngine) -> None:
    for reply in engine.generate(QUESTIONS, max_new_tokens=6):
        assert reply.cost.generated_tokens <= 6
        assert reply.finish_reason == "length" or reply.cost.generated_tokens < 6
    (free,) = engine.generate(QUESTIONS[:1], max_new_tokens=8, temperature=1.0, seed=3)
    (again,) = engine.generate(QUESTIONS[:1], max_new_tokens=8, temperature=1.0, seed=3)
    assert free.text == again.text
    if len(free.text) > 2:
        mark = free.text[1]
        (stopped,) = engine.generate(QUESTIONS[:1], max_new_tokens=8, temperature=1.0, seed=3, stop=[mark])
        assert stopped.finish_reason == "end"
        assert stopped.text == free.text[: free.text.index(mark)].rstrip()


def test_a_question_that_the_model_cannot_read_fails_and_takes_no_other_with_it(engine: TransformersEngine) -> None:
    long, short = engine.generate([LONG, QUESTIONS[0]], max_new_tokens=2)
    assert (long.status, short.status) == ("failed", "ok")
    assert re.fullmatch(
        r"the question has 8[45]\d\d tokens and its answer up to 2 more .* the model reads 8192", long.note
    )
    heavy, light = engine.score_choices([LONG, QUESTIONS[0]], [["1", "2"]] * 2)
    assert (heavy.status, heavy.probabilities, light.status) == ("failed", (), "ok")
    assert light.probabilities == pytest.approx(
        engine.score_choices(QUESTIONS[:1], [["1", "2"]])[0].probabilities, abs=1e-5
    )


def test_a_question_fails_only_where_its_answer_may_not_fit(engine: TransformersEngine) -> None:
    engine.loaded_model.model.config.max_position_embeddings = (
        len(encode_request(engine.loaded_model.chat, QUESTIONS[0])) + 3
    )
    assert [engine.generate(QUESTIONS[:1], max_new_tokens=n)[0].status for n in (3, 4)] == ["ok", "failed"]
    # the last letter of a candidate is never read
    weighed = [engine.score_choices(QUESTIONS[:1], [["a" * n, "b"]])[0].status for n in (4, 5)]
    assert weighed == ["ok", "failed"]


def test_a_studys_model_is_refused_outside_a_study(runtime: Runtime) -> None:
    with pytest.raises(EngineError, match="@weak is a model of a study: make the annotator an arm of one"):
        Transformers(model="@weak").start(runtime)
