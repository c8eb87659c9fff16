"""What every step of a drill has in its hands: the sites, the load, the report, and ways to look and to insist.

A step acts by running commands on hosts, as an administrator would, and looks at the world the same way. What it
claims it must have seen: :meth:`Stage.insist` turns a claim that does not hold into the drill's failure, with what was
expected, what was seen and where the logs are.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from holdfast.continuity.model.report import Failure, Report
from holdfast.continuity.model.sites import GROUP, Layout, Role
from holdfast.continuity.ports import Output, Sites
from holdfast.continuity.service.drill.eyes import Eyes
from holdfast.kernel.errors import HoldfastError, Unavailable

POLL_S = 0.05
LEDGER = "ledger.py serve"


class StepFailed(HoldfastError):
    """A step did not see what it must see."""

    def __init__(self, expected: str, seen: str, logs: Sequence[Path] = ()) -> None:
        super().__init__(f"expected {expected}; saw {seen}")
        self.expected, self.seen, self.logs = expected, seen, [str(log) for log in logs]


class Narrator(Protocol):
    """Shows a drill while it runs."""

    def step(self, name: str, title: str) -> None:
        """A step begins."""

    def note(self, text: str) -> None:
        """Something worth telling happened."""

    def command(self, host: str, argv: Sequence[str], origin: str) -> None:
        """A command is about to run; ``origin`` names the document that prints it, if one does."""

    def done(self, name: str, seconds: float) -> None:
        """A step ended well."""

    def failed(self, failure: Failure) -> None:
        """A step failed, and the drill with it."""


class Stage:
    """The sites with a load on them, the report that grows, and the drill's eyes. ``moment``: when step 4 backed up."""

    def __init__(self, sites: Sites, narrator: Narrator, report: Report) -> None:
        self.sites, self.narrator, self.report = sites, narrator, report
        self.load = LoadFile(sites.directory / "acknowledged")
        self.eyes = Eyes(sites.layout, sites.directory / "eyes")
        self.moment = ""

    @property
    def layout(self) -> Layout:
        """Who is where."""
        return self.sites.layout

    def run(self, host: str, *argv: str, origin: str = "", timeout_s: float = 60.0) -> str:
        """Run a command on a host and return what it printed; raise when it fails."""
        self.narrator.command(host, argv, origin)
        return self.sites.run(host, argv, timeout_s=timeout_s).require()

    def attempt(self, host: str, *argv: str, origin: str = "", timeout_s: float = 60.0) -> Output:
        """Run a command on a host and return how it ended."""
        self.narrator.command(host, argv, origin)
        return self.sites.run(host, argv, timeout_s=timeout_s)

    def json(self, host: str, *argv: str, timeout_s: float = 60.0) -> Any:
        """Run a native command with ``--json`` and return its object."""
        return json.loads(self.run(host, *argv, "--json", timeout_s=timeout_s))

    def dscli(self, host: str, *command: str, origin: str = "", image: str = "") -> str:
        """Run a dscli command on a system, against its own site's array or the one called ``image``."""
        array = self.layout.host(image) if image else self.layout.array_of(host)
        return self.run(
            host,
            "dscli",
            "-hmc1",
            array.address,
            "-user",
            "admin",
            "-pwfile",
            self.pwfile(host),
            *command,
            origin=origin,
        )

    def pwfile(self, host: str) -> str:
        """Return the dscli password file as a host sees it."""
        return "/opt/ibm/dscli/ds_pwfile" if self.sites.root else str(self.sites.directory / "dscli" / "ds_pwfile")

    def decode(self, text: str) -> Any:
        """Return the object that a command printed as JSON."""
        return json.loads(text)

    def feed(self, host: str, text: str, *argv: str, origin: str = "") -> str:
        """Run a command on a host with ``text`` on its standard input."""
        self.narrator.command(host, argv, origin)
        return self.sites.run(host, argv, stdin=text.encode()).require()

    def write(self, host: str, path: str, text: str) -> None:
        """Write a file on a host."""
        self.feed(host, text, "sh", "-c", 'cat > "$1"', "sh", path)

    def insist(self, holds: bool, expected: str, seen: object, *hosts: str) -> None:
        """Fail the step unless ``holds``; ``hosts`` are those whose logs will tell more."""
        if not holds:
            raise StepFailed(expected, str(seen), [self.sites.log(host) for host in hosts])

    def logs(self) -> list[str]:
        """Return the logs that there are."""
        found = [self.sites.log(host.name) for host in self.layout.hosts]
        return [str(log) for log in found if log.exists()]

    def until(self, what: str, look: Callable[[], Any], timeout_s: float = 30.0, *hosts: str) -> Any:
        """Look again and again until there is something true to see, and return it."""
        deadline, seen = time.monotonic() + timeout_s, ""
        while time.monotonic() < deadline:
            try:
                if found := look():
                    return found
            except StepFailed:
                raise
            except (Unavailable, HoldfastError) as error:
                seen = str(error)
            time.sleep(POLL_S)
        raise StepFailed(what, seen or f"nothing of it in {timeout_s:.0f} s", [self.sites.log(host) for host in hosts])

    def group(self) -> Mapping[str, Any]:
        """Return the group's state as the witness has it."""
        return self.eyes.group()

    def online_on(self) -> list[str]:
        """Return the systems on which the group is online."""
        return [name for name, flags in self.group()["systems"].items() if flags == ["ONLINE"]]

    def owner(self) -> str:
        """Return the one system on which the group is online."""
        online = self.online_on()
        self.insist(len(online) == 1, f"{GROUP} online on one system", online or "none")
        return online[0]

    def await_online(self, system: str, timeout_s: float = 30.0) -> None:
        """Wait until the group is online on ``system`` and nowhere else."""
        self.until(f"{GROUP} online on {system} only", lambda: self.online_on() == [system], timeout_s, system)

    def systems(self, site: int | None = None) -> list[str]:
        """Return the names of the systems, of one site if given."""
        return [host.name for host in self.layout.of(Role.SYSTEM, site)]

    def await_writes(self, count: int = 10, timeout_s: float = 20.0) -> None:
        """Wait until the load got ``count`` more records acknowledged."""
        start = self.load.count()
        self.until(f"{count} more acknowledged writes", lambda: self.load.count() >= start + count, timeout_s, "client")

    def ledger_records(self) -> set[str]:
        """Return every record that the ledger holds now, asked over its own protocol from the client."""
        addresses = ",".join(self.layout.ledger_addresses)
        dumped = self.run("client", "python3", "-m", "holdfast.lab.ask", addresses, "DUMP", timeout_s=30)
        return set(dumped.split()) - {"END"}

    def insist_one_writer(self) -> None:
        """Insist that the service runs on one system only, and report how many systems run it."""
        writers = [name for name in self.systems() if self.sites.alive(name) and self.sites.processes(name, LEDGER)]
        self.insist(len(writers) == 1, "one system running the ledger", writers or "none", *writers)

    def lost_writes(self) -> int:
        """Return how many records were acknowledged and are not in the ledger."""
        acknowledged = self.load.records()
        return len(acknowledged - self.ledger_records())


class LoadFile:
    """What the load client noted: one line per acknowledged record, with its time on the monotonic clock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[tuple[float, str]]:
        """Return (seconds, record) of every acknowledgement so far; a half-written last line is left out."""
        if not self.path.exists():
            return []
        whole = [line.split() for line in self.path.read_text().split("\n")[:-1]]
        return [(float(seconds), record) for seconds, record in whole]

    def count(self) -> int:
        """Return how many records were acknowledged so far."""
        return self.path.read_bytes().count(b"\n") if self.path.exists() else 0

    def records(self, before: float = float("inf")) -> set[str]:
        """Return the records that were acknowledged, before a moment if given."""
        return {record for seconds, record in self.lines() if seconds < before}

    def longest_gap(self, since: float) -> float:
        """Return the longest time without an acknowledgement after ``since``: how long the service was away."""
        moments = [since, *(seconds for seconds, _ in self.lines() if seconds > since)]
        gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
        return round(max(gaps, default=0.0), 2)
