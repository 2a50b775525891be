"""Random values of many formats (names, numbers, dates, codes): what the base model learns to copy."""

from __future__ import annotations

import string
from collections.abc import Callable
from random import Random

from demo.text import words


def nonsense(rng: Random, syllables: tuple[int, int] = (1, 3)) -> str:
    """Return an invented lower-case word, so that copying cannot be answered from memory."""
    count = rng.randint(*syllables)
    return "".join(rng.choice(words.ONSETS) + rng.choice(words.NUCLEI) + rng.choice(words.CODAS) for _ in range(count))


def invented_name(rng: Random) -> str:
    """Return an invented capitalised word such as a surname or a product, now and then with an accent."""
    word = nonsense(rng, (2, 3)).capitalize()
    if rng.random() < 0.06:
        place = rng.randrange(1, len(word) + 1)
        word = word[:place] + rng.choice(words.ACCENTED) + word[place:]
    return word


def first_name(rng: Random) -> str:
    """Return a first name, known or invented."""
    return rng.choice(words.FIRST_NAMES) if rng.random() < 0.6 else invented_name(rng)


def surname(rng: Random) -> str:
    """Return a surname, known or invented."""
    return rng.choice(words.SURNAMES) if rng.random() < 0.5 else invented_name(rng)


def person(rng: Random) -> str:
    """Return a first name and a surname."""
    return f"{first_name(rng)} {surname(rng)}"


def city(rng: Random) -> str:
    """Return the name of a town, known or invented."""
    return rng.choice(words.CITIES) if rng.random() < 0.6 else invented_name(rng)


def digits(rng: Random, low: int, high: int) -> str:
    """Return a string of ``low`` to ``high`` random digits."""
    return "".join(rng.choice(string.digits) for _ in range(rng.randint(low, high)))


def number(rng: Random) -> str:
    """Return a whole number without a leading zero."""
    return str(rng.randint(1, 10 ** rng.randint(1, 5)))


def amount(rng: Random) -> str:
    """Return a decimal amount, sometimes with a unit before or after it."""
    value = f"{rng.randint(1, 10 ** rng.randint(1, 4))}.{rng.randint(0, 99):02d}"
    style = rng.random()
    if style < 0.4:
        return f"{value} {rng.choice(words.UNITS)}"
    return value if style < 0.8 else f"{rng.choice(words.UNITS)} {value}"


def quantity(rng: Random) -> str:
    """Return a whole number with its unit."""
    return f"{rng.randint(1, 10 ** rng.randint(1, 3))} {rng.choice(words.UNITS)}"


def date(rng: Random) -> str:
    """Return a date in one of several notations."""
    year, month, day = rng.randint(1930, 2030), rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice(
        [
            f"{year}-{month:02d}-{day:02d}",
            f"{day:02d}.{month:02d}.{year}",
            f"{day:02d}.{month:02d}.",
            f"{day}/{month}/{year}",
            f"{day} {words.MONTHS[month - 1]}",
            f"{words.MONTHS[month - 1]} {day}",
            str(year),
        ]
    )


def clock_time(rng: Random) -> str:
    """Return a time of day."""
    return f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"


def code(rng: Random) -> str:
    """Return an identifier of upper-case letters and digits, in one of several shapes."""
    letters = "".join(rng.choice(string.ascii_uppercase) for _ in range(rng.randint(1, 4)))
    figures = digits(rng, 1, 4)
    shapes = [letters, letters + figures, f"{letters}-{figures}", f"{figures}{letters}", f"{letters}.{figures}"]
    return rng.choice(shapes)


def symbols(rng: Random) -> str:
    """Return one to three marks, so that no printable character stays unknown."""
    return "".join(rng.choice(string.punctuation) for _ in range(rng.randint(1, 3)))


def marked(rng: Random) -> str:
    """Return a word, a number or a code with a mark inside, before or after it."""
    left, right, mark = rng.choice((nonsense, number, code))(rng), number(rng), rng.choice(string.punctuation)
    return rng.choice((f"{left}{mark}{right}", f"{mark}{left}", f"{left}{mark}", f"{left} {mark} {right}"))


def identifier(rng: Random) -> str:
    """Return a long number such as a reference."""
    return digits(rng, 5, 9)


def plain_word(rng: Random) -> str:
    """Return an ordinary word."""
    return rng.choice(rng.choice([words.THINGS, words.PLACES, words.ADJECTIVES, words.TOPICS, words.JOBS]))


def phrase(rng: Random) -> str:
    """Return two or three ordinary words."""
    return " ".join(plain_word(rng) for _ in range(rng.randint(2, 3)))


VALUES: tuple[Callable[[Random], str], ...] = (
    person,
    first_name,
    surname,
    city,
    nonsense,
    invented_name,
    number,
    amount,
    quantity,
    date,
    clock_time,
    code,
    code,
    symbols,
    marked,
    identifier,
    plain_word,
    phrase,
)


def any_value(rng: Random) -> str:
    """Return a value of any kind."""
    return rng.choice(VALUES)(rng)
