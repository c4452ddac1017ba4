"""What an owner does to a live team from outside: `live.blocks`, `live.agents` and `live.agents.blocks`."""

from orchestrator.owner.agents import AttachedBlocks, OwnedAgents
from orchestrator.owner.blocks import OwnedBlocks
from orchestrator.owner.office import AgentReference, AgentState, BlockReference, Office

__all__ = ["AgentReference", "AgentState", "AttachedBlocks", "BlockReference", "Office", "OwnedAgents", "OwnedBlocks"]
