"""The tables of figures: evaluations of a run against a label set, and comparisons of two runs."""

from typing import Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    text,
)

from db.schema.base import State, UtcDateTime, id_column, is_one_of, metadata, reference
from db.states import EvaluationState

evaluation = Table(
    "evaluation",
    metadata,
    id_column(),
    reference("run_id", "run.id"),
    reference("label_manifest_id", "manifest.id"),
    Column("label_set", Text, nullable=False),
    # True for the one evaluation that a run's last batch makes due.
    Column("closes_run", Boolean, nullable=False),
    Column("state", State(EvaluationState), nullable=False, server_default=EvaluationState.DUE),
    Column("attempt", SmallInteger, nullable=False, server_default="0"),
    Column("lease_token", Text),
    Column("lease_expires_at", Double),
    Column("sent_at", Double),
    Column("evaluated_at", UtcDateTime),
    Column("bootstrap", Integer, nullable=False, server_default="0"),  # resamples of patients
    Column("wanted_sensitivity", Double),
    Column("box_set_id", Integer, ForeignKey("box_set.id")),
    Column("schedule_id", Integer, ForeignKey("schedule.id")),
    Column("message", Text),  # why it failed
    CheckConstraint(is_one_of("state", EvaluationState), name="state"),
    Index(
        "uq_evaluation_closing",
        "run_id",
        unique=True,
        sqlite_where=text("closes_run"),
        postgresql_where=text("closes_run"),
    ),
)

_CALLS: Final = ("tp", "fp", "tn", "fn")

_SHARES: Final = (
    *(
        f"{share}{bound}"
        for share in ("sensitivity", "specificity", "ppv", "npv")
        for bound in ("", "_low", "_high")
    ),
    "f1",
    "accuracy",
    "prevalence",
)

evaluation_result = Table(
    "evaluation_result",
    metadata,
    reference("evaluation_id", "evaluation.id", primary_key=True),
    Column("subgroup", Text, primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("n_positive", Integer, nullable=False),
    Column("n_negative", Integer, nullable=False),
    *(
        Column(name, Double)
        for name in (
            "auroc",
            "ci_low",
            "ci_high",
            "average_precision",
            "threshold",
            "sensitivity",
            "specificity",
            "ppv",
            "npv",
            "f1",
            "brier",
            "calibration_error",
            "bootstrap_low",
            "bootstrap_high",
            "platt_slope",
            "platt_intercept",
        )
    ),
    Column("reason", Text),  # why figures are NULL
    Column("ci_method", Text),
    Column("patients", Integer),
    Column("without_patient", Integer),
    Column("average_precision_low", Double),
    Column("average_precision_high", Double),
    Column("brier_low", Double),
    Column("brier_high", Double),
    CheckConstraint("ci_method IN ('delong','obuchowski','score')", name="ci_method"),
)

mean_result = Table(
    "mean_result",
    metadata,
    reference("evaluation_id", "evaluation.id", primary_key=True),
    Column("subgroup", Text, primary_key=True),
    Column("findings", SmallInteger, nullable=False),
    *(Column(name, Double) for name in ("mean_auroc", "ci_low", "ci_high")),
    Column("left_out", Text),  # findings, separated by |
)

threshold_result = Table(
    "threshold_result",
    metadata,
    reference("evaluation_id", "evaluation.id", primary_key=True),
    Column("subgroup", Text, primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("threshold", Double),
    *(Column(name, Integer) for name in _CALLS),
    *(Column(name, Double) for name in _SHARES),
    Column("reason", Text),
    CheckConstraint("kind IN ('card','0.5','youden','sensitivity')", name="kind"),
)

calibration_bin = Table(
    "calibration_bin",
    metadata,
    reference("evaluation_id", "evaluation.id", primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("bin", SmallInteger, primary_key=True, autoincrement=False),
    Column("lower", Double, nullable=False),
    Column("upper", Double, nullable=False),
    Column("images", Integer, nullable=False),
    Column("mean_probability", Double),
    Column("share_positive", Double),
    Column("share_low", Double),
    Column("share_high", Double),
)

curve_point = Table(
    "curve_point",
    metadata,
    reference("evaluation_id", "evaluation.id", primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("curve", Text, primary_key=True),
    Column("point", SmallInteger, primary_key=True, autoincrement=False),
    Column("x", Double, nullable=False),
    Column("y", Double, nullable=False),
    Column("threshold", Double),  # NULL for the first point, where no image is called positive
    Column("y_low", Double),
    Column("y_high", Double),
    CheckConstraint("curve IN ('roc','precision_recall')", name="curve"),
)

localisation_result = Table(
    "localisation_result",
    metadata,
    reference("evaluation_id", "evaluation.id", primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("images", Integer, nullable=False),  # with a map and a box of this finding
    Column("hits", Integer, nullable=False),  # whose map's peak lies in a box
    *(Column(name, Double) for name in ("pointing", "ci_low", "ci_high", "mean_iou")),
    Column("reason", Text),
    Column("mean_iou_low", Double),
    Column("mean_iou_high", Double),
)

fixed_result = Table(
    "fixed_result",
    metadata,
    reference("evaluation_id", "evaluation.id", primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("fixed", Text, primary_key=True),  # which of the two is at least the level; the other is the value
    Column("level", Double, nullable=False),
    *(Column(name, Double) for name in ("threshold", "value", "low", "high")),
    Column("reason", Text),
    CheckConstraint("fixed IN ('specificity','sensitivity')", name="fixed"),
)

net_benefit_point = Table(
    "net_benefit_point",
    metadata,
    reference("evaluation_id", "evaluation.id", primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("threshold", Double, primary_key=True),
    *(Column(name, Integer, nullable=False) for name in ("tp", "fp")),
    *(Column(name, Double, nullable=False) for name in ("model", "everyone")),
)

first_images_result = Table(
    "first_images_result",
    metadata,
    reference("evaluation_id", "evaluation.id", primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("images", Integer, primary_key=True, autoincrement=False),
    Column("positive", Integer, nullable=False),
    Column("precision", Double, nullable=False),
    *(Column(name, Double) for name in ("low", "high", "lift", "found")),
)

operating_result = Table(
    "operating_result",
    metadata,
    reference("run_id", "run.id", primary_key=True),
    reference("chosen_on", "evaluation.id", primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("kind", Text, primary_key=True),
    reference("label_manifest_id", "manifest.id"),
    Column("tested_at", UtcDateTime, nullable=False),
    Column("threshold", Double, nullable=False),
    *(Column(name, Integer) for name in _CALLS),
    *(Column(name, Double) for name in _SHARES),
    Column("reason", Text),
)

comparison = Table(
    "comparison",
    metadata,
    id_column(),
    reference("run_a", "run.id"),
    reference("run_b", "run.id"),
    reference("label_manifest_id", "manifest.id"),
    Column("label_set", Text, nullable=False),
    Column("images", Integer, nullable=False),  # that both have scored
    Column("compared_at", UtcDateTime, nullable=False),
)

comparison_result = Table(
    "comparison_result",
    metadata,
    reference("comparison_id", "comparison.id", primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("n_positive", Integer, nullable=False),
    Column("n_negative", Integer, nullable=False),
    *(
        Column(name, Double)
        for name in ("auroc_a", "auroc_b", "difference", "ci_low", "ci_high", "z", "p", "p_holm")
    ),
    Column("reason", Text),
    Column("patients", Integer),
    Column("test", Text),
)

drift_check = Table(
    "drift_check",
    metadata,
    id_column(),
    reference("run_id", "run.id"),
    reference("baseline_id", "run.id"),
    Column("measured_at", UtcDateTime, nullable=False),
)

drift_result = Table(
    "drift_result",
    metadata,
    reference("drift_id", "drift_check.id", primary_key=True),
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    Column("measure", Text, nullable=False),
    Column("finding_id", Integer, ForeignKey("finding.id")),  # NULL: of the images, not of a finding
    Column("n", Integer, nullable=False),  # patients
    Column("n_baseline", Integer, nullable=False),
    *(Column(name, Double) for name in ("value", "value_baseline", "psi", "ks", "p", "p_holm")),
    Column("reason", Text),
)

agreement_result = Table(
    "agreement_result",
    metadata,
    reference("run_id", "run.id", primary_key=True),
    Column("labels", Text, primary_key=True),  # the path of the file that has the readers' labels
    Column("number", Integer, primary_key=True),
    reference("finding_id", "finding.id"),
    Column("statistic", Text, nullable=False),  # cohen or fleiss
    Column("reader_a", Text),  # of Cohen's kappa; NULL: of all readers
    Column("reader_b", Text),
    Column("readers", Integer, nullable=False),  # of each image
    Column("images", Integer, nullable=False),
    *(Column(name, Double) for name in ("kappa", "ci_low", "ci_high")),
    Column("reason", Text),
    Column("measured_at", UtcDateTime, nullable=False),
    CheckConstraint("statistic IN ('cohen','fleiss')", name="statistic"),
)

published_auroc = Table(
    "published_auroc",
    metadata,
    Column("source", Text, primary_key=True),
    reference("finding_id", "finding.id", primary_key=True),
    Column("auroc", Double, nullable=False),
    Column("ci_low", Double),
    Column("ci_high", Double),
    Column("citation", Text, nullable=False),
)
