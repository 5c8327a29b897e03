"""Threads of `ustcp.Network`: what waits in `threading`, `queue` and `concurrent.futures`, and loops on the clock."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import multiprocessing.pool
import os
import queue
import select
import signal
import socket
import threading
import time
from collections.abc import Callable

import pytest
import ustcp

BEFORE = threading.Event(), threading.Condition(), queue.Queue()  # made by a module, long before any network


@pytest.fixture
def net():
    with ustcp.Network(seed=1, patience=5) as network:
        yield network


def after(seconds: float, act: Callable[[], object]) -> None:
    """In a thread of the caller's host."""
    threading.Thread(target=lambda: (time.sleep(seconds), act())).start()


# ---- a timeout passes in the network's time


def queue_is_empty(made: queue.Queue | queue.SimpleQueue) -> bool:
    with pytest.raises(queue.Empty):
        made.get(timeout=30)
    return False


def future_is_late() -> bool:
    with pytest.raises(concurrent.futures.TimeoutError):
        concurrent.futures.Future().result(timeout=30)
    return False


def barrier_breaks() -> bool:
    with pytest.raises(threading.BrokenBarrierError):
        threading.Barrier(2).wait(30)
    return False


def condition(made: threading.Condition) -> bool:
    with made:
        return made.wait(30)


def condition_of_a_predicate() -> bool:
    made = threading.Condition()
    with made:
        return made.wait_for(lambda: False, 30)


def held(made: threading.Lock | threading.RLock) -> bool:
    thread = threading.Thread(target=lambda: made.acquire() and time.sleep(100) is None and made.release())
    thread.start()
    time.sleep(0)
    return made.acquire(timeout=30)


def thread_goes_on() -> bool:
    thread = threading.Thread(target=time.sleep, args=(100,))
    thread.start()
    thread.join(30)
    return not thread.is_alive()


TIMEOUTS: dict[str, Callable[[], bool]] = {
    "event": lambda: threading.Event().wait(30),
    "event of before": lambda: BEFORE[0].wait(30),
    "condition": lambda: condition(threading.Condition()),
    "condition at a lock": lambda: condition(threading.Condition(threading.Lock())),
    "condition of before": lambda: condition(BEFORE[1]),
    "condition of a predicate": condition_of_a_predicate,
    "semaphore": lambda: threading.Semaphore(0).acquire(timeout=30),
    "barrier": barrier_breaks,
    "lock": lambda: held(threading.Lock()),
    "rlock": lambda: held(threading.RLock()),
    "queue": lambda: queue_is_empty(queue.Queue()),
    "priority queue": lambda: queue_is_empty(queue.PriorityQueue()),
    "queue of before": lambda: queue_is_empty(BEFORE[2]),
    "simple queue": lambda: queue_is_empty(queue.SimpleQueue()),
    "future": future_is_late,
    "thread": thread_goes_on,
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("who", ["a task", "the main task"])
@pytest.mark.parametrize("what", TIMEOUTS)
def test_a_timeout_passes_in_the_networks_time(net, what, who):
    host = net.host("host")
    assert (host.run(TIMEOUTS[what]).join() if who == "a task" else TIMEOUTS[what]()) is False
    assert net.now == pytest.approx(30, abs=1e-6)


# ---- what another task does ends the wait


def test_events_conditions_and_semaphores_wake_who_waits(net):
    event, changed, semaphore, word = threading.Event(), threading.Condition(), threading.Semaphore(0), []

    def change():
        with changed:
            word.append("changed")
            changed.notify_all()

    after(5, event.set)
    assert event.wait() and net.now == 5
    after(5, change)
    with changed:
        assert changed.wait_for(lambda: word, 60) and net.now == 10
    after(5, semaphore.release)
    assert semaphore.acquire() and net.now == 15
    after(5, BEFORE[0].set)
    assert BEFORE[0].wait(60) and net.now == 20
    BEFORE[0].clear()


def test_a_lock_is_had_in_the_order_of_asking(net):
    lock, order = threading.Lock(), []

    def work(name: str) -> None:
        with lock:
            time.sleep(1)
            order.append((name, net.now))

    host = net.host("host")
    tasks = [host.run(work, name) for name in "abc"]
    for task in tasks:
        task.join()
    assert order == [("a", 1), ("b", 2), ("c", 3)] and not lock.locked()


def test_a_reentrant_lock_is_its_owners(net):
    lock, order = threading.RLock(), []

    def work() -> None:
        with lock:
            order.append(net.now)

    with lock, lock:
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(2)
    thread.join()
    assert order == [2]
    with pytest.raises(RuntimeError):
        lock.release()


def test_a_timer_goes_off_and_a_barrier_opens(net):
    told: list[float] = []
    timer = threading.Timer(7, lambda: told.append(net.now))
    timer.start()
    never = threading.Timer(8, lambda: told.append(-1))
    never.start()
    never.cancel()
    barrier = threading.Barrier(3)
    for seconds in (1, 2):
        after(seconds, barrier.wait)
    barrier.wait(60)
    assert net.now == 2
    timer.join()
    never.join()
    assert told == [7] and net.now == 7


def test_a_queue_of_one_place_paces_who_fills_it(net):
    jobs: queue.Queue[int] = queue.Queue(1)

    def work() -> None:
        for _ in range(3):
            jobs.get()
            time.sleep(10)
            jobs.task_done()

    net.host("host").run(work)
    for number in range(3):
        jobs.put(number)
    assert net.now == 10
    with pytest.raises(queue.Full):
        jobs.put(3, timeout=2) or jobs.put(4, timeout=2)
    jobs.get()
    jobs.task_done()
    jobs.join()
    assert net.now == 20


# ---- pools


def serve(server: ustcp.Host) -> None:
    def answer(sock: socket.socket) -> None:
        with sock:
            time.sleep(int(sock.recv(10)))
            sock.sendall(b"done")

    def listen() -> None:
        with server.create_server(("", 80)) as listener:
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],)).start()

    server.run(listen)


def ask(seconds: int) -> tuple[int, bytes]:
    with socket.create_connection(("server", 80)) as sock:
        sock.sendall(b"%d" % seconds)
        return seconds, sock.recv(10)


@pytest.mark.timeout(30)
def test_a_pool_of_threads_has_sockets_of_the_host(net):
    client, server = net.host("client"), net.host("server")
    serve(server)
    with client, concurrent.futures.ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(ask, seconds) for seconds in (30, 10, 20)]
        done = [future.result() for future in concurrent.futures.as_completed(futures, timeout=60)]
    assert done == [(10, b"done"), (20, b"done"), (30, b"done")]
    assert net.now == pytest.approx(30, abs=0.1)
    with client, concurrent.futures.ThreadPoolExecutor(1) as pool:
        late = pool.submit(ask, 100)
        with pytest.raises(concurrent.futures.TimeoutError):
            late.result(timeout=5)
        assert concurrent.futures.wait([late], timeout=5).not_done == {late}


@pytest.mark.timeout(30)
def test_a_pool_of_multiprocessing_has_them_too(net):
    client, server = net.host("client"), net.host("server")
    serve(server)
    with client, multiprocessing.pool.ThreadPool(2) as pool:
        assert pool.map(ask, (10, 10)) == [(10, b"done")] * 2
        with pytest.raises(multiprocessing.TimeoutError):
            pool.apply_async(ask, (100,)).get(timeout=5)
    assert 15 < net.now < 16


@pytest.mark.timeout(30)
def test_an_executor_of_asyncio_and_a_future_from_another_thread(net):
    host = net.host("host")

    async def main() -> float:
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            await asyncio.gather(*(loop.run_in_executor(pool, time.sleep, 5) for _ in range(3)))
        threading.Thread(target=from_outside, args=(loop,)).start()
        await asyncio.sleep(10)
        return net.now

    def from_outside(loop: asyncio.AbstractEventLoop) -> None:
        told.append(asyncio.run_coroutine_threadsafe(asyncio.sleep(3, "slept"), loop).result(60))
        told.append(net.now)

    told: list[object] = []
    assert host.run(lambda: asyncio.run(main())).join() == 15
    assert told == ["slept", 8]


def test_a_pool_that_nobody_shut_down_ends_without_a_word(caplog):
    made: list[concurrent.futures.ThreadPoolExecutor] = []

    def work() -> str:
        made.append(concurrent.futures.ThreadPoolExecutor())
        return made[0].submit(lambda: "done").result()

    with ustcp.Network() as net:
        assert net.host("host").run(work).join() == "done"
    assert caplog.records == []


# ---- what cannot be waited for


def test_what_no_task_will_release_is_told_at_once(net):
    lock = threading.Lock()
    lock.acquire()
    with pytest.raises(ustcp.Stuck, match=r"nothing is left to happen after 0\.000000 s(.|\n)*main.*: lock\.acquire\(\)"):
        lock.acquire()
    with pytest.raises(ustcp.Stuck, match=r"test_python_network_threads.py:\d+: queue\.Queue\(\)\.get\(\)"):
        queue.Queue().get()


@pytest.mark.timeout(30)
def test_a_lock_of_before_that_a_task_holds_while_it_waits_is_told_with_the_cure():
    lock = threading.Lock()
    with ustcp.Network(patience=0.2) as net:
        host = net.host("host")

        def hold() -> None:
            with lock:
                time.sleep(1)

        host.run(hold)
        with pytest.raises(ustcp.Stuck, match="made by a task"):
            host.run(lock.acquire).join()


def test_a_condition_that_is_waited_for_must_not_wait(net):
    with pytest.raises(RuntimeError, match="must not wait"):
        net.wait(lambda: time.sleep(1))


def test_what_a_task_made_works_without_the_network_and_for_other_threads():
    with ustcp.Network() as net:
        lock, event, jobs, simple = threading.Lock(), threading.Event(), queue.Queue(), queue.SimpleQueue()
        reentrant = threading.RLock()
        done = _thread.allocate_lock()
        done.acquire()
        _thread.start_new_thread(lambda: (event.set(), done.release()), ())
        done.acquire()
        assert event.wait(60) and net.now == 0
    with lock, reentrant, reentrant:
        assert not lock.acquire(False) and not lock.acquire(timeout=0.001) and lock.locked()
    thread = threading.Thread(target=lambda: (jobs.put(7), simple.put(8)))
    thread.start()
    assert (jobs.get(timeout=30), simple.get(timeout=30)) == (7, 8)
    for wrong in (lambda: lock.acquire(False, 1), lambda: lock.acquire(True, -2), lock.release):
        with pytest.raises((ValueError, RuntimeError)):
            wrong()


def test_who_waits_for_a_lock_is_ended_with_the_network(monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda hook: told.append(hook.exc_value))
    with ustcp.Network() as net:
        host, changed = net.host("host"), threading.Condition()

        def wait() -> None:
            with changed:
                changed.wait()

        def hold() -> None:
            with changed, host.create_server(("", 80)) as listener:
                listener.accept()

        for task in (wait, hold, wait):
            host.run(task)
        net.sleep(1)
    assert told == []


class Interrupted(Exception):
    pass


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["goes on", "ends"])
def test_a_signal_ends_the_wait_of_the_main_task_and_nothing_else(how):
    rung: list[int] = []

    def ring(number: int, frame: object) -> None:
        rung.append(number)
        if len(rung) == 1:
            raise Interrupted

    before, caught, ended = signal.signal(signal.SIGUSR1, ring), _thread.allocate_lock(), []
    caught.acquire()
    try:
        with ustcp.Network(patience=None) as net:
            host = net.host("host")

            @host.run
            def disturb() -> None:
                # The turn is this task's all the while. A signal that comes just before the lock's system call is not seen
                # by Python until the next one.
                while not caught.acquire(timeout=0.1):
                    os.kill(os.getpid(), signal.SIGUSR1)
                try:
                    net.sleep(5)
                finally:
                    ended.append(net.now)

            with pytest.raises(Interrupted):
                net.sleep(100)
            caught.release()
            if how == "goes on":
                net.sleep(10)
                assert (ended, net.now) == ([5], 10)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(ended) == 1 and disturb.ended


class RingsWhenTaken:
    """A lock. Who takes it in place of the main task sends this a signal, which ends its wait."""

    def __init__(self, lock: _thread.LockType) -> None:
        self.lock = lock
        self.release, self.locked = lock.release, lock.locked

    def acquire(self, *how: bool) -> bool:
        has = self.lock.acquire(*how)
        if has and threading.current_thread() is not threading.main_thread():
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        return has


def interrupt(number: int, frame: object) -> None:
    raise Interrupted


def test_a_lock_that_was_had_as_a_signal_ended_the_wait_is_given_back(net):
    lock = threading.Lock()
    lock._native = RingsWhenTaken(lock._native)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with lock:
            release = net.host("host").run(lambda: (time.sleep(1), lock.release(), time.sleep(1)))
            with pytest.raises(Interrupted):
                lock.acquire()
            assert not lock.locked()
            lock.acquire()
        release.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


# ---- loops on the clock




@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", ["monotonic", "time", "perf_counter_ns"])
def test_a_loop_on_the_clock_ends(net, what):
    look = {"monotonic": time.monotonic, "time": time.time, "perf_counter_ns": lambda: time.perf_counter_ns() / 1e9}[what]
    end = look() + 5
    while look() < end:
        pass
    assert net.now == pytest.approx(5, abs=0.01)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "ask",
    [lambda net: net.now, lambda net: time.sleep(0), lambda net: select.select([], [], [], 0), lambda net: net.wait(bool, 0)],
)
def test_so_does_one_that_asks_without_a_wait(net, ask):
    host, over = net.host("host"), []
    host.run(lambda: (time.sleep(1), over.append(True)))
    while not over:
        ask(net)
    assert net.now == pytest.approx(1, abs=0.01)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", ["lock", "reentrant lock", "event", "thread"])
def test_and_one_that_tries_what_threads_wait_for(net, what):
    lock, reentrant, event = threading.Lock(), threading.RLock(), threading.Event()

    def work() -> None:
        with lock, reentrant:
            time.sleep(1)
            event.set()

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(0.5)
    tries = {
        "lock": lambda: lock.acquire(False),
        "reentrant lock": lambda: reentrant.acquire(blocking=False),
        "event": event.is_set,
        "thread": lambda: not worker.is_alive(),
    }
    while not tries[what]():
        pass
    assert net.now == pytest.approx(1, abs=0.01)


def test_who_fills_a_queue_does_not_look(net):
    jobs: queue.Queue[int] = queue.Queue()
    for number in range(1000):
        jobs.put(number)
    assert net.now == 0


@pytest.mark.timeout(60)
def test_a_loop_that_polls_a_socket_until_a_deadline_has_its_answer(net):
    client, server = net.host("client"), net.host("server")
    serve(server)
    with client.create_connection(("server", 80)) as sock:
        sock.sendall(b"2")
        sock.setblocking(False)
        deadline, answer = time.monotonic() + 10, b""
        while time.monotonic() < deadline and not answer:
            try:
                answer = sock.recv(10)
            except BlockingIOError:
                pass
    assert answer == b"done" and 2 < net.now < 2.1


@pytest.mark.timeout(60)
def test_asyncio_that_never_rests_lets_time_pass(net):
    over: list[bool] = []

    async def spin() -> None:
        while not over:
            await asyncio.sleep(0)

    net.host("host").run(lambda: (time.sleep(1), over.append(True)))
    net.host("other").run(lambda: asyncio.run(spin())).join()
    assert net.now == pytest.approx(1, abs=0.01)


def test_a_few_looks_cost_no_time_and_a_wait_has_them_forgotten(net):
    for _ in range(20):
        for _ in range(90):
            time.monotonic()
        time.sleep(1)
    assert net.now == 20
    with pytest.raises(TimeoutError):
        net.host("host").run(time.sleep, 10).join(1e-12)
    assert net.now == pytest.approx(20, abs=1e-8)


def test_who_looks_without_end_is_ended_with_the_network():
    with ustcp.Network() as net:
        net.host("host").run(lambda: [None for _ in iter(time.monotonic, -1)])
        net.sleep(1)
    assert net.now == 1
