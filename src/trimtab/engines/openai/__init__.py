"""A model behind any server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, Ollama, or a hosted one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import ConfigDict, Field, field_validator

from trimtab.core.component import Component
from trimtab.core.interfaces import Engine
from trimtab.core.runtime import Runtime
from trimtab.errors import EngineError

if TYPE_CHECKING:
    from trimtab.engines.openai.client import Connection

# Keys may be identifiers too (hf_…, gsk_…), but hold small letters, which names of variables do not.
_ENV_VAR_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_SECRET_PARAMETER = re.compile(r"key|token|sig|secret|password|auth", re.IGNORECASE)
# Fields that servers or the package would take for a key, or for headers that hold one.
_CREDENTIAL_FIELDS = frozenset({"api_key", "apikey", "authorization", "headers", "extra_headers", "default_headers"})
# Likeliest tokens that hosted servers give at most: in chats, and in plain completions.
_DEFAULT_TOP_LOGPROBS = {True: 20, False: 5}


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
    servers that can only answer in a new turn, such as OpenAI's own: the question ends by telling the model how its
    answer begins, and what the answer repeats of that is cut off. With `chat: false` the beginning is simply the end of
    the prompt, on every server.

    Candidates are weighed by the first of these that can tell, and the note of each answer says by which:
    with `chat: false`, the log-probabilities of whole candidates echoed as part of the prompt (vLLM, SGLang), unless first
    tokens are asked for; the `top_logprobs` likeliest first tokens, where these tell the candidates apart, leading spaces
    aside; `samples` draws at temperature 1, counted. Words that all candidates begin with (`Response 1`, `Response 2`)
    are put into the answer's beginning, so that the next token tells. `logprobs: true` leaves out the samples, `false`
    takes nothing else. What a server says that it never does is not asked of it again; any other refusal fails the question.
    With `prefill: none`, where a question has a beginning, draws alone can tell.
    Servers that cut down their own distribution (top-k, min-p) draw from what is left, unless `extra` says otherwise.

    `extra` is added to every request: `{chat_template_kwargs: {enable_thinking: false}}`, `{top_k: -1}`; a null takes a
    field out. `length` names the limit's field: newer hosted models know only `max_completion_tokens`.

    `weights` says what stands behind `model`, in words of your own, such as a revision or a hash. Without it, the server's
    address is part of what answers are known by, and a server at another address is another model.

    A request is tried again `retries` times, as long apart as the server's Retry-After says or else from half a second to
    eight, on lost connections, time-outs (`timeout`, seconds) and the statuses 408, 409, 429 and 5xx; not where the server
    says to wait for more than two minutes. After a 429 or 503 all requests wait: as long as Retry-After says, or else a
    second, and twice as long each time that it comes again, up to a minute. All requests, those tried again included, begin at
    least 60 / `requests_per_minute` seconds apart, and not before the tokens that earlier answers took, read and written,
    fit into `tokens_per_minute`.
    """

    # 2: beginnings are put in words for prefill: none, and what candidates share goes into the beginning
    VERSION: ClassVar[int] = 2

    model_config = ConfigDict(hide_input_in_errors=True)

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset(
        {"base_url", "api_key_env", "concurrency", "max_retries", "timeout", "requests_per_minute", "tokens_per_minute"}
    )

    base_url: str
    model: str = Field(min_length=1)
    model_revision: str = Field("", description="what stands behind `model`; with it, the address counts no more")
    api_key_env: str = ""
    chat: bool = True
    prefill: Literal["continue_flag", "assistant_message", "prefix_flag", "unsupported"] = "continue_flag"
    logprobs: Literal["auto", True, False] = "auto"
    top_logprobs: int | None = Field(
        None, ge=1, description="null: 20, and 5 with `chat: false`, which hosted servers allow"
    )
    num_choice_samples: int = Field(8, ge=1)
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: dict[str, Any] = Field(default_factory=dict)
    concurrency: int = Field(8, ge=1)
    max_retries: int = Field(8, ge=0)
    timeout: float = Field(600.0, gt=0)
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0, description="tokens read and written")

    @field_validator("base_url")
    @classmethod
    def _validate_base_url(cls, base_url: str) -> str:
        parts = urlsplit(base_url)
        # neither is shown: what stands there may be a key
        if (
            parts.username
            or parts.password
            or any(_SECRET_PARAMETER.search(name) for name, _ in parse_qsl(parts.query, True))
        ):
            raise ValueError("a key does not belong in the address: name an environment variable in api_key_env")
        if parts.query:
            raise ValueError("takes no query: leave out what stands behind the question mark")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected an address such as http://127.0.0.1:8000/v1, got {base_url!r}")
        return base_url

    @field_validator("api_key_env")
    @classmethod
    def _validate_api_key_env(cls, api_key_env: str) -> str:
        if api_key_env and not _ENV_VAR_NAME.fullmatch(api_key_env):
            # not shown: it may be the key itself
            raise ValueError(
                "expected the name of an environment variable in capital letters, such as OPENAI_API_KEY, never the key itself"
            )
        return api_key_env

    @field_validator("extra_body")
    @classmethod
    def _reject_credentials(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if found := sorted(
            name for name in _field_names(extra) if name.lower().replace("-", "_") in _CREDENTIAL_FIELDS
        ):
            # settings are written into records and reports
            raise ValueError(f"{', '.join(found)}: a key goes into the environment variable that api_key_env names")
        return extra

    @property
    def address(self) -> str:
        """The server's host and path, for people: `127.0.0.1:8000/v1`."""
        parts = urlsplit(self.base_url)
        return f"{parts.netloc}{parts.path.rstrip('/')}"

    @property
    def top_logprob_count(self) -> int:
        """How many of the likeliest first tokens are asked for."""
        return self.top_logprobs or _DEFAULT_TOP_LOGPROBS[self.chat]

    def preflight(self, runtime: Runtime) -> None:
        """Raises `EngineError` as `start` does."""
        del runtime
        self._connect()

    def start(self, runtime: Runtime) -> Engine:
        """Raises `EngineError` where the package or the key is missing, no server answers, or it turns the key away."""
        del runtime
        connection = self._connect()
        from trimtab.engines.openai.engine import OpenaiEngine  # noqa: PLC0415 - the package is an extra

        return OpenaiEngine(self, connection)

    def content_hash(self) -> str:
        """What stands behind the name, as far as is known: `weights`, else the server's address; and what it is asked for."""
        asked = self.model_dump(mode="json", exclude_defaults=True, exclude=set(self.FINGERPRINT_EXCLUDED))
        return f"{self.model_revision or self.address} {json.dumps(asked, sort_keys=True, ensure_ascii=False)}"

    def _connect(self) -> Connection:
        key = self._read_api_key()
        try:
            from trimtab.engines.openai.client import connect  # noqa: PLC0415 - the package is an extra
            from trimtab.engines.openai.rate_limit import RateLimiter  # noqa: PLC0415
        except ImportError as error:
            raise EngineError(
                f"engines of kind openai need the openai package ({error}): in Trimtab's folder, pip install '.[openai]'"
            ) from error
        connection = connect(self, key, RateLimiter(self.requests_per_minute, self.tokens_per_minute))
        connection.check_connection()
        return connection

    def _read_api_key(self) -> str:
        if not self.api_key_env:
            return ""
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise EngineError(f"api_key_env: the environment variable {self.api_key_env} is not set: put the key there")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise EngineError(f"api_key_env: {self.api_key_env} holds spaces or signs that no key has")
        return key


def _field_names(extra: Any) -> Iterator[str]:
    """The names of all fields, also of those inside others."""
    if isinstance(extra, Mapping):
        yield from map(str, extra)
    for each in extra.values() if isinstance(extra, Mapping) else extra if isinstance(extra, list) else ():
        yield from _field_names(each)
