"""The `openai` engine: a model behind a server with the OpenAI protocol (vLLM, SGLang, llama.cpp, Ollama, hosted)."""

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

# API keys can look like identifiers (hf_…, gsk_…), but contain lowercase letters, which variable names do not.
_ENV_VAR_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_SECRET_PARAMETER = re.compile(r"key|token|sig|secret|password|auth", re.IGNORECASE)
# Body fields that a server or the openai package would treat as an API key, or as headers that contain one.
_CREDENTIAL_FIELDS = frozenset({"api_key", "apikey", "authorization", "headers", "extra_headers", "default_headers"})
# The most top log-probabilities that hosted servers return, keyed by `chat`.
_DEFAULT_TOP_LOGPROBS = {True: 20, False: 5}


class Openai(Component):
    """A model on an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama or a hosted service.

    `base_url` is the part before `/chat/completions` and usually ends in `/v1`. `model` is the server's name for the model.
    `api_key_env` names the environment variable that contains the API key; leave it empty if the server needs no key. The key
    itself is never a setting and never written to disk.

    `chat: false` uses `/completions`, for models without a chat template. Turns then start with `User:` or `Assistant:` on a
    separate line.

    `prefill` selects how the server continues a partial assistant turn: `continue_flag` sends it as the last assistant message
    with `continue_final_message` (vLLM, SGLang, and llama.cpp from May 2026 on; earlier llama.cpp and Ollama ignore the flag
    and continue a last assistant message anyway); `assistant_message` sends the message without a flag; `prefix_flag` marks it
    `prefix: true` (DeepSeek, Mistral); `unsupported` is for servers that always start a new turn, such as OpenAI's: the prompt
    then ends with the prefill and an instruction to continue it. If the reply repeats the prefill, the repetition is removed.
    With `chat: false` the prefill is the end of the prompt on every server.

    Candidates are scored by the first strategy that works; the note of each result names it. (1) With `chat: false`: the
    log-probabilities of whole candidates echoed as part of the prompt (vLLM, SGLang), unless only first tokens are
    requested. (2) The `top_logprobs` most likely first tokens, if they distinguish the candidates, ignoring leading spaces.
    (3) `num_choice_samples` samples at temperature 1, counted. Words that all candidates start with (`Response 1`,
    `Response 2`) become part of the prefill, so that the next token decides. `logprobs: true` disables sampling; `false`
    allows only sampling. A strategy that the server rejects as unsupported is not tried again; any other error fails the
    request. With `prefill: unsupported`, requests that have a prefill are scored by sampling only.
    Servers with default truncation (top-k, min-p) sample from the truncated distribution unless `extra_body` disables it.

    `extra_body` is added to every request body: `{chat_template_kwargs: {enable_thinking: false}}`, `{top_k: -1}`; null
    removes a field. `max_tokens_field` names the field of the length limit: newer hosted models accept only
    `max_completion_tokens`.

    `model_revision` identifies the weights behind `model`, for example by a revision or a hash. Without it, the server's
    address is part of the cache key, so the same model at another address counts as a different model.

    The reasoning of a model (`<think>…</think>`, `reasoning_content`) is not part of its reply. If the reasoning uses all
    tokens of a request, the request fails. Turn reasoning off, or allow more tokens with `extra_body: {max_tokens: 4096}`.

    A request also fails if the server reports fewer prompt tokens than its prompt can have: some servers cut prompts that
    exceed their context length without an error.

    A request is retried up to `max_retries` times on connection errors, timeouts (`timeout`: seconds from the start of an
    attempt to the last byte of its answer) and the status codes 408, 409, 429 and 5xx, also if they are only in the body of
    a response with status 200, after the time in Retry-After or else after 0.5 to 8 seconds. It is not retried if the
    server asks for more than two minutes. After a 429 or 503 all requests wait: for the time in Retry-After, or else for one
    second, doubled each time up to one minute. Requests, including retries, start at least 60 / `requests_per_minute`
    seconds apart, and not before the prompt and generated tokens of earlier responses fit into `tokens_per_minute`.
    """

    # 2: with prefill unsupported the prefill is part of the prompt; words that candidates share go into the prefill
    # 3: reasoning is not part of a reply; an unknown finish_reason and impossible numbers are failures
    # 4: a prompt that the server cut is a failure
    VERSION: ClassVar[int] = 4

    model_config = ConfigDict(hide_input_in_errors=True)

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset(
        {"base_url", "api_key_env", "concurrency", "max_retries", "timeout", "requests_per_minute", "tokens_per_minute"}
    )

    base_url: str
    model: str = Field(min_length=1)
    model_revision: str = Field("", description="the weights behind `model`; replaces the address in the cache key")
    api_key_env: str = ""
    chat: bool = True
    prefill: Literal["continue_flag", "assistant_message", "prefix_flag", "unsupported"] = "continue_flag"
    logprobs: Literal["auto", True, False] = "auto"
    top_logprobs: int | None = Field(
        None, ge=1, description="null: 20, or 5 with `chat: false`, the limits of hosted servers"
    )
    num_choice_samples: int = Field(8, ge=1)
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: dict[str, Any] = Field(default_factory=dict)
    concurrency: int = Field(8, ge=1)
    max_retries: int = Field(8, ge=0)
    timeout: float = Field(600.0, gt=0)
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0, description="prompt and generated tokens")

    @field_validator("base_url")
    @classmethod
    def _validate_base_url(cls, base_url: str) -> str:
        parts = urlsplit(base_url)
        parameters = parse_qsl(parts.query, True)
        # The messages do not repeat the value: it may contain the key.
        if parts.username or parts.password or any(_SECRET_PARAMETER.search(name) for name, _ in parameters):
            raise ValueError("must not contain an API key: name an environment variable in api_key_env")
        if parts.query:
            raise ValueError("must not contain a query: remove everything from the question mark on")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected an address such as http://127.0.0.1:8000/v1, got {base_url!r}")
        return base_url

    @field_validator("api_key_env")
    @classmethod
    def _validate_api_key_env(cls, api_key_env: str) -> str:
        if api_key_env and not _ENV_VAR_NAME.fullmatch(api_key_env):
            # The message does not repeat the value: it may be the key itself.
            raise ValueError(
                "expected the name of an environment variable in uppercase, such as OPENAI_API_KEY, never the key itself"
            )
        return api_key_env

    @field_validator("extra_body")
    @classmethod
    def _reject_credentials(cls, extra_body: dict[str, Any]) -> dict[str, Any]:
        credentials = sorted(
            name for name in _field_names(extra_body) if name.lower().replace("-", "_") in _CREDENTIAL_FIELDS
        )
        if credentials:
            # Settings are written to records and reports.
            raise ValueError(
                f"{', '.join(credentials)}: put the API key into the environment variable that api_key_env names"
            )
        return extra_body

    @property
    def address(self) -> str:
        """Host and path of the server, for messages: `127.0.0.1:8000/v1`."""
        parts = urlsplit(self.base_url)
        return f"{parts.netloc}{parts.path.rstrip('/')}"

    @property
    def top_logprob_count(self) -> int:
        """Number of top log-probabilities requested for the first token."""
        return self.top_logprobs or _DEFAULT_TOP_LOGPROBS[self.chat]

    def preflight(self, runtime: Runtime) -> None:
        """Connects to the server. Raises `EngineError` like `start`."""
        del runtime
        self._connect()

    def start(self, runtime: Runtime) -> Engine:
        """Connects to the server. Raises `EngineError` if the package or the key is missing, or if no server answers or it
        rejects the key."""
        del runtime
        connection = self._connect()
        from trimtab.engines.openai.engine import OpenaiEngine  # noqa: PLC0415 - the package is an extra

        return OpenaiEngine(self, connection)

    def content_hash(self) -> str:
        """`model_revision`, or else the server's address, and the settings that affect the output."""
        settings = self.model_dump(mode="json", exclude_defaults=True, exclude=set(self.FINGERPRINT_EXCLUDED))
        return f"{self.model_revision or self.address} {json.dumps(settings, sort_keys=True, ensure_ascii=False)}"

    def _connect(self) -> Connection:
        key = self._read_api_key()
        try:
            from trimtab.engines.openai.client import connect  # noqa: PLC0415 - the package is an extra
            from trimtab.engines.openai.rate_limit import RateLimiter  # noqa: PLC0415
        except ImportError as error:
            raise EngineError(
                f"engines of kind openai require the openai package ({error}): in Trimtab's folder, run "
                "pip install '.[openai]'"
            ) from error
        connection = connect(self, key, RateLimiter(self.requests_per_minute, self.tokens_per_minute))
        connection.check_connection()
        return connection

    def _read_api_key(self) -> str:
        if not self.api_key_env:
            return ""
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise EngineError(f"api_key_env: the environment variable {self.api_key_env} is not set; set it to the key")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise EngineError(f"api_key_env: {self.api_key_env} contains spaces or characters that no key contains")
        return key


def _field_names(body: Any) -> Iterator[str]:
    """All field names, including nested ones."""
    if isinstance(body, Mapping):
        yield from map(str, body)
    for value in body.values() if isinstance(body, Mapping) else body if isinstance(body, list) else ():
        yield from _field_names(value)
