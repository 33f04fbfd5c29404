"""A file that exists whole or not at all, in disk space that is known to be there.

HDF5 does not survive a full disk (h5py crashes at the operation after the error, even if it was caught), so it
must never meet one: the space is taken before HDF5 writes the first byte.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_FALLOCATE = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def made_aside(path: Path, size: int, image: bytes, *, force: bool) -> Iterator[Path]:
    """A new file of ``size`` reserved bytes that starts with ``image``, renamed to ``path`` when the body succeeds.

    If the body fails nothing is left. A kill in the body leaves only a hidden ``.part`` file.

    Raises FileExistsError for an existing path (unless ``force``), FileNotFoundError for a missing directory and
    OSError if the disk (or a quota) does not have the space.
    """
    _refuse_existing(path, force)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such directory")
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    try:
        try:
            _reserve(descriptor, size, path)
            os.pwrite(descriptor, image, 0)
            yield aside
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _refuse_existing(path, force)
        aside.replace(path)
        _sync_directory(path.parent)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@contextmanager
def writing_alone(path: Path) -> Iterator[None]:
    """Keeps other writers of the file out; the lock of a killed process is gone with it.

    HDF5's own lock would also shut out readers of the same process. A file system without locks has none.

    Raises BlockingIOError if another writer has the file.
    """
    descriptor = os.open(path, os.O_RDWR)  # some network file systems lock only what is open for writing
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(error.errno, f"{path}: another writer has this file") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(descriptor)


def _refuse_existing(path: Path, force: bool) -> None:
    if path.is_dir() or (path.exists() and not force):
        raise FileExistsError(f"{path}: exists already")


def _reserve(descriptor: int, size: int, path: Path) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < size:  # asking first spares other programs the moment of a disk that is really full
        raise OSError(errno.ENOSPC, f"{path}: needs {_human(size)}, but {_human(free)} are free in {path.parent}")
    try:
        _allocate(descriptor, size)
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO)
        raise OSError(error.errno, f"{path}: cannot reserve the {_human(size)} it needs: {reason}") from None


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in _NO_FALLOCATE:
                raise
    zeros = bytes(1 << 20)
    for start in range(0, size, len(zeros)):
        os.pwrite(descriptor, zeros[: size - start], start)
    os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    """Makes a rename last through a power failure."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _human(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
