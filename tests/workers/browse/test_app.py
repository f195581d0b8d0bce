"""What `nightread browse` answers: pages and pictures for whoever has the address, nothing for others."""

import io
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from browse_support import BASE, PORT, SCRIPT, Site
from PIL import Image
from sqlalchemy import select, update
from support import finding_ids, make_run, score_batches, tenth_failed

from config.findings import FINDINGS
from config.settings import Settings
from db.database import Database
from db.errors import DatabaseAwayError, UnknownRunError
from db.schema.archives import image, manifest_row
from db.schema.runs import image_result, score
from jobs.kinds.known import ANSWER_KINDS, UnknownAnswerError
from jobs.report.templates import SCRIPT_HASH
from workers.browse.app import Browser
from workers.browse.pages import ROWS

IMAGES = 60


@pytest.fixture
def site(sqlite: Database, tmp_path: Path) -> Site:
    """Sixty images of which every tenth failed; the first two have files, and maps of ramps."""
    run = make_run(sqlite, tmp_path, IMAGES)

    score_batches(sqlite, tmp_path / "models", run, partial(tenth_failed, message=f"ends early {SCRIPT}"))
    maps = np.zeros((10, 10, 14), dtype="<f2")
    maps[:, :, 0] = np.linspace(0, 1, 10)
    with sqlite.write() as connection:
        connection.execute(
            update(image_result)
            .where(image_result.c.image_id <= 2)
            .values(width=64, height=48, maps=maps.tobytes(), map_height=10, map_width=10)
        )
        connection.execute(update(image_result).where(image_result.c.image_id == 3).values(maps=None))
    for number in range(2):
        pixels = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
        Image.fromarray(pixels).save(tmp_path / f"{number:08d}_000.png")
    return Site(sqlite, tmp_path, run)


def test_list_is_paged_in_the_manifests_order_and_by_a_finding(site: Site) -> None:
    first = site.names()
    assert first == [f"{number:08d}_000.png" for number in range(ROWS)]
    assert site.names(site.following()) == [f"{number:08d}_000.png" for number in range(ROWS, IMAGES)]
    with site.database.read() as connection:
        mass = connection.execute(
            select(image.c.image_index)
            .join(score, score.c.image_id == image.c.id)
            .where(score.c.finding_id == finding_ids(site.database, 1)[FINDINGS[4]])
            .order_by(score.c.probability.desc())
        ).scalars()
        assert site.names(f"?finding={FINDINGS[4]}") == list(mass)[:ROWS]


def test_filters_by_failure_and_label_and_keeps_them_on_the_images_page(site: Site) -> None:
    assert site.names("?failure=truncated") == [f"{number:08d}_000.png" for number in range(9, 60, 10)]
    assert site.names("?failure=empty") == []
    assert len(site.names("?label=1")) == 20
    page = site.get("image/20?failure=any").text
    assert re.findall(r'rel="(?:prev|next)" href="[^"]*/image/(\d+)\?failure=any"', page) == ["10", "30"]
    assert "Failed at “read”: truncated" in page


def test_an_image_has_its_scores_radiograph_and_map(site: Site) -> None:
    page = site.get("image/1").text
    assert page.count('<th scope="row">') == 14
    picture = Image.open(io.BytesIO(site.get("radiograph/1.png").data))
    assert (picture.size, picture.getpixel((63, 0))) == ((64, 48), 252)
    heatmap = Image.open(io.BytesIO(site.get("heatmap/1/0.png").data))
    assert (heatmap.mode, heatmap.width / heatmap.height) == ("RGBA", 64 / 48)
    left, right = heatmap.getpixel((0, 0)), heatmap.getpixel((heatmap.width - 1, 0))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert (left[3], right[3]) == (0, 255)
    assert right[:3] == (252, 255, 164)  # the bright end of inferno
    assert "/heatmap/1/3.png" in site.get(f"image/1?map={FINDINGS[3]}").text
    assert "no heatmap" in site.get("image/3").text
    assert [site.get(path).status_code for path in ("heatmap/3/0.png", "heatmap/1/14.png")] == [404, 404]
    assert site.get("radiograph/3.png").status_code == 404  # there is no such file
    assert site.get("colours.png").mimetype == "image/png"


def test_an_image_of_an_ensembles_run_shows_how_far_the_members_are_apart(site: Site) -> None:
    assert "Spread" not in site.get("image/1").text
    with site.database.write() as connection:
        connection.execute(update(score).values(spread=0.0625))
    page = site.get("image/1").text
    assert page.count("Spread") == 1
    assert page.count('<td class="number">0.062</td>') == 14


def test_the_report_is_served_with_its_own_script_only(site: Site) -> None:
    page = site.get("report")
    assert "60 images" in page.text or "of 60" in page.text
    assert f"script-src '{SCRIPT_HASH}';" in page.headers["Content-Security-Policy"]
    assert page.text.count("<script") == 1
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_every_answer_tells_a_browser_to_run_and_tell_nothing(site: Site) -> None:
    for answer in (site.get(), site.get("image/1"), site.get("radiograph/1.png"), site.ask("/")):
        headers = answer.headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
    for path in ("", "image/1", "image/10"):
        page = site.get(path).text
        assert not re.search(r"<script(?! src=)|\son\w+=|\sstyle=|javascript:", page)
    assert site.get(method="HEAD").data == b""


def test_two_servers_have_different_secrets_and_a_run_is_needed(site: Site) -> None:
    settings = Settings(home=site.images)
    other = Browser(site.database, settings, 1)
    assert other.path != site.app.path
    assert len(other.path) > 30
    with pytest.raises(UnknownRunError):
        Browser(site.database, settings, 9)


def test_a_run_of_a_kind_that_came_with_a_later_version_is_refused_by_name(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(ANSWER_KINDS, "stub")
    with pytest.raises(UnknownAnswerError, match="run 1 is of a model of kind 'stub'"):
        Browser(site.database, Settings(home=site.images), 1)


def test_a_database_that_is_away_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise DatabaseAwayError("the database does not answer")

    monkeypatch.setattr(site.database, "read_only", away)
    answer = site.get()
    assert (answer.status_code, "does not answer" in answer.text) == (503, True)


# --- attacks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%252f..%252fetc%252fpasswd",
        "..%c0%af..%c0%afetc/passwd",
        "..\\..\\etc\\passwd",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "radiograph/../../../etc/passwd",
        "radiograph//etc/passwd.png",
        "radiograph/%2fetc%2fpasswd.png",
        "radiograph/1.png%00.txt",
        "radiograph/-1.png",
        "radiograph/1e3.png",
        "radiograph/99999999999999999999.png",
        "radiograph/4.png/../app.py",
        "browse.css/../app.py",
        "app.py",
        "images.html.j2",
        "heatmap/1/-1.png",
        "heatmap/1/99999999.png",
        "image/1%20OR%201=1",
    ],
)
def test_no_path_leads_to_another_file(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text
    assert "import " not in answer.text


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.png", "link.png", "folder/../../secret.png"])
def test_a_name_in_the_database_leads_to_no_file_outside_the_root(site: Site, name: str) -> None:
    secret = site.images.parent / "secret.png"
    Image.new("L", (64, 48), 200).save(secret)
    (site.images / "folder").mkdir()
    (site.images / "link.png").symlink_to(secret)
    site.rename(1, name)
    assert site.get("image/1").status_code == 200
    assert site.get("radiograph/1.png").status_code == 404
    assert site.get("radiograph/2.png").status_code == 200
    secret.unlink()


def test_script_in_names_labels_and_messages_is_text(site: Site) -> None:
    site.rename(1, f"{SCRIPT}.png")
    site.rename(2, "\"><img src=x onerror=alert(1)>'.png")
    with site.database.write() as connection:
        connection.execute(
            update(manifest_row).values(patient_id=SCRIPT, sex="<b>", view_position="'\"><svg onload=x>")
        )
    for path in ("", "image/1", "image/2", "image/10", "?failure=any"):
        page = site.get(path).text
        assert "&lt;script&gt;" in page
        assert not re.search(r"<script>|<b>|<svg|<img src=x", page)
        assert page.count("<script") == 1


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("finding=Mass' OR 1=1--", "finding"),
        (f"finding={SCRIPT}", "finding"),
        ("at_least=0.5; DROP TABLE score", "at_least"),
        ("at_least=nan", "at_least"),
        ("at_least=1e999", "at_least"),
        ("at_least=-0.1", "at_least"),
        ("label=1' OR '1'='1", "label"),
        ("label=2", "label"),
        ("failure=' UNION SELECT sql FROM sqlite_master--", "failure"),
        ("after=1 OR 1=1", "after"),
        ("after=1,2", "after"),
        ("after=99999999999999999999", "after"),
        ("after=1,1,1,1,1", "after"),
        ("finding=Mass&after=3", "after"),
        ("finding=Mass&after=2,3", "after"),
    ],
)
def test_a_parameter_that_is_none_is_refused_by_name(site: Site, query: str, part: str) -> None:
    site.refuses(query, part)


def test_huge_parameters_and_unknown_maps_are_refused(site: Site) -> None:
    assert site.get(f"?finding={'A' * 100_000}").status_code == 414
    assert site.get("image/1?map=x' OR 1=1").status_code == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
@pytest.mark.parametrize("path", ["", "image/1", "report"])
def test_nothing_but_reading_is_answered(site: Site, method: str, path: str) -> None:
    answer = site.get(path, method=method, data=b"x=1" if method in {"POST", "PUT", "PATCH"} else None)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": f"evil.example:{PORT}"},
        {"Host": "127.0.0.1"},
        {"Host": f"127.0.0.1:{PORT}.evil.example"},
        {"Host": f"localhost:{PORT + 1}"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://127.0.0.1:{PORT + 1}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_other_hosts_and_origins_are_refused(site: Site, headers: dict[str, str]) -> None:
    answer = site.get(headers=headers)
    assert answer.status_code == 403
    assert "Images of run" not in answer.text
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_own_origin_and_localhost_are_answered(site: Site) -> None:
    assert site.get(headers={"Host": f"localhost:{PORT}"}).status_code == 200
    assert site.get(headers={"Origin": BASE, "Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_without_the_secret_nothing_is_answered(site: Site) -> None:
    token = site.app.path.strip("/")
    for path in (
        "/",
        "//",
        "/x/",
        "/browse.css",
        "/report",
        "/image/1",
        f"/{token[:-1]}/",
        f"/{token}x/",
        f"/{token.swapcase()}/",
        f"/?token={token}",
        "/%ff%fe/",
        f"/x/../{token}/",
    ):
        answer = site.ask(path)
        assert answer.status_code == 403, path
        assert token not in answer.text


def test_the_database_itself_refuses_a_change(site: Site) -> None:
    with site.database.read() as connection:
        before = connection.execute(select(score)).all()
    for path in ("", "image/1", "radiograph/1.png", "heatmap/1/0.png", "report", "?finding=Mass&label=1"):
        assert site.get(path).status_code == 200
    with site.database.read() as connection:
        assert connection.execute(select(score)).all() == before
