"""What Xu et al. published of hashing on QuickDraw-3.8M, to be put beside what is measured here.

Source: "On Learning Semantic Representations for Million-Scale Free-Hand Sketches", Tables II to VII. The paper says
neither how equal distances are ordered nor which average precision it takes.
"""

from __future__ import annotations

#: Bits of the columns.
BITS = (16, 24, 32, 64)


def _columns(*values: float) -> dict[int, float]:
    return dict(zip(BITS, values, strict=True))


#: Table II: {row: {bits: mean average precision}}.
MAP: dict[str, dict[int, float]] = {
    "dlbhc": _columns(0.5453, 0.5910, 0.6109, 0.6241),
    "dsh-pair": _columns(0.0512, 0.0498, 0.0501, 0.0531),
    "dsh-sketch": _columns(0.3855, 0.4459, 0.4935, 0.6065),
    "greedyhash": _columns(0.4127, 0.4520, 0.4911, 0.5816),
    "cr-cel": _columns(0.5969, 0.6196, 0.6412, 0.6525),
    "cr-cl": _columns(0.5567, 0.5856, 0.5911, 0.6136),
    "cr-scl": _columns(0.6016, 0.6371, 0.6473, 0.6767),
    "cr-scl-ql": _columns(0.6064, 0.6388, 0.6521, 0.6791),
    # Table III: shallow methods on a deep feature of 256 numbers, and on histograms of oriented gradients.
    "pca_itq-deep": _columns(0.4414, 0.5301, 0.5655, 0.6148),
    "lsh-deep": _columns(0.3327, 0.4472, 0.5001, 0.5801),
    "sh-deep": _columns(0.4177, 0.5102, 0.5501, 0.5956),
    "sklsh-deep": _columns(0.0148, 0.0287, 0.0351, 0.0605),
    "dsh_density-deep": _columns(0.3451, 0.4359, 0.4906, 0.5718),
    "pcah-deep": _columns(0.4375, 0.5224, 0.5576, 0.6056),
    "sdh-deep": _columns(0.5781, 0.6045, 0.6133, 0.6273),
    "cca_itq-deep": _columns(0.3638, 0.4623, 0.5168, 0.5954),
    "pca_itq-hog": _columns(0.0222, 0.0237, 0.0254, 0.0266),
    "lsh-hog": _columns(0.0110, 0.0121, 0.0128, 0.0167),
    "sh-hog": _columns(0.0166, 0.0161, 0.0156, 0.0157),
    "sklsh-hog": _columns(0.0096, 0.0105, 0.0108, 0.0127),
    "dsh_density-hog": _columns(0.0186, 0.0183, 0.0224, 0.0243),
    "pcah-hog": _columns(0.0166, 0.0161, 0.0155, 0.0146),
    "sdh-hog": _columns(0.0160, 0.0186, 0.0219, 0.0282),
    "cca_itq-hog": _columns(0.0185, 0.0195, 0.0208, 0.0239),
}
#: Table II: {row: {bits: precision among the first 200}}.
PRECISION: dict[str, dict[int, float]] = {
    "dlbhc": _columns(0.5142, 0.5917, 0.6169, 0.6403),
    "dsh-pair": _columns(0.0510, 0.0512, 0.0501, 0.0454),
    "dsh-sketch": _columns(0.3486, 0.4329, 0.4823, 0.6040),
    "greedyhash": _columns(0.3896, 0.4511, 0.4733, 0.5901),
    "cr-cel": _columns(0.5817, 0.6292, 0.6524, 0.6730),
    "cr-cl": _columns(0.5578, 0.6038, 0.6140, 0.6412),
    "cr-scl": _columns(0.5928, 0.6298, 0.6543, 0.6875),
    "cr-scl-ql": _columns(0.5978, 0.6324, 0.6603, 0.6882),
}
#: Table V: {row: share of the gallery that is recognised}.
ACCURACY = {"sketch-a-net": 0.6871, "resnet50": 0.7864, "recognise-cel": 0.7949, "recognise-scl": 0.8051}
#: Table VI: {row: {bits: (d1, d2, d1/d2)}}.
SPREAD: dict[str, dict[int, tuple[float, float, float]]] = {
    "cr-cel": {
        16: (0.7501, 4.9764, 0.1665),
        24: (1.2360, 6.1266, 0.2017),
        32: (2.0066, 8.9190, 0.2250),
        64: (4.7040, 15.4719, 0.3040),
    },
    "cr-cl": {
        16: (0.5297, 3.2841, 0.1721),
        24: (0.8285, 4.0388, 0.2051),
        32: (1.5124, 7.3120, 0.2068),
        64: (3.5828, 14.1112, 0.2539),
    },
    "cr-scl": {
        16: (0.5078, 4.2581, 0.1257),
        24: (0.6801, 5.0221, 0.1354),
        32: (1.0792, 7.5340, 0.1432),
        64: (1.6109, 11.6815, 0.1379),
    },
    "cr-scl-ql": {
        16: (0.5800, 4.8537, 0.1290),
        24: (0.8568, 6.2243, 0.1377),
        32: (1.2468, 8.6675, 0.1439),
        64: (2.5231, 17.6179, 0.1432),
    },
}
#: Table VII: {row: mean average precision among 20 classes that no training saw}, at this one length.
ZERO_SHOT_BITS = 32
ZERO_SHOT = {"dlbhc": 0.7094, "dsh-sketch": 0.5334, "cr-scl-ql": 0.7547}
