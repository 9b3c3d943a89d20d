"""Work handed out to workers, shared over layers by their work."""

import pytest

from distspc.pipeline.needs.work import Load, Loads, Rates, Resources, Setting, hand_out


def test_tasks_take_what_their_products_and_bytes_take():
    rates = Rates(efficiency={"reconstruct": 0.5}, store_bytes_per_s=1e9, task_s=0.25)
    setting = Setting(10, 5, Resources(1, 2, 2**30, 1.0), rates)
    assert setting.n_images == 15
    load = setting.load("reconstruct", "a", 4, 100, 2e9, 3e9)
    assert (load.layer, load.n_tasks, load.task_nbytes, load.moved_nbytes, load.flop) == ("a", 4, 100, 2e9, 3e9)
    assert load.seconds == pytest.approx((3 + 2) / 4 + 0.25)


def test_a_stage_takes_until_its_last_task_and_layers_have_their_shares():
    loads = Loads(([Load("a", 1, 100, 2.0, 3.0, 6.0)], [Load("b", 2, 200, 1.0, 5.0, 1.0)]), start_s=1.0)
    first, second = hand_out("distances", loads, n_workers=2)
    assert (first.layer, second.layer, second.n_tasks, second.task_nbytes) == ("a", "b", 2, 200)
    assert first.seconds + second.seconds == pytest.approx(6.0 + 1.0)
    assert first.seconds == pytest.approx(3 * second.seconds)


def test_loads_of_a_layer_follow_one_another():
    loads = Loads(([Load("a", 2, 10, 1.0, 2.0, 1.0), Load("a", 1, 30, 0.0, 3.0, 3.0)],))
    (plan,) = hand_out("reconstruct", loads, n_workers=2)
    assert (plan.n_tasks, plan.task_nbytes, plan.moved_nbytes, plan.flop) == (3, 30, 1.0, 5.0)
    assert plan.seconds == pytest.approx(1.0 + 3.0)


def test_what_only_puts_results_together_takes_time_and_is_no_task_of_the_stage():
    loads = Loads(([Load("a", 2, 10, 1.0, 2.0, 1.0), Load("a", 4, 10, 0.0, 0.0, 0.5, aside=True)],))
    (plan,) = hand_out("distances", loads, n_workers=1)
    assert plan.n_tasks == 2
    assert plan.seconds == pytest.approx(4.0)
