"""Write the index of spellings of the bundled chips and engines.

Run `python -m ridgeline.catalog.index` after adding a file or an alias. Without it a new file is
still found, only by reading the whole folder.
"""

from __future__ import annotations

import sys

from ridgeline.catalog.files import DATA, INDEX, build_index, index_text, toml_files
from ridgeline.errors import BadInput
from ridgeline.files import write_atomically

if __name__ == "__main__":
    for kind in ("chips", "engines"):
        folder = DATA / kind
        try:
            write_atomically(folder / INDEX, index_text(build_index(toml_files(folder))))
        except BadInput as error:
            print(error, file=sys.stderr)
            sys.exit(2)
