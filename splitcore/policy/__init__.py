"""What a party lets itself be used for, and where a run meets that (no torch, no web framework).

One form for every policy. A site has one, in `policy.yaml`; its worker enforces it. Organisations and projects have
none yet: whatever gives them one writes the same rules, and `strictest` says what holds where several do.

schema        Policy: the rules, their defaults and bounds, read from a file and written to one
rules         each rule that a configuration can break: its field, code and sentence; one that holds at every site
conflicts     demands(policy), strictest(policies), conflicts(demands, run)
"""

from splitcore.policy.conflicts import Conflict, Demand, conflicts, demands, strictest
from splitcore.policy.rules import REFUSED, Subject, role_breaches
from splitcore.policy.schema import Policy

__all__ = [
    "REFUSED",
    "Conflict",
    "Demand",
    "Policy",
    "Subject",
    "conflicts",
    "demands",
    "role_breaches",
    "strictest",
]
