"""The checks of a release: each passes on what is right and fails on what is not."""

import json
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
RELEASE: dict[str, Any] = runpy.run_path(str(ROOT / ".ci" / "release.py"))


@pytest.mark.parametrize(("text", "good"), [
    ("MIT", True), ("Apache-2.0 OR GPL-3.0", True), ("MIT AND MPL-2.0", True),
    ("BSD-3-Clause AND GPL-2.0", False), ("AGPL-3.0", False), ("", False),
    ("GNU Lesser General Public License v3 (LGPLv3)", False), ("Elastic-2.0", False),
    ("PSF-2.0", True), ("(Apache-2.0 OR MIT) AND PSF-2.0", True),
])
def test_licences(text, good):
    assert RELEASE["acceptable"](text) is good


def test_every_installed_dependency_has_a_licence_on_the_list():
    assert RELEASE["refused_licences"]() == []


def test_the_tree_builds_the_same_small_typed_wheel_whenever(tmp_path):
    pytest.importorskip("hatchling")
    digests = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        code = "import sys, hatchling.build as b; b.build_wheel(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True,
                       capture_output=True, env={"PATH": "", "SOURCE_DATE_EPOCH":
                                                 RELEASE["EPOCH"]})
        (wheel,) = folder.glob("*.whl")
        digests.add(RELEASE["digest"](wheel))
        assert RELEASE["wheel_faults"](wheel) == []
    assert len(digests) == 1


def test_a_wheel_that_lacks_its_marker_or_is_too_large_is_faulted(tmp_path):
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tests/test_x.py", "")
        archive.writestr("ridgeline/blob", b"\0" * 10_000_001)
    faults = "\n".join(RELEASE["wheel_faults"](wheel))
    assert "py.typed" in faults and "should not ship" in faults and "at most" in faults


def test_an_audit_that_looked_nothing_up_is_not_clean():
    report = {"dependencies": [{"name": "a", "skip_reason": "not found"},
                               {"name": "b", "version": "1", "vulns": [{"id": "CVE-1"}]},
                               {"name": "c", "version": "2", "vulns": []}]}
    assert RELEASE["audited"](json.dumps(report)) == (["b 1: CVE-1"], 2, 1)
