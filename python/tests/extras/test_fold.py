"""Folding the output of ranks."""

from __future__ import annotations

import random
import unittest

from tutti import _fold


class Labels(unittest.TestCase):
    def test_label(self) -> None:
        for ranks, text in (([0], "[0]"), ([0, 1], "[0,1]"), (range(4), "[0-3]"), ([0, 2, 5, 6, 7], "[0,2,5-7]"), ([3, 1, 2, 9, 10], "[1-3,9,10]")):
            self.assertEqual(_fold.label(ranks), text)

    def test_parse(self) -> None:
        for text, ranks in (("0,2", [0, 2]), ("1-3", [1, 2, 3]), ("-1", [3]), ("::2", [0, 2]), ("all", [0, 1, 2, 3]), ("2 0", [2, 0]), ("1:", [1, 2, 3])):
            self.assertEqual(_fold.parse_ranks(text, 4), ranks, text)
        for text in ("4", "-5", "", "a", "3-1"):
            with self.assertRaises(ValueError):
                _fold.parse_ranks(text, 4)


def text(lines: list) -> str:
    return "".join(_fold.render(lines))


class Folds(unittest.TestCase):
    def test_same_lines_are_one(self) -> None:
        f = _fold.Folder(range(3))
        for r in range(3):
            f.feed(r, "stdout", "42\nmine %d\n" % (r // 2), 0.0)
        self.assertEqual(text(f.take(0.0)), "[0-2] 42\n[0,1] mine 0\n[2] mine 1\n")
        self.assertIsNone(f.waits_until())

    def test_a_line_waits_for_the_others_but_not_long(self) -> None:
        f = _fold.Folder(range(2), patience=0.5)
        f.feed(0, "stdout", "a\n", 1.0)
        self.assertEqual(f.take(1.1), [])
        self.assertEqual(f.waits_until(), 1.5)
        self.assertEqual(text(f.take(1.5)), "[0] a\n")
        f.feed(1, "stdout", "a\n", 2.0)
        self.assertEqual(f.take(2.1), [])
        f.feed(0, "stdout", "a\n", 2.2)
        self.assertEqual(text(f.take(2.2)), "[0,1] a\n")

    def test_nobody_waits_for_who_has_ended(self) -> None:
        f = _fold.Folder(range(2))
        f.close(1)
        f.feed(0, "stdout", "a\nb", 0.0)
        self.assertEqual(text(f.take(0.0)), "[0] a\n")
        f.close(0)
        self.assertEqual(text(f.take(0.0)), "[0] b\n")

    def test_pieces_of_lines(self) -> None:
        f = _fold.Folder([0])
        f.feed(0, "stdout", "ab", 0.0)
        self.assertEqual(f.take(0.0), [])
        f.feed(0, "stdout", "c\nd", 0.0)
        self.assertEqual(f.take(0.0), [((0,), "stdout", "abc\n")])
        self.assertEqual(_fold.render(f.take(0.0, final=True), 1), ["d\n"])

    def test_streams_do_not_mix(self) -> None:
        f = _fold.Folder(range(2))
        for r in range(2):
            f.feed(r, "error", "oh\n", 0.0)
            f.feed(r, "stdout", "x\n", 0.0)
        self.assertEqual([s for _, s, _ in f.take(0.0)], ["stdout", "error"])

    def test_blocks_stay_together(self) -> None:
        f = _fold.Folder(range(3))
        for r in range(3):
            f.block(r, "error", "Traceback\n  line %d" % (r == 1), 0.0)
        self.assertEqual(text(f.take(0.0)), "[0,2] Traceback\n[0,2]   line 0\n[1] Traceback\n[1]   line 1\n")

    def test_nothing_is_lost_or_put_in_another_order(self) -> None:
        for seed in range(30):
            rng = random.Random(seed)
            n = rng.randint(1, 5)
            said = {r: "".join("line %d\n" % rng.randint(0, 3) for _ in range(rng.randint(0, 20))) + "end" for r in range(n)}
            left, got, now = dict(said), {r: "" for r in range(n)}, 0.0
            f = _fold.Folder(range(n))
            while any(left.values()):
                r = rng.choice([r for r in left if left[r]])
                k = rng.randint(1, 30)
                f.feed(r, "stdout", left[r][:k], now)
                left[r] = left[r][k:]
                if not left[r]:
                    f.close(r)
                now += rng.random() * 0.1
                for ranks, _, line in f.take(now):
                    for q in ranks:
                        got[q] += line
            for ranks, _, line in f.take(now, final=True):
                for q in ranks:
                    got[q] += line
            self.assertEqual(got, {r: s + "\n" for r, s in said.items()}, seed)


if __name__ == "__main__":
    unittest.main()
