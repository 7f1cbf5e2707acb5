"""verl's agent loop of one turn, which tells the rollout which sample it is that it asks for, so that the answer can be seeded."""

from __future__ import annotations

from typing import Any

from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop


class SeededSingleTurn(SingleTurnAgentLoop):
    """Asks once, for sample ``session_id`` of row ``index``."""

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **row: Any) -> Any:
        """Return the answer to a row."""
        sample = (int(row["index"]), int(row["session_id"]))
        return await super().run({**sampling_params, "sample": sample}, priority, **row)
