"""The user's own entries, and what malformed ones are told."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ridgeline.catalog import Catalog, list_names, load_chip
from ridgeline.catalog.files import DATA
from ridgeline.catalog.loader import ENVIRONMENT, default_catalog, read_api_prices
from ridgeline.errors import BadInput, UnknownName

T4 = (DATA / "chips" / "T4.toml").read_text("utf-8")


def _chip(folder: Path, name: str, text: str = T4) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(re.sub(r'^name = ".*"', f'name = "{name}"', text, count=1, flags=re.M)
                    .replace('aliases = ["Tesla T4", "T4 16GB"]', f'aliases = ["{name} alias"]'))
    return path


def test_a_users_file_adds_a_chip(tmp_path: Path) -> None:
    path = _chip(tmp_path, "My-Chip")
    for source in (path, tmp_path):
        catalog = Catalog.of([source])
        assert catalog.chip("my chip").name == "My-Chip"
        assert catalog.chip("MY_CHIP ALIAS").name == "My-Chip"
        assert "My-Chip" in catalog.names("chips") and "T4" in catalog.names("chips")
        assert catalog.chip("H100").name == "H100-SXM"
        with pytest.raises(UnknownName, match="My-Chip"):
            catalog.chip("My-Chap")


def test_a_users_file_overrides_a_bundled_chip(tmp_path: Path) -> None:
    text = (DATA / "chips" / "H100-SXM.toml").read_text("utf-8")
    (tmp_path / "chips").mkdir()
    (tmp_path / "chips" / "H100-SXM.toml").write_text(
        text.replace("bandwidth = 3.35e12", "bandwidth = 3.0e12"))
    catalog = Catalog.of([tmp_path])
    for name in ("H100-SXM", "h100", "NVIDIA H100 80GB HBM3"):
        assert catalog.chip(name).memory_bandwidth == 3.0e12
    assert load_chip("H100").memory_bandwidth == 3.35e12


def test_links_and_tiers_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        '[[link]]\nname = "NVLink 4"\nkind = "scale-up"\nsource = "my bench"\ndate = "2026-01"\n'
        'confidence = "high"\nbandwidth = 4.0e11\nlatency_low = 1e-6\n')
    catalog = Catalog.of([tmp_path])
    assert catalog.link("NVLink 4").bandwidth == 4.0e11
    assert catalog.link("NVLink 5").bandwidth == 9.0e11
    assert catalog.names("chips") == list_names("chips")


def test_the_environment_names_a_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _chip(tmp_path, "Env-Chip")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    assert load_chip("env chip").name == "Env-Chip"
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match="no catalog file or folder"):
        default_catalog()


def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    path = _chip(tmp_path, "My-Chip")
    catalog = Catalog.of([path])
    assert catalog.chip("My-Chip").memory_bandwidth == 3.2e11
    path.write_text(path.read_text().replace("bandwidth = 3.2e11", "bandwidth = 3.0e11"))
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 1_000_000))
    assert catalog.chip("My-Chip").memory_bandwidth == 3.0e11


@pytest.mark.parametrize(("old", "new", "told"), [
    ('source = "NVIDIA', '# source = "NVIDIA', "source"),
    ("bandwidth = 3.2e11", 'bandwidth = "fast"', "memory.bandwidth"),
    ("bandwidth = 3.2e11", "bandwidth = -1.0", "memory.bandwidth"),
    ("bandwidth = 3.2e11", "bandwidth = 320.0", "memory.bandwidth"),
    ("bandwidth = 3.2e11", "bandwidth = nan", "memory.bandwidth"),
    ("bandwidth = 3.2e11", "bandwidth = inf", "memory.bandwidth"),
    ("bandwidth = 3.2e11", "", "bandwidth"),
    ("bandwidth = 3.2e11", "bandwidth = 3.2e11\nband_width = 1.0", "band_width"),
    ('kind = "gpu"', 'kind = "toaster"', "kind"),
    ('confidence = "medium"', 'confidence = "certain"', "confidence"),
    ('date = "2026-11"', 'date = "lately"', "date"),
    ("[peaks]", "[peeks]", "peeks"),
    ('name = "Mine"', 'name = "Other"', "name"),
    ("[memory]", "[memory", "TOML"),
])
def test_a_malformed_file_is_told_in_one_line(tmp_path: Path, old: str, new: str,
                                               told: str) -> None:
    path = _chip(tmp_path, "Mine")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(BadInput) as error:
        Catalog.of([path]).chip("Mine")
    message = str(error.value)
    assert str(path) in message and told in message and "\n" not in message


def test_peaks_and_usable_memory_need_their_reasons(tmp_path: Path) -> None:
    path = _chip(tmp_path, "Mine")
    text = path.read_text()
    path.write_text(re.sub(r"usable_source = .*\n", "", text))
    with pytest.raises(BadInput, match="usable_bytes and usable_source go together"):
        Catalog.of([path]).chip("Mine")
    path.write_text(re.sub(r"\[peaks\]\n(\w+ = .*\n)+", "[peaks]\n", text))
    with pytest.raises(BadInput, match="at least one rate"):
        Catalog.of([path]).chip("Mine")


def test_random_damage_never_escapes_as_another_error(tmp_path: Path) -> None:
    random.seed(7)
    raw = T4.encode()
    path = tmp_path / "T4.toml"
    refused = 0
    for _ in range(300):
        damaged = bytearray(raw)
        for _ in range(random.randint(1, 8)):
            at = random.randrange(len(damaged))
            action = random.random()
            if action < 0.5:
                damaged[at] = random.randrange(256)
            elif action < 0.75:
                del damaged[at:at + random.randint(1, 30)]
            else:
                damaged[at:at] = bytes(random.choices(range(32, 127), k=random.randint(1, 9)))
        path.write_bytes(bytes(damaged))
        try:
            Catalog.of([path]).chip("T4")
        except BadInput as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a = " + b"[" * 20_000, b"\x00" * 100,
                                     b"d = 9999-99-99", b"name = 5"])
def test_files_that_are_no_entries(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "T4.toml"
    path.write_bytes(content)
    with pytest.raises(BadInput) as error:
        Catalog.of([path]).chip("T4")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_price_rows_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "api.csv"
    head = "provider,model,source,date,input_usd_per_mtok\n"
    path.write_text(head + "a,b,here,2026-01,cheap\n")
    with pytest.raises(BadInput, match=r"line 2: input_usd_per_mtok: 'cheap' is not a number"):
        read_api_prices(path)
    path.write_text(head + "a,b,here,2026-01\n")
    with pytest.raises(BadInput, match="expected"):
        read_api_prices(path)
    path.write_text(head + "a,b,here,2026-01,-1\n")
    with pytest.raises(BadInput, match="input_usd_per_mtok"):
        read_api_prices(path)


def test_unknown_kind_and_path() -> None:
    with pytest.raises(BadInput, match="no catalog file"):
        Catalog.of(["/nowhere/at/all"])
    with pytest.raises(BadInput, match="unknown catalog kind"):
        default_catalog().names("toasters")  # type: ignore[arg-type]


def test_loading_a_chip_needs_no_numpy_and_is_quick() -> None:
    code = ("import sys, time\n"
            "from ridgeline.catalog import load_chip\n"
            "load_chip('T4')\n"
            "start = time.perf_counter()\n"
            "load_chip('H100-SXM')\n"
            "took = time.perf_counter() - start\n"
            "assert 'numpy' not in sys.modules and 'rich' not in sys.modules\n"
            "assert took < 0.015, took\n")
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": source}, check=False)
    assert done.returncode == 0, done.stderr
