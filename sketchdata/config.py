"""Frozen dataclasses that become Click options.

A value comes from the last of four places that gives one: the field's default, a preset that `--preset` names, a TOML
file given by `--config`, the flag on the command line. The TOML file has the options' names, with dashes or
underscores, at its top level.
"""

from __future__ import annotations

import dataclasses
import math
import re
import reprlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from sketchdata.errors import ConfigError
from sketchdata.files import regular

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - the branch of the oldest supported Python
    import tomli as tomllib

Command = TypeVar("Command", bound=Callable[..., Any])

#: Click types of options: a folder, a file, and either.
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
PATH = click.Path(path_type=Path)
#: Key in a context's meta: ` --config FILE` for messages, with a leading space.
_FILE = "sketchdata.config_file"
#: Limited, because a value may be nested more deeply than Python's repr supports.
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 200


def option(default: Any = dataclasses.MISSING, *, help: str, record: bool = True, **click_options: Any) -> Any:
    """Declare a Config field that is also a command-line option.

    Args:
        default: The value when neither a file nor a flag gives one; without it the option is required.
        help: One line for `--help`.
        record: Whether the value affects the bytes written and therefore belongs in the manifest. Paths, numbers of
            workers and the like do not.
        **click_options: Passed on to `click.option` (type, metavar, multiple, param_decls …).
    """
    return dataclasses.field(default=default, metadata={"click": {"help": help, **click_options}, "record": record})


def recorded(config: Any) -> dict[str, Any]:
    """Return the options that affect the bytes written, for a manifest: {field name: value}."""
    return {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.metadata.get("record", True)}


class Integer(click.IntRange):
    """An integer between two bounds, which the help shows."""

    name = "integer"

    def __init__(self, min: int = -(2**31), max: int = 2**31 - 1) -> None:
        super().__init__(min, max)


class Real(click.FloatRange):
    """A finite number between two bounds, which the help shows."""

    name = "number"

    def __init__(self, min: float = -1e9, max: float = 1e9, *, min_open: bool = False, max_open: bool = False) -> None:
        super().__init__(min, max, min_open=min_open, max_open=max_open)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; fail if the text is not a finite number in range."""
        number: float = super().convert(value, param, ctx)
        # Click's range check accepts NaN.
        return number if math.isfinite(number) else self.fail(f"{value!r} is not a finite number.", param, ctx)


def _bounded(kind: Any, annotation: str) -> Any:
    """Return the type of a number with both bounds, for a Click range and for a number without a type."""
    if isinstance(kind, click.IntRange) or (kind is None and annotation in ("int", "int | None")):
        bounds = {name: getattr(kind, name, None) for name in ("min", "max")}
        return Integer(**{name: int(bound) for name, bound in bounds.items() if bound is not None})
    if isinstance(kind, click.FloatRange) or (kind is None and annotation in ("float", "float | None")):
        bounds = {name: getattr(kind, name, None) for name in ("min", "max", "min_open", "max_open")}
        return Real(**{name: bound for name, bound in bounds.items() if bound is not None})
    return kind


def options(presets: Mapping[str, Mapping[str, Any]] | None = None, /, **configs: type) -> Callable[[Command], Command]:
    """Give a Click callback one option per field of each dataclass, and pass it the dataclasses by keyword.

    Args:
        presets: {name: {field's name: value}}, for `--preset`.
        **configs: {keyword: dataclass}.
    """

    def decorate(function: Command) -> Command:
        def callback(**values: Any) -> Any:
            built = {
                name: config(**{field.name: values.pop(field.name) for field in dataclasses.fields(config)})
                for name, config in configs.items()
            }
            return function(**values, **built)

        callback.__name__, callback.__doc__ = function.__name__, function.__doc__
        wrapped: Any = callback
        wrapped.__click_params__ = list(getattr(function, "__click_params__", []))
        if presets:
            texts = {k: ", ".join(f"--{n.replace('_', '-')} {v}" for n, v in vs.items()) for k, vs in presets.items()}
            told = "; ".join(f"{name}: {text}" for name, text in texts.items())
            wrapped = click.option(
                "--preset",
                type=click.Choice(list(presets)),
                is_eager=True,
                expose_value=False,
                callback=partial(_take_preset, presets),
                help=f"Settings that a flag or --config overrides. {told}.",
            )(wrapped)
        wrapped = click.option(
            "--config",
            type=FILE,
            is_eager=True,
            expose_value=False,
            callback=_read_toml,
            help="TOML file with any of these options; flags override it.",
        )(wrapped)
        for config in reversed(configs.values()):
            for field in reversed(dataclasses.fields(config)):
                settings = dict(field.metadata["click"])
                settings["type"] = _bounded(settings.get("type"), str(field.type))
                flags = settings.pop("param_decls", None) or [f"--{field.name.replace('_', '-')}"]
                if field.default is dataclasses.MISSING:
                    settings["required"] = True
                elif field.default is False:
                    settings |= {"default": False, "is_flag": True}
                else:
                    settings = {"show_default": field.default not in (None, ()), **settings, "default": field.default}
                wrapped = click.option(*flags, field.name, cls=_Option, **settings)(wrapped)
        return cast(Command, wrapped)

    return decorate


class _Option(click.Option):
    """An option that a TOML file may set; a value in the file is checked like the text of the flag."""

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, click.core.ParameterSource]:
        value, source = super().consume_value(ctx, opts)
        if source is click.core.ParameterSource.DEFAULT_MAP:
            given = value
            try:
                value = _as_text(given, many=self.multiple or self.nargs != 1)
                self.type_cast_value(ctx, value)
            except (click.BadParameter, TypeError, ValueError) as error:
                huge = isinstance(given, int) and abs(given) >> 64
                told = f"{self.name} = {'a huge number' if huge else _short.repr(given)}: {error}"
                raise ConfigError(f"in the --config file{ctx.meta.get(_FILE, '')}, {told}") from error
        return value, source


def _as_text(value: Any, *, many: bool) -> Any:
    """Return a value as command-line text: Click itself would convert 2.7 to the integer 2, and true to 1."""
    if many and isinstance(value, list):
        return [_as_text(each, many=False) for each in value]
    if many or not isinstance(value, (str, int, float)):
        raise TypeError(f"a {'list' if many else 'single value'} is expected")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _take_preset(
    presets: Mapping[str, Mapping[str, Any]], context: click.Context, _: click.Parameter, name: str | None
) -> None:
    if name is not None:
        # The file has precedence, whichever of the two options is processed first.
        context.default_map = {**presets[name], **(context.default_map or {})}


def _read_toml(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is None or context.resilient_parsing:
        return
    try:
        text = regular(path).read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the --config file {path}: {error}") from error
    except (ValueError, RecursionError) as error:
        # tomllib raises these at Python's limits, without a position in the file.
        told = "values nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"
        raise ConfigError(f"cannot read the --config file {path}: {_extreme_key(text)}{told}") from error
    values = {name.replace("-", "_"): value for name, value in values.items()}
    for name, value in values.items():
        if any("\0" in text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)):
            raise ConfigError(f"in the --config file {path}, {name}: expected text without NUL characters")
    context.meta[_FILE] = f" {path}"
    known = {parameter.name for parameter in context.command.params if isinstance(parameter, _Option)}
    if unknown := sorted(values.keys() - known):
        raise ConfigError(f"{path} sets {', '.join(unknown)}; this command knows {', '.join(sorted(map(str, known)))}")
    context.default_map = {**(context.default_map or {}), **values}


def _extreme_key(text: str) -> str:
    """Return the key in a TOML file whose value exceeds Python's limits, with a colon; "" if it is not found."""
    key, depth = "", 0
    for line in text.splitlines():
        before, sign, value = line.partition("=")
        if sign:
            key, depth = before.strip(), 0
        depth += value.count("[") + value.count("{") if sign else line.count("[") + line.count("{")
        if depth > 99 or re.search(r"\d{4000}", line):
            return f"{key[:100]}: "
    return ""
