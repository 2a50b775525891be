"""How `manage.py serve` starts the web server."""

from __future__ import annotations

from webapp.core.management.commands.serve import commands


def test_the_web_server_believes_nobody_about_addresses(settings):
    settings.PROXY_ADDRESSES = []
    web = commands("127.0.0.1", 8000)["web"]
    assert "--no-proxy-headers" in web
    assert "--forwarded-allow-ips" not in web


def test_the_web_server_believes_the_proxies_that_the_operator_names(settings):
    settings.PROXY_ADDRESSES = ["127.0.0.1", "10.0.0.2"]
    web = commands("127.0.0.1", 8000)["web"]
    assert "--no-proxy-headers" not in web
    assert web[web.index("--forwarded-allow-ips") + 1] == "127.0.0.1,10.0.0.2"
