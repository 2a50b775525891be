"""Where the tensors go is the site's to allow: nothing is dialled, and no port is tried, before its policy is asked."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from splitcore.errors import AppError
from workers.contracts import Role
from workers.jobs.folder import Peer
from workers.jobs.kinds.train.client_half import connect
from workers.jobs.setting import JobSetting
from workers.policy import SitePolicy
from workers.settings import WorkerHome


def test_an_address_that_the_policy_forbids_is_never_dialled(tmp_path: Path) -> None:
    home = WorkerHome(tmp_path)
    home.create()
    home.policy_file.write_text(SitePolicy(hosts=["*.allowed.example"]).to_yaml())
    with socket.create_server(("127.0.0.1", 0)) as inner:
        inner.settimeout(0.2)
        peer = Peer(host="127.0.0.1", port=inner.getsockname()[1], attempt=1, certificate_pem="")
        server = SimpleNamespace(role=Role.SERVER, worker="gpu")
        setting = SimpleNamespace(
            home=home,
            check_frames=lambda limits: None,
            contract=SimpleNamespace(participants=[server]),
            control=lambda: lambda: "run",
            folder=SimpleNamespace(peer=lambda: peer),
        )
        with pytest.raises(AppError) as caught:
            connect(cast(JobSetting, setting), cast(Any, None))
        assert caught.value.code == "CL-1424"
        with pytest.raises(TimeoutError):
            inner.accept()
