"""Memory: what weights, caches, activations and optimizers take, and what is left.

`weights`, `kv`, `activations`, `training`: formulas. `layout`, `engines`, `inference`: a serving
deployment by its engine's rules. `peak`: one run of a framework. `advice`: what would fit.
`reversible`: a network that recovers its activations.
"""

from ridgeline.memory.inference import Footprint, footprint

__all__ = ["Footprint", "footprint"]
