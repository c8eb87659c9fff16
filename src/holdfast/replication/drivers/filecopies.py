"""Point-in-time copies without an array: reflinked files (XFS, btrfs) and snapshots of btrfs subvolumes.

Both share their source's blocks until one of them is written, so a copy costs no more than its metadata. A new copy is
made beside its target under a hidden name, noted and made durable, and takes the target's place in one rename: a crash
leaves the old copy or the new one. What a copy is of stands in an extended attribute of the copy itself, so there is
no list that could be wrong.

A file system gives each source by itself one point in time, not several that are being written; those need somebody to
stop the writers (``quiet``), as ``holdfast snapshot resync`` does.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from blake3 import blake3

from holdfast.kernel.errors import HoldfastError, Refusal, Refused
from holdfast.kernel.sizes import MIB, TRACK_BYTES
from holdfast.replication.ports import FlashAbilities, FlashRelation, Pair

NOTE = "user.holdfast.copy"
"""The attribute of a copy that says what it is of, and since when."""
_BESIDE = ".holdfast-new"
_FICLONE = 0x40049409
_SNAP_CREATE_V2, _SNAP_DESTROY = 0x50009417, 0x5000940F
_CREATE, _DESTROY = struct.Struct("=qQQ32x4040s"), struct.Struct("=q4088s")
_SUBVOLUME_INODE = 256
_EXCHANGE, _HERE = 2, -100
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Note(msgspec.Struct, frozen=True):
    source: str
    at_ns: int


def refuse(code: str, reason: str, remedy: str) -> Refused:
    """Return the refusal to raise."""
    return Refused(Refusal(code, reason, remedy))


class FileCopies(ABC):
    """What reflinked files and subvolumes have in common; each kind says how one copy is made, and how one goes."""

    kind = ""
    abilities = FlashAbilities(together=False, reverse=True, independent=False)

    def relations(self, pairs: Sequence[Pair]) -> dict[Pair, FlashRelation]:
        """Return the copies among these pairs that exist."""
        found = {}
        for source, target in pairs:
            note = _note(target)
            if note is not None and note.source == source:
                tracks = self._tracks(target)
                found[source, target] = FlashRelation(source, target, str(note.at_ns), tracks_total=tracks)
        return found

    def make(self, pairs: Sequence[Pair], *, quiet: bool = False) -> None:
        """Make copies that do not exist yet."""
        self._check(pairs, quiet)
        for _, target in pairs:
            if os.path.lexists(target):
                raise refuse("exists", f"{target} exists already", "choose another name, or: holdfast snapshot drop")
        self._replace(pairs, {pair: pair[0] for pair in pairs})

    def resync(self, pairs: Sequence[Pair], *, quiet: bool = False) -> None:
        """Move the point in time of copies to now."""
        self._check(pairs, quiet)
        self._insist_on_relations(pairs)
        self._insist_unused([target for _, target in pairs])
        self._replace(pairs, {pair: pair[0] for pair in pairs})

    def reverse(self, pairs: Sequence[Pair]) -> None:
        """Give sources, which nobody may use, what their copies hold."""
        self._check(pairs, quiet=True)
        self._insist_on_relations(pairs)
        self._insist_unused([source for source, _ in pairs])
        with self._locked([source for source, _ in pairs]):
            for source, target in pairs:
                self._beside(target, source, None)
            for source, _ in pairs:
                self._into_place(source)

    def remove(self, pairs: Sequence[Pair]) -> None:
        """Withdraw copies."""
        self._insist_on_relations(pairs)
        self._insist_unused([target for _, target in pairs])
        with self._locked([target for _, target in pairs]):
            for _, target in pairs:
                self._destroy(target)
                _sync_directory(os.path.dirname(target))

    def users(self, targets: Sequence[str]) -> Mapping[str, str]:
        """Return the targets that are mounted or attached to a loop device."""
        places = {real: f"the mount on {real}" for real in _mount_points()} | _loops()
        return {target: places[target] for target in targets if target in places}

    def digests(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return a digest of the bytes of sources and targets."""
        return {name: self._digest(name) for name in names}

    # --- checks ------------------------------------------------------------------------------------------------------

    def _check(self, pairs: Sequence[Pair], quiet: bool) -> None:
        targets = [target for _, target in pairs]
        for path in (path for pair in pairs for path in pair):
            if not os.path.isabs(path) or os.path.normpath(path) != path:
                raise refuse("bad-path", f"{path!r} is not a whole path", "begin with / and leave out . and ..")
            if os.path.realpath(os.path.dirname(path)) != os.path.dirname(path):
                raise refuse("bad-path", f"{path} leads through a symbolic link", "name the place itself")
        if len(set(targets)) < len(targets) or set(targets) & {source for source, _ in pairs}:
            raise refuse("bad-pairs", "a target is named twice, or is a source too", "name each target once")
        if len(pairs) > 1 and not quiet:
            raise refuse(
                "not-together",
                f"several {self.kind} sources that are being written cannot get one point in time",
                "stop their writers, as holdfast snapshot resync does, or keep the data in one",
            )
        for source, _ in pairs:
            self._check_source(source)

    def _insist_on_relations(self, pairs: Sequence[Pair]) -> None:
        known = self.relations(pairs)
        for source, target in pairs:
            if (source, target) not in known:
                made = f"holdfast snapshot make {self.kind}:{source}={target}"
                raise refuse("pair-missing", f"{target} is no copy of {source}", f"make it: {made}")

    def _insist_unused(self, names: Sequence[str]) -> None:
        for name, user in self.users(names).items():
            raise refuse("in-use", f"{name} is in use by {user}", "release it first")

    # --- one new copy ------------------------------------------------------------------------------------------------

    def _replace(self, pairs: Sequence[Pair], of: Mapping[Pair, str]) -> None:
        with self._locked([target for _, target in pairs]):
            for pair in pairs:
                self._beside(of[pair], pair[1], _Note(pair[0], time.time_ns()))
            for _, target in pairs:
                self._into_place(target)

    def _beside(self, source: str, target: str, note: _Note | None) -> None:
        """Make a copy of ``source`` beside ``target``, durable, with or without a note."""
        new = _new_name(target)
        if os.path.lexists(new):
            self._destroy(new)  # a crash left it
        try:
            self._copy(source, new)
            with contextlib.suppress(OSError):
                os.removexattr(new, NOTE)
            if note is not None:
                os.setxattr(new, NOTE, msgspec.json.encode(note))
            _sync_file_system(new)
        except OSError as error:
            if os.path.lexists(new):
                self._destroy(new)
            raise self._explained(error, source, target) from error

    def _into_place(self, target: str) -> None:
        new = _new_name(target)
        if os.path.lexists(target):
            _exchange(new, target)
            _sync_directory(os.path.dirname(target))
            self._destroy(new)
        else:
            os.rename(new, target)
        _sync_directory(os.path.dirname(target))

    def _explained(self, error: OSError, source: str, target: str) -> HoldfastError:
        if error.errno == errno.EXDEV:
            reason = f"{source} and {target} are on different file systems"
            return refuse("other-file-system", reason, "put the copy on the file system of its source")
        if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS):
            return refuse("not-supported", f"the file system of {source} makes no {self.kind} copies", self.remedy)
        return HoldfastError(f"{target} could not be made: {error.strerror}", "nothing was changed; mend it and repeat")

    @contextlib.contextmanager
    def _locked(self, targets: Sequence[str]) -> Iterator[None]:
        """Keep other processes away from the directories of these targets."""
        with contextlib.ExitStack() as stack:
            for directory in sorted({os.path.dirname(target) for target in targets}):
                try:
                    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                except OSError as error:
                    raise refuse("no-directory", f"{directory}: {error.strerror}", "make it first") from error
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    # --- what each kind says -----------------------------------------------------------------------------------------

    remedy = ""

    @abstractmethod
    def _check_source(self, source: str) -> None:
        """Refuse what cannot be copied."""

    @abstractmethod
    def _copy(self, source: str, new: str) -> None:
        """Make the copy itself. Raises ``OSError``."""

    @abstractmethod
    def _destroy(self, path: str) -> None:
        """Remove a copy."""

    @abstractmethod
    def _tracks(self, path: str) -> int:
        """Return how many tracks a copy has; 0 where they are not counted."""

    @abstractmethod
    def _digest(self, path: str) -> str:
        """Return a digest of what a source or copy holds."""


class Reflinks(FileCopies):
    """Files that share blocks."""

    kind = "reflink"
    remedy = "use XFS made with reflink=1 (its default), or btrfs"

    def _check_source(self, source: str) -> None:
        if not _is(source, stat.S_ISREG):
            raise refuse("no-source", f"{source} is not a file", "name the file itself")

    def _copy(self, source: str, new: str) -> None:
        reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(reader)
            writer = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.ioctl(writer, _FICLONE, reader)
                os.fchown(writer, found.st_uid, found.st_gid)
                os.fchmod(writer, stat.S_IMODE(found.st_mode))
            finally:
                os.close(writer)
        finally:
            os.close(reader)

    def _destroy(self, path: str) -> None:
        os.unlink(path)

    def _tracks(self, path: str) -> int:
        return -(-os.stat(path).st_size // TRACK_BYTES)

    def _digest(self, path: str) -> str:
        hasher = blake3()
        with open(path, "rb") as file:
            while data := file.read(4 * MIB):
                hasher.update(data)
        return hasher.hexdigest()


class Subvolumes(FileCopies):
    """btrfs subvolumes. What is mounted or nested below one is not part of it."""

    kind = "btrfs"
    remedy = "name a subvolume of a btrfs file system: btrfs subvolume create"

    def _check_source(self, source: str) -> None:
        if not _is(source, stat.S_ISDIR) or os.lstat(source).st_ino != _SUBVOLUME_INODE:
            raise refuse("no-source", f"{source} is not a btrfs subvolume", self.remedy)

    def _copy(self, source: str, new: str) -> None:
        parent, name = os.path.split(new)
        with _directory(source) as origin, _directory(parent) as place:
            fcntl.ioctl(place, _SNAP_CREATE_V2, bytearray(_CREATE.pack(origin, 0, 0, os.fsencode(name))))

    def _destroy(self, path: str) -> None:
        parent, name = os.path.split(path)
        with _directory(parent) as place:
            fcntl.ioctl(place, _SNAP_DESTROY, bytearray(_DESTROY.pack(0, os.fsencode(name))))

    def _tracks(self, path: str) -> int:
        return 0  # what a subvolume holds is not counted in tracks

    def _digest(self, path: str) -> str:
        hasher = blake3()
        for directory, names, files in os.walk(path):
            names.sort()
            for name in sorted(files):
                place = Path(directory, name)
                hasher.update(os.fsencode(str(place.relative_to(path))) + b"\0")
                if place.is_file() and not place.is_symlink():
                    hasher.update(place.read_bytes())
        return hasher.hexdigest()


KINDS: Mapping[str, Callable[[], FileCopies]] = {Reflinks.kind: Reflinks, Subvolumes.kind: Subvolumes}
"""Kind of copy → its driver."""


def _is(path: str, kind: object) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return bool(kind(mode))  # type: ignore[operator]


def _new_name(target: str) -> str:
    parent, name = os.path.split(target)
    return os.path.join(parent, f".{name}{_BESIDE}")


def _note(path: str) -> _Note | None:
    try:
        return msgspec.json.decode(os.getxattr(path, NOTE, follow_symlinks=False), type=_Note)
    except (OSError, msgspec.MsgspecError):
        return None


@contextlib.contextmanager
def _directory(path: str) -> Iterator[int]:
    descriptor = os.open(path or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _exchange(one: str, other: str) -> None:
    if _LIBC.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise HoldfastError(f"{other} cannot be replaced: {os.strerror(number)}", "is it mounted? release it first")


def _sync_file_system(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if _LIBC.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def _sync_directory(path: str) -> None:
    with _directory(path) as descriptor:
        os.fsync(descriptor)


def _mount_points() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        yield line.split()[4].encode().decode("unicode_escape")


def _loops() -> dict[str, str]:
    found = {}
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            found[file.read_text().rstrip("\n")] = f"/dev/{file.parts[3]}"
    return found
