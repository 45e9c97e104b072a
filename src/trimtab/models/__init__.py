"""Models: where weights come from, batches, log-probabilities and generation."""

import logging

# peft imports bitsandbytes if it is installed, which then warns on CPUs about a kernel that Trimtab does not use.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
