"""Ceilings: what no attacker can exceed in a release of clipped rows with Gaussian noise of a known law.

Every ceiling here is relative: it says how often an attacker is right *with* the release who would be right with
probability κ *without* it. `kappa` names whose κ is meant.
"""
