"""`python -m tests.e2e.browser`: find the system's Chromium, or install it where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
COMMAND = "apt-get install chromium   (as root; or: .venv/bin/playwright install chromium)"
# No look-ups of anybody's hosts, no sandbox under root, no first-run pages.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_browser() -> Path | None:
    """The system's Chromium, else one that Playwright downloaded."""
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
    return next(iter(sorted(folder.glob("chromium-*/chrome-linux*/chrome"))), None)


def install_browser() -> None:
    """By the system's packages as root, else by Playwright's own download."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdout=subprocess.DEVNULL,
            check=False,
        )
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


def main() -> None:
    """Install if need be. A machine without a browser still runs every other test; the browser tests fail there."""
    if find_browser() is None:
        install_browser()
    found = find_browser()
    print(f"browser: {found}" if found else f"No browser. The browser tests will fail until you run: {COMMAND}")


if __name__ == "__main__":
    main()
