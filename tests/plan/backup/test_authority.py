"""Who may give which command, by example."""

from __future__ import annotations

import pytest

from holdfast.backup.model.privileges import NEEDS, Authority, Need, Privilege, need_of
from holdfast.backup.plan.authority import permit
from holdfast.backup.service.admin.dispatch import COMMANDS
from holdfast.backup.service.admin.processes import PROCESSES
from holdfast.dialects.tsm import grammar

SYSTEM, POLICY, STORAGE = (Authority(p) for p in (Privilege.SYSTEM, Privilege.POLICY, Privilege.STORAGE))
OF_DELHI = Authority(Privilege.POLICY, "DELHI")
OF_NODE = Authority(Privilege.NODE, "VCSSHARE")


@pytest.mark.parametrize(
    ("held", "operation", "names", "allowed"),
    [
        ((SYSTEM,), "remove admin", (), True),
        ((POLICY, STORAGE), "remove admin", (), False),
        ((POLICY,), "register node", ("STANDARD",), True),
        ((OF_DELHI,), "register node", ("DELHI",), True),
        ((OF_DELHI,), "register node", ("STANDARD",), False),
        ((OF_DELHI,), "define cloptset", (), False),
        ((OF_DELHI,), "update node", ("VCSSHARE", "DELHI"), True),
        ((OF_DELHI,), "update node", ("VCSSHARE", "STANDARD"), False),
        ((OF_NODE,), "delete filespace", ("VCSSHARE", "STANDARD"), True),
        ((OF_NODE,), "update node", ("VCSSHARE", "STANDARD"), False),
        ((STORAGE,), "backup db", (), True),
        ((Authority(Privilege.STORAGE, "TAPEPOOL"),), "backup stgpool", ("TAPEPOOL",), True),
        ((Authority(Privilege.STORAGE, "TAPEPOOL"),), "backup stgpool", ("OTHER",), False),
        ((Authority(Privilege.STORAGE, "TAPEPOOL"),), "backup db", (), False),
        ((Authority(Privilege.OPERATOR),), "cancel process", (), True),
        ((Authority(Privilege.OPERATOR),), "run", (), True),
        ((Authority(Privilege.OPERATOR),), "delete filespace", ("VCSSHARE",), False),
        ((), "query node", (), True),
        ((), "update node", ("VCSSHARE", "STANDARD"), False),
        ((), "what nobody has heard of", (), False),
    ],
)
def test_permission(held: tuple[Authority, ...], operation: str, names: tuple[str, ...], allowed: bool) -> None:
    refusal = permit(held, need_of(operation), names)
    assert (refusal is None) == allowed
    if refusal is not None:
        assert refusal.code == "authentication"
        assert "ANR2052E" in refusal.reason


def test_a_command_that_changes_something_is_open_to_nobody_without_privilege() -> None:
    harmless = {"select", "commit", "rollback", "show caller"}
    for operation in {*COMMANDS, *PROCESSES, *(command.operation for command in grammar.COMMANDS)}:
        open_to_all = permit((), need_of(operation), ()) is None
        assert open_to_all == (operation.startswith("query ") or operation in harmless), operation
    assert all(isinstance(need, Need) for need in NEEDS.values())


def test_every_command_of_the_grammar_can_be_carried_out() -> None:
    known = {*COMMANDS, *PROCESSES}
    assert {command.operation for command in grammar.COMMANDS} - known == set()
