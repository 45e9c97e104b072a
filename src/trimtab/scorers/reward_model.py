"""The `reward_model` scorer: a gold reward from a published sequence-classification reward model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.errors import ModelError
from trimtab.models.chat_layout import render_template
from trimtab.models.config import Model, ResolvedWeights, compute_model_hash
from trimtab.models.scoring.text_pair import Truncation, encode_text_pair, format_question
from trimtab.types import Completion, Score

# Suffixes of architectures that predict tokens and have no reward head.
LANGUAGE_MODEL_SUFFIXES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForMaskedLM")


class RewardModel(Component):
    """The single logit that the model gives the conversation, in the model's own unit.

    `input_format: chat` needs a chat template, the tokenizer's or that of the model's settings. `text_pair` is for models
    that read a question and an answer, such as DeBERTa: a prompt of one user turn is the question, several turns are written
    as in HH (`Human: …`, `Assistant: …`). Check which data the model was trained on: a model that has seen the benchmark's
    human labels imitates them.
    """

    VERSION: ClassVar[int] = 3
    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"model"})

    model: Model
    input_format: Literal["chat", "text_pair"] = Field(
        "chat", description="chat: the conversation in the chat template; text_pair: the tokenizer's (question, answer)"
    )
    truncation: Truncation = Field(
        "fail",
        description="of a conversation longer than the model's maximum length. fail: it has no score and counts as failed; "
        "prompt_start: the first tokens of the question are dropped, and the score counts as truncated (text_pair only)",
    )

    @model_validator(mode="after")
    def _validate_format(self) -> Self:
        if self.input_format == "chat" and self.truncation != "fail":
            raise ValueError(
                f"truncation: {self.truncation} requires input_format: text_pair; a chat template needs its start"
            )
        if self.input_format == "text_pair" and (self.model.chat_template, self.model.system) != (None, None):
            raise ValueError("model: chat_template and system are unused, since input_format is text_pair")
        if self.model.load_in_4bit:
            raise ValueError("model: load_in_4bit is not supported for reward models; leave it out")
        return self

    def preflight(self, runtime: Runtime) -> None:
        """Raises `ModelError` unless the model has exactly one output, and its tokenizer what the input format needs.

        Does not read any weights.
        """
        from trimtab.models.config import resolve_weights  # noqa: PLC0415
        from trimtab.models.loading import load_tokenizer  # noqa: PLC0415

        weights = resolve_weights(self.model, runtime.notify)
        _validate_config(self.model, weights)
        is_pair = self.input_format == "text_pair"
        tokenizer = load_tokenizer(self.model, weights, allow_default_template=is_pair)
        if is_pair:
            encode_text_pair(tokenizer, "Hi", "Hello", None, self.truncation)
        else:
            render_template(tokenizer, [("user", "Hi"), ("assistant", "Hello")])

    def content_hash(self) -> str:
        return compute_model_hash(self.model) or f"not-downloaded:{self.model.base}"

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        score_completion = self.load_score_function(runtime)
        return [score_completion(completion) for completion in completions]

    def load_score_function(self, runtime: Runtime) -> Callable[[Completion], Score]:
        loaded = _load_reward_model(self.model, runtime, allow_default_template=self.input_format == "text_pair")
        return lambda completion: _score_completion(loaded, completion, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoadedRewardModel:
    """A loaded reward model. `max_length` is its maximum number of tokens per conversation; None if unknown.

    `control_texts` are the texts that its tokenizer reads as control tokens.
    """

    classifier: Any
    tokenizer: Any
    max_length: int | None
    control_texts: frozenset[str]


def _load_reward_model(model: Model, runtime: Runtime, *, allow_default_template: bool) -> _LoadedRewardModel:
    import torch  # noqa: PLC0415
    from transformers import AutoModelForSequenceClassification  # noqa: PLC0415

    from trimtab.models.chat import find_control_tokens  # noqa: PLC0415
    from trimtab.models.checkpoint import read_max_positions  # noqa: PLC0415
    from trimtab.models.config import resolve_weights  # noqa: PLC0415
    from trimtab.models.loading import load_tokenizer, resolve_dtype_name  # noqa: PLC0415
    from trimtab.models.silence_transformers import silence_transformers  # noqa: PLC0415

    weights = resolve_weights(model, runtime.notify)
    _validate_config(model, weights)
    tokenizer = load_tokenizer(model, weights, allow_default_template=allow_default_template)
    try:
        with silence_transformers():
            classifier, loading_info = AutoModelForSequenceClassification.from_pretrained(
                weights.folder,
                dtype=getattr(torch, resolve_dtype_name(model, runtime.device)),
                use_safetensors=True,
                trust_remote_code=model.trust_remote_code,
                output_loading_info=True,
            )
    except Exception as error:  # the libraries raise errors of many types
        raise ModelError(f"{weights.name}: cannot load {weights.folder}: {error}") from error
    if loading_info["missing_keys"]:
        names = ", ".join(sorted(loading_info["missing_keys"])[:3])
        raise ModelError(
            f"{weights.name} is not a reward model: {weights.folder} does not contain the weights of its head ({names})"
        )
    limits = (read_max_positions(model, runtime.notify), tokenizer.model_max_length)
    return _LoadedRewardModel(
        classifier=classifier.to(runtime.device).eval(),
        tokenizer=tokenizer,
        max_length=min((limit for limit in limits if limit), default=None),
        control_texts=frozenset(find_control_tokens(tokenizer).values()),
    )


def _validate_config(model: Model, weights: ResolvedWeights) -> None:
    """Raises `ModelError` unless the configuration describes a classifier with one output."""
    from trimtab.models.loading import load_config  # noqa: PLC0415

    config = load_config(model, weights)
    architecture = next(iter(config.architectures or ()), "")
    if architecture.endswith(LANGUAGE_MODEL_SUFFIXES):
        raise ModelError(
            f"{weights.name} is not a reward model: it is a language model without a reward head ({architecture}), and one "
            "output is required; the scorer study_reward_model trains such a head"
        )
    if config.num_labels != 1:
        raise ModelError(
            f"{weights.name} is not a reward model: it is a classifier with {config.num_labels} outputs "
            f"({architecture or 'num_labels'}), and one is required"
        )


def _score_completion(loaded: _LoadedRewardModel, completion: Completion, settings: RewardModel) -> Score:
    """Scores one conversation without padding, because models differ in how they find the last token of a padded row."""
    import torch  # noqa: PLC0415

    try:
        if settings.input_format == "text_pair":
            question = format_question(completion.prompt)
            pair = encode_text_pair(
                loaded.tokenizer, question, completion.text.strip(), loaded.max_length, settings.truncation
            )
            tokens, dropped = pair.tensors, pair.dropped
        else:
            tokens, dropped = _encode_chat(loaded, completion), 0
    except ModelError as error:
        return Score(prompt_id=completion.prompt_id, value=None, status="failed", note=str(error))
    with torch.inference_mode():
        value = float(loaded.classifier(**tokens.to(loaded.classifier.device)).logits[0, 0])
    note = f"without the first {dropped} tokens of the prompt" if dropped else ""
    return Score(prompt_id=completion.prompt_id, value=value, note=note)


def _encode_chat(loaded: _LoadedRewardModel, completion: Completion) -> Any:
    """The tensors of a conversation in the chat template.

    Raises `ModelError` if the template rejects it, if it is too long, or if a text contains that of a control token, with which
    it could end its turn.
    """
    turns = [*((message.role, message.content) for message in completion.prompt), ("assistant", completion.text)]
    control = next((text for text in sorted(loaded.control_texts) for _, turn in turns if text in turn), None)
    if control is not None:
        raise ModelError(f"a turn contains the text {control!r}, which the reward model reads as a control token")
    text = render_template(loaded.tokenizer, turns)
    tokens = loaded.tokenizer(text, add_special_tokens=False, return_tensors="pt", verbose=False)
    length = tokens["input_ids"].shape[1]
    if loaded.max_length is not None and length > loaded.max_length:
        raise ModelError(f"{length} tokens, but the reward model's maximum length is {loaded.max_length}")
    return tokens
