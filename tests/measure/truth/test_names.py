import pytest

from ridgeline.errors import BadInput
from ridgeline.measure.truth import names


@pytest.fixture(autouse=True)
def forget():
    yield
    names._added.clear()


def test_the_bundled_mapping_knows_the_public_tables():
    from ridgeline.measure.truth.reader import read_table
    from ridgeline.truth_data import shipped_file

    table = read_table(shipped_file("serving_throughput.csv.xz"))
    unknown = {m for m in table.columns["model"] if names.look_up(m).how == "unmapped"}
    assert unknown == set()


def test_own_names_come_first_and_configs_beside_them_are_found(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.json").write_text("{}")
    mapping = tmp_path / "names.csv"
    mapping.write_text("name,config_file,weights\nMy model,mine.json,fp8\nOther,bundled.json,\n")
    assert names.add_names(mapping) == 2
    assert names.look_up("My model").config == str(tmp_path / "models" / "mine.json")
    assert names.look_up("My model").weights == "fp8"
    assert names.look_up("Other").config == "bundled.json"


@pytest.mark.parametrize("text, message", [
    ("name,file\nA,b\n", "also needs: config_file"),
    ("name,config_file\nA,b.json\nA,c.json\n", "row 2: 'A' stands for two configs"),
])
def test_bad_mappings(tmp_path, text, message):
    path = tmp_path / "names.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        names.read_names(path)


def test_names_without_a_config_say_why():
    missing = next(n for n in names._bundled().values() if n.how == "missing")
    with pytest.raises(BadInput, match="no genuine config"):
        names.architecture_named(missing.name)
