"""Preference pairs from a dataset on the Hugging Face hub, or from a folder that `datasets` understands."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from pydantic import Field

from trimtab.components import Component
from trimtab.data._collect import collect
from trimtab.data._rows import Row
from trimtab.errors import DataError
from trimtab.types import Dataset

_INSTEAD = "A copy of its files works too: `kind: file` with `path:` takes jsonl, json, csv or parquet"


class Hub(Component):
    """A dataset by its hub id, such as `Anthropic/hh-rlhf`. No code that comes with a dataset is ever run.

    `subset` is the name of one of the dataset's configurations or, where it has none of that name, one of its folders
    (`helpful-base`). `limit` takes a sample of that many pairs (>= 1), drawn by `seed` and pair id.
    """

    VERSION: ClassVar[int] = 1

    id: str
    revision: str | None = None
    split: str = "train"
    subset: str | None = None
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0

    def load(self) -> Dataset:
        """The pairs, with a failure for each row that gave none.

        Raises `DataError` where the dataset cannot be had or no row can be used.
        """
        name = ":".join(part for part in (self.id, self.subset, self.split) if part)
        table = enumerate(self._fetch(), start=1)
        rows = (Row(where=f"{name}:row {number}", cells=cells) for number, cells in table)
        return collect(rows, name, limit=self.limit, seed=self.seed)

    def identity(self) -> str:
        """Id, revision, subset, split, and the fingerprint that `datasets` gives to the files behind them."""
        fingerprint = self._fetch()._fingerprint
        return json.dumps([self.id, self.revision, self.subset, self.split, fingerprint])

    def _fetch(self) -> Any:
        import datasets  # noqa: PLC0415 - takes seconds to import

        try:
            where: dict[str, str] = {}
            if self.subset is not None:
                named = self.subset in datasets.get_dataset_config_names(self.id, revision=self.revision)
                where = {"name" if named else "data_dir": self.subset}
            return datasets.load_dataset(self.id, split=self.split, revision=self.revision, **where)
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> DataError:
        settings = {"id": self.id, "subset": self.subset, "split": self.split, "revision": self.revision}
        tried = ", ".join(f"{name}: {value}" for name, value in settings.items() if value is not None)
        return DataError(f"the dataset cannot be loaded: {_cause(error)} (tried {tried}). {_INSTEAD}")


def _cause(error: Exception) -> str:
    """What went wrong, in our words: the error of a reader may quote the rows that it could not read."""
    name = type(error).__name__
    if isinstance(error, ConnectionError):
        return f"the hub was not reached ({name}), this machine may be offline"
    if isinstance(error, FileNotFoundError):
        return f"there is no such dataset, revision or folder, or it needs a login ({name})"
    if isinstance(error, ValueError):
        return f"it has no such subset or split ({name})"
    return f"its files cannot be read as one table ({name})"
