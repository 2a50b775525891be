"""The hub's REST API as one organisation's person uses it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx

from demo.launch.groups import DemoError


class Rest:
    """Requests with one person's token."""

    def __init__(self, hub_url: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=f"{hub_url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
        )

    def get(self, path: str) -> Any:
        """GET JSON."""
        return self._read(self._http.get(path))

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST JSON."""
        return self._read(self._http.post(path, json=body or {}))

    def download(self, path: str, target: Path) -> None:
        """GET a file."""
        with self._http.stream("GET", path) as answer:
            if answer.status_code != 200:
                answer.read()
                self._read(answer)
            with target.open("wb") as file:
                for chunk in answer.iter_bytes():
                    file.write(chunk)

    def poll(self, path: str, *, seconds: float, pause: float, patience: float = 60) -> Any:
        """Yield GET `path` again and again for `seconds`; a hub that is away for less than `patience` is waited for."""
        deadline, away_since = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            try:
                answer = self.get(path)
                away_since = None
                yield answer
            except httpx.TransportError:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > patience:
                    raise DemoError(f"The hub has been away for {patience:.0f} s.") from None
            time.sleep(pause)
        raise DemoError(f"{path} took longer than {seconds:.0f} s.")

    def _read(self, answer: httpx.Response) -> Any:
        if answer.is_success:
            return answer.json() if answer.content else {}
        raise DemoError(
            f"{answer.request.method} {answer.request.url.path} → {answer.status_code}: {answer.text[:600]}"
        )
