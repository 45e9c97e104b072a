"""What gold rewards are worth: who gives them, and how far they agree with people on the test pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from trimtab import statistics
from trimtab.components import kind_of
from trimtab.evaluation.trained_reward import TrainedReward
from trimtab.report.folder import Run
from trimtab.types import Choice, Metric

GOLD, PROXY = "gold_reward", "proxy_reward"


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardInfo:
    """A gold reward. `agreement` is with people on the test pairs, `longer` that of the rule that the longer response is the
    better, on the same pairs. `proxy`: the study trained it, on `examples` human pairs of its own."""

    name: str
    kind: str
    metric: str
    proxy: bool
    agreement: Metric
    longer: Metric
    examples: int = 0


def metric_of(name: str, scorers: int) -> str:
    """What the figures of a scorer are called: by its name where there are several."""
    return GOLD if scorers == 1 else f"{GOLD}.{name}"


def reward_infos(run: Run) -> list[RewardInfo]:
    """One for each scorer that has read the test pairs."""
    return [_info(run, name, stage) for name, stage in run.index["rewards"].items() if run.finished(stage)]


def _info(run: Run, name: str, stage: str) -> RewardInfo:
    artifact, scorer = run.artifact(stage), run.study.evaluation[name]
    gaps = {row["id"]: row["a"] - row["b"] for row in artifact.rows("rewards")}
    human = {pair.id: pair.human for pair in run.test}
    longer = {pair.id: float(len(pair.a) - len(pair.b)) for pair in run.test}
    ours, theirs = (statistics.agreement(_choices(each), human, clusters=run.prompts) for each in (gaps, longer))
    return RewardInfo(
        name=name,
        kind=kind_of(scorer),
        metric=metric_of(name, len(run.study.evaluation)),
        proxy=isinstance(scorer, TrainedReward),
        agreement=ours,
        longer=theirs,
        examples=artifact.record["facts"].get("examples", 0),
    )


def _choices(gaps: Mapping[str, float]) -> dict[str, Choice | None]:
    return {key: None if gap == 0 else "a" if gap > 0 else "b" for key, gap in gaps.items()}


def note_of(info: RewardInfo) -> str:
    """What a reader must know of a reward that the study trained."""
    return (
        f"Gold reward {info.name} is a proxy: a reward model trained on {info.examples} human pairs that the study does not "
        f"use. It agrees with people on {_share(info.agreement)} of the {info.agreement.n} test pairs, where the longer "
        f"response is right on {_share(info.longer)}."
    )


def _share(metric: Metric) -> str:
    return "–" if metric.value is None else f"{metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]"


def shown_as(metric: str, rewards: tuple[RewardInfo, ...]) -> str:
    """The metric's name in tables: rewards that the study trained are called proxies there."""
    proxies = {each.metric for each in rewards if each.proxy}
    return metric.replace(GOLD, PROXY, 1) if metric in proxies else metric


def plain(info: RewardInfo) -> dict[str, Any]:
    """As JSON holds it, without the name."""
    return {key: value for key, value in asdict(info).items() if key != "name"}


def read_back(name: str, document: Mapping[str, Any]) -> RewardInfo:
    """What `plain` gave. Raises `KeyError` or `TypeError` where a part is missing or of another kind."""
    figures = {key: Metric(**document[key]) for key in ("agreement", "longer")}
    return RewardInfo(name=name, **{**document, **figures})
