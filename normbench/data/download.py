"""Download over https, checked before anything is unpacked; and safe unpacking."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import shutil
import tarfile
import tempfile
import threading
import urllib.request
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from normbench.atomic import replace_with, replacing
from normbench.data.catalog import Report
from normbench.data.integrity import REMEDY, file_digest, mismatch
from normbench.errors import DataError

CONNECT_SECONDS = 10.0  # for all addresses together: without a network the answer comes quickly
STALL_SECONDS = 30.0  # a transfer that brings nothing for this long is given up
_CHUNK = 1 << 20


def obtain(archive: Path, urls: Sequence[str], md5: str, report: Report, *, offline: bool) -> None:
    """Make sure that ``archive`` is there and has this MD5, downloading it where it is absent.

    Raises DataError: altered, absent while ``offline``, or the reason of each address tried.
    Nothing is written before an address has answered.
    """
    if archive.exists():
        if fault := mismatch("MD5", file_digest(archive, "md5"), md5):
            raise DataError(f"{archive}: {fault}\n    {REMEDY}")
        return
    if offline:
        raise DataError(f"downloads are switched off, and {archive} is not there either")
    reasons = []
    for url in urls:
        try:
            with open_url(url, CONNECT_SECONDS / len(urls)) as response:
                _receive(response, archive, md5, report)
            return
        except (OSError, http.client.HTTPException, DataError) as error:
            reasons.append(f"{url}: {str(error) or type(error).__name__}")
    raise DataError("\n".join(reasons))


def _receive(response: Any, archive: Path, md5: str, report: Report) -> None:
    """Store the body under a temporary name; ``archive`` appears only once its MD5 agrees."""
    length = response.headers.get("Content-Length")
    total = int(length) if length and length.isdecimal() else None
    done = 0
    digest = hashlib.md5(usedforsecurity=False)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with replacing(archive) as file:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            report.progress(done, total, archive.name)
        if total is not None and done != total:
            raise DataError(f"truncated: {done} of {total} bytes arrived")
        if fault := mismatch("MD5", digest.hexdigest(), md5):
            raise DataError(f"what arrived is {fault}")


def require_https(url: str) -> None:
    """Raise DataError unless the address is an https one."""
    if not url.lower().startswith("https://"):
        raise DataError(f"{url}: only https addresses are used")


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        require_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(url: str, connect_seconds: float) -> Any:
    """The response to a GET. https only, redirects included.

    The socket's own timeout counts per address of the host and does not cover name resolution, so
    the request is made in a thread that is left behind when the time is over.
    """
    require_https(url)
    request = urllib.request.Request(url, headers={"User-Agent": "normbench"})
    opener = urllib.request.build_opener(_HttpsRedirects)
    answer: Future[Any] = Future()

    def ask() -> None:
        try:
            answer.set_result(opener.open(request, timeout=STALL_SECONDS))
        except BaseException as error:  # handed over, raised below
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(connect_seconds)
    except TimeoutError:
        raise TimeoutError(f"no answer within {connect_seconds:g} s") from None


def unpack_gzip(archive: Path, target: Path) -> str:
    """Unpack to ``target``, whole or not at all; the SHA-256 of the content."""
    content = gzip.decompress(archive.read_bytes())
    replace_with(target, content)
    return hashlib.sha256(content).hexdigest()


def unpack_tar(archive: Path, folder: Path, names: Collection[str]) -> dict[str, str]:
    """Put the members ``<folder name>/<name>`` into ``folder``; name -> SHA-256 of each.

    Nothing else is unpacked, and a file that is already there stays. Raises DataError when a
    member is absent or is not a plain file.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                inside, _, name = member.name.rpartition("/")
                if inside == folder.name and name in names and member.isfile():
                    tar.extract(member, temporary, filter="data")
        unpacked = Path(temporary) / folder.name
        absent = sorted(name for name in names if not (unpacked / name).is_file())
        if absent:
            raise DataError(f"{archive}: lacks {folder.name}/{absent[0]}")
        sums = {name: file_digest(unpacked / name, "sha256") for name in names}
        folder.mkdir(exist_ok=True)
        for name in names:
            if not (folder / name).exists():
                with replacing(folder / name) as file, (unpacked / name).open("rb") as content:
                    shutil.copyfileobj(content, file)
    return sums
