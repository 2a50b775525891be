"""The form of a public id in an address: what has another form names nothing, so no database is asked."""

from __future__ import annotations

import re


class PublicId:
    """`run_3kq…`: three letters and sixteen characters (see `ids.new_id`)."""

    regex = "[a-z]{3}_[0-9a-z]{16}"

    def to_python(self, value: str) -> str:
        """The id as it stands in the address."""
        return value

    def to_url(self, value: str) -> str:
        """The id as it goes into an address."""
        return value


def is_public_id(text: str) -> bool:
    """Whether a text has the form of an id."""
    return re.fullmatch(PublicId.regex, text) is not None
