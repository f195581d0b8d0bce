"""Miniatures of the public sets, laid out exactly as their publishers lay them out; the rows are made up."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

LABELER: Final = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,"
    "Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
"""CheXpert's columns of labels."""

ALPHABETICAL: Final = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)
"""The same ones as MIMIC-CXR orders them."""


def _values(given: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(given) if name == option]


@dataclass(frozen=True)
class Miniature:
    """A set in small: its tables, the first of which is the manifest, and its pictures.

    `options`: what a command needs beside the manifest. `labels`: each image that is taken -> its label of
    `finding`. `patients`, `views` and `ages` are those of these images, if the set has any.
    """

    layout: str
    title: str
    files: Mapping[str, str]
    images: tuple[str, ...]
    finding: str
    labels: Mapping[str, str]
    options: tuple[str, ...] = ()
    patients: tuple[str | None, ...] = ()
    views: tuple[str | None, ...] = ()
    ages: tuple[float | None, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    def told(self, folder: Path) -> dict[str, object]:
        """Return the options of the command as those of a reading."""
        given = list(self.options)
        told: dict[str, object] = {"join": tuple(folder / name for name in _values(given, "--join"))}
        told["split"] = next(iter(_values(given, "--split")), None)
        return told | {"ignore_labels": "--ignore-labels" in given}

    def write(self, folder: Path) -> Path:
        """Write tables and empty pictures; returns the path of the first table."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            encoded = content.encode()
            path.write_bytes(gzip.compress(encoded) if path.suffix == ".gz" else encoded)
        for name in self.images:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"not a picture: the stub does not look at it")
        return folder / next(iter(self.files))


_NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
    "00000007_000.png,Effusion|Mass,0,7,57,M,PA,2500,2048,0.168,0.168,\n"
    "00000007_001.png,No Finding,1,7,58,M,AP,2500,2048,0.168,0.168,\n"
    "00000009_000.png,Infiltration,0,9,81,F,PA,2500,2048,0.168,0.168,\n"
)

NIH: Final = Miniature(
    "nih",
    "NIH ChestX-ray14",
    {"Data_Entry_2017.csv": _NIH},
    ("00000007_000.png", "00000007_001.png", "00000009_000.png"),
    "Effusion",
    {"00000007_000.png": "1", "00000007_001.png": "0", "00000009_000.png": "0"},
    patients=("7", "7", "9"),
    views=("PA", "AP", "PA"),
    ages=(57.0, 58.0, 81.0),
)

NIH_KAGGLE: Final = Miniature(
    "nih",
    "NIH ChestX-ray14",
    {"Data_Entry_2017.csv": _NIH, "test_list.txt": "00000007_000.png\n00000009_000.png\n00000031_000.png"},
    (
        "images_001/images/00000007_000.png",
        "images_001/images/00000007_001.png",
        "images_012/images/00000009_000.png",
    ),
    "Effusion",
    {"images_001/images/00000007_000.png": "1", "images_012/images/00000009_000.png": "0"},
    ("--join", "test_list.txt"),
    remarks=(
        "images are looked for in 2 folders, images_001/images to images_012/images",
        "rows whose image is not in test_list.txt, left out: 1",
        "images of test_list.txt that are in no row: 1",
    ),
)

_CHEXPERT = "CheXpert-v1.0-small/train/patient{}/study1/view{}"

CHEXPERT: Final = Miniature(
    "chexpert",
    "CheXpert",
    {
        "train.csv": f"Path,Sex,Age,Frontal/Lateral,AP/PA,{LABELER}\n"
        f"{_CHEXPERT.format('00001', '1_frontal.jpg')},Female,68,Frontal,AP,1.0,,,,,,,,,0.0,,,,1.0\n"
        f"{_CHEXPERT.format('00001', '2_lateral.jpg')},Female,68,Lateral,,,,1.0,,,-1.0,,,,,1.0,,,\n"
        f"{_CHEXPERT.format('00002', '1_frontal.jpg')},Male,87,Frontal,PA,,,-1.0,1.0,,,-1.0,,,,-1.0,,1.0,\n"
    },
    tuple(
        f"train/patient{name}.jpg"
        for name in ("00001/study1/view1_frontal", "00001/study1/view2_lateral", "00002/study1/view1_frontal")
    ),
    "Effusion",
    {
        "train/patient00001/study1/view1_frontal.jpg": "0",
        "train/patient00001/study1/view2_lateral.jpg": "1",
        "train/patient00002/study1/view1_frontal.jpg": "-",
    },
    patients=("patient00001", "patient00001", "patient00002"),
    views=("AP", "LATERAL", "PA"),
    ages=(68.0, 68.0, 87.0),
    remarks=("blank labels (not mentioned in the report) are taken as absent (see --blank)",),
)


def _json_labels(image: str, present: str) -> str:
    labels = {name: 1.0 if name == present else None for name in LABELER.split(",")}
    return json.dumps({"path_to_image": image} | labels) + "\n"


CHEXPERT_PLUS: Final = Miniature(
    "chexpert",
    "CheXpert",
    {
        "df_chexpert_plus_240401.csv": "path_to_image,path_to_dcm,frontal_lateral,ap_pa,deid_patient_id,"
        "patient_report_date_order,report,age,sex,race,split\n"
        "train/patient00005/study2/view1_frontal.jpg,train/patient00005/study2/view1_frontal.dcm,Frontal,AP,"
        'patient00005,2,"NARRATIVE: one,\ntwo lines",54.0,Male,Unknown,train\n'
        "valid/patient00006/study1/view1_frontal.jpg,valid/patient00006/study1/view1_frontal.dcm,Frontal,PA,"
        "patient00006,1,none,61.0,Female,Other,valid\n",
        "report_fixed.json": _json_labels("train/patient00005/study2/view1_frontal.jpg", "Pleural Effusion")
        + _json_labels("valid/patient00006/study1/view1_frontal.jpg", "No Finding"),
    },
    (
        "PNG/train/patient00005/study2/view1_frontal.png",
        "PNG/valid/patient00006/study1/view1_frontal.png",
    ),
    "Effusion",
    {
        "PNG/train/patient00005/study2/view1_frontal.png": "1",
        "PNG/valid/patient00006/study1/view1_frontal.png": "0",
    },
    ("--join", "report_fixed.json"),
    patients=("patient00005", "patient00006"),
    views=("AP", "PA"),
    ages=(54.0, 61.0),
    remarks=(
        "joined report_fixed.json by path_to_image",
        "report_fixed.json: the file is read as JSON lines",
    ),
)

_A, _B, _C = (f"{digit * 8}-{digit * 8}-{digit * 8}-{digit * 8}-{digit * 8}" for digit in "abc")

MIMIC: Final = Miniature(
    "mimic-cxr",
    "MIMIC-CXR-JPG",
    {
        "mimic-cxr-2.0.0-chexpert.csv.gz": f"subject_id,study_id,{ALPHABETICAL}\n"
        "10000032,50414267,,,,,,,,,1.0,,,,,\n"
        "11000033,53189527,,,,-1.0,,,,,,1.0,,,,1.0\n",
        "mimic-cxr-2.0.0-metadata.csv.gz": "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,"
        "ViewPosition,Rows,Columns,StudyDate,StudyTime,ProcedureCodeSequence_CodeMeaning,"
        "ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning\n"
        f"{_A},10000032,50414267,CHEST (PA AND LAT),PA,3056,2544,21800506,213014.5,CHEST,PA,Erect\n"
        f"{_B},11000033,53189527,CHEST (PORTABLE AP),AP,3056,2544,21800626,165500.3,CHEST,AP,\n"
        f"{_C},11000033,53189528,CHEST (PORTABLE AP),AP,3056,2544,21800627,165500.3,CHEST,AP,\n",
        "mimic-cxr-2.0.0-split.csv.gz": "dicom_id,study_id,subject_id,split\n"
        f"{_A},50414267,10000032,test\n{_B},53189527,11000033,test\n{_C},53189528,11000033,train\n",
        "cxr-record-list.csv.gz": "subject_id,study_id,dicom_id,path\n"
        f"10000032,50414267,{_A},files/p10/p10000032/s50414267/{_A}.dcm\n"
        f"11000033,53189527,{_B},files/p11/p11000033/s53189527/{_B}.dcm\n"
        f"11000033,53189528,{_C},files/p11/p11000033/s53189528/{_C}.dcm\n",
    },
    (f"files/p10/p10000032/s50414267/{_A}.jpg", f"files/p11/p11000033/s53189527/{_B}.jpg"),
    "Effusion",
    {f"files/p10/p10000032/s50414267/{_A}.jpg": "0", f"files/p11/p11000033/s53189527/{_B}.jpg": "1"},
    (
        *("--join", "mimic-cxr-2.0.0-metadata.csv.gz", "--join", "mimic-cxr-2.0.0-split.csv.gz"),
        *("--join", "cxr-record-list.csv.gz", "--split", "test"),
    ),
    patients=("10000032", "11000033"),
    views=("PA", "AP"),
    remarks=(
        "joined mimic-cxr-2.0.0-chexpert.csv.gz by subject_id, study_id",
        "rows without anything in mimic-cxr-2.0.0-chexpert.csv.gz, its columns left blank: 1",
        "rows of another split than test, left out: 1 (1 'train')",
    ),
)

PADCHEST: Final = Miniature(
    "padchest",
    "PadChest",
    {
        "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv": ",ImageID,ImageDir,StudyDate_DICOM,StudyID,"
        "PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,MethodProjection,Report,"
        "MethodLabel,Labels,Localizations\n"
        "0,20536_a.png,0,20140915,20536,p839,1930.0,F,POSTEROANTERIOR,PA,Manual,derrame .,Physician,"
        "\"['derrame pleural', 'cardiomegaly', 'unchanged']\",[]\n"
        "1,20536_b.png,0,20140915,20536,p839,1930.0,F,LATERAL,L,Manual,normal .,Physician,['normal'],[]\n"
        "2,20540_a.png,14,20150101,20540,p840,,M,,AP_horizontal,Manual,.,Physician,"
        "\"['scoliosis', ' infiltrates']\",[]\n"
        "3,20541_a.png,14,20150101,20541,p841,1950.0,M,,PA,Manual,.,Physician,['exclude'],[]\n"
    },
    ("0/20536_a.png", "0/20536_b.png", "14/20540_a.png", "14/20541_a.png"),
    "Effusion",
    {"0/20536_a.png": "1", "0/20536_b.png": "0", "14/20540_a.png": "0", "14/20541_a.png": "-"},
    ("--ignore-labels",),
    patients=("p839", "p839", "p840", "p841"),
    views=("PA", "L", "AP_HORIZONTAL", "PA"),
    ages=(84.0, 84.0, None, 65.0),
    remarks=("words in lists that are no finding, passed over (--ignore-labels): 1 (1 'scoliosis')",),
)

_BOX = "{},{},{},{},100.0,200.0,300.0,400.0\n"
_NONE = "{},No finding,14,{},,,,\n"

VINDR: Final = Miniature(
    "vindr-cxr",
    "VinDr-CXR",
    {
        "train.csv": "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"
        + _BOX.format("50a418", "Pleural effusion", 10, "R11")
        + _BOX.format("50a418", "Pleural effusion", 10, "R11")
        + _NONE.format("9a5094", "R8")
        + _BOX.format("50a418", "Pleural effusion", 10, "R8")
        + _NONE.format("50a418", "R9")
        + _BOX.format("9a5094", "Pleural effusion", 10, "R9")
        + _BOX.format("9a5094", "Nodule/Mass", 8, "R10")
    },
    ("train/50a418.dicom", "train/9a5094.dicom"),
    "Effusion",
    {"train/50a418.dicom": "1", "train/9a5094.dicom": "0"},
    remarks=("several readers: an image has a label if most of its readers gave it (--readers majority)",),
)

RSNA: Final = Miniature(
    "rsna",
    "RSNA Pneumonia Detection Challenge",
    {
        "stage_2_train_labels.csv": "patientId,x,y,width,height,Target\n"
        "0004cfab,,,,,0\n"
        "00436515,264.0,152.0,213.0,379.0,1\n"
        "00436515,562.0,152.0,256.0,453.0,1\n",
        "stage_2_detailed_class_info.csv": "patientId,class\n"
        "0004cfab,No Lung Opacity / Not Normal\n00436515,Lung Opacity\n00436515,Lung Opacity\n",
    },
    ("stage_2_train_images/0004cfab.dcm", "stage_2_train_images/00436515.dcm"),
    "Pneumonia",
    {"stage_2_train_images/0004cfab.dcm": "0", "stage_2_train_images/00436515.dcm": "1"},
    ("--join", "stage_2_detailed_class_info.csv"),
    patients=("0004cfab", "00436515"),
    remarks=("its boxes are read by: nightread evaluate RUN --boxes",),
)

BRAX: Final = Miniature(
    "brax",
    "BRAX",
    {
        "master_spreadsheet_update.csv": "DicomPath,PngPath,PatientID,PatientSex,PatientAge,AccessionNumber,"
        f"StudyDate,{LABELER},ViewPosition,Rows,Columns,Manufacturer\n"
        "Anonymized_DICOMs/id_1/a.dcm,images/id_1/Study_1/Series_1/a.png,id_1,F,85 or more,acc1,20080101,"
        "1.0,,,,,,,,,,,,,,PA,2000,2000,1\n"
        "Anonymized_DICOMs/id_2/b.dcm,images/id_2/Study_2/Series_2/b.png,id_2,M,40,acc2,20080102,"
        ",,,,,,,,,,1.0,,,,L,2000,2000,1\n"
    },
    ("images/id_1/Study_1/Series_1/a.png", "images/id_2/Study_2/Series_2/b.png"),
    "Effusion",
    {"images/id_1/Study_1/Series_1/a.png": "0", "images/id_2/Study_2/Series_2/b.png": "1"},
    patients=("id_1", "id_2"),
    views=("PA", "L"),
    ages=(85.0, 40.0),
)

COVID: Final = Miniature(
    "covid-chestxray",
    "covid-chestxray",
    {
        "metadata.csv": "patientid,offset,sex,age,finding,RT_PCR_positive,survival,view,modality,date,"
        "location,folder,filename,doi,license\n"
        "2,0.0,M,65.0,Pneumonia/Viral/COVID-19,Y,Y,PA,X-ray,2020,Somewhere,images,a.jpeg,,CC\n"
        "3,,F,40.0,No Finding,,,AP Supine,X-ray,2020,Somewhere,images,b.jpg,,CC\n"
        "4,,F,,todo,,,L,X-ray,2020,Somewhere,images,c.png,,CC\n"
        "5,,F,,Pneumonia,,,Axial,CT,2020,Somewhere,volumes,d.nii.gz,,CC\n"
    },
    ("images/a.jpeg", "images/b.jpg", "images/c.png", "volumes/d.nii.gz"),
    "Pneumonia",
    {"images/a.jpeg": "1", "images/b.jpg": "0", "images/c.png": "-"},
    patients=("2", "3", "4"),
    views=("PA", "AP SUPINE", "L"),
    ages=(65.0, 40.0, None),
    remarks=("rows of other modalities, left out: 1 (1 'CT')",),
)

MINIATURES: Final = {
    "NIH ChestX-ray14": NIH,
    "NIH ChestX-ray14, Kaggle's folders": NIH_KAGGLE,
    "CheXpert": CHEXPERT,
    "CheXpert Plus": CHEXPERT_PLUS,
    "MIMIC-CXR-JPG": MIMIC,
    "PadChest": PADCHEST,
    "VinDr-CXR": VINDR,
    "RSNA Pneumonia Detection Challenge": RSNA,
    "BRAX": BRAX,
    "covid-chestxray": COVID,
}
"""By the names that docs/datasets.md gives them."""
