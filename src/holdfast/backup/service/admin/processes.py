"""The operations that run as numbered processes."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.backup.service.admin.reply import Args, Reply
from holdfast.backup.service.core import Core

PROCESSES: dict[str, Callable[[Core, Args, int], Reply]] = {}
