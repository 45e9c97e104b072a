"""The chat template for models that come without one: plain text marks, so that any tokenizer can read it."""

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
    """The Jinja source; with `begins` it writes the begin token, for a tokenizer that puts one before every text.

    A prompt rendered with the generation prompt is the exact beginning of the same prompt rendered with its answer, and
    an answer ends with the end token.
    """
    return (BOS_PREFIX if add_bos else "") + DEFAULT_CHAT_TEMPLATE


def template_hash(source: str) -> str:
    """12 hex digits of the sha256 of a template's text."""
    return hashlib.sha256(source.encode()).hexdigest()[:12]
