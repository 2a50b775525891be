"""Short texts about everyday life with the facts that they state, for the extraction tasks."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from demo.text import words
from demo.text.values import amount, city, clock_time, code, date, identifier, invented_name, person, quantity

# Ways to name each fact in a question.
FIELD_NAMES: dict[str, tuple[str, ...]] = {
    "who": ("name", "person", "who"),
    "city": ("city", "place", "where"),
    "day": ("date", "day", "when"),
    "time": ("time", "hour"),
    "thing": ("thing", "object", "what"),
    "amount": ("amount", "price", "sum"),
    "quantity": ("quantity", "how much", "count"),
    "number": ("number", "reference", "no"),
    "code": ("code", "key", "mark"),
    "brand": ("brand", "product", "make"),
    "job": ("job", "work", "role"),
    "topic": ("topic", "subject", "reason"),
}

MAKERS: dict[str, Callable[[Random], str]] = {
    "who": person,
    "city": city,
    "day": date,
    "time": clock_time,
    "thing": lambda rng: f"{rng.choice(words.COLOURS)} {rng.choice(words.THINGS)}",
    "amount": amount,
    "quantity": quantity,
    "number": identifier,
    "code": code,
    "brand": invented_name,
    "job": lambda rng: rng.choice(words.JOBS),
    "topic": lambda rng: f"{rng.choice(words.ADJECTIVES)} {rng.choice(words.TOPICS)}",
}

SCENES = (
    "{who} sent a {thing} to {city} on {day}, reference {number}.",
    "Order {number}: {quantity} of {brand} for {who}, {amount}.",
    "{who}, {job} in {city}, starts at {time}.",
    "On {day} {who} paid {amount} for a {thing}.",
    "The {job} {who} was born {day} and lives in {city}.",
    "{who} called from {city} about the {topic}, number {number}.",
    "Train {code} leaves {city} at {time} on {day}.",
    "The {thing} in room {code} belongs to {who}.",
    "{who} uses {quantity} of {brand} and wants {amount} back.",
    "Meeting about the {topic}: {who}, {day}, {time}, {city}.",
    "Guest {who}, {city}, born {day}, room {code}, {topic}.",
    "Parcel {number} with {quantity} of {brand} came on {day}.",
    "{day}: {who} wrote about a {topic} with {brand}, {amount}, file {number}.",
    "{who} takes {quantity} of {brand} every day because of the {topic}.",
    "The {job} saw {who} at {time} and noted {code}, {quantity}.",
    "A {topic}: {amount} to {brand}, from {who}, mark {code}.",
    "Ticket {code} for {who}: {thing}, {time}, {day}.",
    "{brand} {code} weighs {quantity} and costs {amount}.",
    "Note for {who}: {topic}, {thing}, {quantity}, {day}.",
    "{who} and the {job} met in {city}; the {topic} took {quantity}.",
)


def scene(rng: Random) -> tuple[str, dict[str, str]]:
    """Return a sentence and the facts that it states."""
    pattern = rng.choice(SCENES)
    facts = {key: make(rng) for key, make in MAKERS.items() if "{" + key + "}" in pattern}
    return pattern.format(**facts), facts
