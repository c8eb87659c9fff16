"""One change of a configuration at a time: a command line's or a native verb's, made on the syntax trees of main.cf.

The flow: texts that are committed → trees → a :class:`Draft` that takes in changes → the builder, which checks the
whole as it checks any main.cf → texts again. Pure: nothing is written here. Whatever cannot be is a ``Refusal`` with
a stable code, and the draft is thrown away then, so no change is ever half made. ``hacf -cmdtocf`` builds a
configuration from nothing with the same draft.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from holdfast.cluster.config.amend import Change, amended, dimension_of, framework_kind
from holdfast.cluster.config.builder import build, build_trees, read_trees
from holdfast.cluster.config.syntax import Assignment, AtLeastLink, Block, Declaration, File, Raw, Words
from holdfast.cluster.config.tokens import Place, Source
from holdfast.cluster.config.writer import MAIN, dump, dump_types
from holdfast.cluster.model.configuration import Configuration
from holdfast.kernel.errors import InputError, Refusal, Refused

LINK_WORDS = ("online", "offline", "local", "global", "remote", "soft", "firm", "hard")


@dataclass(frozen=True, slots=True)
class Edited:
    """The configuration before and after a change, and the texts that say the latter."""

    before: Configuration
    after: Configuration
    files: Mapping[str, str]


def edit(files: Mapping[str, str], work: Callable[[Draft], None]) -> Edited:
    """Return what ``work`` makes of ``files``. Raises ``Refused`` when it, the builder or a second reading says no."""
    trees = read_trees(files) if files else {MAIN: File()}
    before = build_trees(trees)
    trees[MAIN].comments = []
    draft = Draft(trees)
    work(draft)
    try:
        after = replace(build_trees(draft.trees), comments=before.comments)
        texts = _texts(files, before, after, draft.trees)
        again = build(texts)  # what is committed must be readable to every daemon, and say the same
    except InputError as error:
        raise Refused(Refusal("bad-change", error.message, error.remedy)) from error
    if again != after:
        raise Refused(Refusal("bad-change", "the change cannot be written down as main.cf", "correct the names in it"))
    return Edited(before, after, texts)


def _texts(
    files: Mapping[str, str], before: Configuration, after: Configuration, trees: Mapping[str, File]
) -> dict[str, str]:
    """Main.cf anew; an included file as it was, unless its types changed."""
    texts = {MAIN: dump(after)}
    for name in [one for one in trees if one != MAIN]:
        types = {one.name: one for one in after.types.values() if one.source == name}
        if name in files and types == {one.name: one for one in before.types.values() if one.source == name}:
            texts[name] = files[name]
        elif name in after.includes:
            includes = "".join(f'include "{one}"\n' for one, _ in trees[name].includes)
            texts[name] = includes + dump_types(types)
    return texts


@dataclass(slots=True)
class Draft:
    """A configuration under work. ``place`` is where the next change comes from: a line of a command file."""

    trees: dict[str, File]
    place: Place = field(default_factory=lambda: Place(Source("command", ""), 0))
    _blocks: dict[tuple[str, str], Block] = field(default_factory=dict)
    _group_of: dict[str, Block] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for tree in self.trees.values():
            for block in tree.blocks:
                self._blocks[block.word, "" if block.word == "cluster" else block.name] = block
                for resource in block.resources:
                    self._blocks["resource", resource.name] = resource
                    self._group_of[resource.name] = block

    def block(self, word: str, name: str) -> Block:
        """Return a block; refuses one that is not there with ``no-WORD``."""
        found = self._blocks.get((word, name))
        if found is None:
            raise _no(f"no-{word}", f"there is no {word} {name!r} yet", "add it first, or correct the name")
        return found

    def group_of(self, resource: str) -> Block:
        """Return the group block of a resource; refuses a resource that is not there."""
        self.block("resource", resource)
        return self._group_of[resource]

    # --- blocks

    def add(self, word: str, name: str) -> Block:
        """Add a system, group, type, remotecluster or heartbeat."""
        if (word, name) in self._blocks:
            raise _no(f"{word}-exists", f"{word} {name!r} is added twice", "choose another name")
        block = self._blocks[word, name] = Block(word, name, self.place)
        self.trees[MAIN].blocks.append(block)
        return block

    def add_resource(self, name: str, kind: str, group: str, enabled: bool = True) -> None:
        """Add a resource to a group; not ``enabled`` it is left alone until somebody enables it."""
        holder = self.block("group", group)
        if ("resource", name) in self._blocks:
            raise _no("resource-exists", f"resource {name!r} is added twice", "choose another name")
        block = self._blocks["resource", name] = Block(kind, name, self.place)
        holder.resources.append(block)
        self._group_of[name] = holder
        if not enabled:
            self.assign(block, "Enabled", "", "0")

    def delete(self, word: str, name: str, force: bool = False) -> None:
        """Take a block away; a resource or group that others are linked to only with ``force``, and its links too."""
        block = self.block(word, name)
        if word == "resource":
            self._delete_resource(block, force)
        elif word == "group":
            self._delete_group(block, force)
        del self._blocks[word, name]
        for tree in self.trees.values():
            tree.blocks = [one for one in tree.blocks if one is not block]

    def _delete_resource(self, block: Block, force: bool) -> None:
        group, name = self._group_of.pop(block.name), block.name
        linked = [link for link in group.links if name in link[:2]]
        counted = [link for link in group.at_least if name == link.parent or name in link.children]
        if (linked or counted) and not force:
            raise _no("linked", f"resource {name!r} is linked with others", f"hares -unlink, or -delete -force {name}")
        group.links = [link for link in group.links if link not in linked]
        group.at_least = [link for link in group.at_least if link not in counted]
        group.resources = [one for one in group.resources if one is not block]

    def _delete_group(self, block: Block, force: bool) -> None:
        if block.resources and not force:
            raise _no("not-empty", f"group {block.name!r} has resources", "delete them first")
        for resource in block.resources:
            del self._blocks["resource", resource.name], self._group_of[resource.name]
        for other in self._named("group"):
            linked = [link for link in other.group_links if link[0] == block.name]
            if linked and not force:
                raise _no("linked", f"group {other.name!r} requires group {block.name!r}", "unlink them first")
            other.group_links = [link for link in other.group_links if link not in linked]

    def _named(self, word: str) -> Iterator[Block]:
        return (block for (kind, _), block in self._blocks.items() if kind == word)

    # --- values

    def modify(self, word: str, name: str, attribute: str, change: Change, scope: str = "") -> None:
        """Change an attribute of a block; ``scope`` is the system (or remote cluster) that alone it holds for."""
        block = self.block(word, name)
        dimension = dimension_of(word, attribute, block, self._blocks)
        if dimension is None:
            owner = f"type {block.word}" if word == "resource" else word
            raise _no("no-attribute", f"{owner} has no attribute {attribute!r}", "correct the name or declare it")
        found = self._found(block, attribute, scope)
        self.assign(block, attribute, scope, amended(found.value if found else None, change, attribute, dimension))

    def modify_cluster(self, attribute: str, change: Change, scope: str = "") -> None:
        """Change an attribute of the cluster, its name included."""
        if ("cluster", "") not in self._blocks:
            block = self._blocks["cluster", ""] = Block("cluster", "", self.place)
            self.trees[MAIN].blocks.insert(0, block)
        if attribute == "ClusterName":
            self._blocks["cluster", ""].name = " ".join(change.words)
        else:
            self.modify("cluster", "", attribute, change, scope)

    def assign(self, block: Block, attribute: str, scope: str, value: Raw) -> None:
        """Set an attribute to a value as main.cf has it."""
        found = self._found(block, attribute, scope)
        if found is not None:
            found.value, found.place = value, self.place
        else:
            block.assignments.append(Assignment(attribute, scope, value, self.place))

    @staticmethod
    def _found(block: Block, attribute: str, scope: str) -> Assignment | None:
        return next((one for one in block.assignments if (one.name, one.system) == (attribute, scope)), None)

    def localize(self, word: str, name: str, attribute: str) -> None:
        """Make an attribute local: each system of the group keeps the value that all had."""
        block = self.block(word, name)
        group = self._group_of[name] if word == "resource" else block
        common = self._found(block, attribute, "")
        if common is None:
            return
        block.assignments.remove(common)
        for system in self._systems(group):
            if self._found(block, attribute, system) is None:
                self.assign(block, attribute, system, common.value)

    def globalize(self, word: str, name: str, attribute: str) -> None:
        """Make an attribute global again; all systems get the value of the first that had one."""
        block = self.block(word, name)
        local = [one for one in block.assignments if one.name == attribute and one.system]
        block.assignments = [one for one in block.assignments if one not in local]
        if local and self._found(block, attribute, "") is None:
            self.assign(block, attribute, "", local[0].value)

    def _systems(self, group: Block) -> list[str]:
        found = self._found(group, "SystemList", "")
        if found is None:
            return []
        if isinstance(found.value, Words):
            return list(found.value.words if found.value.keys else found.value.words[::2])
        return [found.value] if isinstance(found.value, str) else [one.key for one in found.value]

    def unset(self, word: str, name: str, attribute: str) -> None:
        """Forget every value of an attribute, so that its default holds."""
        block = self.block(word, name)
        if not any(one.name == attribute for one in block.assignments):
            raise _no("not-set", f"{name!r} has no value of its own for {attribute!r}", "see what it has: -display")
        block.assignments = [one for one in block.assignments if one.name != attribute]

    # --- types

    def declare(self, kind: str, declaration: Declaration) -> None:
        """Declare an attribute of a type."""
        self.block("type", kind).declarations.append(declaration)

    def undeclare(self, kind: str, attribute: str) -> None:
        """Take the declaration of an attribute away."""
        block = self.block("type", kind)
        self._declared(kind, attribute)
        block.declarations = [one for one in block.declarations if one.name != attribute]

    def default(self, kind: str, attribute: str, change: Change) -> None:
        """Change the value that a type gives an attribute."""
        block = self.block("type", kind)
        declared = any(one.name == attribute for one in block.declarations)
        dimension = dimension_of("type", attribute, block, self._blocks)
        if dimension is None:
            self._declared(kind, attribute)
            return
        if not declared:
            block.declarations.append(_framework(attribute, self.place))
        found = self._declared(kind, attribute)
        found.value, found.place = amended(found.value, change, attribute, dimension), self.place

    def _declared(self, kind: str, attribute: str) -> Declaration:
        for one in self.block("type", kind).declarations:
            if one.name == attribute:
                return one
        raise _no("no-attribute", f"type {kind} has no attribute {attribute!r}", "declare it with haattr -add")

    def move_type(self, kind: str, file: str) -> None:
        """Let a type stand in an included file."""
        block = self.block("type", kind)
        for tree in self.trees.values():
            tree.blocks = [one for one in tree.blocks if one is not block]
        if file not in self.trees:
            self.trees[file] = File()
            self.trees[MAIN].includes.append((file, self.place))
        self.trees[file].blocks.append(block)

    # --- links

    def link(self, parent: str, children: Sequence[str], minimum: str = "") -> None:
        """Let ``parent`` require each of ``children``, or at least ``minimum`` of them."""
        group = self.group_of(parent)
        if minimum:
            group.at_least.append(AtLeastLink(parent, minimum, tuple(children), self.place))
            return
        for child in children:
            if any(link[:2] == (parent, child) for link in group.links):
                raise _no("link-exists", f"{parent} requires {child} already", "see the links: hares -dep")
            group.links.append((parent, child, self.place))

    def unlink(self, parent: str, children: Sequence[str]) -> None:
        """Take links away; a list of children is that of an atleast link, or several plain ones."""
        group = self.group_of(parent)
        kept = [one for one in group.at_least if not (one.parent == parent and set(children) <= set(one.children))]
        if len(kept) < len(group.at_least):
            group.at_least = kept
            return
        for child in children:
            links = [link for link in group.links if link[:2] != (parent, child)]
            if len(links) == len(group.links):
                raise _no("no-link", f"{parent} does not require {child}", "see the links: hares -dep")
            group.links = links

    def link_groups(self, parent: str, child: str, words: Sequence[str]) -> None:
        """Let group ``parent`` require group ``child``: ``words`` such as online local firm."""
        unknown = [word for word in words if word not in LINK_WORDS]
        if unknown:
            raise _no("bad-link", f"{unknown[0]!r} says nothing about a link", f"known are {' '.join(LINK_WORDS)}")
        block = self.block("group", parent)
        if any(link[0] == child for link in block.group_links):
            raise _no("link-exists", f"group {parent} requires group {child} already", "see the links: hagrp -dep")
        block.group_links.append((child, tuple(words), self.place))

    def unlink_groups(self, parent: str, child: str) -> None:
        """Take the link between two groups away."""
        block = self.block("group", parent)
        links = [link for link in block.group_links if link[0] != child]
        if len(links) == len(block.group_links):
            raise _no("no-link", f"group {parent} does not require group {child}", "see the links: hagrp -dep")
        block.group_links = links


def _framework(attribute: str, place: Place) -> Declaration:
    """The declaration of an attribute that every type has."""
    kind, brackets = framework_kind(attribute)
    return Declaration(attribute, kind, brackets, True, False, None, place)


def _no(code: str, reason: str, remedy: str) -> Refused:
    return Refused(Refusal(code, reason, remedy))
