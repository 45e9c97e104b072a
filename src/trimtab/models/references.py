"""References to models: one way to name, hash and load a model, published or trained by a study. Importing loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.models.config import Model, compute_model_hash, resolve_weights
from trimtab.models.model_card import read_full_model_settings, read_parent
from trimtab.models.sources.adapter_dir import adapter_hash
from trimtab.models.sources.gguf import Notify
from trimtab.models.sources.local_dir import folder_hash
from trimtab.storage.artifacts import open_artifact

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel
    from trimtab.models.lazy_model import LazyModel

# The start of the content hash of a model that has not been downloaded.
NOT_DOWNLOADED = "not-downloaded:"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A published model by its settings, or a trained model by its folder (full weights, or an adapter on another model)."""

    source: Model | Path

    @property
    def content_hash(self) -> str:
        """The hash of a published model's weights, or the fingerprint of the stage that trained the model.

        A model that has not been downloaded has a placeholder that starts with NOT_DOWNLOADED. Raises `ModelError` for a name
        that no source can provide, and `StoreError` for an incomplete folder.
        """
        if isinstance(self.source, Path):
            return str(open_artifact(self.source).record["fingerprint"])
        return compute_model_hash(self.source) or f"{NOT_DOWNLOADED}{self.source.base}@{self.source.revision}"

    @property
    def name(self) -> str:
        """For messages: as in the settings, or the folder of the stage that trained the model."""
        return self.source.name if isinstance(self.source, Path) else self.source.base

    @property
    def parent(self) -> ModelRef | None:
        """The model that this adapter applies to. None if this model has full weights."""
        parent = read_parent(self.source) if isinstance(self.source, Path) else None
        return None if parent is None else ModelRef(parent)

    @property
    def adapter_folder(self) -> Path | None:
        """The folder of the adapter's weights. None if this model has full weights."""
        return self.source / "adapter" if isinstance(self.source, Path) and self.parent is not None else None

    @property
    def root_settings(self) -> Model:
        """Settings of the full model below all adapters. All models trained from it share its tokenizer."""
        if isinstance(self.source, Model):
            return self.source
        parent = self.parent
        return read_full_model_settings(self.source) if parent is None else parent.root_settings

    def load(self, notify: Notify, device: str, *, merge: bool = False, num_shards: int = 1) -> LoadedModel:
        """Load the model and its tokenizer, downloading and converting the weights if necessary.

        `merge` adds an adapter to the weights of its base, as in an exported model. Merged models generate faster. The sum is
        rounded to the weights' precision, so log-probabilities are computed without `merge`. A quantized base keeps its
        adapter, since the sum would need the memory of the full weights. With `num_shards` above 1, the
        weights of a full model are frozen, and divided among as many processes (`models.sharding`).
        """
        from trimtab.models.checkpoint import load_checkpoint

        self._require_intact_files()
        return load_checkpoint(self.source, notify, device, merge=merge, num_shards=num_shards)

    def _require_intact_files(self) -> None:
        """Raises `StoreError` if the folder of a trained model, or of one below its adapter, is not as recorded."""
        if isinstance(self.source, Path):
            open_artifact(self.source)
            if self.parent is not None:
                self.parent._require_intact_files()

    def lazy(self, notify: Notify, device: str) -> LazyModel:
        """The model with its tokenizer. Its weights are loaded on demand, though they may be downloaded now.

        Its content hash covers the bytes of trained weights, not the recipe, whose results differ between machines.
        """
        from trimtab.models.checkpoint import load_chat_tokenizer, read_max_positions
        from trimtab.models.lazy_model import LazyModel

        return LazyModel(
            content_hash=f"{_hash_bytes(self, notify, device)};device={device.partition(':')[0]}",
            chat=load_chat_tokenizer(self.root_settings, notify),
            max_positions=read_max_positions(self.root_settings, notify),
            load=partial(self.load, notify, device),
        )


def _hash_bytes(model: ModelRef, notify: Notify, device: str) -> str:
    from trimtab.models.loading import resolve_dtype_name

    source = model.source
    if isinstance(source, Model):
        return f"{resolve_weights(source, notify).content_hash};loaded={resolve_dtype_name(source, device)}"
    if model.parent is None:
        weights = folder_hash(source / "model", trust_remote_code=False)
        settings = read_full_model_settings(source)
        return f"{weights};loaded={settings.dtype}{';quantized=nf4' if settings.load_in_4bit else ''}"
    return f"{_hash_bytes(model.parent, notify, device)};adapter={adapter_hash(source / 'adapter')}"
