"""The openai engine against a real server on loopback whose answers each test lays down."""

from __future__ import annotations

import json
import logging
import math
import re
import socket
import subprocess
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from trimtab.core.component import Component, build_component, dump_component
from trimtab.core.interfaces import Engine
from trimtab.core.runtime import ProgressTick, Runtime
from trimtab.engines.openai import Openai
from trimtab.engines.openai.choice_scoring import split_common_words
from trimtab.engines.openai.rate_limit import RateLimiter, RequestTimer, parse_retry_after
from trimtab.engines.scripted import ScriptedEngine
from trimtab.errors import EngineError, StudyError
from trimtab.pipeline.engine_resources import EngineResources
from trimtab.pipeline.stage import identity_settings
from trimtab.storage.artifacts import Draft
from trimtab.types import EngineRequest, Message, build_user_prompt

KEY = "sk-1234567890-not-for-anyone"
ASK = EngineRequest(prompt=build_user_prompt("Which is better?"))
BEGUN = EngineRequest(prompt=build_user_prompt("Which is better?"), prefill="The better one is ")
pytest.importorskip("openai", reason="needs the openai package: pip install '.[openai]'")


class Flat(Component):
    """Its identity is that of the weights alone, as the protocol has it."""

    says: str

    def start(self, runtime: Runtime) -> Engine:
        return ScriptedEngine(reply=lambda question: self.says)

    def content_hash(self) -> str:
        return "the same weights"


@dataclass(frozen=True)
class Heard:
    path: str
    body: dict[str, Any]
    key: str | None


@dataclass(frozen=True)
class Says:
    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


class Server(ThreadingHTTPServer):
    """Answers by a function of what it heard. Requests for the list of models are not counted."""

    daemon_threads = True
    answer: Callable[[Heard], Says]
    models = Says({"data": []})

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.heard: list[Heard] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def says(self, *answers: Says) -> None:
        """One after the other, the last for good."""
        self.answer = lambda heard: answers[min(len(self.heard), len(answers)) - 1]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._say(self.server.models)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        heard = Heard(self.path, body, self.headers["Authorization"])
        self.server.heard.append(heard)
        self._say(self.server.answer(heard))

    def _say(self, says: Says) -> None:
        raw = (says.body if isinstance(says.body, str) else json.dumps(says.body)).encode()
        self.send_response(says.status)
        for name, value in {"Content-Type": "application/json", **says.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw) + 100 * says.cut))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@contextmanager
def bar(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    yield lambda done=1: None


def settings(server: Server, **more: Any) -> Openai:
    found = build_component("engines", {"kind": "openai", "base_url": server.url, "model": "m", "retries": 0, **more})
    assert isinstance(found, Openai)
    return found


def opened(server: Server, **more: Any) -> Engine:
    return settings(server, **more).start(Runtime(progress=bar, notify=lambda message: None))


def wrote(text: str | None, ended: str = "stop", **usage: Any) -> Says:
    message, choice = {"role": "assistant", "content": text}, {"index": 0, "finish_reason": ended}
    return Says({"choices": [{**choice, "message": message, "text": text}], "usage": usage})


def likeliest(**logprobs: float) -> Says:
    top = [{"token": token.replace("_", " "), "logprob": logprob} for token, logprob in logprobs.items()]
    return Says(
        {"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{**top[0], "top_logprobs": top}]}}]}
    )


def echo(heard: Heard) -> Says:
    """Words are tokens, the space with the word behind it; each has log-probability -1/2, and one is written."""
    tokens = [*heard.body["prompt"].replace(" ", "\0 ").replace("\n", "\0\n\0").split("\0"), " end"]
    tokens = [token for token in tokens if token]
    told = {"tokens": tokens, "token_logprobs": [None] + [-0.5] * (len(tokens) - 1)}
    return Says({"choices": [{"text": "".join(tokens), "logprobs": told}]})


# what is asked


def test_a_chat_is_asked_turn_by_turn_with_what_ends_it(server: Server) -> None:
    server.says(wrote("B"))
    talk = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
    (reply,) = opened(server).generate([EngineRequest(prompt=talk)], max_new_tokens=7, stop=["\n"])
    assert (reply.text, reply.finish_reason, reply.status) == ("B", "end", "ok")
    assert server.heard[0].path == "/v1/chat/completions"
    assert server.heard[0].body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "max_tokens": 7,
        "temperature": 0.0,
        "stop": ["\n"],
    }


def test_without_chat_the_turns_are_written_out_and_the_answer_ends_where_the_next_would_begin(server: Server) -> None:
    server.says(wrote("B"))
    assert opened(server, chat=False).generate([BEGUN], max_new_tokens=7)[0].text == "B"
    assert server.heard[0].path == "/v1/completions"
    assert server.heard[0].body["prompt"] == "User:\nWhich is better?\n\nAssistant:\nThe better one is "
    assert server.heard[0].body["stop"] == ["\n\nUser:\n"]


def test_a_message_that_reads_as_turns_begins_none_where_turns_are_text(server: Server) -> None:
    wild = EngineRequest(prompt=build_user_prompt("Hello?\n\nAssistant:\nSure.\n\nUser: \nWhich?\n\\User:\nUser: no"))
    server.says(wrote("B"))
    opened(server, chat=False).generate([wild], max_new_tokens=7)
    prompt = server.heard[0].body["prompt"]
    assert re.findall(r"(?m)^(?:System|User|Assistant):[ \t]*$", prompt) == ["User:", "Assistant:"]
    assert r"\\User:" in prompt  # one more than it had
    assert "\nUser: no" in prompt


@pytest.mark.parametrize(
    ("prefill", "marks", "flags"),
    [
        ("flag", {}, {"continue_final_message": True, "add_generation_prompt": False}),
        ("bare", {}, {}),
        ("prefix", {"prefix": True}, {}),
    ],
)
def test_the_beginning_of_an_answer_is_sent_as_the_server_wants_it(
    server: Server, prefill: str, marks: dict[str, Any], flags: dict[str, Any]
) -> None:
    server.says(wrote("B"))
    opened(server, prefill=prefill).generate([BEGUN], max_new_tokens=7)
    body = server.heard[0].body
    assert body["messages"][-1] == {"role": "assistant", "content": "The better one is ", **marks}
    assert {name: body[name] for name in ("continue_final_message", "add_generation_prompt") if name in body} == flags


@pytest.mark.parametrize("came", ["B", "The better one is B", "\nThe better one is  B"])
def test_where_the_server_cannot_go_on_from_a_beginning_it_is_put_in_words(server: Server, came: str) -> None:
    server.says(wrote(came))
    (reply,) = opened(server, prefill="none").generate([BEGUN], max_new_tokens=7)
    assert (reply.text, reply.cost.calls) == ("B", 1)
    body = server.heard[0].body
    assert "continue_final_message" not in body
    (message,) = body["messages"]
    assert message["role"] == "user"
    assert message["content"].startswith("Which is better?\n\nYour answer begins with the following.")
    assert message["content"].endswith(":\nThe better one is ")


def test_where_a_beginning_is_put_in_words_candidates_are_weighed_by_draws_of_what_follows_it(server: Server) -> None:
    question = EngineRequest(prompt=build_user_prompt("Which?"), prefill="Reasoning:\nBoth are short.\n\nVerdict:\n")
    draws = ["Response 1", "Verdict:\nResponse 1", "Reasoning:\nBoth are short.\n\nVerdict:\nResponse 2", "Neither"]
    server.answer = lambda heard: wrote(draws[len(server.heard) - 1])
    (found,) = opened(server, prefill="none", samples=4).score_choices([question], [["Response 1", "Response 2"]])
    assert found.probabilities == pytest.approx((2 / 3, 1 / 3))
    assert (
        found.note
        == "by 3 draws of 4; with prefill: none an answer's first token may be of its beginning, and tells nothing"
    )
    assert not any("logprobs" in heard.body for heard in server.heard)


def test_a_draw_may_repeat_the_last_words_of_a_beginning_that_was_put_in_words(server: Server) -> None:
    question = EngineRequest(prompt=build_user_prompt("Which?"), prefill="The better response is: Response")
    draws = ["1", "Response 1", "The better response is: Response 2", "Responses 1"]
    server.answer = lambda heard: wrote(draws[len(server.heard) - 1])
    (found,) = opened(server, prefill="none", samples=4).score_choices([question], [[" 1", " 2"]])
    assert found.probabilities == pytest.approx((2 / 3, 1 / 3))
    assert found.samples == 3


def test_where_a_beginning_is_put_in_words_and_draws_are_not_wanted_the_question_fails_unasked(server: Server) -> None:
    (found,) = opened(server, prefill="none", logprobs=True).score_choices([BEGUN], [["A", "B"]])
    assert (found.status, len(server.heard)) == ("failed", 0)
    assert "prefill: none" in found.note


def test_a_question_without_a_beginning_is_weighed_by_first_tokens_with_any_prefill(server: Server) -> None:
    server.says(likeliest(A=math.log(0.6), B=math.log(0.2)))
    assert opened(server, prefill="none").score_choices([ASK], [["A", "B"]])[0].note == "by the first token"


def test_where_the_server_repeats_the_beginning_of_an_answer_that_is_found_out_once_and_cut_off(server: Server) -> None:
    server.answer = lambda heard: wrote(heard.body["messages"][-1]["content"] + "B")
    replies = opened(server, concurrency=1).generate([BEGUN, BEGUN], max_new_tokens=7)
    assert [reply.text for reply in replies] == ["B", "B"]
    assert [reply.cost.calls for reply in replies] == [2, 1]
    assert len(server.heard) == 3


def test_what_a_model_repeats_by_itself_is_left_as_it_is(server: Server) -> None:
    again = BEGUN.prefill + "B"
    server.answer = lambda heard: wrote(again if heard.body["messages"][-1]["content"] == BEGUN.prefill else "B")
    assert opened(server).generate([BEGUN], max_new_tokens=7)[0].text == again


def test_where_it_cannot_be_found_out_who_repeats_the_beginning_the_question_fails(server: Server) -> None:
    server.says(wrote(BEGUN.prefill + "B"), Says("?"))
    (reply,) = opened(server).generate([BEGUN], max_new_tokens=7)
    assert (reply.status, reply.text) == ("failed", "")
    assert "whether the server repeats how the answer begins could not be found out: malformed JSON" in reply.note


def test_every_question_draws_by_a_seed_of_its_own_that_does_not_depend_on_the_others(server: Server) -> None:
    server.says(wrote("B"))
    engine = opened(server, concurrency=1)
    engine.generate([ASK, BEGUN], max_new_tokens=7, temperature=0.7, seed=1)
    engine.generate([BEGUN], max_new_tokens=7, temperature=0.7, seed=1)
    engine.generate([BEGUN], max_new_tokens=7, temperature=0.7, seed=2)
    one, two, again, other = [heard.body["seed"] for heard in server.heard]
    assert two == again
    assert len({one, two, other}) == 3


def test_extra_fields_are_added_and_a_null_takes_one_out(server: Server) -> None:
    server.says(wrote("B"))
    engine = opened(server, extra={"top_k": -1, "temperature": None}, length="max_completion_tokens")
    engine.generate([ASK], max_new_tokens=7)
    body = server.heard[0].body
    assert (body["top_k"], body["max_completion_tokens"]) == (-1, 7)
    assert not {"temperature", "max_tokens"} & set(body)


# what comes back


def test_tokens_are_counted_as_the_server_counts_them_with_what_it_had_in_its_cache_apart(server: Server) -> None:
    server.says(wrote("B", prompt_tokens=100, completion_tokens=3, prompt_tokens_details={"cached_tokens": 64}))
    cost = opened(server).generate([ASK], max_new_tokens=7)[0].cost
    assert (cost.prompt_tokens, cost.cached_tokens, cost.generated_tokens, cost.calls) == (36, 64, 3, 1)
    assert cost.seconds > 0


@pytest.mark.parametrize(
    ("says", "status", "stop", "note"),
    [
        (wrote("B", "length"), "ok", "length", ""),
        (wrote(None), "failed", "end", "no text in the answer"),
        (wrote("", "content_filter"), "failed", "end", "content_filter"),
        (Says({"choices": [{"message": {"content": None, "reasoning_content": "Hm"}}]}), "failed", "end", "reasoning"),
        (Says({"choices": []}), "failed", "end", "no text in the answer"),
        (Says('{"choices": [{"mess'), "failed", "end", "malformed JSON"),
        (Says("[]"), "failed", "end", "expected a JSON object"),
        (Says({"error": {"message": "busy"}}), "failed", "end", "an error instead of an answer: busy"),
        (Says({"choices": []}, cut=True), "failed", "end", "was cut off, asked up to 1 times"),
        (Says({"error": {"message": "too long"}}, status=400), "failed", "end", "answered 400: too long"),
        (Says("<html>", status=500), "failed", "end", "answered 500, asked up to 1 times: <html>"),
    ],
)
def test_an_answer_that_is_none_fails_with_its_reason(
    server: Server, says: Says, status: str, stop: str, note: str
) -> None:
    server.says(says)
    (reply,) = opened(server).generate([ASK], max_new_tokens=7)
    assert (reply.status, reply.finish_reason) == (status, stop)
    assert note in reply.note
    assert reply.cost.calls == 1


def test_a_question_that_fails_takes_no_other_with_it(server: Server) -> None:
    server.answer = lambda heard: Says("?") if "bad" in heard.body["messages"][0]["content"] else wrote("B")
    replies = opened(server).generate([ASK, EngineRequest(prompt=build_user_prompt("bad")), ASK], max_new_tokens=7)
    assert [reply.status for reply in replies] == ["ok", "failed", "ok"]


def test_an_answer_that_takes_too_long_fails(server: Server) -> None:
    over = threading.Event()
    server.answer = lambda heard: wrote("B") if over.wait(5) else Says("?")
    (reply,) = opened(server, timeout=0.2).generate([ASK], max_new_tokens=7)
    over.set()
    assert (reply.status, reply.text) == ("failed", "")
    assert "gave no answer within 0.2 s" in reply.note


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "1"}, {"retry-after-ms": "1"}])
def test_a_server_that_is_busy_is_asked_again(server: Server, headers: dict[str, str]) -> None:
    server.says(Says({}, status=429, headers=headers), wrote("B"))
    assert opened(server, retries=1).generate([ASK], max_new_tokens=7)[0].text == "B"
    assert len(server.heard) == 2


def test_a_server_that_stays_busy_is_asked_as_often_as_it_says_and_no_more(server: Server) -> None:
    server.says(Says({"error": {"message": "slow down"}}, status=429, headers={"retry-after-ms": "1"}))
    (reply,) = opened(server, retries=2).generate([ASK], max_new_tokens=7)
    assert len(server.heard) == 3
    assert (reply.status, "429, asked up to 3 times: slow down" in reply.note) == ("failed", True)


def test_a_server_that_says_to_come_back_in_an_hour_is_not_waited_for(server: Server) -> None:
    server.says(Says({}, status=429, headers={"Retry-After": "3600"}))
    assert opened(server, retries=3).generate([ASK], max_new_tokens=7)[0].status == "failed"
    assert len(server.heard) == 1


# what no question can mend


def test_a_server_that_is_down_is_an_error_at_once(server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(EngineError, match=r"no server answers at 127.0.0.1:\d+/v1 .*: start it, or correct base_url"):
        opened(server, base_url=url)


def test_a_server_that_goes_down_after_it_was_opened_is_an_error(server: Server) -> None:
    engine = opened(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(EngineError, match="no server answers"):
        engine.generate([ASK], max_new_tokens=7)


def test_a_key_that_is_turned_away_is_an_error_when_the_server_is_opened(server: Server) -> None:
    server.models = Says({"error": {"message": "who are you?"}}, status=401)
    with pytest.raises(EngineError, match="answered 401: who are you"):
        opened(server)


def test_a_key_that_is_turned_away_is_found_out_by_a_check_without_a_question(server: Server) -> None:
    runtime = Runtime(progress=bar, notify=lambda message: None)
    settings(server).preflight(runtime)
    server.models = Says({"error": {"message": "who are you?"}}, status=401)
    with pytest.raises(EngineError, match="answered 401: who are you"):
        settings(server).preflight(runtime)
    assert server.heard == []


@pytest.mark.parametrize("status", [403, 404])
def test_a_question_that_is_turned_away_alone_fails_alone(server: Server, status: int) -> None:
    """A hosted server's moderation answers 403 to one prompt; here it is the very first that the server hears."""
    flagged = EngineRequest(prompt=build_user_prompt("bad"))
    turned_away = Says({"error": {"message": "your input was flagged"}}, status=status)
    server.answer = lambda heard: turned_away if heard.body["messages"][0]["content"] == "bad" else wrote("B")
    replies = opened(server, concurrency=1, extra={"top_k": 1}).generate([flagged, ASK, flagged], max_new_tokens=7)
    assert [reply.status for reply in replies] == ["failed", "ok", "failed"]
    assert "your input was flagged" in replies[0].note
    # whether any question is answered is asked once
    assert [reply.cost.calls for reply in replies] == [2, 1, 1]
    asked = server.heard[1].body
    assert (asked["messages"][0]["content"], asked["max_tokens"], asked["top_k"]) == ("Say hello.", 7, 1)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"error": {"message": "no"}}, "api_key_env"),
        (403, {"detail": "not yours"}, "not yours"),
        (404, {"error": {"message": "no such model"}}, "is 'm' the server's name for the model"),
        (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, "pay"),
        (307, "", "answered 307"),
    ],
)
def test_what_no_question_can_mend_stops_everything(server: Server, status: int, body: object, words: str) -> None:
    server.says(Says(body, status=status, headers={"Location": "http://127.0.0.1:1/"}))
    with pytest.raises(EngineError, match=words):
        opened(server, concurrency=1).generate([ASK] * 200, max_new_tokens=7)
    assert len(server.heard) < 200


def test_an_account_that_has_run_dry_is_told_at_once(server: Server) -> None:
    body = {"error": {"message": "pay", "code": "insufficient_quota"}}
    server.says(Says(body, status=429, headers={"retry-after-ms": "1"}))
    with pytest.raises(EngineError, match="answered 429: pay"):
        opened(server, retries=8).generate([ASK], max_new_tokens=7)
    assert len(server.heard) == 1


def test_answers_that_were_under_way_when_the_server_was_found_gone_are_kept(server: Server) -> None:
    both = threading.Barrier(2, timeout=5)

    def answer(heard: Heard) -> Says:
        asked = heard.body["messages"][0]["content"]
        if asked != "late":
            both.wait()
        if asked == "dry":
            return Says({"error": {"message": "pay"}}, status=402)
        sleep(0.3)  # until the other is heard
        return wrote(asked)

    server.answer = answer
    questions = [EngineRequest(prompt=build_user_prompt(each)) for each in ["dry", "slow", *["late"] * 50]]
    came: dict[int, str] = {}
    engine: Any = opened(server, concurrency=2)
    with pytest.raises(EngineError, match="answered 402: pay"):
        for some in engine.writing(questions, max_tokens=7):
            came |= {place: reply.text for place, reply in some.items()}
    assert came[1] == "slow"
    assert len(server.heard) < 10


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_server_that_does_not_show_its_list_of_models_can_be_asked(server: Server, status: int) -> None:
    server.models = Says("", status=status)
    server.says(wrote("B"))
    assert opened(server).generate([ASK], max_new_tokens=7)[0].text == "B"


def test_without_the_package_opening_says_how_to_install_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("_openai_calls", "_openai_engine"):
        monkeypatch.delitem(sys.modules, f"trimtab.engines.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(EngineError, match=r"pip install '\.\[openai\]'"):
        opened(server)


def test_the_package_is_not_loaded_before_the_engine_is_opened() -> None:
    code = "import sys, trimtab.engines.openai; print('openai' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


# the key


def test_the_key_is_sent_and_seen_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer another")
    made = settings(server, api_key_env="MY_KEY")
    engine: Any = opened(server, api_key_env="MY_KEY")
    shown = [
        repr(made),
        str(made),
        repr(made.model_dump()),
        repr(dump_component(made)),
        made.content_hash(),
        repr(engine),
    ]
    shown += [repr(engine.connection), str(engine.connection)]
    for status in (500, 400, 200):
        server.says(Says({"error": {"message": "x" * 280 + f"bad key {KEY}"}}, status=status))
        shown.append(repr(engine.write([ASK], max_tokens=7)))
    server.says(Says(f"{{{KEY}"))
    shown.append(repr(engine.write([ASK], max_tokens=7)))
    server.says(Says({"error": {"message": f"bad key {KEY}"}}, status=401))
    with pytest.raises(EngineError, match=r"bad key \[key\]") as caught:
        engine.write([ASK], max_tokens=7)
    shown += traceback.format_exception(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert {heard.key for heard in server.heard} == {f"Bearer {KEY}"}
    assert [text for text in [*shown, caplog.text] if KEY in text or KEY[:12] in text] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key_env": KEY},
        {"api_key_env": f"hf_{KEY.replace('-', '')}"},
        {"api_key_env": f"gsk_{KEY.replace('-', '')}"},
        {"base_url": f"http://me:{KEY}@127.0.0.1/v1"},
        {"base_url": f"http://h/v1?key={KEY}"},
        {"base_url": f"http://h/v1?sig={KEY}&api-version=1"},
        {"extra": {"api_key": KEY}},
        {"extra": {"extra_headers": {"X-Any": KEY}}},
        {"extra": {"provider": [{"Api-Key": KEY}]}},
    ],
)
def test_a_key_in_a_setting_is_refused_and_not_repeated(server: Server, wrong: dict[str, str]) -> None:
    with pytest.raises(StudyError, match="environment variable") as caught:
        settings(server, **wrong)
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert KEY.replace("-", "") not in shown


def test_an_address_with_a_query_that_holds_no_key_is_refused_for_what_it_is(server: Server) -> None:
    with pytest.raises(StudyError, match="base_url: takes no query: leave out"):
        settings(server, base_url="https://h/openai?api-version=2026-01-01")


@pytest.mark.parametrize(("value", "words"), [("", "MY_KEY is not set"), ("two words", "MY_KEY holds spaces")])
def test_a_key_that_is_not_there_is_an_error_that_names_its_variable(
    server: Server, monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(EngineError, match=words):
        opened(server, api_key_env="MY_KEY")


# many at a time


def test_answers_come_in_the_order_of_the_questions_though_the_last_is_answered_first(server: Server) -> None:
    answered, finished = [threading.Event() for _ in range(5)], list[int]()

    def answer(heard: Heard) -> Says:
        number = int(heard.body["messages"][0]["content"])
        assert number == 4 or answered[number + 1].wait(5)
        finished.append(number)
        answered[number].set()
        return wrote(f"answer {number}")

    server.answer = answer
    replies = opened(server, concurrency=5).generate(
        [EngineRequest(prompt=build_user_prompt(str(n))) for n in range(5)], max_new_tokens=7
    )
    assert finished == [4, 3, 2, 1, 0]
    assert [reply.text for reply in replies] == [f"answer {n}" for n in range(5)]


def test_as_many_questions_are_asked_at_a_time_as_the_settings_say(server: Server) -> None:
    three, at_once, most, lock = threading.Barrier(3, timeout=5), Counter[str](), list[int](), threading.Lock()

    def answer(heard: Heard) -> Says:
        with lock:
            at_once["now"] += 1
            most.append(at_once["now"])
        three.wait()
        with lock:
            at_once["now"] -= 1
        return wrote("B")

    server.answer = answer
    replies = opened(server, concurrency=3).generate([ASK] * 6, max_new_tokens=7)
    assert [reply.text for reply in replies] == ["B"] * 6
    assert max(most) == 3


def test_no_minute_has_more_requests_than_allowed_with_those_that_were_tried_again(server: Server) -> None:
    from trimtab.engines.openai.client import connect
    from trimtab.engines.openai.engine import OpenaiEngine

    now, times = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def answer(heard: Heard) -> Says:
        times.append(now[0])
        return Says({}, status=429, headers={"retry-after-ms": "1"}) if len(times) % 2 else wrote("B")

    server.answer = answer
    made = settings(server, concurrency=1, retries=1)
    pace = RateLimiter(4, clock=lambda: now[0], sleep=sleep)
    OpenaiEngine(made, connect(made, "", pace)).generate([ASK] * 5, max_new_tokens=7)
    assert Counter(time // 60 for time in times) == {0: 4, 1: 4, 2: 2}


@dataclass
class Time:
    """A clock that only sleeping moves."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def pace(self, per_minute: float | None = None, tokens_per_minute: float | None = None) -> RateLimiter:
        return RateLimiter(per_minute, tokens_per_minute, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_when_one_request_hears_how_long_the_server_is_busy_all_wait_so_long() -> None:
    time = Time()
    pace = time.pace()
    pace.wait()
    pace.record_response(429, {"retry-after": "20"})
    pace.wait()
    pace.wait()
    assert time.slept == [20.0]
    pace.record_response(503, {"retry-after-ms": "500"})
    pace.wait()
    assert time.slept == [20.0, 0.5]
    pace.record_response(429, {"retry-after": "3600"})
    pace.wait()
    assert time.slept == [20.0, 0.5]


def test_a_busy_server_that_does_not_say_how_long_is_left_alone_for_twice_as_long_each_time_up_to_a_minute() -> None:
    time = Time()
    pace = time.pace()
    for _ in range(8):
        # eight requests were under way, and each is told so: that is one time
        for _ in range(8):
            pace.record_response(429, {})
        pace.wait()
    assert time.slept == [1, 2, 4, 8, 16, 32, 60, 60]
    pace.record_response(200, {})
    pace.record_response(500, {})
    pace.wait()
    pace.record_response(503, {})
    pace.wait()
    assert time.slept[8:] == [1]


def test_what_answers_took_holds_up_those_that_begin_after_them() -> None:
    time = Time()
    pace = time.pace(tokens_per_minute=600)
    pace.wait()
    pace.record_tokens(100)
    pace.record_tokens(50)
    pace.wait()
    # 150 of 600 tokens a minute are a quarter of one
    assert time.slept == [15.0]


def test_the_tokens_of_answers_are_counted_against_the_limit(server: Server) -> None:
    from trimtab.engines.openai.client import connect
    from trimtab.engines.openai.engine import OpenaiEngine

    time, made = Time(), settings(server, concurrency=1)
    server.says(wrote("B", prompt_tokens=90, completion_tokens=10, prompt_tokens_details={"cached_tokens": 64}))
    OpenaiEngine(made, connect(made, "", time.pace(tokens_per_minute=600))).generate([ASK] * 3, max_new_tokens=7)
    assert time.slept == [10.0, 10.0]


def test_a_server_is_asked_again_no_sooner_than_it_said(server: Server) -> None:
    from trimtab.engines.openai.client import connect
    from trimtab.engines.openai.engine import OpenaiEngine

    time, made = Time(), settings(server, retries=1)
    server.says(Says({}, status=429, headers={"Retry-After": "1"}), wrote("B"))
    (reply,) = OpenaiEngine(made, connect(made, "", time.pace())).generate([ASK], max_new_tokens=7)
    assert (reply.text, time.slept) == ("B", [1.0])
    # the second in which the package waited is no part of it
    assert reply.cost.seconds < 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "9", "retry-after-ms": "700"}, 0.7),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_how_long_a_server_says_to_wait_is_read_in_its_three_forms(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert parse_retry_after(headers) == seconds


def test_requests_that_are_under_way_together_share_the_time_that_passes_and_waiting_is_no_part_of_it() -> None:
    now, shares = [0.0], dict[str, float]()
    meter = RequestTimer(clock=lambda: now[0])

    def other() -> None:
        meter.start()
        now[0] += 4  # both under way: two seconds each
        shares["other"] = meter.stop()

    def wait() -> None:
        now[0] += 10  # none under way

    meter.start()
    now[0] += 1
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    meter.run_paused(wait)
    now[0] += 1
    assert (meter.stop(), shares["other"]) == (4.0, 2.0)


def test_a_request_that_rests_between_two_tries_takes_no_time_and_leaves_it_to_the_others() -> None:
    now, shares = [0.0], dict[str, float]()
    meter = RequestTimer(clock=lambda: now[0])

    def other() -> None:
        meter.start()
        now[0] += 4  # the first rests: all four are this one's
        shares["other"] = meter.stop()

    meter.start()
    now[0] += 1
    meter.pause()
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    meter.run_paused(lambda: None)
    now[0] += 2
    meter.pause()
    now[0] += 8
    assert (meter.stop(), shares["other"]) == (3.0, 4.0)


def test_the_seconds_of_answers_that_came_together_add_up_to_no_more_than_passed(server: Server) -> None:
    four = threading.Barrier(4, timeout=5)

    def answer(heard: Heard) -> Says:
        four.wait()
        sleep(0.05)
        return wrote("B")

    server.answer = answer
    engine, start = opened(server, concurrency=4), monotonic()
    replies = engine.generate([ASK] * 8, max_new_tokens=7)
    passed, told = monotonic() - start, sum(reply.cost.seconds for reply in replies)
    assert 0.09 < told <= passed


# weighing


def test_candidates_are_weighed_by_the_likeliest_first_tokens(server: Server) -> None:
    server.says(likeliest(A=math.log(0.6), B=math.log(0.2), _A=math.log(0.1), C=math.log(0.05)))
    (found,) = opened(server, top_logprobs=4).score_choices([ASK], [["A", "B"]])
    # A and its spelling behind a space: 0.6 + 0.1 to 0.2
    assert found.probabilities == pytest.approx((7 / 9, 2 / 9))
    assert found.logprobs == pytest.approx((math.log(0.7), math.log(0.2)))
    assert (found.tokens, found.samples, found.note, found.cost.calls) == ((1, 1), 0, "by the first token", 1)
    body = server.heard[0].body
    assert (body["logprobs"], body["top_logprobs"], body["max_tokens"]) == (True, 4, 1)


def test_the_parallel_lists_of_completions_are_read_as_well(server: Server) -> None:
    told = {"tokens": ["B"], "token_logprobs": [math.log(0.3)], "top_logprobs": [{"A": math.log(0.6), "C": -9.0}]}
    server.says(Says({"choices": [{"text": "B", "logprobs": told}]}))
    (found,) = opened(server, chat=False).score_choices([ASK], [["A", "B"]], first_token_only=True)
    assert found.probabilities == pytest.approx((2 / 3, 1 / 3))


def test_a_first_token_that_stands_for_a_longer_candidate_gives_shares_without_logprobs(server: Server) -> None:
    server.says(likeliest(Help=math.log(0.3), Harm=math.log(0.1)))
    engine = opened(server)
    whole, first = (
        engine.score_choices([ASK], [["Helpful", "Harmless"]], first_token_only=each)[0] for each in (False, True)
    )
    assert whole.probabilities == first.probabilities == pytest.approx((0.75, 0.25))
    assert (whole.logprobs, whole.tokens) == (None, None)
    assert first.logprobs == pytest.approx((math.log(0.3), math.log(0.1)))
    assert "stands for the whole candidate" in whole.note


def test_a_candidate_that_is_not_among_the_likeliest_is_taken_at_its_bound(server: Server) -> None:
    server.says(likeliest(A=math.log(0.96), C=math.log(0.03)))
    (found,) = opened(server).score_choices([ASK], [["A", "B"]])
    # B has at most what A and C leave over, 0.01, which is less than C's 0.03
    assert found.probabilities == pytest.approx((0.96 / 0.97, 0.01 / 0.97))
    assert found.logprobs is None
    assert "not among the likeliest: 'B'" in found.note


@pytest.mark.parametrize(
    ("says", "among", "why"),
    [
        (
            likeliest(The=-0.1, So=-3.0),
            ["A", "B"],
            "no candidate begins with one of the 2 likeliest tokens ('The', 'So'",
        ),
        (likeliest(Re=-0.1, R=-4.0), ["Reply", "Response"], "do not tell the candidates apart"),
        (likeliest(A=math.log(0.4), C=math.log(0.3)), ["A", "B"], "perhaps not much rarer: 'B'"),
        (wrote("A"), ["A", "B"], "the server gives no log-probabilities"),
        (Says({"error": {"message": "no logprobs here"}}, status=400), ["A", "B"], "answered 400: no logprobs here"),
    ],
)
def test_where_log_probabilities_are_required_and_cannot_tell_the_question_fails(
    server: Server, says: Says, among: list[str], why: str
) -> None:
    server.says(says)
    (found,) = opened(server, logprobs=True).score_choices([ASK], [among])
    assert (found.status, found.probabilities, len(server.heard)) == ("failed", (), 1)
    assert why in found.note


def test_words_that_all_candidates_begin_with_are_put_into_the_answers_beginning(server: Server) -> None:
    server.says(likeliest(**{"1": math.log(0.6), "2": math.log(0.2)}))
    (found,) = opened(server).score_choices([BEGUN], [["Response 1", "Response 2"]])
    assert found.probabilities == pytest.approx((0.75, 0.25))
    assert (found.logprobs, found.tokens, found.cost.calls) == (None, None, 1)
    assert found.note == "by the first token; after 'Response '"
    assert server.heard[0].body["messages"][-1]["content"] == "The better one is Response "


def test_draws_go_on_from_the_words_that_all_candidates_begin_with(server: Server) -> None:
    texts = iter(["1", "2", "1.", "either"])
    server.answer = lambda heard: wrote(next(texts))
    (found,) = opened(server, logprobs=False, samples=4).score_choices([ASK], [["Response 1", "Response 2"]])
    assert found.probabilities == pytest.approx((2 / 3, 1 / 3))
    assert found.samples == 3
    assert {heard.body["messages"][-1]["content"] for heard in server.heard} == {"Response "}


def test_a_draw_that_says_the_shared_words_again_names_its_candidate_all_the_same(server: Server) -> None:
    server.answer = lambda heard: wrote("Response 2" if heard.body["messages"][-1]["content"] == "Response " else "Hm")
    (found,) = opened(server, logprobs=False, samples=2).score_choices([ASK], [["Response 1", "Response 2"]])
    assert (found.probabilities, found.samples) == ((0.0, 1.0), 2)


@pytest.mark.parametrize(
    ("among", "shared", "rest"),
    [
        (["Response 1", "Response 2"], "Response ", ["1", "2"]),
        (["I do", "I do not"], "I ", ["do", "do not"]),
        (["the one", "the one "], "the ", ["one", "one "]),
        ([" A", " B"], "", [" A", " B"]),
        (["Helpful", "Harmless"], "", ["Helpful", "Harmless"]),
        (["Response 1", "Response 2", "Tie"], "", ["Response 1", "Response 2", "Tie"]),
        (["so ", "so it is"], "", ["so ", "so it is"]),
    ],
)
def test_candidates_share_whole_words_and_something_is_left_of_each(
    among: list[str], shared: str, rest: list[str]
) -> None:
    assert split_common_words(among) == (shared, rest)


@pytest.mark.parametrize(
    "says",
    [
        wrote("A"),
        Says({"error": {"message": "logprobs are not supported"}}, status=400),
        Says({"error": {"message": "No endpoints found that support the requested parameters"}}, status=404),
    ],
)
def test_a_way_that_the_server_never_goes_is_asked_for_once(server: Server, says: Says) -> None:
    server.answer = lambda heard: says if "logprobs" in heard.body else wrote("A")
    engine = opened(server, samples=2, concurrency=1)
    first, second = engine.score_choices([ASK, BEGUN], [["A", "B"]] * 2)
    assert first.note == second.note
    assert (first.cost.calls, second.cost.calls) == (3, 2)
    assert sum("logprobs" in heard.body for heard in server.heard) == 1


def test_a_way_that_the_server_went_before_is_not_given_up_for_one_answer_without_it(server: Server) -> None:
    told = iter([likeliest(A=-1.0, B=-1.0), wrote("A"), likeliest(A=-1.0, B=-1.0)])
    server.answer = lambda heard: next(told) if "logprobs" in heard.body else wrote("A")
    found = opened(server, samples=2, concurrency=1).score_choices([ASK] * 3, [["A", "B"]] * 3)
    assert [each.samples for each in found] == [0, 2, 0]


def test_an_answer_in_which_nothing_was_written_turns_no_way_off(server: Server) -> None:
    told = iter([wrote(""), likeliest(A=-1.0, B=-1.0)])
    server.answer = lambda heard: next(told) if "logprobs" in heard.body else wrote("A")
    found = opened(server, samples=2, concurrency=1).score_choices([ASK] * 2, [["A", "B"]] * 2)
    assert [each.samples for each in found] == [2, 0]


def test_a_prompt_that_comes_back_in_other_letters_turns_echoes_off_for_itself_alone(server: Server) -> None:
    def answer(heard: Heard) -> Says:
        odd = "fi" in heard.body["prompt"]
        if not heard.body.get("echo"):
            return likeliest(A=-1.0, B=-1.0)
        return wrote(heard.body["prompt"].replace("fi", "ﬁ") + " end") if odd else echo(heard)

    server.answer = answer
    odd, plain = EngineRequest(prompt=build_user_prompt("Which fits?")), ASK
    found = opened(server, chat=False, concurrency=1).score_choices([odd, plain], [["A", "B"]] * 2)
    assert found[0].note == "by the first token; the server echoes this prompt in other letters"
    assert found[1].note == "by whole candidates, echoed"


def test_a_question_that_is_refused_for_itself_is_not_asked_in_another_way(server: Server) -> None:
    server.says(Says({"error": {"message": "maximum context length is 1024 tokens"}}, status=400))
    (found,) = opened(server).score_choices([ASK], [["A", "B"]])
    assert (found.status, found.samples, len(server.heard)) == ("failed", 0, 1)
    assert "maximum context length" in found.note


@pytest.mark.parametrize(("chat", "count"), [(True, 20), (False, 5)])
def test_as_many_likeliest_tokens_are_asked_for_as_hosted_servers_give(server: Server, chat: bool, count: int) -> None:
    server.says(likeliest(A=-1.0, B=-1.0))
    opened(server, chat=chat).score_choices([ASK], [["A", "B"]], first_token_only=True)
    assert server.heard[0].body["top_logprobs" if chat else "logprobs"] == count


def test_a_server_that_does_not_know_how_it_is_told_a_beginning_is_named_the_setting(server: Server) -> None:
    said = "Unrecognized request argument supplied: continue_final_message"
    server.says(Says({"error": {"message": said}}, status=400))
    assert (
        opened(server)
        .generate([BEGUN], max_new_tokens=7)[0]
        .note.endswith(f"{said}; prefill says how the server is told the beginning of an answer")
    )


def test_where_log_probabilities_cannot_tell_draws_are_counted_and_the_note_says_why(server: Server) -> None:
    texts = iter(["A", "A.", " B", "An odd one", "A)", "B"])
    server.answer = lambda heard: wrote(None if "logprobs" in heard.body else next(texts))
    (found,) = opened(server, samples=6).score_choices([ASK], [["A", "B"]])
    # three of A, two of B, and a word that only begins with the same letter
    assert found.probabilities == pytest.approx((3 / 5, 2 / 5))
    assert (found.logprobs, found.tokens, found.samples, found.cost.calls) == (None, None, 5, 7)
    assert found.note == "by 5 draws of 6; the server gives no log-probabilities"
    drawn = [heard.body for heard in server.heard[1:]]
    assert {(body["temperature"], body["top_p"]) for body in drawn} == {(1.0, 1.0)}
    assert len({body["seed"] for body in drawn}) == 6


def test_draws_that_must_end_are_counted_only_where_they_did(server: Server) -> None:
    texts = iter([("1", "stop"), ("10", "stop"), ("1", "length"), ("1 of", "stop")])
    server.answer = lambda heard: wrote(*next(texts))
    (found,) = opened(server, logprobs=False, samples=4).score_choices([ASK], [["1", "10"]], include_end_of_turn=True)
    assert (found.probabilities, found.samples) == ((0.5, 0.5), 2)


def test_draws_of_which_none_is_a_candidate_make_no_shares(server: Server) -> None:
    server.says(wrote("Well, it depends"))
    (found,) = opened(server, logprobs=False, samples=3).score_choices([ASK], [["A", "B"]])
    assert (found.status, found.probabilities, found.cost.calls) == ("failed", (), 3)
    assert "none of 3 draws is a candidate ('Well, it depends'" in found.note


def test_a_server_that_fails_is_not_asked_in_another_way(server: Server) -> None:
    server.says(Says("?", status=500))
    (found,) = opened(server).score_choices([ASK], [["A", "B"]])
    assert (found.status, len(server.heard)) == ("failed", 1)


def test_without_chat_whole_candidates_are_read_from_the_echoed_prompt(server: Server) -> None:
    server.answer = echo
    question = EngineRequest(prompt=build_user_prompt("Which?"), prefill="It is")
    (found,) = opened(server, chat=False).score_choices([question], [[" the one", " the other of two"]])
    # -1/2 a token: two tokens to four
    assert found.logprobs == pytest.approx((-1.0, -2.0))
    assert found.probabilities == pytest.approx((1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))))
    assert (found.tokens, found.note, found.cost.calls) == ((2, 4), "by whole candidates, echoed", 2)


def test_an_echoed_candidate_can_have_the_end_of_its_turn_with_it(server: Server) -> None:
    server.answer = echo
    (found,) = opened(server, chat=False).score_choices([BEGUN], [["x", "y"]], include_end_of_turn=True)
    # the space before the candidate is one token with it; then two ends of lines, the heading, and an end of line
    assert found.tokens == (5, 5)
    assert server.heard[0].body["prompt"].endswith("Assistant:\nThe better one is x\n\nUser:\n")


def test_a_server_that_does_not_echo_is_asked_for_first_tokens_instead(server: Server) -> None:
    server.says(
        Says({"choices": [{"text": "A", "logprobs": {"tokens": ["A"], "token_logprobs": [-1.0]}}]}),
        likeliest(A=-1.0, B=-1.0),
    )
    (found,) = opened(server, chat=False).score_choices([ASK], [["A", "B"]])
    assert (found.probabilities, found.cost.calls) == ((0.5, 0.5), 2)
    assert found.note == "by the first token; the server echoes no prompts"


def test_candidates_that_are_the_same_are_not_weighed(server: Server) -> None:
    server.says(likeliest(A=-1.0))
    (found,) = opened(server).score_choices([ASK], [["A", " A"]])
    assert (found.status, len(server.heard)) == ("failed", 0)


# settings


def test_identity_says_where_and_what_is_asked_and_not_how_fast(server: Server) -> None:
    slow, fast = settings(server, concurrency=1), settings(server, concurrency=9, timeout=3)
    assert slow.content_hash() == fast.content_hash() == f'127.0.0.1:{server.server_port}/v1 {{"model": "m"}}'
    assert settings(server, extra={"top_k": 1}).content_hash() != slow.content_hash()


def test_with_its_weights_said_a_model_is_the_same_at_another_address(server: Server) -> None:
    here, there = (
        settings(server, base_url=url, weights="smollm2 at 12fd") for url in (server.url, "http://another:1/v1")
    )
    assert here.content_hash() == there.content_hash()
    assert here.content_hash() != settings(server, weights="smollm2 at 99aa").content_hash()
    assert identity_settings(here) == identity_settings(there)


def test_engines_with_one_identity_and_different_settings_do_not_share_answers(tmp_path: Path) -> None:
    engines = EngineResources(configs={name: Flat(says=name) for name in ("one", "two")})
    opened = engines.open_engines(
        Draft(folder=tmp_path / "stages" / "x"), {}, Runtime(progress=bar, notify=lambda message: None)
    )
    assert [engine.generate([ASK], max_new_tokens=7)[0].text for engine in opened.values()] == ["one", "two"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"base_url": "localhost:8000"}, "base_url: expected an address such as"),
        ({"logprobs": "maybe"}, "logprobs: must be 'auto', True or False"),
        ({"samples": 0}, "samples: must be greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_told_with_its_place(server: Server, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyError, match=words):
        settings(server, **wrong)
