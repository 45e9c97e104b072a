"""Gold rewards of a run, and their agreement with human labels on the test pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from trimtab import stats
from trimtab.core.component import get_kind
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.run_reader import Run
from trimtab.report.value_format import format_value
from trimtab.scorers.study_reward_model import StudyRewardModel
from trimtab.storage.schemas import REWARD_SCHEMA
from trimtab.types import Metric, Pair

GOLD_REWARD, PROXY_REWARD = "gold_reward", "proxy_reward"
_CHANCE_AGREEMENT = 0.5
_EMPTY_METRIC = Metric(value=None, low=None, high=None, n=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardInfo:
    """A gold reward and its agreement with human labels on the test pairs that it scored. Ties count one half.

    `length_baseline` is the agreement of the rule that the longer response is better, on the same pairs, and
    `gain_over_length` the paired difference. `is_proxy`: the study trains the reward model, on `n_training_pairs` human-labeled
    pairs of its own (0 if it is not trained yet). `warnings` are sentences about its limits.
    """

    name: str
    kind: str
    metric: str
    is_proxy: bool
    agreement: Metric
    length_baseline: Metric
    gain_over_length: Metric = _EMPTY_METRIC
    n_training_pairs: int = 0
    warnings: tuple[str, ...] = ()


def reward_metric_name(scorer: str, num_scorers: int) -> str:
    """`gold_reward`, or `gold_reward.SCORER` if the study has several scorers."""
    return GOLD_REWARD if num_scorers == 1 else f"{GOLD_REWARD}.{scorer}"


def display_metric_name(metric: str, rewards: tuple[RewardInfo, ...]) -> str:
    """The name of the metric on the page and in the terminal: rewards that the study trains are `proxy_reward` there."""
    proxies = {reward.metric for reward in rewards if reward.is_proxy}
    return metric.replace(GOLD_REWARD, PROXY_REWARD, 1) if metric in proxies else metric


def collect_rewards(run: Run) -> list[RewardInfo]:
    """One for each scorer that has scored the test pairs, and for each that the study trains, even before it is trained."""
    rewards = []
    for name, scorer in run.study.scorers.items():
        stage = run.index.test_rewards.get(name)
        if stage is not None and run.is_finished(stage):
            rewards.append(_build_reward_info(run, name, stage))
        elif isinstance(scorer, StudyRewardModel):
            rewards.append(_build_pending_reward(run, name))
    return rewards


def _build_pending_reward(run: Run, name: str) -> RewardInfo:
    """A proxy that has not scored the test pairs yet."""
    return RewardInfo(
        name=name,
        kind=get_kind(run.study.scorers[name]),
        metric=reward_metric_name(name, len(run.study.scorers)),
        is_proxy=True,
        agreement=_EMPTY_METRIC,
        length_baseline=_EMPTY_METRIC,
    )


def _build_reward_info(run: Run, name: str, stage: str) -> RewardInfo:
    artifact, scorer = run.artifact(stage), run.study.scorers[name]
    margins = {row["id"]: row["a"] - row["b"] for row in artifact.read_rows("rewards", REWARD_SCHEMA)}
    by_reward, by_length = compute_reward_correctness(run.test, margins)
    agreement, length_baseline = (_compute_agreement(correctness, run) for correctness in (by_reward, by_length))
    gain_over_length = stats.paired_difference(by_reward, by_length, clusters=run.prompt_ids)
    row_stages = [row.scores[name] for row in run.arms if name in row.scores]
    return RewardInfo(
        name=name,
        kind=get_kind(scorer),
        metric=reward_metric_name(name, len(run.study.scorers)),
        is_proxy=isinstance(scorer, StudyRewardModel),
        agreement=replace(agreement, n_failed=sum(pair.human is not None for pair in run.test) - len(by_reward)),
        length_baseline=length_baseline,
        gain_over_length=gain_over_length,
        n_training_pairs=artifact.record["facts"].get("examples", 0),
        warnings=(
            *build_reward_warnings(name, agreement, length_baseline, gain_over_length),
            *describe_truncation(name, [run.artifact(each).record["facts"] for each in (stage, *row_stages)]),
        ),
    )


def describe_truncation(name: str, facts: Sequence[Mapping[str, int]]) -> tuple[str, ...]:
    """How many scores are of texts that the scorer shortened, if any, by the facts of its stages."""
    n_truncated = sum(each.get("truncated", 0) for each in facts)
    n_responses = sum(each.get("prompts", 0) + 2 * each.get("pairs", 0) for each in facts)
    if not n_truncated:
        return ()
    return (
        f"Gold reward {name} read {n_truncated:,} of {n_responses:,} responses without the start of their prompt, because the "
        "conversation is too long for its model.",
    )


def compute_reward_correctness(
    test: Sequence[Pair], margins: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Correctness by pair id of the reward, and of the rule that the longer response is better.

    1 if the human-preferred response is preferred, 0 if not, 0.5 on a tie. Both are over the human-labeled pairs that have a
    margin, which is the reward of `a` minus the reward of `b`.
    """
    scored = [pair for pair in test if pair.human is not None and pair.id in margins]
    by_reward = {pair.id: _score_correctness(margins[pair.id], pair) for pair in scored}
    return by_reward, {pair.id: _score_correctness(len(pair.a) - len(pair.b), pair) for pair in scored}


def _score_correctness(margin: float, pair: Pair) -> float:
    return 0.5 if margin == 0 else float((margin > 0) == (pair.human == "a"))


def _compute_agreement(correctness: Mapping[str, float], run: Run) -> Metric:
    clusters = [run.prompt_ids[key] for key in correctness]
    return stats.bounded_mean(list(correctness.values()), null=_CHANCE_AGREEMENT, clusters=clusters)


def build_reward_warnings(
    name: str, agreement: Metric, length_baseline: Metric, gain_over_length: Metric
) -> tuple[str, ...]:
    """What readers must know before they trust this reward. No warning claims more than the intervals support."""
    if agreement.value is None:
        return ()
    rate = f"{_format_agreement(agreement)} (n = {agreement.n:,} pairs, ties count one half)"
    if agreement.high is not None and agreement.high < _CHANCE_AGREEMENT:
        return (f"Gold reward {name} contradicts human preferences: it agrees with human labels on {rate}.",)
    if agreement.low is None or agreement.low <= _CHANCE_AGREEMENT:
        return (f"The human agreement of gold reward {name} is not significantly different from chance: {rate}.",)
    if gain_over_length.low is None or gain_over_length.low <= 0:
        return (
            f"Gold reward {name} is not shown to measure more than length: its human agreement is {rate}, and that of the rule "
            f"that the longer response is better {_format_agreement(length_baseline)} on the same pairs, a difference of "
            f"{_format_agreement(gain_over_length, signed=True)}.",
        )
    return ()


def format_proxy_note(info: RewardInfo) -> str:
    """What readers must know about a reward that the study trains."""
    subject = f"Gold reward {info.name} is a proxy: a reward model"
    if not info.n_training_pairs and info.agreement.value is None:
        return f"{subject} that the study trains on human labels; its human agreement is not measured yet."
    n_pairs, n_test = info.n_training_pairs, info.agreement.n
    return (
        f"{subject} trained on {n_pairs} human-labeled pairs that the study does not use otherwise. It agrees with human "
        f"labels on {_format_agreement(info.agreement)} of the {n_test} test pairs that have one; the longer response is "
        f"the preferred one on {_format_agreement(info.length_baseline)}."
    )


def _format_agreement(metric: Metric, *, signed: bool = False) -> str:
    value, interval = format_value(metric, get_metric_info("agreement"), signed=signed)
    return f"{value} {interval}".rstrip()
