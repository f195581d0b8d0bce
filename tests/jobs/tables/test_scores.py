"""What a person may rely on whose table of scores is read, before anything is written."""

import gzip
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.tables.errors import TableError
from jobs.tables.scores import read_scores

H = "Image Index,Mass,Effusion\n"


def test_gzipped_scores_with_semicolonless_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8-sig", newline="") as file:
        file.write("Image Index,Mass,Effusion\r\nb.png,0.25,0.5\r\na.png,1,0\r\n")
    scores = read_scores(path)
    assert (scores.images, scores.findings) == (("b.png", "a.png"), ("Effusion", "Mass"))
    np.testing.assert_array_equal(scores.probabilities, np.array([[0.5, 0.25], [0, 1]], np.float32))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["", H, "Image,Mass\n"]),
    st.text(alphabet='ab,;"\n\r01.5-eEnN \u00e9\x00', max_size=80),
)
def test_any_file_is_read_or_refused_in_one_line(tmp_path: Path, header: str, body: str) -> None:
    path = tmp_path / "any.csv"
    path.write_text(header + body, encoding="utf-8", newline="")
    refused = ""
    try:
        scores = read_scores(path)
    except TableError as error:
        refused = str(error)
    if refused:
        assert refused.startswith(str(path))
        assert "\n" not in refused
    else:
        assert scores.probabilities.shape == (len(scores.images), len(scores.findings))
        known = scores.probabilities[~np.isnan(scores.probabilities)]
        assert ((known >= 0) & (known <= 1)).all()
