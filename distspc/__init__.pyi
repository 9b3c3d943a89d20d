from .datasets.download import fetch as fetch
from .datasets.new_study import init_study as init_study
from .deployment.batch.driver import job_script as job_script
from .deployment.batch.driver import submit_driver as submit_driver
from .deployment.dashboard import dashboard_lines as dashboard_lines
from .deployment.profile.reading import load_profile as load_profile
from .deployment.session import deploy as deploy
from .distances.build import nearest_distances as nearest_distances
from .errors import DistspcError as DistspcError
from .errors import InputError as InputError
from .errors import StoreBusyError as StoreBusyError
from .errors import StoreMismatchError as StoreMismatchError
from .errors import WorkerError as WorkerError
from .extraction.build import extract_activations as extract_activations
from .extraction.imported.npy_import import import_activations as import_activations
from .extraction.moments import compute_moments as compute_moments
from .layers import LAYERS as LAYERS
from .memorability.correlation import compare_correlations as compare_correlations
from .memorability.correlation import correlate as correlate
from .memorability.correlation import joint_model as joint_model
from .memorability.relations import relate as relate
from .memorability.two_tables import relate_tables as relate_tables
from .pipeline.run import Study as Study
from .reconstruction.build import fit_sparse_code as fit_sparse_code
from .reconstruction.estimator import OlshausenField as OlshausenField
from .report.page import write_report as write_report
from .results.authors_layout import export_results as export_results
from .results.netcdf import to_netcdf as to_netcdf
from .results.tidy import tidy_table as tidy_table
from .results.tree import Results as Results
from .results.tree import open_results as open_results
from .selection.selection import select_stimuli as select_stimuli

__version__: str
__all__: list[str]
