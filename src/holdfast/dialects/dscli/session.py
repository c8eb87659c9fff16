"""A dscli session: log-in, the three modes (single command, script, lines on stdin), banner and exit code.

Interactive mode is what cluster software uses: no command on the command line, commands on stdin, a prompt before each,
until ``quit``, ``exit`` or the end. Failures go to stderr, because callers treat any text there as failure.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from holdfast.dialects.dscli import facts
from holdfast.dialects.dscli.acting import Array, Context
from holdfast.dialects.dscli.commands import execute
from holdfast.dialects.dscli.grammar import Line, UsageError, parse, split_globals, tokenize
from holdfast.dialects.dscli.layout import Layout
from holdfast.kernel.errors import InputError, Refused, Unavailable
from holdfast.runtime.textfile import read_text

PAGE_ROWS = 24
Connect = Callable[[str, str, str], Array]


def run(words: list[str], connect: Connect, stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """Run dscli with its command line and return the exit code."""
    session = Session(connect, stdin, stdout, stderr)
    try:
        options, rest = split_globals(words)
        return session.run(options, rest)
    except UsageError as error:
        return session.usage(error)
    except InputError as error:
        stderr.write(f"{facts.SYNTAX} dscli: {error}\n")
        return facts.RC_SYNTAX


class Session:
    """One run of dscli."""

    def __init__(self, connect: Connect, stdin: TextIO, stdout: TextIO, stderr: TextIO) -> None:
        self._connect, self._stdin, self._stdout, self._stderr = connect, stdin, stdout, stderr
        self._layout = Layout()
        self._devid = self._remotedevid = ""
        self._fullid = False
        self._rows = PAGE_ROWS
        self._array: Array | None = None
        self._interactive = False

    def run(self, options: dict[str, str], rest: list[str]) -> int:
        """Choose the mode and run it."""
        options = self._with_profile(options)
        if rest[:1] == ["managepwfile"]:
            return self._managepwfile(parse(rest), options)
        if rest and "script" not in options:
            line = self._input_ids(parse(rest))
            return self._login(options) or self._one(line, " ".join(rest))
        failed = self._login(options)
        if failed:
            return failed
        return self._script(Path(options["script"])) if "script" in options else self._lines()

    def usage(self, error: UsageError) -> int:
        """Print a syntax error."""
        ident = facts.SYNTAX if error.command else facts.UNKNOWN_COMMAND
        self._stderr.write(f"{ident} {error.command or 'dscli'}: {error.message}\n")
        return facts.RC_SYNTAX

    # --- log-in ------------------------------------------------------------------------------------------------------

    def _with_profile(self, options: dict[str, str]) -> dict[str, str]:
        if "cfg" not in options:
            return options
        profile = read_profile(Path(options["cfg"]))
        self._set_environment(profile)
        names = {"hmc1": "hmc1", "hmc2": "hmc2", "username": "user", "password": "passwd", "pwfile": "pwfile"}
        return {**{names[k]: v for k, v in profile.items() if k in names}, **options}

    def _login(self, options: dict[str, str]) -> int:
        consoles = [options[name] for name in ("hmc1", "hmc2") if options.get(name)]
        if not consoles:
            raise UsageError("dscli", "no management console: give -hmc1 or a profile")
        user, password = self._credentials(options, consoles[0])
        problem = ""
        for console in consoles:
            try:
                self._array = self._connect(console, user, password)
                self._array.run("info")
                return facts.RC_OK
            except Unavailable as error:
                problem = error.message
            except Refused as refused:
                ident, text = facts.BAD_LOGIN
                reason = text if refused.refusal.code == "bad-login" else refused.message
                self._stderr.write(f"{ident} dscli: {reason}\n")
                return facts.RC_LOGIN
        ident, text = facts.NO_CONNECTION
        self._stderr.write(f"{ident} dscli: {text} {problem}\n")
        return facts.RC_CONNECTION

    def _credentials(self, options: dict[str, str], console: str) -> tuple[str, str]:
        user, password = options.get("user", ""), options.get("passwd", "")
        if password and user:
            return user, password
        from holdfast.dialects.dscli import pwfile

        path = Path(options["pwfile"]) if "pwfile" in options else pwfile.default_path()
        if "pwfile" in options or path.exists():
            return pwfile.find(path, user, console)
        return user or self._ask("Enter your username: "), self._ask("Enter your password: ")

    def _ask(self, question: str) -> str:
        self._stdout.write(question)
        self._stdout.flush()
        return self._stdin.readline().strip()

    # --- modes -------------------------------------------------------------------------------------------------------

    def _script(self, path: Path) -> int:
        text = read_text(path)
        code = facts.RC_OK
        for row in text.splitlines():
            words, failed = self._words(row)
            if words[:1] in (["quit"], ["exit"]):
                break
            code = failed or self._typed(words) or code
        return code

    def _lines(self) -> int:
        self._interactive = True
        self._banner()
        while True:
            self._stdout.write(facts.PROMPT)
            self._stdout.flush()
            row = self._stdin.readline()
            words, _ = self._words(row)
            if not row or words[:1] in (["quit"], ["exit"]):
                return facts.RC_OK
            self._typed(words)

    def _words(self, row: str) -> tuple[list[str], int]:
        try:
            return tokenize(row), facts.RC_OK
        except UsageError as error:
            return [], self.usage(error)

    def _typed(self, words: list[str]) -> int:
        if not words:
            return facts.RC_OK
        try:
            return self._one(parse(words), " ".join(words))
        except UsageError as error:
            return self.usage(error)

    def _input_ids(self, line: Line) -> Line:
        if not line.parameters or line.parameters[-1] != "-":
            return line
        typed = tuple(word for row in self._stdin for word in row.split())
        return replace(line, parameters=(*line.parameters[:-1], *typed))

    def _one(self, line: Line, typed: str) -> int:
        if line.command == "setenv":
            self._set_environment({name.removeprefix("-"): value for name, value in line.options.items()})
            return facts.RC_OK
        if line.command == "managepwfile":
            return self._managepwfile(line, {})
        layout = self._line_layout(line)
        if layout.banner:
            self._banner(line.get("dev"))
        if layout.verbose:
            self._out(facts.ECHO + typed)
        if self._devid and not line.has("dev"):
            line = replace(line, options={**line.options, "dev": self._devid})
        assert self._array is not None
        out = self._pages(layout.page) if layout.page else self._out
        context = Context(self._array, layout, out, self._fail, self._ask, self._fullid, self._remotedevid)
        try:
            return execute(line, context)
        except UsageError as error:
            return self.usage(error)
        except Unavailable as error:
            ident, text = facts.NO_CONNECTION
            self._fail(f"{ident} {line.command}: {text} {error.message}")
            return facts.RC_CONNECTION

    # --- printing ----------------------------------------------------------------------------------------------------

    def _out(self, text: str) -> None:
        self._stdout.write(text + "\n")

    def _pages(self, rows: int) -> Callable[[str], None]:
        """Print so many rows at a time: between them the next page is asked for."""
        shown = 0

        def out(text: str) -> None:
            nonlocal shown
            if shown and shown % rows == 0:
                self._ask(facts.PAGE + "\n")
            shown += 1
            self._out(text)

        return out

    def _fail(self, text: str) -> None:
        self._stdout.flush()
        self._stderr.write(text + "\n")

    def _banner(self, device: str = "") -> None:
        if self._layout.banner:
            now = time.localtime()
            moment = f"{time.strftime('%B', now)} {now.tm_mday}, {now.tm_year} {now.tm_hour % 12 or 12}"
            moment += time.strftime(":%M:%S %p %Z", now)
            device = device or self._devid or "-"
            self._out(f"Date/Time: {moment} IBM DSCLI Version: {facts.VERSION} DS: {device}")
            if self._interactive:
                self._out("")

    def _line_layout(self, line: Line) -> Layout:
        layout = self._layout
        if line.has("fmt"):
            layout = replace(layout, format=_choice("fmt", line.get("fmt"), ("default", "delim", "stanza", "xml")))
        if line.has("delim"):
            layout = replace(layout, delimiter=line.get("delim"))
        if line.has("hdr"):
            layout = replace(layout, header=_switch("hdr", line.get("hdr")))
        if line.has("bnr"):
            layout = replace(layout, banner=_switch("bnr", line.get("bnr")))
        if line.has("v"):
            layout = replace(layout, verbose=_switch("v", line.get("v") or "on"))
        if line.has("p"):
            rows = self._rows if _switch("p", line.get("p") or "on") else 0
            layout = replace(layout, page=rows)
        return layout

    def _set_environment(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            match name:
                case "banner":
                    self._layout = replace(self._layout, banner=_switch(name, value))
                case "header":
                    self._layout = replace(self._layout, header=_switch(name, value))
                case "format":
                    choice = _choice(name, value, ("default", "delim", "stanza", "xml"))
                    self._layout = replace(self._layout, format=choice)
                case "delim":
                    self._layout = replace(self._layout, delimiter=value)
                case "verbose":
                    self._layout = replace(self._layout, verbose=_switch(name, value))
                case "paging":
                    self._layout = replace(self._layout, page=self._rows if _switch(name, value) else 0)
                case "rows":
                    self._rows = _count(name, value)
                    self._layout = replace(self._layout, page=self._rows if self._layout.page else 0)
                case "fullid":
                    self._fullid = _switch(name, value)
                case "devid":
                    self._devid = value
                case "remotedevid":
                    self._remotedevid = value

    # --- password files ----------------------------------------------------------------------------------------------

    def _managepwfile(self, line: Line, options: dict[str, str]) -> int:
        from holdfast.dialects.dscli import pwfile

        name, password = line.get("name"), line.get("pw")
        if line.get("action", "add") != "add" or not name or not password:
            raise UsageError("managepwfile", "needs -action add, -name and -pw (- reads it from stdin)")
        if password == "-":
            password = self._stdin.readline().rstrip("\n")
        named = line.get("pwfile") or options.get("pwfile", "")
        path = Path(named) if named else pwfile.default_path()
        consoles = [line.get(key) for key in ("mc1", "mc2") if line.has(key)] or [options.get("hmc1", "")]
        created = [pwfile.add(path, name, console, password) for console in consoles]
        if created[0]:
            self._out(f"{facts.PWFILE_CREATED[0]} managepwfile: {facts.PWFILE_CREATED[1].format(path)}")
        for console in consoles:
            record = f"{console or 'any'}/{name}"
            self._out(f"{facts.PWFILE_ADDED[0]} managepwfile: {facts.PWFILE_ADDED[1].format(record, path)}")
        return facts.RC_OK


def read_profile(path: Path) -> dict[str, str]:
    """Read a profile: ``key: value`` lines, ``#`` comments. Raises :class:`InputError`."""
    text = read_text(path)
    values = {}
    for number, row in enumerate(text.splitlines(), 1):
        bare = row.partition("#")[0].strip()
        key, colon, value = bare.partition(":")
        if bare and not colon:
            raise InputError("is not `key: value`", file=str(path), line=number, column=1, remedy="write hmc1: ADDRESS")
        if bare:
            values[key.strip()] = value.strip().strip('"')
    return values


def _switch(name: str, value: str) -> bool:
    return _choice(name, value, ("on", "off")) == "on"


def _count(name: str, value: str) -> int:
    if not value.isdecimal() or not int(value):
        raise UsageError("dscli", f"-{name} must be a number from 1, not {value!r}")
    return int(value)


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise UsageError("dscli", f"-{name} must be one of {', '.join(choices)}, not {value!r}")
    return value
