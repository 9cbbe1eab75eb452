"""How the commands' help looks: prose is wrapped, and an `Example: …` stays a line that can be pasted into a shell."""

from __future__ import annotations

import inspect
import re

import click

_MARK = "Example: "


def paragraphs(text: str) -> list[str]:
    """Split a command's help into paragraphs, the lines of each joined."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(text))
    return [" ".join(line.strip() for line in block.splitlines()) for block in blocks if block.strip()]


def example_of(paragraph: str) -> str | None:
    """Return the shell command that a paragraph gives as an example; None for prose."""
    return paragraph.removeprefix(_MARK) if paragraph.startswith(_MARK) else None


class HelpFormatter(click.HelpFormatter):
    """Wraps prose like Click, and breaks an example only before an option, with the backslash that a shell wants."""

    def write_text(self, text: str) -> None:
        """Write a command's help."""
        for number, paragraph in enumerate(paragraphs(text)):
            if number:
                self.write_paragraph()
            if paragraph.startswith(_MARK):
                self._write_example(paragraph)
            else:
                super().write_text(paragraph)

    def _write_example(self, paragraph: str) -> None:
        indent = " " * self.current_indent
        first, *rest = re.split(r" (?=--?[a-z])", paragraph)
        line = indent + first
        for piece in rest:
            if len(line) + len(f" {piece} \\") > self.width:
                self.write(f"{line} \\\n")
                line = f"{indent}    {piece}"
            else:
                line += f" {piece}"
        self.write(f"{line}\n")


class HelpContext(click.Context):
    """Makes a command's help with the formatter above."""

    formatter_class = HelpFormatter
