"""The cards of what other hashing programs read: lists of pictures, and arrays of codes."""

from __future__ import annotations

from sketchdata.formats.deephash import PARTS
from sketchdata.formats.hashnet import FILES
from sketchdata.manifest import Manifest


def lists_card(manifest: Manifest) -> str:
    """Return the card of an export to lists: Markdown."""
    parent = manifest.parent
    made_from = "" if parent is None else f", exported from\n{parent.name} (sha256 of its manifest: `{parent.sha256}`)"
    rows = "\n".join(f"| {split} | `{FILES[split]}` | {count:,} |" for split, count in manifest.splits.items())
    return f"""---
license: cc-by-4.0
pretty_name: {manifest.name}
---

# {manifest.name}

{sum(manifest.splits.values()):,} free-hand drawings of {len(manifest.classes)} classes, from
[Quick, Draw!](https://github.com/googlecreativelab/quickdraw-dataset) by Google (CC BY 4.0), written by
{manifest.tool}{made_from}.

| split | list | pictures |
|---|---|--:|
{rows}

A line is `{{class}}/{{key_id}}.png` and a column a class: 1 in its own, 0 elsewhere. Columns stand in the order of
`classes` in `manifest.json`. Class names have `_` for blanks, since those who read such lists split lines at them.
Lines stand in the order of the data set's rows. The pictures themselves are not here.

`manifest.json` lists every file with its sha256; `sketchdata verify` checks them.
"""


def deephash_card(manifest: Manifest) -> str:
    """Return the card of an export of codes to DeepHash's arrays: Markdown."""
    parent = manifest.parent
    made_from = "" if parent is None else f", exported from\n{parent.name} (sha256 of its manifest: `{parent.sha256}`)"
    rows = "\n".join(f"| {split} | `{PARTS[split]}_*.npy` | {count:,} |" for split, count in manifest.splits.items())
    return f"""# {manifest.name}

Binary codes of {manifest.config["bits"]} bits, written by {manifest.tool}{made_from}.

| split | arrays | codes |
|---|---|--:|
{rows}

As DeepHash-pytorch keeps them: `*_binary.npy` is (N, {manifest.config["bits"]}) float32, 1 and −1; `*_label.npy` is
(N, {len(manifest.classes)}) int8, 1 in the column of the class. `*_key_id.npy`, (N,) uint64, is ours. `classes.txt`
names the classes, in the order of the columns.

`manifest.json` lists every file with its sha256; `sketchdata verify` checks them.
"""
