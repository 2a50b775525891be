"""LoRA adapters on segments, and joining the segments' files into one standard PEFT folder.

segments and join load no torch; lora and verify do.
"""
