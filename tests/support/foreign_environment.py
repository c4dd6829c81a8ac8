"""Makes the virtual environment of the foreign SDK, once per requirements file."""

import fcntl
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_HOME = _ROOT / ".cache" / "connect-sdk-22"
_REQUIREMENTS = Path(__file__).with_name("connect-sdk-requirements.txt")


def foreign_python() -> Path:
    """The interpreter of an environment that has connect-sdk 22.0.

    Made at the first call and reused as long as the requirements stay the same. Processes that
    call at the same time wait for one another; an attempt that is interrupted leaves nothing
    that a later one would take for complete.

    Raises:
        subprocess.CalledProcessError: the packages cannot be installed.
    """
    wanted = sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    stamp = _HOME / "complete"
    _HOME.parent.mkdir(exist_ok=True)
    with (_HOME.parent / "connect-sdk-22.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_text() == wanted):
            _make(stamp, wanted)
    return _HOME / "bin" / "python"


def _make(stamp: Path, wanted: str) -> None:
    # The environment has to be made in place, for its scripts hold its path; the stamp, written
    # last and renamed into place, is what makes it complete.
    shutil.rmtree(_HOME, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(_HOME)], check=True)
    pip = [str(_HOME / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--requirement", str(_REQUIREMENTS)], check=True)
    with tempfile.NamedTemporaryFile("w", dir=_HOME, delete=False) as partial:
        partial.write(wanted)
    Path(partial.name).replace(stamp)


if __name__ == "__main__":
    # For programs outside of the tests.
    print(foreign_python())
