"""Which training drawings have a normal image entropy for their class: of these alone class centres are computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sketchdata.audit_store import read_audit, record_path
from sketchdata.dataset import open_dataset
from sketchdata.entropy import NORMAL, drawing_entropies, judge_of, reference

_SPLIT = "train"
#: The percentiles of image entropy between which drawings are normal: Xu et al., Eq. 3.
_LOW, _HIGH = 5, 95


def normal_rows(data: Path, words: Sequence[str] | None = None) -> npt.NDArray[np.bool_]:
    """Tell which training drawings have a normal entropy for their class, in the order of their rows.

    What `sketchdata audit entropy` found counts where there is such an audit; otherwise drawings between the 5th and
    the 95th percentile of their class are normal, ends included.

    Args:
        data: The data set.
        words: The classes whose drawings count; None for all.

    Returns:
        (N,) bool.

    Raises:
        SketchDataError: The audit is of another data set, or a shard cannot be read.
    """
    dataset = open_dataset(data)
    classes = dataset.manifest.classes
    if record_path(data, "entropy").exists():
        audit = read_audit(data)
        rows = audit.rows(_SPLIT)
        label = np.concatenate([batch.label for batch in dataset.batches(_SPLIT)])
        normal = audit.judged[rows] & ~audit.noise[rows]
    else:
        found = [(batch.label, drawing_entropies(batch)) for batch in dataset.batches(_SPLIT)]
        label, entropy = (np.concatenate(columns) for columns in zip(*found, strict=True))
        once = np.ones(len(label), np.int64)
        own = [label == each for each in range(len(classes))]
        judge = judge_of([reference(entropy[rows], once[rows]) for rows in own], low=_LOW, high=_HIGH)
        normal = judge.judge(label, entropy)[1] == NORMAL
    return np.asarray(normal[np.isin(label, [classes.index(word) for word in words or classes])])
