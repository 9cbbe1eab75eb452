"""Frozen dataclasses that become Click options.

A value is looked up in three places, the later one winning: the field's default, a TOML file given by `--config`, the
flag on the command line. The TOML file holds the options' names, with dashes or underscores, at its top level.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from sketchdata.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - the branch of the oldest supported Python
    import tomli as tomllib

Command = TypeVar("Command", bound=Callable[..., Any])

_HELP, _CLICK, _RECORD = "help", "click", "record"


def option(default: Any = dataclasses.MISSING, *, help: str, record: bool = True, **click_options: Any) -> Any:
    """Declare a Config field that is also a command-line option.

    Args:
        default: The value when neither a file nor a flag gives one; without it the option is required.
        help: One line for `--help`.
        record: Whether the value decides the bytes that are written, and so belongs into the manifest. Paths, numbers
            of workers and the like do not.
        **click_options: Passed on to `click.option` (type, metavar, multiple, param_decls …).
    """
    metadata = {_HELP: help, _CLICK: click_options, _RECORD: record}
    return dataclasses.field(default=default, metadata=metadata)


def recorded(config: Any) -> dict[str, Any]:
    """Return the options that decide the bytes written, for a manifest: {field name: value}."""
    return {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.metadata.get(_RECORD, True)}


def options(**configs: type) -> Callable[[Command], Command]:
    """Give a Click callback one option per field of each dataclass, and hand it the built dataclasses by keyword."""

    def decorate(function: Command) -> Command:
        def callback(**values: Any) -> Any:
            from_file = _read_toml(values.pop("config_file"), configs)
            built = {name: _build(config, values, from_file) for name, config in configs.items()}
            return function(**values, **built)

        callback.__name__, callback.__doc__ = function.__name__, function.__doc__
        wrapped: Any = callback
        wrapped.__click_params__ = list(getattr(function, "__click_params__", []))
        wrapped = click.option(
            "--config",
            "config_file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="TOML file with any of these options; a flag wins over it.",
        )(wrapped)
        for config in reversed(configs.values()):
            for field in reversed(dataclasses.fields(config)):
                wrapped = _click_option(field)(wrapped)
        return cast(Command, wrapped)

    return decorate


def _click_option(field: dataclasses.Field[Any]) -> Callable[[Any], Any]:
    settings = dict(field.metadata[_CLICK])
    flags = settings.pop("param_decls", None) or [f"--{field.name.replace('_', '-')}"]
    required = field.default is dataclasses.MISSING
    if field.default is False:
        settings["is_flag"] = True
    elif not required and field.default is not None and field.default != ():
        settings.setdefault("show_default", True)
    # `required` is checked in _build, because the TOML file may give the value.
    help_text = field.metadata[_HELP] + ("  [required]" if required else "")
    default = None if required else field.default
    return click.option(*flags, field.name, default=default, help=help_text, **settings)


def _build(config: type, values: dict[str, Any], from_file: dict[str, Any]) -> Any:
    source = click.get_current_context().get_parameter_source
    chosen: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = values.pop(field.name)
        given = source(field.name) is not click.core.ParameterSource.DEFAULT
        if not given and field.name in from_file:
            value = _convert(field, from_file[field.name])
        elif not given and field.default is dataclasses.MISSING:
            flag = field.metadata[_CLICK].get("param_decls", [f"--{field.name.replace('_', '-')}"])[0]
            raise click.UsageError(f"Missing option '{flag}': {field.metadata[_HELP]}")
        chosen[field.name] = tuple(value) if isinstance(value, list) else value
    return config(**chosen)


def _convert(field: dataclasses.Field[Any], value: Any) -> Any:
    """Check a value from the TOML file exactly as the flag's text would be checked."""
    context = click.get_current_context()
    parameter = next(p for p in context.command.params if p.name == field.name)
    try:
        return parameter.type_cast_value(context, _as_text(value, many=parameter.multiple or parameter.nargs != 1))
    except (click.BadParameter, TypeError) as error:
        raise ConfigError(f"in the --config file, {field.name} = {value!r}: {error}") from error


def _as_text(value: Any, *, many: bool) -> Any:
    """Write a value as one would on the command line: click itself takes 2.7 for the whole number 2, and true for 1."""
    if many and isinstance(value, list):
        return [_as_text(each, many=False) for each in value]
    if many or not isinstance(value, (str, int, float)):
        raise TypeError(f"a {'list' if many else 'single value'} is expected")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read_toml(path: Path | None, configs: dict[str, type]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the --config file {path}: {error}") from error
    values = {name.replace("-", "_"): value for name, value in values.items()}
    known = {field.name for config in configs.values() for field in dataclasses.fields(config)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{path} sets {', '.join(unknown)}; this command knows {', '.join(sorted(known))}")
    return values
