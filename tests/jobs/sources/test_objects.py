"""Objects of a bucket: names stay below the prefix, and what is wrong is the object's, the root's, or passes.

moto's server stands for a store; one that answers as a test tells it to, for a store's bad hours.
"""

import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from http_server import Answer as Told
from http_server import Request, serving
from object_store import SECRET, Bucket

from config.failures import ImageUnusableError, Reason
from jobs.errors import SourceAwayError, SourceError
from jobs.sources import objects
from jobs.sources.objects import ObjectSource
from jobs.sources.source import open_source
from jobs.sources.stores import NOTHING

CONTENT = b"a picture's bytes"
LIMIT = 1_000


def source_of(bucket: Bucket, prefix: str = "images") -> ObjectSource:
    return ObjectSource(f"{bucket.uri}/{prefix}")


def refusal(source: ObjectSource, name: str, limit: int = LIMIT) -> Reason:
    with pytest.raises(ImageUnusableError) as caught:
        source.read(name, limit)
    assert SECRET not in caught.value.message
    return caught.value.reason


# --- against moto's server ---------------------------------------------------------------------------------

ODD_NAMES = [
    *(
        "plain.png",
        "with space.png",
        "a/b/c.png",
        "ä 漢.png",
        "x%2e%2e.png",
        "q?a=b.png",
        "#h.png",
        "plus+.png",
    ),
    *("..x.png", "x..", "back\\slash.png", "a&b=<c>.png", "~.png", "redirect certificate.png"),
]


@pytest.mark.processes
@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_object_is_read_whatever_letters_its_name_has(bucket: Bucket, name: str) -> None:
    bucket.put(f"images/{name}", name.encode())
    source = source_of(bucket)
    content = source.read(name, LIMIT)
    assert content.data == name.encode()
    assert content.tag
    assert source.read(f"{source.root}/{name}", LIMIT) == content, "as a whole URI"
    assert source.look_up([name]).missing == []


@pytest.mark.processes
def test_the_tag_changes_with_the_bytes_and_not_without(bucket: Bucket) -> None:
    source = source_of(bucket)
    tags = []
    for content in (CONTENT, CONTENT, CONTENT[::-1]):
        bucket.put("images/a.png", content)
        tags.append(source.read("a.png", LIMIT).tag)
        assert source.tag("a.png") == tags[-1], "nothing is read for it"
    assert tags[0] == tags[1] != tags[2]
    assert source.tag("absent.png") is None
    assert source.tag("../a.png") is None


@pytest.mark.processes
def test_what_is_not_below_the_prefix_is_missing_too_large_or_empty(bucket: Bucket) -> None:
    for key, content in (("images/a.png", CONTENT), ("images/empty.png", b""), ("images2/b.png", CONTENT)):
        bucket.put(key, content)
    source = source_of(bucket)
    assert refusal(source, "b.png") is Reason.MISSING
    assert refusal(source, "NoSuchBucket") is Reason.MISSING
    assert refusal(source, "a.png", len(CONTENT) - 1) is Reason.TOO_LARGE
    assert refusal(source, "empty.png") is Reason.EMPTY
    assert source.read("a.png", len(CONTENT)).data == CONTENT
    assert ObjectSource(bucket.uri).read("images2/b.png", LIMIT).data == CONTENT, "the prefix may be blank"


@pytest.mark.processes
@pytest.mark.parametrize("few", [0, 500], ids=["listed", "asked"])
def test_a_prefix_stands_for_the_objects_below_it(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    import requests

    monkeypatch.setattr(objects, "_FEW", few)
    for key in ("p1/flair/2.dcm", "p1/flair/1.dcm", "p1/flair/more/0.dcm", "p1/flair2/9.dcm", "p1/odd/a.dcm"):
        bucket.put(f"images/{key}", CONTENT)
    for key in ("p1/flair/", "p1/odd/a//b.dcm"):
        requests.put(f"{bucket.server.url}/{bucket.name}/images/{key}", timeout=10).raise_for_status()
    source = source_of(bucket)
    assert source.parts("p1/flair") == ["p1/flair/1.dcm", "p1/flair/2.dcm", "p1/flair/more/0.dcm"]
    assert all(source.read(part, LIMIT).data == CONTENT for part in source.parts("p1/flair"))
    assert source.parts("p1/flair2/9.dcm") == ("p1/flair2/9.dcm",)
    assert source.parts("p1/fla") == ("p1/fla",)
    assert source.look_up(["p1/flair", "p1", "p1/fla", "p1/flair2/9.dcm"]).missing == ["p1/fla"]
    with pytest.raises(ImageUnusableError) as caught:
        source.parts("../images/p1")
    assert caught.value.reason is Reason.OUTSIDE_ROOT
    with pytest.raises(ImageUnusableError, match="empty part") as caught:
        source.parts("p1/odd")
    assert caught.value.reason is Reason.UNREADABLE


@pytest.mark.processes
def test_a_root_must_be_there_and_hold_an_object(bucket: Bucket) -> None:
    bucket.put("images/a.png", CONTENT)
    source_of(bucket).require()
    ObjectSource(f"{bucket.uri}/").require()
    with pytest.raises(SourceError, match="there is no object below it"):
        source_of(bucket, "image").require()
    with pytest.raises(SourceError, match=r"s3://nobody-has-it: there is no such bucket"):
        ObjectSource("s3://nobody-has-it").require()


@pytest.mark.processes
@pytest.mark.parametrize("few", [0, 500], ids=["listed", "asked"])
def test_missing_names_are_found_and_the_prefix_that_has_them(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(objects, "_FEW", few)
    names = [f"{number}.png" for number in range(4)]
    for name in names:
        bucket.put(f"archive/2024/{name}", CONTENT)
    assert source_of(bucket, "archive/2024").look_up(names).missing == []
    below = source_of(bucket, "archive").look_up(names)
    assert below.missing == names
    assert f"use --images {bucket.uri}/archive/2024" in below.hint
    deeper = source_of(bucket, "archive/2024/june").look_up(names)
    assert f"use --images {bucket.uri}/archive/2024" in deeper.hint
    cased = source_of(bucket, "archive/2024").look_up([*names, "0.PNG"])
    assert cased.missing == ["0.PNG"]
    assert "'0.PNG' is there as '0.png'" in cased.hint
    hostile = ["../2024/0.png", "/0.png", "a//b.png", "", "s3://other/0.png", "\n"]
    assert source_of(bucket, "archive/2024").look_up(hostile).missing == hostile


@pytest.mark.processes
def test_a_bucket_with_keys_that_cannot_be_listed_is_asked_name_by_name(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    monkeypatch.setattr(objects, "_FEW", 0)
    bucket.put("images/a.png", CONTENT)
    requests.put(f"{bucket.server.url}/{bucket.name}/images/a//b.png", data=CONTENT, timeout=10)
    source = source_of(bucket)
    source.require()
    assert source.look_up(["a.png", "c.png"]).missing == ["c.png"]
    assert refusal(source, "a//b.png") is Reason.MISSING
    assert refusal(source, "c.png") is Reason.MISSING


@pytest.mark.processes
def test_more_names_than_a_page_has_are_looked_up_by_listing(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_FEW", 0)
    names = [f"{number:04d}.png" for number in range(1_050)]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        [*pool.map(lambda name: bucket.put(f"images/{name}", b"x"), names)]
    assert source_of(bucket).look_up([*names, "absent.png"]).missing == ["absent.png"]


# --- roots -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "root",
    [
        f"s3://key:{SECRET}@films/images",
        f"s3://{SECRET}@films",
        f"s3://films/images?X-Amz-Signature={SECRET}",
        f"az://films?sig={SECRET}",
    ],
)
def test_a_root_with_credentials_or_a_query_is_refused_and_not_repeated(root: str) -> None:
    with pytest.raises(SourceError, match="without credentials") as caught:
        open_source(root)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "root",
    [
        "s3://",
        "s3:///images",
        "s3://films/../x",
        "s3://films//x",
        "s3://films/a\nb",
        "s3://-films",
        "gs://a b",
    ],
)
def test_what_is_no_bucket_is_refused(root: str) -> None:
    with pytest.raises(SourceError, match="this is no bucket"):
        open_source(root)


def test_a_root_is_the_same_with_and_without_a_last_slash() -> None:
    assert open_source("gs://films/images/").root == open_source("gs://films/images").root
    assert open_source("az://films/").root == "az://films"


# --- a store's bad hours -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    status: int = 200
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None

    @property
    def content(self) -> bytes:
        key = f"<AWSAccessKeyId>{SECRET}</AWSAccessKeyId>"
        return f"<Error><Code>{self.code}</Code>{key}</Error>".encode() if self.code else self.body


LIST = re.compile(r"[?&](?:list-type=2|comp=list)")
EMPTY_LIST = Answer(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
OBJECT = {"ETag": '"1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}


@dataclass
class ToldServer:
    """Answers GET of objects, and of lists, as it is told to."""

    url: str
    objects: Answer = field(default_factory=lambda: Answer(headers=OBJECT, body=CONTENT))
    lists: Answer = EMPTY_LIST
    asked: list[str] = field(default_factory=list)
    of: dict[str, Answer] = field(default_factory=dict)
    """Answers for objects by the ends of their names, before `objects`."""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[ToldServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            name = self.path.partition("?")[0].rpartition("/")[2]
            answer = server.lists if LIST.search(self.path) else server.of.get(name, server.objects)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            length = len(answer.content) if answer.length is None else answer.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(answer.content)

        do_HEAD = do_GET  # noqa: N815  # http.server's name

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = ToldServer(f"http://127.0.0.1:{listening.server_port}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASEEDED")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield server
    listening.shutdown()
    thread.join()
    listening.server_close()


SOURCE = "s3://films/images"


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (503, "SlowDown", "overloaded or fails (503 SlowDown)"),
        (500, "InternalError", "overloaded or fails (500 InternalError)"),
        (429, "", "overloaded or fails (429)"),
        (404, "NoSuchBucket", "no such bucket"),
        (403, "InvalidAccessKeyId", "refuses the credentials"),
        (403, "SignatureDoesNotMatch", "refuses the credentials"),
        (400, "ExpiredToken", "refuses the credentials"),
        (401, "", "refuses the credentials"),
    ],
)
def test_what_befalls_every_object_is_no_images_fault(
    told: ToldServer, status: int, code: str, said: str
) -> None:
    told.objects = told.lists = Answer(status, code)
    with pytest.raises(SourceAwayError) as caught:
        ObjectSource(SOURCE).read("a.png", LIMIT)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{SOURCE}: ")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "AccessDenied"), (403, "InvalidObjectState"), (400, "InvalidRequest"), (401, "")],
)
def test_an_object_that_is_refused_where_others_may_be_listed_is_unreadable(
    told: ToldServer, status: int, code: str
) -> None:
    told.objects = Answer(status, code)
    assert refusal(ObjectSource(SOURCE), "a.png") is Reason.UNREADABLE
    assert ObjectSource(SOURCE).look_up(["a.png"]).missing == [], "it is there"


@pytest.mark.parametrize("name", ["status: 500,", "<Code>NoSuchBucket</Code>", "Timeout redirect"])
def test_a_name_does_not_pass_for_a_stores_answer(told: ToldServer, name: str) -> None:
    told.objects = Answer(404, "NoSuchKey")
    assert refusal(ObjectSource(SOURCE), name) is Reason.MISSING


@pytest.mark.parametrize(
    ("lists", "permanent", "said"),
    [
        (Answer(403, "InvalidAccessKeyId"), True, "refuses the credentials"),
        (Answer(403, "AccessDenied"), True, "does not let them list"),
        (Answer(404, "NoSuchBucket"), True, "there is no such bucket"),
        (Answer(301, "PermanentRedirect"), True, "AWS_REGION"),
        (EMPTY_LIST, True, "no object below it"),
        (Answer(503, "SlowDown"), False, "overloaded or fails"),
    ],
)
def test_a_root_is_refused_for_good_or_for_now_before_anything_is_queued(
    told: ToldServer, lists: Answer, permanent: bool, said: str
) -> None:
    told.lists = lists
    told.objects = Answer(404, "NoSuchKey")
    with pytest.raises(SourceError if permanent else SourceAwayError, match=said) as caught:
        ObjectSource(SOURCE).require()
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_store_that_sends_its_readers_to_another_host_is_refused(told: ToldServer, status: int) -> None:
    told.objects = Answer(status, "PermanentRedirect", {"Location": "http://elsewhere.example/films/a.png"})
    with pytest.raises(SourceError, match=r"sends its readers to elsewhere\.example"):
        ObjectSource(SOURCE).require()
    assert not any("list-type" in path for path in told.asked)


def test_a_store_that_begins_to_send_its_readers_elsewhere_is_noticed_and_not_followed(
    told: ToldServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.sources.objects._REDIRECT_SECONDS", 0.0)
    source = ObjectSource(SOURCE)
    assert source.read("a.png", LIMIT).data == CONTENT
    monkeypatch.setenv("AWS_SESSION_TOKEN", SECRET)
    given: list[str] = []

    def other(asked: Request) -> Told:
        given.append(asked.path)
        return Told(content=CONTENT)

    with serving(other) as elsewhere:
        told.objects = Answer(302, "", {"Location": f"http://{elsewhere}/films/a.png"})
        with pytest.raises(SourceAwayError, match=r"sends its readers to 127\.0\.0\.1, and that is not"):
            source.read("a.png", LIMIT)
    assert given == []
    told.objects = Answer(headers=OBJECT, body=CONTENT)
    assert source.read("a.png", LIMIT).data == CONTENT


def test_whether_readers_are_sent_elsewhere_is_asked_once_a_minute(told: ToldServer) -> None:
    source = ObjectSource(SOURCE)
    for _ in range(3):
        source.read("a.png", LIMIT)
    assert len([path for path in told.asked if NOTHING in path]) == 1
    assert len(told.asked) == 4


def test_an_object_at_which_its_store_fails_for_good_fails_by_itself_while_others_are_given(
    told: ToldServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("jobs.sources.lasting.time.monotonic", lambda: now)
    source = ObjectSource(SOURCE)
    source.read("good.png", LIMIT)
    told.of |= {"bad.png": Answer(500, "InternalError")}
    for now in (0.0, 60.0 * 29):  # noqa: B007  # what the clock says
        with pytest.raises(SourceAwayError, match="500 InternalError"):
            source.read("bad.png", LIMIT)
    now = 60.0 * 31
    # A store that fails at all of them is away.
    told.of |= {"good.png": Answer(503, "SlowDown")}
    with pytest.raises(SourceAwayError, match="500 InternalError"):
        source.read("bad.png", LIMIT)
    del told.of["good.png"]
    with pytest.raises(ImageUnusableError, match="fails at it since 30 minutes") as own:
        source.read("bad.png", LIMIT)
    assert own.value.reason is Reason.UNREADABLE
    del told.of["bad.png"]
    assert source.read("bad.png", LIMIT).data == CONTENT


def test_an_object_that_ends_early_is_no_images_fault(told: ToldServer) -> None:
    told.objects = Answer(headers=OBJECT, body=CONTENT[:-1], length=len(CONTENT))
    with pytest.raises(SourceAwayError, match=SOURCE):
        ObjectSource(SOURCE).read("a.png", LIMIT)


def test_an_object_over_the_limit_is_not_read(told: ToldServer) -> None:
    told.objects = Answer(headers=OBJECT, body=CONTENT, length=10**12)
    assert refusal(ObjectSource(SOURCE), "a.png") is Reason.TOO_LARGE


def test_a_server_that_is_not_there_is_away(told: ToldServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(SourceAwayError, match="refuses connections"):
            ObjectSource(SOURCE).read("a.png", LIMIT)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://no-such-host.invalid")
    with pytest.raises(SourceAwayError, match="name of its server"):
        ObjectSource(SOURCE).require()
    assert told.asked == []


def test_plain_http_is_spoken_only_where_it_is_asked_for(
    told: ToldServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(SourceError, match="AWS_ALLOW_HTTP=true"):
        ObjectSource(SOURCE).require()
    assert not any("list-type" in path for path in told.asked)


def test_an_account_that_is_not_named_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(SourceError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        ObjectSource("az://films/images").require()


MODIFIED = "<Last-Modified>Mon, 01 Jan 2024 00:00:00 GMT</Last-Modified>"
GOOGLES_LIST = """<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>images/a.png</Key>
<LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>1</ETag><Size>17</Size></Contents></ListBucketResult>"""
AZURES_LIST = f"""<?xml version="1.0"?><EnumerationResults><Blobs><Blob><Name>images/a.png</Name><Properties>
{MODIFIED}<Etag>1</Etag><Content-Length>17</Content-Length><Content-Type>image/png</Content-Type></Properties>
</Blob></Blobs><NextMarker/></EnumerationResults>"""


@pytest.mark.parametrize(
    ("scheme", "listed", "absent"), [("gs", GOOGLES_LIST, "NoSuchKey"), ("az", AZURES_LIST, "BlobNotFound")]
)
def test_the_other_stores_are_read_as_s3_is(
    told: ToldServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, listed: str, absent: str
) -> None:
    key = {"client_email": "", "private_key": "", "private_key_id": ""}
    service = tmp_path / "key.json"
    service.write_text(json.dumps({**key, "gcs_base_url": told.url, "disable_oauth": True}), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(service))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "hospital")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", told.url)
    for begin in ("GOOGLE", "AZURE"):
        monkeypatch.setenv(f"{begin}_ALLOW_HTTP", "true")
    told.lists = Answer(body=listed.encode())
    source = ObjectSource(f"{scheme}://films/images")
    source.require()
    assert source.read("a.png", LIMIT).data == CONTENT
    monkeypatch.setattr(objects, "_FEW", 0)
    assert source.look_up(["a.png", "b.png"]).missing == ["b.png"]
    told.objects = Answer(404, absent)
    assert refusal(source, "b.png") is Reason.MISSING
    told.objects = told.lists = Answer(403, "AuthorizationFailure")
    with pytest.raises(SourceAwayError, match="refuses the credentials"):
        source.read("a.png", LIMIT)
