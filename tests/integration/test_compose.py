"""The description for real use names only what exists: services, images, ports, volumes, variables, commands."""

from __future__ import annotations

import re
import shlex
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
    assert shlex.split(SERVICES["hub-tasks"]["command"])[:3] == ["celery", "-A", "webapp"]
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
