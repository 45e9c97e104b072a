"""Compares the token counts that a server reports with its prompts, to find prompts that it cut without an error."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trimtab.engines.openai.client import ServerResponse
from trimtab.engines.openai.responses import parse_reported_prompt_tokens
from trimtab.types import EngineRequest, build_user_prompt

# A token has at most this many words. Tokenizers split text at spaces, so that their tokens have one word at most (in 3,803
# English texts, gemma3 had 0.97 words per token and SmolLM2 0.95); those with tokens of several words save up to a third
# (SuperBPE, arXiv:2503.13423).
MAX_WORDS_PER_TOKEN = 2
# A token has at most this many characters of a script without spaces (gemma3: 1.8 Chinese, 2.5 Japanese characters).
MAX_CHARACTERS_PER_TOKEN = 5
# A character of a script without spaces, however often it is repeated.
_UNSPACED = re.compile(r"([\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])\1*")
_WORD = re.compile(r"[^\W_]")
# Has at least 100 tokens. It is sent twice, so that the second one is in the server's prefix cache.
COUNT_PROBE = EngineRequest(prompt=build_user_prompt(" ".join(str(number) for number in range(200))))


def compute_min_tokens(texts: Sequence[str]) -> int:
    """A number of tokens that no tokenizer goes below, from the number of words and of Chinese and Japanese characters.

    Only words with a letter or a digit count, and a repeated character counts once. Scripts without spaces other than Chinese
    and Japanese count as few words, so their bound is low.
    """
    words, characters = 0, 0
    for text in texts:
        rest, count = _UNSPACED.subn(" ", text)
        characters += count
        words += sum(_WORD.search(word) is not None for word in rest.split())
    return words // MAX_WORDS_PER_TOKEN + characters // MAX_CHARACTERS_PER_TOKEN


@dataclass(slots=True)
class PromptCounts:
    """Whether the server reports the length of whole prompts, so that a low count means a prompt that was cut.

    Some servers report only the tokens that were not in their prefix cache, or invented numbers. Mutable and shared by all
    threads: it is detected when it first matters, at the cost of two short requests.
    """

    reliable: bool | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def check(
        self, request: EngineRequest, response: ServerResponse, send: Callable[[EngineRequest], ServerResponse]
    ) -> ServerResponse:
        """The response, or a failed one if the server cut the prompt. `send` sends a probe."""
        if response.note or self.reliable is False or not _is_too_low(request, response.body):
            return response
        probe, cost = response, response.cost
        with self.lock:
            for _ in range(2):
                if self.reliable is None and not probe.note:
                    probe = send(COUNT_PROBE)
                    cost += probe.cost
            if probe.note:
                note = f"could not determine whether the server cut the prompt: {probe.note}"
                return ServerResponse({}, cost, note)
            if self.reliable is None:
                reported = parse_reported_prompt_tokens(probe.body)
                self.reliable = reported > 0 and not _is_too_low(COUNT_PROBE, probe.body)
        if not self.reliable:
            return replace(response, cost=cost)
        return ServerResponse({}, cost, _describe_cut(request, response.body))


def _is_too_low(request: EngineRequest, body: Mapping[str, Any]) -> bool:
    """Whether the server reports fewer prompt tokens than the prompt has. A server that reports none is not checked."""
    return 0 < parse_reported_prompt_tokens(body) < compute_min_tokens(_texts_of(request))


def _describe_cut(request: EngineRequest, body: Mapping[str, Any]) -> str:
    texts = _texts_of(request)
    words, characters = sum(len(text.split()) for text in texts), sum(map(len, texts))
    reported, minimum = parse_reported_prompt_tokens(body), compute_min_tokens(texts)
    return (
        f"the server cut the prompt: it read {reported} tokens (usage.prompt_tokens) of a prompt with {words} words and "
        f"{characters} characters, which has at least {minimum} tokens; raise the server's context length (Ollama: "
        "OLLAMA_CONTEXT_LENGTH, or num_ctx in the Modelfile)"
    )


def _texts_of(request: EngineRequest) -> list[str]:
    return [*(message.content for message in request.prompt), request.prefill]
