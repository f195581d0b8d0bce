"""Which sequence a series is, by the words that scanners and people give it."""

import pytest

from jobs.inventory.header import Header
from jobs.inventory.sequence import sequence_of

SAID = {
    "AX T2 FLAIR": "FLAIR",
    "t2_tirm_tra_dark-fluid": "FLAIR",
    "Flair axial": "FLAIR",
    "t2_flair_tra_4mm": "FLAIR",
    "AX T2 TSE": "T2",
    "T2W_TSE": "T2",
    "AX T1": "T1",
    "t1_mprage_sag_iso": "T1",
    "MPRAGE": "T1",
    "T1W 3D pre contrast": "T1",
    "T1 without gd": "T1",
    "AX T1 +C": "T1Gd",
    "T1 post gad": "T1Gd",
    "t1_mprage_km": "T1Gd",
    "t1ce": "T1Gd",
    "T1 SE POST CONTRAST": "T1Gd",
    "T2* GRE": "",
    "t1_map": "",
    "T1 T2 mapping": "",
    "FLAIR T1": "",
    "ep2d_diff_b1000 ADC": "",
    "T2 SWI": "",
    "localizer": "",
    "": "",
}


def header(**texts: str) -> Header:
    keywords = ("SeriesDescription", "ProtocolName", "ContrastBolusAgent")
    return Header({keyword: [texts[keyword]] if keyword in texts else [] for keyword in keywords}, [], "")


@pytest.mark.parametrize("text", SAID)
def test_the_words_of_a_description_say_it(text: str) -> None:
    assert sequence_of(header(SeriesDescription=text)) == SAID[text]
    assert sequence_of(header(SeriesDescription="series 4", ProtocolName=text)) == SAID[text]


def test_the_agent_makes_a_t1_one_with_contrast_unless_its_words_say_no() -> None:
    assert sequence_of(header(SeriesDescription="AX T1", ContrastBolusAgent="agent")) == "T1Gd"
    assert sequence_of(header(SeriesDescription="AX T1 PRE", ContrastBolusAgent="agent")) == "T1"
    assert sequence_of(header(SeriesDescription="AX T2", ContrastBolusAgent="agent")) == "T2"


def test_the_description_goes_before_the_protocol() -> None:
    assert sequence_of(header(SeriesDescription="T2", ProtocolName="T1")) == "T2"
