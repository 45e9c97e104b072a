"""Display names, units and definitions of the metrics of labels."""

from __future__ import annotations

from trimtab.report.metric_info import MetricInfo

LABEL_METRICS = (
    MetricInfo(
        name="agreement",
        missing_text="without a label",
        label="Agreement",
        better="higher",
        count_noun="pairs",
        description="The share of labeled pairs on which the label and the human label prefer the same response.",
    ),
    MetricInfo(
        name="anchor_agreement",
        missing_text="without a label",
        label="Agreement on anchors",
        better="higher",
        count_noun="pairs",
        description="The share of human-labeled test pairs on which the annotator's label and the human label prefer the "
        "same response.",
    ),
    MetricInfo(
        name="confidence",
        label="Confidence",
        better="neither",
        count_noun="pairs",
        description="The mean probability of the preferred response, from 0.5 to 1. It falls if the annotator sees no "
        "difference between the responses of a round.",
    ),
    MetricInfo(
        name="answer_agreement",
        label="Agreement with the strong model",
        better="higher",
        count_noun="pairs",
        description="The share of labeled pairs on which a probe that was fitted without them prefers the same response as the "
        "strong model by this criterion.",
    ),
    MetricInfo(
        name="model_preference",
        label="Preferred",
        better="neither",
        count_noun="pairs",
        description="The share of pairs in which the labels prefer the response of the first model to that of the second, a "
        "tie counting one half: 0.5 if the labels prefer neither model.",
    ),
    MetricInfo(
        name="agreement_before_filter",
        missing_text="without a label",
        label="Agreement before filtering",
        better="higher",
        count_noun="pairs",
        description="Agreement of all labels, before the arm's filter.",
    ),
    MetricInfo(
        name="kappa",
        label="Kappa",
        better="higher",
        count_noun="pairs",
        description="Chance-corrected agreement, (observed − expected) / (1 − expected) (Cohen 1960).",
    ),
    MetricInfo(
        name="coverage",
        label="Coverage",
        better="higher",
        count_noun="pairs",
        description="The share of pairs with a label. The others abstained, failed or were filtered out.",
    ),
    MetricInfo(
        name="tokens_per_pair",
        label="Tokens per pair",
        better="lower",
        count_noun="pairs",
        digits=2,
        description="Input tokens computed plus tokens generated for labeling, per labeled pair: an exact count.",
    ),
    MetricInfo(
        name="seconds_per_pair",
        label="Seconds per pair",
        better="lower",
        count_noun="pairs",
        description="Labeling time per labeled pair. It depends on the machine.",
    ),
    MetricInfo(
        name="strong_decision_rate",
        label="Labeled by strong model",
        better="neither",
        count_noun="pairs",
        description="The share of pairs whose label is the strong model's own choice instead of the weak model's.",
    ),
    MetricInfo(
        name="truncation_rate",
        label="Truncated generations",
        better="lower",
        count_noun="pairs",
        description="The share of pairs for which a generated thought or argument reached its length limit.",
    ),
    MetricInfo(
        name="duplicate_text_rate",
        label="Duplicate explanations",
        better="lower",
        count_noun="pairs",
        description="The share of pairs whose generated texts all also occur, verbatim, for another pair.",
    ),
    MetricInfo(
        name="depth",
        label="Tree depth",
        better="neither",
        count_noun="pairs",
        digits=2,
        description="Level of the search tree's deepest node with an information gain, which decides (SEAM).",
    ),
    MetricInfo(
        name="backtracks",
        label="Backtracks",
        better="neither",
        count_noun="pairs",
        digits=2,
        description="How often a tree search left a thought with less information than the one before (SEAM).",
    ),
    MetricInfo(
        name="backtrack_rate",
        label="Backtracked",
        better="neither",
        count_noun="pairs",
        description="The share of trees whose search backtracked at least once (SEAM).",
    ),
    MetricInfo(
        name="information",
        label="Information",
        better="higher",
        count_noun="nodes",
        unit="bits",
        description="1 − H(p) of the strong model's probability given a thought: 0 if undecided, 1 if certain.",
    ),
    MetricInfo(
        name="nodes_kept",
        label="Nodes kept",
        better="neither",
        count_noun="nodes",
        description="The share of a level's nodes that the search keeps: no backtracking from them, and no ancestor "
        "without new information.",
    ),
    MetricInfo(
        name="principle_use",
        label="Principle use",
        better="neither",
        count_noun="trees",
        description="The share of trees with the principle on the kept path.",
    ),
    MetricInfo(
        name="length_correlation",
        label="Length correlation",
        better="neither",
        count_noun="pairs",
        description="Pearson correlation of the label with the difference in length of the two responses "
        "(interval: Fisher 1921). Far from zero, the labels may measure length.",
    ),
    MetricInfo(
        name="calibration_error",
        label="ECE",
        better="lower",
        count_noun="pairs",
        description="Expected calibration error, Σ (n_bin / n) |agreement − mean probability| (Naeini et al. 2015).",
    ),
)
