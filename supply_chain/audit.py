"""Ask for known vulnerabilities of what is pinned, and write the bill of materials (CycloneDX) into var/.

`make audit` runs it. A known vulnerability fails it. A package that the advisory feed does not answer for is counted
and named as not checked: pip-audit itself calls that "no known vulnerabilities".
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from supply_chain.lock import FOLDER, pins_of

LISTED = ("lock.txt", "node-lock.txt", "real-model-lock.txt")
BILL = Path("var") / "sbom.cdx.json"
ACCEPTED = FOLDER / "accepted-advisories.txt"  # one id per line, with the reason after it
SECONDS = 180
NOT_REACHED = "NOT CHECKED: the advisory feed cannot be reached from here. Run `make audit` where it can."


def requirements() -> str:
    """Everything that is installed: torch by its version, the rest as locked."""
    torch = next(line for line in (FOLDER / "base.in").read_text().splitlines() if line.startswith("torch=="))
    pins = [pin for name in LISTED for pin in pins_of((FOLDER / name).read_text())]
    return "\n".join([torch, *map(str, pins)]) + "\n"


def verdict(answer: dict[str, Any] | None) -> tuple[str, bool]:
    """What to tell about pip-audit's answer, and whether the gate passes. No answer: the feed was not reached."""
    if answer is None:
        return NOT_REACHED, True
    entries = answer["dependencies"]
    found = [f"{one['name']} {one['version']}: {hit['id']}" for one in entries for hit in one.get("vulns", [])]
    unchecked = [one["name"] for one in entries if "skip_reason" in one]
    if found:
        return "Known vulnerabilities:\n" + "\n".join(found), False
    if len(unchecked) == len(entries):
        return NOT_REACHED, True
    note = f", {len(unchecked)} NOT CHECKED ({', '.join(unchecked)})" if unchecked else ""
    return f"{len(entries) - len(unchecked)} packages without a known vulnerability{note}.", True


def ask(listed: Path) -> dict[str, Any] | None:
    """pip-audit's answer, or None where the feed gave none in time."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(listed), "--no-deps", "--disable-pip", "--timeout", "5"]
    command += ["--progress-spinner", "off", "--format", "json"]
    for line in ACCEPTED.read_text().splitlines():
        if line and not line.startswith("#"):
            command += ["--ignore-vuln", line.split()[0]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        if "ConnectionError" in done.stderr or "Timeout" in done.stderr or "connect" in done.stderr.lower():
            return None
        raise SystemExit(f"pip-audit failed:\n{done.stderr[-2000:]}") from None
    return answer


def write_bill() -> None:
    """The bill of materials of what is pinned, hashes included."""
    BILL.parent.mkdir(parents=True, exist_ok=True)
    source = "".join((FOLDER / name).read_text() for name in LISTED)
    torch = requirements().splitlines()[0]
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--pyproject", "pyproject.toml"]
    command += ["--output-reproducible", "-o", str(BILL), "-"]
    subprocess.run(command, input=f"{torch}\n{source}", text=True, check=True)
    components = json.loads(BILL.read_text())["components"]
    print(f"{BILL}: {len(components)} components")


def main() -> None:
    """Write the bill, ask the feed, and end with 1 for a known vulnerability."""
    write_bill()
    listed = BILL.with_name("audit.txt")
    listed.write_text(requirements())
    text, passed = verdict(ask(listed))
    print(f"pip-audit: {text}")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
