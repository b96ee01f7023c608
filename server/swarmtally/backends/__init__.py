"""Who does an agent's work: a provider's model, an OpenAI-compatible server, or the embedded model."""
