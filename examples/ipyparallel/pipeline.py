"""A small pipeline with dependencies: make data, then two analyses where the data are, then a report."""
import ipyparallel as ipp


def make(n, seed):
    """Leaves data on the engine and returns where they are."""
    import os
    import random

    global data
    rng = random.Random(seed)
    data = [rng.random() for _ in range(n)]
    return os.getpid()


def mean():
    import os

    return os.getpid(), sum(data) / len(data)


def spread():
    import os

    return os.getpid(), max(data) - min(data)


@ipp.require("json", "math")
def report(a, b):
    return json.dumps({"mean": math.floor(a * 1000) / 1000, "spread": math.floor(b * 1000) / 1000})


def only_on(pid):
    import os

    return os.getpid() == pid


def where():
    import os

    return os.getpid()


with ipp.Cluster(n=2, log_level=40) as rc:
    view = rc.load_balanced_view()
    made = view.apply_async(make, 1000, 7)
    with view.temp_flags(follow=made, after=made):
        ar_mean = view.apply_async(mean)
        ar_spread = view.apply_async(spread)
    pid, m = ar_mean.get(timeout=60)
    assert pid == made.get() == ar_spread.get()[0]
    with view.temp_flags(after=[ar_mean, ar_spread], retries=2):
        ar_report = view.apply_async(report, m, ar_spread.get()[1])
    text = ar_report.get(timeout=60)
    assert text.startswith('{"mean": 0.'), text

    # Where a function insists on the engine.
    pids = rc[:].apply_sync(where)
    assert len(set(pids)) == 2
    target = view.apply_async(ipp.depend(only_on, pids[1])(where))
    assert target.get(timeout=60) == pids[1]

    # Names that are evaluated on the engine.
    rc[:].push({"factor": 3}, block=True)
    assert rc[:].apply_sync(lambda x, y: x * y, ipp.Reference("factor"), 14) == [42, 42]
    assert rc[1].apply_sync(lambda: factor + 1) == 4

    # Results are found again by their ids, and joined.
    again = rc.get_result(ar_report.msg_ids, block=True)
    assert again.get() in (text, [text]), again.get()
    status = rc.queue_status()
    assert all(status[i]["queue"] == 0 for i in rc.ids), status
    ars = [view.apply_async(pow, 2, k) for k in range(6)]
    assert rc.wait(ars, timeout=60)
    assert [ar.r for ar in ars] == [1, 2, 4, 8, 16, 32]

    @view.parallel(block=True)
    def squared(x):
        return x * x

    assert squared.map(range(5)) == [0, 1, 4, 9, 16]

    @rc[:].remote(block=True)
    def engine_number(offset):
        return factor + offset

    assert engine_number(1) == [4, 4]
    print(text, "made by process", "of one engine; six powers joined:", sum(ar.get() for ar in ars))
