"""Shallow hashing: the classic methods that learn binary codes of given features, in a table by name.

    hasher = SHALLOW_HASHERS["pca_itq"].fit(features, None, bits=32, seed=0)
    codes = hasher.encode(features)   # (N, 32) bool

They are the competitors of Table III of Xu et al., On Learning Semantic Representations for Million-Scale Free-Hand
Sketches, and PCA-RR. `dsh_density` is so named because two deep methods are called DSH as well.
"""

from __future__ import annotations

from sketchdata.retrieval.shallow_hashing.hasher import MOST_ROWS, Hasher, Method
from sketchdata.retrieval.shallow_hashing.methods import (
    learn_cca_itq,
    learn_dsh_density,
    learn_lsh,
    learn_pca_itq,
    learn_pca_rr,
    learn_pcah,
    learn_sdh,
    learn_sh,
    learn_sklsh,
)

__all__ = ["MOST_ROWS", "SHALLOW_HASHERS", "Hasher", "Method"]

_ITQ = "Gong and Lazebnik, Iterative Quantization: A Procrustean Approach to Learning Binary Codes, CVPR 2011"

#: By name, the unsupervised ones first.
SHALLOW_HASHERS: dict[str, Method] = {
    "lsh": Method(
        learn=learn_lsh,
        supervised=False,
        source="Charikar, Similarity Estimation Techniques from Rounding Algorithms, STOC 2002",
    ),
    "pcah": Method(
        learn=learn_pcah,
        supervised=False,
        source="Wang, Kumar and Chang, Semi-Supervised Hashing for Large-Scale Search, TPAMI 2012",
    ),
    "pca_rr": Method(learn=learn_pca_rr, supervised=False, source=_ITQ),
    "pca_itq": Method(learn=learn_pca_itq, supervised=False, source=_ITQ),
    "sh": Method(learn=learn_sh, supervised=False, source="Weiss, Torralba and Fergus, Spectral Hashing, NIPS 2008"),
    "sklsh": Method(
        learn=learn_sklsh,
        supervised=False,
        source="Raginsky and Lazebnik, Locality-Sensitive Binary Codes from Shift-Invariant Kernels, NIPS 2009",
    ),
    "dsh_density": Method(
        learn=learn_dsh_density,
        supervised=False,
        source="Jin, Li, Lin and Cai, Density Sensitive Hashing, IEEE Transactions on Cybernetics 2014",
    ),
    "cca_itq": Method(learn=learn_cca_itq, supervised=True, source=_ITQ),
    "sdh": Method(
        learn=learn_sdh, supervised=True, source="Shen, Shen, Liu and Shen, Supervised Discrete Hashing, CVPR 2015"
    ),
}
