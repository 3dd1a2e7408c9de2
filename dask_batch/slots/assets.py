"""Models and code by content: copied into the workspace once, and from there onto a machine's disk once."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dask_batch import settings
from dask_batch.errors import NotFound, StorageError
from dask_batch.slots.locks import file_lock
from dask_batch.storage import Storage, join

__all__ = ["StoredAsset", "local_asset", "store_asset"]

# Never part of what a deployment is: caches and version control.
_LEFT_OUT = frozenset({"__pycache__", ".git", ".ipynb_checkpoints", ".DS_Store"})


@dataclass(frozen=True, slots=True)
class StoredAsset:
    """A folder or file in the workspace, named by its content.

    Parameters
    ----------
    asset : str
        Its folder in the storage, ``assets/<sha256>``.
    base : str
        The name of the model or code folder inside it: what the user called it.
    digest : str
        SHA-256 over the base name and all names and contents, as 64 hex digits.
    """

    asset: str
    base: str
    digest: str


def store_asset(storage: Storage, path: str) -> StoredAsset:
    """Copy a local file or folder into the workspace, unless the same content is there already.

    Parameters
    ----------
    storage : Storage
        The storage of the workspace.
    path : str
        A local file or folder. Caches (``__pycache__``, ``.git``, ``.ipynb_checkpoints``) are left out.

    Returns
    -------
    StoredAsset
        Where it is. Two calls with the same content return the same place, and the second copies nothing.

    Raises
    ------
    NotFound
        There is no such path.
    StorageError
        It could not be read or copied; the message names the path.
    """
    source = Path(path).absolute()
    try:
        source.stat()
        files = list(_files(source))
        digest = _digest(source, files)
    except (FileNotFoundError, NotADirectoryError) as error:
        if source.exists():
            raise _unreadable(source, error) from error
        raise NotFound(
            f"{str(source)!r} does not exist; give the path of a model or code folder, or of a file"
        ) from None
    except (OSError, ValueError) as error:
        raise _unreadable(source, error) from error
    asset = join("assets", digest)
    # The marker is written last, so whoever sees it sees the whole copy.
    if not storage.exists(f"{asset}.json"):
        try:
            _copy_in(storage, source, files, asset)
        except OSError as error:
            raise StorageError(f"{str(source)!r} could not be copied to {storage.url(asset)!r}: {error}") from error
    # Written anew if it is there: a garbage collection goes by its age, and must not take what is about to be used.
    size = sum(file.stat().st_size for file, _ in files)
    storage.put_json(f"{asset}.json", {"base": source.name, "files": len(files), "bytes": size})
    return StoredAsset(asset, source.name, digest)


def local_asset(storage: Storage, asset: str) -> str:
    """Return the local folder that holds an asset's content, after downloading it once if the storage is remote.

    Raises
    ------
    StorageError
        The asset is not in the storage, or could not be downloaded.
    """
    if storage.is_local:
        return storage.url(asset)
    folder = settings.scratch_folder() / "assets"
    target = folder / Path(asset).name
    if target.exists():
        return str(target)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file_lock(folder / f"{target.name}.lock"):
        if not target.exists():
            _download(storage, asset, target)
    return str(target)


def _download(storage: Storage, asset: str, target: Path) -> None:
    temporary = target.with_name(f".tmp-{secrets.token_hex(8)}")
    try:
        storage.download(asset, str(temporary))
        os.replace(temporary, target)
    except FileNotFoundError as error:
        raise StorageError(f"{storage.url(asset)!r} is gone; deploy the model again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unreadable(source: Path, error: Exception) -> StorageError:
    path = getattr(error, "filename", None) or str(source)
    reason = getattr(error, "strerror", None) or error
    return StorageError(f"{path!r} cannot be read: {reason}; allow reading it, or take it out of {str(source)!r}")


def _stop(error: OSError) -> None:
    raise error


def _files(source: Path) -> Iterator[tuple[Path, str]]:
    """Yield (file, its name below the asset), sorted by name; raises OSError where something cannot be read."""
    if not source.is_dir():
        yield source, source.name
        return
    for parent, folders, files in os.walk(source, followlinks=True, onerror=_stop):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in folders:
            if Path(parent, name).is_symlink() and Path(parent).resolve().is_relative_to(Path(parent, name).resolve()):
                raise OSError(errno.ELOOP, "a link to a folder that it is in", str(Path(parent, name)))
        for name in sorted(files):
            if name not in _LEFT_OUT and not name.endswith(".pyc"):
                file = Path(parent, name)
                if not stat.S_ISREG(file.stat().st_mode):
                    raise OSError(errno.EINVAL, "it is neither a file nor a folder", str(file))
                yield file, join(source.name, file.relative_to(source).as_posix())


def _digest(source: Path, files: list[tuple[Path, str]]) -> str:
    total = hashlib.sha256(f"{source.name}\0{source.is_dir()}\0".encode(errors="surrogateescape"))
    for file, name in files:
        with file.open("rb") as content:
            one = hashlib.file_digest(content, "sha256").hexdigest()
        total.update(f"{name}\0{one}\n".encode(errors="surrogateescape"))
    return total.hexdigest()


def _copy_in(storage: Storage, source: Path, files: list[tuple[Path, str]], asset: str) -> None:
    if not storage.is_local:
        for file, name in files:
            storage.upload(str(file), join(asset, name))
        return
    temporary = storage.url(join("assets", f".tmp-{secrets.token_hex(8)}"))
    try:
        for file, name in files:
            target = Path(temporary, name)
            _make_folder(target.parent)
            _copy(file, target)
        _make_folder(Path(temporary, source.name) if source.is_dir() else Path(temporary))
        os.rename(temporary, storage.url(asset))
    except OSError:
        # Somebody else copied the same content at the same time: theirs is as good.
        if not os.path.isdir(storage.url(asset)):
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _make_folder(folder: Path) -> None:
    """Make a folder, and those that it is in; nobody else may look into the new ones, whatever the umask is."""
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _copy(file: Path, target: Path) -> None:
    shutil.copyfile(file, target)
    os.chmod(target, 0o700 if file.stat().st_mode & stat.S_IXUSR else 0o600)
