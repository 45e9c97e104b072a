"""Preference pairs from a dataset on the Hugging Face hub, or from a folder that `datasets` understands."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

from pydantic import Field

from trimtab.core.component import Component
from trimtab.data.parsing.dataset_builder import PromptTurns, build_dataset
from trimtab.data.parsing.files import SourceRow
from trimtab.data.parsing.layouts import LayoutName
from trimtab.errors import DataError
from trimtab.types import Dataset

_LOCAL_COPY_HINT = "A copy of its files works too: `kind: file` with `path:` takes jsonl, json, csv or parquet"


class HubUnreachableError(DataError):
    """The hub was not reached: what lies there is not wrong, it is not known."""


class Hub(Component):
    """A dataset by its hub id, such as `Anthropic/hh-rlhf`. No code that comes with a dataset is ever run.

    `subset` is the name of one of the dataset's configurations or, where it has none of that name, one of its folders
    (`helpful-base`). `split` may join several, `train+test`. `layout`, `turns` and `rating` are those of `file`. `limit`
    takes a sample of that many pairs (>= 1), drawn by `seed` and pair id.
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

    def load(self) -> Dataset:
        """The pairs, with a failure for each row that gave none.

        Raises `DataError` where the dataset cannot be had or no row can be used.
        """
        name = ":".join(part for part in (self.id, self.subset, self.split) if part)
        table = enumerate(self._load_rows(), start=1)
        rows = (SourceRow(where=f"{name}:row {number}", cells=cells) for number, cells in table)
        return build_dataset(
            rows,
            name,
            layout=self.layout,
            turns=self.turns,
            rating_column=self.rating_column,
            limit=self.limit,
            seed=self.seed,
        )

    def content_hash(self) -> str:
        """Id, revision, subset, split, and the fingerprint that `datasets` gives to the files behind them.

        Reads what the hub says of the files, and none of the files. Raises `UnreachableError` where the hub is out of reach
        and the dataset is not in its local copy.
        """
        builder = self._call_datasets("load_dataset_builder")
        fingerprint = builder._get_dataset_fingerprint(self.split)  # what `load_dataset` gives to the table
        return json.dumps([self.id, self.revision, self.subset, self.split, fingerprint])

    def _load_rows(self) -> Any:
        return self._call_datasets("load_dataset", split=self.split)

    def _call_datasets(self, how: Literal["load_dataset", "load_dataset_builder"], **more: str) -> Any:
        import datasets  # noqa: PLC0415 - takes seconds to import

        try:
            where: dict[str, str] = {}
            if self.subset is not None:
                named = self.subset in datasets.get_dataset_config_names(self.id, revision=self.revision)
                where = {"name" if named else "data_dir": self.subset}
            return getattr(datasets, how)(self.id, revision=self.revision, **where, **more)
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            raise self._loading_error(error) from error

    def _loading_error(self, error: Exception) -> DataError:
        settings = {"id": self.id, "subset": self.subset, "split": self.split, "revision": self.revision}
        tried = ", ".join(f"{name}: {value}" for name, value in settings.items() if value is not None)
        kind = HubUnreachableError if isinstance(error, ConnectionError) else DataError
        return kind(f"the dataset cannot be loaded: {_describe_cause(error)} (tried {tried}). {_LOCAL_COPY_HINT}")


def _describe_cause(error: Exception) -> str:
    """What went wrong, in our words: the error of a reader may quote the rows that it could not read."""
    name = type(error).__name__
    if isinstance(error, ConnectionError):
        return f"the hub was not reached ({name}), this machine may be offline"
    if isinstance(error, FileNotFoundError):
        return f"there is no such dataset, revision or folder, or it needs a login ({name})"
    if isinstance(error, ValueError):
        return f"it has no such subset or split ({name})"
    return f"its files cannot be read as one table ({name})"
