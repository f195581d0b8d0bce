"""The report of a run of volumes: its cases, and how well they agree with labels."""

from typing import Final

from db.database import Connection
from jobs.kinds.segmentation import MEASURES
from jobs.report.answer import AnswerReport, Subject
from jobs.report.pictures import RunPictures, case_pictures
from jobs.report.rows import Content
from jobs.report.sections.segments import PICTURES, segments


def _read(connection: Connection, subject: Subject) -> Content:
    return {"segments": segments(connection, subject.run_id, subject.findings), "measures": MEASURES}


def _illustrate(content: Content, subject: Subject, _: RunPictures) -> Content:
    segmented = content["segments"]
    return content | {
        "segments": segmented | {"pictures": case_pictures(subject.overlays, segmented["cases"][:PICTURES])}
    }


REPORT: Final = AnswerReport("segmentation.html.j2", _read, _illustrate)
