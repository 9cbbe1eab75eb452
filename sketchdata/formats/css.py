"""CSS style sheets: the declarations that apply to an element of a document.

tinycss2 parses the sheets, and cssselect2 compiles the selectors of Selectors 4 that depend only on the document. Rules
in `@media screen` and `@media all` apply, rules of other conditions do not. The size of a sheet and the number of
elements that its selectors visit are limited, against malicious sheets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any
from xml.etree.ElementTree import Element

import cssselect2
import tinycss2

from sketchdata.errors import FormatError

#: Limits: characters of all sheets, number of rules, and number of elements that selectors visit.
_MAX_TEXT, _MAX_RULES, _MAX_LOOKS = 500_000, 2_000, 1_000_000
#: Characters of a selector that count as one more visit.
_CHARACTERS_A_LOOK = 30
#: Conditions of `@media` that hold on every screen.
_ANY_SCREEN = frozenset({"", "all", "screen", "only screen"})
#: Embedded fonts and pictures, which may be large.
_EMBEDDED = re.compile(r"base64,[\w+/=%\s]*")


class StyleRules:
    """The rules of a document's style sheets.

    Args:
        sheets: The text of each sheet, in the document's order.
        root: The document.

    Raises:
        FormatError: The sheets are too large, or their selectors visit too many elements.
    """

    def __init__(self, sheets: Sequence[str], root: Element) -> None:
        # (cost, specificity and order, test, declarations), indexed by a property that an element needs to match.
        self._rules: dict[str, list[tuple[int, tuple[Any, int], Any, str]]] = {}
        sheets = [_EMBEDDED.sub("base64,", text) for text in sheets]
        if sum(map(len, sheets)) > _MAX_TEXT:
            raise _too_many(f"more than {_MAX_TEXT:,} characters")
        count = 0
        try:
            for rule in (rule for text in sheets for rule in _rules_of(text)):
                selectors, block = _compiled(rule.prelude), tinycss2.serialize(rule.content)
                cost = 1 + len(tinycss2.serialize(rule.prelude)) // (_CHARACTERS_A_LOOK * max(len(selectors), 1))
                for selector in selectors:
                    count += 1
                    if count > _MAX_RULES:
                        raise _too_many(f"more than {_MAX_RULES:,} rules")
                    entry = (cost, (selector.specificity, count), selector.test, block)
                    key = _key("#", selector.id) or _key(".", selector.class_name) or selector.local_name or "*"
                    self._rules.setdefault(key, []).append(entry)
        except (RecursionError, ValueError) as error:  # ValueError: a number with more digits than int() accepts
            raise _too_many("they are nested too deeply, or have too long numbers") from error
        top = _Node.from_xml_root(root)
        self._looks = top.looks
        self._nodes = {node.etree_element: node for node in top.iter_subtree()}

    def blocks(self, element: Element) -> list[str]:
        """Return the declarations of each rule that matches an element; later ones have precedence.

        Raises:
            FormatError: The selectors visit too many elements.
        """
        node = self._nodes[element]
        keys = ("*", element.tag, *(f".{name}" for name in node.classes), f"#{node.id}")
        rules = [rule for key in keys for rule in self._rules.get(key, ())]
        self._looks.take(sum(cost for cost, *_ in rules))
        try:
            fitting = [(rank, block) for _, rank, test, block in rules if test(node)]
        except RecursionError as error:
            raise _too_many("their selectors are nested too deeply") from error
        return [block for _, block in sorted(fitting)]


def _rules_of(text: str) -> Iterator[Any]:
    """Yield the rules of a sheet, including those for all screens."""
    for rule in tinycss2.parse_stylesheet(text, skip_comments=True):
        if rule.type == "qualified-rule":
            yield rule
        elif rule.type != "at-rule" or rule.lower_at_keyword != "media" or rule.content is None:
            continue
        elif tinycss2.serialize(rule.prelude).strip().lower() in _ANY_SCREEN:
            inner = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
            yield from (rule for rule in inner if rule.type == "qualified-rule")


def _key(mark: str, name: str | None) -> str | None:
    return None if name is None else mark + name


def _compiled(prelude: list[Any]) -> list[Any]:
    try:
        selectors = cssselect2.compile_selector_list(prelude)
    except Exception:  # noqa: BLE001 - where a selector is wrong, the compiler and the Python that it makes raise anything
        return []
    return [selector for selector in selectors if selector.pseudo_element is None and not selector.never_matches]


def _too_many(what: str) -> FormatError:
    return FormatError("SVG with too many styles", what)


class _Looks:
    """Counts the elements that selectors visit; each nested selector visits all of them again."""

    def __init__(self) -> None:
        self._left = _MAX_LOOKS

    def take(self, count: int = 1) -> None:
        self._left -= count
        if self._left < 0:
            raise _too_many("they look at too many elements")


class _Node(cssselect2.ElementWrapper):  # type: ignore[misc]
    """An element in the interface of cssselect2."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.looks: _Looks = _Looks() if self.parent is None else self.parent.looks

    @property
    def ancestors(self) -> Iterator[_Node]:
        return self._along("parent")

    @property
    def previous_siblings(self) -> Iterator[_Node]:
        return self._along("previous")

    @cached_property
    def etree_children(self) -> _Row:
        return _Row(super().etree_children, self.looks)

    def _along(self, way: str) -> Iterator[_Node]:
        node = getattr(self, way)
        while node is not None:
            self.looks.take()
            yield node
            node = getattr(node, way)


class _Row(list[Element]):
    """The children of an element."""

    def __init__(self, children: list[Element], looks: _Looks) -> None:
        super().__init__(children)
        self._looks = looks

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        self._looks.take(len(found) if isinstance(key, slice) else 1)
        return found

    def __iter__(self) -> Iterator[Element]:
        for child in super().__iter__():
            self._looks.take()
            yield child
