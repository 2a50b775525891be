"""The hub's signing key: made once, whoever asks first, and readable by the hub alone."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from webapp.fleet.hub_key import hub_public_key_pem, hub_sign


def test_many_that_ask_at_once_get_the_same_key(settings, tmp_path: Path):
    settings.VAR_DIR = tmp_path
    with ThreadPoolExecutor(16) as pool:
        keys = list(pool.map(lambda _: hub_public_key_pem(), range(64)))
    assert len(set(keys)) == 1
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["hub_ed25519.pem"]
    assert stat.S_IMODE((tmp_path / "keys" / "hub_ed25519.pem").stat().st_mode) == 0o600


def test_signature_is_the_same_after_a_restart(settings, tmp_path: Path):
    from webapp.fleet.hub_key import _load

    settings.VAR_DIR = tmp_path
    before = hub_sign(b"ticket")
    _load.cache_clear()
    assert hub_sign(b"ticket") == before
