"""What a session on a GPU is made of: its context and memory, lanes of inferences, the engine's judgement."""
