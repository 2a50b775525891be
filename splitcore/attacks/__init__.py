"""Attacks on what crosses the cut: one folder each, plus the table of them (`registry`).

An attacker has public facts (`Knowledge`) and the frames that crossed, read with the public algorithm alone
(`reading`, `Transcript`). It has nothing of a party's code or state. `figures` scores its guesses.
"""
