"""What a release must satisfy: `python .ci/release.py [FOLDER]` builds into FOLDER (dist).

- the wheel is under 10 MB, carries `py.typed`, licence and notice, and no tests;
- built twice from different clocks it has the same bytes, and so has the sdist;
- the wheel built from the sdist alone has those bytes too;
- installed into an empty environment, without extras, it answers a question;
- every dependency that is installed has a licence on the list;
- an SBOM (CycloneDX) of the runtime is written beside the wheel;
- no pinned version has a known vulnerability. That needs a service on the network: where it cannot
  be reached this check says so and is left out, and RIDGELINE_AUDIT=required makes that a failure.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIMIT = 10_000_000
# 1 January 2026: the date every file in an archive carries.
EPOCH = "1767225600"
# Permissive, or weak copyleft that binds changes to the library itself only (MPL, and LGPL for the
# tools that never ship).
ALLOWED = ("0BSD", "APACHE", "BSD", "CC0", "HPND", "ISC", "MIT", "MPL", "PSF",
           "PYTHON SOFTWARE FOUNDATION", "MOZILLA", "UNLICENSE", "ZLIB")
REFUSED = re.compile(r"\b(A?GPL|GNU|SSPL|BUSL|NON-?COMMERCIAL|PROPRIETARY)", re.IGNORECASE)
# Their metadata names no licence; read in the files they ship.
READ_BY_HAND = {"resvg-py": "MIT"}


def licence(found: importlib.metadata.Distribution) -> str:
    """The licence a distribution states: expression, classifiers, or first line of its field."""
    data = found.metadata
    named = [line.split("::")[-1].strip() for line in data.get_all("Classifier") or []
             if line.startswith("License ::")]
    field = (data.get("License") or "").strip().splitlines()
    return (data.get("License-Expression") or " AND ".join(named) or (field[0] if field else "")
            or READ_BY_HAND.get(data["Name"].lower().replace("_", "-"), ""))


def acceptable(text: str) -> bool:
    """Whether a licence is on the list. Of alternatives (OR) one is enough; AND needs all."""
    return any(all(not REFUSED.search(part) and any(a in part.upper() for a in ALLOWED)
                   for part in re.split(r"\bAND\b|;", choice))
               for choice in re.split(r"\bOR\b", text.replace("(", " ").replace(")", " ")))


def refused_licences() -> list[str]:
    """Installed distributions whose licence is not on the list."""
    installed = {d.metadata["Name"]: licence(d) for d in importlib.metadata.distributions()}
    return sorted(f"{name}: {text or 'states none'}" for name, text in installed.items()
                  if not acceptable(text))


def wheel_faults(wheel: Path) -> list[str]:
    """What is wrong with a wheel's size and content."""
    names = zipfile.ZipFile(wheel).namelist()
    faults = [f"{wheel.name} has {wheel.stat().st_size} bytes, at most {LIMIT} are allowed"
              ] if wheel.stat().st_size > LIMIT else []
    needed = ("ridgeline/py.typed", "ridgeline/truth_data/SOURCES.md",
              "ridgeline/web/page/index.html", "licenses/LICENSE", "licenses/NOTICE")
    faults += [f"{ending} is not in {wheel.name}" for ending in needed
               if not any(name.endswith(ending) for name in names)]
    faults += [f"{name} should not ship" for name in names
               if "__pycache__" in name or name.split("/")[0] in ("tests", "benchmarks", "docs")]
    return faults


def build(folder: Path, tree: Path = ROOT) -> list[Path]:
    """Sdist and wheel of a tree, with the clock pinned."""
    code = ("import sys, hatchling.build as b; "
            "b.build_wheel(sys.argv[1]); b.build_sdist(sys.argv[1])")
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=tree, check=True,
                   env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH}, stdout=subprocess.DEVNULL)
    return [*folder.glob("*.tar.gz"), *folder.glob("*.whl")]


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def differing(first: list[Path], second: list[Path]) -> list[str]:
    """Names of artefacts that two builds did not make alike."""
    return [a.name for a, b in zip(first, second, strict=True) if digest(a) != digest(b)]


def try_installed(wheel: Path) -> None:
    """Install into an empty environment, no extras, and ask a question away from the tree."""
    lock = (ROOT / "requirements" / "runtime.lock").read_text(encoding="utf-8")
    pins = [line.removesuffix(" \\") for line in lock.splitlines() if re.match(r"\w", line)]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        constraints = Path(folder) / "pins.txt"
        constraints.write_text("\n".join(pins), encoding="utf-8")
        subprocess.run([str(Path(folder) / "bin" / "python"), "-m", "pip", "install", "-qq",
                        "--disable-pip-version-check", "-c", str(constraints), str(wheel)],
                       check=True)
        done = subprocess.run(
            [str(Path(folder) / "bin" / "ridgeline"), "estimate", "Llama-3.1-8B", "--on",
             "H100-SXM", "--json"], cwd=folder, check=True, capture_output=True, text=True)
        assert '"question"' in done.stdout, done.stdout


def wheel_of(sdist: Path, folder: Path) -> Path:
    """The wheel that somebody builds who has the sdist only."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    return build(tree / "dist", tree)[-1]


def write_sbom(folder: Path) -> Path:
    """A bill of materials of the pinned runtime, in CycloneDX's JSON."""
    target = folder / "sbom.cdx.json"
    subprocess.run([sys.executable, "-m", "cyclonedx_py", "requirements",
                    str(ROOT / "requirements" / "runtime.lock"), "--pyproject",
                    str(ROOT / "pyproject.toml"), "--output-reproducible", "--of", "JSON", "-o",
                    str(target)], check=True, stderr=subprocess.DEVNULL)
    return target


def audited(report: str) -> tuple[list[str], int, int]:
    """Vulnerabilities in a report of pip-audit, packages it looked up, and those it could not."""
    found = json.loads(report)["dependencies"]
    known = [f"{d['name']} {d['version']}: {v['id']}" for d in found for v in d.get("vulns", ())]
    skipped = sum("skip_reason" in d for d in found)
    return known, len(found) - skipped, skipped


def audit() -> str:
    """What the vulnerability service says of the pinned runtime: "" when clean, else the reason.

    A service that knows none of the packages was not the service: that is no clean audit.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--timeout", "10",
         "--progress-spinner", "off", "-f", "json", "-r",
         str(ROOT / "requirements" / "runtime.lock")], capture_output=True, text=True)
    known, seen, skipped = audited(done.stdout) if done.stdout.startswith("{") else ([], 0, 0)
    print(f"pip-audit: {seen} packages looked up, {skipped} not, {len(known)} vulnerabilities")
    if known or (seen and not skipped):
        return "; ".join(known)
    print("pip-audit did not reach a service that knows these packages: NOT AUDITED")
    return "not audited" if os.environ.get("RIDGELINE_AUDIT") == "required" else ""


def main(arguments: list[str]) -> int:
    """Exit status: 0 if everything holds."""
    folder = Path(arguments[0] if arguments else "dist").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    faults = [f"licence of {found}" for found in refused_licences()]
    artefacts = build(folder)
    with tempfile.TemporaryDirectory() as again:
        time.sleep(2)  # zip files store times to two seconds: a clock that leaks would show
        faults += [f"{name} differs between builds"
                   for name in differing(artefacts, build(Path(again)))]
    for artefact in artefacts:
        print(f"{artefact.name}: {artefact.stat().st_size / 1e6:.2f} MB, {digest(artefact)}")
    sdist, wheel = artefacts
    faults += wheel_faults(wheel)
    with tempfile.TemporaryDirectory() as unpacked:
        if digest(wheel_of(sdist, Path(unpacked))) != digest(wheel):
            faults.append("the sdist builds another wheel than the tree")
    try_installed(wheel)
    print(f"SBOM: {write_sbom(folder)}")
    if found := audit():
        faults.append(f"vulnerabilities: {found}")
    print("\n".join(faults) or "a release would pass")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
