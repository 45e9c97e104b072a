"""What gold rewards are worth: who gives them, and how far they agree with people on the test pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from trimtab import statistics
from trimtab.components import kind_of
from trimtab.evaluation.trained_reward import TrainedReward
from trimtab.report.folder import Run
from trimtab.report.metrics import metric_info, written
from trimtab.types import Metric, Pair

GOLD, PROXY = "gold_reward", "proxy_reward"
# Agreement with people by a coin.
COIN = 0.5
_NOTHING = Metric(value=None, low=None, high=None, n=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardInfo:
    """A gold reward. `agreement` is with people on the test pairs that they labeled and it has read, ties counting as halves,
    `longer` that of the rule that the longer response is the better, on the same pairs, and `lead` the paired difference.
    `proxy`: the study trains it, on `examples` human pairs of its own, 0 where that is still to come. `warnings` are
    sentences on what it is not good for."""

    name: str
    kind: str
    metric: str
    proxy: bool
    agreement: Metric
    longer: Metric
    lead: Metric = _NOTHING
    examples: int = 0
    warnings: tuple[str, ...] = ()


def metric_of(name: str, scorers: int) -> str:
    """What the figures of a scorer are called: by its name where there are several."""
    return GOLD if scorers == 1 else f"{GOLD}.{name}"


def reward_infos(run: Run) -> list[RewardInfo]:
    """One for each scorer that has read the test pairs, and for each that the study trains: it is a proxy from the first on."""
    found = []
    for name, scorer in run.study.evaluation.items():
        stage = run.index["rewards"].get(name)
        if stage is not None and run.finished(stage):
            found.append(_info(run, name, stage))
        elif isinstance(scorer, TrainedReward):
            found.append(_awaited(run, name))
    return found


def _awaited(run: Run, name: str) -> RewardInfo:
    """A proxy that has scored answers, or will, and has not read the test pairs yet."""
    return RewardInfo(
        name=name,
        kind=kind_of(run.study.evaluation[name]),
        metric=metric_of(name, len(run.study.evaluation)),
        proxy=True,
        agreement=_NOTHING,
        longer=_NOTHING,
    )


def _info(run: Run, name: str, stage: str) -> RewardInfo:
    artifact, scorer = run.artifact(stage), run.study.evaluation[name]
    gaps = {row["id"]: row["a"] - row["b"] for row in artifact.rows("rewards")}
    ours, theirs = rights(run.test, gaps)
    agreement, longer = (_share(each, run) for each in (ours, theirs))
    lead = statistics.paired_difference(ours, theirs, clusters=run.prompts)
    return RewardInfo(
        name=name,
        kind=kind_of(scorer),
        metric=metric_of(name, len(run.study.evaluation)),
        proxy=isinstance(scorer, TrainedReward),
        agreement=replace(agreement, n_failed=sum(pair.human is not None for pair in run.test) - len(ours)),
        longer=longer,
        lead=lead,
        examples=artifact.record["facts"].get("examples", 0),
        warnings=warnings(name, agreement, longer, lead),
    )


def rights(test: Sequence[Pair], gaps: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Of the pairs that people labeled and that have a gap, the reward of `a` minus that of `b`: 1 where it prefers what people
    preferred, 0 where not, a half on a tie; and the same of the rule that the longer response is the better."""
    known = [pair for pair in test if pair.human is not None and pair.id in gaps]
    ours = {pair.id: _right(gaps[pair.id], pair) for pair in known}
    return ours, {pair.id: _right(len(pair.a) - len(pair.b), pair) for pair in known}


def _right(gap: float, pair: Pair) -> float:
    return 0.5 if gap == 0 else float((gap > 0) == (pair.human == "a"))


def _share(found: Mapping[str, float], run: Run) -> Metric:
    return statistics.share(list(found.values()), null=COIN, clusters=[run.prompts[key] for key in found])


def warnings(name: str, agreement: Metric, longer: Metric, lead: Metric) -> tuple[str, ...]:
    """What a reader must know before believing this reward, none of it more than the intervals allow."""
    if agreement.value is None:
        return ()
    told = f"{_told(agreement)} (n = {agreement.n:,} pairs, ties as halves)"
    if agreement.high is not None and agreement.high < COIN:
        return (f"Gold reward {name} prefers what people do not: it agrees with them on {told}.",)
    if agreement.low is None or agreement.low <= COIN:
        return (f"Gold reward {name} is not told apart from a coin by its agreement with people, {told}.",)
    if lead.low is None or lead.low <= 0:
        return (
            f"Gold reward {name} is not shown to know more than length: it agrees with people on {told}, and the rule that the "
            f"longer response is the better on {_told(longer)} of the same pairs, a difference of {_told(lead, signed=True)}.",
        )
    return ()


def note_of(info: RewardInfo) -> str:
    """What a reader must know of a reward that the study trains."""
    begins = f"Gold reward {info.name} is a proxy: a reward model"
    if not info.examples and info.agreement.value is None:
        return f"{begins} that the study trains on human pairs; how far it agrees with people is still to come."
    return (
        f"{begins} trained on {info.examples} human pairs that the study does not use. It agrees with people on "
        f"{_told(info.agreement)} of the {info.agreement.n} test pairs that they labeled, where the longer response is right "
        f"on {_told(info.longer)}."
    )


def _told(metric: Metric, *, signed: bool = False) -> str:
    value, interval = written(metric, metric_info("agreement"), signed=signed)
    return f"{value} {interval}".rstrip()


def shown_as(metric: str, rewards: tuple[RewardInfo, ...]) -> str:
    """The metric's name in tables: rewards that the study trains are called proxies there."""
    proxies = {each.metric for each in rewards if each.proxy}
    return metric.replace(GOLD, PROXY, 1) if metric in proxies else metric


def plain(info: RewardInfo) -> dict[str, Any]:
    """As JSON holds it, without the name."""
    return {key: value for key, value in asdict(info).items() if key != "name"}


def read_back(name: str, document: Mapping[str, Any]) -> RewardInfo:
    """What `plain` gave. Raises `KeyError` or `TypeError` where a part is missing or of another kind."""
    figures = {key: Metric(**document[key]) for key in ("agreement", "longer", "lead") if key in document}
    return RewardInfo(name=name, **{**document, **figures, "warnings": tuple(document.get("warnings", ()))})
