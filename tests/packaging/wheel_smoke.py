"""Install a built wheel into an environment of its own and run it: ``python -m tests.packaging.wheel_smoke WHEEL``.

The dependencies are borrowed from the environment that runs this script (installing torch twice buys
nothing), the package itself is not: what answers is the wheel, in a folder without a checkout.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path


def output_of(*command: str | Path, folder: Path) -> str:
    """Run a command in `folder` and return what it printed; a failure ends the script."""
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def check_wheel(wheel: Path) -> None:
    """Install and run one wheel."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        home = folder / "venv"
        venv.create(home, with_pip=True)
        python = home / "bin" / "python"
        output_of(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel.resolve(), folder=folder)
        site = Path(
            output_of(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip()
        )
        (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        origin = output_of(python, "-c", "import estimator; print(estimator.__file__)", folder=folder)
        if not Path(origin.strip()).is_relative_to(site):
            sys.exit(f"the checkout answered instead of the wheel: {origin}")
        if not (site / "estimator" / "py.typed").exists():
            sys.exit("the wheel lacks py.typed")
        cli = home / "bin" / "estimator-cli"
        version = output_of(cli, "--version", folder=folder).strip()
        devices = json.loads(output_of(cli, "devices", "list", "--format", "json", folder=folder))["devices"]
        if not devices:
            sys.exit("the wheel carries no device catalogue")
        print(f"{wheel.name}: installed clean; {version}; {len(devices)} devices")


if __name__ == "__main__":
    check_wheel(Path(sys.argv[1]))
