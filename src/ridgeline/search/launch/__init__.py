"""Files that start a planned deployment and check its prediction.

`spec` says what is to be started, `engines` turns it into each engine's command, `kubernetes` and
`bench` into a manifest and a benchmark, `files` into what is written, and `folder` writes it.
"""

from ridgeline.search.launch.files import launch_files
from ridgeline.search.launch.folder import check_folder, write_folder
from ridgeline.search.launch.spec import LaunchSpec, Service, launch_spec

__all__ = ["LaunchSpec", "Service", "check_folder", "launch_files", "launch_spec", "write_folder"]
