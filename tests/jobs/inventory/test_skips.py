"""The page on DICOM has each reason for which a file is not in a manifest, and no other."""

import re

from support import ROOT

from jobs.inventory.skips import Skip


def test_every_reason_is_documented() -> None:
    page = (ROOT / "docs" / "dicom.md").read_text(encoding="utf-8")
    section = page.partition("### What is kept")[2].partition("### What the manifest has")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    documented = [reason for row in rows for reason in re.findall(r"`(\w+)`", row)]
    assert sorted(documented) == sorted(Skip)
