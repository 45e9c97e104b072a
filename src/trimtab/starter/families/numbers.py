"""Questions whose answer is a number, a date, a time or an ordering."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from trimtab.starter.checkers import WRONG_SCORE, ContentScorer, number_scorer
from trimtab.starter.families.closed import STYLES, draft_closed_question
from trimtab.starter.item import PromptDraft, TaskFamily
from trimtab.starter.text_analysis import TextAnalysis, normalize_text
from trimtab.starter.texts import WORDS, Texts

_TEXTS = Texts("numbers")

_DRAFTS_PER_FAMILY = 180


def _nearby_number(rng: Random, value: int) -> str:
    return str(rng.choice([item for item in (value - 2, value - 1, value + 1, value + 2, value + 10) if item > 0]))


def draft_arithmetic() -> Iterator[PromptDraft]:
    for index in range(_DRAFTS_PER_FAMILY):
        rng = Random(f"arithmetic:{index}")
        one, two = rng.randint(2, 60), rng.randint(2, 30)
        question, value, sign = (
            (f"What is {one} plus {two}?", one + two, "plus"),
            (f"What is {one + two} minus {two}?", one, "minus"),
            (f"How much is {one % 11 + 2} times {two % 9 + 2}?", (one % 11 + 2) * (two % 9 + 2), "times"),
        )[index % 3]
        givens = tuple(float(word.rstrip("?")) for word in question.split() if word[0].isdigit())
        yield draft_closed_question(
            rng,
            question,
            right=str(value),
            wrong=_nearby_number(rng, value),
            sentence=f"{givens[0]:.0f} {sign} {givens[1]:.0f} is {{}}.",
            noun="number",
            style=STYLES[index // 3 % 3],
            scorer=number_scorer(float(value), givens),
        )


def draft_word_problems() -> Iterator[PromptDraft]:
    for index in range(_DRAFTS_PER_FAMILY):
        rng = Random(f"story:{index}")
        name, friend = rng.sample(WORDS.phrases("names"), 2)
        things = rng.choice(("apples", "books", "coins", "stamps", "marbles", "cards", "pens", "shells"))
        one, two = rng.randint(8, 40), rng.randint(2, 7)
        gains = rng.random() < 0.5
        question = (
            f"{name} has {one} {things} and gets {two} more from {friend}. How many {things} does {name} have now?"
            if gains
            else f"{name} has {one} {things} and gives {two} to {friend}. How many {things} are left?"
        )
        value = one + two if gains else one - two
        yield draft_closed_question(
            rng,
            question,
            right=str(value),
            wrong=str(one - two if gains else one + two),
            sentence=f"{name} now has {{}} {things}.",
            noun="number",
            style=STYLES[index % 3],
            scorer=number_scorer(float(value), (float(one), float(two))),
        )


def draft_units() -> Iterator[PromptDraft]:
    for large, small, factor_text in _TEXTS.rows("units"):
        factor = int(factor_text)
        for count in range(2, 17):
            rng = Random(f"units:{large}:{count}")
            value, wrong = count * factor, rng.choice((count * factor * 10, count + factor, (count + 1) * factor))
            question = rng.choice(
                ("How many {1} are there in {0} {2}?", "Convert {0} {2} to {1}.", "What are {0} {2} in {1}?")
            )
            yield draft_closed_question(
                rng,
                question.format(count, small, large),
                right=f"{value} {small}",
                wrong=f"{wrong} {small}",
                sentence=f"There are {{}} in {count} {large}.",
                noun="amount",
                style=STYLES[count % 3],
                scorer=number_scorer(float(value), (float(count),)),
            )


def _order_scorer(expected: tuple[str, ...]) -> ContentScorer:
    """1 for all words in the correct order, 0.24 for another order, 0.06 if words are missing."""

    def scorer(analysis: TextAnalysis) -> float:
        positions = [analysis.find(normalize_text(word)) for word in expected]
        if min(positions) < 0:
            return WRONG_SCORE / 2
        return 1.0 if positions == sorted(positions) else WRONG_SCORE * 2

    return scorer


def draft_ordering() -> Iterator[PromptDraft]:
    all_words = [word for members in WORDS.groups("categories").values() for word in members]
    for index in range(_DRAFTS_PER_FAMILY):
        rng = Random(f"ordering:{index}")
        if index % 2:
            words = rng.sample([str(value) for value in range(3, 99)], rng.randint(3, 4))
            right, ordering = (
                sorted(words, key=int),
                rng.choice(("from smallest to largest", "from largest to smallest")),
            )
        else:
            words = rng.sample(all_words, rng.randint(3, 4))
            right, ordering = sorted(words), rng.choice(("in alphabetical order", "in reverse alphabetical order"))
        if ordering in ("from largest to smallest", "in reverse alphabetical order"):
            right = right[::-1]
        wrong = right[::-1] if rng.random() < 0.4 else [right[1], right[0], *right[2:]]
        yield draft_closed_question(
            rng,
            f"Put these {ordering}: {', '.join(words)}.",
            right=", ".join(right),
            wrong=", ".join(wrong),
            sentence="The order you asked for is {}.",
            noun="list",
            style="only" if index % 3 else "free",
            scorer=_order_scorer(tuple(right)),
        )


def draft_counting() -> Iterator[PromptDraft]:
    all_words = [word for members in WORDS.groups("categories").values() for word in members]
    for index in range(_DRAFTS_PER_FAMILY):
        rng = Random(f"counting:{index}")
        words = rng.sample(all_words, rng.randint(2, 8))
        if index % 3:
            question, value = f"How many words are in this list: {', '.join(words)}?", len(words)
        else:
            question, value = f'How many letters does the word "{words[0]}" have?', len(words[0])
        yield draft_closed_question(
            rng,
            question,
            right=str(value),
            wrong=_nearby_number(rng, value),
            sentence="I count {} of them.",
            noun="number",
            style=STYLES[index // 3 % 3],
            scorer=number_scorer(float(value)),
        )


def draft_days_and_months() -> Iterator[PromptDraft]:
    for cycle, unit in ((WORDS.phrases("days"), "day"), (WORDS.phrases("months"), "month")):
        for start in cycle:
            for step in (-3, -2, -1, 1, 2, 3):
                rng = Random(f"calendar:{start}:{step}")
                right, wrong = (cycle[(cycle.index(start) + move) % len(cycle)] for move in (step, -step))
                wrong = wrong if rng.random() < 0.5 else cycle[(cycle.index(start) + step + 1) % len(cycle)]
                side, count = ("after" if step > 0 else "before"), abs(step)
                span = f"{('one', 'two', 'three')[count - 1]} {unit}{'s' if count > 1 else ''}"
                yield draft_closed_question(
                    rng,
                    f"Which {unit} comes {span} {side} {start}?",
                    right=right,
                    wrong=wrong,
                    others=tuple(item for item in cycle if item != start),
                    sentence=f"The {unit} {span} {side} {start} is {{}}.",
                    noun=unit,
                    style=STYLES[(step + len(start)) % 3],
                )


def draft_clock() -> Iterator[PromptDraft]:
    for index in range(_DRAFTS_PER_FAMILY):
        rng = Random(f"clock:{index}")
        start, hours, minute = rng.randint(1, 8), rng.randint(1, 4), rng.choice((5, 10, 15, 20, 30, 40, 45, 50))
        event = rng.choice(("film", "meeting", "concert", "match", "class", "party", "journey", "play"))
        span = f"{hours} hour{'s' if hours > 1 else ''}"
        wrong_hour = start + hours + rng.choice((-1, 1, 2))
        yield draft_closed_question(
            rng,
            f"The {event} begins at {start}:{minute:02d} and lasts {span}. When does it end?",
            right=f"{start + hours}:{minute:02d}",
            wrong=f"{wrong_hour if wrong_hour != start + hours else wrong_hour + 1}:{minute:02d}",
            others=tuple(f"{hour}:{minute:02d}" for hour in range(1, 13) if hour != start),
            sentence=f"The {event} ends at {{}}.",
            noun="time",
            style=STYLES[index % 3],
        )


def draft_comparison() -> Iterator[PromptDraft]:
    for index in range(_DRAFTS_PER_FAMILY):
        rng = Random(f"comparison:{index}")
        one, other = rng.sample(WORDS.phrases("objects"), 2)
        low, high = sorted(rng.sample(range(12, 300), 2))
        price = {one: low, other: high} if rng.random() < 0.5 else {one: high, other: low}
        word = rng.choice(("cheaper", "more expensive"))
        right = min(price, key=price.__getitem__) if word == "cheaper" else max(price, key=price.__getitem__)
        yield draft_closed_question(
            rng,
            f"The {one} costs {price[one]} dollars and the {other} {price[other]} dollars. Which is {word}?",
            right=f"the {right}",
            wrong=f"the {other if right == one else one}",
            sentence=f"Of the two, {{}} is {word}.",
            noun="item",
            style=STYLES[index % 3],
        )


NUMBERS = (
    TaskFamily(
        name="arithmetic",
        objective="helpful",
        description="sums, differences and products",
        generate_drafts=draft_arithmetic,
    ),
    TaskFamily(
        name="word_problem",
        objective="helpful",
        description="one-step word problems with a number as answer",
        generate_drafts=draft_word_problems,
    ),
    TaskFamily(name="units", objective="helpful", description="unit conversion", generate_drafts=draft_units),
    TaskFamily(
        name="ordering",
        objective="helpful",
        description="sorting words or numbers",
        generate_drafts=draft_ordering,
    ),
    TaskFamily(
        name="counting",
        objective="helpful",
        description="the number of words or letters",
        generate_drafts=draft_counting,
    ),
    TaskFamily(
        name="calendar",
        objective="helpful",
        description="days and months before and after",
        generate_drafts=draft_days_and_months,
    ),
    TaskFamily(name="clock", objective="helpful", description="end times", generate_drafts=draft_clock),
    TaskFamily(
        name="comparison",
        objective="helpful",
        description="which of two costs more or less",
        generate_drafts=draft_comparison,
    ),
)
