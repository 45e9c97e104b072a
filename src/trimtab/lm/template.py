"""The chat template for models that come without one: plain text marks, so that any tokenizer can read it."""

from __future__ import annotations

import hashlib

TEMPLATE = """\
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

BEGIN = "{{- bos_token }}\n"


def default_template(*, begins: bool) -> str:
    """The Jinja source; with `begins` it writes the begin token, for a tokenizer that puts one before every text.

    A prompt rendered with the generation prompt is the exact beginning of the same prompt rendered with its answer, and
    an answer ends with the end token.
    """
    return (BEGIN if begins else "") + TEMPLATE


def template_hash(source: str) -> str:
    """12 hex digits of the sha256 of a template's text."""
    return hashlib.sha256(source.encode()).hexdigest()[:12]
