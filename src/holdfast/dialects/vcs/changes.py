"""Forms that change the configuration: each is one committed transaction, whatever the command.

As in VCS the configuration must be open (``haconf -makerw``) before they are taken; unlike there, an open
configuration is nothing but a mark, which harms nothing when it is left behind.
"""

from __future__ import annotations

import sys

from holdfast.cluster.config.edit import Draft
from holdfast.dialects.vcs.editing import Interpreter
from holdfast.dialects.vcs.layout import notice
from holdfast.dialects.vcs.session import Form, Session, UsageError, Words
from holdfast.kernel.errors import Refusal, Refused


def change(command: str, usage: str = "") -> Form:
    """Return the form of ``command`` that interprets its words as a change of the configuration."""

    def run(session: Session, words: Words) -> None:
        apply(session, [[command, *words.raw]], usage)

    return run


def apply(session: Session, lines: list[list[str]], usage: str = "") -> None:
    """Make the changes that command lines say, all in one transaction."""
    if not session.state.writable:
        raise Refused(Refusal("read-only", "", ""))
    told: list[str] = []

    def work(draft: Draft) -> None:
        interpreter = Interpreter(draft, live=True)
        for line in lines:
            if usage and interpreter.lacks(line):
                raise UsageError(usage)
            interpreter.line(line)
        told[:] = interpreter.notices

    session.wire.edit(work, "-force" in lines[0])
    names = [word for word in lines[0][2:] if not word.startswith("-")]
    for text in filter(None, (notice(code, names) for code in told)):
        sys.stderr.write(text + "\n")


def open_configuration(session: Session, _words: Words) -> None:
    """``haconf -makerw``."""
    if not session.wire.writable(True):
        raise Refused(Refusal("writable", "", ""))


def dump_configuration(session: Session, words: Words) -> None:
    """``haconf -dump [-makero]``: every change is written already, so only the mark goes."""
    if "makero" in words.options and not session.wire.writable(False):
        raise Refused(Refusal("closed", "", ""))


FORMS: dict[str, Form] = {"makerw": open_configuration, "dump": dump_configuration}
"""Forms of ``haconf``."""
