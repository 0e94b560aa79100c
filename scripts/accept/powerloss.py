"""What is left of a directory after a power loss: whatever was not fsynced is dropped.

    scripts/accept/powerloss.py record TRACE DIR COMMAND...     runs COMMAND, writes down what it does to DIR
    scripts/accept/powerloss.py count TRACE DIR                 how many changes that were
    scripts/accept/powerloss.py rebuild TRACE DIR N [SEED]      DIR as a power loss after N changes leaves it

`record` is strace. `rebuild` plays the changes back on a model of a file system that promises only what
POSIX does: the bytes of a file are on the disk when an fsync of that file has returned, a name (made,
moved, removed) when an fsync of its directory has. Without a seed all that is not promised is lost. With
one, each change that is not promised is on the disk or not as the dice fall, in any order, as real disks
write back what they please: a file whose rename is there and whose bytes are not, a log with a hole.

Not in the model: a sector torn in its middle (changes are whole calls of write), and a disk that says it
has synced and has not. SQLite's shared-memory file is written through mmap, which strace does not see; it
means nothing after a restart and is left out.

Standard library and strace only.
"""

import os
import pathlib
import random
import re
import shutil
import subprocess
import sys

CALLS = (
    "open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,truncate,ftruncate,fallocate,copy_file_range,"
    "sendfile,rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat,"
    "fsync,fdatasync,sync,syncfs,msync,sync_file_range"
)
UNSEEN = "-shm"


def record(trace, command, **options):
    """Runs a command under strace. Returns its exit status."""
    strace = ["strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", str(1 << 24), "-o", str(trace), "-e", f"trace={CALLS}"]
    return subprocess.run([*strace, "-e", "signal=none", *map(str, command)], **options).returncode


class Failed(Exception):
    """The trace holds something that the model does not know."""


# ---- the trace


def lines(trace):
    """Finished calls in the order of their return: (name, arguments, result)."""
    begun = {}
    with open(trace) as file:
        for text in file:
            pid, _, text = text.rstrip("\n").partition(" ")
            text = text.lstrip()
            if text.startswith("<... "):
                text = begun.pop(pid) + text.partition("resumed>")[2]
            if text.endswith("<unfinished ...>"):
                begun[pid] = text[: -len("<unfinished ...>")]
                continue
            match = re.fullmatch(r"(\w+)\((.*)\)\s+= (-?\w+)(?:<[^>]*>)?(?: .*)?", text)
            if match and not match[3].startswith("-") and match[3] != "?":
                yield match[1], match[2], int(match[3], 0)


def text_of(quoted):
    """The bytes of a string as -xx prints them."""
    return bytes.fromhex(quoted.replace("\\x", ""))


def fields(arguments):
    """Arguments, split at the commas outside of <>, "" and []."""
    parts, depth, quoted, start = [], 0, False, 0
    for i, c in enumerate(arguments):
        if c == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif c in "<[{":
            depth += 1
        elif c in ">]}":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(arguments[start:i].strip())
            start = i + 1
    return [*parts, arguments[start:].strip()]


def path_of_fd(field):
    """`3<\\x2f...>`: the file that a descriptor is of, as it is called now."""
    name = field.partition("<")[2].rstrip(">")
    name = text_of(name).decode() if name.startswith("\\x") else name
    return None if name.endswith(" (deleted)") else name


def path_of(field, at="AT_FDCWD"):
    name = text_of(field.strip('"')).decode()
    if name.startswith("/"):
        return os.path.normpath(name)
    if "<" not in at:
        return None  # below a folder that is not known; the home's programs use whole paths
    return os.path.normpath(os.path.join(path_of_fd(at) or "/", name))


def changes(trace, root):
    """What the trace does below `root`, one change at a time."""
    root = os.path.realpath(root)

    def below(path):
        return path if path is not None and (path == root or path.startswith(root + "/")) and not path.endswith(UNSEEN) else None

    for name, arguments, result in lines(trace):
        if name in ("open", "openat", "creat"):
            if name == "openat":
                at, where, *rest = fields(arguments)
            else:
                at, (where, *rest) = "AT_FDCWD", fields(arguments)
            path, flags = below(path_of(where, at)), "O_CREAT|O_TRUNC|O_WRONLY" if name == "creat" else rest[0]
            if path and ("O_WRONLY" in flags or "O_RDWR" in flags):
                yield "open", path, flags.split("|")
        elif name in ("write", "pwrite64", "writev", "pwritev", "pwritev2"):
            descriptor, _, data = arguments.partition(", ")
            if path := below(path_of_fd(descriptor)):
                data, _, numbers = data.rpartition("]" if "v" in name else '"')
                data = b"".join(text_of(part) for part in data.split('"')[1::2]) if "v" in name else text_of(data[1:])
                at = int(numbers.split(", ")[2]) if name.startswith("p") else None
                if len(data) < result:
                    raise Failed(f"{path}: {result} bytes were written, the trace has {len(data)}")
                yield "write", path, at, data[:result]
        elif name in ("ftruncate", "truncate"):
            where, length = fields(arguments)
            if path := below(path_of_fd(where) if name == "ftruncate" else path_of(where)):
                yield "truncate", path, int(length)
        elif name in ("rename", "renameat", "renameat2"):
            parts = fields(arguments)
            old, new = (path_of(parts[0]), path_of(parts[1])) if name == "rename" else (path_of(parts[1], parts[0]), path_of(parts[3], parts[2]))
            if below(old) or below(new):
                if not (below(old) and below(new)):
                    raise Failed(f"moved across the border of {root}: {old} to {new}")
                yield "rename", old, new
        elif name in ("mkdir", "mkdirat"):
            parts = fields(arguments)
            if path := below(path_of(parts[0]) if name == "mkdir" else path_of(parts[1], parts[0])):
                yield "mkdir", path
        elif name in ("unlink", "unlinkat", "rmdir"):
            parts = fields(arguments)
            if path := below(path_of(parts[1], parts[0]) if name == "unlinkat" else path_of(parts[0])):
                yield "remove", path
        elif name in ("fsync", "fdatasync", "syncfs", "sync_file_range", "msync", "fallocate", "copy_file_range", "sendfile"):
            if path := below(path_of_fd(fields(arguments)[1 if name == "copy_file_range" else 0])):
                if name not in ("fsync", "fdatasync"):
                    raise Failed(f"{name} on {path}")
                yield "sync", path
        elif name in ("link", "linkat", "symlink", "symlinkat") and root.encode().hex() in arguments.replace("\\x", ""):
            raise Failed(f"{name}({arguments})")


# ---- the file system


class File:
    """Bytes, and the changes of them that no fsync has promised yet."""

    def __init__(self):
        self.disk, self.now, self.pending = bytearray(), bytearray(), []
        # Who writes without O_APPEND writes from the beginning on: nobody here seeks before a write.
        self.position, self.appends = 0, False

    def change(self, *what):
        apply(self.now, what)
        self.pending.append(what)

    def sync(self):
        self.disk, self.pending = bytearray(self.now), []

    def after(self, keep):
        left = bytearray(self.disk)
        for what in self.pending:
            if keep():
                apply(left, what)
        return left


def apply(content, what):
    kind, *rest = what
    if kind == "write":
        at, data = rest
        content.extend(bytes(max(0, at - len(content))))
        content[at : at + len(data)] = data
    else:
        [length] = rest
        del content[length:]
        content.extend(bytes(length - len(content)))


class Folder:
    """Names, and the changes of them that no fsync has promised yet."""

    def __init__(self):
        self.disk, self.now, self.pending = {}, {}, []

    def change(self, **names):
        self.now.update(names)
        self.pending.append(names)

    def sync(self):
        self.disk, self.pending = dict(self.now), []

    def after(self, keep):
        left = dict(self.disk)
        for names in self.pending:
            if keep():
                left.update(names)
        return {name: node for name, node in left.items() if node is not None}


class Disk:
    def __init__(self, root):
        # The directory above is not ours; what is said of `root` itself counts as promised.
        self.path, self.root = os.path.realpath(root), Folder()

    def find(self, path):
        node = self.root
        for name in pathlib.PurePath(path).relative_to(self.path).parts:
            node = node.now.get(name) if isinstance(node, Folder) else None
        return node

    def folder(self, path):
        return self.find(os.path.dirname(path)), os.path.basename(path)

    def do(self, change):
        kind, path, *rest = change
        if path == self.path:
            if kind == "sync":
                self.root.sync()
            return
        folder, name = self.folder(path)
        if folder is None:
            raise Failed(f"{kind} in a folder that is not there: {path}")
        node = folder.now.get(name)
        if kind == "mkdir":
            folder.change(**{name: Folder()})
        elif kind == "open":
            if node is None:
                node = File()
                folder.change(**{name: node})
            if "O_TRUNC" in rest[0] and node.now:
                node.change("truncate", 0)
            node.position, node.appends = 0, "O_APPEND" in rest[0]
        elif kind == "rename":
            other, new = self.folder(rest[0])
            if other is folder:
                folder.change(**{name: None, new: node})
            else:
                folder.change(**{name: None})
                other.change(**{new: node})
        elif kind == "remove":
            folder.change(**{name: None})
        elif node is None:
            raise Failed(f"{kind} of a file that is not there: {path}")
        elif kind == "sync":
            node.sync()
        elif kind == "truncate":
            node.change("truncate", rest[0])
        elif kind == "write":
            at, data = rest
            if at is None:
                at = len(node.now) if node.appends else node.position
                node.position = at + len(data)
            node.change("write", at, data)

    def promised(self, ending):
        """{path below the root: bytes} of the files with this ending: all that an fsync of the file has promised,
        whether its name has been or not."""
        found = {}

        def look(node, path):
            for name, child in node.now.items():
                if isinstance(child, Folder):
                    look(child, f"{path}{name}/")
                elif child is not None and name.endswith(ending):
                    found[path + name] = bytes(child.disk)

        look(self.root, "")
        return found

    def write(self, to, keep):
        """What is left of it, as files and folders below `to`."""

        def put(node, path):
            if isinstance(node, Folder):
                path.mkdir(exist_ok=True)
                for name, child in node.after(keep).items():
                    put(child, path / name)
            else:
                path.write_bytes(node.after(keep))

        put(self.root, pathlib.Path(to))


def after(done, root):
    """The disk after these changes of `root`."""
    disk = Disk(root)
    for change in done:
        disk.do(change)
    return disk


def rebuild(disk, seed=None):
    """Makes its directory what a power loss leaves of it."""
    dice = random.Random(seed)
    shutil.rmtree(disk.path, ignore_errors=True)
    disk.write(disk.path, (lambda: False) if seed is None else (lambda: dice.random() < 0.5))


def differs(disk):
    """Names of files that are not as the model has them: [] if it misses nothing."""
    wrong = []

    def compare(node, path):
        there = {p.name for p in path.iterdir() if not p.name.endswith(UNSEEN)}
        names = {name: child for name, child in node.now.items() if child is not None}
        wrong.extend(str(path / name) for name in there ^ names.keys())
        for name in there & names.keys():
            if isinstance(names[name], Folder):
                compare(names[name], path / name)
            elif (path / name).read_bytes() != names[name].now:
                wrong.append(str(path / name))

    compare(disk.root, pathlib.Path(disk.path))
    return sorted(wrong)


def main(word, trace, root, *rest):
    if word == "record":
        return record(trace, rest)
    done = list(changes(trace, root))
    if word == "count":
        if wrong := differs(after(done, root)):
            raise Failed(f"the trace does not explain {', '.join(wrong)}")
        print(len(done))
    elif word == "rebuild":
        rebuild(after(done[: int(rest[0])], root), *map(int, rest[1:]))
    else:
        raise SystemExit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
