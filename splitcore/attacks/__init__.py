"""Attacks on what crosses the cut: a folder for each, and the table of all (`registry`).

An attacker has what it is declared to know (`Knowledge`) and the frames that crossed (`transcript`), nothing of a
party's code or state. `figures` scores what it guesses, beside controls whose outcome is known.
"""
