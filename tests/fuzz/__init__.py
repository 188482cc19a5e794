"""
Search for input that breaks a parser, led by coverage (atheris, a libFuzzer for Python).

One module for each parser.  Its `check(data)` feeds bytes to the parser, raises where it breaks its promises, and says in a
word what became of them; `WORDS` are pieces that are hard to find by chance.  `corpus/` holds what earlier searches have
found to reach new code, and under names with `always-` what once broke something.  In `tests/`:

    python -m fuzz NAME --seconds 60          search; what breaks a promise is printed, with the file that holds it
    python -m fuzz NAME --seconds 600 --save  and keep what reached new code
    python -m fuzz NAME FILE...               check these files once more
"""
