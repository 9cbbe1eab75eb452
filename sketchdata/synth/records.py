"""The metadata around generated drawings: identifiers, countries, times. Generated, not from Quick, Draw!."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import numpy.typing as npt

from sketchdata.synth.randomness import stable_hash

#: Official identifiers lie in [2**52, 1.5 · 2**52).
KEY_BITS = 51
_KEY_MASK = np.uint64((1 << KEY_BITS) - 1)
_KEY_BASE = np.uint64(1 << 52)
#: Odd, so that multiplying modulo 2**51 can be undone. Source: splitmix64's constants.
_MULTIPLIERS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
#: Bits of a key_id's source that count a category's drawings; the label lies above them.
INDEX_BITS = 32

#: {country: drawings} of the 45 most frequent ones among 33,552 drawings of the official files.
_COUNTRIES = {
    "US": 14617, "GB": 2410, "CA": 1243, "DE": 1007, "RU": 786, "AU": 757, "BR": 613, "FI": 583, "SE": 578,
    "CZ": 547, "FR": 515, "IT": 494, "PL": 479, "KR": 473, "TH": 444, "PH": 425, "SA": 421, "HU": 396,
    "NL": 388, "ID": 297, "RO": 268, "SK": 265, "IN": 265, "VN": 247, "JP": 231, "AE": 217, "TW": 216,
    "UA": 207, "NO": 188, "MY": 182, "NZ": 167, "HR": 162, "TR": 160, "HK": 150, "IE": 143, "AT": 142,
    "MX": 141, "RS": 136, "BG": 129, "PT": 128, "DK": 121, "ES": 115, "CH": 113, "SG": 101, "IL": 97,
}  # fmt: skip
_NAMES = np.array(list(_COUNTRIES), "S2")
_CUMULATIVE = np.cumsum(list(_COUNTRIES.values())) / sum(_COUNTRIES.values())

_FIRST_DAY, _LAST_DAY = (datetime(2017, month, day, tzinfo=timezone.utc) for month, day in ((1, 23), (4, 1)))
#: Official times mostly have five digits after the point.
_TICK_US = 10


def key_ids(indices: npt.NDArray[np.int64], *, label: int, seed: int) -> npt.NDArray[np.uint64]:
    """Number drawings so that no two (label, index) pairs of a seed ever share a key_id.

    Args:
        indices: (N,) below 2**32.
        label: Below 2**16.
        seed: Which of many numberings.

    Returns:
        (N,) uint64 in [2**52, 2**52 + 2**51): 16 digits, as official ones have. Each step is a bijection of 51 bits.
    """
    mixed = (np.uint64(label << INDEX_BITS) | indices.astype(np.uint64)) ^ (
        np.uint64(stable_hash("keys", seed) & int(_KEY_MASK))
    )
    for multiplier in _MULTIPLIERS:
        mixed = (mixed * multiplier) & _KEY_MASK
        mixed ^= mixed >> np.uint64(26)
    return mixed + _KEY_BASE


def countries(rng: np.random.Generator, count: int) -> npt.NDArray[np.bytes_]:
    """Draw countries in the official files' proportions, (N,) S2."""
    row = np.minimum(np.searchsorted(_CUMULATIVE, rng.random(count), side="right"), len(_NAMES) - 1)
    chosen: npt.NDArray[np.bytes_] = _NAMES[row]
    return chosen


def timestamps(rng: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    """Draw times from 23 January to 31 March 2017, (N,) int64 microseconds since 1970 in UTC."""
    first, last = (int(day.timestamp()) * 1_000_000 for day in (_FIRST_DAY, _LAST_DAY))
    ticks = np.floor(rng.random(count) * ((last - first) // _TICK_US)).astype(np.int64)
    return first + ticks * _TICK_US
