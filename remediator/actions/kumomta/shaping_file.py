"""Changes one rate in a shaping file and nothing else in it: a small editor of TOML by lines. Pure, but for its end.

kumod reads `["example.com"] max_message_rate = "100/h"`, and for all its mail `additional_message_rate_throttles`. The line
that we write carries a comment with our sign and the line that it replaced, so that the file itself tells who changed it
and how it was, whatever happens to us afterwards.
Every edit is checked by reading the result with `tomllib`: exactly one value may differ, else nothing is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

# Larger files are refused (bytes); a shaping file has some ten thousand at most.
LARGEST = 1 << 20
_HEADER = re.compile(r"\s*\[(?!\[)")
_OURS = re.compile(r"#\s\[kr:(?P<key>[^\]\s]+)\] was (?P<was>\"(?:[^\"\\]|\\.)*\"|no line|no section)\s*$")


class Uneditable(ValueError):
    """The file cannot be changed safely; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A key of a section that holds a rate: as the whole value, or as the one item `label` of an inline table."""

    key: str
    label: str = ""

    def value(self, rate: str) -> object:
        """The rate as it stands in the document."""
        return {self.label: rate} if self.label else rate

    def rate(self, value: object) -> str | None:
        """The rate of such a value; what else is there as text, None if nothing is."""
        if isinstance(value, dict) and list(value) == [self.label]:
            value = value[self.label]
        return None if value is None else str(value)

    def written(self, rate: str) -> str:
        """The line's part before the comment."""
        text = f"{{ {json.dumps(self.label)} = {json.dumps(rate)} }}" if self.label else json.dumps(rate)
        return f"{self.key} = {text}"

    def starts(self, line: str) -> bool:
        """Whether a line assigns to this key."""
        return re.match(rf"\s*(?:{self.key}|\"{self.key}\"|'{self.key}')\s*=", line) is not None


# The rate of one domain, for each source and site; and that of a whole node, which kumod counts over all its mail.
OF_DOMAIN = Setting(key="max_message_rate")
OF_ALL = Setting(key="additional_message_rate_throttles", label="remediator-global-rate")
ALL = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What the file says for a domain: the rate, None if there is none, and whose run wrote it, empty if none of ours."""

    value: str | None
    key: str = ""
    was: str = ""
    setting: Setting = OF_DOMAIN

    @property
    def prior(self) -> str | None:
        """The rate before ours, out of our own comment; None if there was none."""
        if not self.was.startswith('"'):
            return None
        with contextlib.suppress(ValueError):
            return self.setting.rate(tomllib.loads(json.loads(self.was)).get(self.setting.key))
        return None


def rate_of(text: str, domain: str, setting: Setting = OF_DOMAIN) -> Rate:
    """The rate of `domain`; Uneditable if the text is not TOML."""
    section = _section(_parse(text), domain)
    value = setting.rate(section.get(setting.key))
    if value is None:
        return Rate(value=None)
    place = _place(text.splitlines(keepends=True), domain, setting)
    found = _OURS.search(place.line.rstrip("\r\n")) if place else None
    return Rate(value=value, key=found["key"] if found else "", was=found["was"] if found else "", setting=setting)


def with_rate(text: str, domain: str, rate: str, key: str, setting: Setting = OF_DOMAIN) -> str:
    """The text with this rate for `domain`, signed with `key`; Uneditable if that cannot be done by changing one line."""
    before = _parse(text)
    lines = text.splitlines(keepends=True)
    newline = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    header, place = _header(lines, domain), _place(lines, domain, setting)
    if place is not None and setting.label and not _OURS.search(place.line.rstrip("\r\n")):
        raise Uneditable(f"{domain} has {setting.key} of its own, which would be replaced; change it by hand")
    signed = setting.written(rate) + f"  # [kr:{key}] was "
    if place is not None:
        lines[place.number] = signed + json.dumps(place.line.rstrip("\r\n")) + _ending(place.line, newline)
    elif header is not None:
        if not lines[header].endswith("\n"):
            lines[header] += newline
        lines.insert(header + 1, f"{signed}no line{newline}")
    else:
        if lines and not lines[-1].endswith("\n"):
            raise Uneditable("the last line has no end; add a line break to the file")
        lines += [f"[{json.dumps(domain)}]{newline}", f"{signed}no section{newline}"]
    after = "".join(lines)
    _only_changed(before, after, domain, {setting.key: setting.value(rate)})
    return after


def without_ours(text: str, domain: str, key: str, setting: Setting = OF_DOMAIN) -> str:
    """The text as it was before `with_rate` signed it with `key`; Uneditable if that line is not there any more."""
    before = _parse(text)
    lines = text.splitlines(keepends=True)
    place = _place(lines, domain, setting)
    found = _OURS.search(place.line.rstrip("\r\n")) if place else None
    if place is None or found is None or found["key"] != key:
        raise Uneditable(f"the rate of {domain} does not carry our sign")
    number = place.number
    match found["was"]:
        case "no line":
            del lines[number]
        case "no section":
            following = next((line.lstrip() for line in lines[number + 1 :] if line.strip()), "[")
            own = following.startswith("[")
            del lines[number - 1 if own and _is_header(lines[number - 1], domain) else number : number + 1]
        case was:
            lines[number] = json.loads(was) + _ending(place.line, "\n")
    after = "".join(lines)
    _only_changed(before, after, domain, {setting.key: _section(_parse(after), domain).get(setting.key)})
    return after


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    number: int
    line: str


def _parse(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise Uneditable(f"it is not valid TOML: {fault}") from None


def _section(document: dict[str, object], domain: str) -> dict[str, object]:
    section = document.get(domain, {})
    if not isinstance(section, dict):
        raise Uneditable(f"{domain} is not a section in it")
    return section


def _is_header(line: str, domain: str) -> bool:
    if not _HEADER.match(line):
        return False
    with contextlib.suppress(tomllib.TOMLDecodeError):
        return tomllib.loads(line) == {domain: {}}
    return False


def _header(lines: list[str], domain: str) -> int | None:
    found = [number for number, line in enumerate(lines) if _is_header(line, domain)]
    if len(found) > 1:
        raise Uneditable(f"more than one line looks like the header of {domain}")
    return found[0] if found else None


def _place(lines: list[str], domain: str, setting: Setting) -> _Place | None:
    """The line of the rate in the domain's own section, if it is written there."""
    header = _header(lines, domain)
    if header is None:
        return None
    for number in range(header + 1, len(lines)):
        line = lines[number]
        if setting.starts(line):
            return _Place(number=number, line=line)
        if line.lstrip().startswith("["):
            return None
    return None


def _ending(line: str, newline: str) -> str:
    return line[len(line.rstrip("\r\n")) :] or ("" if not line.endswith("\n") else newline)


def _only_changed(before: dict[str, object], after: str, domain: str, now: dict[str, object]) -> None:
    """Uneditable unless `after` says what `before` said, except for this one key, which is as in `now` (None: not there)."""
    wanted = {name: dict(part) if isinstance(part, dict) else part for name, part in before.items()}
    section = dict(_section(wanted, domain))
    for key, value in now.items():
        section.pop(key, None)
        if value is not None:
            section[key] = value
    wanted[domain] = section
    found: dict[str, object] = {}
    with contextlib.suppress(tomllib.TOMLDecodeError):
        found = tomllib.loads(after)
    found.setdefault(domain, {})
    if found != wanted:
        raise Uneditable(
            f"{domain} is written in a form that cannot be changed by one line; write it as [{json.dumps(domain)}]"
        )


# ── the file itself ──────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A file's text and what must be unchanged when it is replaced."""

    path: Path
    text: str
    status: os.stat_result


def read(path: Path) -> Reading:
    """The file, through symbolic links; OSError, or Uneditable if it is too large or not UTF-8."""
    real = path.resolve(strict=True)
    with real.open("rb") as file:
        status = os.fstat(file.fileno())
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise Uneditable(f"it is larger than {LARGEST} bytes")
    try:
        return Reading(path=real, text=content.decode("utf-8"), status=status)
    except UnicodeDecodeError as fault:
        raise Uneditable(f"it is not UTF-8: {fault}") from None


def replace(reading: Reading, text: str) -> None:
    """Puts a new text in the file's place at once, mode and owner kept; Uneditable if somebody changed it meanwhile."""
    status = reading.status
    with NamedTemporaryFile("wb", dir=reading.path.parent, prefix=f".{reading.path.name}.", delete=False) as file:
        try:
            file.write(text.encode("utf-8"))
            os.fchmod(file.fileno(), status.st_mode & 0o7777)
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            file.flush()
            os.fsync(file.fileno())
            now = reading.path.stat()
            if (now.st_ino, now.st_mtime_ns, now.st_size) != (status.st_ino, status.st_mtime_ns, status.st_size):
                raise Uneditable("somebody changed it at the same time; look again")
            Path(file.name).replace(reading.path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    directory = os.open(reading.path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
