"""Label values: cleaned, bounded, and never empty."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.exporter.names import LONGEST, NONE, clean, domain_of

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("spring sale", "spring sale"),
        ("  spring\n\tsale ", "spring sale"),
        ("", NONE),
        ("\x00\x1b\u200b", NONE),
        ("a\u202egnp.exe", "a gnp.exe"),
        ('quo"te\\', 'quo"te\\'),
        ("\ud800x", "x"),
        ("größe", "größe"),
    ],
)
def test_signs_that_hide_or_turn_text_are_taken_out(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_long_names_are_cut_and_stay_two() -> None:
    first, second = clean("x" * 200), clean("x" * 199 + "y")
    assert first != second
    assert len(first) == len(second) == LONGEST
    assert first.startswith("x" * (LONGEST - 9) + "~")


@given(text=ANY_TEXT)
def test_whatever_comes_is_a_short_printable_name(text: str) -> None:
    name = clean(text)
    assert 0 < len(name) <= LONGEST
    assert name.encode("utf-8")
    assert not any(ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 for sign in name)
    assert clean(name) == name


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("news@Acme.Example", "acme.example"),
        ("<news@acme.example>", "acme.example"),
        ("Ann <ann@acme.example.>", "acme.example"),
        ('"a@b" <ann@acme.example>', "acme.example"),
        ("<>", NONE),
        ("", NONE),
        ("nobody", NONE),
        ("a@", NONE),
        ("a@-bad-.example", NONE),
        ("a@two words", NONE),
        ("a@bücher.example", "xn--bcher-kva.example"),
        ("a@ü" + "x" * 70 + ".example", NONE),
        ("a@" + "x." * 130 + "example", NONE),
        ("a@host_name.example", "host_name.example"),
        ("a@[192.0.2.1]", NONE),
    ],
)
def test_the_domain_of_an_address(address: str, domain: str) -> None:
    assert domain_of(address) == domain


@given(text=ANY_TEXT)
def test_a_domain_is_none_or_looks_like_one(text: str) -> None:
    domain = domain_of(f"x@{text}")
    assert domain == NONE or (domain.isascii() and domain == domain.lower() and len(domain) <= LONGEST)
