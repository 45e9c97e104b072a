"""What gold rewards are worth: who gives them, and how far they agree with people on the test pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from trimtab import stats
from trimtab.core.component import get_kind
from trimtab.report.metric_registry import format_value, get_metric_info
from trimtab.report.run_reader import Run
from trimtab.scorers.study_reward_model import StudyRewardModel
from trimtab.types import Metric, Pair

GOLD_REWARD, PROXY_REWARD = "gold_reward", "proxy_reward"
# Agreement with people by a coin.
_CHANCE_AGREEMENT = 0.5
_EMPTY_METRIC = Metric(value=None, low=None, high=None, n=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardInfo:
    """A gold reward. `agreement` is with people on the test pairs that they labeled and it has read, ties counting as halves,
    `longer` that of the rule that the longer response is the better, on the same pairs, and `lead` the paired difference.
    `proxy`: the study trains it, on `examples` human pairs of its own, 0 where that is still to come. `warnings` are
    sentences on what it is not good for."""

    name: str
    kind: str
    metric: str
    is_proxy: bool
    agreement: Metric
    length_baseline: Metric
    gain_over_length: Metric = _EMPTY_METRIC
    n_training_pairs: int = 0
    warnings: tuple[str, ...] = ()


def reward_metric_name(name: str, scorers: int) -> str:
    """What the figures of a scorer are called: by its name where there are several."""
    return GOLD_REWARD if scorers == 1 else f"{GOLD_REWARD}.{name}"


def collect_rewards(run: Run) -> list[RewardInfo]:
    """One for each scorer that has read the test pairs, and for each that the study trains: it is a proxy from the first on."""
    found = []
    for name, scorer in run.study.scorers.items():
        stage = run.index.test_rewards.get(name)
        if stage is not None and run.is_finished(stage):
            found.append(_build_reward_info(run, name, stage))
        elif isinstance(scorer, StudyRewardModel):
            found.append(_build_pending_reward(run, name))
    return found


def _build_pending_reward(run: Run, name: str) -> RewardInfo:
    """A proxy that has scored answers, or will, and has not read the test pairs yet."""
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
    gaps = {row["id"]: row["a"] - row["b"] for row in artifact.read_rows("rewards")}
    ours, theirs = compute_reward_correctness(run.test, gaps)
    agreement, longer = (_compute_agreement(each, run) for each in (ours, theirs))
    lead = stats.paired_difference(ours, theirs, clusters=run.prompt_ids)
    return RewardInfo(
        name=name,
        kind=get_kind(scorer),
        metric=reward_metric_name(name, len(run.study.scorers)),
        is_proxy=isinstance(scorer, StudyRewardModel),
        agreement=replace(agreement, n_failed=sum(pair.human is not None for pair in run.test) - len(ours)),
        length_baseline=longer,
        gain_over_length=lead,
        n_training_pairs=artifact.record["facts"].get("examples", 0),
        warnings=build_reward_warnings(name, agreement, longer, lead),
    )


def compute_reward_correctness(
    test: Sequence[Pair], gaps: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Of the pairs that people labeled and that have a gap, the reward of `a` minus that of `b`: 1 where it prefers what people
    preferred, 0 where not, a half on a tie; and the same of the rule that the longer response is the better."""
    known = [pair for pair in test if pair.human is not None and pair.id in gaps]
    ours = {pair.id: _score_correctness(gaps[pair.id], pair) for pair in known}
    return ours, {pair.id: _score_correctness(len(pair.a) - len(pair.b), pair) for pair in known}


def _score_correctness(gap: float, pair: Pair) -> float:
    return 0.5 if gap == 0 else float((gap > 0) == (pair.human == "a"))


def _compute_agreement(found: Mapping[str, float], run: Run) -> Metric:
    return stats.bounded_mean(
        list(found.values()), null=_CHANCE_AGREEMENT, clusters=[run.prompt_ids[key] for key in found]
    )


def build_reward_warnings(
    name: str, agreement: Metric, length_baseline: Metric, gain_over_length: Metric
) -> tuple[str, ...]:
    """What a reader must know before believing this reward, none of it more than the intervals allow."""
    if agreement.value is None:
        return ()
    told = f"{_format_agreement(agreement)} (n = {agreement.n:,} pairs, ties as halves)"
    if agreement.high is not None and agreement.high < _CHANCE_AGREEMENT:
        return (f"Gold reward {name} prefers what people do not: it agrees with them on {told}.",)
    if agreement.low is None or agreement.low <= _CHANCE_AGREEMENT:
        return (f"Gold reward {name} is not told apart from a coin by its agreement with people, {told}.",)
    if gain_over_length.low is None or gain_over_length.low <= 0:
        return (
            f"Gold reward {name} is not shown to know more than length: it agrees with people on {told}, and the rule that the "
            f"longer response is the better on {_format_agreement(length_baseline)} of the same pairs, a difference of {_format_agreement(gain_over_length, signed=True)}.",
        )
    return ()


def format_proxy_note(info: RewardInfo) -> str:
    """What a reader must know of a reward that the study trains."""
    begins = f"Gold reward {info.name} is a proxy: a reward model"
    if not info.n_training_pairs and info.agreement.value is None:
        return f"{begins} that the study trains on human pairs; how far it agrees with people is still to come."
    return (
        f"{begins} trained on {info.n_training_pairs} human pairs that the study does not use. It agrees with people on "
        f"{_format_agreement(info.agreement)} of the {info.agreement.n} test pairs that they labeled, where the longer response is right "
        f"on {_format_agreement(info.length_baseline)}."
    )


def _format_agreement(metric: Metric, *, signed: bool = False) -> str:
    value, interval = format_value(metric, get_metric_info("agreement"), signed=signed)
    return f"{value} {interval}".rstrip()


def display_metric_name(metric: str, rewards: tuple[RewardInfo, ...]) -> str:
    """The metric's name in tables: rewards that the study trains are called proxies there."""
    proxies = {each.metric for each in rewards if each.is_proxy}
    return metric.replace(GOLD_REWARD, PROXY_REWARD, 1) if metric in proxies else metric


def reward_to_json(info: RewardInfo) -> dict[str, Any]:
    """As JSON holds it, without the name."""
    return {key: value for key, value in asdict(info).items() if key != "name"}


def reward_from_json(name: str, document: Mapping[str, Any]) -> RewardInfo:
    """What `plain` gave. Raises `KeyError` or `TypeError` where a part is missing or of another kind."""
    figures = {key: Metric(**document[key]) for key in ("agreement", "longer", "lead") if key in document}
    return RewardInfo(name=name, **{**document, **figures, "warnings": tuple(document.get("warnings", ()))})
