"""Semantic similarity of responses: to the human-preferred responses and to those of other policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from trimtab.core.component import Component
from trimtab.core.runtime import Runtime

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray


class ResponseSimilarity(Component):
    """Cosine similarity of sentence embeddings: 1 for the same meaning, about 0 for unrelated texts.

    It measures how similar responses are, not which is better. Compare it with length: longer texts share more topics, and
    an encoder truncates its input (to 256 tokens for the default encoder).
    """

    encoder: str = Field("all-minilm-l6-v2", min_length=1, description="a short name, a folder or a hub id")

    @model_validator(mode="before")
    @classmethod
    def _parse_encoder_name(cls, value: Any) -> Any:
        return {"encoder": value} if isinstance(value, str) else value

    def content_hash(self) -> str:
        from trimtab.models.embeddings.registry import compute_encoder_hash  # noqa: PLC0415

        return compute_encoder_hash(self.encoder) or f"not-downloaded:{self.encoder}"

    def preflight(self, runtime: Runtime) -> None:
        """Downloads the encoder if necessary. Raises `ModelError` if that is not possible."""
        from trimtab.models.embeddings.registry import fetch_encoder  # noqa: PLC0415

        fetch_encoder(self.encoder, runtime.notify)

    def embed(self, texts: Sequence[str], runtime: Runtime) -> NDArray[float32]:
        """Embeddings with unit norm, shape (texts, d)."""
        from trimtab.models.embeddings.encoder import load_encoder  # noqa: PLC0415
        from trimtab.models.embeddings.registry import fetch_encoder  # noqa: PLC0415

        encoder = load_encoder(fetch_encoder(self.encoder, runtime.notify), runtime.device)
        embeddings: NDArray[float32] = encoder(texts, runtime.token_budget).numpy()
        return embeddings
