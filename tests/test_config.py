"""A value comes from the flag, else the TOML file, else the default, and is checked alike wherever it comes from."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sketchdata.config import option, options, recorded
from sketchdata.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options of every kind."""

    out: Path = option(help="Where to.", record=False, type=click.Path(path_type=Path))
    seed: int = option(0, help="Of the hash.", type=click.IntRange(0, 100))
    share: float = option(0.5, help="A part.", type=click.FloatRange(0, 1))
    categories: str | None = option(None, help="Names.")
    input_format: str = option("simplified", help="Which.", type=click.Choice(["simplified", "raw"]))
    recognized_only: bool = option(False, help="Only those.")
    detector: tuple[str, ...] = option((), help="Several.", multiple=True)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Options of another kind, for the same command."""

    workers: int | None = option(None, help="Processes.", record=False, type=click.IntRange(0))


@click.command()
@options(config=Config, machine=Machine)
def command(config: Config, machine: Machine) -> tuple[Config, Machine]:
    """Return what was understood."""
    return config, machine


def given(*flags: str, toml: str | None = None) -> tuple[Config, Machine]:
    """Run the command as a user would and return what it got."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "options.toml"
        path.write_text(toml or "")
        from_file = [] if toml is None else ["--config", str(path)]
        result = CliRunner().invoke(command, [*from_file, *flags], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    understood: tuple[Config, Machine] = result.return_value
    return understood


@pytest.mark.parametrize("order", [1, -1])
def test_a_preset_wins_over_the_default_a_file_over_the_preset_and_a_flag_over_both(order: int, tmp_path: Path) -> None:
    @click.command()
    @options({"paper": {"seed": 1, "share": 0.25, "recognized_only": True}}, config=Config)
    def with_preset(config: Config) -> Config:
        return config

    file = tmp_path / "options.toml"
    file.write_text("share = 0.75\nseed = 2\n")
    flags = [["--preset", "paper"], ["--config", str(file)], ["--out", "x", "--seed", "3"]][::order]
    found = (
        CliRunner().invoke(with_preset, [flag for part in flags for flag in part], standalone_mode=False).return_value
    )
    assert found == Config(out=Path("x"), seed=3, share=0.75, recognized_only=True)
    alone = CliRunner().invoke(with_preset, ["--out", "x", "--preset", "paper"], standalone_mode=False).return_value
    assert alone == Config(out=Path("x"), seed=1, share=0.25, recognized_only=True)
    told = CliRunner().invoke(with_preset, ["--help"]).output
    assert "paper: --seed 1, --share 0.25" in " ".join(told.split())


def test_defaults_hold_where_nothing_else_is_said() -> None:
    assert given("--out", "x") == (Config(out=Path("x")), Machine(workers=None))


def test_a_file_wins_over_the_default_and_a_flag_over_the_file() -> None:
    toml = """
        out = "a"
        seed = 7
        recognized-only = true
        input_format = "raw"
        share = 1
        workers = 3
        detector = ["a", "b"]
    """
    config, machine = given(toml=toml)
    assert config == Config(
        out=Path("a"), seed=7, share=1.0, input_format="raw", recognized_only=True, detector=("a", "b")
    )
    assert machine == Machine(workers=3)
    assert isinstance(config.share, float)
    config, machine = given("--seed", "0", "--out", "b", "--detector", "c", "--workers", "0", toml=toml)
    assert (config.seed, config.out, config.detector, machine.workers) == (0, Path("b"), ("c",), 0)


@pytest.mark.parametrize("name", ["recognized_only", "recognized-only"])
@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_a_switch_is_set_in_the_file_under_either_name(name: str, text: str, value: bool) -> None:
    assert given("--out", "x", toml=f"{name} = {text}")[0].recognized_only is value


def test_a_required_option_may_come_from_the_file_but_must_come() -> None:
    assert given(toml='out = "x"')[0].out == Path("x")
    for toml in (None, "seed = 1"):
        with pytest.raises(click.MissingParameter) as missing:
            given(toml=toml)
        assert missing.value.format_message() == "Missing option '--out'."


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"options\.toml sets colour, sead; this command knows categories, .*workers"):
        given("--out", "x", toml='sead = 1\ncolour = "red"')
    with pytest.raises(ConfigError, match="sets build; this command knows"):
        given("--out", "x", toml="[build]\nseed = 1")


@pytest.mark.parametrize(
    "line",
    [
        "seed = 2.7",
        "seed = true",
        'seed = "many"',
        "seed = [1]",
        "seed = 101",
        "seed = -1",
        "share = 1.5",
        'share = "half"',
        "share = true",
        'input_format = "svg"',
        "input_format = 5",
        "recognized_only = 7",
        'recognized_only = "perhaps"',
        'categories = ["cat", "dog"]',
        "categories = {a = 1}",
        "out = []",
        "out = 1979-05-27",
        'detector = "canny"',
        'detector = [["a"]]',
        "workers = nan",
        "workers = 0.0",
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_as_the_flag_would_be(line: str) -> None:
    name, _, _ = line.partition(" ")
    with pytest.raises(ConfigError, match=rf"in the --config file .*options\.toml, {name} = "):
        given(*([] if name == "out" else ["--out", "x"]), toml=line)


def test_a_wrong_value_in_the_file_does_not_matter_beside_a_flag() -> None:
    assert given("--out", "x", "--seed", "5", toml='seed = "many"')[0].seed == 5


@pytest.mark.parametrize("toml", ["seed = ", "seed = 1\nseed = 2", "seed: 1", "\x00"])
def test_a_file_that_is_no_toml_is_refused_by_name(toml: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the --config file .*options\.toml"):
        given("--out", "x", toml=toml)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[" * 5000 + "]" * 5000, "cannot read .*options\\.toml: seed: values nested too deeply"),
        ("[\n" * 5000 + "]\n" * 5000, "cannot read .*options\\.toml: seed: values nested too deeply"),
        ("{a = " * 5000 + "1" + "}" * 5000, "cannot read .*options\\.toml: seed: values nested too deeply"),
        ("[" * 300 + "]" * 300, "options\\.toml, seed = "),
        ("9" * 5000, "cannot read .*options\\.toml: seed: a number of too many digits"),
        ("0x" + "f" * 6000, "options\\.toml, seed = a huge number"),
        ("9" * 400, "options\\.toml, seed = a huge number"),
        ("nan", "options\\.toml, seed = nan"),
        ("-inf", "options\\.toml, seed = -inf"),
        ('"a\\u0000b"', "options\\.toml, seed: expected text without NUL characters"),
        ('["a", "a\\u0000b"]', "options\\.toml, seed: expected text without NUL characters"),
    ],
)
def test_an_extreme_value_is_refused_by_file_and_key(value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        given("--out", "x", toml=f"share = 0.5\nseed = {value}")
    assert len(str(refused.value)) < 1000


def test_a_missing_or_undecodable_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the --config file .*nowhere"):
        given("--out", "x", "--config", str(tmp_path / "nowhere"))
    (tmp_path / "latin.toml").write_bytes(b'categories = "caf\xe9"')
    with pytest.raises(ConfigError, match=r"cannot read the --config file .*latin\.toml"):
        given("--out", "x", "--config", str(tmp_path / "latin.toml"))


def test_only_what_decides_the_bytes_is_recorded() -> None:
    assert list(recorded(Config(out=Path("x")))) == [
        "seed",
        "share",
        "categories",
        "input_format",
        "recognized_only",
        "detector",
    ]
    assert recorded(Machine(workers=3)) == {}


def test_help_shows_defaults_and_what_is_required() -> None:
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "Return what was understood." in text
    assert "Where to. [required]" in text
    assert "[default: simplified]" in text
    assert "--recognized-only Only those. --detector" in text
    assert "TOML file with any of these options" in text


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Numbers without bounds of their own."""

    count: int = option(1, help="Untyped.")
    least: int | None = option(None, help="Of one bound.", type=click.IntRange(2))
    rate: float = option(0.1, help="Untyped.")
    positive: float = option(0.1, help="Of one bound.", type=click.FloatRange(0, min_open=True))


@click.command()
@options(config=Numbers)
def numbers(config: Numbers) -> Numbers:
    """Return what was understood."""
    return config


def test_every_number_is_finite_and_has_two_bounds_which_help_shows() -> None:
    text = " ".join(CliRunner().invoke(numbers, ["--help"]).output.split())
    assert "--count INTEGER Untyped. [default: 1; -2147483648<=x<=2147483647]" in text
    assert "--least INTEGER Of one bound. [2<=x<=2147483647]" in text
    assert "--rate NUMBER Untyped. [default: 0.1; -1000000000.0<=x<=1000000000.0]" in text
    assert "--positive NUMBER Of one bound. [default: 0.1; 0<x<=1000000000.0]" in text
    for name in ("count", "least", "rate", "positive"):
        for value in ("nan", "inf", "-inf", "1e400", "9" * 30, "9" * 5000, "", "0x10", "\udcff", "1,5"):
            result = CliRunner().invoke(numbers, [f"--{name}", value], standalone_mode=False)
            assert isinstance(result.exception, click.BadParameter), (name, value)
