"""A local model answers each question as if it were asked alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from trimtab.engines._tokens import question_ids
from trimtab.engines.transformers import Transformers, TransformersEngine
from trimtab.errors import EngineError
from trimtab.protocols import Runtime
from trimtab.types import Question, user

RULES = "Read the two responses with care and say which of them is the better one. " * 3
QUESTIONS = [
    Question(prompt=user(f"{RULES} Pair {number}: {'x' * number}"), begins="Response ") for number in range(1, 6)
]
LONG = Question(prompt=user("x " * 4200))


@pytest.fixture
def engine(tiny_model: Path, runtime: Runtime) -> Iterator[TransformersEngine]:
    opened = Transformers(model=str(tiny_model)).start(runtime)
    assert isinstance(opened, TransformersEngine)
    yield opened


def test_shares_sum_to_one_and_are_the_softmax_of_the_sums(engine: TransformersEngine) -> None:
    for found in engine.weigh(QUESTIONS, [["1", "2", "33"]] * 5):
        assert sum(found.shares) == pytest.approx(1)
        assert found.logprobs is not None
        assert found.shares == pytest.approx(torch.tensor(found.logprobs).softmax(0).tolist(), abs=1e-6)
        assert found.tokens == (1, 1, 2)  # the tiny tokenizer's tokens are bytes


def test_a_question_weighs_the_same_in_any_company(engine: TransformersEngine) -> None:
    together = engine.weigh(QUESTIONS, [["1", "2"]] * 5)
    for question, found in zip(QUESTIONS, together, strict=True):
        (alone,) = engine.weigh([question], [["1", "2"]])
        assert alone.shares == pytest.approx(found.shares, abs=1e-5)


def test_answers_come_a_pass_at_a_time_and_known_questions_are_not_asked(engine: TransformersEngine) -> None:
    few = TransformersEngine(engine.loaded, 64)
    first, *others = few.weighing(QUESTIONS, [["1", "2"]] * 5)
    assert others
    rest = {
        place: each
        for found in few.weighing(QUESTIONS, [["1", "2"]] * 5, known=set(first))
        for place, each in found.items()
    }
    assert {place: each.logprobs for place, each in rest.items()} == {
        place: each.logprobs for found in others for place, each in found.items()
    }
    assert all(each.cost.seconds > 0 for each in rest.values())
    assert list(few.writing(QUESTIONS, known=range(5), max_tokens=3)) == []


def test_what_all_questions_share_is_read_once(engine: TransformersEngine) -> None:
    costs = [found.cost for found in engine.weigh(QUESTIONS, [["1", "2"]] * 5)]
    assert sum(cost.reused_tokens == 0 for cost in costs) == 1
    assert all(cost.calls == 1 for cost in costs)
    lengths = {cost.prompt_tokens + cost.reused_tokens for cost in costs}
    assert len(lengths) == 5  # every question is one letter longer than the one before
    assert sum(cost.prompt_tokens for cost in costs) < 2 * max(lengths)


def test_first_tokens_alone_cannot_tell_candidates_apart_that_begin_alike(engine: TransformersEngine) -> None:
    (whole,) = engine.weigh(QUESTIONS[:1], [["No risk", "No harm", "Yes"]])
    (first,) = engine.weigh(QUESTIONS[:1], [["No risk", "No harm", "Yes"]], first_token=True)
    assert first.shares[0] == pytest.approx(first.shares[1])
    assert whole.shares[0] != pytest.approx(whole.shares[1])


def test_writing_stops_at_the_limit_or_the_stop_text(engine: TransformersEngine) -> None:
    for reply in engine.write(QUESTIONS, max_tokens=6):
        assert reply.cost.generated_tokens <= 6
        assert reply.stop == "length" or reply.cost.generated_tokens < 6
    (free,) = engine.write(QUESTIONS[:1], max_tokens=8, temperature=1.0, seed=3)
    (again,) = engine.write(QUESTIONS[:1], max_tokens=8, temperature=1.0, seed=3)
    assert free.text == again.text
    if len(free.text) > 2:
        mark = free.text[1]
        (stopped,) = engine.write(QUESTIONS[:1], max_tokens=8, temperature=1.0, seed=3, stop=[mark])
        assert stopped.stop == "end"
        assert stopped.text == free.text[: free.text.index(mark)].rstrip()


def test_a_question_that_the_model_cannot_read_fails_and_takes_no_other_with_it(engine: TransformersEngine) -> None:
    long, short = engine.write([LONG, QUESTIONS[0]], max_tokens=2)
    assert (long.status, short.status) == ("failed", "ok")
    assert re.fullmatch(
        r"the question has 8[45]\d\d tokens and its answer up to 2 more .* the model reads 8192", long.note
    )
    heavy, light = engine.weigh([LONG, QUESTIONS[0]], [["1", "2"]] * 2)
    assert (heavy.status, heavy.shares, light.status) == ("failed", (), "ok")
    assert light.shares == pytest.approx(engine.weigh(QUESTIONS[:1], [["1", "2"]])[0].shares, abs=1e-5)


def test_a_question_fails_only_where_its_answer_may_not_fit(engine: TransformersEngine) -> None:
    engine.loaded.model.config.max_position_embeddings = len(question_ids(engine.loaded.chat, QUESTIONS[0])) + 3
    assert [engine.write(QUESTIONS[:1], max_tokens=n)[0].status for n in (3, 4)] == ["ok", "failed"]
    # the last letter of a candidate is never read
    weighed = [engine.weigh(QUESTIONS[:1], [["a" * n, "b"]])[0].status for n in (4, 5)]
    assert weighed == ["ok", "failed"]


def test_a_studys_model_is_refused_outside_a_study(runtime: Runtime) -> None:
    with pytest.raises(EngineError, match="@weak is a model of a study: make the annotator an arm of one"):
        Transformers(model="@weak").start(runtime)
