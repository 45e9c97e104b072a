"""Models that are identified and can tokenize before their weights are in memory, which some work can do without."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trimtab.models.chat import ChatTokenizer
from trimtab.models.checkpoint import (
    LoadedModel,
    load_base_model,
    load_chat_tokenizer,
    load_trained_model,
    read_full_model_settings,
    read_max_positions,
    read_parent_model,
)
from trimtab.models.config import Model, resolve_weights
from trimtab.models.loading import resolve_dtype_name
from trimtab.models.packing.pair_batch import TokenizedPair, batch_by_length
from trimtab.models.scoring.logprob_cache import CachedBatch, LogprobCache
from trimtab.models.sources.download_cache import compute_sha256_cached
from trimtab.models.sources.local_dir import folder_hash

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LazyModel:
    """`identity` says all that its log-probabilities depend on besides the tokens: the bytes of its weights and of its
    adapters, their precision, and the kind of device. `most` is how many tokens of one text it reads, None where its settings
    do not say."""

    content_hash: str
    chat: ChatTokenizer
    max_positions: int | None
    load: Callable[[], LoadedModel]

    def fits(self, row: TokenizedPair) -> bool:
        """Whether the model was made for texts as long as the row's."""
        return self.max_positions is None or row.max_text_length <= self.max_positions


def build_lazy_base_model(model: Model, notify: Notify, device: str) -> LazyModel:
    """A model as its settings name it, fetched and converted if need be."""
    return LazyModel(
        content_hash=_with_device(device, _compute_base_hash(model, notify, device)),
        chat=load_chat_tokenizer(model, notify),
        max_positions=read_max_positions(model, notify),
        load=partial(load_base_model, model, notify, device),
    )


def build_lazy_trained_model(folder: Path, notify: Notify, device: str) -> LazyModel:
    """A model that a stage trained. What it is called by is its bytes and not its recipe, whose outcome differs between
    machines."""
    named = _find_root_model(folder)
    return LazyModel(
        content_hash=_with_device(device, _compute_trained_hash(folder, notify, device)),
        chat=load_chat_tokenizer(named, notify),
        max_positions=read_max_positions(named, notify),
        load=partial(load_trained_model, folder, notify, device),
    )


def read_logprobs_cached(
    model: LazyModel, rows: Sequence[TokenizedPair], token_budget: int, needed: Sequence[bool], notify: Notify
) -> Iterator[tuple[list[int], CachedBatch, bool]]:
    """Places, their sums, and whether they come from the table, in the passes and the order of `logprobs.read`.

    The model is opened for the first pass that the table does not have, and not at all where there is none.
    """
    from trimtab.models.scoring.logprobs import LogprobReader, build_logprob_reader, read_logprob_batch

    table = LogprobCache.for_model(model.content_hash)
    using: LogprobReader | None = None
    for places in batch_by_length([len(row) for row in rows], token_budget):
        if not any(needed[place] for place in places):
            continue
        group = [rows[place] for place in places]
        known = table.get(group)
        if known is not None:
            yield places, known, True
            continue
        using = using or build_logprob_reader(model.load(), notify)
        made = CachedBatch(using.layout, read_logprob_batch(using, group))
        table.add(group, made)
        yield places, made, False


def _with_device(device: str, weights: str) -> str:
    return f"{weights};device={device.partition(':')[0]}"


def _compute_base_hash(model: Model, notify: Notify, device: str) -> str:
    return f"{resolve_weights(model, notify).content_hash};loaded={resolve_dtype_name(model, device)}"


def _compute_trained_hash(folder: Path, notify: Notify, device: str) -> str:
    beneath = read_parent_model(folder)
    if beneath is None:
        return (
            f"{folder_hash(folder / 'model', trust_remote_code=False)};loaded={read_full_model_settings(folder).dtype}"
        )
    under = (
        _compute_trained_hash(beneath, notify, device)
        if isinstance(beneath, Path)
        else _compute_base_hash(beneath, notify, device)
    )
    return f"{under};adapter={_adapter_hash(folder / 'adapter')}"


def _adapter_hash(folder: Path) -> str:
    """Hex sha256 over the adapter's weights and its settings, but for the place where its base lay."""
    told = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    settings = {name: value for name, value in told.items() if name != "base_model_name_or_path"}
    weights = [[path.name, compute_sha256_cached(path)] for path in sorted(folder.glob("*.safetensors"))]
    return hashlib.sha256(json.dumps([settings, weights], sort_keys=True).encode()).hexdigest()


def _find_root_model(folder: Path) -> Model:
    """The whole model at the bottom, whose tokenizer all that were trained from it have."""
    beneath = read_parent_model(folder)
    if isinstance(beneath, Path):
        return _find_root_model(beneath)
    return read_full_model_settings(folder) if beneath is None else beneath
