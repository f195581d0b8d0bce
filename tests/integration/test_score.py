"""`nightread score` on real and drawn radiographs: the rows that people will ask for in the morning."""

import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import Nightread, QueueServer, write_card

from jobs.phantoms.archive import plan_archive, write_archive

pytestmark = pytest.mark.processes

Scores = dict[tuple[str, str], float]


def scores(command: Nightread, run: int) -> Scores:
    rows = command.sql(f"SELECT image_index, finding, probability FROM scores WHERE run_id = {run}")
    return {(row["image_index"], row["finding"]): row["probability"] for row in rows}


def difference(a: Scores, b: Scores) -> float:
    assert a.keys() == b.keys()
    return max(abs(a[key] - b[key]) for key in a)


def one(command: Nightread, query: str) -> Any:
    (row,) = command.sql(query)
    (value,) = row.values()
    return value


@pytest.mark.timeout(600)
def test_real_radiographs_give_the_same_rows_embedded_and_on_servers(
    nightread: Nightread, cluster: Nightread, real_data: Path
) -> None:
    order = ("score", real_data / "nih" / "Data_Entry.csv", "--images", real_data / "nih" / "images")
    first = nightread.run(*order)
    assert first.returncode == 0, first.stderr
    assert "Not for clinical use" in first.stdout
    assert "knows nothing of real radiographs" in first.stdout
    views = ("scores", "heatmaps", "auc")
    assert [one(nightread, f"SELECT COUNT(*) FROM {view}") for view in views] == [1680, 1680, 140]
    assert one(nightread, "SELECT COUNT(DISTINCT image_index) FROM scores") == 120
    query = "SELECT COUNT(*) FROM auc WHERE subgroup = 'all' AND ci_low <= auroc AND auroc <= ci_high"
    assert one(nightread, query) == 14
    inside = "peak_x BETWEEN 0 AND 1023 AND box_x + box_width <= 1024 AND box_width > 0"
    assert one(nightread, f"SELECT COUNT(*) FROM heatmaps WHERE peak_x IS NOT NULL AND NOT ({inside})") == 0
    overlay = one(nightread, "SELECT overlay_path FROM heatmaps WHERE overlay_path IS NOT NULL LIMIT 1")
    with Image.open(nightread.home / "heatmaps" / overlay) as picture:
        assert picture.size == (512, 512)

    # With one child: it makes no difference how many there are.
    cluster.environment["NIGHTREAD_CHILDREN"] = "1"
    cluster.start("worker")
    on_servers = cluster.run(*order)
    assert on_servers.returncode == 0, on_servers.stderr + cluster.logs()
    assert difference(scores(nightread, 1), scores(cluster, 1)) <= 1e-5
    assert one(cluster, "SELECT COUNT(*) FROM heatmaps") == 1680


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_archive(folder, plan_archive(8, seed=5))
    return folder


def huge_png() -> bytes:
    """A PNG of 30,000 x 30,000 grey pixels of 1 bit; a hundred kilobytes that would decode to 900 MB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    side = 30_000
    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = side.to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_bad_images_fail_with_their_reason_and_the_rest_is_scored(
    nightread: Nightread, phantoms: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    good = sorted((phantoms / "images").iterdir())
    for path in good:
        (images / path.name).symlink_to(images / f"real-{path.name}")
        (images / f"real-{path.name}").write_bytes(path.read_bytes())
    whole = good[0].read_bytes()
    (images / "empty.png").write_bytes(b"")
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    (images / "flipped.png").write_bytes(whole[:20_000] + bytes([whole[20_000] ^ 1]) + whole[20_001:])
    (images / "text.png").write_text("this is no picture")
    (images / "huge.png").write_bytes(huge_png())
    (images / "out.png").symlink_to("/etc/passwd")
    (images / "folder.png").mkdir()
    expected = {
        "gone.png": "missing",
        "empty.png": "empty",
        "cut.png": "truncated",
        "flipped.png": "damaged",
        "text.png": "wrong_format",
        "huge.png": "too_large",
        "out.png": "outside_root",
        "../../etc/passwd": "outside_root",
        "folder.png": "not_a_file",
    }
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("Image\n" + "\n".join([*(path.name for path in good), *expected]) + "\n")

    nightread.environment["NIGHTREAD_CHILDREN"] = "1"
    done = nightread.run("score", manifest, "--images", images, "--max-missing", "1")

    assert done.returncode == 3, done.stderr
    failures = nightread.sql("SELECT image_index, stage, reason, message FROM failures")
    assert {row["image_index"]: row["reason"] for row in failures} == expected
    assert {row["stage"] for row in failures} == {"read"}
    assert all(row["message"] for row in failures)
    assert one(nightread, "SELECT COUNT(DISTINCT image_index) FROM scores") == len(good)
    query = "SELECT COUNT(*) FROM auc WHERE subgroup = 'all' AND auroc IS NULL AND n_positive = 0"
    assert one(nightread, query) == 14
    progress = nightread.sql("SELECT status, images, scored, failed, pending FROM progress")
    assert progress == [{"status": "complete", "images": 17, "scored": 8, "failed": 9, "pending": 0}]
    assert "outside_root" in done.stdout

    # The picture of a map, on demand, in full size; and the errors of asking for one that is not there.
    drawn = tmp_path / "map.png"
    asked = ("--finding", "Effusion", "-o", drawn)
    assert nightread.call("heatmap", "1", good[0].name, *asked).returncode == 0
    with Image.open(drawn) as picture:
        assert picture.size == (1024, 1024)
    for arguments, says in (
        (("1", "cut.png", *asked), "could not be scored"),
        (("1", "nowhere.png", *asked), "no result for nowhere.png"),
        (("9", good[0].name, *asked), "no run 9"),
        (("1", good[0].name, "--finding", "Flu", "-o", drawn), "it has: Atelectasis"),
        (("1", good[0].name, "--finding", "Mass", "-o", tmp_path / "map.tiff"), ".png or .jpg"),
    ):
        refused = nightread.call("heatmap", *arguments)
        assert refused.returncode == 2
        assert says in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_worker_refuses_a_model_whose_golden_scores_do_not_hold(
    nightread: Nightread, queue_server: QueueServer, untrained: Any, phantoms: Path
) -> None:
    nightread.environment["NIGHTREAD_CHILDREN"] = "1"
    card = untrained.card.model_dump(mode="json") | {"name": "swapped"}
    card["golden"] = [card["golden"][1], card["golden"][0], *card["golden"][2:]]
    write_card(nightread.home / "models", card)
    done = nightread.run(
        "score", phantoms / "manifest.csv", "--images", phantoms / "images", "--model", "swapped"
    )
    assert done.returncode == 2
    assert "for the test pattern Atelectasis is" in done.stderr
    assert one(nightread, "SELECT COUNT(*) FROM scores") == 0

    nightread.environment["NIGHTREAD_BROKER_URL"] = queue_server.url
    worker = nightread.run("worker", "--model", "swapped")
    assert worker.returncode == 2
    assert "for the test pattern Atelectasis is" in worker.stderr
