"""Croissant metadata of data sets in Parquet: `croissant.json`, which mlcroissant, TFDS and the Hugging Face Hub read.

Source: MLCommons, "Croissant Format Specification 1.0", docs.mlcommons.org/croissant/docs/croissant-spec.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa

from sketchdata.storage.manifest import Manifest

CROISSANT_NAME = "croissant.json"

_CLASSES = "classes"
#: The context that the specification gives; readers compare it word by word.
_TERMS = """
    citeAs column containedIn equivalentProperty extract field fileObject fileProperty fileSet format includes
    isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator
    source subField transform
"""
_CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS.split()},
}
_CC_BY = "https://creativecommons.org/licenses/by/4.0/"


def croissant(manifest: Manifest, schemas: Mapping[str, pa.Schema]) -> bytes:
    """Return the content of `croissant.json`: a record set per split and one of the class table, as JSON-LD.

    Lists and encoded images have no data type that mlcroissant 1.1 converts, so `drawing` and `image` are not fields.

    Args:
        manifest: The manifest of the data set.
        schemas: {split: columns of its shards} of the splits with rows.
    """
    files = [
        {
            "@type": "cr:FileSet",
            "@id": f"{split}-files",
            "name": f"{split}-files",
            "encodingFormat": "application/x-parquet",
            "includes": f"data/{split}-*.parquet",
        }
        for split in schemas
    ]
    count = sum(manifest.splits[split] for split in schemas)
    official = bool(manifest.sources) and all(source.official for source in manifest.sources)
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": manifest.name,
        "description": f"{count:,} rows of {len(manifest.classes):,} classes, made by {manifest.tool}.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "version": f"{manifest.version}.0.0",
        **({"license": _CC_BY} if official else {}),
        "distribution": files,
        "recordSet": [_class_table(manifest.classes), *(_rows(split, schema) for split, schema in schemas.items())],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _class_table(classes: tuple[str, ...]) -> dict[str, Any]:
    label, name = f"{_CLASSES}/label", f"{_CLASSES}/name"
    return {
        "@type": "cr:RecordSet",
        "@id": _CLASSES,
        "name": _CLASSES,
        "dataType": "sc:Enumeration",
        "key": {"@id": label},
        "field": [
            {"@type": "cr:Field", "@id": label, "name": label, "dataType": "sc:Integer"},
            {"@type": "cr:Field", "@id": name, "name": name, "dataType": ["sc:Text", "sc:name"]},
        ],
        "data": [{label: number, name: word} for number, word in enumerate(classes)],
    }


def _rows(split: str, schema: pa.Schema) -> dict[str, Any]:
    fields = []
    for column in schema:
        if (kind := _data_type(column.type)) is None:
            continue
        field: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"{split}/{column.name}",
            "name": f"{split}/{column.name}",
            "dataType": kind,
            "source": {"fileSet": {"@id": f"{split}-files"}, "extract": {"column": column.name}},
        }
        if column.name == "label":
            field["references"] = {"field": {"@id": f"{_CLASSES}/label"}}
        fields.append(field)
    return {"@type": "cr:RecordSet", "@id": split, "name": split, "field": fields}


def _data_type(kind: pa.DataType) -> str | None:
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return "sc:Text"
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Date" if pa.types.is_temporal(kind) else None
