"""The accuracy of certified labels on human-labeled pairs: python studies/certified_labels/hh.py --out runs/certified-labels

Per objective: pairs of HH-RLHF (single turn), one per prompt, are split at random many times into labeled pairs and a pool.
The filter `certified` sees the human labels of the labeled pairs only; the kept labels are then compared with those of the
pool.

probe         learns from the labeled pairs, which it labels by cross-fitting, as in a study
reward_model  learned once from other pairs
length        prefers the longer (helpful) or shorter (harmless) response, ranked by the difference; the filter itself refuses
              `length`, because its labels have no probabilities

Prints tables in Markdown and writes every split to `splits.json`. Model outputs are cached in the folder, so that the same
command resumes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from trimtab.annotators.probe import Probe
from trimtab.annotators.reward_model import RewardModel
from trimtab.cli.runtime import build_runtime
from trimtab.config.study import Arm
from trimtab.config.training import RewardModelSettings
from trimtab.core.annotator_inputs import AnnotatorInputs, FeatureSpec, PairFeatures
from trimtab.filters._shared.ranking import compute_confidence
from trimtab.filters.certified import Certified
from trimtab.pipeline.plan.ad_hoc_study import build_ad_hoc_study, build_file_split
from trimtab.pipeline.plan.labeling_stages import LabelingPlanner
from trimtab.pipeline.plan.model import sort_stages
from trimtab.pipeline.stage_scheduler import execute_stages
from trimtab.pipeline.stages.hidden_states import load_hidden_states
from trimtab.sources.file import File
from trimtab.stats import proportion
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.schemas import load_annotations, load_split_pairs
from trimtab.types import Annotation, Pair

OBJECTIVES = ("harmless", "helpful")
LEARNED = ("probe", "reward_model")
PROMISES = (0.7, 0.75, 0.8)
FOLDS = 5
MAX_LENGTH = 256
REWARD_MODEL = RewardModel(
    model="smollm2-135m-instruct[:6]", training=RewardModelSettings(learning_rate=1e-3, batch_size=8)
)
# Labels of the pool, and of the labeled pairs by annotators that were not trained on them.
SplitLabels = tuple[list[Annotation], list[Annotation]]
Labeler = Callable[[Sequence[Pair], Sequence[Pair]], SplitLabels]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One split. `num_kept` of `num_pool` labels are kept, `num_correct` of them are correct.

    `accuracy` is the share of correct labels above the threshold among all pairs, those of the labeled pairs out of fold: the
    accuracy that the guarantee is about, if the pairs of the run are all that there are. None if nothing was certified.
    """

    objective: str
    annotator: str
    promise: float
    split: int
    num_pool: int
    num_kept: int = 0
    num_correct: int = 0
    lower_bound: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class ObjectivePairs:
    """The pairs of one objective, one per prompt, and what annotators need, by pair id: hidden states, and the reward model's
    labels."""

    objective: str
    pairs: Sequence[Pair]
    features: Mapping[str, PairFeatures]
    rewards: Mapping[str, Annotation]


def prepare(
    objective: str, annotators: Sequence[str], data: Path, out: Path, num_pairs: int, num_training: int
) -> ObjectivePairs:
    """Computes what the annotators need, or reads it from the folder."""
    training, pool = (
        File(path=str(data / f"hh1t_{objective}_{part}.jsonl.gz"), limit=limit)
        for part, limit in (("gt", num_training), ("w2s", num_pairs))
    )
    arms = {
        "probe": Arm(annotator=Probe(), labels_only=True),
        "reward_model": Arm(annotator=REWARD_MODEL, labels_only=True),
    }
    study = build_ad_hoc_study(f"certified-{objective}", pool, arms, max_length=MAX_LENGTH)
    split = build_file_split(study, training, pool)
    planner = LabelingPlanner(study, split)
    states = planner.hidden_states("probe", FeatureSpec(model="@weak.base")) if "probe" in annotators else None
    labels = planner.raw_labels("reward_model") if "reward_model" in annotators else None
    artifacts: dict[str, Artifact] = {}
    stages = sort_stages([split, *(stage for stage in (states, labels) if stage is not None)])
    execute_stages(
        stages,
        Store(out / objective),
        build_runtime("cpu", 2_048),
        artifacts,
        lambda index, count, name: print(f"{objective}: {index} of {count}, {name}", file=sys.stderr),
    )
    pairs = load_split_pairs(artifacts[split.fingerprint], "unlabeled")
    by_prompt = {pair.prompt_id: pair for pair in sorted(pairs, key=lambda pair: pair.id) if pair.human is not None}
    return ObjectivePairs(
        objective=objective,
        pairs=list(by_prompt.values()),
        features=load_hidden_states(artifacts[states.fingerprint]) if states else {},
        rewards=load_annotations(artifacts[labels.fingerprint]) if labels else {},
    )


def build_labelers(data: ObjectivePairs) -> dict[str, Labeler]:
    probe = Probe()

    def label_by_probe(labeled: Sequence[Pair], pool: Sequence[Pair]) -> SplitLabels:
        def annotate(train: Sequence[Pair], pairs: Sequence[Pair]) -> list[Annotation]:
            return probe.annotate(pairs, AnnotatorInputs(labeled_pairs=train, features=data.features))

        out_of_fold = [
            label
            for fold in range(FOLDS)
            for label in annotate(
                [pair for index, pair in enumerate(labeled) if index % FOLDS != fold], labeled[fold::FOLDS]
            )
        ]
        return annotate(labeled, pool), out_of_fold

    def label_by_reward(labeled: Sequence[Pair], pool: Sequence[Pair]) -> SplitLabels:
        return [data.rewards[pair.id] for pair in pool], [data.rewards[pair.id] for pair in labeled]

    def label_by_length(labeled: Sequence[Pair], pool: Sequence[Pair]) -> SplitLabels:
        sign = 1 if data.objective == "helpful" else -1
        return [_label_by_length(pair, sign) for pair in pool], [_label_by_length(pair, sign) for pair in labeled]

    labelers: dict[str, Labeler] = {"length": label_by_length}
    if data.features:
        labelers["probe"] = label_by_probe
    if data.rewards:
        labelers["reward_model"] = label_by_reward
    return labelers


def _label_by_length(pair: Pair, sign: int) -> Annotation:
    """A probability that increases with the length difference and promises nothing, because it is close to 1/2."""
    difference = sign * pair.length_difference("a")
    if difference == 0:
        return Annotation(pair_id=pair.id, p_a=None, status="abstained")
    return Annotation(pair_id=pair.id, p_a=0.5 + difference / 1e6)


def evaluate_split(
    data: ObjectivePairs, annotator: str, labeler: Labeler, split: int, num_labeled: int
) -> Iterator[Outcome]:
    """The outcomes of one split for each promise. Annotators share the splits."""
    order = np.random.default_rng([11, split]).permutation(len(data.pairs))
    labeled, pool = ([data.pairs[i] for i in part] for part in (order[:num_labeled], order[num_labeled:]))
    labels, out_of_fold = labeler(labeled, pool)
    human = {pair.id: pair.human for pair in data.pairs}
    inputs = AnnotatorInputs(labeled_pairs=labeled, out_of_fold_labels={each.pair_id: each for each in out_of_fold})
    for promise in PROMISES:
        found = Certified(accuracy=promise).certify(labels, inputs).certified
        base = {"objective": data.objective, "annotator": annotator, "split": split, "num_pool": len(pool)}
        if found is None:
            yield Outcome(promise=promise, **base)  # type: ignore[arg-type]
            continue
        kept, of_all = (
            [
                label.choice == human[label.pair_id]
                for label in part
                if label.choice is not None and compute_confidence(label) >= found.threshold
            ]
            for part in (labels, [*labels, *out_of_fold])
        )
        yield Outcome(
            promise=promise,
            num_kept=len(kept),
            num_correct=sum(kept),
            lower_bound=found.accuracy_lower,
            accuracy=fmean(of_all),
            **base,  # type: ignore[arg-type]
        )


def print_table(outcomes: Sequence[Outcome]) -> None:
    heads = (
        "objective",
        "annotator",
        "promise",
        "splits",
        "certified something",
        "share kept, mean",
        "accuracy of kept labels: mean, least",
        "splits below the promise",
        "first certified split",
    )
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for key in dict.fromkeys((each.objective, each.annotator, each.promise) for each in outcomes):
        group = [each for each in outcomes if (each.objective, each.annotator, each.promise) == key]
        certified = [each for each in group if each.accuracy is not None]
        accuracies = [each.num_correct / each.num_kept for each in certified]
        below = sum(each.accuracy is not None and each.accuracy < each.promise for each in certified)
        cells = (
            key[0],
            key[1],
            f"{key[2]:.0%}",
            f"{len(group)}",
            f"{len(certified)}",
            f"{fmean(each.num_kept / each.num_pool for each in group):.1%}",
            f"{fmean(accuracies):.1%}, {min(accuracies):.1%}" if accuracies else "",
            _format_share(below, len(group)),
            f"{certified[0].num_kept / certified[0].num_pool:.0%} kept, accuracy "
            f"{_format_share(certified[0].num_correct, certified[0].num_kept)} of {certified[0].num_kept}"
            if certified
            else "",
        )
        print("| " + " | ".join(cells) + " |")


def _format_share(count: int, n: int) -> str:
    metric = proportion(count, n)
    return f"{metric.value:.1%} [{metric.low:.1%}, {metric.high:.1%}]"


def print_overall(data: Sequence[ObjectivePairs], num_labeled: int) -> None:
    """The accuracy of all labels, from one split."""
    print("| objective | annotator | pairs | accuracy of all labels of the first split's pool |\n|---|---|---|---|")
    for each in data:
        order = np.random.default_rng([11, 0]).permutation(len(each.pairs))
        labeled, pool = ([each.pairs[i] for i in part] for part in (order[:num_labeled], order[num_labeled:]))
        for name, labeler in build_labelers(each).items():
            human = {pair.id: pair.human for pair in pool}
            labels = [label for label in labeler(labeled, pool)[0] if label.choice is not None]
            correct = sum(label.choice == human[label.pair_id] for label in labels)
            print(f"| {each.objective} | {name} | {len(each.pairs):,} | {_format_share(correct, len(labels))} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--pairs", type=Path, default=Path("../shared/data"), help="folder of the hh1t files")
    parser.add_argument("--out", type=Path, default=Path("runs/certified-labels"))
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=OBJECTIVES)
    parser.add_argument("--annotators", nargs="*", choices=LEARNED, default=LEARNED, help="besides length")
    parser.add_argument("--num-pairs", type=int, default=1_200, help="pairs per objective, labeled and pool together")
    parser.add_argument("--num-training", type=int, default=250, help="other pairs, for the reward model")
    parser.add_argument("--num-labeled", type=int, default=400)
    parser.add_argument("--splits", type=int, default=400)
    parser.add_argument("--probe-splits", type=int, default=20, help="splits for the probe, which is trained in each")
    options = parser.parse_args()
    data = [
        prepare(each, options.annotators, options.pairs, options.out, options.num_pairs, options.num_training)
        for each in options.objectives
    ]
    outcomes = [
        outcome
        for each in data
        for name, labeler in build_labelers(each).items()
        for split in range(options.probe_splits if name == "probe" else options.splits)
        for outcome in evaluate_split(each, name, labeler, split, options.num_labeled)
    ]
    (options.out / "splits.json").write_text(json.dumps([asdict(each) for each in outcomes]), encoding="utf-8")
    print_overall(data, options.num_labeled)
    print_table(outcomes)


if __name__ == "__main__":
    main()
