"""Models that are identified and can tokenize before their weights are in memory, which some work can do without."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trimtab.lm.cache import remembered_sha256
from trimtab.lm.chat import Chat
from trimtab.lm.folder import folder_hash
from trimtab.lm.load import dtype_name
from trimtab.lm.models import Loaded, base_beneath, max_positions, open_base, open_tokenizer, open_trained, whole_model
from trimtab.lm.rows import Row, batches
from trimtab.lm.table import Pass, Table
from trimtab.lm.weights import Model, resolve

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Unopened:
    """`identity` says all that its log-probabilities depend on besides the tokens: the bytes of its weights and of its
    adapters, their precision, and the kind of device. `most` is how many tokens of one text it reads, None where its settings
    do not say."""

    identity: str
    chat: Chat
    most: int | None
    open: Callable[[], Loaded]

    def reads(self, row: Row) -> bool:
        """Whether the model was made for texts as long as the row's."""
        return self.most is None or row.longest_text <= self.most


def unopened_base(model: Model, notify: Notify, device: str) -> Unopened:
    """A model as its settings name it, fetched and converted if need be."""
    return Unopened(
        identity=_on(device, _base(model, notify, device)),
        chat=open_tokenizer(model, notify),
        most=max_positions(model, notify),
        open=partial(open_base, model, notify, device),
    )


def unopened_trained(folder: Path, notify: Notify, device: str) -> Unopened:
    """A model that a stage trained. What it is called by is its bytes and not its recipe, whose outcome differs between
    machines."""
    named = _root(folder)
    return Unopened(
        identity=_on(device, _trained(folder, notify, device)),
        chat=open_tokenizer(named, notify),
        most=max_positions(named, notify),
        open=partial(open_trained, folder, notify, device),
    )


def read_or_recall(
    model: Unopened, rows: Sequence[Row], token_budget: int, wanted: Sequence[bool], notify: Notify
) -> Iterator[tuple[list[int], Pass, bool]]:
    """Places, their sums, and whether they come from the table, in the passes and the order of `logprobs.read`.

    The model is opened for the first pass that the table does not have, and not at all where there is none.
    """
    from trimtab.lm.logprobs import Reader, read_pass, reader

    table = Table.of(model.identity)
    using: Reader | None = None
    for places in batches([len(row) for row in rows], token_budget):
        if not any(wanted[place] for place in places):
            continue
        group = [rows[place] for place in places]
        known = table.find(group)
        if known is not None:
            yield places, known, True
            continue
        using = using or reader(model.open(), notify)
        made = Pass(using.form, read_pass(using, group))
        table.add(group, made)
        yield places, made, False


def _on(device: str, weights: str) -> str:
    return f"{weights};device={device.partition(':')[0]}"


def _base(model: Model, notify: Notify, device: str) -> str:
    return f"{resolve(model, notify).identity};loaded={dtype_name(model, device)}"


def _trained(folder: Path, notify: Notify, device: str) -> str:
    beneath = base_beneath(folder)
    if beneath is None:
        return f"{folder_hash(folder / 'model', code=False)};loaded={whole_model(folder).dtype}"
    under = _trained(beneath, notify, device) if isinstance(beneath, Path) else _base(beneath, notify, device)
    return f"{under};adapter={_adapter_hash(folder / 'adapter')}"


def _adapter_hash(folder: Path) -> str:
    """Hex sha256 over the adapter's weights and its settings, but for the place where its base lay."""
    told = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    settings = {name: value for name, value in told.items() if name != "base_model_name_or_path"}
    weights = [[path.name, remembered_sha256(path)] for path in sorted(folder.glob("*.safetensors"))]
    return hashlib.sha256(json.dumps([settings, weights], sort_keys=True).encode()).hexdigest()


def _root(folder: Path) -> Model:
    """The whole model at the bottom, whose tokenizer all that were trained from it have."""
    beneath = base_beneath(folder)
    if isinstance(beneath, Path):
        return _root(beneath)
    return whole_model(folder) if beneath is None else beneath
