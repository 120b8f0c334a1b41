# SPDX-License-Identifier: MIT
"""The Python side of primitives.cpp: one round, printed as one `name seconds` a line."""
import multiprocessing
import queue
import threading
import time

ITEM = bytes(64)
CONTEXT = multiprocessing.get_context("fork")


def repeat(times, action):
    for _ in range(times):
        action()


def alone(calls, action):
    begin = time.perf_counter()
    repeat(calls, action)
    return (time.perf_counter() - begin) / calls


def contended(kind, action, calls=20_000):
    parts = [lambda: repeat(calls, action)] * 2
    return together(kind, parts) / (2 * calls)


def together(kind, parts):
    """Seconds until all have done their part: the first here, the others in workers of their own."""
    barrier = kind.Barrier(len(parts))

    def run(part):
        barrier.wait()
        part()
        barrier.wait()

    workers = [kind.Worker(target=run, args=(part,)) for part in parts[1:]]
    for worker in workers:
        worker.start()
    barrier.wait()
    begin = time.perf_counter()
    parts[0]()
    barrier.wait()
    seconds = time.perf_counter() - begin
    for worker in workers:
        worker.join()
    return seconds


def round_trip(kind, send, receive, receive_there, send_back, times=2000):
    def here():
        for _ in range(times):
            send()
            receive()

    def there():
        for _ in range(times):
            receive_there()
            send_back()

    return together(kind, [here, there]) / times


def passage(kind, put, get, pairs, items=10_000):
    parts = [lambda: repeat(items, lambda: put(ITEM)), lambda: repeat(items, get)]
    return together(kind, parts * pairs) / (pairs * items)


def lock_and_unlock(lock):
    lock.acquire()
    lock.release()


def receive(event):
    event.wait()
    event.clear()


def idle(wait, end):
    """CPU seconds of a process that waits for two seconds."""
    used = CONTEXT.Value("d", 0)

    def waiting():
        before = time.process_time()
        wait()
        used.value = time.process_time() - before

    worker = CONTEXT.Process(target=waiting)
    worker.start()
    time.sleep(2)
    end()
    worker.join()
    return used.value


class Threads:
    name, Worker, Lock, RLock = "threads", threading.Thread, threading.Lock, threading.RLock
    Semaphore, Event, Barrier = threading.Semaphore, threading.Event, threading.Barrier
    Queue, SimpleQueue = queue.Queue, queue.SimpleQueue


class Processes:
    name, Worker, Lock, RLock = "processes", CONTEXT.Process, CONTEXT.Lock, CONTEXT.RLock
    Semaphore, Event, Barrier = CONTEXT.Semaphore, CONTEXT.Event, CONTEXT.Barrier
    Queue, SimpleQueue = CONTEXT.Queue, CONTEXT.SimpleQueue


def measure(kind):
    def show(row, seconds):
        print(f"{kind.name}.{row} {seconds:.12f}", flush=True)

    lock, rlock, semaphore = kind.Lock(), kind.RLock(), kind.Semaphore(1)
    there, back = kind.Semaphore(0), kind.Semaphore(0)
    event, event_back = kind.Event(), kind.Event()
    show("lock", alone(50_000, lambda: lock_and_unlock(lock)))
    show("contended", contended(kind, lambda: lock_and_unlock(lock)))
    show("rlock", alone(50_000, lambda: lock_and_unlock(rlock)))
    show("make", alone(2_000, kind.Lock))
    show("semaphore", alone(50_000, lambda: lock_and_unlock(semaphore)))
    show("semaphore_contended", contended(kind, lambda: lock_and_unlock(semaphore)))
    show("semaphore_trip",
         round_trip(kind, there.release, back.acquire, there.acquire, back.release))
    show("event", alone(20_000, lambda: (event.set(), receive(event))))
    show("event_trip", round_trip(kind, event.set, lambda: receive(event_back),
                                  lambda: receive(event), event_back.set))

    def measure_queue(prefix, one, other):
        show(prefix + "queue", alone(2_000, lambda: (one.put(ITEM), one.get())))
        show(prefix + "queue_trip",
             round_trip(kind, lambda: one.put(ITEM), other.get, one.get, lambda: other.put(ITEM)))
        show(prefix + "one_to_one", passage(kind, one.put, one.get, 1))
        show(prefix + "two_to_two", passage(kind, one.put, one.get, 2))

    measure_queue("", kind.Queue(), kind.Queue())
    measure_queue("simple_", kind.SimpleQueue(), kind.SimpleQueue())
    bounded = kind.Queue(1000)
    show("bounded", passage(kind, bounded.put, bounded.get, 1))
    show("bounded_two", passage(kind, bounded.put, bounded.get, 2))


def measure_processes_alone():
    value = CONTEXT.Value("l", 0)

    def add_one():
        with value.get_lock():
            value.value += 1

    print("processes.value", alone(20_000, add_one))
    # A pipe holds what both ends have not read: it is no more than what one writes at a time.
    one, other = CONTEXT.Pipe()
    print("processes.pipe_queue", alone(2_000, lambda: (one.send_bytes(ITEM), other.recv_bytes())))
    print("processes.pipe_queue_trip",
          round_trip(Processes, lambda: one.send_bytes(ITEM), one.recv_bytes, other.recv_bytes,
                     lambda: other.send_bytes(ITEM)))
    print("processes.pipe_one_to_one", passage(Processes, one.send_bytes, other.recv_bytes, 1))

    waited_for, semaphore, event = CONTEXT.Queue(), CONTEXT.Semaphore(0), CONTEXT.Event()
    lock = CONTEXT.Lock()
    lock.acquire()
    print("processes.idle_lock", idle(lock.acquire, lock.release))
    print("processes.idle_get", idle(waited_for.get, lambda: waited_for.put(ITEM)))
    print("processes.idle_acquire", idle(semaphore.acquire, semaphore.release))
    print("processes.idle_wait", idle(event.wait, event.set))


if __name__ == "__main__":
    measure(Threads)
    measure(Processes)
    measure_processes_alone()
