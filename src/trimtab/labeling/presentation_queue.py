"""The order in which a rater sees pairs: a random sample, with some pairs shown a second time with sides swapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

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
    queue = _QueueBuilder(rater, settings)
    for number, pair_id in enumerate(_sample_pairs(pair_ids, rater, settings), start=1):
        queue.append_pair(pair_id)
        slot = int(text_hash(str(settings.seed), rater, pair_id, "repeat slot"), 16)
        if slot % _PAIRS_PER_REPEAT_SLOT == 0 and queue.num_repeats < int(settings.repeats * number):
            queue.append_repeat()
    total = round(settings.repeats * min(settings.limit, len(pair_ids)))
    while queue.num_repeats < total and queue.append_repeat():
        pass
    return queue.presentations


@dataclass(slots=True)
class _QueueBuilder:
    """A queue that grows, and the pairs in it that were shown long enough ago to be repeated."""

    rater: str
    settings: LabelingSettings
    presentations: list[Presentation] = field(default_factory=list)
    num_repeats: int = 0
    _repeatable: list[str] = field(default_factory=list)

    def append_pair(self, pair_id: str) -> None:
        self._append(pair_id, is_repeat=False)

    def append_repeat(self) -> bool:
        """Adds a random one of the pairs that can be repeated. Returns whether there is one."""
        if not self._repeatable:
            return False
        number = int(text_hash(str(self.settings.seed), self.rater, str(self.num_repeats), "repeat"), 16)
        self._append(self._repeatable.pop(number % len(self._repeatable)), is_repeat=True)
        self.num_repeats += 1
        return True

    def _append(self, pair_id: str, *, is_repeat: bool) -> None:
        """The side of a response depends on rater and pair; a repeat has the sides of the first time swapped."""
        seed = str(self.settings.seed)
        a_is_left = int(text_hash(seed, self.rater, pair_id, "side"), 16) % 2 == 0
        self.presentations.append(
            Presentation(
                id=text_hash(seed, self.rater, pair_id, str(is_repeat))[:16],
                pair_id=pair_id,
                left="a" if a_is_left != is_repeat else "b",
                is_repeat=is_repeat,
            )
        )
        if len(self.presentations) > MIN_REPEAT_DISTANCE:
            earlier = self.presentations[-1 - MIN_REPEAT_DISTANCE]
            if not earlier.is_repeat:
                self._repeatable.append(earlier.pair_id)


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
