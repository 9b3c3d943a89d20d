from .activations import extract_activations as extract_activations
from .activations import import_activations as import_activations
from .correlation import compare_correlations as compare_correlations
from .correlation import correlate as correlate
from .correlation import joint_model as joint_model
from .datasets import fetch as fetch
from .datasets import init_study as init_study
from .deploy import dashboard_lines as dashboard_lines
from .deploy import deploy as deploy
from .deploy import job_script as job_script
from .deploy import load_profile as load_profile
from .deploy import submit_driver as submit_driver
from .distances import nearest_distances as nearest_distances
from .errors import DistspcError as DistspcError
from .errors import InputError as InputError
from .errors import StoreBusyError as StoreBusyError
from .errors import StoreMismatchError as StoreMismatchError
from .errors import WorkerError as WorkerError
from .export import export_results as export_results
from .layers import LAYERS as LAYERS
from .memorability import relate as relate
from .memorability import relate_tables as relate_tables
from .olshausen_field import OlshausenField as OlshausenField
from .pipeline import Study as Study
from .reconstruction import fit_sparse_code as fit_sparse_code
from .report import write_report as write_report
from .results import Results as Results
from .results import open_results as open_results
from .tables import tidy_table as tidy_table
from .tables import to_netcdf as to_netcdf

__version__: str
__all__: list[str]
