"""A person with a browser of their own: what the journeys do with pages, by the words on them."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Browser, Locator, Page

from tests.stack import Stack

PASSWORD = "a long pass phrase for tests"


@dataclass
class Person:
    """One signed-up person."""

    stack: Stack
    page: Page
    email: str

    def go(self, path: str) -> Page:
        """Open a page of the hub."""
        self.page.goto(path if path.startswith("http") else f"{self.stack.url}{path}")
        return self.page

    def fill(self, **fields: str) -> None:
        """Fill inputs by their names."""
        for name, value in fields.items():
            self.page.locator(f"[name='{name}']").first.fill(value)

    def choose(self, name: str, value: str) -> None:
        """Choose a value in a list or among radio buttons."""
        field = self.page.locator(f"[name='{name}']")
        if field.first.evaluate("node => node.tagName") == "SELECT":
            field.select_option(value)
        else:
            self.page.locator(f"[name='{name}'][value='{value}']").check()

    def press(self, name: str) -> None:
        """Press the one button or link of this name in the page's content."""
        self.button(name).click()

    def button(self, name: str) -> Locator:
        """A button, else a link, by its name."""
        buttons = self.page.get_by_role("button", name=name)
        return buttons.first if buttons.count() else self.page.get_by_role("link", name=name).first

    def register(self) -> None:
        """Sign up, open the link in the mail, confirm, sign in where the hub asks for it."""
        self.go("/accounts/signup/")
        self.fill(email=self.email, password1=PASSWORD, password2=PASSWORD)
        if self.page.locator("[name='name']").count():
            self.fill(name=self.email.split("@")[0].title())
        self.press("Create account")
        self.go(self.stack.link_in_mail(self.email, r"confirm-email"))
        self.page.locator("main form button[type='submit'], form button[type='submit']").first.click()
        if "login" in self.page.url:
            self.sign_in()

    def sign_in(self) -> None:
        """By e-mail and password."""
        self.go("/accounts/login/")
        self.fill(login=self.email, password=PASSWORD)
        self.page.locator("form:has([name='login']) button[type='submit']").click()

    def create_organisation(self, name: str, kind: str) -> None:
        """The first organisation of a person."""
        self.go("/organisations/new")
        self.fill(name=name)
        self.choose("kind", kind)
        self.press("Create organisation")


def newcomer(stack: Stack, browser: Browser, email: str) -> Person:
    """A person with an own browser and a new account."""
    page = browser.new_context(base_url=stack.url, viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(15_000)
    person = Person(stack, page, email)
    person.register()
    return person
