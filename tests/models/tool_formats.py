"""Chat templates of our own that format tools as widely used families do."""

from __future__ import annotations

from chat_formats import FORMATS, ChatFormat
from tokenizers import AddedToken

_START, _END = "{{ '<|im_start|>' + m.role + '\n' }}", "{{ '<|im_end|>\n' }}"
TOOL_FORMATS: dict[str, ChatFormat] = {
    # tags around JSON; results are a user turn
    "qwen-2.5": ChatFormat(
        "{% if tools %}{{ '<|im_start|>system\n' }}{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}"
        "{{ '\n<tools>' }}{% for tool in tools %}{{ '\n' + tool | tojson }}{% endfor %}{{ '\n</tools><|im_end|>\n' }}"
        "{% endif %}{% for m in messages %}{% if m.role == 'system' and tools %}"
        "{% elif m.role == 'assistant' and m.tool_calls %}{{ '<|im_start|>assistant' }}"
        "{% if m.content %}{{ '\n' + m.content }}{% endif %}{% for call in m.tool_calls %}"
        "{{ '\n<tool_call>\n{\"name\": \"' + call.function.name + '\", \"arguments\": ' }}"
        "{{ call.function.arguments | tojson + '}\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\n' }}"
        "{% elif m.role == 'tool' %}{% if messages[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}{% endif %}"
        "{{ '\n<tool_response>\n' + m.content + '\n</tool_response>' }}"
        "{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\n' }}{% endif %}"
        "{% else %}" + _START + "{{ m.content }}" + _END + "{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        ("<|im_start|>", "<|im_end|>", AddedToken("<tool_call>"), AddedToken("</tool_call>")),
    ),
    # one call, without text; results are JSON text
    "llama-3.1": ChatFormat(
        "{{ bos_token }}{% if tools %}{{ '<|header|>system<|/header|>\n\n' + tools | tojson + '<|eot|>' }}{% endif %}"
        "{% for m in messages %}{% if 'tool_calls' in m %}{% if m.tool_calls | length != 1 %}"
        "{{ raise_exception('This model only supports single tool-calls at once!') }}{% endif %}"
        "{{ '<|header|>assistant<|/header|>\n\n{\"name\": \"' + m.tool_calls[0].function.name + '\", \"parameters\": ' }}"
        "{{ m.tool_calls[0].function.arguments | tojson + '}<|eot|>' }}"
        "{% elif m.role == 'tool' %}{{ '<|header|>ipython<|/header|>\n\n' + m.content | tojson + '<|eot|>' }}"
        "{% else %}{{ '<|header|>' + m.role + '<|/header|>\n\n' + m.content | trim + '<|eot|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|header|>assistant<|/header|>\n\n' }}{% endif %}",
        ("<|header|>", "<|/header|>", "<|eot|>"),
    ),
    # control tokens around JSON; ids are required
    "mistral-3": ChatFormat(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{% if tools and loop.first %}"
        "{{ '[TOOLS] ' + tools | tojson + '[/TOOLS]' }}{% endif %}{{ '[INST] ' + m.content + '[/INST]' }}"
        "{% elif m.role == 'tool' %}{% if m.tool_call_id is not defined %}{{ raise_exception('Tool calls need ids!') }}"
        "{% endif %}{{ '[RESULTS] {\"content\": ' + m.content + ', \"call_id\": \"' + m.tool_call_id + '\"}[/RESULTS]' }}"
        "{% elif m.tool_calls is defined %}{{ '[CALLS] [' }}{% for call in m.tool_calls %}"
        "{{ (call.function | tojson)[:-1] + ', \"id\": \"' + call.id + '\"}' + (']' if loop.last else ', ') }}{% endfor %}"
        "{{ eos_token }}{% else %}{{ ' ' + m.content | trim + eos_token }}{% endif %}{% endfor %}",
        ("[INST]", "[/INST]", "[TOOLS]", "[/TOOLS]", "[CALLS]", "[RESULTS]", "[/RESULTS]"),
    ),
}  # fmt: skip
# No part of these templates writes calls, results or definitions.
WITHOUT_TOOLS = ("zephyr", "phi-3", "qwen-3", "gemma-3", "deepseek-r1")
PLAIN_FORMATS = {name: FORMATS[name] for name in WITHOUT_TOOLS}
