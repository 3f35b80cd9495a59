"""A stand-in for the internet."""

from __future__ import annotations

import io

from normbench.data import download


class Response(io.BytesIO):
    """What ``download.open_url`` returns."""

    def __init__(self, body: bytes, length: int | None = None):
        super().__init__(body)
        self.headers = {"Content-Length": str(len(body) if length is None else length)}


class Web:
    """A pretended internet: set ``pages``; ``asked`` lists the addresses that were opened."""

    def __init__(self) -> None:
        self.pages: dict[str, Response] = {}
        self.asked: list[str] = []

    def open(self, url: str, connect_seconds: float) -> Response:
        download.require_https(url)
        self.asked.append(url)
        if url not in self.pages:
            raise OSError("no network")
        return self.pages[url]

    def serve(self, url: str, body: bytes, length: int | None = None) -> None:
        self.pages[url] = Response(body, length)
