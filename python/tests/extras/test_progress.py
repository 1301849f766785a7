"""Bars."""

from __future__ import annotations

import io
import unittest

from tutti import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Bars(unittest.TestCase):
    def test_a_terminal_sees_one_line_written_over(self) -> None:
        out = Terminal()
        with progress.Bar(4, "map", "task", out) as b:
            b.update()
            b.set(4)
        lines = out.getvalue().split("\r")
        self.assertTrue(lines[1].startswith("map:   0%|---"))
        self.assertTrue(lines[-1].startswith("map: 100%|###"))
        self.assertIn(" 4/4 task [00:00<00:00]", lines[-1])
        self.assertTrue(out.getvalue().endswith("\n"))
        b.close()
        self.assertEqual(out.getvalue().split("\r"), lines)

    def test_a_file_sees_the_end(self) -> None:
        out = io.StringIO()
        with progress.Bar(None, "", "task", out) as b:
            for _ in range(3):
                b.update()
        self.assertEqual(out.getvalue(), "3 task [00:00]\n")

    def test_clock(self) -> None:
        self.assertEqual([progress.clock(s) for s in (0, 61, 3723, -1)], ["00:00", "01:01", "1:02:03", "00:00"])

    def test_any_bar_has_one_face(self) -> None:
        out = io.StringIO()
        with progress.bar(3, "d", "u", file=out) as b:
            b.set(2)
            b.update()
            self.assertEqual(b.n, 3)
        self.assertIn("3/3", out.getvalue())

    def test_track(self) -> None:
        import contextlib

        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            self.assertEqual(list(progress.track(range(5), desc="t")), list(range(5)))
        self.assertIn("5/5", err.getvalue())


if __name__ == "__main__":
    unittest.main()
