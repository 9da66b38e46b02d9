"""What a result was made from, so that it can be made again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from accelsim import written
from accelsim.hardware import Hardware
from accelsim.network.digest import network_digest
from accelsim.network.graph import Network
from accelsim.results.silicon import silicon_dict


@dataclass(frozen=True, slots=True)
class Origin:
    """The network and the hardware of a run, and the `settings` that made the hardware other.

    `asked` is what loads the network and shapes the run again: the `network`'s name or path, and
    where they were given `dims`, `outputs`, the `mapping`'s file and the parts of a `training`
    step. Random values come from `seed`; a run's times do not depend on it.
    """

    network: Network
    hardware: Hardware
    settings: tuple[str, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The JSON form: the hardware as a file with nothing left out, the network by its hash."""
        from accelsim import __version__

        hardware = self.hardware
        return {
            "accelsim": __version__,
            "network_sha256": network_digest(self.network),
            "settings": list(self.settings),
            "asked": dict(self.asked),
            "seed": self.seed,
            "hardware": written.nested(written.settings(hardware)),
            "derived": {
                "pes": hardware.pes,
                "dram_bytes_per_cycle": float(hardware.dram_bytes_per_cycle),
                **silicon_dict(hardware),
            },
        }
