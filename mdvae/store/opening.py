"""Files of a run directory, whoever made it: nothing outside of it is opened, and all is bounded.

A directory that somebody else made may have links to files of the reader's, pipes that never end,
or files that are larger than memory. A file is opened here where it is a regular one inside of its
directory; what is written takes the place of a link and never goes through it.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from mdvae.settings.fields import ConfigError

# A manifest has about 100 bytes for each run, of which sweeps have thousands; a config has less.
LARGEST = 64 * 2**20
# A line has a few dozen numbers, or those of each latent, about 20 bytes each.
LONGEST_LINE = 2**20
# Not in every system: there are no links, or no pipes, where these are not.
_NOFOLLOW, _NONBLOCK = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK"))
_BINARY = getattr(os, "O_BINARY", 0)
# Why the system cannot write a file where something else has its place.
_IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENXIO, errno.ENOTEMPTY)


def inside(path: Path, directory: Path) -> Path:
    """A path without links, which may not be there yet.

    Raises:
        ConfigError: where a link leads it out of a directory, which may be a link itself.
    """
    try:
        whole, found = directory.resolve(), path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a link to itself
        raise ConfigError(f"{path}: cannot be followed; remove it, or put a file there") from error
    if found != whole and whole not in found.parents:
        raise ConfigError(
            f"{path}: is a link to outside of {directory}, which is not followed; put what it leads"
            " to in its place"
        )
    return found


def is_there(path: Path) -> bool:
    """Whether there is anything of this name, such as a link to nothing."""
    return os.path.lexists(path)


def _regular(path: Path, file: int) -> None:
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise ConfigError(f"{path}: is no file; it must be a regular one, or not there")


@contextlib.contextmanager
def reading(path: Path, directory: Path | None = None) -> Iterator[IO[bytes]]:
    """Opens a file of a directory, by default of the one that it is in.

    Raises:
        ConfigError: where it is no regular file inside of it.
        FileNotFoundError: where there is none.
    """
    place = inside(path, directory or path.parent)
    try:
        # A pipe that nobody writes to would be waited for.
        file = os.open(place, os.O_RDONLY | _NOFOLLOW | _NONBLOCK | _BINARY)
    except OSError as error:
        if error.errno in _IN_THE_WAY:
            raise in_the_way(path) from error
        raise
    try:
        _regular(path, file)
        opened = open(file, "rb", closefd=False)  # noqa: SIM115
        yield opened
    finally:
        os.close(file)


def read_text(path: Path) -> str:
    """A file of settings as a text, bounded; see `reading`.

    Raises:
        ConfigError: where it is longer than any that mdvae writes, or no text.
    """
    with reading(path) as file:
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ConfigError(f"{path}: is larger than {LARGEST >> 20} MiB; restore it")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read ({error}); restore it") from error


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, with their ends, bounded; none where there is no file; see `reading`.

    Raises:
        ConfigError: where one is longer than any that mdvae writes.
    """
    if not is_there(path):
        return
    try:
        with reading(path) as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise ConfigError(
                        f"{path}: line {number} is longer than {LONGEST_LINE >> 20} MiB; restore it"
                    )
                yield line
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: is a link to nothing; remove it, or restore it") from error


def in_the_way(path: Path) -> ConfigError:
    """The error for what is not what it must be."""
    return ConfigError(f"{path}: is no file, or is in a place that is no folder; remove it")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Names the file in errors of writing, which a disk that is full leaves out.

    Raises:
        ConfigError: where something that is no file has its place.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _IN_THE_WAY:
            raise in_the_way(path) from error
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Replaces a file whole: a reader, or a crash, sees the old one or the new.

    A link in its place is replaced, too; the folder must be inside of the one above it.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        # Of a crash, or a stranger's link.
        temporary.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY
        try:
            with open(os.open(temporary, flags, 0o666), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


@contextlib.contextmanager
def adding(path: Path, flags: int = os.O_APPEND | os.O_WRONLY, **how: Any) -> Iterator[IO[Any]]:
    """Opens a file to add to it, or to hold it; not through a link, nor what is no regular file.

    Args:
        **how: of the file, as `open` has it.
    """
    with writing(path):
        file = os.open(path, flags | os.O_CREAT | _NOFOLLOW | _NONBLOCK | _BINARY, 0o666)
    try:
        _regular(path, file)
        with open(file, closefd=False, **how) as opened:
            yield opened
    finally:
        os.close(file)


def make_folder(path: Path, directory: Path) -> Path:
    """Makes a folder in a directory where there is none.

    Raises:
        ConfigError: where a link leads it out of the directory, or it is no folder.
    """
    inside(path, directory)
    with writing(path):
        path.mkdir(exist_ok=True)
    return path


def check_tree(path: Path, directory: Path) -> None:
    """Refuses a folder that others will read where it has more than files and folders inside.

    Raises:
        ConfigError: where a link leads it, or what is in it, out of a directory, or it has pipes
            and devices.
    """
    waiting, seen = [path], set()
    while waiting:
        folder = waiting.pop()
        place = inside(folder, directory)
        if place in seen or not place.is_dir():
            continue
        seen.add(place)
        try:
            found = sorted(os.scandir(place), key=lambda each: each.name)
        except FileNotFoundError:  # a step that another process has just removed
            continue
        for each in found:
            if each.is_symlink():
                inside(Path(each.path), directory)
            if each.is_dir():
                waiting.append(Path(each.path))
            elif is_there(Path(each.path)) and not each.is_file():
                raise ConfigError(f"{each.path}: is no file; it must be a regular one")


def size_of(path: Path) -> int:
    """Bytes of all files in a folder, links apart."""
    sizes = (
        os.lstat(os.path.join(folder, name)).st_size
        for folder, _, names in os.walk(path)
        for name in names
    )
    return sum(sizes)
