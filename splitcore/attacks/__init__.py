"""Attacks on what crosses the cut: a folder each, and a table of all of them (`registry`).

An attacker has its declared knowledge (`Knowledge`) and the frames that crossed (`transcript`), but none of a
party's code or state. `figures` scores what it guesses, beside controls whose outcome is known.
"""
