"""Names that nobody can tell apart are one, and names that people can tell apart are two."""

from __future__ import annotations

import pytest

from splitcore.names import names_alike

ALIKE = [
    ("Clinic-Nord", "Clinic\u2010Nord"),
    ("Clinic-Nord", "Clinic \u2013 Nord"),
    ("Clinic Nord", "Clinic_Nord."),
    ("O'Brien", "O\u2019Brien"),
    ("O'Brien", "O\u02bcBrien"),
    ("Clinic", "CIinic"),
    ("CLINIC", "CLlNIC"),
    ("AI Health", "Al Health"),
    ("Bank One", "Bank 0ne"),
    ("Site 1", "Site I"),
    ("Modem", "Modern"),
    ("Clinic", "Cl\u0131nic"),
    ("Clinic", "C\u01c0inic"),
    ("Group", "\u0261roup"),
    ("CLINIC", "\ua4da\ua4e1\ua4f2\ua4e0\ua4f2\ua4da"),
    ("BACK", "\u13f4\u13aa\u13df\u13e6"),
    ("WOW", "\u1d21\u1d0f\u1d21"),
    ("ACE", "\u0410\u0421\u0415"),
    ("NATO", "\u039d\u0391\u03a4\u039f"),
    ("Clinic", "\uff23linic"),
    ("Clinic", "CLINIC"),
    ("Straße", "STRASSE"),
    ("\u2603", "\u2603"),
]
DIFFERENT = [
    ("Clinic Nord", "Clinic Nordost"),
    ("node-1-11", "node-11-1"),
    ("Müller", "Muller"),
    ("Clinic 2", "Clinic 3"),
    ("\u2603", "\u2602"),
    ("Больница", "Больницы"),
    ("東京病院", "京都病院"),
    ("Bank A", "Bank B"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_two_names_that_look_the_same_are_alike(one: str, other: str) -> None:
    assert names_alike(one, other)
    assert names_alike(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_names_that_people_can_tell_apart_are_not(one: str, other: str) -> None:
    assert not names_alike(one, other)
