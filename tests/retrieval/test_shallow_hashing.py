"""The table of shallow hashing methods: what each promises, and that they rank as they were published."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.retrieval.shallow_hashing import SHALLOW_HASHERS
from tests.digit_codes import digits, hamming, mean_average_precision, quality_of

METHODS = list(SHALLOW_HASHERS)
SEEDS = range(3)
every_method = pytest.mark.parametrize("name", METHODS)
both_lengths = pytest.mark.parametrize("bits", [16, 32])


def test_the_table_has_the_methods_of_the_paper_and_pca_rr() -> None:
    paper = {"pca_itq", "lsh", "sh", "sklsh", "dsh_density", "pcah", "sdh", "cca_itq"}
    assert set(METHODS) == paper | {"pca_rr"}
    assert {name for name, method in SHALLOW_HASHERS.items() if method.supervised} == {"sdh", "cca_itq"}


def test_the_measure_used_here_is_that_of_scikit_learn() -> None:
    (query, own), (gallery, other) = digits()
    hasher = SHALLOW_HASHERS["lsh"].fit(gallery, None, 16, 0)
    distances, same = hamming(hasher.encode(query[:20]), hasher.encode(gallery)), own[:20, None] == other[None]
    expected = [average_precision_score(*pair) for pair in zip(same, -distances, strict=True)]
    assert mean_average_precision(distances, same, 16) == pytest.approx(expected)


# ---- the published order ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@both_lengths
@pytest.mark.parametrize(
    ("better", "worse"),
    [
        # Xu et al., Table III.
        ("sdh", "cca_itq"),
        # Gong and Lazebnik 2011: labels help. (In Table III of Xu et al., CCA-ITQ is below.)
        ("cca_itq", "pca_itq"),
        # Gong and Lazebnik 2011: ITQ > PCA-RR > what leaves the components as they are.
        ("pca_itq", "pca_rr"),
        ("pca_rr", "pcah"),
        ("pca_itq", "sh"),
        ("pca_itq", "lsh"),
        # Xu et al., Table III.
        ("pca_itq", "dsh_density"),
        ("lsh", "sklsh"),
    ],
)
def test_methods_rank_on_digits_as_published(better: str, worse: str, bits: int) -> None:
    for seed in SEEDS:
        assert quality_of(better, bits, seed) > quality_of(worse, bits, seed) + 0.01


@pytest.mark.parametrize("name", ["lsh", "pca_itq", "sklsh", "dsh_density", "cca_itq"])
def test_more_bits_find_more(name: str) -> None:
    assert np.mean([quality_of(name, 32, seed) - quality_of(name, 16, seed) for seed in SEEDS]) > 0.02


@every_method
def test_each_method_is_far_above_chance(name: str) -> None:
    assert min(quality_of(name, 32, seed) for seed in SEEDS) > 0.25  # a tenth is chance


# ---- what all methods promise ----------------------------------------------------------------------------------------


@every_method
@pytest.mark.parametrize("bits", [1, 2, 3, 17])
def test_codes_have_as_many_bits_as_were_asked_for_and_none_for_nothing(name: str, bits: int) -> None:
    (query, _), (gallery, labels) = digits()
    hasher = SHALLOW_HASHERS[name].fit(gallery, labels, bits, 0, most=500)
    codes = hasher.encode(query)
    assert (codes.shape, codes.dtype) == ((500, bits), np.bool_)
    assert (hasher.bits, hasher.width, hasher.fitted_on) == (bits, 64, 500)
    # Thresholds drawn without a look at the features may lie beyond all of them.
    assert np.ptp(hasher.encode(gallery).astype(int), axis=0).all() or name == "sklsh"


@every_method
def test_the_same_seed_gives_the_same_hasher(name: str) -> None:
    (query, _), (gallery, labels) = digits()
    method = SHALLOW_HASHERS[name]
    codes = [method.fit(gallery[:500], labels[:500], 16, seed).encode(query) for seed in (5, 5, 6)]
    assert (codes[0] == codes[1]).all()
    # Only these two leave nothing to chance.
    assert (codes[0] == codes[2]).all() == (name in ("pcah", "sh"))


@every_method
def test_codes_do_not_depend_on_what_is_encoded_along(name: str) -> None:
    (query, _), (gallery, labels) = digits()
    hasher = SHALLOW_HASHERS[name].fit(gallery, labels, 16, 0, most=500)
    many = np.tile(query, (10, 1))
    codes = hasher.encode(many)
    # A product of matrices rounds differently for other shapes; what is next to 0 may change its side.
    assert (codes != np.tile(hasher.encode(query), (10, 1))).mean() < 1e-4
    assert hasher.encode(query[:0]).shape == (0, 16)


@every_method
def test_no_more_rows_are_learnt_from_than_allowed_and_the_seed_chooses_them(name: str) -> None:
    gallery, labels = digits()[1]
    hashers = [SHALLOW_HASHERS[name].fit(gallery, labels, 8, seed, most=300) for seed in (0, 0, 1)]
    codes = [hasher.encode(gallery) for hasher in hashers]
    assert {hasher.fitted_on for hasher in hashers} == {300}
    assert (codes[0] == codes[1]).all()
    assert (codes[0] != codes[2]).any()


@every_method
def test_labels_may_be_any_integers_and_matter_to_supervised_methods_alone(name: str) -> None:
    gallery, labels = (rows[:500] for rows in digits()[1])
    method = SHALLOW_HASHERS[name]
    codes = method.fit(gallery, labels, 16, 0).encode(gallery)
    assert (method.fit(gallery, (labels * 30 + 7).astype(np.uint16), 16, 0).encode(gallery) == codes).all()
    shuffled = method.fit(gallery, np.roll(labels, 1), 16, 0).encode(gallery)
    assert (shuffled != codes).any() == method.supervised


@pytest.mark.parametrize("name", ["pcah", "pca_itq", "sh", "dsh_density", "cca_itq", "sdh"])
def test_one_bit_tells_two_clusters_apart(name: str) -> None:
    noise = np.random.default_rng(0).standard_normal((200, 5)) * 0.1
    side = np.arange(200) % 2
    features = (noise + np.outer(side, [3.0, 1.0, 0.0, -2.0, 0.0])).astype(np.float32)
    codes = SHALLOW_HASHERS[name].fit(features, side, 1, 0).encode(features)[:, 0]
    assert (codes == codes[0]).tolist() == (side == side[0]).tolist()


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("pcah", "pca_rr", "pca_itq")])
def test_bits_may_be_more_than_the_features_or_the_classes(name: str) -> None:
    features, labels = digits()[1]
    some = features[:, 20:28]
    codes = SHALLOW_HASHERS[name].fit(some, labels, 40, 0).encode(some)
    assert len(np.unique(codes, axis=1).T) > 20


# ---- what cannot be learnt from --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pcah", "pca_rr", "pca_itq"])
@pytest.mark.parametrize(("columns", "found"), [(64, 61), (8, 6)])
def test_principal_components_cannot_be_more_than_the_directions(name: str, columns: int, found: int) -> None:
    # Some pixels of the digits have no ink in any of them: the first two of the first row, for one.
    features = digits()[1][0][:, :columns].copy()
    features[:, -1] = features[:, 2]
    with pytest.raises(ConfigError, match=rf"these vary in {found - (columns == 64)} of {columns}: use fewer bits"):
        SHALLOW_HASHERS[name].fit(features, None, 64, 0)


@every_method
def test_features_that_are_all_equal_are_refused(name: str) -> None:
    with pytest.raises(SketchDataError, match="all 50 features are equal"):
        SHALLOW_HASHERS[name].fit(np.full((50, 4), 0.3, np.float32), np.arange(50) % 2, 4, 0)


@every_method
def test_fewer_rows_than_bits_are_refused(name: str) -> None:
    features = np.random.default_rng(0).random((10, 20), np.float32)
    with pytest.raises(ConfigError, match="16 bits need 16 rows or more to learn from, and there are 10"):
        SHALLOW_HASHERS[name].fit(features, np.arange(10) % 2, 16, 0)


@every_method
def test_few_equal_rows_among_many_do_not_break_a_method(name: str) -> None:
    # 1,200 rows without anything and 30 that differ, so that most of what is drawn by chance is equal.
    features = np.zeros((1230, 6), np.float32)
    features[:30] = np.random.default_rng(0).random((30, 6))
    labels = (np.arange(1230) < 30).astype(np.int64)
    if name == "dsh_density":
        with pytest.raises(ConfigError, match="use fewer bits"):
            SHALLOW_HASHERS[name].fit(features, labels, 4, 3)
    else:
        codes = SHALLOW_HASHERS[name].fit(features, labels, 4, 3).encode(features)
        assert (codes[:30] != codes[30]).any()
        assert (codes[30:] == codes[30]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_a_number_is_refused_and_its_row_told(value: float) -> None:
    gallery = digits()[1][0].copy()
    hasher = SHALLOW_HASHERS["lsh"].fit(gallery, None, 8, 0)
    gallery[321, 5] = value
    for use in (hasher.encode, lambda rows: SHALLOW_HASHERS["lsh"].fit(rows, None, 8, 0)):
        with pytest.raises(SketchDataError, match="row 321 "):
            use(gallery)
    with pytest.raises(SketchDataError, match=r"row 5,509 "):
        hasher.encode(np.concatenate([np.tile(digits()[1][0], (4, 1)), gallery]))


@pytest.mark.parametrize(
    ("name", "labels", "bits", "seed", "message"),
    [
        ("sdh", None, 8, 0, "needs a label for each feature"),
        ("cca_itq", np.zeros(1297, np.int64), 8, 0, "only one class"),
        ("cca_itq", np.zeros(5, np.int64), 8, 0, r"not \(1297, 64\) with \(5,\)"),
        ("lsh", None, 0, 0, "not 0 bits with seed 0"),
        ("lsh", None, 8, -1, "not 8 bits with seed -1"),
    ],
)
def test_wrong_arguments_are_told(name: str, labels: np.ndarray | None, bits: int, seed: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SHALLOW_HASHERS[name].fit(digits()[1][0], labels, bits, seed)


def test_features_of_another_width_are_refused() -> None:
    gallery = digits()[1][0]
    hasher = SHALLOW_HASHERS["lsh"].fit(gallery, None, 8, 0)
    for wrong in (gallery[:, :63], gallery[0]):
        with pytest.raises(ConfigError, match=r"fitted to \(N, 64\) features"):
            hasher.encode(wrong)
