"""Plain data survives as YAML."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.search.launch.yaml_text import yaml_text

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12) | st.sampled_from(
    ["yes", "No", "null", "~", "1e3", "0x10", "a: b", "- a", "$MODEL", "/dev/shm", "on", "1_000"])
SCALAR = TEXT | st.integers() | st.booleans() | st.none()


@given(st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    TEXT, inner, max_size=3), max_leaves=12))
def test_what_is_written_is_read_back(value):
    assert yaml.safe_load(yaml_text(value)) == value
