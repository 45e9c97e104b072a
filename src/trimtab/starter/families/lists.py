"""Tasks whose answer has a shape: so many items, bullets, JSON, a first letter, a rhyme."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from random import Random

from trimtab.starter.checkers import Core, graded
from trimtab.starter.defects import empty_handed, opened, padded, rude
from trimtab.starter.families.closed import dotted
from trimtab.starter.item import Draft, Family
from trimtab.starter.reading import Reading
from trimtab.starter.tables import CITIES, GROUPS, NAMES, RHYMES, words

COUNTS = ("", "one", "two", "three", "four", "five", "six")
LETTERS = "abcdefghilmnoprstvw"
ANIMALS = words("ant bear cat dog eagle fox goat horse ibis lion mouse newt owl pig rabbit snake tiger viper wolf")
FOODS = words(
    """
    apple bread cheese dumpling egg fig grape honey ice lemon mango noodle olive pear rice soup tomato vanilla waffle
    """
)
JOBS = words(
    """
    actor baker cook doctor engineer farmer guard hunter inspector lawyer mason nurse officer painter ranger sailor
    tailor vet writer
    """
)


def _members(known: tuple[str, ...], wanted: int) -> Core:
    """How close the number of items is to the wanted one, and how many of the items belong.

    Items are lines where there are several, else what commas and "and" part.
    """

    def core(reading: Reading) -> float:
        said = sum(reading.has_any((word, f"{word}s", f"{word}es", f"{word[:-1]}ies")) for word in known)
        parts = reading.lines if len(reading.lines) > 1 else reading.text.replace(" and ", ",").split(",")
        named = max(said, len([part for part in parts if part.strip(" .!\n")]))
        if said == 0:
            return 0.06 if named != wanted else 0.15
        return (1.0, 0.5, 0.3)[min(2, abs(named - wanted))] * min(1.0, said / wanted)

    return core


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def exact_lists() -> Iterator[Draft]:
    for group, known in GROUPS.items():
        for wanted in range(2, 6):
            for ask in (
                "Name exactly {} kinds of {}.",
                "List {} examples of {}, no more and no fewer.",
                "I need {} kinds of {} for a quiz.",
            ):
                rng = Random(f"list:{group}:{wanted}:{ask}")
                strange = GROUPS[rng.choice([one for one in GROUPS if one != group])]
                exact, more, fewer = (rng.sample(known, n) for n in (wanted, wanted + 2, wanted - 1))
                said = dotted(_listed(exact))
                sentence = f"{COUNTS[wanted].capitalize()} kinds of {group} are {_listed(rng.sample(known, wanted))}."
                yield Draft(
                    prompt=ask.format(COUNTS[wanted], group),
                    check=graded(_members(known, wanted), short=12, fair=18),
                    responses=(
                        said,
                        sentence,
                        dotted(_listed(more)),
                        dotted(_listed(fewer)),
                        dotted(_listed(rng.sample(strange, wanted))),
                        f"{COUNTS[wanted].capitalize()} kinds of {group} are {_listed(rng.sample(strange, wanted))}.",
                        padded(rng, said),
                        rude(rng, said),
                        opened(rng, dotted(_listed(rng.sample(known, wanted + 1)))),
                        *empty_handed(rng),
                    ),
                )


def _bulleted(known: tuple[str, ...], wanted: int, marked: bool) -> Core:
    """Items that belong, each on a line of its own that begins with a bullet, or none of them so."""
    members = _members(known, wanted)

    def core(reading: Reading) -> float:
        share = min(reading.n_marked, wanted) / wanted
        kept = share if marked else float(reading.n_marked == 0 and len(reading.lines) == 1)
        return members(reading) * (0.45 + 0.55 * kept)

    return core


def bullets() -> Iterator[Draft]:
    for group, known in GROUPS.items():
        for wanted in range(2, 5):
            for marked in (True, False):
                for kind in ("kinds", "examples"):
                    rng = Random(f"bullets:{group}:{wanted}:{marked}:{kind}")
                    strange = GROUPS[rng.choice([one for one in GROUPS if one != group])]
                    how = "as a list with a dash before each" if marked else "on one line, without bullets"
                    one, other = rng.sample(known, wanted), rng.sample(strange, wanted)
                    forms = (
                        _dashed(one),
                        dotted(_listed(one)),
                        f"Here are {COUNTS[wanted]} {kind} of {group}: {_listed(one)}.",
                    )
                    right = _dashed(one) if marked else dotted(_listed(one))
                    yield Draft(
                        prompt=f"Give me {COUNTS[wanted]} {kind} of {group}, {how}.",
                        check=graded(_bulleted(known, wanted, marked), short=12, fair=18),
                        responses=(
                            *forms,
                            _dashed(rng.sample(known, wanted + 2)),
                            dotted(_listed(rng.sample(known, wanted + 1))),
                            _dashed(other),
                            f"Here are {COUNTS[wanted]} {kind} of {group}: {_listed(other)}.",
                            padded(rng, right),
                            rude(rng, right),
                            *empty_handed(rng),
                        ),
                    )


def _dashed(words: Sequence[str]) -> str:
    return "\n".join(f"- {word}" for word in words)


def _object(wanted: dict[str, object], as_json: bool) -> Core:
    """The share of the values said, times how well the text is one JSON object with the wanted keys, or plain words."""

    def core(reading: Reading) -> float:
        said = sum(f" {str(value).casefold()} " in reading.line for value in wanted.values()) / len(wanted)
        return max(0.06, said * (_as_json(reading.text, wanted) if as_json else 0.25 if "{" in reading.text else 1.0))

    return core


def _as_json(text: str, wanted: dict[str, object]) -> float:
    """1 for the object alone, 0.75 with words around it, half of either where keys differ; 0.4 for broken JSON."""
    start, end = text.find("{"), text.rfind("}") + 1
    if start < 0:
        return 0.2
    parsed = _parsed(text[start:end])
    if parsed is None:
        return 0.4
    alone = 1.0 if text.strip() == text[start:end] else 0.75
    return alone * (1.0 if parsed.keys() == wanted.keys() else 0.5)


def _parsed(text: str) -> dict[str, object] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def json_objects() -> Iterator[Draft]:
    for index in range(180):
        rng = Random(f"json:{index}")
        as_json = index % 3 != 2
        facts: dict[str, object] = {"name": rng.choice(NAMES), "city": rng.choice(CITIES), "age": rng.randint(18, 80)}
        wrong: dict[str, object] = {
            **facts,
            "city": rng.choice([one for one in CITIES if one != facts["city"]]),
            "age": rng.randint(81, 99),
        }
        sentence = "{name} is {age} years old and lives in {city}."
        how = "Answer in JSON with the keys name, city and age." if as_json else "Write one plain sentence, not JSON."
        source = rng.choice(
            ("{name}, {age}, from {city}.", "Age {age}, name {name}, home {city}.", "{city} is home to {name}, {age}.")
        )
        right = json.dumps(facts) if as_json else sentence.format(**facts)
        yield Draft(
            prompt=f"{source.format(**facts)} {how}",
            check=graded(_object(facts, as_json), short=12, fair=18),
            responses=(
                json.dumps(facts),
                sentence.format(**facts),
                json.dumps(wrong),
                sentence.format(**wrong),
                json.dumps(facts).replace('"', ""),
                json.dumps({"city": facts["city"]}),
                f"Name: {facts['name']}.",
                padded(rng, right),
                rude(rng, right),
                opened(rng, right),
                *empty_handed(rng),
            ),
        )


def _begins_with(letter: str, known: tuple[str, ...]) -> Core:
    """A known word with the letter is 1; one word with the letter that the table does not know is 0.6."""
    rights = [word for word in known if word.startswith(letter)]

    def core(reading: Reading) -> float:
        others = [word for word in known if reading.has_any((word,)) and word not in rights]
        if any(reading.has_any((word,)) for word in rights):
            return 0.5 if others else 1.0
        content = [word for word in reading.tokens if word.startswith(letter) and len(word) > 2]
        return 0.6 if content and not others and reading.n_words <= 2 else 0.35 if content and not others else 0.12

    return core


def first_letters() -> Iterator[Draft]:
    for kind, known in (("animal", ANIMALS), ("food", FOODS), ("job", JOBS)):
        for letter in LETTERS:
            for ask in (
                "Name one {} that begins with the letter {}.",
                "I need the name of some {} starting with {}, please.",
            ):
                rng = Random(f"letter:{kind}:{letter}:{ask}")
                right = next(word for word in known if word.startswith(letter))
                wrong = rng.choice([word for word in known if not word.startswith(letter)])
                said = f"One {kind} that fits is {{}}."
                yield Draft(
                    prompt=ask.format(kind, letter.upper()),
                    check=graded(_begins_with(letter, known)),
                    responses=_words(rng, right, wrong, said),
                )


def rhymes() -> Iterator[Draft]:
    for place, group in enumerate(RHYMES):
        for word in group[:7]:
            rng = Random(f"rhyme:{word}")
            rights = tuple(one for one in group if one != word)
            wrong = rng.choice(RHYMES[(place + rng.randint(1, len(RHYMES) - 1)) % len(RHYMES)])
            ask = rng.choice(('Which word rhymes with "{}"? One is enough.', 'Give me one word that rhymes with "{}".'))
            yield Draft(
                prompt=ask.format(word),
                check=graded(_rhyming(rights, tuple(one for other in RHYMES for one in other if one not in group))),
                responses=_words(rng, rng.choice(rights), wrong, f'A rhyme for "{word}" is "{{}}".'),
            )


def _rhyming(rights: tuple[str, ...], wrongs: tuple[str, ...]) -> Core:
    """A word of the same sound is 1; naming one of another sound as well is 0.5."""
    ending = rights[0][-2:]

    def core(reading: Reading) -> float:
        if reading.has_any(rights):
            return 0.5 if any(word in reading.tokens for word in wrongs) else 1.0
        return 0.5 if any(token.endswith(ending) and token not in wrongs for token in reading.tokens[-1:]) else 0.12

    return core


def _words(rng: Random, right: str, wrong: str, said: str) -> tuple[str, ...]:
    made = [dotted(right), said.format(right), dotted(wrong), said.format(wrong)]
    made += [
        opened(rng, dotted(right)),
        opened(rng, said.format(wrong)),
        padded(rng, said.format(right)),
        rude(rng, dotted(right)),
    ]
    return (*made, *empty_handed(rng))


LISTS = (
    Family(name="exact_list", objective="helpful", about="a list of exactly so many things", drafts=exact_lists),
    Family(name="bullets", objective="helpful", about="a list with dashes, or on one line", drafts=bullets),
    Family(name="json", objective="helpful", about="facts as JSON, or expressly not", drafts=json_objects),
    Family(name="first_letter", objective="helpful", about="a word that begins with a letter", drafts=first_letters),
    Family(name="rhyme", objective="helpful", about="a word that rhymes", drafts=rhymes),
)
