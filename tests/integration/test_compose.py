"""The description for real use names only what exists: services, images, ports, volumes, variables, commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((REPO / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SOURCES = "\n".join(
    path.read_text() for folder in ("webapp/settings", "workers") for path in (REPO / folder).rglob("*.py")
)
# Read by software that is not ours.
FOREIGN = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE"}
IMAGES = {"cutlayer", "postgres", "valkey/valkey", "caddy"}


def environment(service: dict[str, Any]) -> dict[str, str]:
    return dict(service.get("environment") or {})


def test_the_system_has_all_its_parts() -> None:
    assert {"hub", "hub-tasks", "postgres", "redis", "proxy", "compute-worker", "data-worker"} <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_names_only_what_exists(name: str) -> None:
    service = SERVICES[name]
    assert service["image"].rsplit(":", 1)[0] in IMAGES
    assert re.search(r":\d", service["image"]), "an image without a version changes by itself"
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert (REPO / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    networks = service.get("networks") or []
    assert set(networks) <= set(COMPOSE["networks"])
    assert set(service.get("depends_on") or []) <= set(SERVICES)


@pytest.mark.parametrize("name", [name for name in SERVICES if SERVICES[name]["image"].startswith("cutlayer")])
def test_every_variable_is_one_that_the_settings_read(name: str) -> None:
    for variable in environment(SERVICES[name]):
        short = variable.removeprefix("CUTLAYER_").lower()
        known = f'"{variable}"' in SOURCES or re.search(rf"^    {short}: ", SOURCES, re.MULTILINE)
        assert known or variable == "DJANGO_SETTINGS_MODULE", f"nothing reads {variable}"


def test_the_settings_module_of_the_hub_exists() -> None:
    for name in ("hub", "hub-tasks"):
        module = environment(SERVICES[name])["DJANGO_SETTINGS_MODULE"]
        assert (REPO / (module.replace(".", "/") + ".py")).exists()


def test_commands_start_what_exists() -> None:
    assert "webapp.asgi:application" in SERVICES["hub"]["command"]
    assert "application = " in (REPO / "webapp" / "asgi.py").read_text()
    assert "exec celery -A webapp worker" in SERVICES["hub-tasks"]["command"]
    assert "chmod -R go= $$CUTLAYER_VAR_DIR" in SERVICES["hub"]["command"], "as older versions left it"
    assert all("umask 077" in SERVICES[name]["command"] for name in ("hub", "hub-tasks"))
    for name in ("compute-worker", "data-worker"):
        command = shlex.split(SERVICES[name]["command"])
        assert command[:3] == ["cutlayer", "worker", "start"]


def test_published_ports_are_the_ones_that_the_programs_use() -> None:
    assert SERVICES["compute-worker"]["ports"] == ["9100-9110:9100-9110"]
    assert "(9100, 9110)" in SOURCES
    assert SERVICES["data-worker"]["ports"] == ["127.0.0.1:8733:8733"], "the console is for the site alone"
    assert "console_port: int = 8733" in SOURCES
    published = {name for name, service in SERVICES.items() if service.get("ports")}
    assert published == {"proxy", "compute-worker", "data-worker"}


def test_the_proxy_speaks_to_the_port_of_the_hub() -> None:
    target = re.search(r"reverse_proxy (\S+):(\d+)", (REPO / "deploy" / "Caddyfile").read_text())
    assert target is not None
    assert target[1] in SERVICES
    assert f"--port {target[2]}" in SERVICES["hub"]["command"]


def test_the_image_is_made_by_the_steps_of_make() -> None:
    dockerfile = (REPO / "Dockerfile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.MULTILINE))
    called = set(re.findall(r"\bRUN make (\S+)", dockerfile))
    assert called
    assert called <= targets


def networks_of(name: str) -> set[str]:
    return set(SERVICES[name].get("networks") or [])


def test_database_and_queue_are_reached_by_the_hub_alone() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    inside = {name for name in SERVICES if "inside" in networks_of(name)}
    assert inside == {"postgres", "redis", "hub", "hub-tasks"}
    assert networks_of("postgres") == networks_of("redis") == {"inside"}
    mounts = {name for name, service in SERVICES.items() if "secrets:/run/cutlayer" in str(service.get("volumes"))}
    assert mounts == {"secrets", *inside}


def test_the_queue_wants_a_password_that_is_on_no_command_line(tmp_path: Path) -> None:
    assert environment(SERVICES["hub"])["CUTLAYER_REDIS_PASSWORD_FILE"] == "/run/cutlayer/redis_password"
    shell, flag, script = SERVICES["redis"]["command"]
    assert (shell, flag) == ("sh", "-c")
    (tmp_path / "redis_password").write_text("s3cret")
    told = script.replace("/run/cutlayer", str(tmp_path)).replace("valkey-server -", "cat")
    done = subprocess.run(["sh", "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == 'requirepass s3cret\nsave ""\nappendonly no\n'


def test_passwords_are_whole_before_they_have_their_names(tmp_path: Path) -> None:
    [_, _, script] = shlex.split(SERVICES["secrets"]["command"])
    script = script.replace("$$", "$").replace("/run/cutlayer", str(tmp_path))
    python = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    (tmp_path / "redis_password").write_text("")  # as a machine left it that lost power
    for _ in range(2):
        subprocess.run(["sh", "-c", script], env=python, check=True)
        words = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert set(words) == {"postgres_password", "redis_password"}
        assert all(len(word) == 43 for word in words.values())
    assert "mv .draft" in script


def test_the_hub_believes_the_address_of_its_proxy_alone() -> None:
    """A worker's container could else choose the address under which its guesses are counted."""
    command = SERVICES["hub"]["command"]
    trusted = re.search(r"--forwarded-allow-ips (\S+?)\"?$", command.strip())
    assert trusted is not None
    assert SERVICES["proxy"]["networks"]["proxied"]["ipv4_address"] == trusted[1]
    assert {name for name in SERVICES if "proxied" in networks_of(name)} == {"hub", "proxy"}
    for worker in ("compute-worker", "data-worker"):
        assert not networks_of(worker) & networks_of("hub")
