"""Distinctiveness and reconstruction error of images, related to their memorability, on Dask."""

import lazy_loader

from distspc.version import VERSION

__version__ = VERSION

# Names load their module at first use: `import distspc` alone is cheap. They are listed in __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
