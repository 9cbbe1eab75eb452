"""Settings of the documentation site: `make docs` builds it into docs/_build/html."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes

from sketchdata import __version__

project = "sketchdata"
author = copyright = "The sketchdata developers"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"sketchdata {version}"
html_copy_source = False
smartquotes = False
default_role = "code"
pygments_style = "friendly"
pygments_dark_style = "github-dark"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_use_ivar = True
napoleon_use_rtype = False
# Types of other libraries have no page here, and the site is built without a network.
nitpick_ignore_regex = [
    ("py:.*", r"(?!sketchdata\b).*"),
    # Nor have those of the library that a user need not make.
    ("py:class", r"sketchdata\..*\.(Dataset|DrawingBatch|Query|RowGroups|TieGroups)"),
]


def _inline(text: str) -> str:
    """Turn the `code` of a help text into reStructuredText, and keep all else literal."""
    pieces = text.split("`")
    prose = [re.sub(r"([\\*|_]|:(?=//))", r"\\\1", piece) for piece in pieces[::2]]
    code = [f"``{piece}``" for piece in pieces[1::2]]
    return "".join(piece for pair in zip(prose, [*code, ""], strict=True) for piece in pair)


def _describe(_app: Any, _context: Any, lines: list[str]) -> None:
    """Write a command's help with its examples as shell blocks."""
    described: list[str] = []
    for paragraph in "\n".join(lines).split("\n\n"):
        text = " ".join(paragraph.split())
        if text.startswith("Example: "):
            described += [".. code-block:: shell", "", f"   {text.removeprefix('Example: ')}", ""]
        else:
            described += [_inline(text), ""]
    lines[:] = described


def _options(_app: Any, _context: Any, lines: list[str]) -> None:
    """Keep the marks of an option's help literal, and write its default and choices as paragraphs."""
    written: list[str] = []
    for line in lines:
        value = line.strip().partition(": ")[2]
        if line.strip().startswith(":default:"):
            line = f"    Default: {value.replace(chr(39), '')}"
        elif line.strip().startswith(":options:"):
            line = f"    One of: ``{value.replace(' | ', '``, ``')}``"
        elif not line.startswith(".. option::"):
            required, _, text = line.rpartition("**Required** ")
            line = _inline(line) if not required else f"{required}{_inline(text)} Required."
        written += ["", line] if line.startswith("    ") else [line]
    lines[:] = written


def _name_commands(_app: Any, doctree: nodes.document) -> None:
    """Head the section of a command with the whole command, not with its last word."""
    for section in doctree.findall(nodes.section):
        name = " ".join(section.get("names", []))
        if name.startswith("sketchdata ") and isinstance(title := section[0], nodes.title):
            title.clear()
            title += nodes.Text(name.removeprefix("sketchdata "))


def setup(app: Any) -> None:
    """Let the help texts of the commands, which are plain text, pass for reStructuredText."""
    app.connect("sphinx-click-process-description", _describe)
    app.connect("sphinx-click-process-options", _options)
    app.connect("doctree-read", _name_commands, priority=100)
