"""A gold reward from any published sequence-classification reward model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from trimtab.components import Component
from trimtab.errors import ModelError
from trimtab.lm.weights import Model, Weights, identity
from trimtab.protocols import Runtime
from trimtab.types import Completion, Score

# How the architectures end that predict tokens and score nothing.
LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForMaskedLM")


class RewardModel(Component):
    """The model's one logit for the whole conversation, in the model's own unit and with its own chat template.

    Tell readers what it was trained on: one that saw the benchmark's human labels imitates them.
    """

    PLACES: ClassVar[frozenset[str]] = frozenset({"model"})

    model: Model

    def check(self, runtime: Runtime) -> None:
        """Raises `ModelError` where the model has two outputs or none, by its configuration alone."""
        from trimtab.lm.weights import resolve  # noqa: PLC0415

        _check(self.model, resolve(self.model, runtime.notify))

    def identity(self) -> str:
        return identity(self.model) or f"unfetched:{self.model.base}"

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        classifier, tokenizer = _open(self.model, runtime)
        scores = []
        with runtime.progress("Scoring answers", len(completions), "answers") as tick:
            for each in completions:
                scores.append(Score(prompt_id=each.prompt_id, value=_reward(classifier, tokenizer, each)))
                tick()
        return scores


def _open(model: Model, runtime: Runtime) -> tuple[Any, Any]:
    import torch  # noqa: PLC0415
    from transformers import AutoModelForSequenceClassification  # noqa: PLC0415

    from trimtab.lm.load import dtype_name, load_tokenizer  # noqa: PLC0415
    from trimtab.lm.quiet import quiet  # noqa: PLC0415
    from trimtab.lm.weights import resolve  # noqa: PLC0415

    weights = resolve(model, runtime.notify)
    _check(model, weights)
    with quiet():
        classifier, found = AutoModelForSequenceClassification.from_pretrained(
            weights.folder,
            dtype=getattr(torch, dtype_name(model, runtime.device)),
            use_safetensors=True,
            trust_remote_code=model.trust_remote_code,
            output_loading_info=True,
        )
    if found["missing_keys"]:
        names = ", ".join(sorted(found["missing_keys"])[:3])
        raise ModelError(
            f"{weights.name} is not a reward model: {weights.folder} leaves out weights of its head ({names})"
        )
    return classifier.to(runtime.device).eval(), load_tokenizer(model, weights)


def _check(model: Model, weights: Weights) -> None:
    """Raises `ModelError` where the configuration speaks of another number of outputs than one, or of none."""
    from transformers import AutoConfig  # noqa: PLC0415

    config = AutoConfig.from_pretrained(
        weights.folder, local_files_only=True, trust_remote_code=model.trust_remote_code
    )
    name = next(iter(config.architectures or ()), "")
    if name.endswith(LANGUAGE_MODELS):
        raise ModelError(
            f"{weights.name} is not a reward model: it is a language model without a head that gives rewards ({name}), and one "
            "output is needed; trained_reward trains such a head"
        )
    if config.num_labels != 1:
        raise ModelError(
            f"{weights.name} is not a reward model: it is a classifier with {config.num_labels} outputs "
            f"({name or 'num_labels'}), and one is needed"
        )


def _reward(classifier: Any, tokenizer: Any, completion: Completion) -> float:
    """One conversation at a time: models differ in how they find the last token of a padded row."""
    import torch  # noqa: PLC0415

    messages = [{"role": message.role, "content": message.content} for message in completion.prompt]
    messages.append({"role": "assistant", "content": completion.text})
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    tokens = tokenizer(text, add_special_tokens=False, return_tensors="pt").to(classifier.device)
    with torch.inference_mode():
        return float(classifier(**tokens).logits[0, 0])
