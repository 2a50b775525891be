"""An audit's result as a page that can be printed or sent: one file, without scripts. It holds figures only."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

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
    environment.filters["percent"] = percent
    return environment.get_template("report.html").render(result=result, subject=subject, caveat=CAVEAT)


def percent(share: float) -> str:
    """A share in words, never rounded to all or nothing: 99.96 % is not 100 %."""
    rounded = f"{100 * share:.1f}"
    if rounded == "100.0":
        return "100 %" if share == 1 else "> 99.9 %"
    if rounded == "0.0":
        return "0 %" if share == 0 else "< 0.1 %"
    return f"{rounded} %"
