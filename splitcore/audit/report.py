"""An audit's result as a page that can be printed or sent: one file, without scripts. It holds figures only."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from interface.formatting import human_share
from splitcore.audit.result import AuditResult

CAVEAT = (
    "These are lower bounds: what these attacks read, on these records. A stronger attack may read more, and an audit "
    "can't show that text is safe."
)


def report_html(result: AuditResult, *, subject: str) -> str:
    """The report. `subject`: what was audited, in a few words."""
    environment = Environment(
        loader=PackageLoader("splitcore.audit"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["percent"] = human_share
    return environment.get_template("report.html").render(result=result, subject=subject, caveat=CAVEAT)
