"""The pages' own files: the template, the style sheet and the modules, with nothing from elsewhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from string import Template

import orjson

_HERE = Path(__file__).parent

#: The name by which the modules import one another; an import map says where each of them lies.
_MODULES = "sketchdata/"


def read_assets() -> dict[str, str]:
    """Return the style sheet and the JavaScript modules: {file name: text}."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((_HERE / "static").iterdir())}


def served_import_map(prefix: str) -> str:
    """Return the import map of a page whose modules are served below `prefix`."""
    return orjson.dumps({"imports": {_MODULES: prefix}}).decode()


def inline_import_map(assets: Mapping[str, str]) -> str:
    """Return an import map that holds the modules themselves, so that a page needs no other file."""
    modules = {
        f"{_MODULES}{name}": f"data:text/javascript;charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"
        for name, text in assets.items()
        if name.endswith(".js")
    }
    return orjson.dumps({"imports": modules}).decode()


def page(*, title: str, head: str, import_map: str, body: str) -> str:
    """Fill the template.

    Args:
        title: Plain text.
        head: HTML of the style sheet and the like.
        import_map: Where the modules lie, JSON.
        body: HTML of the data and of the first module.
    """
    template = Template((_HERE / "templates" / "page.html").read_text(encoding="utf-8"))
    return template.substitute(title=html.escape(title), head=head, import_map=import_map, body=body)
