"""A gold reward from any published sequence-classification reward model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from trimtab.components import Component
from trimtab.errors import ModelError
from trimtab.lm.weights import Model, identity
from trimtab.protocols import Runtime
from trimtab.types import Completion, Score


class RewardModel(Component):
    """The model's one logit for the whole conversation, in the model's own unit and with its own chat template.

    Tell readers what it was trained on: one that saw the benchmark's human labels imitates them.
    """

    PLACES: ClassVar[frozenset[str]] = frozenset({"model"})

    model: Model

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
    with quiet():
        classifier, found = AutoModelForSequenceClassification.from_pretrained(
            weights.folder,
            dtype=getattr(torch, dtype_name(model, runtime.device)),
            use_safetensors=True,
            trust_remote_code=model.trust_remote_code,
            output_loading_info=True,
        )
    if found["missing_keys"] or classifier.config.num_labels != 1:
        raise ModelError(
            f"{weights.name} is not a reward model: it has {classifier.config.num_labels} outputs (one is needed) and "
            f"{len(found['missing_keys'])} weights without values"
        )
    return classifier.to(runtime.device).eval(), load_tokenizer(model, weights)


def _reward(classifier: Any, tokenizer: Any, completion: Completion) -> float:
    """One conversation at a time: models differ in how they find the last token of a padded row."""
    import torch  # noqa: PLC0415

    messages = [{"role": message.role, "content": message.content} for message in completion.prompt]
    messages.append({"role": "assistant", "content": completion.text})
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    tokens = tokenizer(text, add_special_tokens=False, return_tensors="pt").to(classifier.device)
    with torch.inference_mode():
        return float(classifier(**tokens).logits[0, 0])
