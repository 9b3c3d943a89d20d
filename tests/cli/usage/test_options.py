"""What commands share: every option has a help text."""

import typing

from distspc.cli.usage import options


def test_every_shared_option_says_what_it_is_for():
    shared = [value for name, value in vars(options).items() if name.endswith(("Option", "Argument"))]
    assert len(shared) >= 5
    for annotated in shared:
        (info,) = [part for part in typing.get_args(annotated) if hasattr(part, "help")]
        assert info.help.endswith((".", "address."))
