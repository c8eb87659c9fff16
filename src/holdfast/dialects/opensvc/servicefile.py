"""Service files as text: sections of ``key = value``, scoped keys, references; every complaint names its line.

``key@NODE``, ``key@nodes`` and ``key@drpnodes`` override ``key`` on those systems. ``{env.devs}``, ``{name}`` and the
like are replaced when a value is asked for, so that a file can be a template; a reference that leads back to itself is
refused. Pure: where the file lies and on which system it is read are arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from holdfast.kernel.errors import InputError

DEFAULT = "DEFAULT"
_SECTION = re.compile(r"\[([^\[\]]+)\]\s*(?:[#;].*)?")
_KEY = re.compile(r"([A-Za-z_][\w.#-]*)(?:@([\w.-]+))?\s*[=:]\s*(.*)")
_REFERENCE = re.compile(r"\{([\w.#-]+)\}")
_DEPTH = 20
_VALUE_CHARACTERS = 65536


@dataclass(frozen=True, slots=True)
class Setting:
    """A value as it stands, and its line (from 1)."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Place:
    """On which system a file is read, for scopes and references: its name, and directories by their reference."""

    system: str = ""
    directories: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """A file read: section → key, with its scope after ``@`` → setting; sections in their order."""

    name: str
    path: str
    sections: Mapping[str, Mapping[str, Setting]]
    lines: Mapping[str, int]

    def resources(self) -> list[str]:
        """Return the names of the sections that describe resources: those with a ``#``."""
        return [name for name in self.sections if "#" in name]

    def get(self, section: str, key: str, place: Place, default: str = "") -> str:
        """Return a value with its references replaced; one that a section lacks is looked up in DEFAULT."""
        for where in dict.fromkeys((section, DEFAULT)):
            found = self._scoped(where, key, place)
            if found is not None:
                return self._resolved(found, section, place, ())
        return default

    def own(self, section: str, key: str, place: Place, default: str = "") -> str:
        """Return a value of the section itself."""
        found = self._scoped(section, key, place)
        return default if found is None else self._resolved(found, section, place, ())

    def wrong(self, section: str, key: str, error: InputError) -> InputError:
        """Return a complaint with the line of the key it is about, or of its section."""
        tables = [self.sections.get(where, {}) for where in (section, DEFAULT)]
        settings = [one for table in tables for name, one in table.items() if key and name.partition("@")[0] == key]
        line = settings[0].line if settings else self.lines.get(section, 1)
        text = f"[{section}] {key}: {error.message}" if key else f"[{section}] {error.message}"
        return InputError(text, file=self.path, line=line, column=1, remedy=error.remedy)

    def _scoped(self, section: str, key: str, place: Place) -> Setting | None:
        table = self.sections.get(section, {})
        scopes = [place.system] if place.system else []
        for word in ("nodes", "drpnodes"):
            named = table.get(word) or self.sections.get(DEFAULT, {}).get(word)
            if place.system and key != word and named is not None and place.system in named.text.split():
                scopes.append(word)
        return next((table[f"{key}@{scope}"] for scope in scopes if f"{key}@{scope}" in table), table.get(key))

    def _resolved(self, setting: Setting, section: str, place: Place, seen: tuple[str, ...]) -> str:
        def replaced(found: re.Match[str]) -> str:
            name = found[1]
            if name in seen or len(seen) >= _DEPTH:
                raise self._bad_reference(setting, f"{{{name}}} leads back to itself", "let one of them hold the value")
            return self._referred(name, setting, section, place, (*seen, name))

        text = _REFERENCE.sub(replaced, setting.text)
        if "$(" in text:
            raise self._bad_reference(setting, "arithmetic $(...) is not evaluated", "write the result")
        if len(text) > _VALUE_CHARACTERS:
            raise self._bad_reference(setting, "its references make it too long", "shorten it")
        return text

    def _referred(self, name: str, setting: Setting, section: str, place: Place, seen: tuple[str, ...]) -> str:
        known = {
            "rid": section, "rindex": section.partition("#")[2], "name": self.name, "svcname": self.name,
            "short_name": self.name.partition(".")[0], "short_svcname": self.name.partition(".")[0],
            "nodename": place.system, "short_nodename": place.system.partition(".")[0], **place.directories,
        }  # fmt: skip
        if name in known:
            return known[name]
        where, dot, key = name.rpartition(".")
        for candidate in (where,) if dot else (section, DEFAULT):
            found = self._scoped(candidate, key, place)
            if found is not None:
                return self._resolved(found, candidate, place, seen)
        raise self._bad_reference(setting, f"{{{name}}} refers to nothing", f"set {key} in [{where or section}]")

    def _bad_reference(self, setting: Setting, text: str, remedy: str) -> InputError:
        return InputError(text, file=self.path, line=setting.line, column=1, remedy=remedy)


def parse_service(text: str, name: str, path: str) -> ServiceFile:
    """Read a service file. Raises :class:`InputError` with file, line and remedy."""
    sections: dict[str, dict[str, Setting]] = {DEFAULT: {}}
    lines: dict[str, int] = {DEFAULT: 1}
    section, key = "", ""
    for number, row in enumerate(text.splitlines(), 1):
        bare = row.strip()
        if not bare or bare[0] in "#;":
            continue
        heading = _SECTION.fullmatch(bare)
        if row[0].isspace() and key and heading is None:
            before = sections[section][key]
            sections[section][key] = Setting(f"{before.text} {bare}".strip(), before.line)
        elif heading is not None:
            section, key = _opened(heading[1].strip(), number, path, lines), ""
            sections.setdefault(section, {})
        else:
            key = _taken(bare, number, path, section, sections)
    return ServiceFile(name, path, sections, lines)


def _opened(name: str, number: int, path: str, lines: dict[str, int]) -> str:
    if name in lines and (name != DEFAULT or lines[name] > 1):
        remedy = f"merge it with the one in line {lines[name]}"
        raise InputError(f"section [{name}] stands here again", file=path, line=number, column=1, remedy=remedy)
    lines[name] = number
    return name


def _taken(bare: str, number: int, path: str, section: str, sections: dict[str, dict[str, Setting]]) -> str:
    found = _KEY.fullmatch(bare)
    if found is None:
        remedy = "write key = value, or [section]"
        raise InputError("is neither a section nor a setting", file=path, line=number, column=1, remedy=remedy)
    if not section:
        remedy = f"write [{DEFAULT}] above it"
        raise InputError(f"{found[1]} stands before the first section", file=path, line=number, column=1, remedy=remedy)
    key = found[1].lower() + (f"@{found[2]}" if found[2] else "")
    if key in sections[section]:
        remedy = f"keep this one or the one in line {sections[section][key].line}"
        raise InputError(f"{key} is set again", file=path, line=number, column=1, remedy=remedy)
    sections[section][key] = Setting(found[3].strip(), number)
    return key


def unknown_keys(file: ServiceFile, section: str, known: Iterable[str]) -> list[str]:
    """Return the keys of a section that are not ``known``, each with its line, for a warning."""
    table, names = file.sections.get(section, {}), set(known)
    return [f"line {one.line}: [{section}] {key}" for key, one in table.items() if key.partition("@")[0] not in names]
