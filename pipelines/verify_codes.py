"""Check a folder of codes, or an index over codes, against its manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sketchdata.code_folder import CodeFolder, file_name
from sketchdata.errors import SketchDataError
from sketchdata.index import CODES, KEY_IDS, KINDS, LABELS, open_index
from sketchdata.manifest import Manifest
from sketchdata.verification import Verification, check_counts


def holds_codes(manifest: Manifest) -> bool:
    """Tell whether a manifest is that of a folder of codes or of an index over codes."""
    return "bits" in manifest.config and ("splits" in manifest.config or manifest.config.get("kind") in KINDS)


def check_codes(directory: Path, manifest: Manifest, whole: set[str], verification: Verification) -> None:
    """Check the codes of each split, or of the one split of an index.

    Args:
        directory: The folder.
        manifest: Its manifest.
        whole: Files whose size and hash are as they should be.
        verification: Where to note what is found.
    """
    for split, told in manifest.counts.items():
        try:
            if "kind" in manifest.config:
                labels = open_index(directory).labels if {CODES, KEY_IDS, LABELS} <= whole else None
            else:
                read = CodeFolder(path=directory, manifest=manifest).read
                labels = read(split).labels if file_name(split) in whole else None
        except SketchDataError as error:
            verification.check("unreadable codes", [str(error)])
            continue
        verification.check("unreadable codes", [])
        if labels is not None:
            verification.records += len(labels)
            check_counts(np.bincount(labels, minlength=len(told)).tolist(), told, split, verification)
