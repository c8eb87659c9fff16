"""Where a service's files lie on this system: its configuration, what is remembered of it, its log and its lock."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path

from holdfast.dialects.opensvc.service import Service, read_service
from holdfast.dialects.opensvc.servicefile import Place, parse_service
from holdfast.kernel.errors import InputError, Refusal, Refused
from holdfast.runtime.secretfile import sync_directory
from holdfast.runtime.textfile import read_text

LOG_BYTES, LOG_FILES = 5 * 1024 * 1024, 1
LOCK_LIMIT_S = 60.0
_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,127}")
_LOCK_STEP_S = 0.1


@dataclass(frozen=True, slots=True)
class Home:
    """The three directories of the agent, and this system's name."""

    etc: Path
    var: Path
    log: Path
    system: str

    def place(self) -> Place:
        """Return what scopes and references refer to here."""
        return Place(self.system, {"etc": str(self.etc), "var": str(self.var)})

    def path(self, service: str) -> Path:
        """Return the service's file. Raises :class:`InputError` for what cannot be a name."""
        if _NAME.fullmatch(service) is None:
            raise InputError(f"{service!r} is not a service name", remedy="use letters, digits, dots and dashes")
        return self.etc / f"{service}.conf"

    def names(self) -> list[str]:
        """Return the services that have a file here."""
        others = ("auth", "node", "cluster")
        return sorted(path.stem for path in self.etc.glob("*.conf") if path.stem not in others)

    def read(self, service: str, path: Path | None = None) -> Service:
        """Read a service from its file, or from ``path``. Raises :class:`InputError`."""
        file = path or self.path(service)
        if not file.exists():
            known = ", ".join(self.names()) or "none"
            remedy = f"svcmgr -s {service} create --config FILE; services here: {known}"
            raise InputError("there is no such service file", file=str(file), remedy=remedy)
        return read_service(parse_service(read_text(file), service, str(file)), self.place())

    def install(self, service: str, text: str) -> Path:
        """Write the service's file durably: whole or not at all."""
        path = self.path(service)
        _write(path, text)
        return path

    # --- what is remembered

    def ran(self, service: str, rid: str) -> float | None:
        """Return when a sync resource was last resynchronised from here, in seconds since the epoch."""
        with contextlib.suppress(OSError, ValueError):
            return float(self._memory(service, rid).read_text("utf-8"))
        return None

    def remember(self, service: str, rid: str, at: float) -> None:
        """Keep when a sync resource was resynchronised."""
        _write(self._memory(service, rid), f"{at:.3f}\n")

    def _memory(self, service: str, rid: str) -> Path:
        return self.var / "services" / service / f"last_resync.{rid}"

    # --- log and lock

    def logger(self, service: str, rid: str = "") -> logging.Logger:
        """Return the log of a service or resource: on standard output (errors: standard error) and in a file."""
        root = logging.getLogger(f"{self.log}/{service}")
        if not root.handlers:
            root.setLevel(logging.INFO)
            root.propagate = False
            formatter = logging.Formatter(_FORMAT)
            quiet, loud = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
            quiet.addFilter(lambda record: record.levelno < logging.ERROR)
            loud.setLevel(logging.ERROR)
            handlers: list[logging.Handler] = [quiet, loud]
            with contextlib.suppress(OSError):  # who may not write the log may still look
                self.log.mkdir(parents=True, exist_ok=True)
                handlers.append(
                    RotatingFileHandler(self.log / f"{service}.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES)
                )
            for handler in handlers:
                handler.setFormatter(formatter)
                root.addHandler(handler)
        name = f"{service}.{rid}" if rid else service
        child = logging.Logger(name.upper())
        child.parent = root
        return child

    @contextlib.contextmanager
    def lock(self, service: str, limit_s: float) -> Iterator[None]:
        """Hold the service's lock: one action at a time. Refuses after ``limit_s`` seconds."""
        directory = self.var / "services" / service
        directory.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + limit_s
        with (directory / "lock").open("a+", encoding="utf-8") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() >= deadline:
                        text = f"another action on {service} is under way"
                        raise Refused(Refusal("locked", text, "wait for it, or give a longer --waitlock")) from error
                    time.sleep(_LOCK_STEP_S)
            yield


def _write(path: Path, text: str) -> None:
    """Write a file durably: whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    sync_directory(path.parent)
