"""The index of a run (`run.json`): which stage folder holds each result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trimtab.errors import StoreError
from trimtab.storage.atomic import atomic_write_text
from trimtab.storage.readers import read_json_document
from trimtab.storage.recipe import hash_json

RUN_INDEX_FILE = "run.json"
_REMEDY = "run the study again, which writes the file"

# Names in an index become paths, and the index can be someone else's.
StageFolder = Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*$")]
RowName = StageFolder


class RowIndex(BaseModel):
    """The stage folders of one row of the results: an arm, or one of `base`, `sft`, `sft.ARM` and `weak_model`.

    A field is None if the row has no such stage. `scores` is keyed by scorer, `verdicts` by judge. `start` is the row of the
    model that DPO started from, or empty. `skipped` is the reason why the row was left out, or empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: RowName
    description: str = ""
    annotator: str = ""
    start: str = ""
    skipped: str = ""
    labels: StageFolder | None = None
    training: StageFolder | None = None
    policy_logprobs: StageFolder | None = None
    reference_logprobs: StageFolder | None = None
    completions: StageFolder | None = None
    predictions: StageFolder | None = None
    scores: Mapping[str, StageFolder] = {}
    verdicts: Mapping[str, StageFolder] = {}


class RoundIndex(BaseModel):
    """The stage folders of one round of the arm `arm`: its split, the labels of its unlabeled pairs, and what is measured.

    `anchor_labels` are the annotator's labels of the test pairs, `human_labels` those of the round's pairs, if there are any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arm: RowName
    number: int
    pairs: StageFolder
    labels: StageFolder
    anchor_labels: StageFolder
    human_labels: StageFolder | None = None


class RunIndex(BaseModel):
    """The stage folders of a run, by what they hold. A folder that is listed here may be unfinished.

    `test_rewards` and `unlabeled_rewards` are keyed by scorer; `embeddings`, `learned_similarities` and `kl_to_reference` by
    row; `ood_eval` by row, domain and part; `rounds` by the row of the round's student; `human_verdicts` and
    `unlabeled_verdicts` by judge. `preference_models` maps each stage name to its folders. `stages` lists every folder in
    execution order; `created` lists those that the last run created. `study_sha256` is the hash of `study.yaml`.
    `failed_stages` are the errors of the last run that did not stop it, by stage.
    `label_files` are the hashes of the files in `labels/`, by arm; there are none until the run is finished.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trimtab_version: str
    study: str
    study_sha256: str = ""
    split: StageFolder
    rows: tuple[RowIndex, ...]
    test_rewards: Mapping[str, StageFolder] = {}
    unlabeled_rewards: Mapping[str, StageFolder] = {}
    embeddings: Mapping[str, StageFolder] = {}
    learned_similarities: Mapping[str, StageFolder] = {}
    kl_to_reference: Mapping[str, StageFolder] = {}
    ood_eval: Mapping[str, Mapping[str, Mapping[str, StageFolder]]] = {}
    rounds: Mapping[RowName, RoundIndex] = {}
    baseline: str = ""
    human_verdicts: Mapping[str, StageFolder] = {}
    unlabeled_verdicts: Mapping[str, StageFolder] = {}
    stages: tuple[StageFolder, ...] = ()
    preference_models: Mapping[str, tuple[StageFolder, ...]] = {}
    created: tuple[StageFolder, ...] = ()
    failed_stages: Mapping[str, str] = {}
    label_files: Mapping[RowName, str] = {}

    def find_row(self, name: str) -> RowIndex | None:
        return next((row for row in self.rows if row.name == name), None)

    def find_labels(self, row: str) -> tuple[str | None, str]:
        """The folders of the labels that a row's student was aligned on (None without labels), and of their split."""
        later = self.rounds.get(row)
        if later is not None:
            return later.labels, later.pairs
        found = self.find_row(row)
        return None if found is None else found.labels, self.split

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
        document = self.model_dump(mode="json")
        text = json.dumps({**document, "checksum": hash_json(document)}, indent=1, ensure_ascii=False)
        atomic_write_text(folder / RUN_INDEX_FILE, text)


def load_run_index(folder: Path) -> RunIndex:
    """The index of a run. Raises `StoreError` if there is none, or if it cannot be read."""
    path = folder / RUN_INDEX_FILE
    if not path.is_file():
        raise StoreError(
            f"{folder} holds no finished run (no {RUN_INDEX_FILE}); run the study first: trimtab run STUDY.yaml --out {folder}"
        )
    document = read_json_document(path, _REMEDY)
    checksum = document.pop("checksum", None) if isinstance(document, dict) else None
    if checksum is not None and checksum != hash_json(document):
        raise StoreError(f"{path} is damaged (its checksum does not match); {_REMEDY}")
    try:
        return RunIndex.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise StoreError(
            f"{path} cannot be read ({place}: {first['msg']}); if an earlier version wrote it, run the study again"
        ) from error
