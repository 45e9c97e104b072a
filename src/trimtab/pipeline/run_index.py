"""The index of a run (`run.json`): which stage folder holds each result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from trimtab.errors import StoreError
from trimtab.storage.atomic import atomic_write_text

RUN_INDEX_FILE = "run.json"


class RowIndex(BaseModel):
    """The stage folders of one row of the results: an arm, or one of `base`, `sft` and `weak_model`.

    A field is None if the row has no such stage. `scores` is keyed by scorer, `verdicts` by judge. `skipped` is the reason
    why the row was left out, or empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    annotator: str = ""
    skipped: str = ""
    labels: str | None = None
    training: str | None = None
    policy_logprobs: str | None = None
    reference_logprobs: str | None = None
    completions: str | None = None
    predictions: str | None = None
    scores: Mapping[str, str] = {}
    verdicts: Mapping[str, str] = {}


class RunIndex(BaseModel):
    """The stage folders of a run, by what they hold. A folder that is listed here may be unfinished.

    `test_rewards` and `unlabeled_rewards` are keyed by scorer, `embeddings` and `kl_to_reference` by row, `ood_eval` by row,
    domain and part, `human_verdicts` by judge. `preference_models` maps each stage name to its folders. `stages` lists every
    folder in execution order; `created` lists those that the last run created.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trimtab_version: str
    study: str
    split: str
    rows: tuple[RowIndex, ...]
    test_rewards: Mapping[str, str] = {}
    unlabeled_rewards: Mapping[str, str] = {}
    embeddings: Mapping[str, str] = {}
    kl_to_reference: Mapping[str, str] = {}
    ood_eval: Mapping[str, Mapping[str, Mapping[str, str]]] = {}
    baseline: str = ""
    human_verdicts: Mapping[str, str] = {}
    stages: tuple[str, ...] = ()
    preference_models: Mapping[str, tuple[str, ...]] = {}
    created: tuple[str, ...] = ()

    def find_row(self, name: str) -> RowIndex | None:
        return next((row for row in self.rows if row.name == name), None)

    def stages_named(self, name: str) -> list[str]:
        """The folders of the stages with this name, which is the folder's name without the fingerprint."""
        return [folder for folder in self.stages if folder.rpartition("-")[0] == name]

    def stage_with_fingerprint(self, fingerprint: str) -> str:
        """The folder of the stage with this fingerprint. Raises `StoreError` if the run has none."""
        folder = next((folder for folder in self.stages if folder.endswith(f"-{fingerprint}")), None)
        if folder is None:
            raise StoreError(f"{RUN_INDEX_FILE} lists no stage with the fingerprint {fingerprint}; run the study again")
        return folder

    def save(self, folder: Path) -> None:
        atomic_write_text(folder / RUN_INDEX_FILE, self.model_dump_json(indent=1))


def load_run_index(folder: Path) -> RunIndex:
    """The index of a run. Raises `StoreError` if there is none, or if it cannot be read."""
    path = folder / RUN_INDEX_FILE
    if not path.is_file():
        raise StoreError(
            f"{folder} holds no finished run (no {RUN_INDEX_FILE}); run the study first: trimtab run STUDY.yaml --out {folder}"
        )
    try:
        return RunIndex.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise StoreError(
            f"{path} cannot be read ({place}: {first['msg']}); if an earlier version wrote it, run the study again"
        ) from error
