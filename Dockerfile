# An image for clusters: Trimtab on NVIDIA GPUs and on CPUs, with Ray and clients of OpenAI-compatible servers.
#
#   docker build --tag trimtab .
#   docker run --rm --gpus all --volume "$PWD:/studies" trimtab trimtab run study.yaml
#
# vLLM needs other versions of some dependencies: --build-arg EXTRAS=vllm,ray --build-arg CONSTRAINTS=/dev/null
FROM debian:trixie-slim

# PyTorch compiles kernels for GPUs when they are first used, with a C compiler and Python's headers.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/trimtab
ENV PATH=/opt/trimtab/bin:$PATH

ARG EXTRAS=openai,ray
ARG CONSTRAINTS=/source/constraints.txt
COPY pyproject.toml README.md LICENSE constraints.txt /source/
COPY src /source/src
RUN pip install --no-cache-dir --constraint "$CONSTRAINTS" "/source[$EXTRAS]" && rm -rf /source

# The folder with studies and runs, and with the cache of models, which the next container finds again.
WORKDIR /studies
ENV TRIMTAB_CACHE=/studies/.cache
CMD ["trimtab", "--help"]
