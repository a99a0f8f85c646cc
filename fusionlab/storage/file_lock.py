"""Lock an open file against other processes.

The locks are those of the operating system: they end with the process that holds them, however it
ends, and need no cleaning up.
"""

from __future__ import annotations

import errno
import sys

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""What file systems without locks answer."""


def try_lock(descriptor: int) -> bool:
    """Lock an open file or folder, without waiting; the lock ends when the file is closed.

    Returns:
        Whether the lock was free.

    Raises:
        OSError: the file system has no locks, see `has_no_locks`.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EAGAIN, errno.EDEADLK}:
            return False
        raise
    return True


def has_no_locks(error: OSError) -> bool:
    """Return whether a file system has refused `try_lock` because it has no locks."""
    return error.errno in _NO_LOCKS
