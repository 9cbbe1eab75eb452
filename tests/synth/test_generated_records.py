from datetime import datetime, timezone

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sketchdata.synth import generate
from sketchdata.synth.generate import countries, key_ids, timestamps
from sketchdata.synth.shapes import bell, cosine, sine, stream

ALL_LABELS = range(345)


def test_key_ids_never_collide_over_all_categories():
    index = np.arange(12_000)
    ids = np.concatenate([key_ids(index, label=label, seed=0) for label in ALL_LABELS])
    assert len(np.unique(ids)) == 345 * 12_000


@given(
    pairs=st.sets(st.tuples(st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)), min_size=2, max_size=50),
    seed=st.integers(0, 2**64),
)
def test_key_ids_are_injective_and_in_the_official_range(pairs, seed):
    ids = [int(key_ids(np.array([index]), label=label, seed=seed)[0]) for label, index in pairs]
    assert len(set(ids)) == len(pairs)
    assert all(2**52 <= key_id < 2**52 + 2**51 for key_id in ids)


def test_key_ids_look_random_and_have_16_digits():
    ids = key_ids(np.arange(10_000), label=3, seed=1)
    assert {len(str(key_id)) for key_id in ids.tolist()} == {16}
    assert abs((ids - np.uint64(2**52)).astype(float).mean() / 2**51 - 0.5) < 0.02


def test_times_lie_in_the_official_months_in_steps_of_ten_microseconds():
    times = timestamps(stream("test"), 50_000)
    first, last = (datetime.fromtimestamp(t / 1e6, timezone.utc) for t in (times.min(), times.max()))
    assert (first.date().isoformat(), last.date().isoformat()) == ("2017-01-23", "2017-03-31")
    assert not (times % 10).any()


def test_countries_have_the_official_proportions():
    drawn = countries(stream("test"), 50_000)
    share = {name: float((drawn == name).mean()) for name in (b"US", b"GB", b"DE")}
    assert 0.44 < share[b"US"] < 0.47
    assert 0.06 < share[b"GB"] < 0.09
    assert 0.02 < share[b"DE"] < 0.04
    assert len(np.unique(drawn)) == 45


def test_metadata_has_the_official_types():
    batch = generate("star", 10, seed=0, label=9)
    types = (batch.key_id.dtype, batch.label.dtype, batch.timestamp.dtype, batch.recognized.dtype, batch.x.dtype)
    assert types == (np.uint64, np.uint16, np.int64, np.bool_, np.uint8)
    assert batch.countrycode.dtype == np.dtype("S2")
    assert not batch.is_raw


def test_streams_with_different_names_differ():
    assert stream("a", 1).random() != stream("a", 2).random()
    assert stream("a", 12).random() != stream("a1", 2).random()


def test_the_bell_has_unit_deviation():
    values = bell(stream("test"), 100_000)
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02


@given(turns=st.floats(-50, 50))
def test_the_table_of_sines_is_close_to_the_sine(turns):
    assert abs(sine(np.array([turns]))[0] - np.sin(2 * np.pi * turns)) < 0.01
    assert abs(cosine(np.array([turns]))[0] - np.cos(2 * np.pi * turns)) < 0.01
