"""Broken and hostile answers of a server: one failed label each, within limits of size and time, and never cached."""

from __future__ import annotations

import copy
import gzip
import json
import math
import random
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from time import monotonic, sleep
from typing import Any

import pytest

from trimtab.core.runtime import Runtime
from trimtab.engines.openai import Openai
from trimtab.engines.openai.choice_scoring import Inconclusive, score_by_first_token
from trimtab.engines.openai.engine import OpenaiEngine
from trimtab.engines.openai.response_body import MAX_BODY_BYTES, decode_json, find_reported_error
from trimtab.engines.openai.responses import (
    describe_problem,
    parse_choice,
    parse_cost,
    parse_generation,
    parse_token_logprobs,
)
from trimtab.errors import EngineError
from trimtab.pipeline.completion_cache import CachedEngine
from trimtab.pipeline.engine_results import reject_unreadable
from trimtab.types import ChoiceScores, EngineRequest, Generation, build_user_prompt

ASK = EngineRequest(prompt=build_user_prompt("Which is better?"))
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Answer = Callable[[Any], None]


class Handler(StreamRequestHandler):
    """Reads one request, lets the test write the answer byte by byte, and closes the connection."""

    server: RawServer

    def handle(self) -> None:
        lines = list(iter(lambda: self.rfile.readline().strip().lower(), b""))
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")), 0)
        self.rfile.read(length)
        if lines and lines[0].startswith(b"get"):
            self.wfile.write(respond({"data": []}))
            return
        self.server.received += 1
        try:
            self.server.answer(self.wfile)
        except OSError:
            self.server.dropped.set()


class RawServer(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    answer: Answer

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received, self.dropped = 0, threading.Event()

    def say(self, *answers: bytes) -> None:
        """Gives these answers in order, then the last one forever."""
        self.answer = lambda out: out.write(answers[min(self.received, len(answers)) - 1])


@pytest.fixture
def server() -> Iterator[RawServer]:
    made = RawServer()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def respond(body: object, head: bytes = HEAD) -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head + f"Content-Length: {len(raw)}\r\nConnection: close\r\n\r\n".encode() + raw


def choice(text: str | None = "B", reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, **more.pop("message", {})}
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason, **more}]}


def start_engine(server: RawServer, **settings: Any) -> OpenaiEngine:
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    component = Openai(base_url=url, model="m", **{"max_retries": 0, "timeout": 20.0, **settings})
    engine = component.start(Runtime(progress=lambda *_: None, notify=lambda _: None))  # type: ignore[arg-type]
    assert isinstance(engine, OpenaiEngine)
    return engine


def generate(server: RawServer, **settings: Any) -> Generation:
    (generation,) = start_engine(server, **settings).generate([ASK], max_new_tokens=7)
    return generation


def score(server: RawServer, **settings: Any) -> ChoiceScores:
    (scores,) = start_engine(server, **settings).score_choices([ASK], [["A", "B"]])
    return scores


# size


def test_an_endless_body_is_read_up_to_the_limit(server: RawServer) -> None:
    def answer(out: Any) -> None:
        out.write(HEAD + b"Connection: close\r\n\r\n")
        while True:
            out.write(b" " * 2**20)

    server.answer = answer
    tracemalloc.start()
    generation = generate(server, max_retries=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (generation.status, server.received) == ("failed", 1)
    assert generation.note.endswith("the response is larger than 32 MiB")
    assert server.dropped.wait(5)
    assert peak < 4 * MAX_BODY_BYTES


def test_a_body_that_would_expand_is_not_read(server: RawServer) -> None:
    packed = gzip.compress(b" " * 2**24)
    server.say(respond(packed, HEAD + b"Content-Encoding: gzip\r\n"))
    generation = generate(server, max_retries=3)
    assert (generation.status, server.received) == ("failed", 1)
    assert "the response is compressed (gzip), which its request does not allow" in generation.note


def test_endless_headers_end(server: RawServer) -> None:
    def answer(out: Any) -> None:
        out.write(HEAD)
        while True:
            out.write(b"x-more: " + b"y" * 2**16 + b"\r\n")

    server.answer = answer
    assert "was lost" in generate(server).note


# time


@pytest.mark.parametrize("head", [HEAD + b"Connection: close\r\n\r\n", b"HTTP/1.1 200 OK\r\nx-slow: "])
def test_the_timeout_is_a_deadline_for_one_byte_at_a_time(server: RawServer, head: bytes) -> None:
    def answer(out: Any) -> None:
        out.write(head)
        while True:
            out.write(b"x")
            sleep(0.02)

    server.answer = answer
    engine, start = start_engine(server, timeout=0.4), monotonic()
    (generation,) = engine.generate([ASK], max_new_tokens=7)
    assert 0.3 < monotonic() - start < 3
    assert "did not answer within 0.4 s in up to 1 attempts" in generation.note


def test_every_attempt_has_its_own_deadline(server: RawServer) -> None:
    def answer(out: Any) -> None:
        sleep(0.5 if server.received == 1 else 0)
        out.write(respond(choice()))

    server.answer = answer
    assert generate(server, timeout=0.3, max_retries=1).text == "B"


@pytest.mark.parametrize(
    "after", [b"nan", b"1e999", b"Mon, 01 Jan 0001 00:00:00 GMT", b"Mon, 01 Jan 99999 00:00:00 GMT"]
)
def test_an_impossible_retry_after_is_ignored(server: RawServer, after: bytes) -> None:
    head = b"HTTP/1.1 500 Busy\r\nRetry-After: " + after + b"\r\n"
    server.say(respond({}, head), respond(choice()))
    assert generate(server, max_retries=1).status in ("ok", "failed")


# text and structure


@pytest.mark.parametrize(
    ("body", "note"),
    [
        (b'{"choices": [{"message": {"content": "a \\ud800 b"}, "finish_reason": "stop"}]}', "a lone surrogate"),
        (b'{"choices": [{"message": {"content": "a \\uDFFF b"}, "finish_reason": "stop"}]}', "a lone surrogate"),
        (b'{"choices": [{"message": {"content": "a \xed\xa0\x80 b"}, "finish_reason": "stop"}]}', "malformed JSON"),
        (b'{"choices": [{"message": {"content": "\xff"}}]}', "malformed JSON"),
        (b'{"error": {"message": "\\ud800"}}', "a lone surrogate"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"error": ' + b"[" * 900 + b"]" * 900 + b"}", "the response is an error"),
        (b'{"usage": {"prompt_tokens": ' + b"9" * 5000 + b"}}", "malformed JSON"),
        (b"data: {}\n\n", "malformed JSON"),
        (b"", "malformed JSON"),
        (b'"text"', "expected a JSON object"),
        (b'{"choices": {"0": "B"}}', "no text"),
        (b'{"choices": ["B"]}', "no text"),
        (b'{"choices": [{"message": {"content": {"B": 1}}, "finish_reason": "stop"}]}', "no text"),
    ],
)
def test_an_unreadable_body_fails_one_request(server: RawServer, body: bytes, note: str) -> None:
    server.say(respond(body), respond(choice()))
    first, second = start_engine(server, concurrency=1).generate([ASK, ASK], max_new_tokens=7)
    assert (first.status, first.text, second.text) == ("failed", "", "B")
    assert note in first.note
    first.note.encode()
    assert len(first.note) < 500


def test_a_declared_text_encoding_that_is_none_is_ignored(server: RawServer) -> None:
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json; charset=hex\r\n"
    server.say(respond({"error": {"message": "\ud800 no"}}, head % b"400 Bad"), respond(choice("é"), head % b"200 OK"))
    first, second = start_engine(server, concurrency=1).generate([ASK, ASK], max_new_tokens=7)
    assert "answered 400: ? no" in first.note
    assert second.text == "é"


def test_whole_surrogate_pairs_are_one_character() -> None:
    assert decode_json(b'{"text": "\\ud83d\\ude00"}') == {"text": "😀"}


# numbers


@pytest.mark.parametrize("count", ["1e999", "NaN", "-Infinity", "1" + "0" * 300, "1e15"])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "total_tokens"])
def test_an_impossible_token_count_fails_the_request(server: RawServer, name: str, count: str) -> None:
    server.say(respond(json.dumps({**choice(), "usage": {name: 0}}).replace(": 0}", f": {count}}}").encode()))
    generation = generate(server)
    assert (generation.status, generation.cost.prompt_tokens, generation.cost.generated_tokens) == ("failed", 0, 0)
    assert f"usage.{name}" in generation.note


@pytest.mark.parametrize("usage", [None, [], "many", {"prompt_tokens": "12", "completion_tokens": True}, {"x": None}])
def test_counts_that_are_not_numbers_are_not_counted(server: RawServer, usage: object) -> None:
    server.say(respond({**choice(), "usage": usage}))
    generation = generate(server)
    assert (generation.status, generation.cost.prompt_tokens, generation.cost.generated_tokens) == ("ok", 0, 0)


@pytest.mark.parametrize("logprob", ["NaN", "Infinity", "1e308", "-1e308", "12", "-1" + "0" * 400])
def test_an_impossible_log_probability_fails_the_request(server: RawServer, logprob: str) -> None:
    top = f'[{{"token": "A", "logprob": -0.1}}, {{"token": "B", "logprob": {logprob}}}]'
    content = f'[{{"token": "A", "logprob": -0.1, "top_logprobs": {top}}}]'
    body = f'{{"choices": [{{"message": {{"content": "A"}}, "logprobs": {{"content": {content}}}}}]}}'
    server.say(respond(body.encode()))
    scores = score(server)
    assert (scores.status, scores.probabilities) == ("failed", ())
    assert "invalid log-probability" in scores.note


def test_a_log_probability_of_minus_infinity_is_a_probability_of_zero(server: RawServer) -> None:
    top = [{"token": "A", "logprob": -0.0}, {"token": "B", "logprob": -math.inf}]
    content = [{"token": "A", "logprob": 0.0, "top_logprobs": top}]
    server.say(respond(choice("A", "length", logprobs={"content": content})))
    assert score(server).probabilities == (1.0, 0.0)


def test_no_altered_response_gives_anything_but_a_readable_result() -> None:
    """2,000 responses with values, keys or bytes replaced: parsed like those of a server, each is usable or failed."""
    rng = random.Random(0)
    values: list[Any] = [
        "",
        "\ud800",
        "x" * 999,
        None,
        True,
        -1,
        10**400,
        1e308,
        math.nan,
        -math.inf,
        [],
        {},
        [[]],
        {"message": [1]},
    ]
    top = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -3.0}]
    content = [{"token": "A", "logprob": -0.1, "top_logprobs": top}]
    plain = {**choice("A", logprobs={"content": content}), "usage": {"prompt_tokens": 3}, "error": None}
    kept = 0
    for _ in range(2000):
        body = json.loads(json.dumps(plain))
        for _ in range(rng.randint(1, 3)):
            parts = [part for part in list_parts(body) if part]
            part = rng.choice(parts)
            key = rng.choice(list(part) if isinstance(part, dict) else range(len(part)))
            part[key] = copy.deepcopy(rng.choice(values))
        raw = bytearray(json.dumps(body, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass"))
        if rng.random() < 0.3:
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        decoded = decode_json(bytes(raw))
        if isinstance(decoded, str) or describe_problem(decoded):
            continue
        find_reported_error(decoded)
        generation = parse_generation(decoded, parse_cost(decoded))
        assert reject_unreadable(generation) == generation
        tokens = parse_token_logprobs(parse_choice(decoded))
        if tokens and tokens[0].top_logprobs:
            scores = score_by_first_token(["A", "B"], tokens[0], first_token_only=True, include_end_of_turn=False)
            assert isinstance(scores, Inconclusive) or reject_unreadable(scores) == scores
        kept += generation.status == "ok"
    assert kept > 100


def list_parts(body: Any) -> list[Any]:
    """All mappings and lists in a body."""
    inner = list(body.values()) if isinstance(body, dict) else body if isinstance(body, list) else []
    return [body, *(part for each in inner for part in list_parts(each))] if isinstance(body, dict | list) else []


# failures inside a response with status 200


@pytest.mark.parametrize(
    "error",
    [
        {"code": 429, "message": "slow down"},
        {"code": "502", "message": "lost"},
        {"type": "overloaded_error", "message": "busy"},
        {"code": "rate_limit_exceeded", "message": "busy"},
    ],
)
def test_a_passing_error_in_a_body_is_retried(server: RawServer, error: dict[str, Any]) -> None:
    server.say(respond({"error": error}), respond(choice()))
    assert generate(server, max_retries=1).text == "B"
    assert server.received == 2


def test_a_passing_error_of_a_choice_is_retried(server: RawServer) -> None:
    lost = choice("Response 1 gives a helpful answer, whereas Resp", "error", error={"code": 502, "message": "lost"})
    server.say(respond(lost), respond(choice()))
    assert generate(server, max_retries=1).text == "B"
    server.received = 0
    generation = generate(server)
    assert (generation.status, generation.text) == ("failed", "")
    assert "answered 502 after up to 1 attempts: lost" in generation.note


@pytest.mark.parametrize("code", [401, 402, "invalid_api_key"])
def test_a_fatal_error_in_a_body_stops_all_requests(server: RawServer, code: object) -> None:
    server.say(respond({"error": {"code": code, "message": "no key"}}))
    with pytest.raises(EngineError, match=r"answered 40[12]: no key"):
        generate(server, max_retries=3)
    assert server.received == 1


def test_an_exhausted_quota_in_a_body_is_fatal(server: RawServer) -> None:
    server.say(respond({"error": {"code": "insufficient_quota", "message": "pay"}}))
    with pytest.raises(EngineError, match="pay"):
        generate(server, max_retries=3)
    assert server.received == 1


@pytest.mark.parametrize("reason", ["error", "abort", "tool_calls", "insufficient_system_resource", "", 3, ["stop"]])
def test_an_unknown_end_is_a_failure(server: RawServer, reason: Any) -> None:
    server.say(respond(choice("1", reason)))
    generation = generate(server)
    assert (generation.status, generation.text) == ("failed", "")
    assert f"the server did not finish the response (finish_reason {reason!r})" in generation.note


def test_a_score_from_an_unknown_end_is_a_failure(server: RawServer) -> None:
    top = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -3.0}]
    content = [{"token": "A", "logprob": -0.1, "top_logprobs": top}]
    server.say(respond(choice("A", "error", logprobs={"content": content})))
    assert score(server).status == "failed"


@pytest.mark.parametrize(("reason", "end"), [("STOP", "end"), ("eos_token", "end"), ("MAX_TOKENS", "length")])
def test_other_names_of_a_successful_end_are_known(server: RawServer, reason: str, end: str) -> None:
    server.say(respond(choice("B", reason)))
    generation = generate(server)
    assert (generation.status, generation.finish_reason) == ("ok", end)


def test_no_text_and_no_end_is_a_failure(server: RawServer) -> None:
    server.say(respond(choice("", None)))
    assert generate(server).note == "the response has no text (finish_reason None)"


def test_a_refusal_is_reported(server: RawServer) -> None:
    server.say(respond(choice(None, message={"refusal": "I cannot say."})))
    assert "the model refused: I cannot say." in generate(server).note


@pytest.mark.parametrize(
    ("name", "hint"),
    [("max_tokens", "set max_tokens_field: max_completion_tokens"), ("temperature", "extra_body: {temperature: null}")],
)
def test_a_field_that_the_server_does_not_accept_names_the_setting(server: RawServer, name: str, hint: str) -> None:
    error = {"message": f"Unsupported: '{name}'", "param": name, "code": "unsupported_parameter"}
    server.say(respond({"error": error}, b"HTTP/1.1 400 Bad\r\n"))
    assert generate(server).note.endswith(hint)


# reasoning


@pytest.mark.parametrize(
    "answer",
    [
        choice("<think>\nResponse 1 is better at first sight.\n</think>\n\nResponse 2"),
        choice("Response 1 is better at first sight.\n</think>\n\nResponse 2"),
        choice("[THINK]Response 1[/THINK]Response 2"),
        choice("Response 2", message={"reasoning_content": "Response 1"}),
        choice(message={"content": [{"type": "thinking", "thinking": [1]}, {"type": "text", "text": "Response 2"}]}),
    ],
)
def test_reasoning_is_separated_from_the_answer(server: RawServer, answer: dict[str, Any]) -> None:
    server.say(respond(answer))
    assert generate(server).text == "Response 2"


@pytest.mark.parametrize(
    "answer",
    [
        choice("<think>\nResponse 1 is better", "length"),
        choice("<think>\nResponse 1 is better", "stop"),
        choice("<think>\nResponse 1 is better</think>\n", "stop"),
        choice("", "length", message={"reasoning_content": "Response 1"}),
        choice(None, "length", message={"reasoning": "Response 1"}),
        choice(message={"content": [{"type": "thinking", "thinking": [1]}]}),
    ],
)
def test_reasoning_without_an_answer_fails_and_says_what_to_do(server: RawServer, answer: dict[str, Any]) -> None:
    server.say(respond(answer))
    generation = generate(server, max_tokens_field="max_completion_tokens")
    assert (generation.status, generation.text) == ("failed", "")
    assert "enable_thinking: false" in generation.note
    assert "extra_body: {max_completion_tokens: 4096}" in generation.note


@pytest.mark.parametrize("message", [{"reasoning_content": "A"}, {"content": "<think>"}])
def test_no_verdict_is_read_from_the_first_token_of_a_thought(server: RawServer, message: dict[str, str]) -> None:
    top = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -3.0}]
    content = [{"token": "A", "logprob": -0.1, "top_logprobs": top}]
    first = choice("", "length", message=message, logprobs={"content": content})
    server.say(respond(first), respond(choice("<think>A</think>B")))
    scores = score(server, num_choice_samples=2)
    assert scores.probabilities == (0.0, 1.0)
    assert scores.note == "scored by 2 of 2 samples; the reply starts with the model's reasoning"


def test_a_stop_text_ends_the_reply_of_a_server_that_ignores_it(server: RawServer) -> None:
    server.say(respond(choice("<think>Verdict: 1</think>Both are short.\n\nVerdict:\nResponse 1", "length")))
    (generation,) = start_engine(server).generate([ASK], max_new_tokens=7, stop=["Verdict:", "Nothing"])
    assert (generation.text, generation.finish_reason) == ("Both are short.", "end")


# the cache


@pytest.mark.parametrize(
    "bad",
    [
        b'{"choices": [{"message": {"content": "\\ud800"}, "finish_reason": "stop"}]}',
        b'{"choices": [{"message": {"content": "B"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1e999}}',
        b"[" * 100_000,
    ],
)
def test_the_same_command_continues_after_a_broken_answer(server: RawServer, tmp_path: Path, bad: bytes) -> None:
    server.say(respond(choice("one")), respond(bad), respond(choice("two")))
    requests = [ASK, EngineRequest(prompt=build_user_prompt("And this?"))]
    texts = []
    for _ in range(3):
        engine = CachedEngine(engine=start_engine(server, concurrency=1), cache_key="m", folder=tmp_path)
        texts.append([generation.text for generation in engine.generate(requests, max_new_tokens=7)])
    assert texts == [["one", ""], ["one", "two"], ["one", "two"]]
    assert server.received == 3
