"""What `nightread browse` shows of a run of volumes: cases in three planes, their segments and masks."""

import gzip
import html
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from browse_support import SCRIPT, Site
from PIL import Image
from sqlalchemy import select, update
from volume_support import OBLIQUE, answer_cases, head, label_of, nifti, segment_cases

from db.answers import read_rows
from db.database import Database
from db.ledger import Claim
from db.outcomes import Outcome
from db.schema.archives import finding, manifest_row
from db.schema.runs import image_result
from db.schema.segmentations import segment, volume_result
from db.segmentations import Segmentation
from workers.browse.pages import ROWS


@pytest.fixture(scope="module")
def segmented(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run of four cases: two labelled, one without a label, and one whose file is damaged."""
    home = tmp_path_factory.mktemp("segmented")
    (home / "volumes").mkdir()
    lines = ["Image,Label,PatientId"]
    for number in range(3):
        values = head(seed=number)
        (home / "volumes" / f"c{number}.nii.gz").write_bytes(nifti(values, OBLIQUE))
        (home / "volumes" / f"l{number}.nii.gz").write_bytes(nifti(label_of(values), OBLIQUE))
        lines.append(f"c{number}.nii.gz,{f'l{number}.nii.gz' if number < 2 else ''},p{number}")
    (home / "volumes" / "c3.nii.gz").write_bytes(b"no volume")
    database = Database(f"sqlite:///{shutil.copy(sqlite_template, home / 'nightread.db')}")
    segment_cases(database, home, "\n".join([*lines, "c3.nii.gz,,p3", ""]))
    database.dispose()
    return home


@pytest.fixture
def site(segmented: Path, tmp_path: Path) -> Iterator[Site]:
    """A copy of that home, to be changed."""
    shutil.copytree(segmented, tmp_path, dirs_exist_ok=True)
    database = Database(f"sqlite:///{tmp_path / 'nightread.db'}")
    yield Site(database, tmp_path, 1)
    database.dispose()


def change_first(site: Site, **values: str) -> None:
    """Change what the ledger says of the first case's files."""
    with site.database.write() as connection:
        connection.execute(update(volume_result).where(volume_result.c.image_id == 1).values(values))


def cells(page: str, caption: str) -> dict[str, list[str]]:
    """The rows of a table by their heads, as text."""
    table = page[page.index(f">{caption}<") :]
    table = table[: table.index("</table>")]
    rows = re.findall(r'<tr[^>]*><th scope="row">(.*?)</th>(.*?)</tr>', table, flags=re.DOTALL)
    return {
        name: [
            html.unescape(re.sub(r"<[^>]+>", "", cell)).strip()
            for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL)
        ]
        for name, row in rows
    }


def test_all_cases_are_listed_with_planes_and_their_segments_failed_ones_with_the_reason(site: Site) -> None:
    assert site.names() == ["c0.nii.gz", "c1.nii.gz", "c2.nii.gz", "c3.nii.gz"]
    page = site.get().text
    assert page.count('class="planes"') == 3
    with site.database.read() as connection:
        (found,) = read_rows(
            connection, "SELECT dice, ml FROM segments WHERE finding = 'WT' AND image_index = 'c0.nii.gz'"
        )
    assert f"{found['dice']:.3f} <small>{found['ml']:.1f} ml</small>" in page
    assert "Failed: wrong format" in page
    assert "no outcome yet" not in page


def test_lists_are_ordered_and_filtered_and_a_case_keeps_both(site: Site) -> None:
    with site.database.write() as connection:
        of = dict(connection.execute(select(finding.c.name, finding.c.id)).all())
        for image_id, dice, ml in ((1, 0.75, 2.0), (2, 0.5, 3.0), (3, None, 4.0)):
            of_case = (segment.c.image_id == image_id) & (segment.c.finding_id == of["WT"])
            connection.execute(update(segment).where(of_case).values(dice=dice, ml=ml))
    one, two, three, failed = site.names()
    assert site.names("?finding=WT&order=dice") == [two, one, three, failed]
    assert site.names("?finding=WT&order=ml") == [three, two, one, failed]
    assert site.names("?finding=WT&dice_below=0.6") == [two]
    assert site.names("?finding=WT&least_ml=3") == [two, three]
    assert site.names("?label=with") == [one, two]
    assert site.names("?label=without") == [three]
    assert site.names("?failure=any") == site.names("?failure=wrong_format") == [failed]
    assert site.names("?failure=missing") == []
    page = site.get("?finding=WT&order=dice").text
    assert page.count('<th scope="col" class="number">') == 1
    assert 'value="WT" selected' in page
    assert 'value="dice" selected' in page
    page = site.get("case/1?finding=WT&order=dice").text
    links = re.findall(r'rel="(\w+)" href="[^"]*/case/(\d+)\?finding=WT&amp;order=dice"', page)
    assert links == [("prev", "2"), ("next", "3")]
    assert 'rel="' not in re.sub(r"<head>.*</head>", "", site.get("case/4?label=with").text, flags=re.DOTALL)


def test_pages_of_a_list_begin_where_the_one_before_ended(sqlite: Database, tmp_path: Path) -> None:
    (tmp_path / "volumes").mkdir()
    names = [f"c{number:02d}.nii" for number in range(ROWS + 5)]
    for name in names:
        (tmp_path / "volumes" / name).touch()

    def answer(held: Claim) -> list[Outcome]:
        return [Segmentation(held.images[0].image_id, (4, 4, 4), (1, 1, 1), False, None, None, ())]

    site = Site(sqlite, tmp_path, answer_cases(sqlite, tmp_path, "\n".join(["Image", *names, ""]), answer))
    for order in ("", "?order=dice", "?order=ml", "?finding=WT&order=ml"):
        assert site.names(order) + site.names(site.following(order)) == names
    page = site.get("case/1").text
    assert "No picture was written." in page
    assert "none was written" in page


def test_a_case_has_its_planes_segments_agreement_and_card(site: Site) -> None:
    page = site.get("case/1").text
    with site.database.read() as connection:
        query = "SELECT * FROM segments WHERE image_index = 'c0.nii.gz'"
        of = {row["finding"]: row for row in read_rows(connection, query)}
    found, agreement = cells(page, "What was found"), cells(page, "How well it agrees with the label")
    assert list(found) == list(agreement)
    assert set(found) == {"edema", "non-enhancing", "enhancing", "WT", "TC", "ET"}
    edema = of["edema"]
    box = " ".join(f"{axis} {edema[f'box_{axis}0']}–{edema[f'box_{axis}1']}" for axis in "xyz")  # noqa: RUF001
    assert found["edema"][:6] == [
        "class",
        f"{edema['ml']:.2f}",
        str(edema["voxels"]),
        str(edema["components"]),
        f"{edema['largest_ml']:.2f}",
        box,
    ]
    assert found["edema"][-1] == f"{edema['probability_max']:.3f}"
    assert found["enhancing"][5:7] == ["–", "–"]  # noqa: RUF001
    assert agreement["edema"][1] == f"{edema['dice']:.3f}"
    assert agreement["edema"][5:] == [f"{edema['hd95_mm']:.3f}", f"{edema['assd_mm']:.3f}", ""]
    assert agreement["enhancing"][-1] == "neither mask nor label has anything of it"
    assert "24 × 20 × 12 voxels" in page  # noqa: RUF001
    assert "0.9165 × 1.145 × 2.51 mm" in page  # noqa: RUF001
    assert "edema, non-enhancing, enhancing" in page
    assert "l0.nii.gz" in page
    planes = Image.open(io.BytesIO(site.get("planes/1.jpg").data))
    assert (planes.format, planes.height) == ("JPEG", 256)


def test_a_case_without_a_label_and_a_failed_one_say_so(site: Site) -> None:
    page = site.get("case/3").text
    assert "How well it agrees" not in page
    assert "blue" not in page
    assert "<dt>Compared with a label</dt><dd>no</dd>" in page
    page = site.get("case/4").text
    assert "Failed at “read”: wrong format" in page
    assert "What was found" not in page
    assert site.get("case/9").status_code == 404
    assert [site.get(path).status_code for path in ("planes/4.jpg", "mask/4.nii.gz")] == [404, 404]


def test_the_mask_is_the_file_that_the_worker_wrote(site: Site) -> None:
    answer = site.get("mask/1.nii.gz")
    assert answer.mimetype == "application/gzip"
    assert answer.headers["Content-Disposition"] == "attachment; filename=c0_mask.nii.gz"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    mask = nibabel.Nifti1Image.from_bytes(gzip.decompress(answer.data))
    np.testing.assert_allclose(mask.affine, OBLIQUE, atol=1e-5)
    assert f'href="{site.app.path}mask/1.nii.gz"' in site.get("case/1").text


def test_cases_without_an_outcome_are_counted(site: Site) -> None:
    with site.database.write() as connection:
        for table in (segment, volume_result, image_result):
            connection.execute(table.delete().where(table.c.image_id == 2))
    assert "1 case of the run has no outcome yet." in site.get().text
    assert site.names() == ["c0.nii.gz", "c2.nii.gz", "c3.nii.gz"]


def test_the_report_of_the_run_is_served(site: Site) -> None:
    page = site.get("report")
    assert page.status_code == 200
    assert "c0.nii.gz" in page.text


# --- attacks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../secret", "link", "masks/../../secret", "", "a\rb", "masks"]
)
def test_a_path_in_the_database_leads_to_no_file_outside_the_folder(site: Site, path: str) -> None:
    outputs = site.images / "heatmaps"
    (outputs / "masks").mkdir()
    (site.images / "secret").write_text("root:", encoding="utf-8")
    (outputs / "link").symlink_to(site.images / "secret")
    change_first(site, mask_path=path, planes_path=path)
    for asked in ("planes/1.jpg", "mask/1.nii.gz"):
        answer = site.get(asked)
        assert answer.status_code == 404
        assert "root:" not in answer.text
    assert site.get("case/1").status_code == 200
    assert site.get("mask/2.nii.gz").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "planes/../../../etc/passwd",
        "planes/%2fetc%2fpasswd.jpg",
        "planes/-1.jpg",
        "planes/1.png",
        "mask/1",
        "mask/..%2f1.nii.gz",
        "mask/99999999999999999999.nii.gz",
        "case/1%20OR%201=1",
        "image/1",
        "radiograph/1.png",
        "heatmap/1/0.png",
        "cases.html.j2",
    ],
)
def test_no_path_leads_elsewhere(site: Site, path: str) -> None:
    assert site.get(path).status_code == 404


def test_files_of_another_run_are_none_of_this_one(site: Site) -> None:
    with site.database.write() as connection:
        connection.execute(update(volume_result).values(run_id=2))
    assert site.get("mask/1.nii.gz").status_code == 404


def test_outputs_that_are_away_are_said(site: Site) -> None:
    shutil.rmtree(site.images / "heatmaps")
    answer = site.get("planes/1.jpg")
    assert (answer.status_code, str(site.images) in answer.text) == (503, False)
    assert site.get("case/1").status_code == 200


def test_script_in_names_of_cases_classes_and_files_is_text(site: Site) -> None:
    site.rename(1, f"{SCRIPT}.nii.gz")
    site.rename(4, "\"><img src=x onerror=alert(1)>'.nii")
    with site.database.write() as connection:
        connection.execute(update(finding).where(finding.c.name == "WT").values(name=f"WT{SCRIPT}"))
        connection.execute(
            update(manifest_row).values(patient_id=SCRIPT, files='{"T1<b>": "\'\\"><svg onload=x>"}')
        )
        connection.execute(update(segment).values(reason=SCRIPT))
        connection.execute(
            update(image_result).where(image_result.c.image_id == 4).values(message=f"ends early {SCRIPT}")
        )
    for path in ("", "case/1", "case/2", "case/4", "?failure=any", "?order=dice"):
        page = site.get(path).text
        assert "&lt;script&gt;" in page
        assert not re.search(r"<script>|<b>|<svg|<img src=x", page)
        assert page.count("<script") == 1


def test_a_hostile_name_of_a_mask_makes_no_header(site: Site) -> None:
    name = 'run-000001/a"; x=\r\nSet-Cookie: a=b; Лицо.nii.gz'
    shutil.copy(site.images / "heatmaps/run-000001/masks/c0_mask.nii.gz", site.images / "heatmaps" / name)
    change_first(site, mask_path=name)
    answer = site.get("mask/1.nii.gz")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert re.fullmatch(r"attachment; filename=[\w.-]+", answer.headers["Content-Disposition"])


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("finding=WT' OR 1=1--", "finding"),
        (f"finding={SCRIPT}", "finding"),
        ("order=probability", "order"),
        ("least_ml=-1", "least_ml"),
        ("least_ml=nan", "least_ml"),
        ("least_ml=1e999", "least_ml"),
        ("dice_below=1.1", "dice_below"),
        ("dice_below=0.5; DROP TABLE segment", "dice_below"),
        ("label=1", "label"),
        ("failure=' UNION SELECT sql FROM sqlite_master--", "failure"),
        ("after=1 OR 1=1", "after"),
        ("after=1,2", "after"),
        ("order=dice&after=3", "after"),
        ("order=dice&after=3,1", "after"),
        ("order=ml&after=2,1", "after"),
        ("order=ml&after=-2,99999999999999999999", "after"),
    ],
)
def test_a_parameter_that_is_none_is_refused_by_name(site: Site, query: str, part: str) -> None:
    site.refuses(query, part)


def test_pages_have_no_script_and_no_style_of_their_own(site: Site) -> None:
    for path in ("", "case/1", "case/4"):
        page = site.get(path)
        assert not re.search(r"<script(?! src=)|\son\w+=|\sstyle=|javascript:", page.text)
        assert "unsafe" not in page.headers["Content-Security-Policy"]


def test_the_database_itself_refuses_a_change(site: Site) -> None:
    with site.database.read() as connection:
        before = connection.execute(select(segment)).all()
    for path in ("", "case/1", "planes/1.jpg", "mask/1.nii.gz", "report", "?finding=WT&order=dice"):
        assert site.get(path).status_code == 200
    with site.database.read() as connection:
        assert connection.execute(select(segment)).all() == before
