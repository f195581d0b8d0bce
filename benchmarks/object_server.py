"""A server that speaks as much of S3 as reading takes: GET, HEAD and listing, over a folder of buckets.

It answers in tenths of a millisecond, which moto's server does not, after as long a wait as a far store would
take. Neither signatures nor anything else of the request is checked. To start one by itself:

    python benchmarks/object_server.py FOLDER --port 9000 --latency 0.05
"""

import argparse
import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_PAGE = 1_000
_MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"


def serve(folder: Path, port: int, latency: float) -> None:
    """Serve a folder until the process ends; `latency` is in seconds, per request."""
    asyncio.run(_serve(folder, port, latency))


async def _serve(folder: Path, port: int, latency: float) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                method, target, _ = request.split(b" ", 2)
                await asyncio.sleep(latency)
                writer.write(b"".join(_answer(folder, method.decode(), target.decode())))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _answer(folder: Path, method: str, target: str) -> Iterator[bytes]:
    """Give an answer's head and body."""
    url = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    bucket, _, key = unquote(url.path).lstrip("/").partition("/")
    if "list-type" in query:
        yield from _whole("200 OK", _page(folder / bucket, query).encode(), "application/xml")
        return
    path = folder / bucket / key
    if not path.is_file():
        body = b"<Error><Code>NoSuchKey</Code></Error>"
        yield from _whole("404 Not Found", b"" if method == "HEAD" else body, "application/xml")
        return
    content = path.read_bytes()
    tag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    yield from _whole("200 OK", content, "image/png", f'ETag: "{tag}"\r\n', body=method == "GET")


def _whole(status: str, content: bytes, kind: str, more: str = "", *, body: bool = True) -> Iterator[bytes]:
    yield (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
        f"Last-Modified: {_MODIFIED}\r\n{more}\r\n"
    ).encode()
    if body:
        yield content


def _page(bucket: Path, query: dict[str, str]) -> str:
    prefix, after = query.get("prefix", ""), query.get("continuation-token", "")
    names = (str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file())
    keys = sorted(name for name in names if name.startswith(prefix) and name > after)
    listed = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>x</ETag><Size>{(bucket / key).stat().st_size}</Size></Contents>"
        for key in keys[:_PAGE]
    )
    more = f"<NextContinuationToken>{escape(keys[_PAGE - 1])}</NextContinuationToken>" if keys[_PAGE:] else ""
    return (
        f"<ListBucketResult><IsTruncated>{str(bool(more)).lower()}</IsTruncated>{more}{listed}"
        "</ListBucketResult>"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    given = parser.parse_args()
    serve(given.folder, given.port, given.latency)
