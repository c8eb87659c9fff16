"""The state machines of all sessions, as one table: what a server accepts, in which state, and what follows.

A message that does not stand in the table for the present state is refused with ANR0440W and ends the session. The
write messages of a server session stand only under READ_WRITE: a session whose verification code did not match is
READ_ONLY, and there is no path by which it writes.
"""

from __future__ import annotations

import enum

from holdfast.backup.session import messages as m
from holdfast.kernel.errors import Refusal, Refused


class State(enum.Enum):
    """Where a session stands, as the server sees it."""

    NEW = "new"
    CHALLENGED = "challenged"
    CLIENT = "client"
    FILESPACE = "filespace open"
    EXPIRED = "open for a new password only"
    ADMIN = "admin"
    READ_WRITE = "server, read-write"
    READ_ONLY = "server, read-only"
    WRITING = "server, volume open"
    CLOSED = "closed"


_READING = (m.ListVersions, m.ListArchives, m.Locate, m.Fetch)
_QUERIES = (m.ListFilespaces, m.ActFor, m.ListAccess, m.ListClasses, *_READING)
_CHANGES = (m.DeleteVersions, m.DropFilespace, m.Grant, m.Revoke)
_BACKUP = (m.ListActive, m.Have, m.Group, m.Versions, m.Archive, m.Expire, m.Rebind)
_SCHEDULING = (m.QuerySchedules, m.ReportEvent, m.ChangePassword, m.Tell)
_READS = (m.ReadVolume, m.ListFiles)

TABLE: dict[tuple[State, type[m.Message]], State] = {
    (State.NEW, m.SignOn): State.CHALLENGED,
    **{(State.CLIENT, message): State.CLIENT for message in (*_QUERIES, *_CHANGES)},
    **{(state, message): state for state in (State.CLIENT, State.FILESPACE) for message in _SCHEDULING},
    (State.CLIENT, m.OpenFilespace): State.FILESPACE,
    **{(State.FILESPACE, message): State.FILESPACE for message in (*_BACKUP, *_READING, m.Commit)},
    (State.EXPIRED, m.SignOff): State.CLOSED,
    (State.ADMIN, m.Run): State.ADMIN,
    **{(state, read): state for state in (State.READ_WRITE, State.READ_ONLY, State.WRITING) for read in _READS},
    (State.READ_WRITE, m.OpenVolume): State.WRITING,
    (State.READ_WRITE, m.MarkFile): State.READ_WRITE,
    (State.WRITING, m.Append): State.WRITING,
    (State.WRITING, m.MarkFile): State.WRITING,
    (State.WRITING, m.CommitVolume): State.WRITING,
    **{
        (state, m.SignOff): State.CLOSED
        for state in (State.CLIENT, State.FILESPACE, State.ADMIN, State.READ_WRITE, State.READ_ONLY, State.WRITING)
    },
}
_WRITES = (m.OpenVolume, m.Append, m.CommitVolume, m.MarkFile)


class Machine:
    """One session's state. ``receive`` checks and moves; ``welcome`` is the server's own move."""

    def __init__(self) -> None:
        self.state = State.NEW

    def receive(self, message: m.Message) -> None:
        """Accept ``message`` or raise ``Refused`` (code ``protocol``, or ``read-only`` for a write)."""
        if isinstance(message, m.Proof) and self.state is State.CHALLENGED:
            return
        if isinstance(message, m.ChangePassword) and self.state is State.EXPIRED:
            return
        if isinstance(message, m.Commit) and message.end and self.state is State.FILESPACE:
            self.state = State.CLIENT
            return
        if isinstance(message, m.CommitVolume) and message.close and self.state is State.WRITING:
            self.state = State.READ_WRITE
            return
        following = TABLE.get((self.state, type(message)))
        if following is None:
            raise Refused(self._refusal(message))
        self.state = following

    def welcome(self, state: State) -> None:
        """The proof was good: the session opens in ``state``."""
        assert self.state is State.CHALLENGED
        self.state = state

    def renewed(self) -> None:
        """The expired password was changed: the session opens as any client's."""
        if self.state is State.EXPIRED:
            self.state = State.CLIENT

    def _refusal(self, message: m.Message) -> Refusal:
        name = type(message).__name__
        if self.state is State.READ_ONLY and isinstance(message, _WRITES):
            return Refusal(
                "read-only",
                f"the session is read-only: the verification code does not match, so {name} is refused",
                "at the source server: UPDATE SERVER name FORCESYNC=YES, once it is certain which server is the owner",
            )
        return Refusal(
            "protocol", f"ANR0440W Protocol error: {name} is out of order in a session that is {self.state.value}"
        )
