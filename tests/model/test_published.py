import pytest

from ridgeline.errors import BadInput
from ridgeline.model.load import bundled_models
from ridgeline.model.published import _COLUMNS, published_sizes, read_published

HEAD = ",".join(_COLUMNS) + "\n"
GOOD = "me/tiny,llama,1000,,card,1024,file header,,page\n"


def test_every_bundled_model_has_a_row():
    assert set(published_sizes()) == set(bundled_models())
    maverick = published_sizes()["meta-llama/Llama-4-Maverick-17B-128E-Instruct"]
    assert (maverick.active, maverick.exact) == (17_000_000_000, 401_583_781_376)


def test_a_row(tmp_path):
    path = tmp_path / "models.csv"
    path.write_text(HEAD + GOOD)
    entry = read_published(path)["me/tiny"]
    assert (entry.total, entry.active, entry.exact) == (1000, None, 1024)


@pytest.mark.parametrize(("text", "message"), [
    ("", "columns"), ("name,size\n", "columns"), (HEAD + "a,b\n", "line 2: 2 cells"),
    (HEAD + GOOD * 2, "line 3: me/tiny stands twice"),
    (HEAD + GOOD.replace("1024", "1e3"), "total_params_exact"),
    (HEAD + GOOD.replace("1024", "-4"), "total_params_exact"),
    (HEAD + GOOD.replace("file header", ""), "exact_source"),
    (HEAD + GOOD.replace("card", ""), "published_source"),
    (HEAD + GOOD.replace("page", ""), "config_source")])
def test_refused(tmp_path, text, message):
    path = tmp_path / "models.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        read_published(path)


def test_no_such_table(tmp_path):
    with pytest.raises(BadInput, match="cannot read"):
        read_published(tmp_path / "none.csv")
