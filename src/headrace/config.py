"""Settings as documented data, and secrets that do not print.

A settings class is a frozen dataclass whose fields are made by `setting`; forms, command-line flags, validation and reference
pages are derived from it. Values are layered: defaults < file < environment < arguments.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from headrace.errors import InvalidInput

ENVIRONMENT_PREFIX = "HEADRACE_"
MASK = "••••"


class SettingInvalid(InvalidInput):
    """A setting has a value of the wrong type or outside its choices, or is missing."""

    code = "setting_invalid"


class Secret:
    """A value that never prints; `reveal` is the only way out."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself; only a transport may call this."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))


def setting(
    description: str,
    *,
    default: Any = MISSING,
    one_of: tuple[Any, ...] = (),
    example: Any = None,
    pattern: str | None = None,
) -> Any:
    """Declare a field of a settings class.

    Args:
        description: One sentence for forms, help texts and the reference.
        default: Value when nothing is given; a setting without one is required.
        one_of: The only values allowed, when not empty.
        example: A value to show.
        pattern: Regular expression that a text value must match as a whole.
    """
    metadata = {"description": description, "one_of": one_of, "example": example, "pattern": pattern}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an operator can set about one Headrace server."""

    home: Path = setting("Folder that holds everything the server keeps.", default=Path("headrace-home"))
    host: str = setting("Address to listen on.", default="127.0.0.1")
    port: int = setting("Port to listen on.", default=8900)
    public_url: str = setting("Base URL that clients use, when it differs from the address they called.", default="")
    clock: str = setting("`system`, or `manual:<RFC 3339 instant>` for a clock that only calls move.", default="system")
    allow_private_destinations: bool = setting("Permit loopback and private addresses as destinations.", default=False)
    strict_accept: bool = setting("Refuse registry reads without a registry media type.", default=False)
    log_level: str = setting("Least severe event to log.", default="INFO", one_of=("DEBUG", "INFO", "WARNING", "ERROR"))
    max_linger_ms: int = setting("Longest wait of the gateway for more records before it syncs.", default=2)
    inlet_requests_per_second: int = setting("Requests a second that one inlet takes for long; 0 sets no limit.", default=50_000)
    inlet_least_free_bytes: int = setting(
        "Free disk space below which the inlets refuse; on a small disk a fiftieth of it.", default=256_000_000
    )
    inlet_most_backlog_records: int = setting(
        "Accepted records that may wait for the pipeline and the lake before the inlets refuse.", default=50_000_000
    )
    micro_batch_records: int = setting("Most records the pipeline takes in one commit.", default=2000)
    lake_flush_seconds: int = setting("Longest time an accepted record waits for the lake.", default=60)
    lake_flush_bytes: int = setting("Bytes of waiting records that make the lake writer write at once.", default=64_000_000)
    log_retention_hours: int = setting("How long applied log entries are kept for a replay.", default=24)

    @property
    def is_manual_clock(self) -> bool:
        """Whether the server starts on a clock that only calls move."""
        return self.clock.startswith("manual:")


def load_settings(arguments: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of a server: defaults < ``headrace.toml`` of the home folder < environment < arguments.

    Args:
        arguments: Values by field name; None values count as not given.
        environment: Variables to read instead of the process's own; ``HEADRACE_PORT`` sets ``port``.

    Raises:
        SettingInvalid: A value does not fit its setting, or the file names an unknown one.
    """
    environment = os.environ if environment is None else environment
    given = {name: value for name, value in (arguments or {}).items() if value is not None}
    from_environment = {
        item.name: environment[ENVIRONMENT_PREFIX + item.name.upper()]
        for item in fields(Settings)
        if ENVIRONMENT_PREFIX + item.name.upper() in environment
    }
    home = Path(given.get("home") or from_environment.get("home") or Settings.home)
    merged = {**_from_file(home / "headrace.toml"), **from_environment, **given, "home": home.absolute()}
    return Settings(**{item.name: _converted(item, merged[item.name]) for item in fields(Settings) if item.name in merged})


def _from_file(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    values = tomllib.loads(path.read_text())
    unknown = sorted(set(values) - {item.name for item in fields(Settings)})
    if unknown:
        raise SettingInvalid(f"{path.name} has an unknown setting '{unknown[0]}'.", path=unknown[0])
    return values


def _converted(item: Field[Any], value: Any) -> Any:
    wanted = item.type
    try:
        if wanted is bool and isinstance(value, str):
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}[value.lower()]
        converted = value if isinstance(value, wanted) else wanted(value)  # type: ignore[arg-type, operator]
    except (KeyError, ValueError, TypeError) as error:
        raise SettingInvalid(f"Setting '{item.name}' cannot be {value!r}.", path=item.name) from error
    choices = item.metadata.get("one_of")
    if choices and converted not in choices:
        raise SettingInvalid(f"Setting '{item.name}' must be one of {', '.join(map(str, choices))}.", path=item.name)
    return converted
