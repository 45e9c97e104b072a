"""Similarity of responses: to the human-preferred responses, and to those of other policies."""

from __future__ import annotations

from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from trimtab.core.component import TEXT_MARK, Component
from trimtab.core.runtime import Runtime


class ResponseSimilarity(Component):
    """Cosine similarity of sentence embeddings, and a learned similarity such as BLEURT.

    A cosine is 1 for the same meaning and about 0 for unrelated texts. A learned similarity scores a response against a
    human-preferred one, in the model's own unit. Both measure how similar responses are, not which is better. Compare them with
    length: longer texts share more topics, and models truncate their input (to 256 tokens for the default encoder).
    """

    model_config = ConfigDict(json_schema_extra={TEXT_MARK: True})

    encoder: str | None = Field(
        "all-minilm-l6-v2", min_length=1, description="sentence encoder: a short name, a folder or a hub id; null: none"
    )
    regressor: str | None = Field(
        None,
        min_length=1,
        description="sequence-classification model with one output that scores (reference, response), such as "
        "Elron/bleurt-base-512 (Tao & Li, figure 6): a folder or a hub id; null: none",
    )

    @model_validator(mode="before")
    @classmethod
    def _parse_encoder_name(cls, value: Any) -> Any:
        return {"encoder": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _require_a_model(self) -> Self:
        if self.encoder is None and self.regressor is None:
            raise ValueError("set an encoder or a regressor")
        return self

    def preflight(self, runtime: Runtime) -> None:
        """Downloads the models if necessary. Raises `ModelError` if that is not possible, or if the regressor is not one."""
        from trimtab.models.embeddings.pair_regressor import require_one_output  # noqa: PLC0415
        from trimtab.models.embeddings.registry import fetch_encoder, fetch_regressor  # noqa: PLC0415

        if self.encoder is not None:
            fetch_encoder(self.encoder, runtime.notify)
        if self.regressor is not None:
            require_one_output(fetch_regressor(self.regressor, runtime.notify))
