# SPDX-License-Identifier: MIT
"""The Python side of round_trip.cpp: measures concurrent.futures, prints one `name seconds` a line."""
import statistics
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from time import perf_counter


def add_one(number):
    return number + 1


def give_back(payload):
    return payload


def time_of(action):
    begin = perf_counter()
    action()
    return perf_counter() - begin


def submit_then_get(pool, count):
    futures = [pool.submit(add_one, number) for number in range(count)]
    for future in futures:
        future.result()


def first_result():
    begin = perf_counter()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        pool.submit(add_one, 1).result()
        return perf_counter() - begin


def measure(kind, pool):
    submit_then_get(pool, 1000)
    round_trips = [time_of(lambda: pool.submit(add_one, 1).result()) for _ in range(3000)]
    print(f"{kind}.round_trip_p50", statistics.median(round_trips))
    print(f"{kind}.round_trip_mean", statistics.mean(round_trips))

    rounds = [time_of(lambda: submit_then_get(pool, 10_000)) for _ in range(3)]
    print(f"{kind}.outstanding", statistics.median(rounds) / 10_000)

    payload = bytes(64 * 1024 * 1024)
    rounds = [time_of(lambda: pool.submit(give_back, payload).result()) for _ in range(3)]
    print(f"{kind}.large", statistics.median(rounds))


if __name__ == "__main__":
    with ThreadPoolExecutor(2) as threads:
        measure("threads", threads)
        print("threads.many", time_of(lambda: submit_then_get(threads, 100_000)) / 100_000)
    with ProcessPoolExecutor(2) as processes:
        measure("processes", processes)
    print("processes.start", statistics.median(first_result() for _ in range(3)))
