"""Tables on the screen: names whole and harmless, numbers with four digits."""

import pandas as pd

from distspc.cli.dialogue.output import printable, table


def test_numbers_have_four_digits_and_names_are_whole():
    shown = table(pd.DataFrame({"layer": ["fc2", "a" * 150], "r": [0.123456, -1.0], "n": [2222, 3]}))
    assert "0.1235" in shown
    assert "2222" in shown
    assert "a" * 150 in shown


def test_names_move_no_cursor():
    assert printable("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"
    assert "\x1b" not in table(pd.DataFrame({"name": ["\x1b[2J[bold]x"]}))
    assert "[bold]x" in table(pd.DataFrame({"name": ["[bold]x"]}))
