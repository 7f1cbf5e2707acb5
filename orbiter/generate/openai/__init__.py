"""A policy that asks any server with an OpenAI-compatible chat API: vLLM, SGLang, llama.cpp, a hosted one.

OpenAIPolicy  ->  Limit, how many requests are open  ->  Client, one try  ->  answer.py, what came back
"""

from orbiter.generate.openai.policy import OpenAIPolicy

__all__ = ["OpenAIPolicy"]
