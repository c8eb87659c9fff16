"""The data of the backup benchmark: unpacked packages, small files, one large file; all from a seed.

Packages are copied from what this system has unpacked under /usr, in the order of their names, so that two runs on one
machine see the same files. Contents of the small files are words, as in sources and mail.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

PACKAGE_FILES, PACKAGE_BYTES, PACKAGE_LIMIT_BYTES = 77_000, 1_500_000_000, 4_000_000
SMALL_FILES, SMALL_LIMIT_BYTES = 50_000, 12_000
LARGE_BYTES = 512 * 2**20
ROOTS = ("/usr/lib/python3", "/usr/lib/python3.11", "/usr/share", "/usr/lib", "/usr/include", "/usr/bin")


def generate(tree: Path, rng: random.Random, scale: float) -> tuple[int, int]:
    """Make the tree; return its files and bytes."""
    tree.mkdir()
    files, size = _packages(tree / "packages", int(PACKAGE_FILES * scale), int(PACKAGE_BYTES * scale))
    words = [rng.randbytes(rng.randrange(3, 10)).hex().encode() for _ in range(4_000)]
    for number in range(int(SMALL_FILES * scale)):
        directory = tree / "small" / f"{number % 250:03d}" / f"{number % 7}"
        directory.mkdir(parents=True, exist_ok=True)
        data = _text(rng, words, rng.randrange(200, SMALL_LIMIT_BYTES))
        (directory / f"file{number}").write_bytes(data)
        files, size = files + 1, size + len(data)
    with open(tree / "database", "wb") as file:
        while file.tell() < LARGE_BYTES * scale:
            file.write(rng.randbytes(4096) + _text(rng, words, 4096))
        size += file.tell()
    return files + 1, size


def _text(rng: random.Random, words: list[bytes], size: int) -> bytes:
    return b" ".join(rng.choices(words, k=size // 8 + 1))[:size].ljust(size)


def _packages(tree: Path, files_limit: int, bytes_limit: int) -> tuple[int, int]:
    files = size = 0
    seen: set[tuple[int, int]] = set()
    for root in ROOTS:
        for directory, names, found in os.walk(root):
            names.sort()
            place = tree / directory.lstrip("/")
            for name in sorted(found):
                source = os.path.join(directory, name)
                facts = os.lstat(source)
                if (facts.st_dev, facts.st_ino) in seen or not os.path.isfile(source) or os.path.islink(source):
                    continue
                if facts.st_size > PACKAGE_LIMIT_BYTES:
                    continue
                seen.add((facts.st_dev, facts.st_ino))
                place.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, place / name)
                files, size = files + 1, size + facts.st_size
                if files >= files_limit or size >= bytes_limit:
                    return files, size
    return files, size


def change(tree: Path, rng: random.Random) -> None:
    """Rewrite a part of every hundredth file, and a little of the large one's middle."""
    for directory, names, found in os.walk(tree):
        names.sort()
        for name in sorted(found):
            if name != "database" and rng.random() < 0.01:
                with open(os.path.join(directory, name), "r+b") as file:
                    size = file.seek(0, os.SEEK_END)
                    file.seek(rng.randrange(size + 1))
                    file.write(rng.randbytes(200))
    os.sync()
