"""How alike answers are in meaning: to what people preferred, and to other policies' answers."""

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
    """The cosine of two texts' vectors by a sentence encoder: 1 is the same meaning, about 0 is none in common.

    It tells how far answers are from one another and not which is the better. Read it beside length: a longer text has more
    topics to share, and an encoder reads a text's beginning alone (256 tokens for the default).
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
        """Raises `ModelError` where the encoder is not at hand and cannot be fetched."""
        from trimtab.models.embeddings.registry import fetch_encoder  # noqa: PLC0415

        fetch_encoder(self.encoder, runtime.notify)

    def embed(self, texts: Sequence[str], runtime: Runtime) -> NDArray[float32]:
        """Vectors of length 1, shape (texts, d)."""
        from trimtab.models.embeddings.encoder import load_encoder  # noqa: PLC0415
        from trimtab.models.embeddings.registry import fetch_encoder  # noqa: PLC0415

        encoder = load_encoder(fetch_encoder(self.encoder, runtime.notify), runtime.device)
        found: NDArray[float32] = encoder(texts, runtime.token_budget).numpy()
        return found
