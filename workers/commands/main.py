"""The command `nightread`: one line per command, whose module is loaded when it is called."""

from collections.abc import Mapping
from typing import Final

from jobs.commands.app import PANEL_ASK, PANEL_MANY, PANEL_MODELS, PANEL_RUN, Entry, command_line, run_cli

COMMANDS: Final[Mapping[str, Entry]] = {
    "score": Entry(
        "jobs.commands.score",
        PANEL_RUN,
        "Score all images of a manifest or folder, wait for the end, and print the AUC table.",
    ),
    "submit": Entry(
        "jobs.commands.submit",
        PANEL_RUN,
        "Commit a run and print its number; workers elsewhere score it.",
    ),
    "manifest": Entry(
        "jobs.commands.manifest",
        PANEL_RUN,
        "Make a manifest of a folder, bucket or PACS: its frontal chest radiographs, with what their files "
        "say.",
    ),
    "resume": Entry(
        "jobs.commands.resume",
        PANEL_RUN,
        "Continue a run that was stopped or cancelled, and wait for its end. Nothing is scored twice.",
    ),
    "cancel": Entry(
        "jobs.commands.cancel",
        PANEL_RUN,
        "Stop a run; batches in progress are finished, and `nightread resume` continues it.",
    ),
    "demo": Entry(
        "workers.commands.demo",
        PANEL_RUN,
        "Draw phantoms, score them, and ask the database three questions: half a minute on two cores.",
    ),
    "import-scores": Entry(
        "workers.commands.import_scores",
        PANEL_RUN,
        "Import another system's scores as a run, evaluate it, and print the AUC table.",
    ),
    "status": Entry(
        "jobs.commands.status",
        PANEL_ASK,
        "Show the progress of runs, what they and schedules wait for, and the alerts of the last seven days.",
    ),
    "failures": Entry(
        "jobs.commands.failures",
        PANEL_ASK,
        "Show why images or cases of a run have no result: reasons, counts and examples.",
    ),
    "sql": Entry(
        "jobs.commands.sql",
        PANEL_ASK,
        "Query the database, read-only.",
    ),
    "views": Entry(
        "jobs.commands.views",
        PANEL_ASK,
        "Show the SQL views: what a row of each is, and what its columns mean, with their units.",
    ),
    "worklist": Entry(
        "jobs.commands.worklist",
        PANEL_ASK,
        "Put a run's images in the order in which somebody should look at them, with the reason for each.",
    ),
    "report": Entry(
        "workers.commands.report",
        PANEL_ASK,
        "Write a run's report: one HTML file with its figures, curves and overlays, to read, print or send.",
    ),
    "browse": Entry(
        "workers.commands.browse",
        PANEL_ASK,
        "Look at a run in a browser, on this machine only: images or volumes, filters, and its report.",
    ),
    "export": Entry(
        "workers.commands.export",
        PANEL_ASK,
        "Write a run's rows to a CSV or Parquet file, or its results as DICOM objects.",
    ),
    "send": Entry(
        "workers.commands.send",
        PANEL_ASK,
        "Send a run's results into a PACS as DICOM objects, by C-STORE or STOW-RS.",
    ),
    "deliveries": Entry(
        "jobs.commands.deliveries",
        PANEL_ASK,
        "Show what was sent into a PACS: objects by receiver, kind and state, and what the receiver said.",
    ),
    "evaluate": Entry(
        "workers.commands.evaluate",
        PANEL_ASK,
        "Evaluate a run again: with corrected labels, a bootstrap, another threshold, or drawn boxes.",
    ),
    "thresholds": Entry(
        "workers.commands.thresholds",
        PANEL_ASK,
        "Test thresholds on images that had no part in choosing them.",
    ),
    "compare": Entry(
        "workers.commands.compare",
        PANEL_ASK,
        "Test whether run A is better than run B, on the images that both have scored.",
    ),
    "drift": Entry(
        "workers.commands.drift",
        PANEL_ASK,
        "Test whether a run's images and scores are like those of a baseline run.",
    ),
    "duplicates": Entry(
        "workers.commands.duplicates",
        PANEL_ASK,
        "Find films that are there twice: as the same file, or resized, brightened, cropped or inverted.",
    ),
    "calibrate": Entry(
        "workers.commands.calibrate",
        PANEL_ASK,
        "Write calibrated probabilities beside a run's raw ones, using the Platt scaling of an evaluation.",
    ),
    "heatmap": Entry(
        "workers.commands.heatmap",
        PANEL_ASK,
        "Draw a finding's Grad-CAM over its radiograph, at full size, from the stored map.",
    ),
    "train": Entry(
        "workers.commands.train",
        PANEL_MODELS,
        "Train a network on a manifest; the result is a model folder for `nightread score --model`.",
    ),
    "models": Entry(
        "workers.commands.models",
        PANEL_MODELS,
        "Add models of your own, and see which there are.",
    ),
    "worker": Entry(
        "workers.commands.worker",
        PANEL_MANY,
        "Start a worker: it loads a model, checks it against its card, and scores what is queued.",
    ),
    "beat": Entry(
        "workers.commands.beat",
        PANEL_MANY,
        "Start the clock that triggers a reconciliation every few seconds; one is enough, two do no harm.",
    ),
    "flower": Entry(
        "workers.commands.flower",
        PANEL_MANY,
        "Start Flower, read-only: workers, tasks with run and batch, and times, in a browser.",
    ),
    "metrics": Entry(
        "jobs.commands.metrics",
        PANEL_MANY,
        "Export the state of the ledger and the queue to Prometheus; no patient, image or run is named.",
    ),
    "health": Entry(
        "jobs.commands.health",
        PANEL_MANY,
        "Check whether a worker or beat is healthy: exit code 0 or 1, and one line.",
    ),
    "doctor": Entry(
        "workers.commands.doctor",
        PANEL_MANY,
        "Check everything that a night's work depends on, one line each, with what to do about it.",
    ),
    "runs": Entry(
        "jobs.commands.deletion",
        PANEL_MANY,
        "Delete runs that are over.",
    ),
    "db": Entry(
        "jobs.commands.db",
        PANEL_MANY,
        "Create or upgrade the database's tables.",
    ),
    "schedule": Entry(
        "jobs.commands.schedule",
        PANEL_MANY,
        "Schedule runs and evaluations: add, list and remove.",
    ),
}
"""What is shown is the first paragraph of each command's help; a test compares them."""

app = command_line(COMMANDS)


def main() -> None:
    """Run the command line."""
    run_cli(app)


if __name__ == "__main__":
    main()
