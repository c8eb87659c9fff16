"""First backup of a tree against ``tar | zstd -1``: same file system, data in the page cache, result made durable.

The tree is generated from a printed seed (``HOLDFAST_BENCH_SEED`` repeats one): many small files, some of middle
size, one large half-compressible file. tar neither encrypts nor deduplicates nor keeps a catalog; Holdfast does all
three over TLS to a server process, and its time includes starting the command. As root the file system is an ext4 on
a loop device, otherwise the temporary directory.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.harness import compare, publish
from holdfast.runtime.authority import create_authority, issue
from holdfast.runtime.identity import save_identity
from holdfast.runtime.secretfile import write_secret

HOLDFAST = [sys.executable, "-m", "holdfast.app.main"]
SMALL_FILES, MIDDLE_FILES, LARGE_MIB = 12_000, 150, 96


@contextlib.contextmanager
def workplace(size_gib: int = 4) -> Iterator[tuple[Path, str]]:
    """Yield a directory on a file system worth measuring, of that size where root can make one, and its name."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as text:
        base = Path(text)
        if os.geteuid() != 0:
            yield base, "temporary directory"
            return
        image, mount = base / "image", base / "mount"
        mount.mkdir()
        with open(image, "wb") as file:
            file.truncate(size_gib * 2**30)
        subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True)
        try:
            yield mount, "ext4 on a loop device"
        finally:
            subprocess.run(["umount", str(mount)], check=True)


def generate(tree: Path, rng: random.Random) -> int:
    """Make the tree; return its bytes."""
    words = [rng.randbytes(rng.randrange(3, 10)).hex().encode() for _ in range(2_000)]
    total = 0
    for number in range(SMALL_FILES + MIDDLE_FILES):
        directory = tree / f"{number % 200:03d}" / f"{number % 7}"
        directory.mkdir(parents=True, exist_ok=True)
        size = rng.randrange(200, 20_000) if number < SMALL_FILES else rng.randrange(200_000, 1_200_000)
        data = b" ".join(rng.choices(words, k=size // 12))[:size]
        (directory / f"file{number}").write_bytes(data)
        total += len(data)
    with open(tree / "large", "wb") as file:
        for _ in range(LARGE_MIB * 2):
            file.write(rng.randbytes(256 * 1024) + b" ".join(rng.choices(words, k=30_000))[: 256 * 1024])
        total += file.tell()
    return total


class HoldfastRun:
    """One fresh server per measurement; only the client command is timed."""

    def __init__(self, base: Path, tree: Path) -> None:
        self._base, self._tree = base, tree
        create_authority(base / "authority")
        save_identity(issue(base / "authority", "server:BENCH"), base / "server-identity")
        save_identity(issue(base / "authority", "client:bench"), base / "identity")
        write_secret(base / "secret", b"bench")
        self.stored_bytes = 0

    def __call__(self) -> float:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        home, ready = self._base / "server", self._base / "ready"
        shutil.rmtree(home, ignore_errors=True)
        ready.unlink(missing_ok=True)
        config = self._base / "server.toml"
        config.write_text(
            f'name = "BENCH"\ndirectory = "{home}"\naddress = "127.0.0.1:{port}"\n'
            f'identity = "{self._base / "server-identity"}"\nready_file = "{ready}"\n'
        )
        self._options(port)
        self._run("server", "init", "--config", str(config))
        server = subprocess.Popen([*HOLDFAST, "server", "run", "--config", str(config)])
        try:
            while not ready.exists():
                assert server.poll() is None, "the server did not start"
                time.sleep(0.02)
            self._run("server", "command", "--config", str(config), "register node bench bench")
            optfile = str(self._base / "dsm.opt")
            self._run("backup", "set-password", "--optfile", optfile, "--password-file", str(self._base / "secret"))
            os.sync()
            started = time.monotonic()
            self._run("backup", "incremental", str(self._tree), "--optfile", optfile)
            elapsed = time.monotonic() - started
            pool = home / "pools" / "BACKUPPOOL"
            self.stored_bytes = sum(path.stat().st_size for path in pool.iterdir())
            return elapsed
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)

    def _options(self, port: int) -> None:
        (self._base / "dsm.opt").write_text("SErvername BENCH\n")
        (self._base / "dsm.sys").write_text(
            f"SErvername BENCH\n TCPServeraddress 127.0.0.1\n TCPPort {port}\n NODename BENCH\n"
            f" TLSIDENTITY {self._base / 'identity'}\n PASSWORDAccess generate\n PASSWORDDIR {self._base / 'pw'}\n"
        )

    @staticmethod
    def _run(*arguments: str) -> None:
        subprocess.run([*HOLDFAST, *arguments], check=True, stdout=subprocess.DEVNULL)


def tar_run(base: Path, tree: Path) -> float:
    """Time tar | zstd -1 into a file, made durable."""
    archive = base / "archive.tar.zst"
    archive.unlink(missing_ok=True)
    os.sync()
    started = time.monotonic()
    command = 'tar -C "$1" -cf - . | zstd -q -1 -o "$2" && sync "$2"'
    subprocess.run(["sh", "-c", command, "sh", str(tree), str(archive)], check=True)
    return time.monotonic() - started


def main() -> int:
    """Run the benchmark."""
    seed = int(os.environ.get("HOLDFAST_BENCH_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    with workplace() as (base, where):
        tree = base / "tree"
        tree.mkdir()
        total = generate(tree, random.Random(seed))
        files = SMALL_FILES + MIDDLE_FILES + 1
        what = f"first backup, {files} files, {total / 2**20:.0f} MiB, {where}"
        print(f"{what}; seed {seed} (repeat with HOLDFAST_BENCH_SEED={seed})")
        ours = HoldfastRun(base, tree)
        row = compare(what, "s", ours, lambda: tar_run(base, tree), "tar | zstd -1", reach=1.0)
        theirs = (base / "archive.tar.zst").stat().st_size
        print(f"stored: {ours.stored_bytes / 2**20:.0f} MiB (tar: {theirs / 2**20:.0f} MiB)")
    return publish("first_backup", [row])


if __name__ == "__main__":
    sys.exit(main())
