import sys
from pathlib import Path

# The reference simulator is a module beside the tests that use it.
sys.path.insert(0, str(Path(__file__).parent))
