"""Several values after one option: only what is typed decides, whatever the values are."""

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from expunge.cli.several import Several, expanded

VALUES = st.lists(st.text("abc01_.", min_size=1), min_size=1, max_size=4)


@given(st.lists(st.tuples(st.sampled_from(["--seeds", "--methods"]), VALUES), max_size=4))
def test_several_values_mean_the_option_repeated(groups):
    once = [word for option, values in groups for word in (option, *values)]
    repeated = [word for option, values in groups for value in values for word in (option, value)]
    assert expanded(once, ["--seeds", "--methods"]) == repeated == expanded(repeated, ["--seeds", "--methods"])


@given(st.lists(st.sampled_from(["--out", "-v", "runs", "--seeds=3", "0"])))
def test_other_options_are_left_alone(words):
    assert expanded(words, ["--seeds"]) == words


@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        (["--seeds", "0", "1", "2"], [0, 1, 2]),
        (["--seeds", "0", "--seeds", "1"], [0, 1]),
        (["--seeds", "4", "5", "--out", "x", "--seeds", "6"], [4, 5, 6]),
        (["--seeds", "-3", "1"], [-3, 1]),
        ([], []),
    ],
)
def test_a_command_reads_them(words, seeds):
    app = typer.Typer()
    found = []

    @app.command(cls=Several)
    def only(seeds: list[int] = typer.Option([]), out: str = "o") -> None:
        found.append(list(seeds))

    app(words, standalone_mode=False)
    assert found == [seeds]
