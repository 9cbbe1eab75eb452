"""What is no plain file is neither read without end nor replaced: pipes, devices, sockets, links in a circle."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sketchdata.errors import ConfigError
from sketchdata.files import output_file, regular
from sketchdata.storage.manifest import replacing
from tests.commands import sketchdata


def named_pipe(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        # The address of a socket is short, so it is named from within its folder.
        before = Path.cwd()
        os.chdir(path.parent)
        bound.bind(path.name)
        os.chdir(before)


def endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def full_device(path: Path) -> None:
    path.symlink_to("/dev/full")


def circle(path: Path) -> None:
    path.symlink_to(path.with_name("other"))
    path.with_name("other").symlink_to(path)


KINDS = {
    named_pipe: "a named pipe",
    bound_socket: "a socket",
    endless_device: "a device",
    full_device: "a device",
    Path.mkdir: "a folder",
}
Make = Callable[[Path], None]


def kept(path: Path) -> tuple[int, ...]:
    """What a refused command leaves as it is: not the time of access, which following a link changes."""
    found = path.lstat()
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns


@pytest.mark.parametrize("make", KINDS)
def test_only_regular_files_are_read_and_replaced(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "x")
    with pytest.raises(OSError, match=f"it is {KINDS[make]}, and a regular file is expected"):
        regular(tmp_path / "x")
    before = kept(tmp_path / "x")
    with pytest.raises(ConfigError, match=f"it is {KINDS[make]}"), replacing(tmp_path / "x") as file:
        file.write(b"new")
    assert kept(tmp_path / "x") == before


def test_devices_themselves_stay() -> None:
    for name in ("/dev/null", "/dev/full"):
        with pytest.raises(ConfigError, match="it is a device"):
            output_file(Path(name))
        assert stat.S_ISCHR(Path(name).stat().st_mode)


def test_links_in_a_circle_are_refused_and_good_ones_followed(tmp_path: Path) -> None:
    circle(tmp_path / "x")
    with pytest.raises(ConfigError, match="loop of links"):
        output_file(tmp_path / "x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "good").symlink_to(tmp_path / "folder" / "y")
    for content in (b"first", b"second"):
        with replacing(tmp_path / "good") as file:
            file.write(content)
        assert (tmp_path / "folder" / "y").read_bytes() == content
    assert (tmp_path / "good").is_symlink()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["y"]


OUTPUTS = {
    "convert a.ndjson X --to ndjson --overwrite": "a named pipe",
    "convert a.ndjson b.ndjson --rejects X": "a named pipe",
    "export splits --seen 200 --out X --overwrite": "a named pipe",
    "import vectors a.vec --classes names.txt --out X": "a named pipe",
}


@pytest.mark.parametrize("line", OUTPUTS)
@pytest.mark.parametrize("make", [named_pipe, full_device, circle])
def test_commands_refuse_outputs_that_are_no_files(line: str, make: Make, tmp_path: Path) -> None:
    inputs(tmp_path)
    make(tmp_path / "X")
    before = kept(tmp_path / "X")
    done = sketchdata(*line.split(), cwd=tmp_path, expect=1)
    assert ("loop of links" if make is circle else "and a regular file is expected") in done.stderr
    assert kept(tmp_path / "X") == before


INPUTS = [
    "convert X b.ndjson --from ndjson",
    "import vectors X --classes names.txt --out v.parquet",
    "import vectors a.npy --words X --classes names.txt --out v.parquet",
    "import vectors a.vec --classes X --out v.parquet",
    "export splits --classes X --seen 2 --out s.txt",
    "export splits --class-split X --out s.txt",
    "import lists lists --classes X --out tables",
    "edgemaps collect --folders photos --map X --out collected",
    "build drawings --source mine --classes X --out built",
    "export splits --seen 2 --out s.txt --config X",
]


@pytest.mark.parametrize("line", INPUTS)
@pytest.mark.parametrize("make", [named_pipe, endless_device])
def test_commands_refuse_inputs_without_an_end(line: str, make: Make, tmp_path: Path) -> None:
    inputs(tmp_path)
    make(tmp_path / "X")
    done = sketchdata(*line.split(), cwd=tmp_path, expect=None)
    assert done.returncode in (1, 2), done.stderr
    assert "and a regular file is expected" in done.stderr or "X is neither a file nor" in done.stderr


def inputs(folder: Path) -> None:
    """Write small inputs of the commands above."""
    line = '{"word":"cat","countrycode":"US","timestamp":"2017-03-08 21:12:07.26604 UTC","recognized":true,'
    (folder / "a.ndjson").write_text(f'{line}"key_id":"5","drawing":[[[0,9],[3,4]]]}}\n')
    (folder / "names.txt").write_text("cat\ndog\n")
    (folder / "a.vec").write_text("cat 1 2\ndog 3 4\n")
    (folder / "mine" / "cat").mkdir(parents=True)
    (folder / "mine" / "cat" / "a.svg").write_text("<svg/>")
    (folder / "lists").mkdir()
    (folder / "lists" / "train.txt").write_text("cat/1.png 1 0\n")
    (folder / "photos" / "cat").mkdir(parents=True)
    np.save(folder / "a.npy", np.ones((2, 3), np.float32))
