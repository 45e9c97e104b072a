"""Display names, units and definitions of all metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trimtab.report.label_metrics import LABEL_METRICS
from trimtab.report.metric_info import MetricInfo

METRICS: Mapping[str, MetricInfo] = {
    info.name: info
    for info in (
        MetricInfo(
            name="gold_reward",
            label="Gold reward",
            better="higher",
            count_noun="prompts",
            description="The mean reward of the model's responses by a scorer that no arm was trained on.",
        ),
        MetricInfo(
            name="proxy_reward",
            label="Proxy reward",
            better="higher",
            count_noun="prompts",
            description="The mean reward of the model's responses, from a reward model that the study trained on separate "
            "human-labeled pairs. It approximates human preferences as well as it agrees with them. Its unit is arbitrary.",
        ),
        MetricInfo(
            name="accuracy",
            label="Accuracy",
            better="higher",
            count_noun="pairs",
            description="The share of human-labeled test pairs on which the model prefers the human-preferred response: by its "
            "implicit reward, β log π(y|x) / π_ref(y|x) (Rafailov et al. 2023, section 4), or prompted in both orders if "
            "students are preference models.",
        ),
        MetricInfo(
            name="length",
            label="Length",
            better="neither",
            count_noun="prompts",
            unit="tokens",
            digits=2,
            description="Tokens per response. Judges and rewards often favor long responses: compare other metrics with it.",
        ),
        MetricInfo(
            name="eos_rate",
            label="Finished (EOS) rate",
            better="higher",
            count_noun="prompts",
            description="The share of responses that ended with an end-of-turn token or one of the study's stop texts, before "
            "the length limit.",
        ),
        MetricInfo(
            name="refusal_rate",
            label="Refusals",
            better="neither",
            count_noun="prompts",
            description="The share of responses that start with a refusal, by a list of phrases. Other wordings are missed.",
        ),
        MetricInfo(
            name="distinct_2",
            label="Distinct-2",
            better="neither",
            count_noun="prompts",
            description="The share of distinct word bigrams in a response (Li et al. 2016): 1 means no repetition. Longer "
            "responses repeat more.",
        ),
        MetricInfo(
            name="kl_to_reference",
            label="KL to reference",
            better="neither",
            count_noun="prompts",
            unit="nats",
            digits=2,
            description="log π(y|x) − log π_ref(y|x) of the policy's own responses: the distance from the model that DPO "
            "started from. Responses are sampled at the study's temperature; below 1, this is not the KL of the full policy.",
        ),
        MetricInfo(
            name="overconfident_error_rate",
            label="Overconfident disagreements",
            better="lower",
            count_noun="pairs",
            description="Among test pairs on which the student and the weak model prefer different responses, the share on "
            "which the student is more confident and the human label agrees with the weak model.",
        ),
        MetricInfo(
            name="cosine",
            label="Similarity",
            better="neither",
            count_noun="prompts",
            description="The cosine similarity of two responses' sentence embeddings, over prompts: 1 is the same meaning, "
            "about 0 is unrelated. `preferred_responses` are the human-preferred responses. Longer texts are more similar.",
        ),
        MetricInfo(
            name="learned_similarity",
            label="Learned similarity",
            better="neither",
            count_noun="prompts",
            description="The score that a regressor such as BLEURT (Sellam et al. 2020) gives a response against the "
            "human-preferred response, in the regressor's own unit.",
        ),
        MetricInfo(
            name="similarity_correlation",
            label="Correlation of similarities",
            better="neither",
            count_noun="prompts",
            description="Pearson's correlation, over prompts, of two rows' similarities to the human-preferred response (Tao & "
            "Li 2025, figure 6). Hard prompts make all rows less similar, so it is positive even for unrelated models.",
        ),
        MetricInfo(
            name="pgr",
            label="PGR",
            better="higher",
            count_noun="pairs",
            description="Performance gap recovered, (student − weak) / |ceiling − weak| (Li et al. 2025, equation 4). "
            "Undefined if the interval of the gap contains zero; the interval is Fieller's (1954).",
        ),
        *LABEL_METRICS,
        MetricInfo(
            name="order_inconsistency",
            label="Position inconsistency",
            better="lower",
            count_noun="pairs",
            description="The share of comparisons, presented in both orders, on which the two verdicts contradict each other.",
        ),
        MetricInfo(
            name="win_rate",
            label="Win rate",
            better="higher",
            count_noun="prompts",
            description="How often a judge prefers the response to the baseline's, a tie counting one half: 0.5 is as good as "
            "the baseline.",
        ),
        MetricInfo(
            name="length_controlled_win_rate",
            label="Win rate, length-controlled",
            better="higher",
            count_noun="prompts",
            description="The expected win rate if both responses had the same length (after Dubois et al. 2024).",
        ),
        MetricInfo(
            name="first_position_rate",
            label="Position bias (first)",
            better="neither",
            count_noun="single verdicts",
            description="How often a judge that picks a position picks the first. Far from 0.5, it has position bias.",
        ),
        MetricInfo(
            name="vote_agreement",
            label="Vote agreement",
            better="higher",
            count_noun="prompts to the judge",
            description="The mean share of votes for the majority, per prompt to the judge: 0.623 for ten coin flips.",
        ),
        MetricInfo(
            name="vote_agreement_gap",
            label="Vote agreement, match minus mismatch",
            better="neither",
            count_noun="prompts to the judge",
            description="On pairs on which weak and human labels match, minus on those on which they do not.",
        ),
        MetricInfo(
            name="self_consistency",
            label="Self-consistency (chance-corrected)",
            better="higher",
            count_noun="prompts to the judge",
            description="Vote agreement beyond chance, (share − chance) / (1 − chance): 0 is a coin flip, 1 a judge that "
            "always repeats itself.",
        ),
        MetricInfo(
            name="human_agreement",
            label="Human agreement",
            better="higher",
            count_noun="pairs",
            description="How often a judge prefers the human-preferred response, a tie counting one half: 0.5 is chance.",
        ),
        MetricInfo(
            name="weak_agreement",
            label="Agreement with weak labels",
            better="neither",
            count_noun="pairs",
            description="How often a judge prefers the response that the weak label prefers, a tie counting one half: on "
            "unlabeled pairs on which the weak label matches the human label, and on those on which it does not (mismatch).",
        ),
        MetricInfo(
            name="alpha",
            label="Alpha",
            better="higher",
            count_noun="comparisons",
            description="Krippendorff's alpha (2011) of the verdicts a, b and tie: 1 is full agreement, 0 is chance.",
        ),
    )
}


def get_metric_info(name: str) -> MetricInfo:
    """How to display a metric. `gold_reward.short` is `gold_reward` by the scorer `short`; an unknown name is its own label."""
    family, _, variant = name.partition(".")
    info = METRICS.get(family)
    if info is None:
        return MetricInfo(name=name, label=name, better="neither", count_noun="items", description="")
    if not variant:
        return info
    return replace(info, name=name, label=f"{info.label} ({variant})")
