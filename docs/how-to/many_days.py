"""One file, one result: certificates, candles and sums of many captures or Parquet files, by processes, Dask or Ray.

    python docs/how-to/many_days.py proved captures/*.cap.zst
    python docs/how-to/many_days.py candles captures/*.cap.zst --jobs 8 > candles.ndjson
    python docs/how-to/many_days.py traded dataset/trades/*/*/*.parquet --by dask

Each line is the result of one file, in the order of the files. A file that cannot be read is a line with its error, and the others go on.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import alphapulse_cli as ap


def proved(path):
    """Certificate of a capture in short: whether it is whole, and the identifiers of its gaps."""
    certificate = ap.verify(path)
    return {"holds": certificate.holds, "gaps": [gap.id for one in certificate.sets for gap in one.gaps]}


def candles(path, width="1m"):
    """Candles of a capture; those at its borders say in `why` that they are cut."""
    return [candle.row() for candle in ap.candles(path, width=width)]


def traded(path):
    """Exact sums of a Parquet file of trades: what was traded of each symbol, in units of 10**-(price_decimals + size_decimals)."""
    import pyarrow.parquet as pq

    columns = ["symbol", "price_decimals", "size_decimals", "price_ticks", "size_lots"]
    sums: dict[str, int] = {}
    for row in zip(
        *(column.to_pylist() for column in pq.read_table(path, columns=columns, partitioning=None).columns), strict=True
    ):
        symbol, prices, sizes, ticks, lots = row
        key = f"{symbol} 1e-{prices + sizes}"
        sums[key] = sums.get(key, 0) + ticks * lots  # Python's integers do not wrap, as those of a column do
    return {key: str(units) for key, units in sums.items()}


def attempted(function, path):
    """Result of one file, or its error: one damaged file does not end the others."""
    try:
        return {"file": Path(path).name, "result": function(path)}
    except (ap.AlphapulseError, OSError) as problem:
        return {"file": Path(path).name, "error": f"{type(problem).__name__}: {problem}"}


def by_processes(function, paths, jobs):
    """Results in order; `spawn`, since a fork would copy locks and threads."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(attempted, function), paths)


def by_dask(function, paths, jobs):
    """Results by Dask: with the address of a scheduler, Client(address), on many machines that see the files."""
    from dask.distributed import Client

    with Client(n_workers=jobs, threads_per_worker=1, dashboard_address=None) as client:
        yield from client.gather(client.map(partial(attempted, function), paths))


def by_ray(function, paths, jobs):
    """Results by Ray."""
    import ray

    ray.init(num_cpus=jobs, include_dashboard=False)
    task = ray.remote(attempted)
    yield from ray.get([task.remote(function, path) for path in paths])


FUNCTIONS = {one.__name__: one for one in (proved, candles, traded)}
MAPS = {"processes": by_processes, "dask": by_dask, "ray": by_ray}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=FUNCTIONS)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--by", choices=MAPS, default="processes")
    chosen = parser.parse_args()
    for result in MAPS[chosen.by](FUNCTIONS[chosen.what], sorted(chosen.paths), chosen.jobs):
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
