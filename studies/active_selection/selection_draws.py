"""Which pairs should a person label? python studies/active_selection/selection_draws.py --out runs/active-selection

Per objective of HH-RLHF (single turn, one pair per prompt), a draw splits the pairs at random into a pool and 400 test pairs.
Labels of the pool are bought in rounds, until there are 50, 100, 200, 400 and 800:

random     a random sample in every round
sampled    with probabilities in proportion to the uncertainty of a probe that was trained on the labels so far, and one tenth
           of the probability spread evenly, so that no pair is excluded
uncertain  the pairs of which that probe is least certain

Two questions: how accurate is a probe that learns from these labels, on the test pairs? And how well do the labels estimate the
accuracy of another annotator on the pool, which here is the length rule? For `sampled`, the estimate weights every label by one
over its probability (in each round: known labels, plus weighted new ones; then the mean over rounds by their number of labels).

Prints tables in Markdown, writes all values to `draws.json`, and draws `active-selection.svg`. Hidden states are cached in the
folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import t

from trimtab.annotators._shared.linear_probe import fit_probe
from trimtab.annotators.probe import Probe
from trimtab.cli.runtime import build_runtime
from trimtab.config.study import Arm
from trimtab.core.annotator_inputs import FeatureSpec
from trimtab.pipeline.plan.ad_hoc_study import build_ad_hoc_study, build_file_split
from trimtab.pipeline.plan.labeling_stages import LabelingPlanner
from trimtab.pipeline.plan.model import sort_stages
from trimtab.pipeline.stage_scheduler import execute_stages
from trimtab.pipeline.stages.hidden_states import load_hidden_states
from trimtab.sources.file import File
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.schemas import load_split_pairs

Strategy = Literal["random", "sampled", "uncertain"]
_Floats = NDArray[np.float64]
_Indices = NDArray[np.int_]

OBJECTIVES = ("harmless", "helpful")
NUM_LABELS = (50, 100, 200, 400, 800)
NUM_TEST = 400
MAX_LENGTH = 256
EVEN_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class LabeledRows:
    """Pairs as differences of hidden states: `rows` has shape (n, features). `length_is_right`: the length rule agrees."""

    rows: _Floats
    chose_a: NDArray[np.bool_]
    prompts: Sequence[str]
    length_is_right: _Floats


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`accuracy` of the probe on the test pairs; `error` of the estimated accuracy of the length rule on the pool."""

    objective: str
    draw: int
    strategy: Strategy
    num_labels: int
    accuracy: float
    error: float


def load_rows(objective: str, data: Path, out: Path, num_pairs: int) -> LabeledRows:
    """Computes the hidden states, or reads them from the folder."""
    pool = File(path=str(data / f"hh1t_{objective}_w2s.jsonl.gz"), limit=num_pairs)
    training = File(path=str(data / f"hh1t_{objective}_gt.jsonl.gz"), limit=20)
    study = build_ad_hoc_study(
        f"active-{objective}", pool, {"probe": Arm(annotator=Probe(), labels_only=True)}, max_length=MAX_LENGTH
    )
    split = build_file_split(study, training, pool)
    states = LabelingPlanner(study, split).hidden_states("probe", FeatureSpec(model="@weak.base"))
    artifacts: dict[str, Artifact] = {}
    execute_stages(
        sort_stages([split, states]),
        Store(out / objective),
        build_runtime("cpu", 2_048),
        artifacts,
        lambda index, count, name: print(f"{objective}: {index} of {count}, {name}", file=sys.stderr),
    )
    pairs = load_split_pairs(artifacts[split.fingerprint], "unlabeled")
    by_prompt = {pair.prompt_id: pair for pair in sorted(pairs, key=lambda pair: pair.id) if pair.human is not None}
    features = load_hidden_states(artifacts[states.fingerprint])
    sign = 1 if objective == "helpful" else -1
    is_longer = [np.sign(sign * pair.length_difference("a")) for pair in by_prompt.values()]
    chose_a = np.array([pair.human == "a" for pair in by_prompt.values()])
    return LabeledRows(
        rows=np.stack([np.asarray(features[pair.id].values, dtype=np.float64) for pair in by_prompt.values()]),
        chose_a=chose_a,
        prompts=list(by_prompt),
        length_is_right=(1 + np.array(is_longer) * np.where(chose_a, 1, -1)) / 2,
    )


def select(strategy: Strategy, count: int, confidences: _Floats, rng: np.random.Generator) -> tuple[_Indices, _Floats]:
    """The positions of `count` pairs, and the probability with which each was included.

    `confidences` are |2p − 1| of the remaining pairs, in [0, 1].
    """
    n = len(confidences)
    if strategy == "uncertain":
        return np.argsort(confidences, kind="stable")[:count], np.ones(count)
    if strategy == "random":
        return rng.permutation(n)[:count], np.full(count, count / n)
    uncertainty = 1 - confidences + 1e-9
    inclusion = compute_inclusion(EVEN_SHARE / n + (1 - EVEN_SHARE) * uncertainty / uncertainty.sum(), count)
    order = rng.permutation(n)
    # systematic sampling: exactly `count` pairs, each with its probability
    ends = np.floor(np.cumsum(inclusion[order]) + rng.random() + 1e-9)
    chosen = order[np.diff(ends, prepend=0) > 0]
    return chosen, inclusion[chosen]


def compute_inclusion(shares: _Floats, count: int) -> _Floats:
    """Inclusion probabilities in proportion to the shares, at most 1, with the sum `count`."""
    inclusion = np.zeros_like(shares)
    is_certain = np.zeros(len(shares), dtype=bool)
    while True:
        rest = ~is_certain
        inclusion[rest] = shares[rest] * (count - is_certain.sum()) / shares[rest].sum()
        inclusion[is_certain] = 1
        if (inclusion <= 1).all():
            return inclusion
        is_certain |= inclusion > 1


def simulate(data: LabeledRows, objective: str, strategy: Strategy, draw: int) -> Iterator[Outcome]:
    """One draw: the labels of all rounds."""
    order = np.random.default_rng([5, draw]).permutation(len(data.prompts))
    test, pool = order[:NUM_TEST], order[NUM_TEST:]
    rng = np.random.default_rng([6, draw])  # the first round is the same for all strategies
    labeled = np.array([], dtype=int)
    confidences = np.zeros(len(data.prompts))
    estimates: list[tuple[int, float]] = []
    for number, target in enumerate(NUM_LABELS):
        remaining = pool[~np.isin(pool, labeled)]
        how: Strategy = "random" if number == 0 else strategy
        positions, inclusion = select(how, target - len(labeled), confidences[remaining], rng)
        new = remaining[positions]
        known = data.length_is_right[labeled].sum() + (data.length_is_right[new] / inclusion).sum()
        estimates.append((len(new), known / len(pool)))
        labeled = np.concatenate([labeled, new])
        probe = fit_probe(data.rows[labeled], data.chose_a[labeled].tolist(), [data.prompts[i] for i in labeled])
        log_odds = probe.compute_log_odds(data.rows)
        confidences = np.abs(np.tanh(log_odds / 2))
        estimate = (
            float(np.average([value for _, value in estimates], weights=[count for count, _ in estimates]))
            if strategy == "sampled"
            else float(data.length_is_right[labeled].mean())
        )
        yield Outcome(
            objective=objective,
            draw=draw,
            strategy=strategy,
            num_labels=target,
            accuracy=float(((log_odds[test] > 0) == data.chose_a[test]).mean()),
            error=estimate - float(data.length_is_right[pool].mean()),
        )


def format_interval(values: Sequence[float]) -> str:
    """The mean in percentage points, with its 95% t interval over draws."""
    mean, half = np.mean(values), t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{100 * mean:+.1f} [{100 * (mean - half):+.1f}, {100 * (mean + half):+.1f}]"


def print_tables(outcomes: Sequence[Outcome]) -> None:
    def values(field: str, objective: str, strategy: str, count: int) -> list[float]:
        return [
            getattr(each, field)
            for each in outcomes
            if (each.objective, each.strategy, each.num_labels) == (objective, strategy, count)
        ]

    print("| objective | labels | accuracy with random | sampled minus random | uncertain minus random |")
    print("|---|---|---|---|---|")
    for objective in dict.fromkeys(each.objective for each in outcomes):
        for count in NUM_LABELS[1:]:
            random, *others = (values("accuracy", objective, strategy, count) for strategy in get_args(Strategy))
            cells = [format_interval([a - b for a, b in zip(other, random, strict=True)]) for other in others]
            print(f"| {objective} | {count} | {np.mean(random):.1%} | " + " | ".join(cells) + " |")
    print("\n| objective | labels | random: bias, RMSE | sampled | uncertain |\n|---|---|---|---|---|")
    for objective in dict.fromkeys(each.objective for each in outcomes):
        for count in NUM_LABELS[1:]:
            cells = []
            for strategy in get_args(Strategy):
                errors = np.array(values("error", objective, strategy, count))
                cells.append(f"{100 * errors.mean():+.1f}, {100 * (errors**2).mean() ** 0.5:.1f}")
            print(f"| {objective} | {count} | " + " | ".join(cells) + " |")


def draw_figure(outcomes: Sequence[Outcome], path: Path) -> None:
    """Left: differences of the probe's accuracy from `random`, with intervals. Right: bias of the estimated accuracy."""
    counts = NUM_LABELS[1:]
    colors = dict(zip(get_args(Strategy), ("#888888", "#0f6e9c", "#d1495b"), strict=True))
    markers = dict(zip(OBJECTIVES, ("o", "s"), strict=True))

    def collect(field: str, objective: str, strategy: str, count: int) -> _Floats:
        chosen = (each for each in outcomes if (each.objective, each.strategy) == (objective, strategy))
        return 100 * np.array([getattr(each, field) for each in chosen if each.num_labels == count])

    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, (objective, strategy) in enumerate(product(OBJECTIVES, get_args(Strategy))):
        x = np.array(counts) * 2 ** (0.09 * (index - 2.5))
        style = {"color": colors[strategy], "marker": markers[objective], "markersize": 6, "linewidth": 1.2}
        errors = [collect("error", objective, strategy, count).mean() for count in counts]
        right.plot(x, errors, label=f"{strategy}, {objective}", **style)
        if strategy == "random":
            continue
        differences = [
            collect("accuracy", objective, strategy, count) - collect("accuracy", objective, "random", count)
            for count in counts
        ]
        half = [t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / len(each) ** 0.5 for each in differences]
        left.errorbar(x, [each.mean() for each in differences], yerr=half, linestyle="none", **style)
    for axes, title in ((left, "accuracy of the probe minus random"), (right, "bias of the estimated accuracy")):
        axes.axhline(0, color="#444444", linewidth=0.8)
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, labels=[str(count) for count in counts])
        axes.minorticks_off()
        axes.set_xlabel("human labels")
        axes.set_title(f"{title}, points")
    figure.legend(
        *right.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize="small"
    )
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--pairs", type=Path, default=Path("../shared/data"), help="folder of the hh1t files")
    parser.add_argument("--out", type=Path, default=Path("runs/active-selection"))
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=OBJECTIVES)
    parser.add_argument("--num-pairs", type=int, default=1_400, help="pairs per objective, pool and test together")
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    outcomes = []
    for objective in options.objectives:
        data = load_rows(objective, options.pairs, options.out, options.num_pairs)
        print(f"{objective}: {len(data.prompts):,} pairs", file=sys.stderr)
        for draw in range(options.draws):
            for strategy in get_args(Strategy):
                outcomes += list(simulate(data, objective, strategy, draw))
            (options.out / "draws.json").write_text(json.dumps([asdict(each) for each in outcomes]), encoding="utf-8")
    print_tables(outcomes)
    draw_figure(outcomes, options.out / "active-selection.svg")


if __name__ == "__main__":
    main()
