"""The names of the package: loaded at first use, listed for type checkers in one file."""

import ast
import subprocess
import sys
from pathlib import Path

import distspc

STUB = Path(distspc.__file__).with_suffix(".pyi")


def test_every_public_name_is_in_the_stub_and_loads():
    tree = ast.parse(STUB.read_text())
    listed = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert listed == set(distspc.__all__)
    assert {"Study", "deploy", "job_script", "load_profile", "submit_driver", "dashboard_lines"} <= listed
    for name in listed:
        assert getattr(distspc, name) is not None


def test_type_checkers_see_the_package_as_typed():
    assert STUB.with_name("py.typed").exists()


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, distspc; heavy = {'dask', 'numpy', 'xarray', 'keras', 'tensorflow', 'matplotlib'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
