"""The NBD codec: what it writes it reads, and nonsense from the wire never gets further."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.replication.array import nbd
from holdfast.replication.array.nbd import Command, Errno, Export


@settings(derandomize=True)
@given(
    st.integers(0, 9), st.integers(0, 2**64 - 1), st.integers(0, 2**63), st.integers(0, 2**32 - 1), st.integers(0, 3)
)
def test_requests_survive_the_wire(command: int, handle: int, offset: int, length: int, flags: int) -> None:
    raw = nbd.encode_request(command, handle, offset, length, flags)
    assert nbd.decode_request(raw) == nbd.Request(flags, command, handle, offset, length)


@settings(derandomize=True)
@given(st.binary(min_size=28, max_size=28))
def test_nonsense_is_a_protocol_error(raw: bytes) -> None:
    if raw[:4] != nbd.encode_request(0, 0, 0, 0)[:4]:
        with pytest.raises(nbd.ProtocolError):
            nbd.decode_request(raw)


@settings(derandomize=True)
@given(st.binary(max_size=64))
def test_any_go_option_is_read_or_refused(data: bytes) -> None:
    try:
        name = nbd.decode_go(data)
    except nbd.ProtocolError:
        return
    nbd.parse_export(name)


def test_export_names() -> None:
    assert nbd.parse_export("host.example.org.7/1260") == Export("host.example.org", 7, "1260")
    assert nbd.decode_go(nbd.encode_go("hosta.7/1260")) == "hosta.7/1260"
    for wrong in ("1260", "hosta/1260", "hosta.x/1260", ".7/1260", "hosta.7/", "hosta.7", "hosta.²/1260"):
        assert nbd.parse_export(wrong) is None


@pytest.mark.parametrize(
    ("command", "offset", "length", "error"),
    [
        (Command.READ, 0, 512, Errno.NONE),
        (Command.READ, 512, 4096, Errno.EINVAL),
        (Command.WRITE, 512, 4096, Errno.ENOSPC),
        (Command.WRITE, 0, 0, Errno.EINVAL),
        (Command.READ, 0, nbd.REQUEST_LIMIT_BYTES + 1, Errno.EINVAL),
        (Command.FLUSH, 0, 0, Errno.NONE),
        (77, 0, 1, Errno.EINVAL),
    ],
)
def test_ranges_are_checked(command: int, offset: int, length: int, error: Errno) -> None:
    assert nbd.check_request(nbd.Request(0, command, 1, offset, length), 4096) == error
