"""Small open questions with a rule about the form of the answer: its length, its case, its words."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from trimtab.starter.checkers import Core, graded, kept, on_topic, times
from trimtab.starter.defects import empty_handed, opened, padded, rude
from trimtab.starter.families.topics import SENTENCES, TOPICS, topic_words
from trimtab.starter.item import Draft, Family
from trimtab.starter.reading import Reading, line_of

LIMITS = (5, 6, 8, 10, 12, 15)
LIMIT_ASKS = ("Answer in at most {} words.", "Use no more than {} words.")
NUMBER_NAMES = ("", "one", "two", "three")


def _under(n_words: int) -> Core:
    """1 within the limit, 0.1 less for each word beyond it, never below 0.1."""
    return lambda reading: max(0.1, 1.0 if reading.n_words <= n_words else 0.7 - 0.08 * (reading.n_words - n_words))


def _exactly(n_sentences: int) -> Core:
    """1 for the wanted number of sentences, 0.45 for one more or one less, 0.2 beyond."""
    return lambda reading: (1.0, 0.45, 0.2)[min(2, abs(reading.n_sentences - n_sentences))]


def _said(rng: Random, row: tuple[str, ...], n_sentences: int) -> str:
    return " ".join(row[place] for place in sorted(rng.sample((1, 2, 3), n_sentences)))


def _astray(rng: Random, row: tuple[str, ...], n_sentences: int) -> str:
    return " ".join(rng.sample([one for one in SENTENCES if one not in row], n_sentences))


def _responses(rng: Random, row: tuple[str, ...], *fitting: str) -> tuple[str, ...]:
    """The fitting ones, one to three true sentences, one to three about something else, and the usual defects."""
    made = [*fitting, *(_said(rng, row, n) for n in (1, 2, 3)), *(_astray(rng, row, n) for n in (1, 2, 3))]
    made += [padded(rng, _said(rng, row, 1)), rude(rng, row[1]), opened(rng, _said(rng, row, 1)), *empty_handed(rng)]
    return tuple(dict.fromkeys(made))


def word_limits() -> Iterator[Draft]:
    for row in TOPICS:
        for limit in LIMITS:
            rng = Random(f"words:{row[0]}:{limit}")
            yield Draft(
                prompt=f"{row[0]} {rng.choice(LIMIT_ASKS).format(limit)}",
                check=graded(
                    times(on_topic(topic_words(row), 1), _under(limit)), short=limit, fair=limit + 4, long=limit + 30
                ),
                responses=_responses(rng, row),
            )


def sentence_counts() -> Iterator[Draft]:
    for row in TOPICS:
        for wanted in (1, 2, 3):
            for ask in ("Answer in exactly {} {}.", "Give me {} {}, no more and no less."):
                rng = Random(f"sentences:{row[0]}:{wanted}:{ask}")
                core = times(on_topic(topic_words(row), 1), _exactly(wanted))
                yield Draft(
                    prompt=f"{row[0]} {ask.format(NUMBER_NAMES[wanted], 'sentence' if wanted == 1 else 'sentences')}",
                    check=graded(core, short=9 * wanted, fair=16 * wanted, long=30 + 16 * wanted),
                    responses=_responses(rng, row, _said(rng, row, wanted), _said(rng, row, wanted)),
                )


def letter_cases() -> Iterator[Draft]:
    rules = (
        ("Write in capital letters only.", str.upper),
        ("Write everything in uppercase.", str.upper),
        ("Use lowercase letters only.", str.lower),
        ("Do not use any capital letters.", str.lower),
        ("Use normal capitalization.", str),
    )
    for row in TOPICS:
        for rule, change in rules:
            rng = Random(f"case:{row[0]}:{rule}")
            one, two = _said(rng, row, 1), _said(rng, row, 2)
            yield Draft(
                prompt=f"{row[0]} {rule}",
                check=graded(
                    times(on_topic(topic_words(row), 1), _cased(change is str.upper, change is str.lower)),
                    short=14,
                    fair=22,
                ),
                responses=(
                    *(form(text) for text in (one, two) for form in (str, str.upper, str.lower)),
                    change(_astray(rng, row, 1)),
                    change(_astray(rng, row, 2)),
                    change(padded(rng, one)),
                    change(rude(rng, one)),
                    *empty_handed(rng),
                ),
            )


def _cased(upper: bool, lower: bool) -> Core:
    """The share of letters in the wanted case, squared; normal capitalization wants some of both."""

    def core(reading: Reading) -> float:
        letters = [letter for letter in reading.text if letter.isalpha()]
        share = sum(letter.isupper() for letter in letters) / max(1, len(letters))
        if upper:
            return max(0.15, share**2)
        if lower:
            return max(0.15, 1.0 - 0.4 * (share > 0) - share)
        return 1.0 if 0 < share < 0.3 and reading.text.strip()[0].isupper() else 0.35

    return core


def forbidden_words() -> Iterator[Draft]:
    for row in TOPICS:
        for place, word in enumerate(topic_words(row)[:5]):
            rng = Random(f"forbidden:{row[0]}:{word}")
            line = line_of(word)
            rest = tuple(other for other in topic_words(row) if other != word)
            clean = [text for text in row[1:4] if line not in line_of(text)]
            caught = [text for text in row[1:4] if line in line_of(text)] or [
                f"It is about {word}. {row[1]}",
                f"Think of {word}.",
            ]
            both = f"{rng.choice(clean or caught)} {caught[-1]}"
            yield Draft(
                prompt=f'{row[0]} {("Do not use", "Answer without")[place % 2]} the word "{word}".',
                check=graded(times(on_topic((*rest, word), 1), _without(line)), short=14, fair=22),
                responses=tuple(dict.fromkeys((*clean, *caught, both, *_responses(rng, row, *clean[:1])))),
            )


def _without(line: str) -> Core:
    return kept(lambda reading: line not in reading.line, 0.3)


def _word_for_word(wanted: str) -> Core:
    """1 for the text and nothing else, less for other letters or words around it; 0.1 where it is not there."""
    line, n_wanted = line_of(wanted), len(wanted.split())

    def core(reading: Reading) -> float:
        if reading.text.strip() == wanted:
            return 1.0
        if line not in reading.line:
            return 0.1
        return max(0.3, 0.85 - 0.06 * max(0, reading.n_words - n_wanted))

    return core


def repeating() -> Iterator[Draft]:
    for row in TOPICS:
        for wanted in (*row[1:4], " ".join(row[1:3]), " ".join(row[2:4])):
            rng = Random(f"repeat:{wanted}")
            ask = rng.choice(("Repeat this exactly, word for word: {}", "Copy this text and add nothing: {}"))
            changed = wanted.replace(" the ", " a ") if " the " in wanted else wanted.rstrip(".") + " too."
            shortened = " ".join(wanted.split()[:-2]) + "."
            yield Draft(
                prompt=ask.format(wanted),
                check=graded(_word_for_word(wanted), short=16, fair=24),
                responses=tuple(
                    dict.fromkeys(
                        (
                            wanted,
                            opened(rng, wanted),
                            f'The text says: "{wanted}"',
                            wanted.upper(),
                            changed,
                            f"{changed} {_said(rng, row, 1)}",
                            shortened,
                            _astray(rng, row, 1),
                            _astray(rng, row, 2),
                            padded(rng, wanted),
                            rude(rng, wanted),
                            *empty_handed(rng),
                        )
                    )
                ),
            )


FORMS = (
    Family(name="word_limit", objective="helpful", about="a short answer within a number of words", drafts=word_limits),
    Family(name="sentence_count", objective="helpful", about="an exact number of sentences", drafts=sentence_counts),
    Family(
        name="letter_case",
        objective="helpful",
        about="capitals only, small letters only, or neither",
        drafts=letter_cases,
    ),
    Family(
        name="forbidden_word", objective="helpful", about="an answer without one given word", drafts=forbidden_words
    ),
    Family(name="repeat", objective="helpful", about="a text repeated word for word", drafts=repeating),
)
