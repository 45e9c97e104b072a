"""The runs of a study file: one for a study, or one for each of its variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab.config.study import Study

# The folder of the stages that the variants of a study share. Patterns such as `runs/betas/*` leave it out.
VARIANT_STORE = ".store"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRun:
    """A study, the folder of its run, and the folder of the stages that it shares with other runs, if any."""

    study: Study
    folder: Path
    store: Path | None


def list_study_runs(
    path: Path,
    overrides: Sequence[str] = (),
    variants: Sequence[str] = (),
    folder: Path | None = None,
    store: Path | None = None,
) -> list[StudyRun]:
    """The runs of a study file, in its order; of only these `variants` if there are any.

    `folder` is `runs/` and the study's name by default. Raises `StudyError` for a variant that the file does not have.
    """
    studies = Study.load_variants(path, overrides, variants)
    names = [name for name in studies if name]
    if not names:
        return [StudyRun(study=studies[""], folder=folder or Path("runs") / studies[""].name, store=store)]
    root = folder or Path("runs") / studies[names[0]].name.removesuffix(f"-{names[0]}")
    shared = root / VARIANT_STORE if store is None else store
    return [StudyRun(study=study, folder=root / name, store=shared) for name, study in studies.items()]
