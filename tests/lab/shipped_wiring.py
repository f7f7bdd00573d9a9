"""What config/mailgate.toml says of Postfix, for its SMTP door: tests run with what administrators copy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SHIPPED = Path(__file__).parents[2] / "config" / "mailgate.toml"


@dataclass(frozen=True, slots=True)
class EgressDoor:
    """The SMTP door as the egress hop: settings of main.cf, lines of master.cf, and the [[hook]] of mailgate.toml."""

    main_cf: dict[str, str]
    master_cf: list[str]
    hook: dict[str, str]


def shipped_blocks(ports: Mapping[int, int]) -> list[list[str]]:
    """Return each piece that is to be copied from [smtp], as lines; ports: those of the file, and those to use."""
    text = SHIPPED.read_text().partition("[smtp]\n")[2].partition("\n# Where accepted")[0]
    for shipped, used in ports.items():
        text = text.replace(f":{shipped}", f":{used}")
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("#   "):
            blocks[-1].append(line.removeprefix("#   "))
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def settings_of(lines: Sequence[str]) -> dict[str, str]:
    """Return lines of main.cf as names and values."""
    return dict(line.split(" = ", 1) for line in lines)


def egress_door(ports: Mapping[int, int], way_out: str = "smtp:") -> EgressDoor:
    """Return the third way, as the egress hop; way_out: where content_filter sends mail on."""
    _, _, _, main, master, stanza, *_ = shipped_blocks(ports)
    hook = {name: value.strip('"') for name, value in settings_of(stanza[1:]).items()}
    out = [line.replace("content_filter=smtp:", f"content_filter={way_out}") for line in master]
    return EgressDoor(settings_of(main), out, hook)
