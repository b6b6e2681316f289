"""Parts of the settings that several sections have: files, and who we say we are."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from remediator.config.shapes import Misspelt, Shape, Text, kind_of, one_or_many


def plain_text(raw: object) -> str:
    """A text with something in it."""
    if isinstance(raw, str) and raw.strip():
        return str(raw)
    raise Misspelt("wrong-type", f"must be text, not {kind_of(raw)}", "write one text")


FilePath = Annotated[str, BeforeValidator(plain_text), WithJsonSchema({"type": "string", "minLength": 1})]
FilePaths = Annotated[
    list[FilePath],
    BeforeValidator(one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class BasicAuthShape(Shape):
    """A user and the file with the password."""

    noun: ClassVar[str] = "'basic_auth'"
    username: Text = Field(description="The user's name.")
    password_file: FilePath = Field(description="A file that holds the password and nothing else.")
