"""Reading what users name, and writing whole files."""

import pytest

from ridgeline.errors import BadInput
from ridgeline.files import read_json, read_text, write_atomically


@pytest.mark.parametrize(("content", "said"), [
    (b"\xff\xfe\x00", "cannot read {}: it is not UTF-8 text"),
    (b"  \n", "{} is empty"),
    (b"{", "{} is not valid JSON: "),
    (b"[" * 100_000, "{} is not valid JSON: it is nested too deeply"),
])
def test_what_is_no_json_is_said_in_one_line(tmp_path, content, said):
    file = tmp_path / "own.json"
    file.write_bytes(content)
    with pytest.raises(BadInput) as raised:
        read_json(file)
    assert str(raised.value).startswith(said.format(file))
    assert "\n" not in str(raised.value)


def test_missing_folders_large_files_and_marks(tmp_path):
    with pytest.raises(BadInput, match="No such file"):
        read_text(tmp_path / "none")
    with pytest.raises(BadInput, match="Is a directory"):
        read_text(tmp_path)
    with pytest.raises(BadInput, match="cannot read"):
        read_text("a\0b")
    (tmp_path / "large").write_text("x" * 2000)
    with pytest.raises(BadInput, match="more than 0 MB"):
        read_text(tmp_path / "large", most=1000)
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbfname")
    assert read_text(tmp_path / "marked") == "name"


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "page.txt"
    assert write_atomically(target, "first").read_text() == "first"
    with pytest.raises(BadInput, match="cannot write"):
        write_atomically(tmp_path / "none" / "page.txt", "second")
    with pytest.raises(BadInput, match="cannot write"):
        write_atomically(tmp_path, "second")
    assert [f.name for f in tmp_path.iterdir()] == ["page.txt"] and target.read_text() == "first"
