from __future__ import annotations

import hashlib
import io
import tarfile
import time
import urllib.request
from pathlib import Path

import pytest
from pretended_web import Web

from normbench.data import Report, download
from normbench.data.integrity import add_sums, read_sums
from normbench.errors import DataError

open_url = download.open_url  # the real one, before a test pretends a network


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


@pytest.mark.parametrize("url", ["http://example.org/a", "file:///etc/hostname", "ftp://x/a"])
def test_only_https_addresses_are_opened(url: str):
    with pytest.raises(DataError, match="only https"):
        open_url(url, 1)


def test_a_redirect_away_from_https_is_refused():
    request = urllib.request.Request("https://example.org/a")
    redirects = download._HttpsRedirects()
    with pytest.raises(DataError, match="only https"):
        redirects.redirect_request(request, None, 302, "", {}, "http://example.org/b")
    followed = redirects.redirect_request(request, None, 302, "", {}, "https://example.org/b")
    assert followed is not None


def test_a_network_that_never_answers_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch):
    opener = urllib.request.OpenerDirector
    monkeypatch.setattr(opener, "open", lambda *_, **__: time.sleep(2))
    start = time.perf_counter()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        open_url("https://example.org/a", 0.05)
    assert time.perf_counter() - start < 1


def test_the_next_address_is_tried_and_each_reason_is_told(tmp_path: Path, web: Web):
    archive = tmp_path / "new" / "a.gz"
    urls = ["https://one/a.gz", "https://two/a.gz"]
    with pytest.raises(DataError, match=r"https://one/a\.gz: no network\nhttps://two/a\.gz: no"):
        download.obtain(archive, urls, md5(b"x"), Report(), offline=False)
    assert not archive.parent.exists()
    web.serve(urls[1], b"x")
    download.obtain(archive, urls, md5(b"x"), Report(), offline=False)
    assert archive.read_bytes() == b"x"
    assert [path.name for path in archive.parent.iterdir()] == ["a.gz"]


def test_offline_an_archive_is_used_if_it_is_there_and_right(tmp_path: Path, web: Web):
    archive = tmp_path / "a.gz"
    with pytest.raises(DataError, match="switched off"):
        download.obtain(archive, ["https://one/a.gz"], md5(b"x"), Report(), offline=True)
    archive.write_bytes(b"x")
    download.obtain(archive, ["https://one/a.gz"], md5(b"x"), Report(), offline=True)
    with pytest.raises(DataError, match=r"a\.gz: altered or truncated"):
        download.obtain(archive, ["https://one/a.gz"], md5(b"y"), Report(), offline=True)
    assert web.asked == []
    assert archive.exists()


def test_progress_counts_the_bytes_towards_the_announced_total(tmp_path: Path, web: Web):
    web.serve("https://one/a", bytes(3 << 20))
    seen: list[tuple[int, int | None, str]] = []
    report = Report(progress=lambda *step: seen.append(step))
    download.obtain(tmp_path / "a", ["https://one/a"], md5(bytes(3 << 20)), report, offline=False)
    assert seen == [(n << 20, 3 << 20, "a") for n in (1, 2, 3)]


def test_only_the_plain_files_asked_for_leave_an_archive(tmp_path: Path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for name in ("in/wanted", "in/other", "../escaped", "in/../../escaped"):
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"ok"))
        link = tarfile.TarInfo("in/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    folder = tmp_path / "place" / "in"
    folder.parent.mkdir()
    sums = download.unpack_tar(tmp_path / "a.tar.gz", folder, ["wanted"])
    assert sums == {"wanted": hashlib.sha256(b"ok").hexdigest()}
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "a.tar.gz",
        "in",
        "place",
        "wanted",
    ]
    for absent in ("link", "escaped", "nowhere"):
        with pytest.raises(DataError, match=f"lacks in/{absent}"):
            download.unpack_tar(tmp_path / "a.tar.gz", folder, [absent])


def test_checksums_of_a_folder_are_merged_in_the_format_of_sha256sum(tmp_path: Path):
    add_sums(tmp_path, {"b": "0" * 64})
    add_sums(tmp_path, {"a": "1" * 64, "b": "2" * 64})
    assert (tmp_path / "SHA256SUMS").read_text() == f"{'1' * 64}  a\n{'2' * 64}  b\n"
    (tmp_path / "SHA256SUMS").write_text("what is this\n")
    with pytest.raises(DataError, match="format of sha256sum"):
        read_sums(tmp_path)
