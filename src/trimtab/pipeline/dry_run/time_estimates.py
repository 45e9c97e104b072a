"""About how long a stage will take: what this folder has measured comes first, and a rough rate where it has not.

Work is counted in tokens; a token costs in proportion to the model's parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.config.study import PredefinedSplits, Study
from trimtab.config.training import DpoSettings
from trimtab.core.component import Component
from trimtab.models.inference.sampling import Sampling
from trimtab.models.parameter_count import count_parameters
from trimtab.pipeline.plan import required_models
from trimtab.pipeline.stage import TABLE_KINDS, TRAINING_KINDS, Stage, model_content_hash
from trimtab.pipeline.stages.split import SPLIT_NAMES
from trimtab.storage.artifacts import Artifact

# Seconds a token and a parameter on two cores that multiply bfloat16 fast: measured with a model of 135 million parameters.
READ_RATE, TRAIN_RATE, GENERATE_RATE = 7e-12, 3e-11, 4e-11
TYPICAL_PAIR_TOKENS = 150  # tokens of a prompt and two responses, where no pair has been read yet
TYPICAL_RESPONSE_TOKENS = 200  # tokens of a prompt and its answer
DEFAULT_RATES = {
    "logprobs": READ_RATE,
    "features": READ_RATE * 0.54,  # as deep as is read where nothing is said
    "read_rewards": READ_RATE,
    "sft": TRAIN_RATE,
    "dpo": TRAIN_RATE,
    "reward": TRAIN_RATE,
    "generate": GENERATE_RATE,
    "score": READ_RATE * TYPICAL_RESPONSE_TOKENS,
    "rewards": READ_RATE * TYPICAL_RESPONSE_TOKENS * 2,
    "divergence": READ_RATE * TYPICAL_RESPONSE_TOKENS * 2,
    # What all the questions begin with is read once, so that a pair costs its own tokens; asked twice, once in each order.
    "preference": TRAIN_RATE * TYPICAL_PAIR_TOKENS,
    "judge": READ_RATE * TYPICAL_PAIR_TOKENS * 2,
    "annotate.prompted": READ_RATE * TYPICAL_PAIR_TOKENS * 2,
    "annotate.self_reward": READ_RATE * TYPICAL_PAIR_TOKENS * 2,
}
CHARACTERS_PER_TOKEN = 4
TEMPLATE_TOKENS = 20  # what a chat template and the ends of two responses add to a pair
SFT_TOKEN_FRACTION = 0.7  # of a pair's tokens: the prompt and one response
INSTANT_SECONDS = 0.1  # seconds for what only goes over tables


@dataclass(frozen=True, slots=True)
class _MeasuredStage:
    rate_key: str
    model: str
    work: float
    seconds: float


class TimeEstimator:
    """Seconds of a study's stages. `split` is its finished split; `records` are those of everything in the folder."""

    def __init__(self, study: Study, split: Artifact | None, records: Sequence[Mapping[str, Any]]) -> None:
        self._sizes = {model_content_hash(model): count_parameters(model) for model in required_models(study)}
        self._pairs = _max_pairs(study) if split is None else split.record["facts"]["pairs"]
        self._prompts = self._pairs["test"] if split is None else split.record["facts"]["prompts"]["test"]
        self._tokens_per_pair = {
            side: TYPICAL_PAIR_TOKENS if split is None else _mean_tokens_per_pair(split.read_rows(side))
            for side in SPLIT_NAMES
        }
        by_fingerprint = {record["fingerprint"]: record for record in records}
        self._measured = [
            _MeasuredStage(
                _rate_key(record), _model_of_record(record, by_fingerprint), amount, float(record["seconds"])
            )
            for record in records
            if (amount := _completed_work(record))
        ]

    def estimate_seconds(self, stage: Stage) -> float | None:
        """About how long, None where there is too little to tell from."""
        if _is_quick(stage):
            return INSTANT_SECONDS
        amount = self._stage_work(stage)
        rate = self._seconds_per_unit(
            _rate_key({"stage": stage.kind, "settings": stage.settings}), _model_of_stage(stage)
        )
        return None if amount is None or rate is None else amount * rate

    def _seconds_per_unit(self, kind: str, root: str) -> float | None:
        """Seconds a unit of work: as measured with the same model, else with others in proportion to size, else rough."""
        measured = [each for each in self._measured if each.rate_key == kind]
        same = [each for each in measured if each.model == root]
        if same:
            return sum(each.seconds for each in same) / sum(each.work for each in same)
        size = self._sizes.get(root)
        if size is None:
            return None
        work = sum(each.work * (self._sizes.get(each.model) or 0) for each in measured)
        if work:
            return size * sum(each.seconds for each in measured if self._sizes.get(each.model)) / work
        return size * DEFAULT_RATES[kind] if kind in DEFAULT_RATES else None

    def _stage_work(self, stage: Stage) -> float | None:
        """How much there is to do, in the unit of `_amount_of`."""
        settings = stage.settings
        if stage.kind == "reward" and "scorer" in settings:
            limit = settings["scorer"]["data"].get("limit")
            epochs = _num_epochs(settings["scorer"].get("recipe", {}))
            return None if limit is None else limit * self._tokens_per_pair["labeled"] * epochs
        if stage.kind == "generate":
            prompts = self._count_prompts(settings["prompts"])
            return None if prompts is None else prompts * _max_new_tokens(settings)
        if stage.kind in ("score", "divergence"):
            return self._count_prompts(stage.input_stages["completions"].settings["prompts"])
        if stage.kind == "judge":
            return (
                self._count_prompts(stage.input_stages["ours"].settings["prompts"])
                if "ours" in stage.input_stages
                else stage.settings["pairs"]
            )
        return 1 if stage.kind == "split" else self._pair_work(stage)

    def _pair_work(self, stage: Stage) -> float | None:
        """The same, of a stage that goes over the pairs of one side or more."""
        settings = stage.settings
        if stage.kind in TABLE_KINDS:
            tokens = [self._count_tokens(stage, side) for side in settings["sides"]]
            return None if None in tokens else sum(each or 0 for each in tokens)
        if stage.kind in ("annotate", "rewards"):
            return self._count_pairs(stage, settings.get("side", "unlabeled"))
        if stage.kind not in TRAINING_KINDS:
            return None
        side = "unlabeled" if "labels" in stage.input_stages else "labeled"
        once = self._count_pairs(stage, side) if stage.kind == "preference" else self._count_tokens(stage, side)
        share = SFT_TOKEN_FRACTION if stage.kind == "sft" else 1
        return None if once is None else once * share * _num_epochs(settings["recipe"])

    def _count_tokens(self, stage: Stage, side: str) -> float | None:
        count = self._count_pairs(stage, side)
        return None if count is None else count * self._tokens_per_pair["labeled" if _cv_fold_of(stage) else side]

    def _count_pairs(self, stage: Stage, side: str) -> float | None:
        """Pairs of a side of the stage's own split, which can be a fold of the labeled pairs."""
        fold, split = _cv_fold_of(stage), stage.input_stages.get("split")
        if split is not None and split.kind == "elsewhere":
            return split.settings["source"].get("limit") if side == "test" else 0
        if fold is None:
            return self._pairs[side]
        labeled, folds = self._pairs["labeled"], fold.settings["folds"]
        inside = {"labeled": 1 - 1 / folds, "unlabeled": 1 / folds, "test": 0.0}[side]
        return None if labeled is None else labeled * inside

    def _count_prompts(self, wanted: int | None) -> int | None:
        known = [count for count in (wanted, self._prompts) if count is not None]
        return min(known) if known else None


def _completed_work(record: Mapping[str, Any]) -> float:
    """What a finished stage did, by its kind: tokens, tokens or pairs times epochs, pairs, the most tokens it could write,
    answers; 0 if not told."""
    facts, settings, kind = record["facts"], record["settings"], record["stage"]
    if kind in TRAINING_KINDS:
        recipe = settings["scorer"].get("recipe", {}) if "scorer" in settings else settings["recipe"]
        return float(facts["examples" if kind == "preference" else "tokens"]) * _num_epochs(recipe)
    if kind == "generate":
        return float(facts["prompts"]) * _max_new_tokens(settings)
    counted = {
        "logprobs": "tokens",
        "features": "tokens",
        "read_rewards": "tokens",
        "annotate": "pairs",
        "rewards": "pairs",
        "score": "prompts",
        "divergence": "prompts",
        "judge": "contests",
    }
    if kind in counted:
        return float(facts[counted[kind]])
    return 1.0 if kind == "split" else 0.0


def _rate_key(record: Mapping[str, Any]) -> str:
    """Stages whose rates are alike: those of a kind and, where models are asked, of an annotator; one that reasons is
    another."""
    if record["stage"] != "annotate":
        return str(record["stage"])
    annotator = record["settings"]["annotator"]
    return f"annotate.{annotator['kind']}" + (".reasoned" if annotator.get("reasoning_tokens") else "")


def _cv_fold_of(stage: Stage) -> Stage | None:
    split = stage.input_stages.get("split")
    return split if split is not None and split.kind == "fold" else None


def _num_epochs(recipe: Mapping[str, Any]) -> float:
    return float(recipe.get("epochs", DpoSettings().num_train_epochs))


def _max_new_tokens(settings: Mapping[str, Any]) -> int:
    return int(settings["sampling"].get("max_new_tokens", Sampling().max_new_tokens))


def _is_quick(stage: Stage) -> bool:
    """What labels from tables and checks answers by rule; asking models and someone's own annotator may take their time."""
    if stage.kind == "annotate":
        asks = any(name.startswith("engine.") for name in (*stage.input_stages, *stage.external_hashes))
        return ":" not in stage.settings["annotator"]["kind"] and not asks
    if stage.kind in ("filter", "fold", "part", "held_out", "calibrate"):
        return True
    return stage.kind in ("score", "rewards") and stage.settings["scorer"]["kind"] == "checker"


def _model_of_stage(stage: Stage) -> str:
    """The identity of the published model that a stage works with, by way of what was trained from it."""
    if stage.kind in ("score", "rewards", "read_rewards"):
        return (
            _model_of_stage(stage.input_stages["reward"])
            if "reward" in stage.input_stages
            else stage.external_hashes["scorer"]
        )
    engine = _main_engine([*stage.input_stages, *stage.external_hashes])
    if engine:
        return (
            _model_of_stage(stage.input_stages[engine])
            if engine in stage.input_stages
            else stage.external_hashes[engine]
        )
    if "policy" in stage.input_stages:
        return _model_of_stage(stage.input_stages["policy"])
    while "model" in stage.input_stages:
        stage = stage.input_stages["model"]
    return stage.external_hashes.get("model", "")


def _main_engine(inputs: Iterable[str]) -> str:
    """Of the models that are asked the one that writes most: `engine.strong` where there is one, else `engine.weak`."""
    return min((name for name in inputs if name.startswith("engine.")), default="")


def _model_of_record(record: Mapping[str, Any], by_fingerprint: Mapping[str, Mapping[str, Any]]) -> str:
    """The same as `_root`, of a finished stage."""
    inputs = record["inputs"]
    named = (
        inputs.get(_main_engine(inputs))
        or inputs.get("model")
        or inputs.get("policy")
        or inputs.get("reward")
        or inputs.get("scorer")
        or ""
    )
    beneath = by_fingerprint.get(named)
    return str(named) if beneath is None else _model_of_record(beneath, by_fingerprint)


def _max_pairs(study: Study) -> dict[str, int | None]:
    """The most pairs that each side can hold, None where nothing limits it."""
    if isinstance(study.data, PredefinedSplits):
        return {side: _source_limit(getattr(study.data, side)) for side in SPLIT_NAMES}
    return {side: getattr(study.split, f"max_{side}") for side in SPLIT_NAMES}


def _source_limit(source: Component) -> int | None:
    limit = getattr(source, "limit", None)
    return limit if isinstance(limit, int) else None


def _mean_tokens_per_pair(rows: Sequence[Mapping[str, Any]]) -> float:
    characters = sum(len(row["prompt"]) + len(row["a"]) + len(row["b"]) for row in rows)
    return characters / CHARACTERS_PER_TOKEN / len(rows) + TEMPLATE_TOKENS
