"""Where a journal file lies: its directory, the lock that makes this process the only writer, and space put by.

Touches the state directory and reads the table of mounts; knows nothing of SQLite.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from pathlib import Path

from remediator.core.space import Room
from remediator.errors import StoreRefused

BALLAST_BYTES = 4 * 1024 * 1024
"""Space put by beside the journal (G17). On a full tmpfs 150 to 200 appends of one to seven entries fitted into it, which
is more than the outcomes of every running step and a pause."""

MOUNTS = Path("/proc/self/mounts")

_NETWORK = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "ncpfs", "vboxsf", "prl_fs",
    "gfs2", "ocfs2", "glusterfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.davfs",
    "fuse.juicefs",
})  # fmt: skip
_FLEETING = frozenset({"tmpfs", "ramfs"})
_SHARED = frozenset({"virtiofs", "fuse", "fuseblk"})


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, by a table in the format of /proc/self/mounts; empty if unknown."""
    resolved = path.resolve()
    depth, found = 0, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1]))
        # Of two mounts on one point the later one covers the earlier.
        if resolved.is_relative_to(point) and len(point.parts) >= depth:
            depth, found = len(point.parts), fields[2]
    return found


def check_file_system(directory: Path, mounts: Path = MOUNTS) -> list[str]:
    """Warnings about the file system of `directory`; StoreRefused if it lies on a network.

    SQLite's write-ahead log needs memory shared by all who open the file, and the lock below needs `flock`: neither is
    to be had over a network.
    """
    try:
        kind = file_system_of(directory, mounts.read_text(errors="surrogateescape"))
    except OSError:
        kind = ""
    if kind in _NETWORK:
        raise StoreRefused(
            f"{directory} lies on a network file system ({kind}), where SQLite's locks and write-ahead log cannot be "
            "trusted; put the state directory on a local disk, or use the redis store"
        )
    if not kind:
        return [f"the file system of {directory} could not be told; it must be local, not NFS or SMB"]
    if kind in _FLEETING:
        return [f"{directory} lies in memory ({kind}): the journal will not survive a restart of the host"]
    if kind == "overlay":
        return [f"{directory} lies in the container's own layer: the journal goes with the container; mount a volume"]
    if kind in _SHARED or kind.startswith("fuse."):
        return [f"{directory} lies on {kind}; make sure that it is a local disk below and keeps what fsync reported"]
    return []


def prepare(path: Path) -> list[str]:
    """Makes the directory (0700) and the file (0600) where they are missing; says what is too open. OSError as it comes."""
    directory = path.parent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _narrow(handle)
    finally:
        os.close(handle)
    _sync_directory(directory)
    if directory.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return [f"others than its owner may write to {directory}; run `chmod go-w {directory}`"]
    return []


def _narrow(handle: int) -> None:
    found = os.fstat(handle)
    if found.st_mode & 0o077 and found.st_uid == os.geteuid():
        os.fchmod(handle, 0o600)


def _sync_directory(directory: Path) -> None:
    # A new file is safe from a power cut only once its name is on the disk too.
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def room_of(directory: Path) -> Room:
    """What this user may still write on the file system of `directory`, and its size. OSError as it comes."""
    found = os.statvfs(directory)
    return Room(free=found.f_bavail * found.f_frsize, total=found.f_blocks * found.f_frsize)


class FileLock:
    """The `flock` on `<path>.lock` that makes this process the only writer, held until `release`.

    The lock file stays: removing it would let two processes lock two files of the same name.
    """

    def __init__(self, path: Path) -> None:
        self._journal = path
        self._path = path.with_name(path.name + ".lock")
        self._handle: int | None = None

    def take(self) -> None:
        """Takes the lock at once; StoreRefused with the holder's process id if another has it."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            raise StoreRefused(
                f"another remediator (pid {holder}) has {self._journal} open; stop it first, or talk to it over HTTP"
            ) from fault
        self._handle = handle
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Gives the lock back; safe to call twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class Ballast:
    """A file of 4 MiB beside the journal that is given up when the disk is full, and laid down again later.

    Rows freed inside a SQLite file do not help when its log cannot grow; a whole file does (reliability.md G17). It is laid
    down with room for it and as much again three times over, on a volume below 64 MiB with a quarter of it free, and never
    where less than as much again would be left.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".ballast")
        self.present = False
        """Whether the space is still put by."""

    def drop(self) -> None:
        """Gives the space back to the file system."""
        self._path.unlink(missing_ok=True)
        self.present = False

    def restore(self) -> None:
        """Puts the space by if there is room enough."""
        try:
            if self._path.exists() and self._path.stat().st_size == BALLAST_BYTES:
                self.present = True
                return
            room = room_of(self._path.parent)
            if room.free < max(_enough(room), 2 * BALLAST_BYTES):
                return
            self._lay()
        except OSError:
            self.drop()

    def needless(self, room: Room) -> bool:
        """Whether there is room again, for all that the ballast could not be laid down: a volume may be too small for it."""
        return room.free >= _enough(room)

    def _lay(self) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(handle, 0, BALLAST_BYTES)
        finally:
            os.close(handle)
        self.present = True


def _enough(room: Room) -> int:
    """So much free is no full disk any more (bytes)."""
    return min(4 * BALLAST_BYTES, room.total // 4)
