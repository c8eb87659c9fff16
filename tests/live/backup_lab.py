"""Real servers and clients on loopback for the backup tests: processes over TLS, in a directory of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from holdfast.app.backup import admin_session
from holdfast.app.backupserver import init_server
from holdfast.backup.service.client.login import Login, save_password
from holdfast.backup.service.connection import Session
from holdfast.backup.service.serverfile import ServerConfig, load_config
from holdfast.backup.session import messages as m
from holdfast.runtime.authority import create_authority, issue
from holdfast.runtime.identity import save_identity


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class LabServer:
    """One server process."""

    name: str
    config_file: Path
    config: ServerConfig
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it answers."""
        ready = self.config.ready_file
        assert ready is not None
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-c", _RUN, str(self.config_file)]
        with open(self.config.directory.parent / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not ready.exists():
            assert self.process.poll() is None, "the server died: see its log"
            assert time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def run(self, operation: str, **args: str) -> m.Outcome:
        with admin_session(self.config) as session:
            reply = session.call(lambda seq: m.Run(seq, operation, args, operation.upper()))
        assert isinstance(reply, m.Outcome)
        return reply


_RUN = """
import sys
from pathlib import Path
from holdfast.app.backupserver import serve
from holdfast.backup.service.serverfile import load_config
serve(load_config(Path(sys.argv[1])))
"""


class Lab:
    """Servers by name, an authority, and a client identity."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        create_authority(directory / "authority")
        save_identity(issue(directory / "authority", "client:test"), directory / "client")
        self.servers: dict[str, LabServer] = {}

    def server(self, name: str, extra: str = "") -> LabServer:
        identity = self.directory / f"{name}-identity"
        save_identity(issue(self.directory / "authority", f"server:{name}"), identity)
        path = self.directory / f"{name}.toml"
        path.write_text(
            f'name = "{name}"\ndirectory = "{self.directory / name}"\naddress = "127.0.0.1:{free_port()}"\n'
            f'identity = "{identity}"\nready_file = "{self.directory / name}.ready"\n{extra}'
        )
        server = LabServer(name, path, load_config(path))
        init_server(server.config)
        server.start()
        self.servers[name] = server
        return server

    def login(self, server: str, node: str, password: str = "secret") -> Login:
        passwords = self.directory / "passwords"
        found = self.servers[server]
        path = save_password(passwords, node, found.name, password.encode())
        return Login(found.config.address, found.name, self.directory / "client", node, path)

    def session(self, server: str, node: str, password: str = "secret") -> Session:
        return self.login(server, node, password).open()

    def close(self) -> None:
        for server in self.servers.values():
            server.stop(signal.SIGKILL)


def make_nasty_tree(root: Path) -> None:
    """Make a tree of everything that is hard to back up."""
    top = os.fsencode(root)
    os.makedirs(top + b"/dir/deep/er")
    os.makedirs(top + b"/a")
    os.makedirs(top + b"/empty")

    def write(name: bytes, data: bytes) -> bytes:
        with open(top + b"/" + name, "wb") as file:
            file.write(data)
        return top + b"/" + name

    write(b"a/inside", b"inside")
    write(b"a-c", b"sorts between")
    write(b"zero", b"")
    write(b"big", os.urandom(3_000_000) + b"x" * 3_000_000 + os.urandom(1_000_000))
    write(b"invalid-\xff\xfe-utf8", b"bytes")
    write(b"new\nline", b"line")
    write(b" trailing ", b"blank")
    write(b"-dash", b"dash")
    write(b"n" * 255, b"long name")
    one = write(b"link-one", b"linked content")
    os.link(one, top + b"/dir/link-two")
    os.link(one, top + b"/z-link-three")
    os.symlink(b"../outside\xff", top + b"/dir/symlink")
    os.symlink(b"/etc", top + b"/absolute-symlink")
    os.mkfifo(top + b"/fifo")
    setuid = write(b"setuid", b"#!")
    os.chmod(setuid, 0o4755)
    old = write(b"old", b"before 1970")
    os.utime(old, ns=(-1_000_000_001, -1_000_000_001))
    future = write(b"future", b"after 2038")
    os.utime(future, ns=(4_000_000_000_123_456_789, 4_000_000_000_123_456_789))
    with open(top + b"/sparse", "wb") as file:
        file.seek(5_000_000)
        file.write(b"middle")
        file.truncate(20_000_000)
    xattr = write(b"xattr", b"attributes")
    os.setxattr(xattr, b"user.empty", b"")
    os.setxattr(xattr, b"user.binary", b"\0\xff\n")
    readonly = write(b"dir/deep/er/0555", b"read only")
    os.chmod(readonly, 0o555)
    if os.geteuid() == 0:
        os.chown(write(b"owned", b"by another"), 1234, 4321)
        os.mknod(top + b"/null", 0o20666, os.makedev(1, 3))
        capability = write(b"capability", b"cap")
        os.setxattr(capability, b"security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
        os.lchown(top + b"/dir/symlink", 77, 88)
    os.utime(top + b"/dir/deep", ns=(1_500_000_000_000_000_001, 1_500_000_000_000_000_001))
    os.chmod(top + b"/empty", 0o1700)


def differences(left: Path, right: Path) -> str:
    """Return what rsync says differs, content, links, ACLs, xattrs, sparse or not, times and all."""
    command = ["rsync", "-aHAXn", "--checksum", "--delete", "--itemize-changes", f"{left}/", f"{right}/"]
    return subprocess.run(command, check=True, capture_output=True).stdout.decode("utf-8", "replace")
