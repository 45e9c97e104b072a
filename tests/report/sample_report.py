"""A report with every part filled in."""

from trimtab.report.collect.search_trees import SearchInfo, SearchLevel, TreeSample
from trimtab.report.model import (
    ArmComparison,
    ArmResult,
    HistogramBin,
    LabelInfo,
    Report,
    Sample,
    SplitInfo,
    StageCost,
    StudyInfo,
)
from trimtab.report.pair_view.search_tree import SearchNode, SearchTree
from trimtab.types import Cost, Metric


def metric(value: float, half: float, n: int = 192, n_failed: int = 0) -> Metric:
    return Metric(value=value, low=value - half, high=value + half, n=n, n_failed=n_failed)


def figures(gold: float, accuracy: float, length: float, ended: float) -> dict[str, Metric]:
    return {
        "gold_reward": metric(gold, 0.031),
        "accuracy": metric(accuracy, 0.044, n=512),
        "length": metric(length, 4.2),
        "eos_rate": metric(ended, 0.02, n_failed=3),
    }


ARMS = (
    ArmResult(
        name="base", role="reference", description="the untuned student", metrics=figures(0.412, 0.502, 88.1, 0.71)
    ),
    ArmResult(name="sft", role="reference", description="after SFT alone", metrics=figures(0.530, 0.511, 61.0, 0.97)),
    ArmResult(
        name="human", role="reference", description="DPO on human labels", metrics=figures(0.622, 0.640, 64.3, 0.98)
    ),
    ArmResult(
        name="weak",
        role="arm",
        description="DPO on the weak model's implicit reward",
        metrics={**figures(0.612, 0.628, 65.2, 0.98), "pgr": metric(0.89, 0.21)},
    ),
    ArmResult(name="flipped", role="reference", description="random errors", metrics=figures(0.560, 0.570, 62.9, 0.97)),
    ArmResult(name="seam", role="arm", description="DPO on SEAM's labels", metrics=figures(0.588, 0.601, 70.0, 0.96)),
    ArmResult(name="weak_filtered_by_uncertainty", role="arm", skipped="the filter left 3 pairs, fewer than one batch"),
    ArmResult(
        name="weak_model", role="reference", description="the labeler", metrics=figures(0.455, 0.577, 55.4, 0.95)
    ),
)

COMPARISONS = (
    ArmComparison(arm="base", baseline="sft", metric="gold_reward", difference=metric(-0.118, 0.03)),
    ArmComparison(arm="human", baseline="sft", metric="gold_reward", difference=metric(0.092, 0.04)),
    ArmComparison(arm="weak", baseline="sft", metric="gold_reward", difference=metric(0.082, 0.04)),
    ArmComparison(arm="flipped", baseline="sft", metric="gold_reward", difference=metric(0.030, 0.035)),
    ArmComparison(arm="seam", baseline="sft", metric="gold_reward", difference=metric(0.058, 0.03, n=190, n_failed=2)),
    ArmComparison(arm="weak_model", baseline="sft", metric="gold_reward", difference=metric(-0.075, 0.04)),
    ArmComparison(arm="weak", baseline="human", metric="gold_reward", difference=metric(-0.010, 0.035)),
    ArmComparison(arm="human", baseline="sft", metric="accuracy", difference=metric(0.129, 0.03, n=512)),
    ArmComparison(arm="weak", baseline="sft", metric="accuracy", difference=metric(0.117, 0.03, n=512)),
)

SHARES = (0.05, 0.12, 0.31, 0.38, 0.46, 0.55, 0.60, 0.72, 0.85, 0.93)
SIZES = (310, 180, 122, 96, 80, 84, 99, 130, 171, 328)
BINS = tuple(
    HistogramBin(
        low=i / 10, high=(i + 1) / 10, n=size, mean_p_a=i / 10 + 0.05, human_a_rate=metric(share, 0.04, n=size)
    )
    for i, (share, size) in enumerate(zip(SHARES, SIZES, strict=True))
)

LABELS = (
    LabelInfo(
        arm="weak",
        annotator="implicit_reward",
        n_pairs=1600,
        metrics={
            "agreement": metric(0.742, 0.021, n=1590),
            "kappa": metric(0.484, 0.043, n=1590),
            "coverage": metric(0.994, 0.004, n=1600, n_failed=10),
            "length_correlation": metric(0.21, 0.05, n=1600),
            "calibration_error": Metric(value=0.041, low=None, high=None, n=1590),
        },
        histogram=BINS,
        cost=Cost(prompt_tokens=410_000, generated_tokens=0, seconds=62.0),
    ),
    LabelInfo(
        arm="seam",
        annotator="seam",
        source="annotate.seam-1f",
        n_pairs=1600,
        cost=Cost(
            calls=24_000, prompt_tokens=5_000_000, cached_tokens=61_000_000, generated_tokens=900_000, seconds=7200.0
        ),
    ),
    LabelInfo(
        arm="seam_filtered",
        annotator="seam",
        source="annotate.seam-1f",
        n_pairs=1600,
        metrics={"agreement": metric(0.81, 0.03, n=800), "agreement_before_filter": metric(0.72, 0.03, n=1598)},
        cost=Cost(
            calls=24_000, prompt_tokens=5_000_000, cached_tokens=61_000_000, generated_tokens=900_000, seconds=7200.0
        ),
    ),
    LabelInfo(arm="human", annotator="human", n_pairs=1600, metrics={"coverage": metric(1.0, 0.0, n=1600)}),
)

TREE = SearchTree(
    nodes=(
        SearchNode(chain=("Candor",), level=1, thought=("It is <i>frank</i>.",), information=0.2, weight=0.6, p_a=0.74),
        SearchNode(
            chain=("Candor", "Logical"),
            level=2,
            thought=("",),
            information=0.0,
            weight=0.4,
            drop_reason="less information than the node before; tried again",
            status="empty",
        ),
        SearchNode(
            chain=("Candor", "Objective"),
            level=2,
            thought=("Fair.",),
            information=0.3,
            weight=0.3,
            p_a=0.8,
            status="truncated",
        ),
    ),
    first_response="b",
    decided_by="weak",
    depth=2,
    backtracks=1,
    score=0.25,
    weak_p_a=0.71,
)

SEARCH = SearchInfo(
    arms=("seam", "seam_filtered"),
    n=1598,
    metrics={"depth": metric(2.1, 0.1, n=1598, n_failed=2), "backtracks": metric(0.4, 0.1, n=1598, n_failed=2)},
    depth_counts={1: 300, 2: 838, 3: 460},
    principle_shares={"Candor": metric(0.62, 0.02, n=1598), "No <b>Risk</b>": metric(0.11, 0.02, n=1598)},
    levels=(SearchLevel(level=1, information=metric(0.21, 0.02, n=1598), retained_share=metric(1.0, 0.0, n=1598)),),
    samples=(
        TreeSample(
            pair_id="5e1f", prompt="User: Is it <u>so</u>?", a="It <s>is</s>.", b="No.", human="a", p_a=0.71, tree=TREE
        ),
    ),
)

REPORT = Report(
    study=StudyInfo(
        name="quickstart",
        seed=7,
        weak="tiny-weak (4 M)",
        student="tiny-student (14 M)",
        description="Does a student trained on a smaller model's labels do better than after SFT alone?",
        version="0.1.0",
        fingerprint="3f9c21ab",
        yaml="name: quickstart\nseed: 7\narms:\n  - weak\n  - seam\n",
    ),
    arms=ARMS,
    comparisons=COMPARISONS,
    labels=LABELS,
    searches=(SEARCH,),
    data=(
        SplitInfo(name="labeled", pairs=400, prompts=210, note="human labels"),
        SplitInfo(name="unlabeled", pairs=1600, prompts=830, failures=4),
        SplitInfo(name="test", pairs=512, prompts=192),
    ),
    stage_costs=(
        StageCost(
            name="train.weak", seconds=41.2, from_cache=True, tokens=1_200_000, detail="SFT, then DPO, 120 steps"
        ),
        StageCost(name="annotate.weak", seconds=62.0, tokens=410_000, detail="1,600 pairs"),
        StageCost(name="train.student", seconds=3825.0, tokens=9_100_000, detail="DPO, 400 steps"),
    ),
    samples=(
        Sample(
            prompt="User: Which is <b>heavier</b>, a kilogram of lead or of feathers?",
            completions={
                "sft": "Lead. <script>alert('x')</script>",
                "weak": "Neither: both weigh one kilogram & that is that.\n\nA second paragraph.",
            },
            scores={"sft": 0.12, "weak": 0.91},
        ),
        Sample(prompt="User: Name a color.", completions={"sft": "Blue.", "weak": "Teal."}, scores={"sft": None}),
    ),
    notes=("The data is synthetic: generated by Trimtab and labeled by a rule.",),
)
