"""Who may restore another node's data: rules that the owner sets, judged on the server.

A rule names backups or archives, a pattern of files, and the node that may restore them. ``/home/*`` are the files in
the directory, ``/home/*/*`` everything below it; a pattern without wildcards is one object. The directories on the way
to something that is granted are seen too, without which it could not be put in its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.backup.model.objects import under
from holdfast.backup.plan.filespec import parse_spec

_BELOW = "/*/*"


@dataclass(frozen=True, slots=True)
class AccessRule:
    """``node`` may restore the ``kind`` (``backup`` or ``archive``) of what ``pattern`` names."""

    number: int
    kind: str
    pattern: str
    node: str


def permitted(rules: Iterable[AccessRule], filespace: str, key: bytes, *, directory: bool = False) -> bool:
    """Return whether any rule covers the object at ``key``; for a directory also whether one covers what is below."""
    return any(_covers(rule.pattern, filespace, key, directory) for rule in rules)


def _covers(pattern: str, filespace: str, key: bytes, directory: bool) -> bool:
    deep = pattern.endswith(_BELOW)
    spec = parse_spec(pattern.removesuffix("/*") if deep else pattern, [filespace, "/"], subdir=deep)
    if spec.filespace != filespace:
        return False
    if directory and under(spec.directory, key):
        return True
    return spec.fits(key)


def check_pattern(pattern: str) -> None:
    """Raise ``InputError`` for a pattern that no rule can have."""
    parse_spec(pattern.removesuffix("/*") if pattern.endswith(_BELOW) else pattern, ["/"])
