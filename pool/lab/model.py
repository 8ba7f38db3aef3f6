"""What a pool should hold, in plain Python: a file system without disks, and the states that were committed.

Facts of a file: ``type``, ``mode``, ``nlink``, ``size``, ``data`` (of a regular file), ``target`` (of a link),
``xattrs`` (by name), ``same`` (the first of the paths that lead to one file), and of a volume ``size`` and ``data``. A
tree is facts by path (``.`` is the top); a pool's content is trees by dataset.

Nothing here is shared with the code it is held against.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Facts = Mapping[str, Any]
Tree = dict[str, Facts]
Content = dict[str, Tree]

#: Differences named in one comparison; more are only counted.
NAMED_MAX = 12


@dataclass(slots=True)
class Node:
    """A file. ``data`` is immutable bytes, so that a copied state shares it."""

    type: str
    mode: int
    data: bytes = b""
    target: str = ""
    xattrs: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)  # of a directory


class ModelFs:
    """A file system in memory, by the rules of POSIX as far as workloads use them.

    Paths are relative, without a leading slash. Errors are the built-in ones.
    """

    ROOT = 0

    def __init__(self, root_mode: int = 0o755) -> None:
        self.nodes: dict[int, Node] = {self.ROOT: Node("dir", root_mode)}
        self._next = 1

    @classmethod
    def of(cls, tree: Tree) -> ModelFs:
        """The file system that a tree of facts describes."""
        result = cls(tree["."]["mode"])
        result.nodes[cls.ROOT].xattrs = dict(tree["."]["xattrs"])
        for path in sorted(tree):
            facts = tree[path]
            if path == ".":
                continue
            if facts.get("same", path) != path:
                result.link(facts["same"], path)
                continue
            more = {key: facts[key] for key in ("data", "target") if key in facts}
            result._add(path, Node(facts["type"], facts["mode"], xattrs=dict(facts["xattrs"]), **more))
        return result

    def copy(self) -> ModelFs:
        """The same, independent from now on."""
        result = ModelFs()
        for number, node in self.nodes.items():
            result.nodes[number] = replace(node, xattrs=dict(node.xattrs), names=dict(node.names))
        result._next = self._next
        return result

    # --- looking ------------------------------------------------------------------------------------------------------

    def number(self, path: str) -> int:
        """The file at a path. Raises: FileNotFoundError, NotADirectoryError."""
        number = self.ROOT
        for name in filter(None, path.split("/")):
            node = self.nodes[number]
            if node.type != "dir":
                raise NotADirectoryError(path)
            if name not in node.names:
                raise FileNotFoundError(path)
            number = node.names[name]
        return number

    def exists(self, path: str) -> bool:
        """There is something at the path."""
        try:
            self.number(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def node(self, path: str) -> Node:
        """The same, as a node."""
        return self.nodes[self.number(path)]

    def paths(self, *types: str) -> list[str]:
        """All paths but the top's, in order; of some types only, if any are given."""
        return [path for path, number in self._walk() if path and (not types or self.nodes[number].type in types)]

    def _walk(self) -> Iterator[tuple[str, int]]:
        stack = [("", self.ROOT)]
        while stack:
            path, number = stack.pop()
            yield path, number
            prefix = f"{path}/" if path else ""
            names = self.nodes[number].names
            stack += [(prefix + name, names[name]) for name in sorted(names, reverse=True)]

    def tree(self) -> Tree:
        """Facts of everything."""
        links: dict[int, list[str]] = {}
        for path, number in self._walk():
            links.setdefault(number, []).append(path or ".")
        result: Tree = {}
        for number, paths in links.items():
            facts = self._facts(number, paths)
            for path in paths:
                result[path] = facts
        return result

    def _facts(self, number: int, paths: list[str]) -> Facts:
        node = self.nodes[number]
        facts: dict[str, Any] = {"type": node.type, "mode": node.mode, "xattrs": dict(node.xattrs)}
        if node.type == "dir":
            facts["nlink"] = 2 + sum(self.nodes[child].type == "dir" for child in node.names.values())
        else:
            facts["nlink"] = len(paths)
            facts["same"] = min(paths)
        if node.type == "file":
            facts["size"], facts["data"] = len(node.data), node.data
        if node.type == "symlink":
            facts["size"], facts["target"] = len(node.target.encode()), node.target
        return facts

    # --- changing -----------------------------------------------------------------------------------------------------

    def _place(self, path: str) -> tuple[Node, str]:
        """The directory a new name goes to, and the name."""
        folder, _, name = path.rpartition("/")
        node = self.node(folder)
        if node.type != "dir":
            raise NotADirectoryError(path)
        if name in node.names:
            raise FileExistsError(path)
        return node, name

    def _add(self, path: str, node: Node) -> None:
        folder, name = self._place(path)
        self.nodes[self._next] = node
        folder.names[name] = self._next
        self._next += 1

    def create(self, path: str, mode: int = 0o644) -> None:
        """A new empty file."""
        self._add(path, Node("file", mode))

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """A new directory."""
        self._add(path, Node("dir", mode))

    def symlink(self, target: str, path: str) -> None:
        """A symbolic link at ``path``."""
        self._add(path, Node("symlink", 0o777, target=target))

    def link(self, path: str, new: str) -> None:
        """One more name for a file."""
        number = self.number(path)
        if self.nodes[number].type == "dir":
            raise IsADirectoryError(path)
        folder, name = self._place(new)
        folder.names[name] = number

    def write(self, path: str, offset: int, data: bytes) -> None:
        """Bytes at an offset; a gap before it is zeros."""
        node = self._file(path)
        old = node.data
        if len(old) < offset:
            old += bytes(offset - len(old))
        node.data = old[:offset] + data + old[offset + len(data) :]

    def truncate(self, path: str, size: int) -> None:
        """A new length."""
        node = self._file(path)
        node.data = node.data[:size] + bytes(max(0, size - len(node.data)))

    def _file(self, path: str) -> Node:
        node = self.node(path)
        if node.type != "file":
            raise IsADirectoryError(path)
        return node

    def chmod(self, path: str, mode: int) -> None:
        """New permissions."""
        self.node(path).mode = mode

    def setxattr(self, path: str, name: str, value: bytes) -> None:
        """An extended attribute."""
        self.node(path).xattrs[name] = value

    def removexattr(self, path: str, name: str) -> None:
        """One less."""
        del self.node(path).xattrs[name]

    def unlink(self, path: str) -> None:
        """Remove a name; the file goes with its last one."""
        folder, name, number = self._named(path)
        if self.nodes[number].type == "dir":
            raise IsADirectoryError(path)
        del folder.names[name]
        self._forget(number)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        folder, name, number = self._named(path)
        if self.nodes[number].type != "dir":
            raise NotADirectoryError(path)
        if self.nodes[number].names:
            raise OSError(39, "Directory not empty", path)
        del folder.names[name]
        del self.nodes[number]

    def rename(self, old: str, new: str) -> None:
        """Move a name; what was at ``new`` is replaced, as rename(2) does it."""
        folder, name, number = self._named(old)
        if new == old or new.startswith(old + "/"):
            if new == old:
                return
            raise OSError(22, "Invalid argument", new)
        target_folder, _, target_name = new.rpartition("/")
        target = self.node(target_folder)
        if target.type != "dir":
            raise NotADirectoryError(new)
        there = target.names.get(target_name)
        if there == number:
            return  # two names of one file: nothing happens
        if there is not None:
            if self.nodes[there].type == "dir":
                if self.nodes[number].type != "dir":
                    raise IsADirectoryError(new)
                self.rmdir(new)
            elif self.nodes[number].type == "dir":
                raise NotADirectoryError(new)
            else:
                self.unlink(new)
        del folder.names[name]
        target.names[target_name] = number

    def _named(self, path: str) -> tuple[Node, str, int]:
        number = self.number(path)
        folder, _, name = path.rpartition("/")
        return self.node(folder), name, number

    def _forget(self, number: int) -> None:
        if all(number not in node.names.values() for node in self.nodes.values() if node.type == "dir"):
            del self.nodes[number]


def volume_tree(data: bytes) -> Tree:
    """Facts of a volume."""
    return {".": {"type": "volume", "size": len(data), "data": data}}


class History:
    """What was committed: a content for each txg that changed anything.

    Attributes:
        txgs: ascending.
    """

    def __init__(self) -> None:
        self.txgs: list[int] = []
        self._contents: list[Content] = []

    def commit(self, txg: int, content: Content) -> None:
        """From this txg on the pool holds this.

        Raises:
            ValueError: txgs only go up.
        """
        if self.txgs and txg <= self.txgs[-1]:
            raise ValueError(f"txg {txg} after txg {self.txgs[-1]}")
        self.txgs.append(txg)
        self._contents.append(content)

    def place(self, txg: int) -> int:
        """Number of the commit that a txg's content is; -1: there was none yet."""
        return bisect_right(self.txgs, txg) - 1

    def at(self, txg: int) -> Content | None:
        """What the pool holds at a txg; None: nothing was committed by then."""
        place = self.place(txg)
        return None if place < 0 else self._contents[place]


def differences(expected: Content, found: Content) -> list[str]:
    """How a pool's content differs from what it should be, in words; empty: not at all.

    Only facts that are expected are looked at, but all datasets and paths.
    """
    lines: list[str] = []
    for dataset in sorted({*expected, *found}):
        if dataset not in found or dataset not in expected:
            lines.append(f"{dataset}: {'missing' if dataset not in found else 'should not be there'}")
            continue
        lines += _tree_differences(dataset, expected[dataset], found[dataset])
    if len(lines) > NAMED_MAX:
        lines[NAMED_MAX:] = [f"and {len(lines) - NAMED_MAX} more differences"]
    return lines


def _tree_differences(dataset: str, expected: Tree, found: Tree) -> Iterator[str]:
    for path in sorted({*expected, *found}):
        name = f"{dataset}:/{path}"
        if path not in found or path not in expected:
            yield f"{name}: {'missing' if path not in found else 'should not be there'}"
            continue
        for fact, value in expected[path].items():
            other = found[path].get(fact)
            if other != value:
                yield f"{name}: {fact} is {_short(other)}, not {_short(value)}"


def _short(value: object) -> str:
    if isinstance(value, bytes):
        import hashlib

        return f"{len(value)} bytes {hashlib.sha256(value).hexdigest()[:12]}"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
