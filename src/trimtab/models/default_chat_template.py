"""The chat template for models without one: plain-text role headings that any tokenizer can encode."""

from __future__ import annotations

import hashlib

DEFAULT_CHAT_TEMPLATE = """\
{%- for message in messages %}
    {%- if message['role'] not in ['system', 'user', 'assistant'] %}
        {{- raise_exception("no role " ~ message['role'] ~ " in a conversation; there are system, user, assistant") }}
    {%- endif %}
    {%- if not loop.first %}
        {{- '\\n\\n' }}
    {%- endif %}
    {{- '### ' ~ message['role'].capitalize() ~ ':\\n' ~ message['content'] }}
    {%- if message['role'] == 'assistant' %}
        {{- eos_token }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '\\n\\n### Assistant:\\n' }}
{%- endif %}
"""

BOS_PREFIX = "{{- bos_token }}\n"


def build_default_template(*, add_bos: bool) -> str:
    """The Jinja source. `add_bos` writes the BOS token, for tokenizers that put one at the start of every text.

    A prompt rendered with the generation prompt is an exact prefix of the same prompt rendered with its response. A response
    ends with the EOS token.
    """
    return (BOS_PREFIX if add_bos else "") + DEFAULT_CHAT_TEMPLATE


def template_hash(source: str) -> str:
    """The first 12 hex digits of the SHA-256 of a template's source."""
    return hashlib.sha256(source.encode()).hexdigest()[:12]
