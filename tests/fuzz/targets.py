"""Fuzz targets: what people and other programs write, read with the coverage of the readers as a guide (atheris).

``python tests/fuzz/targets.py TARGET -runs=100000 -seed=1 CORPUS`` runs one; a text that breaks a promise is left in
the current directory, and given as the last argument it is played again. Promises: an error that names what is wrong,
never another exception; a line that is refused changes nothing; what is read and written is read alike.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(
    include=["holdfast.cluster.config", "holdfast.dialects", "holdfast.backup.plan", "holdfast.backup.session"]
):
    from holdfast.backup.plan import inclexcl
    from holdfast.backup.service.volumeformat import Damaged, salvage, unpack_header, unseal
    from holdfast.backup.session import messages
    from holdfast.backup.session.machine import Machine
    from holdfast.backup.session.machine import State as Standing
    from holdfast.cluster.config.builder import build
    from holdfast.cluster.config.edit import Draft, edit
    from holdfast.cluster.config.writer import dump
    from holdfast.cluster.model.configuration import Configuration
    from holdfast.cluster.model.facts import Request
    from holdfast.cluster.service.records import ConfigRecord, State
    from holdfast.dialects.dscli import grammar
    from holdfast.dialects.opensvc.schedule import parse_schedule
    from holdfast.dialects.opensvc.service import read_service
    from holdfast.dialects.opensvc.servicefile import Place, parse_service
    from holdfast.dialects.tsm import language
    from holdfast.dialects.vcs.commandfile import read_commands
    from holdfast.dialects.vcs.commands import FORMS, run
    from holdfast.dialects.vcs.session import Host, VcsWire
    from holdfast.kernel.errors import HoldfastError, InputError, Refused

FILES = {
    "main.cf": (
        "type F ( static str ArgList[] = { PathName } static int NumThreads = 5 str PathName keylist Hosts )\n"
        "cluster c ( )\nsystem a ( )\nsystem b ( )\ngroup g ( SystemList = { a, b } )\n"
        "F f ( PathName = x )\nF h ( )\nf requires h\ngroup p ( SystemList = { a = 0 } )\nF q ( )\n"
    )
}
COMMANDS = sorted(set(FORMS) - {"hacf", "hastart", "hamsg", "hatrigger"})


def text_of(data: bytes) -> str:
    """Any text, surrogates of bytes that are no UTF-8 included, as the command line would give it."""
    return data.decode("utf-8", "surrogateescape")


def attempt(read: Callable[[], Configuration]) -> Configuration | InputError:
    try:
        return read()
    except InputError as refused:
        return refused


def main_cf(data: bytes) -> None:
    found = attempt(lambda: build({"main.cf": data.decode("utf-8", "replace")}))
    if isinstance(found, InputError):
        assert found.line >= 1, found
        assert found.remedy, found
    else:
        assert build({"main.cf": dump(found)}) == found


def main_cmd(data: bytes) -> None:
    with contextlib.suppress(InputError):
        found = read_commands(data.decode("utf-8", "replace"))
        assert build({"main.cf": dump(found)}) == found


class _Committed:
    def __init__(self) -> None:
        self.files, self.commits = dict(FILES), 0

    def change(self, work: Callable[[Draft], None], _force: bool) -> None:
        self.files = dict(edit(self.files, work).files)
        self.commits += 1

    def state(self) -> State:
        return State(config=ConfigRecord(self.files), writable=True)


def _submit(request: Request, _wait_s: float) -> Request:
    return request


def vcs_line(data: bytes) -> None:
    """The first byte names the command; the words are set apart by NUL, as a process gets them."""
    if not data:
        return
    name, words = COMMANDS[data[0] % len(COMMANDS)], text_of(data[1:]).split("\0")
    if words[:1] == ["-wait"]:
        return
    held = _Committed()
    wire = VcsWire(
        held.state, _submit, lambda _path: build(held.files), held.change, lambda _wish: True,
        lambda look: look(held.state()), lambda: "", lambda _user, _password: "", lambda _name, _words: (0, 0),
        acknowledge=lambda _alert, _reason: None, local=Host("a"),
    )  # fmt: skip
    out, err, sys.stdin = io.StringIO(), io.StringIO(), io.StringIO("secret\n")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run(name, words, wire)
        except HoldfastError as error:
            code = 1
            err.write(str(error))
    assert code in (0, 1)
    assert held.commits <= 1, "one command is one transaction"
    if code:
        assert held.files == FILES, "a refused command changes nothing"
        assert err.getvalue().strip(), "a refusal says why"
    build(held.files)


def dscli_line(data: bytes) -> None:
    with contextlib.suppress(grammar.UsageError):
        words = grammar.split_globals(grammar.tokenize(text_of(data)))[1]
        if words:
            grammar.parse(words)


def macro(data: bytes) -> None:
    with contextlib.suppress(InputError):
        language.read_macro(data.decode("utf-8", "replace"), "site.mac")


def include_exclude(data: bytes) -> None:
    with contextlib.suppress(InputError):
        inclexcl.parse_list(data.decode("utf-8", "replace"), "inclexcl")


def service_file(data: bytes) -> None:
    with contextlib.suppress(HoldfastError):
        read_service(parse_service(data.decode("utf-8", "replace"), "svc", "svc.conf"), Place("a"))


def schedule(data: bytes) -> None:
    with contextlib.suppress(HoldfastError):
        parse_schedule(data.decode("utf-8", "replace"))


def session(data: bytes) -> None:
    """A client's or a server's bytes, message by message: what is out of order or no message is refused."""
    machine = Machine()
    standings = list(Standing)
    started = standings[data[0] % len(standings)] if data else Standing.NEW
    machine.state = started
    for part in data[1:].split(b"\xff\xff"):
        try:
            machine.receive(messages.decode(part))
        except Refused as refused:
            if refused.refusal.code not in ("protocol", "read-only"):
                raise
    assert started is not Standing.READ_ONLY or machine.state is not Standing.WRITING, "read-only stays read-only"


def volume(data: bytes) -> None:
    """A volume of any bytes: every record that is given out is one that was sealed, and reading ends."""

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    with contextlib.suppress(Damaged):
        unpack_header(data)
    for _, _, proven in salvage(read, len(data), 0, lambda record: unseal(record, lambda _id: b"k" * 32)):
        assert isinstance(proven, Damaged) or proven[1] == b"sealed content of a test"


TARGETS = {
    one.__name__: one
    for one in (
        main_cf, main_cmd, vcs_line, dscli_line, macro, include_exclude, service_file, schedule, session, volume,
    )
}  # fmt: skip

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
