"""What a chart says, read from its file."""

from __future__ import annotations

import html
from xml.etree import ElementTree


def words_of(svg: bytes) -> list[str]:
    """Return the lines of text of an SVG by matplotlib, whose letters are outlines with comments that say them."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    return [
        html.unescape(each.text or "").strip()
        for each in ElementTree.fromstring(svg, parser).iter()
        if each.tag is ElementTree.Comment
    ]
