"""The files that the drill protects: planted on the shared file systems, copied at the moment of the backup, compared.

The tree is made from the drill's seed and holds what backup programs get wrong: hard links, symbolic links, holes,
extended attributes, ACL-like modes, odd names, empty files and directories, old times.
"""

from __future__ import annotations

import json
from pathlib import Path

from holdfast.continuity.model.sites import MOUNT_POINTS
from holdfast.continuity.service.drill.stage import Stage

_SCRIPT = """
import json, os, random, stat, sys
top, seed = sys.argv[1].encode(), sys.argv[2]
chance = random.Random(seed)
os.makedirs(top, exist_ok=True)
files = size = 0
for number in range(240):
    folder = os.path.join(top, b"d%02d" % (number % 12), b"e%d" % (number % 3))
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, b"f%03d" % number)
    content = chance.randbytes(chance.choice([0, 1, 100, 4096, 20000, 90000]))
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, chance.choice([0o600, 0o640, 0o644, 0o755, 0o4755]))
    owner = chance.randrange(1000, 1010), chance.randrange(1000, 1010)
    if os.geteuid() == 0:
        os.chown(path, *owner)
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode))
    os.utime(path, ns=(10**9 * chance.randrange(10**9), 10**9 * chance.randrange(10**9) + 123456789))
    files, size = files + 1, size + len(content)
with open(os.path.join(top, b"big"), "wb") as file:
    for _ in range(6):
        block = chance.randbytes(1 << 20)
        file.write(block)
        size += len(block)
with open(os.path.join(top, b"holes"), "wb") as file:
    file.seek(3 << 20)
    file.write(b"island")
    file.truncate(8 << 20)
os.link(os.path.join(top, b"big"), os.path.join(top, b"big again"))
os.symlink(b"../nowhere", os.path.join(top, b"dangling"))
os.mkfifo(os.path.join(top, b"fifo"))
os.mkdir(os.path.join(top, b"empty"))
odd = os.path.join(top, b"odd \\xff name\\nwith a line")
with open(odd, "wb") as file:
    file.write(b"odd")
os.setxattr(odd, b"user.drill", b"value")
os.setxattr(odd, b"user.empty", b"")
print(json.dumps({"files": files + 5, "bytes": size + 9}))
"""


def place(stage: Stage) -> str:
    """Return the directory below which the tree stands."""
    return MOUNT_POINTS[1] if stage.sites.root else str(stage.sites.directory / "plain")


def plant(stage: Stage, host: str) -> dict[str, int]:
    """Plant the tree on the second shared file system, or in a plain directory; return its files and bytes."""
    planted = stage.feed(host, _SCRIPT, "python3", "-", f"{place(stage)}/data", str(stage.report.seed))
    figures = json.loads(planted)
    assert isinstance(figures, dict)
    return figures


_CHANGE = """
import os, sys
top, count = sys.argv[1].encode(), int(sys.argv[2])
names = sorted(os.path.join(folder, name) for folder, _, found in os.walk(top) for name in found if name[:2] == b"f0")
for name in names[:count]:
    with open(name, "ab") as file:
        file.write(b"changed")
os.sync()
"""


def change(stage: Stage, host: str, count: int) -> int:
    """Change ``count`` files of the tree durably, so that a flash copy of the running service has them."""
    stage.feed(host, _CHANGE, "python3", "-", f"{place(stage)}/data", str(count))
    return count


def copy_of(stage: Stage, mount_point: str) -> Path:
    """Return where the drill keeps its own copy of a file system as it was at the moment of the backup."""
    return stage.sites.directory / "copies" / mount_point.strip("/")


def keep(stage: Stage, host: str, mounted_at: str, mount_point: str) -> None:
    """Copy a mounted flash copy, with everything that can be copied, for the comparison after the disaster.

    What the service's include-exclude list leaves out of the backup is left out here too.
    """
    target = copy_of(stage, mount_point)
    target.parent.mkdir(exist_ok=True)
    excluded = ("--exclude=/lost+found", "--exclude=/tsm/*.log")
    stage.run(host, "rsync", "-aHAXS", *excluded, f"{mounted_at}/", f"{target}/")


def differences(stage: Stage, host: str, restored: Path, mount_point: str) -> list[str]:
    """Compare a restored file system with the copy: names, bytes, modes, owners, times, links, attributes."""
    kept = copy_of(stage, mount_point)
    arguments = ("rsync", "-aHAXni", "--checksum", "--delete", f"{restored}/", f"{kept}/")
    listed = stage.run(host, *arguments).splitlines()
    return listed + _digest_differences(stage, host, restored, kept)


def _digest_differences(stage: Stage, host: str, restored: Path, kept: Path) -> list[str]:
    command = 'cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum'
    sums = [set(stage.run(host, "sh", "-c", command, "sh", str(top)).splitlines()) for top in (restored, kept)]
    return sorted(sums[0] ^ sums[1])
