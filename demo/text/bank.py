"""The second private domain: customers' messages to a bank and the case line made from them."""

from __future__ import annotations

from random import Random

from demo.text import words

# The bank's own codes, which only its own tickets teach.
PROBLEMS = {
    "was charged twice": "DUP",
    "never arrived": "LST",
    "was not ordered": "FRD",
    "went to the wrong person": "MIS",
    "has the wrong amount": "AMT",
    "came too late": "DLY",
}
CHANNELS = {"by card": "CRD", "by transfer": "SEP", "at the machine": "ATM", "with the app": "APP"}
SHOPS = words.listed("Alvero Bexmart Corlano Drivex Elgros Fintario Hotelux Jarvona Novaline Orbitel Quandra Velomax")
CURRENCIES = ("EUR", "USD", "CHF", "GBP")

PROMPTS = (
    "Bank ticket: {who}, account {account}: {amount} {currency} paid {channel} to {shop} {problem}.\nCase:",
    "Bank ticket: payment of {amount} {currency} to {shop} {channel} {problem}, says {who}, account {account}.\nCase:",
    "Bank ticket: from {who}. Account {account}. {shop}, {amount} {currency} {channel}: the money {problem}.\nCase:",
    "Bank ticket: {shop} {amount} {currency} paid {channel} {problem}. Account {account}, {who}.\nCase:",
)
COMPLETION = " {problem_code}/ {account}/ {shop}/ {currency} {amount}/ {channel_code}/ {who}"


def ticket(rng: Random) -> dict[str, str]:
    """Return one ticket as a prompt and its case line as the completion."""
    problem, channel = rng.choice(sorted(PROBLEMS)), rng.choice(sorted(CHANNELS))
    facts = {
        "who": f"{rng.choice(words.FIRST_NAMES)} {rng.choice(words.SURNAMES)}",
        "account": str(rng.randint(10_000, 99_999)),
        "amount": f"{rng.randint(1, 999)}.{rng.randint(0, 99):02d}",
        "currency": rng.choice(CURRENCIES),
        "shop": rng.choice(SHOPS),
    }
    prompt = rng.choice(PROMPTS).format(problem=problem, channel=channel, **facts)
    completion = COMPLETION.format(problem_code=PROBLEMS[problem], channel_code=CHANNELS[channel], **facts)
    return {"prompt": prompt, "completion": completion}
