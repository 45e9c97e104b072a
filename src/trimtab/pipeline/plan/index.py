"""Builds the run index from a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from trimtab.config.study import Study
from trimtab.pipeline.plan.model import ROW_STAGES, Plan, RoundStages, RowStages
from trimtab.pipeline.run_index import RoundIndex, RowIndex, RunIndex
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stored_study import hash_study
from trimtab.storage.artifacts import Store


def build_run_index(
    study: Study, plan: Plan, store: Store, created: Sequence[str], failed_stages: Mapping[str, str] | None = None
) -> RunIndex:
    """The index of all stages of the plan, finished or not. `created` are the folders that this run created."""
    folders = _folder_names(plan, store)

    def name_all(stages: Mapping[str, Stage]) -> dict[str, str]:
        return {key: folders[stage.fingerprint] for key, stage in stages.items()}

    return RunIndex(
        trimtab_version=version("trimtab"),
        study=study.name,
        study_sha256=hash_study(study),
        split=folders[plan.split.fingerprint],
        rows=tuple(_build_row_index(row, folders) for row in plan.rows),
        test_rewards=name_all(plan.test_rewards),
        unlabeled_rewards=name_all(plan.unlabeled_rewards),
        embeddings=name_all(plan.embeddings),
        learned_similarities=name_all(plan.learned_similarities),
        kl_to_reference=name_all(plan.kl_to_reference),
        ood_eval={
            row: {domain: name_all(parts) for domain, parts in domains.items()}
            for row, domains in plan.ood_eval.items()
        },
        rounds={row: _build_round_index(stages, folders) for row, stages in plan.rounds.items()},
        baseline=plan.baseline,
        human_verdicts=name_all(plan.human_verdicts),
        unlabeled_verdicts=name_all(plan.unlabeled_verdicts),
        stages=tuple(folders.values()),
        preference_models=_preference_model_folders(plan, folders),
        created=tuple(created),
        failed_stages=failed_stages or {},
    )


def _build_row_index(row: RowStages, folders: Mapping[str, str]) -> RowIndex:
    stages = {part: stage for part in ROW_STAGES if (stage := getattr(row, part)) is not None}
    return RowIndex(
        name=row.name,
        description=row.description,
        annotator=row.annotator,
        start=row.start,
        skipped=row.skipped,
        scores={scorer: folders[stage.fingerprint] for scorer, stage in row.scores.items()},
        verdicts={judge: folders[stage.fingerprint] for judge, stage in row.verdicts.items()},
        **{part: folders[stage.fingerprint] for part, stage in stages.items()},
    )


def _build_round_index(stages: RoundStages, folders: Mapping[str, str]) -> RoundIndex:
    return RoundIndex(
        arm=stages.arm,
        number=stages.number,
        pairs=folders[stages.pairs.fingerprint],
        labels=folders[stages.labels.fingerprint],
        anchor_labels=folders[stages.anchor_labels.fingerprint],
        human_labels=None if stages.human_labels is None else folders[stages.human_labels.fingerprint],
    )


def _folder_names(plan: Plan, store: Store) -> dict[str, str]:
    """The folder name of every stage by fingerprint: of the finished folder, else of the one that will be created."""
    folders: dict[str, str] = {}
    for stage in (plan.split, *plan.stages):
        if stage.fingerprint not in folders:
            finished = store.find_folder(stage.name, stage.recipe)
            folders[stage.fingerprint] = (finished or store.folder(stage.name, stage.recipe)).name
    return folders


def _preference_model_folders(plan: Plan, folders: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The folders of preference models by stage name. Arms can share a folder under different names."""
    by_name: dict[str, list[str]] = {}
    for stage in plan.preference_models:
        named = by_name.setdefault(stage.name, [])
        if folders[stage.fingerprint] not in named:
            named.append(folders[stage.fingerprint])
    return {name: tuple(named) for name, named in by_name.items()}
