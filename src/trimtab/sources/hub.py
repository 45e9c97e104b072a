"""The `hub` source: preference pairs from a dataset on the Hugging Face Hub, or from a folder that `datasets` can load."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

from pydantic import Field

from trimtab.core.component import Component
from trimtab.data.instructions import InstructionDataset
from trimtab.data.parsing.column_settings import ColumnNames, ColumnSettings, LabelValues
from trimtab.data.parsing.dataset_builder import PromptTurns, build_dataset
from trimtab.data.parsing.instruction_rows import build_instructions
from trimtab.data.parsing.parquet_rows import BATCH_ROWS
from trimtab.data.parsing.prompt_rows import PromptDataset, build_prompts
from trimtab.data.parsing.row_columns import LayoutName
from trimtab.data.parsing.rows import SourceRow
from trimtab.errors import DataError
from trimtab.types import Dataset

PROBE_SECONDS = 5.0
_LOCAL_COPY_HINT = "A local copy works too: `kind: file` with `path:` reads jsonl, json, csv and parquet files"


class HubUnreachableError(DataError):
    """The Hub could not be reached, so it is unknown whether the dataset exists."""


@contextmanager
def use_local_copies_if_unreachable() -> Iterator[None]:
    """Within this context, a Hub that does not answer a request at once is not tried again: only local copies are read."""
    import datasets  # noqa: PLC0415 - takes seconds to import
    import huggingface_hub  # noqa: PLC0415

    modules: tuple[Any, ...] = (huggingface_hub.constants, datasets.config)
    before = [module.HF_HUB_OFFLINE for module in modules]
    is_offline = any(before) or not _is_reachable()
    try:
        for module in modules:
            module.HF_HUB_OFFLINE = is_offline
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value


def _is_reachable() -> bool:
    """Whether the Hub answers a request, through a proxy if the environment names one."""
    import huggingface_hub  # noqa: PLC0415

    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=PROBE_SECONDS)
    except Exception:  # noqa: BLE001 - which errors there are depends on the HTTP library behind the session
        return False
    return True


class Hub(Component):
    """A dataset by its Hub id, such as `Anthropic/hh-rlhf`. Code that comes with a dataset is never run.

    `subset` is one of the dataset's configurations or, if there is none of that name, one of its folders (`helpful-base`).
    `split` may combine several: `train+test`. `layout`, `turns`, `rating_column`, `columns` and `label_values` are those of
    `file`. `limit` samples that many pairs (>= 1) by `seed` and pair id.
    """

    VERSION: ClassVar[int] = 1

    id: str
    revision: str | None = None
    split: str = "train"
    subset: str | None = None
    layout: LayoutName = "auto"
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
    turns: PromptTurns = "all"
    rating_column: str | None = None
    columns: ColumnNames = Field(default_factory=dict)
    label_values: LabelValues = Field(default_factory=dict)

    def load(self) -> Dataset:
        """The pairs, and a failure for each unusable row.

        Raises `DataError` if the dataset cannot be loaded or no row is usable.
        """
        return build_dataset(
            self._iter_rows(),
            self._name,
            layout=self.layout,
            turns=self.turns,
            rating_column=self.rating_column,
            columns=ColumnSettings(names=self.columns, label_values=self.label_values),
            limit=self.limit,
            seed=self.seed,
        )

    def load_instructions(self) -> InstructionDataset:
        """The rows as prompts with one response each, for `training.sft_data`."""
        columns = ColumnSettings(names=self.columns)
        return build_instructions(self._iter_rows(), self._name, columns, limit=self.limit, seed=self.seed)

    def load_prompts(self) -> PromptDataset:
        """The distinct prompts of the rows, whose responses are ignored."""
        columns = ColumnSettings(names=self.columns)
        return build_prompts(self._iter_rows(), self._name, columns, limit=self.limit, seed=self.seed)

    @property
    def _name(self) -> str:
        return ":".join(part for part in (self.id, self.subset, self.split) if part)

    def _iter_rows(self) -> Iterator[SourceRow]:
        # as stored: other formats decode images and audio, which no pair has, and fail if they are damaged
        tables = self._load_rows().with_format("arrow").iter(batch_size=BATCH_ROWS)
        rows = (cells for table in tables for cells in table.to_pylist())
        for number, cells in enumerate(rows, start=1):
            yield SourceRow(location=f"{self._name}:row {number}", cells=cells)

    def content_hash(self) -> str:
        """Id, revision, subset, split, and the fingerprint that `datasets` computes for the files.

        Reads only metadata. Raises `HubUnreachableError` if the Hub cannot be reached and there is no cached copy.
        """
        builder = self._call_datasets("load_dataset_builder")
        fingerprint = builder._get_dataset_fingerprint(self.split)  # the fingerprint of `load_dataset`'s result
        return json.dumps([self.id, self.revision, self.subset, self.split, fingerprint])

    def _load_rows(self) -> Any:
        return self._call_datasets("load_dataset", split=self.split)

    def _call_datasets(self, function: Literal["load_dataset", "load_dataset_builder"], **options: str) -> Any:
        import datasets  # noqa: PLC0415 - takes seconds to import

        try:
            location: dict[str, str] = {}
            if self.subset is not None:
                is_config = self.subset in datasets.get_dataset_config_names(self.id, revision=self.revision)
                location = {"name" if is_config else "data_dir": self.subset}
            return getattr(datasets, function)(self.id, revision=self.revision, **location, **options)
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            raise self._loading_error(error) from error

    def _loading_error(self, error: Exception) -> DataError:
        settings = {"id": self.id, "subset": self.subset, "split": self.split, "revision": self.revision}
        tried = ", ".join(f"{name}: {value}" for name, value in settings.items() if value is not None)
        error_type = HubUnreachableError if isinstance(error, ConnectionError) else DataError
        return error_type(f"the dataset cannot be loaded: {_describe_cause(error)} (tried {tried}). {_LOCAL_COPY_HINT}")


def _describe_cause(error: Exception) -> str:
    """Describes the error without its own message, which may quote rows."""
    name = type(error).__name__
    if isinstance(error, ConnectionError):
        return f"the Hub could not be reached ({name}); this machine may be offline"
    if isinstance(error, FileNotFoundError):
        return f"no such dataset, revision or folder, or it requires a login ({name})"
    if "scripts are no longer supported" in str(error):
        return (
            "this revision has a script instead of data, and scripts are never run; try `revision: refs/convert/parquet`, "
            "where the Hub keeps many of these datasets as files"
        )
    if isinstance(error, ValueError):
        return f"the dataset has no such subset or split ({name})"
    return f"its files cannot be read as one table ({name})"
