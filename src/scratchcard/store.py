"""Content-addressed results: one folder a stage, committed whole by a single rename.

Nothing is changed in place, and whatever is read is checked against its hash.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

SCHEMA = 1
SMALL = 2**16
"""Bytes; a larger file of arrays is hashed when it is read, but not by ``Store.has``."""

RESULT, PROVENANCE, MANIFEST = "result.json", "provenance.json", "manifest.json"


class Damaged(Exception):
    """A stored result that is missing, or is not what was committed."""

    def __init__(self, digest: str, why: str) -> None:
        super().__init__(digest, why)
        self.digest = digest
        self.why = why

    def __str__(self) -> str:
        return f"the stored result {self.digest} is damaged: {self.why}"


class Store:
    """The results of stages in ``root``, by digest; any number of processes may share it.

    A committed folder ``ab/abcdef…/`` holds ``result.json``, ``provenance.json``, files of
    arrays (``*.safetensors``) and ``manifest.json`` with the size and SHA-256 of each.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def commit(
        self,
        digest: str,
        *,
        result: Mapping[str, Any],
        provenance: Mapping[str, Any],
        arrays: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    ) -> None:
        """Store a stage's result; if it is there already and whole, the first one stays.

        Args:
            digest: Of the stage.
            result: JSON values; NaN and infinities are a ``ValueError``.
            provenance: JSON values, see ``scratchcard.provenance``.
            arrays: File name (without ending) to named arrays.
        """
        contents = {RESULT: _json(result), PROVENANCE: _json(provenance)}
        for name, tensors in (arrays or {}).items():
            contents[f"{name}.safetensors"] = _safetensors(tensors)
        files = {name: _fingerprint(data) for name, data in contents.items()}
        contents[MANIFEST] = _json({"schema": SCHEMA, "digest": digest, "files": files})
        temporary = self._temporary(digest)
        temporary.mkdir(parents=True)
        try:
            for name, data in contents.items():
                _write(temporary / name, data)
            self._move_in(temporary, digest)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(self.root / "work" / digest, ignore_errors=True)

    def has(self, digest: str) -> bool:
        """Whether the result is there and whole: every size, and the hash of all but big arrays."""
        try:
            for name, expected in self._manifest(digest).items():
                size = (self._folder(digest) / name).stat().st_size
                if name.endswith(".json") or size <= SMALL or size != expected[0]:
                    self._checked(digest, name, expected)
        except (Damaged, FileNotFoundError):
            return False
        return True

    def result(self, digest: str) -> dict[str, Any]:
        """What the stage found; ``Damaged`` if it cannot be trusted."""
        return dict(json.loads(self._read(digest, RESULT)))

    def provenance(self, digest: str) -> dict[str, Any]:
        """Where, when and with what the stage ran; ``Damaged`` if it cannot be trusted."""
        return dict(json.loads(self._read(digest, PROVENANCE)))

    def arrays(self, digest: str, name: str) -> dict[str, np.ndarray]:
        """The named arrays of one file, writable; ``Damaged`` if they cannot be trusted."""
        return dict(safetensors.numpy.load(self._read(digest, f"{name}.safetensors")))

    def rows(self, digest: str, name: str, array: str, index: Sequence[int]) -> np.ndarray:
        """Some rows of a named array, without reading the others; ``Damaged`` as for ``arrays``.

        The size of the file is checked, not its hash, for that would take all of it.

        Args:
            digest: Of the stage.
            name: Of the file of arrays.
            array: Which of them.
            index: Which rows, at least one.

        Returns:
            The rows [len(index), ...] in the order of ``index``.
        """
        file, listed = f"{name}.safetensors", self._manifest(digest)
        assert file in listed, f"stage {digest} has no {file}, only {sorted(listed)}"
        size, _ = listed[file]
        path = self._folder(digest) / file
        if not path.exists() or path.stat().st_size != size:
            raise Damaged(digest, f"{file} is missing or has changed since it was written")
        try:
            with safetensors.safe_open(path, framework="numpy") as arrays:
                part = arrays.get_slice(array)
                return np.concatenate([part[i : i + 1] for i in index])
        except safetensors.SafetensorError as error:
            raise Damaged(digest, f"{file} cannot be read: {error}") from None

    def discard(self, digest: str) -> None:
        """Take a result out of the store at once, then delete it."""
        temporary = self._temporary(digest)
        temporary.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(self._folder(digest), temporary)
        except FileNotFoundError:
            return
        shutil.rmtree(temporary)

    def scratch(self, digest: str) -> Path:
        """A folder for a running stage's checkpoint; ``commit`` removes it."""
        path = self.root / "work" / digest
        path.mkdir(parents=True, exist_ok=True)
        return path

    def sweep(self) -> None:
        """Delete what killed processes of this host left behind."""
        for path in self.root.glob("tmp/*"):
            _, rest = path.name.split(".", 1)
            host, pid, _ = rest.rsplit(".", 2)
            if host == socket.gethostname() and not alive(int(pid)):
                shutil.rmtree(path, ignore_errors=True)
        for path in self.root.glob("work/*"):
            if self.has(path.name):
                shutil.rmtree(path, ignore_errors=True)

    def find_prefix(self, prefix: str) -> list[str]:
        """The stored digests that start with ``prefix``, sorted."""
        names = (path.name for path in self.root.glob("[0-9a-f][0-9a-f]/*"))
        return sorted(name for name in names if name.startswith(prefix))

    def _folder(self, digest: str) -> Path:
        return self.root / digest[:2] / digest

    def _temporary(self, digest: str) -> Path:
        """A new name that says whose it is, so that ``sweep`` spares the living."""
        owner = f"{socket.gethostname()}.{os.getpid()}"
        return self.root / "tmp" / f"{digest}.{owner}.{secrets.token_hex(4)}"

    def _move_in(self, temporary: Path, digest: str) -> None:
        final = self._folder(digest)
        final.parent.mkdir(parents=True, exist_ok=True)
        while not self.has(digest):
            self.discard(digest)
            try:
                os.rename(temporary, final)
            except OSError as error:
                # Another process was first: then theirs is looked at in the next round.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise

    def _manifest(self, digest: str) -> dict[str, tuple[int, str]]:
        """File name to size and SHA-256."""
        try:
            manifest = json.loads((self._folder(digest) / MANIFEST).read_bytes())
            files = {name: (size, sha256) for name, (size, sha256) in manifest["files"].items()}
        except FileNotFoundError:
            raise Damaged(digest, "it has no manifest") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Damaged(digest, "its manifest cannot be read") from None
        ours = manifest.get("schema") == SCHEMA and manifest.get("digest") == digest
        if not ours or not {RESULT, PROVENANCE} <= set(files):
            raise Damaged(digest, "its manifest belongs to something else")
        return files

    def _read(self, digest: str, name: str) -> bytes:
        """A file's content, once it is proved to be what was committed."""
        files = self._manifest(digest)
        if name not in files:
            assert not self.has(digest), f"stage {digest} has no {name}, only {sorted(files)}"
            raise Damaged(digest, f"{name} is not in its manifest")
        return self._checked(digest, name, files[name])

    def _checked(self, digest: str, name: str, expected: tuple[int, str]) -> bytes:
        try:
            data = (self._folder(digest) / name).read_bytes()
        except FileNotFoundError:
            raise Damaged(digest, f"{name} is missing") from None
        if _fingerprint(data) != expected:
            raise Damaged(digest, f"{name} has changed since it was written")
        return data


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _safetensors(tensors: Mapping[str, np.ndarray]) -> bytes:
    # safetensors 0.8 writes a transposed array as it lies in memory: its values change places.
    return bytes(safetensors.numpy.save({k: np.asarray(v, order="C") for k, v in tensors.items()}))


def _fingerprint(data: bytes) -> tuple[int, str]:
    return len(data), hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    # Folders are not synced: after a power cut a commit is whole, or found out and done again.
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def alive(pid: int) -> bool:
    """Whether a process of this host still runs; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True
    return re.search(r"^State:\s+[ZX]", status, re.MULTILINE) is None
