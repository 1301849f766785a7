"""joblib on a cluster."""

from __future__ import annotations

import unittest

try:
    import joblib
except ImportError:
    raise unittest.SkipTest("joblib is not installed") from None

from live import Live
from tutti import joblib as ours


class Backend(Live):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        ours.register("tutti")

    def test_parallel(self) -> None:
        with joblib.parallel_backend("tutti", n=2):
            got = joblib.Parallel()(joblib.delayed(lambda x: x * x)(i) for i in range(3000))
        self.assertEqual(got, [i * i for i in range(3000)])

    def test_errors(self) -> None:
        def broken(x: int) -> float:
            return 1 / (x - 5)

        with joblib.parallel_backend("tutti", n=2):
            with self.assertRaises(ZeroDivisionError) as caught:
                joblib.Parallel()(joblib.delayed(broken)(i) for i in range(100))
            self.assertIn("return 1 / (x - 5)", str(caught.exception.__cause__))
            self.assertEqual(joblib.Parallel()(joblib.delayed(broken)(i) for i in (6, 7)), [1, 0.5])

    def test_number_of_jobs(self) -> None:
        backend = ours.backend_class()(n=2)
        try:
            self.assertEqual([backend.effective_n_jobs(n) for n in (-1, None, 1, 8, -2)], [2, 2, 1, 2, 1])
            with self.assertRaises(ValueError):
                backend.effective_n_jobs(0)
        finally:
            backend.terminate()


if __name__ == "__main__":
    unittest.main()
