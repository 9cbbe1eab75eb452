"""Validated decoding of JSON records, such as manifest.json, into types.

Errors name the file, the field, what was expected and what was found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import orjson

from sketchdata.errors import SketchDataError

Kind = TypeVar("Kind")


class Fields(dict[str, Any]):
    """The fields of a JSON object, also nested; a missing one raises a `SketchDataError` that names it.

    Args:
        values: {field: value}.
        where: The file, for errors.
        remedy: Advice about a damaged file, for errors.
        prefix: The field that has this object, with a dot, for errors.
    """

    def __init__(
        self,
        values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        where: Path | str = "the record",
        remedy: str = "",
        prefix: str = "",
    ) -> None:
        super().__init__(values)
        self.where, self.remedy, self.prefix = where, remedy, prefix
        for name, value in self.items():
            if isinstance(value, dict):
                self[name] = Fields(value, where, remedy, f"{prefix}{name}.")

    def __missing__(self, name: str) -> Any:
        raise fault(self.where, f"{self.prefix}{name}", "a value", "none", self.remedy)


def decode(content: bytes, kind: type[Kind], where: Path | str, remedy: str = "") -> Kind:
    """Decode JSON into a type, such as a dataclass or a TypedDict; fields that the type does not have are ignored.

    Args:
        content: The JSON.
        kind: The type.
        where: The file, for errors.
        remedy: Advice about a damaged file, for errors.

    Raises:
        SketchDataError: The content is not JSON, a field is missing, or a value has the wrong type.
    """
    try:
        # orjson rejects what it could not write: lone surrogates, integers of more than 64 bits, deep nesting.
        values = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise fault(where, "", "JSON", str(error), remedy) from error
    return convert(values, kind, where, remedy)


def decode_fields(content: bytes, kind: type[Mapping[str, Any]], where: Path | str, remedy: str = "") -> Fields:
    """Decode a JSON object, whose known fields must have the types of a TypedDict; see `Fields` for missing ones.

    Raises:
        SketchDataError: It is not a JSON object, or a value is not of its type.
    """
    return check_fields(decode(content, dict[str, Any], where, remedy), kind, where, remedy)


def check_fields(
    values: Mapping[str, Any], kind: type[Mapping[str, Any]], where: Path | str, remedy: str = "", prefix: str = ""
) -> Fields:
    """Return fields whose known ones have the types of a TypedDict.

    Raises:
        SketchDataError: A value is not of its type.
    """
    convert(values, kind, where, remedy, prefix)
    return Fields(values, where, remedy, prefix)


def convert(values: Any, kind: type[Kind], where: Path | str, remedy: str = "", prefix: str = "") -> Kind:
    """Convert plain values of a record into a type.

    Raises:
        SketchDataError: A field is missing, or a value is not of its type.
    """
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise _translated(error, where, remedy, prefix) from error


def check_inside(path: str, field: str, where: Path | str, remedy: str = "") -> None:
    """Check that a path in a record is inside the record's folder.

    Raises:
        SketchDataError: The path is absolute, leads out of the folder, or is not a path.
    """
    if not path or re.search(r"[\0\\]|//|^/|/$", path) or {"..", "."} & {*path.split("/")}:
        raise fault(where, field, "a path inside the folder", repr(path[:200]), remedy)


def fault(where: Path | str, field: str, expected: str, found: str, remedy: str = "") -> SketchDataError:
    """Return the error of a record with an unexpected field."""
    place = f"{where}: {field}" if field else str(where)
    return SketchDataError(f"{place}: expected {expected}, found {found}{remedy and f': {remedy}'}")


def _translated(error: msgspec.ValidationError, where: Path | str, remedy: str, prefix: str = "") -> SketchDataError:
    message, _, at = str(error).partition(" - at `$")
    field = f"{prefix}{at.rstrip('`').lstrip('.')}"
    if missing := re.fullmatch("Object missing required field `(.*)`", message):
        return fault(where, f"{field.removesuffix('.')}.{missing[1]}".lstrip("."), "a value", "none", remedy)
    expected, got, found = message.removeprefix("Expected ").partition(", got ")
    return (
        fault(where, field, expected, found, remedy) if got else fault(where, field, "another value", message, remedy)
    )
