"""A model behind any server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, Ollama, or a hosted one."""

from __future__ import annotations

import json
import os
import re
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, field_validator

from trimtab.components import Component
from trimtab.errors import EngineError
from trimtab.protocols import Engine, Runtime

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Openai(Component):
    """A model behind a server with the OpenAI protocol: vLLM, SGLang, llama.cpp, Ollama or hosted.

    `base_url` ends where `/chat/completions` begins, mostly in `/v1`; `model` is the server's name for it.
    `api_key_env` names the environment variable that holds the key; without one, none is needed. The key itself is never
    a setting and never written anywhere.

    `chat: false` asks `/completions` instead, for models without a chat template: turns are headed `User:` and
    `Assistant:` on lines of their own.

    How the assistant's turn is begun for it (`begins`) differs between servers, and `prefill` says how:
    `flag` sends it as a last assistant message with `continue_final_message`, which vLLM, SGLang and llama.cpp from
    May 2026 on go by, while earlier llama.cpp and Ollama continue a last assistant message anyway and pass over the flag;
    `bare` sends the message alone; `prefix` marks it `prefix: true`, as DeepSeek and Mistral want it; `none` is for
    servers that can only answer in a new turn, such as OpenAI's own: there a question with a beginning fails. With
    `chat: false` the beginning is simply the end of the prompt, on every server.

    Candidates are weighed by the first of these that can tell, and the note of each answer says by which:
    with `chat: false`, the log-probabilities of whole candidates echoed as part of the prompt (vLLM, SGLang), unless first
    tokens are asked for; the `top_logprobs` likeliest first tokens, where these tell the candidates apart, leading spaces
    aside; `samples` draws at temperature 1, counted. `logprobs: true` leaves out the samples, `false` takes nothing else.
    Servers that cut down their own distribution (top-k, min-p) draw from what is left, unless `extra` says otherwise.

    `extra` is added to every request: `{chat_template_kwargs: {enable_thinking: false}}`, `{top_k: -1}`; a null takes a
    field out. `length` names the limit's field: newer hosted models know only `max_completion_tokens`.

    A request is tried again `retries` times, as long apart as the server's Retry-After says or else from half a second to
    eight, on lost connections, time-outs (`timeout`, seconds) and the statuses 408, 409, 429 and 5xx; not where the server
    says to wait for more than two minutes. All requests, those tried again included, begin at least
    60 / `requests_per_minute` seconds apart.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    PLACES: ClassVar[frozenset[str]] = frozenset(
        {"base_url", "api_key_env", "concurrency", "retries", "timeout", "requests_per_minute"}
    )

    base_url: str
    model: str = Field(min_length=1)
    api_key_env: str = ""
    chat: bool = True
    prefill: Literal["flag", "bare", "prefix", "none"] = "flag"
    logprobs: Literal["auto", True, False] = "auto"
    top_logprobs: int = Field(20, ge=1, description="hosted servers allow 20, and 5 with `chat: false`")
    samples: int = Field(8, ge=1)
    length: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra: dict[str, Any] = Field(default_factory=dict)
    concurrency: int = Field(8, ge=1)
    retries: int = Field(4, ge=0)
    timeout: float = Field(600.0, gt=0)
    requests_per_minute: float | None = Field(None, gt=0)

    @field_validator("base_url")
    @classmethod
    def _an_address(cls, base_url: str) -> str:
        parts = urlsplit(base_url)
        if parts.username or parts.password or parts.query:
            # not shown: what stands there may be a key
            raise ValueError("a key does not belong in the address: name an environment variable in api_key_env")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected an address such as http://127.0.0.1:8000/v1, got {base_url!r}")
        return base_url

    @field_validator("api_key_env")
    @classmethod
    def _a_name(cls, api_key_env: str) -> str:
        if api_key_env and not _NAME.fullmatch(api_key_env):
            # not shown: it may be the key itself
            raise ValueError(
                "expected the name of an environment variable, such as OPENAI_API_KEY, never the key itself"
            )
        return api_key_env

    @property
    def place(self) -> str:
        """The server's host and path, for people: `127.0.0.1:8000/v1`."""
        parts = urlsplit(self.base_url)
        return f"{parts.netloc}{parts.path.rstrip('/')}"

    def start(self, runtime: Runtime) -> Engine:
        """Raises `EngineError` where the package or the key is missing, no server answers, or it turns the key away."""
        del runtime
        key = self._key()
        try:
            from trimtab.engines._openai_calls import Pace, connect  # noqa: PLC0415 - the package is an extra
            from trimtab.engines._openai_engine import OpenaiEngine  # noqa: PLC0415
        except ImportError as error:
            raise EngineError(
                f"engines of kind openai need the openai package ({error}): in Trimtab's folder, pip install '.[openai]'"
            ) from error
        connection = connect(self, key, Pace(self.requests_per_minute))
        connection.greet()
        return OpenaiEngine(self, connection)

    def identity(self) -> str:
        """The server's address and what it is asked for; nothing tells which weights a server has behind a name."""
        asked = self.model_dump(mode="json", exclude_defaults=True, exclude=set(self.PLACES))
        return f"{self.place} {json.dumps(asked, sort_keys=True, ensure_ascii=False)}"

    def _key(self) -> str:
        if not self.api_key_env:
            return ""
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise EngineError(f"api_key_env: the environment variable {self.api_key_env} is not set: put the key there")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise EngineError(f"api_key_env: {self.api_key_env} holds spaces or signs that no key has")
        return key
