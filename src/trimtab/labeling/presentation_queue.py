"""The order in which a rater sees pairs: a random sample, with some pairs shown a second time with sides swapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trimtab.labeling.events import LabelingSettings
from trimtab.types import Choice, text_hash

# At least this many other pairs are shown between the two times that a pair is shown.
MIN_REPEAT_DISTANCE = 30
# A repeat that is due is shown after one of the next pairs, at random, so that raters cannot predict it.
_PAIRS_PER_REPEAT_SLOT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """One showing of a pair. `left` is the response on the left. `id` does not reveal whether it is a repeat."""

    id: str
    pair_id: str
    left: Choice
    is_repeat: bool


def build_presentation_queue(pair_ids: Sequence[str], rater: str, settings: LabelingSettings) -> list[Presentation]:
    """All presentations of a rater, in order.

    Every pair of the pool has the same probability of being among a rater's first n pairs, n / N, because the order depends on
    hashes of seed and pair id alone. So it does not matter when a rater stops. A larger `limit` continues the order. Of the
    first n pairs, a share of `overlap` are the first pairs of an order that all raters have in common.
    """
    queue: list[Presentation] = []
    repeated: set[str] = set()
    for number, pair_id in enumerate(_sample_pairs(pair_ids, rater, settings), start=1):
        queue.append(_present(pair_id, rater, settings, is_repeat=False))
        slot = int(text_hash(str(settings.seed), rater, pair_id, "repeat slot"), 16)
        if slot % _PAIRS_PER_REPEAT_SLOT == 0 and len(repeated) < int(settings.repeats * number):
            _append_repeat(queue, repeated, rater, settings)
    total = round(settings.repeats * min(settings.limit, len(pair_ids)))
    while len(repeated) < total and _append_repeat(queue, repeated, rater, settings):
        pass
    return queue


def _sample_pairs(pair_ids: Sequence[str], rater: str, settings: LabelingSettings) -> Iterator[str]:
    """A rater's pairs. Position k is the next pair of the common order if a share of `overlap` requires it."""
    seed, limit = str(settings.seed), min(settings.limit, len(pair_ids))
    common = iter(sorted(pair_ids, key=lambda pair_id: text_hash(seed, pair_id)))
    own = iter(sorted(pair_ids, key=lambda pair_id: text_hash(seed, rater, pair_id)))
    used: set[str] = set()
    for position in range(limit):
        is_common = int(settings.overlap * (position + 1)) > int(settings.overlap * position)
        pair_id = next(each for each in (common if is_common else own) if each not in used)
        used.add(pair_id)
        yield pair_id


def _append_repeat(queue: list[Presentation], repeated: set[str], rater: str, settings: LabelingSettings) -> bool:
    """Adds a random pair among those that were shown long enough ago. Returns whether there is one."""
    earlier = queue[: max(0, len(queue) - MIN_REPEAT_DISTANCE)]
    candidates = [each.pair_id for each in earlier if each.pair_id not in repeated]
    if not candidates:
        return False
    number = int(text_hash(str(settings.seed), rater, str(len(repeated)), "repeat"), 16)
    pair_id = candidates[number % len(candidates)]
    queue.append(_present(pair_id, rater, settings, is_repeat=True))
    repeated.add(pair_id)
    return True


def _present(pair_id: str, rater: str, settings: LabelingSettings, *, is_repeat: bool) -> Presentation:
    """The side of a response depends on rater and pair; a repeat has the sides of the first time swapped."""
    a_is_left = int(text_hash(str(settings.seed), rater, pair_id, "side"), 16) % 2 == 0
    return Presentation(
        id=text_hash(str(settings.seed), rater, pair_id, str(is_repeat))[:16],
        pair_id=pair_id,
        left="a" if a_is_left != is_repeat else "b",
        is_repeat=is_repeat,
    )
