"""The tools that the backup benchmark compares, each behind the same few verbs; all keep what they write encrypted.

A tool's clock runs from the start of its command to its end. Passwords are made up for the run and travel in the
environment or in files of the workplace.
"""

from __future__ import annotations

import os
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

HOLDFAST = [sys.executable, "-m", "holdfast.app.main"]


class Tool:
    """One tool with its repository below the workplace."""

    name = ""
    incremental = True

    def __init__(self, base: Path) -> None:
        self.base = base
        self.home = base / self.name.split(" ")[0].replace(",", "")
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(base / "cache")}
        self._peak_kib = 0
        self.last_cpu_s = 0.0

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
        self.last_cpu_s = usage.ru_utime + usage.ru_stime
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
        self._config, self._port = self.home / "server.toml", 0

    def fresh(self) -> None:
        """Start a fresh server with one node."""
        super().fresh()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        port = self._port
        config, ready = self._config, self.home / "ready"
        config.write_text(
            f'name = "BENCH"\ndirectory = "{self.home / "server"}"\naddress = "127.0.0.1:{port}"\n'
            f'identity = "{self.base / "server-identity"}"\nready_file = "{ready}"\n'
        )
        shutil.rmtree(self.base / "cache", ignore_errors=True)
        self._write_options(self.base, "BENCH")
        self.run("server", "init", "--config", str(config))
        self._server = subprocess.Popen([*HOLDFAST, "server", "run", "--config", str(config)])
        while not ready.exists():
            assert self._server.poll() is None, "the server did not start"
            time.sleep(0.02)
        self._register("bench", self.optfile)

    def another_node(self, name: str) -> str:
        """Make another node of the running server; return its option file."""
        directory = self.base / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        self._write_options(directory, name)
        self._register(name, str(directory / "dsm.opt"))
        return str(directory / "dsm.opt")

    def _register(self, node: str, optfile: str) -> None:
        """Make a node with the run's password, and keep that for its client."""
        secret = (self.base / "secret").read_text()
        macro = self.home / f"{node}.macro"
        write_secret(macro, f"register node {node} {secret}\n".encode())
        self.run("server", "command", "--config", str(self._config), "--macro", str(macro))
        self.run("backup", "set-password", "--optfile", optfile, "--password-file", str(self.base / "secret"))

    def _write_options(self, directory: Path, node: str) -> None:
        (directory / "dsm.opt").write_text("SErvername BENCH\n")
        (directory / "dsm.sys").write_text(
            f"SErvername BENCH\n TCPServeraddress 127.0.0.1\n TCPPort {self._port}\n NODename {node}\n"
            f" TLSIDENTITY {self.base / 'identity'}\n PASSWORDAccess generate\n PASSWORDDIR {directory / 'pw'}\n"
        )

    def cpu_s(self) -> tuple[float, float]:
        """Return the seconds of CPU that the last command and the server have used."""
        assert self._server is not None
        fields = Path(f"/proc/{self._server.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks = os.sysconf("SC_CLK_TCK")
        return round(self.last_cpu_s, 2), round((int(fields[11]) + int(fields[12])) / ticks, 2)

    def run(self, *arguments: str) -> None:
        """Run a command untimed."""
        subprocess.run([*HOLDFAST, *arguments], check=True, stdout=subprocess.DEVNULL)

    def backup(self, tree: Path) -> float:
        return self.timed(*HOLDFAST, "backup", "incremental", str(tree), "--optfile", self.optfile)

    def restore(self, tree: Path, target: Path) -> float:
        return self.timed(*HOLDFAST, "restore", str(tree), str(target), "--optfile", self.optfile)

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
