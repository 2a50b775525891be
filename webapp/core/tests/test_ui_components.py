"""The components draw what they promise, and no template breaks the content security policy."""

import re
from pathlib import Path

import pytest
from django import forms
from django.conf import settings
from django.template import Context, Template
from django.test import Client

from interface.icons import icon_body, icon_svg
from interface.statuses import STATUS_LOOKS, status_look
from splitcore.errors import AppError

TEMPLATES = sorted((Path(settings.BASE_DIR) / "templates").rglob("*.html"))
_COMMENT = re.compile(r"{#.*?#}|{% comment.*?endcomment %}", re.DOTALL)
_FORBIDDEN = {
    "an inline style": re.compile(r"<[^>]*\sstyle\s*=", re.DOTALL),
    "an inline handler": re.compile(r"<[^>]*\son[a-z]+\s*=\s*[\"\']", re.DOTALL),
    "an inline script": re.compile(r"<script(?![^>]*(?:\ssrc=|type=\"application/json\"))", re.DOTALL),
    "a style element": re.compile(r"<style"),
    "another site": re.compile(r"(?:src|href)=\"(?:https?:)?//"),
}


class SmallForm(forms.Form):
    """A field of each kind that is drawn differently."""

    name = forms.CharField(help_text="Seen by all.")
    rank = forms.IntegerField(max_value=64)
    notify = forms.BooleanField(required=False)


def draw(source: str, **context: object) -> str:
    return Template(source).render(Context(context))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_holds_what_the_policy_forbids(path: Path) -> None:
    text = _COMMENT.sub("", path.read_text(encoding="utf-8"))
    found = [name for name, pattern in _FORBIDDEN.items() if pattern.search(text)]
    assert found == []


def test_every_state_has_an_icon_of_the_installed_set() -> None:
    dot = icon_body("no-such-icon")
    assert {look.icon for look in STATUS_LOOKS.values() if icon_body(look.icon) == dot} == set()


def test_a_state_that_is_not_listed_is_shown_by_its_own_name() -> None:
    assert status_look("half_way there").label == "Half way there"


def test_an_icon_name_cannot_leave_the_folder() -> None:
    assert icon_body("../../package") == icon_body("no-such-icon")


def test_an_icon_is_hidden_unless_it_has_a_label() -> None:
    assert 'aria-hidden="true"' in icon_svg("server")
    assert 'aria-label="Close &amp; go"' in icon_svg("x", label="Close & go")


def test_an_error_panel_names_code_cause_and_remedy() -> None:
    html = draw("{% error_panel error %}", error=AppError("CL-1002", "Too many layers.", "Run `cutlayer doctor`."))
    assert 'href="/errors/CL-1002"' in html
    assert "Too many layers." in html
    assert "<code>cutlayer doctor</code>" in html


def test_a_code_that_a_newer_worker_tells_has_a_page_and_what_is_no_code_has_none(client: Client) -> None:
    unknown = client.get("/errors/CL-9876")
    assert (unknown.status_code, "CL-9876" in unknown.content.decode()) == (404, True)
    assert "Unknown error code" in unknown.content.decode()
    for text in ("CL-98765", "CL-x", "CL-١٢٣٤"):
        assert "Unknown error code" not in client.get(f"/errors/{text}").content.decode()


def test_what_people_typed_is_escaped_in_components() -> None:
    evil = "<img src=x>"
    html = draw(
        "{% status_chip s label=s %}{% command_block s %}{% stat_tile s s %}{% error_panel message=s remedy=s %}",
        s=evil,
    )
    assert "<img" not in html


def test_a_moment_stands_in_a_sentence_without_a_gap() -> None:
    html = draw("Done {% reltime moment %}, said {% reltime None %}.", moment="2026-11-28T06:30:00Z")
    assert html.startswith("Done <time")
    assert "</time>, said <span" in html
    assert html.endswith("</span>.")


def test_a_field_is_tied_to_its_help_and_its_error() -> None:
    html = draw("{% field form.name %}", form=SmallForm(data={"name": "", "rank": "3"}))
    assert 'aria-describedby="id_name_help id_name_error"' in html
    assert 'id="id_name_help"' in html
    assert 'id="id_name_error"' in html


def test_the_error_summary_links_to_each_field() -> None:
    html = draw("{% form_errors form %}", form=SmallForm(data={"name": "", "rank": "900"}))
    assert 'href="#id_name"' in html
    assert 'href="#id_rank"' in html
    assert "2 things need your attention" in html


def test_a_disabled_button_says_why() -> None:
    html = draw('{% disabled_button "Start" "Clinic A has not approved yet." %}')
    described = re.search(r'aria-describedby="([^"]+)"', html)
    assert described is not None
    assert f'id="{described[1]}"' in html
    assert "Clinic A has not approved yet." in html


def test_a_stack_bar_fills_its_width() -> None:
    html = draw("{% stack_bar parts %}", parts=[("compute", 1), ("send", 2), ("wait", 1)])
    assert re.findall(r'width="([\d.]+)%"', html) == ["100", "25.00", "50.00", "25.00"]
    assert "compute 1.00 s, send 2.00 s, wait 1.00 s" in html


def test_a_fingerprint_stands_in_groups_of_four() -> None:
    html = draw("{% fingerprint value %}", value="SHA256:9f3ab2c41d5e")
    assert re.findall(r"<code>([^<]+)</code>", html) == ["9f3a", "b2c4", "1d5e"]


@pytest.mark.parametrize("name", ["400.html", "403.html", "403_csrf.html", "404.html", "500.html"])
def test_error_pages_need_no_request(name: str) -> None:
    template = Template(f"{{% include '{name}' %}}")
    assert "<h1" in template.render(Context())


@pytest.mark.django_db
def test_the_style_guide_shows_every_component(client: Client) -> None:
    response = client.get("/styleguide/")
    assert response.status_code == 200
    assert "cl-matrix" in response.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "/accounts/login/",
        "/accounts/signup/",
        "/accounts/password/reset/",
        "/errors/",
        "/errors/CL-1002",
        "/errors/CL-9876",
    ],
)
def test_public_pages_wear_the_look(client: Client, path: str) -> None:
    html = client.get(path).content.decode()
    assert 'class="cl-public"' in html
    assert html.count("<h1") == 1
