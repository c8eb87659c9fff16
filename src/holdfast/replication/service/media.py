"""The array's files: what is on disk, in which order it gets there, and how it is read back after a crash.

One directory: ``image.msgpack`` (the machine's image, see ``service.statefile``), ``volumes/`` (sparse files),
``bits/`` (bitmaps, named by the image) and ``log/`` (activity logs, two slots each, so a torn write leaves the older
one).

Order is the invariant. New bitmaps are durable before the image that names them; a log slot is durable before the first
write to its region; a copied track is durable at the target before its bit is cleared, and the cleared bit before the
source may change. Bits that are *set* go to the page cache at once (a kill loses nothing) and are synced before their
region leaves the log (a power failure loses nothing).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from holdfast.kernel.errors import HoldfastError, InputError
from holdfast.replication.array.bitmap import CHUNK_BITS, CHUNK_BYTES, Bitmap, base_of
from holdfast.replication.array.machine import bitmap_names
from holdfast.replication.model.volumes import ArrayImage, Volume
from holdfast.replication.service.doubts import Doubts
from holdfast.replication.service.statefile import CURRENT, PREVIOUS, REMEDY, read_state, write_state
from holdfast.runtime.secretfile import sync_directory

_SLOT_BYTES = 8192
_SLOT_HEAD = struct.Struct(">4sQII")
_MAGIC = b"HFAL"
_RESERVE_BYTES, _LEAST_RESERVE_BYTES = 4 << 20, 64 << 10
_PUNCH_HOLE = 0x03
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def boot_id() -> str:
    """Return what names this boot of the machine; empty when the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Media:
    """The files of one array under ``directory``. Only one process may open it. ``intact``: the machine has been up
    since the array last ran."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("volumes", "bits", "log"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise HoldfastError(f"{directory} is in use by another array process", "stop that process") from error
        self._files: dict[str, int] = {}
        self._bits: dict[str, int] = {}
        self._logs: dict[str, int] = {}
        self._log_sequence: dict[str, int] = {}
        self._unsynced_bits: set[str] = set()
        self._make_reserve()
        self.doubts = Doubts(directory / "doubts")
        self._boot = boot_id()
        self.intact = self._boot != "" and self._noted_boot() == self._boot

    # --- the machine's boot ------------------------------------------------------------------------------------------

    def _noted_boot(self) -> str:
        path = self.directory / "boot"
        return path.read_text(errors="replace").strip() if path.exists() else ""

    def note_boot(self) -> None:
        """Note the machine's boot, now that everything found is durable: until the next boot the page cache keeps
        what this array writes, whatever becomes of its process (``intact`` at the next start)."""
        if not self.intact:
            (self.directory / "boot").write_text(self._boot)

    # --- room for what must not fail ---------------------------------------------------------------------------------

    def _make_reserve(self) -> None:
        """Hold some space back, as far as there is any, so that a full disk can still be recorded."""
        descriptor = self._open(self.directory / "reserve")
        size = _RESERVE_BYTES
        while size >= _LEAST_RESERVE_BYTES:
            try:
                os.posix_fallocate(descriptor, 0, size)
                break
            except OSError:
                os.ftruncate(descriptor, 0)
                size //= 2
        os.close(descriptor)

    def _surely(self, work: Callable[[], object]) -> None:
        """Do small work that records the array's state; when the disk is full, in the space that was held back."""
        try:
            work()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            (self.directory / "reserve").unlink(missing_ok=True)
            work()
            self._make_reserve()

    # --- the image ---------------------------------------------------------------------------------------------------

    def load(self, image_id: str) -> tuple[ArrayImage, dict[str, Bitmap], dict[str, list[int]]]:
        """Read image, bitmaps and hot regions; an empty directory is a new array."""
        image = self._load_image(image_id)
        names = bitmap_names(image)
        for name in self.damaged_bits(image):
            path = self.directory / "bits" / name
            raise InputError("the bitmap is missing or has another length", file=str(path), remedy=REMEDY)
        for stray in [p for p in (self.directory / "bits").iterdir() if p.name not in names]:
            stray.unlink()
        for volume in image.volumes.values():
            self._open_volume(volume)
        bits = {name: self._load_bits(name, size) for name, size in names.items()}
        return image, bits, {volume: self._load_log(volume) for volume in image.volumes}

    def _load_image(self, image_id: str) -> ArrayImage:
        """Read the state file. Only a directory without any trace of an array is a new one."""
        path = self.directory / CURRENT
        if not path.exists():
            traces = [self.directory / PREVIOUS, *(self.directory / "volumes").glob("*.img")]
            if any(trace.exists() for trace in traces):
                raise InputError("the array's state file is missing", file=str(path), remedy=REMEDY)
            write_state(self.directory, ArrayImage(image_id))
        image = read_state(path)
        if image.image != image_id:
            raise InputError(f"holds array {image.image}, not {image_id}", file=str(self.directory))
        return image

    def damaged_bits(self, image: ArrayImage) -> list[str]:
        """Return the bitmaps that the image names and whose files are missing or have another length."""
        found = []
        for name, size in bitmap_names(image).items():
            path = self.directory / "bits" / name
            if not path.exists() or path.stat().st_size != -(-size // 8):
                found.append(name)
        return found

    def restore(self, image: ArrayImage, fresh: dict[str, Bitmap]) -> None:
        """Make a repaired image and its new bitmaps durable; volumes stay as they are."""
        self._write_bitmaps(fresh)
        write_state(self.directory, image)

    def commit(self, image: ArrayImage, fresh: dict[str, Bitmap], before: ArrayImage) -> None:
        """Make ``image`` and its new bitmaps durable in one step, then drop what it no longer names."""
        self._surely(lambda: self._commit(image, fresh, before))
        self._drop(before, image)

    def _commit(self, image: ArrayImage, fresh: dict[str, Bitmap], before: ArrayImage) -> None:
        self._write_bitmaps(fresh)
        for volume in image.volumes.values():
            known = before.volumes.get(volume.id)
            if known is None:
                self._forget_files(volume.id)
                self._open_volume(volume, sync=False)
            elif known.size_bytes < volume.size_bytes:
                os.ftruncate(self._files[volume.id], volume.size_bytes)
                os.fsync(self._files[volume.id])
        if image.volumes.keys() - before.volumes.keys():
            sync_directory(self.directory / "volumes")
        write_state(self.directory, image)

    def _write_bitmaps(self, fresh: dict[str, Bitmap]) -> None:
        for name, bits in fresh.items():
            if name not in self._bits:
                self._bits[name] = self._open(self.directory / "bits" / name)
            descriptor = self._bits[name]
            os.ftruncate(descriptor, 0)
            os.ftruncate(descriptor, -(-bits.size // 8))
            self._write_chunks(descriptor, bits)
            os.fsync(descriptor)
        if fresh:
            sync_directory(self.directory / "bits")

    def _drop(self, before: ArrayImage, after: ArrayImage) -> None:
        for name in bitmap_names(before).keys() - bitmap_names(after).keys():
            os.close(self._bits.pop(name))
            self._unsynced_bits.discard(name)
            (self.directory / "bits" / name).unlink(missing_ok=True)
        for volume in before.volumes.keys() - after.volumes.keys():
            os.close(self._files.pop(volume))
            os.close(self._logs.pop(volume))
            self._forget_files(volume)

    def _forget_files(self, volume: str) -> None:
        """Remove a volume's files; also before it is made, for a crash may have left those of an earlier one."""
        (self.directory / "volumes" / f"{volume}.img").unlink(missing_ok=True)
        (self.directory / "log" / volume).unlink(missing_ok=True)
        self.doubts.forget(volume)

    # --- volumes -----------------------------------------------------------------------------------------------------

    def read(self, volume: str, offset: int, length: int) -> bytes:
        """Read bytes of a volume's own file."""
        data = os.pread(self._files[volume], length, offset)
        return data if len(data) == length else data.ljust(length, b"\0")

    def read_into(self, volume: str, offset: int, view: memoryview) -> None:
        """Fill ``view`` with bytes of a volume's own file."""
        done = os.preadv(self._files[volume], [view], offset)
        if done < len(view):
            view[done:] = bytes(len(view) - done)

    def write(self, volume: str, offset: int, data: bytes | memoryview) -> None:
        """Write bytes to a volume's own file."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._files[volume], view, offset)
            view, offset = view[done:], offset + done

    def zero(self, volume: str, offset: int, length: int) -> None:
        """Make a range read as zeros, giving its space back where the file system can."""
        if _LIBC.fallocate(self._files[volume], _PUNCH_HOLE, offset, length) != 0:
            step = 1 << 20
            for start in range(offset, offset + length, step):
                self.write(volume, start, bytes(min(step, offset + length - start)))

    def runs(self, volume: str, offset: int, length: int) -> Iterator[tuple[int, bool]]:
        """Yield the runs of data and of holes in a range: how long, and whether it is a hole."""
        descriptor, end = self._files[volume], offset + length
        while offset < end:
            try:
                data = min(end, os.lseek(descriptor, offset, os.SEEK_DATA))
            except OSError:
                data = end
            if data > offset:
                yield data - offset, True
            if data < end:
                hole = min(end, os.lseek(descriptor, data, os.SEEK_HOLE))
                yield hole - data, False
                data = hole
            offset = data

    def is_hole(self, volume: str, offset: int, length: int) -> bool:
        """True when the range holds no data on disk."""
        try:
            return os.lseek(self._files[volume], offset, os.SEEK_DATA) >= offset + length
        except OSError:
            return True

    def allocated(self, volume: str) -> int:
        """Return how many bytes the volume's file takes on disk."""
        return os.fstat(self._files[volume]).st_blocks * 512

    def sync(self, volume: str) -> None:
        """Make a volume's bytes durable. Safe to call from a thread."""
        os.fdatasync(self._files[volume])

    # --- bitmaps and logs --------------------------------------------------------------------------------------------

    def write_bits(self, name: str, bits: Bitmap, tracks: Iterable[int]) -> None:
        """Put the bytes that hold ``tracks`` into the page cache."""
        for chunk in sorted({track // CHUNK_BITS for track in tracks}):
            self._surely(partial(os.pwrite, self._bits[name], bits.stored(chunk), chunk * CHUNK_BYTES))
            self._unsynced_bits.add(name)

    def write_all_bits(self, name: str, bits: Bitmap) -> None:
        """Put a whole bitmap into the page cache."""
        self._surely(lambda: self._write_chunks(self._bits[name], bits))
        self._unsynced_bits.add(name)

    @staticmethod
    def _write_chunks(descriptor: int, bits: Bitmap) -> None:
        for chunk in bits.chunks:
            os.pwrite(descriptor, bits.stored(chunk), chunk * CHUNK_BYTES)

    def sync_bits(self) -> None:
        """Make every bitmap durable that changed since the last call."""
        while self._unsynced_bits:
            os.fdatasync(self._bits[self._unsynced_bits.pop()])

    def write_log(self, volume: str, hot: Iterable[int]) -> None:
        """Make the hot regions of a volume durable."""
        regions = list(hot)
        sequence = self._log_sequence[volume] = self._log_sequence.get(volume, 0) + 1
        body = struct.pack(f">{len(regions)}I", *regions)
        head = _SLOT_HEAD.pack(_MAGIC, sequence, len(regions), zlib.crc32(struct.pack(">Q", sequence) + body))
        os.pwrite(self._logs[volume], head + body, (sequence % 2) * _SLOT_BYTES)
        os.fdatasync(self._logs[volume])

    def _load_log(self, volume: str) -> list[int]:
        best, found = 0, []
        for slot in (0, 1):
            raw = os.pread(self._logs[volume], _SLOT_BYTES, slot * _SLOT_BYTES)
            if len(raw) < _SLOT_HEAD.size:
                continue
            magic, sequence, count, check = _SLOT_HEAD.unpack_from(raw)
            body = raw[_SLOT_HEAD.size : _SLOT_HEAD.size + 4 * count]
            if magic != _MAGIC or sequence <= best or zlib.crc32(struct.pack(">Q", sequence) + body) != check:
                continue
            best, found = sequence, list(struct.unpack(f">{count}I", body))
        self._log_sequence[volume] = best
        return found

    def _load_bits(self, name: str, size: int) -> Bitmap:
        descriptor = self._bits[name] = self._open(self.directory / "bits" / name)
        bits, place = Bitmap(size, base=base_of(name)), 0
        while (found := _next_data(descriptor, place)) is not None:
            chunk = found // CHUNK_BYTES
            bits.load(chunk, os.pread(descriptor, CHUNK_BYTES, chunk * CHUNK_BYTES))
            place = (chunk + 1) * CHUNK_BYTES
        return bits

    def _open_volume(self, volume: Volume, *, sync: bool = True) -> None:
        """Open a volume's files. A new one need not be made durable: until something is written it is made again."""
        descriptor = self._files[volume.id] = self._open(self.directory / "volumes" / f"{volume.id}.img")
        if os.fstat(descriptor).st_size < volume.size_bytes:
            os.ftruncate(descriptor, volume.size_bytes)
            if sync:
                os.fsync(descriptor)
        self._logs[volume.id] = self._open(self.directory / "log" / volume.id)
        os.posix_fallocate(self._logs[volume.id], 0, 2 * _SLOT_BYTES)

    @staticmethod
    def _open(path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        """Close every file; nothing is synced (callers flush before)."""
        self.doubts.close()
        for descriptor in (*self._files.values(), *self._bits.values(), *self._logs.values(), self._lock):
            os.close(descriptor)
        self._files, self._bits, self._logs = {}, {}, {}


def _next_data(descriptor: int, place: int) -> int | None:
    """Return where data begin at or after ``place``; None when only a hole is left."""
    try:
        return os.lseek(descriptor, place, os.SEEK_DATA)
    except OSError:
        return None
