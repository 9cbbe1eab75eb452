from __future__ import annotations

import pytest

from sketchdata.errors import ConfigError
from sketchdata.photos.search import Licence, parse_filter, parse_licence


@pytest.mark.parametrize(
    ("name", "code", "shown"),
    [
        ("https://creativecommons.org/licenses/by/2.0/", "by", "CC BY 2.0"),
        ("http://creativecommons.org/licenses/by-nc-sa/3.0/us/", "by-nc-sa", "CC BY-NC-SA 3.0 US"),
        ("https://creativecommons.org/licenses/by-sa/4.0/legalcode", "by-sa", "CC BY-SA 4.0"),
        ("https://creativecommons.org/licenses/by-nc-nd/4.0/deed.en", "by-nc-nd", "CC BY-NC-ND 4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "cc0", "CC0 1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "pdm", "Public Domain Mark 1.0"),
        (" CC BY-SA 4.0 ", "by-sa", "CC BY-SA 4.0"),
        ("CC-BY-SA-3.0", "by-sa", "CC BY-SA 3.0"),
        ("cc by 2.5", "by", "CC BY 2.5"),
        ("CC-Zero", "cc0", "CC0 1.0"),
        ("PD-old-70", "pdm", "Public domain"),
    ],
)
def test_names_and_addresses_are_recognized(name: str, code: str, shown: str) -> None:
    found = parse_licence(name)
    assert found is not None
    assert (found.code, str(found)) == (code, shown)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "GFDL",
        "All Rights Reserved",
        "CC BY",
        "CC BY-SA 4.0 or GFDL",
        "CC SA 1.0",
        "https://creativecommons.org.evil.test/licenses/by/2.0/",
        "https://evil.test/?https://creativecommons.org/licenses/by/2.0/",
        "https://creativecommons.org/licenses/sampling/1.0/",
        "Not in the public domain",
    ],
)
def test_what_only_looks_like_a_licence_is_none(name: str) -> None:
    assert parse_licence(name) is None


def test_the_first_name_that_is_one_decides() -> None:
    assert parse_licence(None, "?", "CC0", "CC BY 4.0") == Licence(code="cc0")


def test_a_filter_is_a_set_of_codes_or_any() -> None:
    assert parse_filter("cc0, BY-SA,") == {"cc0", "by-sa"}
    assert parse_filter("any") is None


@pytest.mark.parametrize("text", ["", ",", "by,gpl", "any,by", "CC BY"])
def test_an_unknown_filter_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--licence .* is not one of cc0, pdm, by, by-sa"):
        parse_filter(text)
