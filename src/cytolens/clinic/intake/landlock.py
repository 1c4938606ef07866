"""Landlock: a process gives up files and connections for good (Linux 5.13; landlock(7)).

Called by its system calls, which have the same numbers on every architecture; no library is needed,
and no privilege.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_ASK_VERSION, _BENEATH = 1, 1
_NO_NEW_PRIVILEGES = 38  # of prctl
_READ = 1 << 2 | 1 << 3  # a file, a folder
_FILES = {1: 13, 2: 14, 3: 15, 4: 15}  # how many rights to files a version knows; later ones 16
_TCP = 1 << 0 | 1 << 1  # bind, connect; from version 4
_SCOPES = 1 << 0 | 1 << 1  # abstract sockets, signals to others; from version 6


def offered() -> int:
    """Return the version of Landlock that the kernel offers; 0: none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), _ASK_VERSION)))


def give_up(readable: Iterable[Path]) -> bool:
    """Let this thread, and what it starts, open nothing but to read, and that alone.

    Files that are open stay open. Where the kernel is recent enough (6.7, 6.12), no connection can
    be made, and nobody else be signalled.

    Args:
        readable: folders that may be read; those that are not there are passed over.

    Returns:
        False where the kernel does not offer it.

    Raises:
        OSError: it offers it, and refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = offered()
    if version < 1:
        return False
    wanted = struct.pack(
        "=QQQ",
        (1 << _FILES.get(version, 16)) - 1,
        _TCP if version >= 4 else 0,
        _SCOPES if version >= 6 else 0,
    )
    known = 8 if version < 4 else 16 if version < 6 else 24  # bytes
    rules = _checked(libc.syscall(_CREATE, wanted, ctypes.c_size_t(known), 0))
    try:
        for folder in readable:
            _allow(libc, rules, folder)
        _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _checked(libc.syscall(_RESTRICT, rules, 0))
    finally:
        os.close(rules)
    return True


def _allow(libc: ctypes.CDLL, rules: int, folder: Path) -> None:
    try:
        place = os.open(folder, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
    except OSError:
        return
    try:
        rule = struct.pack("=Qi", _READ, place)
        _checked(libc.syscall(_ADD, rules, _BENEATH, rule, 0))
    finally:
        os.close(place)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
