"""The editor of shaping files: one line changes, every other byte stays, and the way back is exact."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.actions.kumomta.shaping_file import Uneditable, rate_of, read, replace, with_rate, without_ours

KEY = "inc-7f3kq2m8.1/2"
FILE = """\
# Shaping of mta1. Ünïcode, tabs\tand  double  blanks stay.
["default"]
max_message_rate = "1000/s"   # all others

["gmail.com"]
mx_rollup = true
max_message_rate  =  '500/min' # agreed in March
connection_limit = 10
["gmail.com".sources."ip-1"]
max_message_rate = "10/min"

[["gmail.com".automation]]
regex = "max_message_rate = [no]"
action = "Suspend"

['yahoo.com']
connection_limit = 3
[example.com]
x = '''
max_message_rate = "9/s"
'''
"""


def diff(before: str, after: str) -> list[str]:
    """The lines that are not the same in both, as they stand after."""
    return [line for line in after.splitlines(keepends=True) if line not in before.splitlines(keepends=True)]


@pytest.mark.parametrize(
    ("domain", "line"),
    [
        (
            "gmail.com",
            'max_message_rate = "100/h"  # [kr:%s] was "max_message_rate  =  \'500/min\' # agreed in March"\n',
        ),
        ("yahoo.com", 'max_message_rate = "100/h"  # [kr:%s] was no line\n'),
    ],
)
def test_one_line_is_changed_and_says_how_it_was(domain: str, line: str) -> None:
    after = with_rate(FILE, domain, "100/h", KEY)
    assert diff(FILE, after) == [line % KEY]
    assert rate_of(after, domain).value == "100/h"
    assert rate_of(after, domain).key == KEY
    assert without_ours(after, domain, KEY) == FILE


def test_a_new_domain_is_appended_and_leaves_no_trace_afterwards() -> None:
    after = with_rate(FILE, "new.example", "100/h", KEY)
    assert after.startswith(FILE)
    assert tomllib.loads(after)["new.example"] == {"max_message_rate": "100/h"}
    assert without_ours(after, "new.example", KEY) == FILE


def test_what_others_put_into_a_section_of_ours_stays() -> None:
    after = with_rate(FILE, "new.example", "100/h", KEY) + "connection_limit = 1\n"
    restored = without_ours(after, "new.example", KEY)
    assert tomllib.loads(restored)["new.example"] == {"connection_limit": 1}


def test_the_rate_before_ours_is_read_out_of_our_comment() -> None:
    assert rate_of(with_rate(FILE, "gmail.com", "100/h", KEY), "gmail.com").prior == "500/min"
    assert rate_of(with_rate(FILE, "yahoo.com", "100/h", KEY), "yahoo.com").prior is None


def test_line_ends_of_the_file_are_kept() -> None:
    dos = FILE.replace("\n", "\r\n")
    after = with_rate(dos, "yahoo.com", "100/h", KEY)
    assert after.count("\n") == after.count("\r\n")
    assert without_ours(after, "yahoo.com", KEY) == dos


@pytest.mark.parametrize(
    "text",
    [
        '"gmail.com" = { max_message_rate = "1/s" }\n',
        '"gmail.com".max_message_rate = "1/s"\n',
        '["gmail.com"]\nmax_message_rate = """\n1/s"""\n',
        'x = """\n["gmail.com"]\n"""\n',
        '"gmail.com" = 3\n',
        "not toml at all\n",
        '["gmail.com"]\n["gmail.com"]\n',
    ],
)
def test_a_form_that_one_line_cannot_change_is_refused(text: str) -> None:
    with pytest.raises(Uneditable):
        with_rate(text, "gmail.com", "100/h", KEY)


def test_a_line_without_our_sign_is_not_taken_back() -> None:
    with pytest.raises(Uneditable, match="sign"):
        without_ours(FILE, "gmail.com", KEY)
    with pytest.raises(Uneditable, match="sign"):
        without_ours(with_rate(FILE, "gmail.com", "100/h", "inc-2.1/0"), "gmail.com", KEY)


NAMES = st.sampled_from(["gmail.com", "yahoo.com", "a-b.example", "default"])
LINES = st.lists(
    st.one_of(
        st.builds('["{}"]\n'.format, NAMES),
        st.builds("['{}']\n".format, NAMES),
        st.builds('["{}".sources."ip-1"]\n'.format, NAMES),
        st.sampled_from(
            [
                'max_message_rate = "5/s"\n',
                "  max_message_rate='7/min' # why\n",
                "a = [1,\n 2]\n",
                "\n",
                "# [x]\n",
                'b = "["\n',
            ]
        ),
    ),
    max_size=12,
).map("".join)


@given(text=LINES, domain=NAMES)
def test_whatever_can_be_changed_comes_back_byte_for_byte(text: str, domain: str) -> None:
    try:
        after = with_rate(text, domain, "100/h", KEY)
    except Uneditable:
        return
    assert tomllib.loads(after)[domain]["max_message_rate"] == "100/h"
    assert without_ours(after, domain, KEY) == text


def test_a_file_is_replaced_at_once_with_its_mode_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "shaping.toml", tmp_path / "link.toml"
    path.write_text(FILE, encoding="utf-8")
    path.chmod(0o640)
    link.symlink_to(path)
    replace(read(link), "x = 1\n")
    assert path.read_text(encoding="utf-8") == "x = 1\n"
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link.toml", "shaping.toml"]


def test_a_change_at_the_same_time_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "shaping.toml"
    path.write_text(FILE, encoding="utf-8")
    reading = read(path)
    path.write_text(FILE + "# theirs\n", encoding="utf-8")
    with pytest.raises(Uneditable, match="same time"):
        replace(reading, "x = 1\n")
    assert path.read_text(encoding="utf-8").endswith("# theirs\n")
    assert [file.name for file in tmp_path.iterdir()] == ["shaping.toml"]
