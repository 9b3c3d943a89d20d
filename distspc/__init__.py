"""Distinctiveness and reconstruction error of images, related to their memorability, on Dask."""

import lazy_loader

__version__ = "0.1.0"

# Names load their module at first use: `import distspc` alone is cheap.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "activations": ["extract_activations", "import_activations"],
        "deploy": ["deploy"],
        "distances": ["nearest_distances"],
        "errors": ["DistspcError", "InputError", "StoreBusyError", "StoreMismatchError", "WorkerError"],
        "export": ["export_results"],
        "layers": ["LAYERS"],
        "correlation": ["compare_correlations", "correlate", "joint_model"],
        "datasets": ["fetch", "init_study"],
        "memorability": ["relate", "relate_tables"],
        "olshausen_field": ["OlshausenField"],
        "pipeline": ["Study"],
        "reconstruction": ["fit_sparse_code"],
        "report": ["write_report"],
        "results": ["Results", "open_results"],
        "tables": ["tidy_table", "to_netcdf"],
    },
)
