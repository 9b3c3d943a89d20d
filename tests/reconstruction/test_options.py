"""Settings of the reconstruction: the rule of the inner loop and the memory that follow from them."""

import inspect
from dataclasses import asdict, replace

from distspc.kernels.sparse_coding.training import kept_nbytes
from distspc.kernels.threads import allowed_threads
from distspc.reconstruction.build import fit_sparse_code
from distspc.reconstruction.estimator import OlshausenField
from distspc.reconstruction.options import SOLVERS, STEPS, TRAIN_ON, Held, ReconstructionOptions

OPTIONS = ReconstructionOptions(500, 500, 1000, 250, 0.1, "fillers", "float64", "paper")


def test_the_step_is_shortened_unless_the_papers_is_asked_for():
    assert OPTIONS.rule.shorten
    assert not replace(OPTIONS, step="paper").rule.shorten
    assert OPTIONS.rule.sparsity == 0.1


def test_memory_follows_the_sizes_and_the_precision():
    assert replace(OPTIONS, precision="float32").task_nbytes * 2 == OPTIONS.task_nbytes
    assert replace(OPTIONS, n_codewords=1000).task_nbytes > OPTIONS.task_nbytes
    assert replace(OPTIONS, solver="pca").task_nbytes - OPTIONS.task_nbytes == 8 * 3 * 500**2
    assert OPTIONS.fit_nbytes(2) > OPTIONS.fit_nbytes(1)


def test_with_less_memory_passes_are_not_kept_then_nothing_that_grows():
    most = OPTIONS.held(10_000, None)
    assert (most.keep, most.on_disk) == (True, False)
    assert OPTIONS.held(10_000, most.nbytes) == most
    less = OPTIONS.held(10_000, most.nbytes - 1)
    assert (less.keep, less.on_disk) == (False, False)
    again = OPTIONS.task_nbytes - OPTIONS.fit_nbytes(allowed_threads(), keep=True)  # what running passes again takes
    assert again > 0
    assert most.nbytes - less.nbytes == kept_nbytes(10_000, 500, "float64") - 8 * 10_000 * 500 - again
    assert OPTIONS.held(10_000, less.nbytes - 1) == Held(OPTIONS.task_nbytes, keep=False, on_disk=True)


def test_only_codes_by_the_papers_steps_up_to_a_limit_are_kept():
    assert not OPTIONS.held(1_000_000, None).keep
    assert not replace(OPTIONS, solver="converged").held(100, None).keep


def test_defaults_of_function_and_estimator_are_those_of_the_options():
    wanted = asdict(ReconstructionOptions())
    taken = inspect.signature(fit_sparse_code).parameters
    assert {name: taken[name].default for name in wanted} == wanted
    estimator = OlshausenField().get_params()
    assert all(estimator[name] == value for name, value in wanted.items() if name in estimator)


def test_sets_of_words():
    assert (SOLVERS, STEPS, TRAIN_ON) == (("paper", "converged", "pca"), ("stable", "paper"), ("all", "fillers"))
