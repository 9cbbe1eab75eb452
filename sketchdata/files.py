"""Checks of paths that a user gives: only regular files are read and replaced."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from sketchdata.errors import ConfigError

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def regular(path: Path) -> Path:
    """Return the path of a file to read, after checking that it is a regular file: `regular(path).open()`.

    Raises:
        OSError: The file does not exist, or it is a pipe, a device, a socket or a folder.
    """
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        found = _KINDS.get(kind, "something else")
        raise OSError(errno.EINVAL, f"it is {found}, and a regular file is expected", str(path))
    return path


def output_file(path: Path) -> Path:
    """Return the file to write a result to: the path itself, or the target of a symbolic link.

    Raises:
        ConfigError: The path exists and is not a regular file, or links form a cycle.
    """
    try:
        target = path.resolve() if path.is_symlink() else path
        if target.is_symlink():
            raise ConfigError(f"{path} is part of a loop of links: choose another output")
        if target.exists():
            regular(target)
    except RuntimeError as error:
        raise ConfigError(f"{path} is part of a loop of links: choose another output") from error
    except OSError as error:
        raise ConfigError(f"cannot write to {path}: {error.strerror}; choose another output") from error
    return target
