"""A parameter study by a balanced view: the logistic map, some parameters of which are bad."""
import ipyparallel as ipp


def lyapunov(r, steps=2000):
    """The Lyapunov exponent of x -> r x (1 - x); a parameter outside [0, 4] is an error."""
    import math

    if not 0 < r <= 4:
        raise ValueError(f"r = {r} leaves the unit interval")
    x, total = 0.4, 0.0
    for _ in range(steps):
        x = r * x * (1 - x)
        total += math.log(max(abs(r * (1 - 2 * x)), 1e-300))
    return r, total / steps


with ipp.Cluster(n=2, log_level=40) as rc:
    view = rc.load_balanced_view()
    parameters = [2.5 + 0.05 * i for i in range(30)]

    amr = view.map_async(lyapunov, parameters, ordered=False, chunksize=3)
    seen = dict(amr)  # as they come
    assert set(seen) == set(parameters)
    assert amr.ready() and amr.successful()
    chaotic = [r for r in parameters if seen[r] > 0]
    assert min(chaotic) > 3.5 and seen[2.5] < 0
    assert amr.progress == len(amr) == 10
    assert amr.elapsed >= 0 and amr.serial_time >= 0

    # Bad parameters among good ones.
    ar = view.map_async(lyapunov, [3.0, 4.5, 3.9, -1.0])
    try:
        ar.get()
    except ipp.error.CompositeError as err:
        assert len(err.elist) == 2, err.elist
        assert err.elist[0][0] == "ValueError" and "4.5" in err.elist[0][1]
        try:
            err.raise_exception()
        except ipp.RemoteError as first:
            assert first.ename == "ValueError"
    else:
        raise AssertionError("two parameters were bad")
    assert not ar.successful()

    results = view.map_sync(lyapunov, [3.0, 4.5, 3.9], return_exceptions=True)
    assert results[0][0] == 3.0 and results[2][0] == 3.9 and isinstance(results[1], ipp.RemoteError)

    one = view.apply_async(lyapunov, 3.7)
    r, exponent = one.get(timeout=30)
    assert one.metadata["status"] == "ok" and one.engine_id in rc.ids
    assert one.metadata.started <= one.metadata.completed
    total = sum(1 for _ in view.imap(lyapunov, (3 + i / 100 for i in range(50)), max_outstanding=8))
    assert total == 50
    print(f"{len(chaotic)} of {len(parameters)} parameters are chaotic, the first r = {min(chaotic):.2f}; exponent at 3.7: {exponent:.3f}")
