"""What leaves each party of a run, declared once: the wire's rules and every page that tells of it come from here.

flow          Flow(what, sender, receiver, when, form, reveals, ...), Part, Thing, Reveal
cast          Cast: who takes part
reading       what a configuration says of what leaves: the one place here that knows its fields
topology, codec, protections, schedule, ends, records, evaluations, samples, adapters, standing
              flows(...): what each of them sends
declare       flows_of(config, cast), carried_to(flows): the messages that each half may be sent
sentences     sentences_of(config, cast): for a contract and those who approve it
matrix        matrix(flows, columns): who sees what
table         tables for the documentation: of all runs
"""

from splitcore.flow import Degree, Flow, Part, Reveal, Thing
from splitcore.flows.cast import Cast, anyone
from splitcore.flows.declare import carried_to, flows_of, standing_flows

__all__ = [
    "Cast",
    "Degree",
    "Flow",
    "Part",
    "Reveal",
    "Thing",
    "anyone",
    "carried_to",
    "flows_of",
    "standing_flows",
]
