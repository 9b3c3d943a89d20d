"""Work handed out to workers: in order, to the first that is free, shared over layers by their work."""

import pytest

from distspc.pipeline.stages.work import Load, Loads, Rates, Resources, Setting, hand_out, makespan


def test_tasks_go_to_the_first_free_worker():
    assert makespan([(3, 1.0)], n_workers=2) == 2.0
    assert makespan([(1, 5.0), (4, 1.0)], n_workers=2) == 5.0
    assert makespan([(2, 1.0)], n_workers=100) == 1.0


def test_a_stage_takes_what_its_products_and_bytes_take():
    rates = Rates(efficiency={"distances": 0.5}, store_bytes_per_s=1e9, task_s=0.0)
    setting = Setting(10, 0, Resources(1, 2, 2**30, 1.0), rates)
    loads = Loads(([Load("a", 1, 100, 2e9, 3e9), Load("b", 1, 200, 0.0, 5e9)],), start_s=1.0)
    first, second = hand_out("distances", loads, setting)
    assert (first.layer, second.layer, second.task_nbytes) == ("a", "b", 200)
    assert first.seconds + second.seconds == pytest.approx(1.0 + (3e9 + 5e9) / 1e9 + 2.0)
    assert first.seconds == pytest.approx(second.seconds)


def test_batches_follow_one_another():
    setting = Setting(10, 0, Resources(2, 1, 2**30, 1.0), Rates(efficiency={"reconstruct": 1.0}, task_s=0.0))
    loads = Loads(([Load("a", 2, 10, 0.0, 2e9)], [Load("a", 1, 30, 0.0, 3e9)]))
    (plan,) = hand_out("reconstruct", loads, setting)
    assert (plan.n_tasks, plan.task_nbytes) == (3, 30)
    assert plan.seconds == pytest.approx(1.0 + 3.0)
