"""What an audit counts: an annotator's labels beside people's, beside rules that cost nothing, and by length and sureness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab import calibration, statistics
from trimtab.annotators.longest import Longest
from trimtab.annotators.shortest import Shortest
from trimtab.calibration import Bin, Method
from trimtab.filters._best_fraction import Kept, best_fraction, fractions
from trimtab.protocols import Given
from trimtab.stages.calibrate import HeldOut, calibrated, fitted, held_out_labels
from trimtab.types import Annotation, Choice, Metric, Pair

Labels = Mapping[str, Annotation]
# Points of the curve of accuracy over the share that is kept.
SHARES = tuple(place / 10 for place in range(1, 11))


@dataclass(frozen=True, slots=True, kw_only=True)
class Honesty:
    """How far probabilities are from what happens, before calibration or after it."""

    brier: Metric
    log_loss: Metric
    calibration_error: Metric
    reliability: tuple[Bin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Pairs with human labels, and the labels of an annotator that did not learn from them."""

    pairs: Sequence[Pair]
    labels: Labels

    @property
    def human(self) -> dict[str, Choice]:
        return {pair.id: pair.human for pair in self.pairs if pair.human is not None}

    @property
    def prompts(self) -> dict[str, str]:
        return {pair.id: pair.prompt_id for pair in self.pairs}

    def agreement(self, labels: Labels | None = None, among: Sequence[Pair] | None = None) -> Metric:
        """With people, over prompts; of other labels, or among some pairs alone."""
        found = self.labels if labels is None else labels
        kept = {pair.id for pair in (self.pairs if among is None else among)}
        human = {key: choice for key, choice in self.human.items() if key in kept}
        choices = {key: label.choice for key, label in found.items()}
        return statistics.agreement(choices, human, clusters=self.prompts)

    def rights(self, labels: Labels | None = None) -> dict[str, float]:
        """By pair: 1 where the label is people's, 0 where not, a half where it prefers nothing."""
        found = self.labels if labels is None else labels
        return {
            key: 0.5 if found[key].choice is None else float(found[key].choice == choice)
            for key, choice in self.human.items()
            if key in found
        }

    def lead(self, over: Labels) -> Metric:
        """The annotator's share of right labels less the other's on the same pairs."""
        return statistics.paired_difference(self.rights(), self.rights(over), clusters=self.prompts)

    def rules(self) -> dict[str, Labels]:
        """The labels of the two rules of length."""
        return {
            name: {each.pair_id: each for each in rule.annotate(self.pairs, Given())}
            for name, rule in (("longest", Longest()), ("shortest", Shortest()))
        }

    def by_length(self) -> dict[str, Metric]:
        """Agreement where people prefer the longer response and where the shorter one, and by thirds of how much the lengths
        differ, in characters over the longer one's."""
        longer, shorter = ([pair for pair in self.pairs if _prefers_longer(pair) is want] for want in (True, False))
        ranked = sorted(self.pairs, key=lambda pair: (_apart(pair), pair.id))
        cut = [round(len(ranked) * place / 3) for place in range(4)]
        thirds = {
            name: ranked[cut[place] : cut[place + 1]]
            for place, name in enumerate(("much_alike", "somewhat_apart", "far_apart"))
        }
        groups = {"people_prefer_longer": longer, "people_prefer_shorter": shorter, **thirds}
        return {name: self.agreement(among=pairs) for name, pairs in groups.items()}

    def order_flips(self, *, symmetric: bool) -> Metric | None:
        """How often the two orders contradict each other: 0 by its make for a symmetric annotator; None where nobody tells."""
        told = [bool(each.detail["flipped"]) for each in self.labels.values() if "flipped" in each.detail]
        if told:
            return statistics.proportion(sum(told), len(told), len(self.labels) - len(told))
        return Metric(value=0.0, low=0.0, high=0.0, n=len(self.labels), n_failed=0) if symmetric else None

    def kept(self) -> tuple[Kept, dict[float, Metric]]:
        """The share of the surest labels that is worth most, and the accuracy at every tenth."""
        known = self._known()
        sure = [max(p, 1 - p) for p in known.p_a]
        right = [(p > 0.5) == (choice == "a") for p, choice in zip(known.p_a, known.human, strict=True)]
        steps = list(fractions(sure, right))
        curve = {share: min(steps, key=lambda each: abs(each.fraction - share)).accuracy for share in SHARES}
        return best_fraction(sure, right), curve

    def honesty(self, method: Method, seed: int) -> tuple[Honesty, Honesty]:
        """Before calibration, and after it, each pair by a map that was fitted without its fold."""
        known = self._known()
        after = calibration.cross_fitted(method, known.p_a, known.human, known.prompts, seed=seed)
        return _honesty(known.p_a, known, seed), _honesty(after, known, seed)

    def on_pool(self, pool: Labels, prompts: Mapping[str, str], method: Method, seed: int) -> Metric:
        """Expected accuracy of the labels of the pool, whose pairs' prompts are given, prediction-powered by the calibrated
        sureness of both."""
        known = self._known()
        after = calibration.cross_fitted(method, known.p_a, known.human, known.prompts, seed=seed)
        right = [float((p > 0.5) == (choice == "a")) for p, choice in zip(known.p_a, known.human, strict=True)]
        mapped = calibrated(fitted(method, known, "audit"), list(pool.values()))
        sure = [max(each.p_a, 1 - each.p_a) if each.p_a is not None else 0.5 for each in mapped]
        return statistics.ppi_mean(
            right,
            [max(p, 1 - p) for p in after],
            sure,
            clusters=known.prompts,
            unlabeled_clusters=[prompts[each.pair_id] for each in mapped],
        )

    def _known(self) -> HeldOut:
        return held_out_labels(self.pairs, self.labels, "audit")


def _honesty(p_a: Sequence[float], known: HeldOut, seed: int) -> Honesty:
    return Honesty(
        brier=calibration.brier(p_a, known.human, clusters=known.prompts, seed=seed),
        log_loss=calibration.log_loss(p_a, known.human, clusters=known.prompts, seed=seed),
        calibration_error=calibration.equal_mass_error(p_a, known.human),
        reliability=calibration.reliability(p_a, known.human),
    )


def _prefers_longer(pair: Pair) -> bool | None:
    if pair.human is None or len(pair.a) == len(pair.b):
        return None
    return (len(pair.a) > len(pair.b)) == (pair.human == "a")


def _apart(pair: Pair) -> float:
    return abs(len(pair.a) - len(pair.b)) / max(len(pair.a), len(pair.b), 1)
