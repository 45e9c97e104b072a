"""A gold reward from any published sequence-classification reward model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.errors import ModelError
from trimtab.models.config import Model, ResolvedWeights, compute_model_hash
from trimtab.types import Completion, Score

# How the architectures end that predict tokens and score nothing.
LANGUAGE_MODEL_SUFFIXES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForMaskedLM")


class RewardModel(Component):
    """The model's one logit for the whole conversation, in the model's own unit and with its own chat template.

    A model whose tokenizer has no template needs one in its settings. A conversation that is longer than the model reads has
    no reward. Tell readers what it was trained on: one that saw the benchmark's human labels imitates them.
    """

    VERSION: ClassVar[int] = 2
    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"model"})

    model: Model

    def preflight(self, runtime: Runtime) -> None:
        """Raises `ModelError` where the model has two outputs or none, or its tokenizer no end token or chat template.

        No weights are read for it.
        """
        from trimtab.models.config import resolve_weights  # noqa: PLC0415
        from trimtab.models.loading import load_tokenizer  # noqa: PLC0415

        weights = resolve_weights(self.model, runtime.notify)
        _validate_config(self.model, weights)
        load_tokenizer(self.model, weights, allow_default_template=False)

    def content_hash(self) -> str:
        return compute_model_hash(self.model) or f"not-downloaded:{self.model.base}"

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        return list(self.iter_scores(completions, runtime))

    def iter_scores(self, completions: Sequence[Completion], runtime: Runtime) -> Iterator[Score]:
        """The scores one by one: the model is opened with the first."""
        reader = _load_reward_model(self.model, runtime)
        with runtime.progress("Scoring answers", len(completions), "answers") as tick:
            for each in completions:
                scored = _score_completion(reader, each)
                tick()
                yield scored


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoadedRewardModel:
    """A reward model in memory; `most` is how many tokens of a text it reads, None where nothing says so."""

    classifier: Any
    tokenizer: Any
    max_length: int | None


def _load_reward_model(model: Model, runtime: Runtime) -> _LoadedRewardModel:
    import torch  # noqa: PLC0415
    from transformers import AutoModelForSequenceClassification  # noqa: PLC0415

    from trimtab.models.checkpoint import read_max_positions  # noqa: PLC0415
    from trimtab.models.config import resolve_weights  # noqa: PLC0415
    from trimtab.models.loading import load_tokenizer, resolve_dtype_name  # noqa: PLC0415
    from trimtab.models.silence_transformers import silence_transformers  # noqa: PLC0415

    weights = resolve_weights(model, runtime.notify)
    _validate_config(model, weights)
    tokenizer = load_tokenizer(model, weights, allow_default_template=False)
    with silence_transformers():
        classifier, found = AutoModelForSequenceClassification.from_pretrained(
            weights.folder,
            dtype=getattr(torch, resolve_dtype_name(model, runtime.device)),
            use_safetensors=True,
            trust_remote_code=model.trust_remote_code,
            output_loading_info=True,
        )
    if found["missing_keys"]:
        names = ", ".join(sorted(found["missing_keys"])[:3])
        raise ModelError(
            f"{weights.name} is not a reward model: {weights.folder} leaves out weights of its head ({names})"
        )
    limits = (read_max_positions(model, runtime.notify), tokenizer.model_max_length)
    return _LoadedRewardModel(
        classifier=classifier.to(runtime.device).eval(),
        tokenizer=tokenizer,
        max_length=min((limit for limit in limits if limit), default=None),
    )


def _validate_config(model: Model, weights: ResolvedWeights) -> None:
    """Raises `ModelError` where the configuration speaks of another number of outputs than one, or of none."""
    from transformers import AutoConfig  # noqa: PLC0415

    config = AutoConfig.from_pretrained(
        weights.folder, local_files_only=True, trust_remote_code=model.trust_remote_code
    )
    name = next(iter(config.architectures or ()), "")
    if name.endswith(LANGUAGE_MODEL_SUFFIXES):
        raise ModelError(
            f"{weights.name} is not a reward model: it is a language model without a head that gives rewards ({name}), and one "
            "output is needed; trained_reward trains such a head"
        )
    if config.num_labels != 1:
        raise ModelError(
            f"{weights.name} is not a reward model: it is a classifier with {config.num_labels} outputs "
            f"({name or 'num_labels'}), and one is needed"
        )


def _score_completion(reader: _LoadedRewardModel, completion: Completion) -> Score:
    """One conversation at a time: models differ in how they find the last token of a padded row."""
    import torch  # noqa: PLC0415

    messages = [{"role": message.role, "content": message.content} for message in completion.prompt]
    messages.append({"role": "assistant", "content": completion.text})
    text = reader.tokenizer.apply_chat_template(messages, tokenize=False)
    tokens = reader.tokenizer(text, add_special_tokens=False, return_tensors="pt", verbose=False)
    length = tokens["input_ids"].shape[1]
    if reader.max_length is not None and length > reader.max_length:
        note = f"{length} tokens, and the reward model reads texts of at most {reader.max_length}"
        return Score(prompt_id=completion.prompt_id, value=None, status="failed", note=note)
    with torch.inference_mode():
        value = float(reader.classifier(**tokens.to(reader.classifier.device)).logits[0, 0])
    return Score(prompt_id=completion.prompt_id, value=value)
