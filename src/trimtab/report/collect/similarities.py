"""Similarity of responses to the human-preferred responses and between rows, and how rows' similarities correlate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trimtab import stats
from trimtab.config.names import PREFERRED_RESPONSES, is_sft_row
from trimtab.data.subsample import subsample_ids
from trimtab.pipeline.stages.embed import load_embeddings
from trimtab.pipeline.stages.learned_similarity import load_learned_similarities
from trimtab.report.run_reader import Run
from trimtab.types import Metric

SimilarityMeasure = Literal["cosine", "learned_similarity"]
EmbeddingsByPrompt = Mapping[str, NDArray[np.float32]]
# A row's similarity to the preferred responses, by prompt id.
SimilaritiesByPrompt = Mapping[str, float]

# The rows whose similarities those of every arm are correlated with, and the arm whose points are plotted.
CEILING_ROW, WEAK_ROW, PLOTTED_ARM = "human", "weak_model", "weak"
# More points would make the page large and the figure no clearer.
MAX_SCATTER_POINTS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityInfo:
    """The mean similarity of two rows' responses to the same prompts.

    `compared_to` is another row or `PREFERRED_RESPONSES`, averaged over a prompt's preferred responses. `num_truncated` counts
    the pairs that were longer than the regressor's maximum.
    """

    arm: str
    compared_to: str
    value: Metric
    measure: SimilarityMeasure = "cosine"
    num_truncated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityCorrelation:
    """How an arm's similarities to the preferred responses correlate, over prompts, with those of two other rows.

    `with_human` and `with_weak_model` are Pearson's, and `difference` is the first minus the second (Tao & Li 2025, figure 6).
    `points` are a sample of prompts, each with the similarities of the arm, of `human` and of `weak_model`.
    """

    arm: str
    measure: SimilarityMeasure
    with_human: Metric
    with_weak_model: Metric
    difference: Metric
    points: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityResults:
    """The similarities of a run's responses, and their correlations."""

    similarities: tuple[SimilarityInfo, ...] = ()
    correlations: tuple[SimilarityCorrelation, ...] = ()


def collect_similarities(run: Run) -> SimilarityResults:
    """Each row against the preferred responses, then each pair of rows, and correlations, for every finished measure."""
    stages = {name: stage for name, stage in run.index.embeddings.items() if run.is_finished(stage)}
    embeddings = {name: load_embeddings(run.artifact(stage)) for name, stage in stages.items()}
    preferred = embeddings.pop(PREFERRED_RESPONSES, {})
    learned_artifacts = {
        name: run.artifact(stage) for name, stage in run.index.learned_similarities.items() if run.is_finished(stage)
    }
    learned = {name: load_learned_similarities(artifact) for name, artifact in learned_artifacts.items()}
    to_preferred = [
        SimilarityInfo(arm=name, compared_to=PREFERRED_RESPONSES, value=compute_mean_cosine(rows, preferred))
        for name, rows in embeddings.items()
    ]
    between_rows = [
        SimilarityInfo(arm=a, compared_to=b, value=compute_mean_cosine(embeddings[a], embeddings[b]))
        for a, b in combinations(embeddings, 2)
    ]
    learned_to_preferred = [
        SimilarityInfo(
            arm=name,
            compared_to=PREFERRED_RESPONSES,
            value=stats.mean(list(values.values())),
            measure="learned_similarity",
            num_truncated=learned_artifacts[name].record["facts"]["truncated"],
        )
        for name, values in learned.items()
    ]
    cosines = {name: compute_cosines(rows, preferred) for name, rows in embeddings.items()}
    return SimilarityResults(
        similarities=(*to_preferred, *between_rows, *learned_to_preferred),
        correlations=(
            *correlate_similarities("cosine", cosines),
            *correlate_similarities("learned_similarity", learned),
        ),
    )


def compute_cosines(a: EmbeddingsByPrompt, b: EmbeddingsByPrompt) -> dict[str, float]:
    """The mean cosine of the texts of each prompt that both have, for unit-length embeddings."""
    return {prompt_id: float((a[prompt_id] @ b[prompt_id].T).mean()) for prompt_id in a if prompt_id in b}


def compute_mean_cosine(a: EmbeddingsByPrompt, b: EmbeddingsByPrompt) -> Metric:
    """The mean cosine over shared prompts; `n_failed` counts prompts that only one has."""
    return stats.mean(list(compute_cosines(a, b).values()), n_failed=len(a.keys() ^ b.keys()))


def correlate_similarities(
    measure: SimilarityMeasure, similarities: Mapping[str, SimilaritiesByPrompt]
) -> list[SimilarityCorrelation]:
    """The correlations of every arm, over the prompts that it shares with `human` and with `weak_model`.

    Rows that labels were not used for, which are the base model and SFT, are left out. Empty without `human` or `weak_model`.
    """
    human, weak_model = (similarities.get(name) for name in (CEILING_ROW, WEAK_ROW))
    if not human or not weak_model:
        return []
    arms = [name for name in similarities if name not in ("base", CEILING_ROW, WEAK_ROW) and not is_sft_row(name)]
    return [_correlate_arm(measure, arm, similarities[arm], human, weak_model) for arm in arms]


def _correlate_arm(
    measure: SimilarityMeasure,
    arm: str,
    own: SimilaritiesByPrompt,
    human: SimilaritiesByPrompt,
    weak_model: SimilaritiesByPrompt,
) -> SimilarityCorrelation:
    shared = [key for key in own if key in human and key in weak_model]
    columns = [[values[key] for key in shared] for values in (own, human, weak_model)]
    sampled = subsample_ids(shared, MAX_SCATTER_POINTS, shuffle=True) if arm == PLOTTED_ARM else []
    return SimilarityCorrelation(
        arm=arm,
        measure=measure,
        with_human=stats.pearson(columns[0], columns[1]),
        with_weak_model=stats.pearson(columns[0], columns[2]),
        difference=stats.pearson_difference(*columns),
        points=tuple((round(own[key], 4), round(human[key], 4), round(weak_model[key], 4)) for key in sampled),
    )
