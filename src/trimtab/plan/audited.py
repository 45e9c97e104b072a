"""The stages of an audit: labels of pairs that people labeled, by an annotator that did not learn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.plan.labels import Labels
from trimtab.plan.parts import ordered
from trimtab.stages.held_out import fold_stage, part_stage
from trimtab.stages.stage import Stage
from trimtab.study import Study

AUDITED, STRONG = "audited", "strong"


@dataclass(frozen=True, kw_only=True)
class Audited:
    """`measured` and `pool` are the audited annotator's labels, `curve` those that it gives the measured pairs where it learned
    from fewer, by how many. `strong` are the strong model's of some measured pairs."""

    measured: Stage
    pool: Stage | None = None
    strong: Stage | None = None
    curve: Mapping[int, Stage] = field(default_factory=dict)

    @property
    def stages(self) -> list[Stage]:
        wanted = (self.measured, self.pool, *self.curve.values(), self.strong)
        return ordered(stage for stage in wanted if stage is not None)


def audited(
    study: Study, split: Stage, *, fitted: bool, pool: bool, folds: int, sizes: Sequence[int], strong: int
) -> Audited:
    """`fitted`: the annotator learns from the labeled side and the unlabeled side is measured, the pool being the test side.
    Otherwise the labeled side is measured by cross-fitting in so many folds, and the unlabeled side is the pool.

    `sizes` are the points of the learning curve below all labeled pairs; `strong` is how many measured pairs the strong model
    is asked of, 0 for none.
    """
    sides = (["unlabeled"] if fitted or pool else []) + (["test"] if fitted and pool else [])
    labels = Labels(study, split, labeling=sides)  # type: ignore[arg-type]
    measured = labels.given(AUDITED) if fitted else labels.held_out(AUDITED, folds)
    curve = {}
    if labels.learns(AUDITED):
        curve = {
            size: _fewer(labels, size, study.seed) if fitted else labels.held_out(AUDITED, folds, of=size)
            for size in sizes
        }
    whole = split if fitted else fold_stage(split, 0, 1, study.seed)
    asked = Labels(study, part_stage(whole, {"unlabeled": strong}, study.seed), labels, ".strong")
    return Audited(
        measured=measured,
        pool=labels.given(AUDITED, side="test" if fitted else "unlabeled") if pool else None,
        strong=asked.given(STRONG) if strong else None,
        curve=curve,
    )


def _fewer(labels: Labels, size: int, seed: int) -> Stage:
    part = part_stage(labels.split, {"labeled": size}, seed)
    return Labels(labels.study, part, labels, f".of-{size}").given(AUDITED)
