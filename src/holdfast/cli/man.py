"""Manual pages from the command tree: one for ``holdfast``, one per noun, one per dialect command. Pure text.

A page is made from what ``--help`` shows, so the two cannot disagree. The roff is plain ``man`` macros. Text that comes
from the tree is escaped in one place (:func:`escape`); a word that begins a line with a dot can do no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import click

from holdfast.cli.conventions import BACKUP_EXIT_CODES, ENVIRONMENT, EXIT_CODES, SERVER_EXIT
from holdfast.cli.tree import Node, children, examples_of, walk


@dataclass(frozen=True, slots=True)
class DialectPage:
    """What the page of a dialect's command says: its forms, each as it is typed, and where to read on."""

    name: str
    summary: str
    about: str
    forms: Sequence[str]
    exit_codes: Sequence[tuple[int, str]]
    see_also: Sequence[str] = ("holdfast",)


def escape(text: str) -> str:
    """Return text that roff prints as it stands."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("\x08", "")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in text.splitlines())


def pages(root: click.Group, prog: str, version: str, dialects: Iterable[DialectPage]) -> Mapping[str, str]:
    """Return all pages by file name, such as ``holdfast-group.1``."""
    context = click.Context(root, info_name=prog, **root.context_settings)
    nouns = children(root, context)
    made = {f"{prog}.1": _root_page(root, prog, version, nouns)}
    for noun, command in nouns.items():
        inner = click.Context(command, info_name=noun, parent=context)
        made[f"{prog}-{noun}.1"] = _noun_page(list(walk(command, inner, (prog, noun))), version, sorted(nouns))
    for page in dialects:
        made[f"{page.name}.1"] = _dialect_page(page, version)
    return made


def _head(name: str, summary: str, version: str) -> list[str]:
    title = f'.TH "{escape(name.upper())}" 1 "" "Holdfast {escape(version)}" "Holdfast manual"'
    return [title, ".SH NAME", f"{escape(name)} \\- {escape(summary.rstrip('.'))}"]


def _root_page(root: click.Group, prog: str, version: str, nouns: Mapping[str, click.Command]) -> str:
    text, *more = _paragraphs(root.help)
    lines = _head(prog, _lowered(text), version)
    lines += [".SH SYNOPSIS", f".B {prog}", ".I NOUN VERB", "[options]", ".SH DESCRIPTION", escape(text)]
    lines += [line for paragraph in more for line in (".PP", escape(paragraph))]
    lines += [".PP", "With \\fB\\-\\-json\\fR a command prints one document on standard output and nothing else. When"]
    lines += ["it fails, that is an object \\fBerror\\fR with \\fBid\\fR, \\fBtext\\fR, \\fBremedy\\fR and"]
    lines += ["\\fBexit_code\\fR; people are told on standard error in either case."]
    lines += [".SH COMMANDS"]
    for noun, command in nouns.items():
        lines += [".TP", f".BR {escape(f'{prog}-{noun}')} (1)", escape(_paragraphs(command.help)[0])]
    lines += [*_exit_status((*EXIT_CODES, *BACKUP_EXIT_CODES)), ".PP", escape(SERVER_EXIT)]
    lines += [*_environment(), *_examples(examples_of(root))]
    return _page([*lines, *_see_also([f"{prog}-{noun}" for noun in nouns])])


def _noun_page(nodes: Sequence[Node], version: str, nouns: Sequence[str]) -> str:
    top = nodes[0]
    prog, noun = top.words
    text, *more = _paragraphs(top.command.help)
    leaves = [node for node in nodes if not node.is_group]
    lines = _head(f"{prog}-{noun}", _lowered(text), version)
    lines.append(".SH SYNOPSIS")
    for node in leaves:
        lines += [".PD 0", ".PP", f".B {escape(' '.join(node.words))}", escape(_arguments(node)), ".PD"]
    lines += [".SH DESCRIPTION", escape(text)]
    lines += [line for paragraph in more for line in (".PP", escape(paragraph))]
    if top.is_group:
        lines.append(".SH COMMANDS")
        for node in leaves:
            lines += [f'.SS "{escape(" ".join((*node.words[1:], _arguments(node))))}"', *_body(node)]
    else:
        lines += [".SH OPTIONS", *_options(top)]
    codes = (*EXIT_CODES, *(BACKUP_EXIT_CODES if noun in ("backup", "restore") else ()))
    lines += _exit_status(codes)
    if noun == "server":
        lines += [".PP", escape(SERVER_EXIT)]
    lines += [
        *_environment(_variables(nodes)),
        *_examples([one for node in leaves for one in examples_of(node.command)]),
    ]
    return _page([*lines, *_see_also([prog, *(f"{prog}-{other}" for other in nouns if other != noun)])])


def _dialect_page(page: DialectPage, version: str) -> str:
    lines = [*_head(page.name, _lowered(page.summary), version), ".SH SYNOPSIS", f".B {escape(page.name)}"]
    lines += [".I COMMAND", "[options]", ".SH DESCRIPTION", escape(page.about), ".SH COMMANDS"]
    for form in page.forms:
        lines += [".PD 0", ".PP", escape(form), ".PD"]
    return _page([*lines, *_exit_status(page.exit_codes), *_see_also([*page.see_also, "holdfast-dialect"])])


def _body(node: Node) -> list[str]:
    lines = [line for paragraph in _paragraphs(node.command.help) for line in (".PP", escape(paragraph))]
    return lines[1:] + _options(node)


def _options(node: Node) -> list[str]:
    lines = []
    for param in node.command.get_params(node.context):
        record = param.get_help_record(node.context)
        if record is not None and isinstance(param, click.Option):
            lines += [".TP", f"\\fB{escape(record[0])}\\fR", escape(record[1])]
    return lines


def _arguments(node: Node) -> str:
    return " ".join(node.command.collect_usage_pieces(node.context))


def _exit_status(codes: Iterable[tuple[int, str]]) -> list[str]:
    rows = [line for code, text in sorted(codes) for line in (".TP", f".B {code}", escape(text))]
    return [".SH EXIT STATUS", *rows]


def _environment(names: Iterable[str] | None = None) -> list[str]:
    wanted = [(name, text) for name, text in ENVIRONMENT if names is None or name in names]
    rows = [line for name, text in wanted for line in (".TP", f".B {escape(name)}", escape(text))]
    return [".SH ENVIRONMENT", *rows] if rows else []


def _variables(nodes: Sequence[Node]) -> set[str]:
    return {str(param.envvar) for node in nodes for param in node.command.params if param.envvar}


def _examples(examples: Sequence[str]) -> list[str]:
    return [".SH EXAMPLES", ".nf", *(escape(line) for line in examples), ".fi"] if examples else []


def _see_also(names: Sequence[str]) -> list[str]:
    rows = [f".BR {escape(name)} (1){',' if name != names[-1] else ''}" for name in names]
    return [".SH SEE ALSO", *rows]


def _paragraphs(text: str | None) -> list[str]:
    parts = [" ".join(part.split()) for part in (text or "").replace("\x08", "").split("\n\n")]
    return [part for part in parts if part] or [""]


def _lowered(summary: str) -> str:
    return summary[:1].lower() + summary[1:] if summary[1:2].islower() else summary


def _page(lines: Iterable[str]) -> str:
    return "\n".join(line for line in lines if line) + "\n"
