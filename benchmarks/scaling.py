"""Does it scale: two workers against one, what tasks cost beside their work, the graph of a million images.

    python benchmarks/scaling.py stages     # 1 and 2 one-core local workers at every stage: minutes
    python benchmarks/scaling.py empty      # tasks that do nothing
    python benchmarks/scaling.py graph      # a million images on 1,000 workers: built and sized, not run
    python benchmarks/scaling.py simulate   # Dask's scheduler with up to 256 workers whose tasks sleep: minutes

`stages`: efficiency is t1 / (2 t2), medians of `--rounds` that alternate. Overhead is the share of the workers' time in
which they did not compute a task, as the scheduler's task stream has it: handing out, opening, waiting for the last;
beside it the seconds of an empty task over those of a task. Extraction is that of photographs with the network already
loaded, distances and reconstruction those of synthetic activations. `relate` and `report` run in the driver.

`simulate`: the real graph, on workers that are threads of this process, each task a sleep of its planned seconds over
`--factor`, as a run submits them: extraction, then reconstruction and distances together. The makespan is given beside
that of `distspc plan`, both in seconds of the study; the rest is the scheduler's own: what it adds, and its processor
time for a task, that of 256 workers in the same process included, but for the profiles that each takes of its threads.
For the classic study, and for `--million` images.

`graph`: the store of the study is allocated in full, with an empty file for every chunk of activations, since stages
ask which are there. What goes to the scheduler is the pickled graph; a task is a pickled node of it, with the names of
those it needs. Seconds on paper are those of `distspc plan` and, beside them, the scheduler's at the rate of empty
tasks that `--empty-task-ms` gives.
"""

from __future__ import annotations

import argparse
import os
import pickle
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import dask

from distspc.deployment.session import deploy
from distspc.distances.build import prepare as prepare_distances
from distspc.distances.build import tasks as distance_tasks
from distspc.distances.checks import check_distances
from distspc.distances.options import LayerOptions
from distspc.distances.planning.cuts import plan_layers
from distspc.extraction.build import extract_activations
from distspc.images import inventory, listing
from distspc.layers import LAYERS
from distspc.messages import format_nbytes
from distspc.pipeline.compute import Part, available_workers, compute, compute_parts, planned_workers
from distspc.pipeline.cost import Resources, measure_gflops, plan_study, stage_loads
from distspc.pipeline.needs.work import Rates, Setting
from distspc.pipeline.plan import plan_whole
from distspc.pipeline.stages.by_layer import LayerStage
from distspc.pipeline.stages.registry import STAGES
from distspc.reconstruction.build import fit_sparse_code
from distspc.schedule import Workers
from distspc.store.store import Store
from distspc.study.file import StageName, StudyFile
from distspc.testing.stores import image_ids, make_store, write_image_table

sys.path.insert(0, str(Path(__file__).parent))
from extraction import write_crops
from sparse_coding import timed

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client

Build = Callable[["Client"], "list[Delayed]"]
N_EMPTY = 2000


def main() -> None:
    """Do the part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["stages", "empty", "graph", "simulate"])
    parser.add_argument("--images", type=int, default=128, help="photographs of the extraction")
    parser.add_argument("--rows", type=int, default=8192, help="images of synthetic activations, half of them targets")
    parser.add_argument("--batches", type=int, default=40, help="of the reconstruction: 2 layers, 2 seeds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default="6 GiB", help="of a worker")
    parser.add_argument(
        "--million", type=int, default=1_000_000, help="images of the graph, and of the large simulation (0: none)"
    )
    parser.add_argument("--targets", type=int, default=2222, help="how many of them are targets")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--cores", type=int, default=4, help="of each of these workers, which have 16 GiB")
    parser.add_argument("--empty-task-ms", type=float, default=1.0, help="as part `empty` shows")
    parser.add_argument("--simulated", type=int, nargs="+", default=[16, 64, 256], help="workers that sleep")
    parser.add_argument("--factor", type=float, default=10.0, help="planned seconds of a second of sleep")
    parser.add_argument("--gflops", type=float, default=50.0, help="of a core, where tasks sleep")
    parser.add_argument("--directory", default=None, help="where the files go (default: the temporary folder)")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scaling-", dir=settings.directory) as folder:
        {"stages": stages, "empty": empty, "graph": graph, "simulate": simulate}[settings.part](settings, Path(folder))


@contextmanager
def workers(n: int, memory: str) -> Iterator[Client]:
    """Local worker processes of one core each."""
    with deploy("local", overrides=[f"workers={n}", "cores-per-worker=1", f"memory-per-worker={memory}"]) as client:
        yield client


# ---------------------------------------------------------------- two workers against one


def stages(settings: argparse.Namespace, folder: Path) -> None:
    """Time every stage on one worker and on two."""
    builds = prepare(settings, folder)
    found: dict[tuple[str, int], list[tuple[float, float, int]]] = {}
    empty_s: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(settings.rounds):
        for n in (1, 2):
            with workers(n, settings.memory) as client:
                empty_s[n].append(empty_task(client))
                for stage, build in builds.items():
                    compute(build(client)[:n], client, label=stage)  # imports, and the network's load
                    found.setdefault((stage, n), []).append(measure(client, stage, build(client)))
    print(
        "| stage | tasks | one worker, s | two workers, s | efficiency | overhead of one | of two | empty task / task |"
    )
    print("|---|---|---|---|---|---|---|---|")
    whole = [0.0, 0.0]
    for stage in builds:
        t1, o1, n_tasks = map(statistics.median, zip(*found[stage, 1], strict=True))
        t2, o2, _ = map(statistics.median, zip(*found[stage, 2], strict=True))
        whole = [whole[0] + t1, whole[1] + t2]
        share = statistics.median(empty_s[1]) * n_tasks / t1
        times = f"{t1:.1f} | {t2:.1f} | **{t1 / (2 * t2):.2f}**"
        print(f"| {stage} | {n_tasks:.0f} | {times} | {o1:.1%} | {o2:.1%} | {share:.2%} |")
    print(f"| in all | | {whole[0]:.1f} | {whole[1]:.1f} | **{whole[0] / (2 * whole[1]):.2f}** | | | |")
    for n, times in empty_s.items():
        print(f"{n} workers: {1e3 * statistics.median(times):.2f} ms an empty task ({N_EMPTY} of them)")


def prepare(settings: argparse.Namespace, folder: Path) -> dict[str, Build]:
    """Write what the stages start from; give a function for each that builds its tasks anew."""
    photographs, store = folder / "photographs.zarr", folder / "synthetic.zarr"
    sources = listing.list_images(write_crops(folder / "Images", settings.images))
    rows = [task.compute(scheduler="synchronous") for task in inventory.scan_images(Store(photographs), sources)]
    inventory.write_images(Store(photographs), sources, rows)
    half = settings.rows // 2
    sizes = {layer: LAYERS[layer].n_features for layer in ("block5_pool", "fc1", "fc2")}
    make_store(store, n_targets=half, n_fillers=settings.rows - half, layers=sizes)

    def extract(_: Client) -> list[Delayed]:
        Store(photographs)["activations"].remove()
        return extract_activations(photographs, layers=list(LAYERS), weights="random")

    def measure_distances(client: Client) -> list[Delayed]:
        Store(store).distances.remove()
        return all_distances(Store(store), list(sizes), available_workers(client))

    def reconstruct(client: Client) -> list[Delayed]:
        Store(store).reconstruction.remove()
        shutil.rmtree(f"{store}.units", ignore_errors=True)
        built = []
        for layer in ("fc1", "fc2"):
            options = {"n_batches": settings.batches, "memory_nbytes": available_workers(client).task_memory_nbytes}
            built += fit_sparse_code(store, layer=layer, seeds=[0, 1], **options)
        return built

    return {"extract": extract, "distances": measure_distances, "reconstruct": reconstruct}


def measure(client: Client, stage: str, tasks: list[Delayed]) -> tuple[float, float, int]:
    """Seconds, share of the workers' time in which no task computed, number of tasks."""
    from distributed import get_task_stream

    with get_task_stream(client) as stream:
        seconds, _ = timed(compute, tasks, client, label=stage)
    parts = [part for task in stream.data for part in task["startstops"] if part["action"] == "compute"]
    computing = sum(part["stop"] - part["start"] for part in parts)
    n = len(client.scheduler_info(n_workers=-1)["workers"])
    return seconds, 1 - computing / (n * seconds), len(parts)


def empty_task(client: Client) -> float:
    """Seconds of the whole system for a task that does nothing."""
    client.gather(client.map(abs, range(100), pure=False))
    seconds, _ = timed(lambda: client.gather(client.map(abs, range(N_EMPTY), pure=False)))
    return seconds / N_EMPTY


def empty(settings: argparse.Namespace, _: Path) -> None:
    """Rate of empty tasks."""
    for n in (1, 2):
        with workers(n, settings.memory) as client:
            told = ", ".join(f"{1e3 * empty_task(client):.2f}" for _ in range(settings.rounds))
        print(f"{n} workers: {told} ms an empty task")


# ---------------------------------------------------------------- the graph of a million images


def graph(settings: argparse.Namespace, folder: Path) -> None:
    """Build the tasks of every stage of a large study and size them."""
    store, n = folder / "study.zarr", settings.million
    resources = Resources(settings.workers, settings.cores, 16 * 2**30, measure_gflops())
    shared = planned_workers(resources.n_workers, resources.cores, resources.memory_nbytes)
    fillers = n - settings.targets
    ids = image_ids(settings.targets, fillers)
    print(f"{n:,} images, {settings.targets} targets, {settings.seeds} seeds; {settings.workers} workers", flush=True)
    print("| stage | tasks | built in | graph, pickled | a task | largest task | memory of a task, planned |")
    print("|---|---|---|---|---|---|---|")
    sources = [listing.ImageSource(i, i.split("/")[0][:-1], k, f"/images/{i}.jpg") for k, i in enumerate(ids, start=1)]
    rows = {"scan images": size(*timed(inventory.scan_images, Store(store), sources))}
    del sources
    seconds, _ = timed(write_image_table, store, ids, settings.targets)
    rows["extract"] = size(*timed(extract_activations, store, layers=list(LAYERS), weights="random"))
    touched, n_chunks = timed(touch_chunks, store)
    asked = sum(timed(Store(store).layer(layer).done, "activation")[0] for layer in LAYERS)

    def all_reconstructions() -> list[Delayed]:
        options = {"seeds": list(range(settings.seeds)), "memory_nbytes": shared.task_memory_nbytes}
        return [t for layer in LAYERS for t in fit_sparse_code(store, layer=layer, **options)]

    rows["distances"] = size(*timed(all_distances, Store(store), list(LAYERS), shared))
    rows["reconstruct"] = size(*timed(all_reconstructions))
    plans = plan_million(settings, fillers, resources)
    for stage, row in rows.items():
        planned = max((p.task_nbytes for p in plans if p.stage == stage), default=0)
        print(f"| {stage} | {row['tasks']:,} | {row['seconds']:.1f} s | {format_nbytes(row['nbytes'])} | "
              f"{format_nbytes(row['mean'])} | "
              f"{format_nbytes(row['largest'])} | {format_nbytes(planned) if planned else ''} |")  # fmt: skip
    print(f"\nimage table written in {seconds:.1f} s; {n_chunks:,} chunk files made in {touched:.1f} s, asked for in "
          f"{asked:.1f} s")  # fmt: skip
    on_paper(settings, rows, plans, resources)


def touch_chunks(store: Path) -> int:
    """An empty file for every chunk of activations, so that they pass for done."""
    count = 0
    for layer in LAYERS:
        group = f"activations/{layer}"
        n_rows, n_columns = Store(store)[group].done("activation").shape
        for row in range(n_rows):
            chunk = store / group / "activation" / "c" / str(row)
            chunk.mkdir(parents=True)
            for column in range(n_columns):
                os.close(os.open(chunk / str(column), os.O_CREAT | os.O_WRONLY))
        count += n_rows * n_columns
    return count


def size(seconds: float, tasks: list[Delayed]) -> dict[str, float]:
    """Tasks of a graph, bytes of it all as it goes to the scheduler, and of its tasks."""
    from dask.base import collections_to_expr

    expression = collections_to_expr(tasks).optimize()
    nbytes = len(pickle.dumps(expression, protocol=5))
    nodes = [len(pickle.dumps(node, protocol=5)) for node in expression.__dask_graph__().values()]
    return {
        "seconds": seconds,
        "tasks": len(nodes),
        "nbytes": nbytes,
        "mean": statistics.mean(nodes),
        "largest": max(nodes),
    }


def plan_million(settings: argparse.Namespace, n_fillers: int, resources: Resources):
    """The study's plan as `distspc plan` makes it."""
    study = StudyFile.from_dict(
        {
            "store": "s.zarr",
            "images": {"targets": "t", "fillers": "f"},
            "reconstruction": {"seeds": list(range(settings.seeds))},
        }
    )
    return plan_study(study, n_targets=settings.targets, n_fillers=n_fillers, resources=resources)


def on_paper(settings: argparse.Namespace, rows: dict, plans, resources: Resources) -> None:
    """Time of every stage on the workers and at the scheduler."""
    print("\n| stage | operations | moved | on the workers | at the scheduler |\n|---|---|---|---|---|")
    for stage in ("extract", "distances", "reconstruct"):
        of = [p for p in plans if p.stage == stage]
        flop, moved, seconds = (sum(getattr(p, name) for p in of) for name in ("flop", "moved_nbytes", "seconds"))
        handed = rows[stage]["tasks"] * settings.empty_task_ms / 1e3
        print(
            f"| {stage} | {flop / 1e15:.2f} PFLOP | {moved / 1e12:.1f} TB | {seconds / 60:.1f} min | {handed:.0f} s |"
        )
    print(f"{settings.workers} workers of {settings.cores} cores, {resources.gflops_per_core:.0f} GFLOP/s each")


# ---------------------------------------------------------------- tasks that sleep


def simulate(settings: argparse.Namespace, folder: Path) -> None:
    """Hand out sleeping tasks of the classic study and of a large one."""
    print("| images | workers | tasks | planned, s | on Dask, s | longer by | processor, ms a task |")
    print("|---|---|---|---|---|---|---|")
    for n_images in filter(None, (10_264, settings.million)):
        extract = extraction_graph(folder / f"{n_images}.zarr", n_images, settings.targets)
        touch_chunks(folder / f"{n_images}.zarr")
        for n_workers in settings.simulated:
            own = Resources(n_workers, settings.cores, 16 * 2**30, settings.gflops)
            sleep_study(folder / f"{n_images}.zarr", extract, own, settings)


def extraction_graph(store: Path, n_images: int, n_targets: int) -> list[Delayed]:
    """The tasks of the extraction, for a store that has nothing yet."""
    write_image_table(store, image_ids(n_targets, n_images - n_targets), n_targets)
    return extract_activations(store, layers=list(LAYERS), weights="random")


def sleep_study(store: Path, extract: list[Delayed], own: Resources, settings: argparse.Namespace) -> None:
    """Run a study whose tasks sleep; print its makespan beside the planned one."""
    from distributed import Client, LocalCluster

    n_images = Store(store).layer("fc2").sizes["image"]
    study = StudyFile.from_dict({"store": str(store), "images": {"targets": "t", "fillers": "f"}})
    sizes = {"n_targets": settings.targets, "n_fillers": n_images - settings.targets}
    planned = plan_whole(study, **sizes, resources=lambda _: own)
    seconds = task_seconds(study, Setting(**sizes, resources=own, rates=Rates()))
    later = later_parts(study, planned_workers(own.n_workers, own.cores, own.memory_nbytes))
    phases = [
        [replace(part, tasks=sleeping(part.tasks, seconds, settings.factor)) for part in phase]
        for phase in ([Part(("extract", ""), extract, "extract")], later)
    ]
    quiet = {"silence_logs": 50, "dashboard_address": ":0", "memory_limit": 0}
    with (
        dask.config.set({"distributed.scheduler.worker-saturation": 1.0, "distributed.worker.profile.enabled": False}),
        LocalCluster(n_workers=own.n_workers, processes=False, threads_per_worker=1, **quiet) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(own.n_workers)
        client.gather(client.map(abs, range(own.n_workers), pure=False))
        used = time.process_time()
        took = [timed(compute_parts, phase, client)[0] for phase in phases]
        used = time.process_time() - used
    n_tasks = sum(len({key for task in part.tasks for key in task.dask}) for phase in phases for part in phase)
    total, aim = sum(took) * settings.factor, planned.makespan_s - Rates().start_s
    print(f"| {n_images:,} | {own.n_workers} | {n_tasks:,} | {aim:.0f} | {total:.0f} | {total / aim - 1:.1%} | "
          f"{1e3 * used / n_tasks:.2f} |", flush=True)  # fmt: skip


def task_seconds(study: StudyFile, setting: Setting) -> dict[str, float]:
    """Planned seconds of a task, by what stands before the first hyphen of its key's last part: stage and layer."""
    loads = stage_loads(study, setting)
    found = {"extract": loads["extract"].chains[0][0].seconds}
    for gather, fit in loads["reconstruct"].chains:
        found |= {f"units:{gather.layer}": gather.seconds, f"reconstruct:{fit.layer}": fit.seconds}
    for tiles, *others in loads["distances"].chains:
        settle, finish = others[-2:]
        found |= {
            f"distances-{name}:{tiles.layer}": load.seconds for name, load in (("settle", settle), ("finish", finish))
        }
        if len(others) == 2:
            found[f"distances:{tiles.layer}"] = tiles.seconds
        else:
            names = zip(("distances-product", "distances-sum", "distances"), (tiles, *others[:2]), strict=True)
            found |= {f"{name}:{tiles.layer}": load.seconds for name, load in names}
    return found


def later_parts(study: StudyFile, workers: Workers) -> list[Part[tuple[StageName, str]]]:
    """Tasks of the reconstruction and of the distances by layer, as a run builds and urges them."""
    study.stored.distances.remove()
    study.stored.reconstruction.remove()
    tiles, memory = distances_by_layer(study.stored, study.layers, workers), workers.task_memory_nbytes
    parts = []
    for layer in study.layers:
        fits = fit_sparse_code(study.store, layer=layer, seeds=[0], memory_nbytes=memory)
        for stage, tasks in (("reconstruct", fits), ("distances", tiles[layer])):
            asked = cast(LayerStage, STAGES[stage])
            priority = asked.urgency * 2**32 + LAYERS[layer].n_features
            parts.append(Part((stage, layer), tasks, stage, priority, asked.opens))
    return parts


def distances_by_layer(store: Store, layers: Sequence[str], workers: Workers) -> dict[str, list[Delayed]]:
    """Tasks of the distances of some layers, cut together."""
    settings = {layer: LayerOptions(store=store, layer=layer) for layer in layers}
    plans = plan_layers([check_distances(one) for one in settings.values()], workers)
    for layer, one in settings.items():
        prepare_distances(one, plans[layer])
    memory = workers.task_memory_nbytes
    return {layer: distance_tasks(one, plans[layer], memory_nbytes=memory) for layer, one in settings.items()}


def all_distances(store: Store, layers: Sequence[str], workers: Workers) -> list[Delayed]:
    """The same in one list."""
    return [task for tasks in distances_by_layer(store, layers, workers).values() for task in tasks]


def sleeping(tasks: Sequence[Delayed], seconds: dict[str, float], factor: float) -> list[Delayed]:
    """The same graph, of tasks that sleep."""
    from dask.base import collections_to_expr
    from dask.delayed import Delayed
    from dask.task_spec import Task, TaskRef

    nodes = collections_to_expr(tasks).optimize().__dask_graph__().items()
    naps = {
        key: Task(key, nap, seconds[group_of(key)] / factor, *map(TaskRef, sorted(node.dependencies)))
        for key, node in nodes
    }
    return [Delayed(task.key, with_needed(naps, task.key)) for task in tasks]


def with_needed(naps: dict[str, Any], key: str) -> dict[str, Any]:
    """A task of the graph and all that it needs: a graph of all tasks for each of many would be sent many times."""
    found, waiting = {}, [key]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found[key] = naps[key]
            waiting += naps[key].dependencies
    return found


def group_of(key: str) -> str:
    """Stage and layer in the name of a task."""
    head, _, rest = key.partition(":")
    return f"{head}:{rest.partition('-')[0]}" if rest else head.partition("-")[0]


def nap(seconds: float, *_: Any) -> None:
    """What a task of the simulation does."""
    time.sleep(seconds)


if __name__ == "__main__":
    main()
