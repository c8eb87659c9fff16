"""The tools that the backup benchmark compares, each behind the same few verbs; all keep what they write encrypted.

A tool's clock runs from the start of its command to its end. Passwords are made up for the run and travel in the
environment or in files of the workplace.
"""

from __future__ import annotations

import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from holdfast.runtime.authority import create_authority, issue
from holdfast.runtime.identity import save_identity
from holdfast.runtime.secretfile import write_secret

_HOLDFAST = [sys.executable, "-m", "holdfast.app.main"]


class Tool:
    """One tool with its repository below the workplace."""

    name = ""
    incremental = True

    def __init__(self, base: Path) -> None:
        self.base = base
        self.home = base / self.name.split(" ")[0].replace(",", "")
        self.environment = dict(os.environ)
        self._peak_kib = 0

    def fresh(self) -> None:
        """Begin with nothing stored."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        self._peak_kib = 0

    def backup(self, tree: Path) -> float:
        """Back the tree up; return the seconds."""
        raise AssertionError(f"{self.name} does not say how: {tree}")

    def restore(self, tree: Path, target: Path) -> float:
        """Restore the newest state into ``target``; return the seconds."""
        raise AssertionError(f"{self.name} does not say how: {tree} {target}")

    def stored_mib(self) -> float:
        """Return what the repository takes on disk."""
        return sum(path.lstat().st_size for path in self.home.rglob("*") if not path.is_dir()) / 2**20

    def peak_mib(self) -> float:
        """Return the peak memory of the commands since ``fresh``."""
        return self._peak_kib / 1024

    def close(self) -> None:
        """End what runs for this tool."""

    def timed(self, *command: str, cwd: Path | None = None) -> float:
        """Run a command with the disk quiet; return the seconds until it ended, and note its memory."""
        os.sync()
        started = time.monotonic()
        process = subprocess.Popen(command, env=self.environment, cwd=cwd, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"{command} ended with {process.returncode}"
        self._peak_kib = max(self._peak_kib, usage.ru_maxrss)
        return elapsed


class Restic(Tool):
    """restic at its defaults."""

    name = "restic"

    def fresh(self) -> None:
        super().fresh()
        self.environment |= {
            "RESTIC_REPOSITORY": str(self.home / "repository"),
            "RESTIC_PASSWORD": secrets.token_hex(),
            "RESTIC_CACHE_DIR": str(self.base / "restic-cache"),
        }
        shutil.rmtree(self.base / "restic-cache", ignore_errors=True)
        self.timed("restic", "-q", "init")

    def backup(self, tree: Path) -> float:
        return self.timed("restic", "-q", "backup", str(tree))

    def restore(self, tree: Path, target: Path) -> float:
        return self.timed("restic", "-q", "restore", "latest", "--target", str(target))


class Borg(Tool):
    """borg with one compression; ``lz4`` is its default."""

    def __init__(self, base: Path, compression: str) -> None:
        self.name = "borg" if compression == "lz4" else f"borg {compression}"
        super().__init__(base)
        self.home = base / f"borg-{compression.replace(',', '')}"
        self._compression, self._number = compression, 0

    def fresh(self) -> None:
        super().fresh()
        self.environment |= {
            "BORG_REPO": str(self.home / "repository"),
            "BORG_PASSPHRASE": secrets.token_hex(),
            "BORG_BASE_DIR": str(self.base / "borg-base"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "no",
        }
        shutil.rmtree(self.base / "borg-base", ignore_errors=True)
        self.timed("borg", "init", "--encryption=repokey-blake2")

    def backup(self, tree: Path) -> float:
        self._number += 1
        return self.timed("borg", "create", "-C", self._compression, f"::a{self._number}", ".", cwd=tree)

    def restore(self, tree: Path, target: Path) -> float:
        return self.timed("borg", "extract", f"::a{self._number}", cwd=target)


class Tar(Tool):
    """tar through zstd -1: no encryption, no deduplication, no catalog."""

    name = "tar | zstd -1"
    incremental = False

    def backup(self, tree: Path) -> float:
        command = 'tar -C "$1" -cf - . | zstd -q -1 -o "$2" && sync "$2"'
        return self.timed("sh", "-c", command, "sh", str(tree), str(self.home / "archive.tar.zst"))

    def restore(self, tree: Path, target: Path) -> float:
        command = 'zstd -q -d -c "$2" | tar -C "$1" -xpf -'
        return self.timed("sh", "-c", command, "sh", str(target), str(self.home / "archive.tar.zst"))


class Rsync(Tool):
    """rsync -a: a plain copy."""

    name = "rsync"

    def backup(self, tree: Path) -> float:
        return self.timed("rsync", "-a", f"{tree}/", f"{self.home}/copy/")

    def restore(self, tree: Path, target: Path) -> float:
        return self.timed("rsync", "-a", f"{self.home}/copy/", f"{target}/")


class Holdfast(Tool):
    """The command against a server process of its own, over TLS."""

    name = "holdfast"

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        create_authority(base / "authority")
        save_identity(issue(base / "authority", "server:BENCH"), base / "server-identity")
        save_identity(issue(base / "authority", "client:bench"), base / "identity")
        write_secret(base / "secret", secrets.token_hex().encode())
        self._server: subprocess.Popen[bytes] | None = None
        self.optfile = str(base / "dsm.opt")

    def fresh(self) -> None:
        """Start a fresh server with one node."""
        super().fresh()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config, ready = self.home / "server.toml", self.home / "ready"
        config.write_text(
            f'name = "BENCH"\ndirectory = "{self.home / "server"}"\naddress = "127.0.0.1:{port}"\n'
            f'identity = "{self.base / "server-identity"}"\nready_file = "{ready}"\n'
        )
        self._write_options(port)
        self.run("server", "init", "--config", str(config))
        self._server = subprocess.Popen([*_HOLDFAST, "server", "run", "--config", str(config)])
        while not ready.exists():
            assert self._server.poll() is None, "the server did not start"
            time.sleep(0.02)
        self.register(config, "bench")

    def register(self, config: Path, node: str) -> None:
        """Make a node with the run's password, and keep that for the client."""
        secret = (self.base / "secret").read_text()
        self.run("server", "command", "--config", str(config), f"register node {node} {secret}")
        self.run("backup", "set-password", "--optfile", self.optfile, "--password-file", str(self.base / "secret"))

    def _write_options(self, port: int) -> None:
        (self.base / "dsm.opt").write_text("SErvername BENCH\n")
        (self.base / "dsm.sys").write_text(
            f"SErvername BENCH\n TCPServeraddress 127.0.0.1\n TCPPort {port}\n NODename BENCH\n"
            f" TLSIDENTITY {self.base / 'identity'}\n PASSWORDAccess generate\n PASSWORDDIR {self.base / 'pw'}\n"
        )

    def run(self, *arguments: str) -> None:
        """Run a command untimed."""
        subprocess.run([*_HOLDFAST, *arguments], check=True, stdout=subprocess.DEVNULL)

    def backup(self, tree: Path) -> float:
        return self.timed(*_HOLDFAST, "backup", "incremental", str(tree), "--optfile", self.optfile)

    def restore(self, tree: Path, target: Path) -> float:
        return self.timed(*_HOLDFAST, "restore", str(tree), str(target), "--optfile", self.optfile)

    def stored_mib(self) -> float:
        """Pools and catalog: what the server's directory takes."""
        return super().stored_mib()

    def peak_mib(self) -> float:
        """Client and server together."""
        assert self._server is not None
        lines = Path(f"/proc/{self._server.pid}/status").read_text().splitlines()
        peak_kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        return super().peak_mib() + peak_kib / 1024

    def check(self, tree: Path, target: Path, differences: Callable[[Path, Path], str]) -> None:
        """The restored tree must be the tree."""
        shutil.rmtree(target, ignore_errors=True)
        self.fresh()
        self.backup(tree)
        self.restore(tree, target)
        self.close()
        found = differences(tree, target)
        assert not found, f"the restored tree differs:\n{found[:2000]}"

    def close(self) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.send_signal(signal.SIGTERM)
            self._server.wait(60)
            self._server = None


def children_peak_mib() -> float:
    """Return the largest child so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
