"""Price a European option by Monte Carlo, the paths spread over engines by a direct view."""
import math

import ipyparallel as ipp


def black_scholes(spot, strike, rate, vol, years):
    """The closed form that the simulation is checked against."""
    d1 = (math.log(spot / strike) + (rate + vol**2 / 2) * years) / (vol * math.sqrt(years))
    d2 = d1 - vol * math.sqrt(years)
    phi = lambda x: 0.5 * (1 + math.erf(x / math.sqrt(2)))  # noqa: E731
    return spot * phi(d1) - strike * math.exp(-rate * years) * phi(d2)


def payoff_sum(n, seed):
    """The sum of n discounted payoffs; the option is what was pushed to this engine."""
    rng = random.Random(seed)
    total = 0.0
    drift, spread = (rate - vol**2 / 2) * years, vol * math.sqrt(years)
    for _ in range(n):
        final = spot * math.exp(drift + spread * rng.gauss(0, 1))
        total += max(final - strike, 0.0)
    return total * math.exp(-rate * years)


option = {"spot": 100.0, "strike": 105.0, "rate": 0.03, "vol": 0.2, "years": 1.0}
paths = 40_000

with ipp.Cluster(n=2, log_level=40) as rc:
    rc.wait_for_engines(2, timeout=60)
    dview = rc[:]
    dview.block = True
    with dview.sync_imports(quiet=True):
        import math  # noqa: F811
        import random  # noqa: F401
    dview.push(option)
    assert dview["strike"] == [105.0, 105.0]
    dview["strike"] = 110.0
    assert dview.pull(("spot", "strike")) == [[100.0, 110.0]] * 2
    option["strike"] = 110.0

    share = paths // len(rc)
    sums = dview.map(payoff_sum, [share] * len(rc), range(len(rc)))
    price = sum(sums) / (share * len(rc))
    exact = black_scholes(**option)
    assert abs(price - exact) < 0.3, (price, exact)

    # The strikes of a whole smile, cut into one part for each engine.
    dview.scatter("strikes", list(range(90, 121, 5)))
    dview.push({"black_scholes": black_scholes})
    dview.execute("prices = [black_scholes(spot, k, rate, vol, years) for k in strikes]")
    prices = list(dview.gather("prices"))
    assert prices == [black_scholes(**{**option, "strike": k}) for k in range(90, 121, 5)]
    assert [len(part) for part in dview["strikes"]] == [4, 3]

    first = rc[0]
    ar = first.execute("print('engine', 0, 'has', len(strikes), 'strikes')", block=False)
    ar.get()
    assert ar.stdout.strip() == "engine 0 has 4 strikes", ar.stdout
    print(f"price {price:.3f}, exact {exact:.3f}; smile from {prices[0]:.2f} down to {prices[-1]:.2f}")
