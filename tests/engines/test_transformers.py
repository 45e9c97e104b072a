"""The result of a request does not depend on the requests it is batched with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from trimtab.core.runtime import Runtime
from trimtab.engines._shared.tokenization import decode_generation, encode_request
from trimtab.engines.transformers import Transformers, TransformersEngine
from trimtab.errors import EngineError
from trimtab.types import Cost, EngineRequest, build_user_prompt

RULES = "Read the two responses with care and say which of them is the better one. " * 3
REQUESTS = [
    EngineRequest(prompt=build_user_prompt(f"{RULES} Pair {number}: {'x' * number}"), prefill="Response ")
    for number in range(1, 6)
]
LONG = EngineRequest(prompt=build_user_prompt("x " * 4200))


@pytest.fixture
def engine(tiny_model: Path, runtime: Runtime) -> Iterator[TransformersEngine]:
    started = Transformers(model=str(tiny_model)).start(runtime)
    assert isinstance(started, TransformersEngine)
    yield started


def test_probabilities_sum_to_one_and_are_the_softmax_of_the_logprobs(engine: TransformersEngine) -> None:
    for result in engine.score_choices(REQUESTS, [["1", "2", "33"]] * 5):
        assert sum(result.probabilities) == pytest.approx(1)
        assert result.logprobs is not None
        assert result.probabilities == pytest.approx(torch.tensor(result.logprobs).softmax(0).tolist(), abs=1e-6)
        assert result.tokens == (1, 1, 2)  # the tiny tokenizer's tokens are bytes


@pytest.mark.parametrize(
    ("reply", "text", "status"),
    [("<think>Response 1</think>\nResponse 2", "Response 2", "ok"), ("<think>Response 1", "", "failed")],
)
def test_reasoning_is_not_part_of_a_reply(engine: TransformersEngine, reply: str, text: str, status: str) -> None:
    chat = engine.loaded_model.chat
    generation = decode_generation(chat, chat.encode_text(reply), ["Nothing"], Cost(calls=1))
    assert (generation.text, generation.status, generation.cost.calls) == (text, status, 1)
    assert ("reasoning did not end within" in generation.note) == (status == "failed")


def test_choice_scores_do_not_depend_on_other_requests(engine: TransformersEngine) -> None:
    together = engine.score_choices(REQUESTS, [["1", "2"]] * 5)
    for request, result in zip(REQUESTS, together, strict=True):
        (alone,) = engine.score_choices([request], [["1", "2"]])
        assert alone.probabilities == pytest.approx(result.probabilities, abs=1e-5)


def test_results_arrive_in_batches_and_skipped_requests_are_not_run(engine: TransformersEngine) -> None:
    few = TransformersEngine(engine.loaded_model, 64)
    first, *others = few.iter_score_choices(REQUESTS, [["1", "2"]] * 5)
    assert others
    rest = {
        index: item
        for result in few.iter_score_choices(REQUESTS, [["1", "2"]] * 5, skip=set(first))
        for index, item in result.items()
    }
    assert {index: item.logprobs for index, item in rest.items()} == {
        index: item.logprobs for result in others for index, item in result.items()
    }
    assert all(item.cost.seconds > 0 for item in rest.values())
    assert list(few.iter_generate(REQUESTS, skip=range(5), max_new_tokens=3)) == []


def test_the_shared_prefix_is_computed_once(engine: TransformersEngine) -> None:
    costs = [result.cost for result in engine.score_choices(REQUESTS, [["1", "2"]] * 5)]
    assert sum(cost.cached_tokens == 0 for cost in costs) == 1
    assert all(cost.calls == 1 for cost in costs)
    lengths = {cost.prompt_tokens + cost.cached_tokens for cost in costs}
    assert len(lengths) == 5  # every prompt is one letter longer than the one before
    assert sum(cost.prompt_tokens for cost in costs) < 2 * max(lengths)


def test_first_token_only_does_not_distinguish_candidates_with_the_same_first_token(engine: TransformersEngine) -> None:
    (whole,) = engine.score_choices(REQUESTS[:1], [["No risk", "No harm", "Yes"]])
    (first,) = engine.score_choices(REQUESTS[:1], [["No risk", "No harm", "Yes"]], first_token_only=True)
    assert first.probabilities[0] == pytest.approx(first.probabilities[1])
    assert whole.probabilities[0] != pytest.approx(whole.probabilities[1])


def test_generation_stops_at_the_limit_or_the_stop_text(engine: TransformersEngine) -> None:
    for reply in engine.generate(REQUESTS, max_new_tokens=6):
        assert reply.cost.generated_tokens <= 6
        assert reply.finish_reason == "length" or reply.cost.generated_tokens < 6
    (free,) = engine.generate(REQUESTS[:1], max_new_tokens=8, temperature=1.0, seed=3)
    (again,) = engine.generate(REQUESTS[:1], max_new_tokens=8, temperature=1.0, seed=3)
    assert free.text == again.text
    if len(free.text) > 2:
        mark = free.text[1]
        (stopped,) = engine.generate(REQUESTS[:1], max_new_tokens=8, temperature=1.0, seed=3, stop=[mark])
        assert stopped.finish_reason == "end"
        assert stopped.text == free.text[: free.text.index(mark)].rstrip()


def test_a_request_that_is_too_long_fails_alone(engine: TransformersEngine) -> None:
    long, short = engine.generate([LONG, REQUESTS[0]], max_new_tokens=2)
    assert (long.status, short.status) == ("failed", "ok")
    assert re.fullmatch(
        r"the prompt has 8[45]\d\d tokens and needs up to 2 more .* the model\'s maximum length is 8192", long.note
    )
    heavy, light = engine.score_choices([LONG, REQUESTS[0]], [["1", "2"]] * 2)
    assert (heavy.status, heavy.probabilities, light.status) == ("failed", (), "ok")
    assert light.probabilities == pytest.approx(
        engine.score_choices(REQUESTS[:1], [["1", "2"]])[0].probabilities, abs=1e-5
    )


def test_a_request_fails_only_if_its_response_may_not_fit(engine: TransformersEngine) -> None:
    engine.loaded_model.model.config.max_position_embeddings = (
        len(encode_request(engine.loaded_model.chat, REQUESTS[0])) + 3
    )
    assert [engine.generate(REQUESTS[:1], max_new_tokens=n)[0].status for n in (3, 4)] == ["ok", "failed"]
    # the last token of a candidate is never fed to the model
    statuses = [engine.score_choices(REQUESTS[:1], [["a" * n, "b"]])[0].status for n in (4, 5)]
    assert statuses == ["ok", "failed"]


def test_a_model_of_a_study_is_rejected_outside_a_study(runtime: Runtime) -> None:
    with pytest.raises(EngineError, match="@weak is a model of a study: use the annotator in an arm of a study"):
        Transformers(model="@weak").start(runtime)
