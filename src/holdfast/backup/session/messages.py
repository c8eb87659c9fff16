"""Every message of a backup session, as tagged msgpack arrays.

A request that wants an answer carries ``seq``; its reply carries the same. ``Group``, ``Versions``, ``Expire`` and
``Append`` want none: what they brought counts, or is refused, with the commit that follows. Lists are paged by their
reader (``after``), so neither side ever waits for the other to drain.
"""

from __future__ import annotations

import msgspec

from holdfast.backup.session.rows import BoundClass as BoundClass
from holdfast.backup.session.rows import FilespaceRow as FilespaceRow
from holdfast.backup.session.rows import NewVersion as NewVersion
from holdfast.backup.session.rows import RemoteFile as RemoteFile
from holdfast.backup.session.rows import ScheduleRow as ScheduleRow
from holdfast.backup.session.rows import ServerOption as ServerOption
from holdfast.backup.session.rows import StoredArchive as StoredArchive
from holdfast.backup.session.rows import StoredVersion as StoredVersion
from holdfast.kernel.errors import Refusal, Refused


class Message(msgspec.Struct, tag=True, tag_field="message", array_like=True, frozen=True):
    """The base of all messages; the tag is the class name."""


# --- sign-on, every kind of session -----------------------------------------------------------------------------


class SignOn(Message, frozen=True):
    """Who wants a session. ``verification`` and ``reset`` are for servers only."""

    name: str
    platform: str = ""
    verification: bytes = b""
    reset: bool = False


class Challenge(Message, frozen=True):
    """What the proof must be computed over."""

    salt: bytes
    nonce: bytes


class Proof(Message, frozen=True):
    """Shows knowledge of the password without sending it."""

    proof: bytes


class Welcome(Message, frozen=True):
    """The session is open. ``mode`` is ``read-write`` or ``read-only``.

    With ``password_expired`` nothing is served but :class:`ChangePassword`."""

    server: str
    session: int
    mode: str = "read-write"
    classes: tuple[BoundClass, ...] = ()
    server_time_ns: int = 0
    last_access_ns: int = 0
    level: str = ""
    options: tuple[ServerOption, ...] = ()
    password_expired: bool = False


class ChangePassword(Message, frozen=True):
    """What the server is to keep of the node's new password (``proof``), and how long that is. A client's own."""

    seq: int
    salt: bytes
    stored_key: bytes
    length: int


# --- client backup ----------------------------------------------------------------------------------------------


class OpenFilespace(Message, frozen=True):
    """Begin to store in one filespace. Only a ``whole`` incremental sets the filespace's last incremental date."""

    seq: int
    filespace: str
    type: str
    whole: bool = True


class FilespaceOpened(Message, frozen=True):
    """``empty``: no active versions; ``pool_empty``: no chunks at all, so asking which are kept is useless.

    ``generation`` names the state of the filespace's active versions: it changes whenever they do."""

    seq: int
    empty: bool
    pool_empty: bool
    generation: bytes = b""


class ListActive(Message, frozen=True):
    """Ask for active versions after ``after`` (None: from the start)."""

    seq: int
    after: bytes | None
    limit: int


class Page(Message, frozen=True):
    """One page of a list: msgpack rows, compressed. ``last`` ends the list."""

    seq: int
    rows: bytes
    last: bool


class Have(Message, frozen=True):
    """Ask which chunks the pool keeps already."""

    seq: int
    pool: str
    names: tuple[bytes, ...]


class HaveReply(Message, frozen=True):
    """One byte per name: 1 when kept."""

    seq: int
    kept: bytes


class Group(Message, frozen=True):
    """A compressed group of chunks: ``names`` and ``lengths`` in order; ``data`` is one zstd frame."""

    pool: str
    names: tuple[bytes, ...]
    lengths: tuple[int, ...]
    data: bytes


class Versions(Message, frozen=True):
    """Versions to store: a compressed msgpack list of :class:`NewVersion`."""

    rows: bytes


class Archive(Message, frozen=True):
    """Objects to archive under one description: rows as in :class:`Versions`, every one with its pieces."""

    rows: bytes
    description: str


class Expire(Message, frozen=True):
    """Objects that are gone or newly excluded: their active versions become inactive."""

    keys: tuple[bytes, ...]


class Rebind(Message, frozen=True):
    """Objects whose versions follow a changed management class."""

    keys: tuple[bytes, ...]
    mgmtclass: str


class Tell(Message, frozen=True):
    """What a command did (statistics by the id of their message) and what went wrong, for the activity log."""

    figures: dict[str, int]
    failures: tuple[str, ...] = ()


class Commit(Message, frozen=True):
    """Make all since the last commit durable."""

    seq: int
    end: bool = False


class Committed(Message, frozen=True):
    """It is durable. Figures of this commit, and the generation it left; "" when another session changed the filespace
    since this one opened it."""

    seq: int
    stored_bytes: int
    objects: int
    generation: bytes = b""


class DropFilespace(Message, frozen=True):
    """Delete a filespace with all that is kept of it: only for a node that may delete both backups and archives."""

    seq: int
    filespace: str


# --- client query and restore -----------------------------------------------------------------------------------


class ListFilespaces(Message, frozen=True):
    """Ask for the node's filespaces."""

    seq: int


class ListVersions(Message, frozen=True):
    """Ask for versions: as of ``pit_ns``, or the active ones, or (``inactive``) all. ``latest`` adds the newest
    inactive version of objects that have no active one. ``shallow``: only ``under`` and what lies directly in it."""

    seq: int
    filespace: str
    pit_ns: int | None
    inactive: bool
    latest: bool
    under: bytes
    after: bytes | None
    limit: int
    contents: bool
    shallow: bool = False


class ActFor(Message, frozen=True):
    """From here on ask for what ``node`` has let this node restore; "" is this node's own again."""

    seq: int
    node: str


class ListArchives(Message, frozen=True):
    """Ask for archive objects at or below ``under``, after the key and id of ``after``."""

    seq: int
    filespace: str
    under: bytes
    after: tuple[bytes, int] | None
    limit: int
    contents: bool


class DeleteVersions(Message, frozen=True):
    """Delete versions or (``archives``) archive objects of one filespace by id, where the node is allowed to."""

    seq: int
    filespace: str
    ids: tuple[int, ...]
    archives: bool = False


class Deleted(Message, frozen=True):
    """They are gone."""

    seq: int
    objects: int


class Grant(Message, frozen=True):
    """Let ``node`` restore what ``pattern`` names; ``kind`` is ``backup`` or ``archive``."""

    seq: int
    kind: str
    pattern: str
    node: str


class Revoke(Message, frozen=True):
    """Take a rule of access back by its number."""

    seq: int
    number: int


class ListAccess(Message, frozen=True):
    """Ask for the rules of access that this node has set."""

    seq: int


class ListClasses(Message, frozen=True):
    """Ask for the management classes of the node's domain with their copy groups."""

    seq: int


class Locate(Message, frozen=True):
    """Ask where chunks lie."""

    seq: int
    chunks: tuple[int, ...]


class Located(Message, frozen=True):
    """For each chunk asked, in order: group id, offset in the group, sequence of the group in its pool."""

    seq: int
    places: tuple[tuple[int, int, int], ...]


class Fetch(Message, frozen=True):
    """Ask for one group."""

    seq: int
    group: int


class Fetched(Message, frozen=True):
    """The group, compressed; or ``damage`` says why not, and ``volume`` where it should have been."""

    seq: int
    names: tuple[bytes, ...]
    lengths: tuple[int, ...]
    data: bytes
    damage: str = ""
    volume: str = ""


# --- schedules --------------------------------------------------------------------------------------------------


class QuerySchedules(Message, frozen=True):
    """Ask what this node is to do next. ``address`` is where it waits to be prompted (``HOST:PORT``); empty: it polls.

    A prompt carries nothing but the request to ask, so it needs no secret and gives none away. ``looking``: somebody
    only wants to see, and the address on record stays."""

    seq: int
    address: str = ""
    looking: bool = False


class Schedules(Message, frozen=True):
    """The node's schedules, the next to start first, and the server's word on how to behave (None: the client's).

    ``schedmodes`` is ``ANY``, ``POLLING`` or ``PROMPTED``."""

    seq: int
    rows: tuple[ScheduleRow, ...]
    schedmodes: str = "ANY"
    queryschedperiod_s: int | None = None
    maxcmdretries: int | None = None
    retryperiod_s: int | None = None
    server_time_ns: int = 0


class ReportEvent(Message, frozen=True):
    """What became of the window of ``schedule`` that opened at ``start_ns``: status ``Started``, ``Restarted``,
    ``Completed`` or ``Failed``, with the client's return code and reason."""

    seq: int
    schedule: str
    start_ns: int
    status: str
    code: int = 0
    reason: str = ""


# --- administration ---------------------------------------------------------------------------------------------


class Run(Message, frozen=True):
    """Run one operation. ``text`` is what the administrator wrote, for the activity log (passwords masked)."""

    seq: int
    operation: str
    args: dict[str, str]
    text: str


class Part(msgspec.Struct, array_like=True, frozen=True):
    """What one command of a script answered; ``text`` is the command."""

    text: str
    code: int
    messages: tuple[str, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    layout: str = ""


class Outcome(Message, frozen=True):
    """What came of it: return code (section 1), messages, and at most one table (``layout`` list: detailed).

    ``parts`` are the answers of the commands that a script ran; they come before its own messages."""

    seq: int
    code: int
    messages: tuple[str, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    figures: dict[str, msgspec.Raw] = {}
    layout: str = ""
    parts: tuple[Part, ...] = ()


# --- server to server -------------------------------------------------------------------------------------------


class OpenVolume(Message, frozen=True):
    """Open an archive object to grow from ``at_bytes``; 0 creates it."""

    seq: int
    name: str
    at_bytes: int


class Append(Message, frozen=True):
    """More bytes of the open object."""

    data: bytes


class CommitVolume(Message, frozen=True):
    """Make the open object durable at ``size_bytes`` with the source's date."""

    seq: int
    size_bytes: int
    written_ns: int
    close: bool


class ReadVolume(Message, frozen=True):
    """Ask for a range of an object."""

    seq: int
    name: str
    offset: int
    length: int


class Bytes(Message, frozen=True):
    """The range asked for; ``missing`` says why not."""

    seq: int
    data: bytes
    missing: str = ""


class ListFiles(Message, frozen=True):
    """Ask for all archive objects of this node whose name starts with ``prefix``."""

    seq: int
    prefix: str


class Files(Message, frozen=True):
    """The answer to :class:`ListFiles`."""

    seq: int
    files: tuple[RemoteFile, ...]


class MarkFile(Message, frozen=True):
    """Mark an object for deletion, or (``active``) make a marked one active again."""

    seq: int
    name: str
    active: bool
    grace_days: int = 5


class Done(Message, frozen=True):
    """It happened and is durable."""

    seq: int


class Failed(Message, frozen=True):
    """The request was refused; the session goes on."""

    seq: int
    code: str
    reason: str
    remedy: str


class SignOff(Message, frozen=True):
    """The session ends in good order."""


AnyMessage = (
    SignOn | Challenge | Proof | Welcome | OpenFilespace | FilespaceOpened | ListActive | Page | Have | HaveReply
    | Group | Versions | Archive | Expire | Rebind | Commit | Committed | DropFilespace | ListFilespaces | ListVersions
    | Locate | Located | Fetch | Fetched | Run | Outcome | OpenVolume | Append | CommitVolume | ReadVolume | Bytes
    | ListFiles | Files | MarkFile | Done | Failed | SignOff | ActFor | ListArchives | DeleteVersions | Deleted | Grant
    | Revoke | ListAccess | ListClasses | Tell | QuerySchedules | Schedules | ReportEvent | ChangePassword
)  # fmt: skip

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: Message) -> bytes:
    """Return the message's bytes."""
    return _encoder.encode(message)


def decode(data: bytes) -> AnyMessage:
    """Return the message in ``data``; raises ``Refused`` (code ``protocol``) for bytes that are none."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(Refusal("protocol", f"ANR0440W Protocol error: {error}")) from error
