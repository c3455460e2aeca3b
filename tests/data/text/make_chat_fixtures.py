#!/usr/bin/env python3
"""Writes chats.json: conversations as the models' own Jinja templates render them.

    pip install jinja2
    make_chat_fixtures.py LLAMA_CPP > chats.json

LLAMA_CPP is a source tree of llama.cpp, which has published templates in models/templates/ and
tests/test-chat-template.cpp; some short ones stand below. Jinja2 is set up as transformers does it.
Of a long template the file keeps only the lines that quote tags: what detection looks at.
"""
import json
import re
import sys
from pathlib import Path

from jinja2.exceptions import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

LLAMA2 = (  # meta-llama/Llama-2-7b-chat-hf
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}"
    "{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}")
ZEPHYR = (  # HuggingFaceH4/zephyr-7b-beta, TinyLlama-1.1B-Chat-v1.0
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
    "{{ '<|user|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n"
    "{{ '<|system|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n"
    "{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n"
    "{% endfor %}")
GEMMA3 = (  # google/gemma-3-1b-it, its case of a content that is a list left out
    "{{ bos_token }}\n{%- if messages[0]['role'] == 'system' -%}\n"
    "    {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}\n"
    "    {%- set loop_messages = messages[1:] -%}\n{%- else -%}\n"
    "    {%- set first_user_prefix = \"\" -%}\n    {%- set loop_messages = messages -%}\n"
    "{%- endif -%}\n{%- for message in loop_messages -%}\n"
    "    {%- if (message['role'] == 'assistant') -%}\n        {%- set role = \"model\" -%}\n"
    "    {%- else -%}\n        {%- set role = message['role'] -%}\n    {%- endif -%}\n"
    "    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else \"\") }}\n"
    "    {{- message['content'] | trim -}}\n    {{ '<end_of_turn>\n' }}\n{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n    {{'<start_of_turn>model\n'}}\n{%- endif -%}\n")

TURNS = [("user", " Hello "), ("assistant", "Hi\nthere."), ("user", "Who are you?\n"),
         ("assistant", "A model."), ("user", "Why?")]
SYSTEM = "You are brief."


def main():
    root = Path(sys.argv[1])
    tests = (root / "tests/test-chat-template.cpp").read_text()

    def file(name):
        return (root / "models/templates" / f"{name}.jinja").read_text()

    def test(name):
        literal = re.search(re.escape(f'"{name}') + r'.*\n(?:\s*//.*\n)*'
                            r'\s*/\* .template_str= \*/ (?:U8C\()?("(?:[^"\\]|\\.)*")', tests)
        return json.loads(literal[1].replace("\\'", "'"), strict=False)

    s = ("<s>", "</s>")
    phi = ("<s>", "<|endoftext|>")
    llama3 = ("<|begin_of_text|>", "<|eot_id|>")
    gemma = ("<bos>", "<eos>")
    qwen = ("", "<|im_end|>")
    nemo = file("mistralai-Mistral-Nemo-Instruct-2407")
    write([
        ("chatml", "OpenHermes-2.5-Mistral-7B", test("teknium/OpenHermes-2.5-Mistral-7B"), s, {}),
        ("chatml", "Qwen2.5-7B-Instruct", file("Qwen-Qwen2.5-7B-Instruct"), qwen, {}),
        ("qwen3", "Qwen3-0.6B", file("Qwen-Qwen3-0.6B"), qwen, {"enable_thinking": False}),
        ("llama2", "Llama-2-7b-chat-hf", LLAMA2, s, {}),
        ("llama3", "Meta-Llama-3-8B-Instruct", test("Llama-3"), llama3, {}),
        ("llama3", "Llama-3.1-8B-Instruct", file("meta-llama-Llama-3.1-8B-Instruct"), llama3, {}),
        ("mistral-v0", "Mistral-7B-Instruct-v0.2", test("mistralai/Mistral-7B-Instruct-v0.2 (NOTE"),
         s, {}),
        ("mistral-v1", "Mixtral-8x7B-Instruct-v0.1",
         test("mistralai/Mistral-7B-Instruct-v0.2 (mistralai 'v1'"), s, {}),
        ("mistral-v3", "Mistral-Large-Instruct-2407", test("Mistral-Large-Instruct-2407"), s, {}),
        ("mistral-v3-tekken", "Mistral-Nemo-Instruct-2407", nemo, s, {}),
        ("mistral-v7", "Mistral-Large-Instruct-2411", test("mistralai/Mistral-Large-Instruct-2411"),
         s, {}),
        ("gemma", "gemma-2-2b-it", file("google-gemma-2-2b-it"), gemma, {}),
        ("gemma", "gemma-3-1b-it", GEMMA3, gemma, {}),
        ("phi3", "Phi-3-mini-4k-instruct", test("Phi-3-mini"), phi, {}),
        ("phi3", "Phi-3.5-mini-instruct", file("microsoft-Phi-3.5-mini-instruct"), phi, {}),
        ("zephyr", "zephyr-7b-beta", ZEPHYR, s, {}),
    ])


def render(template, specials, messages, values):
    def refuse(message):
        raise TemplateError(message)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[loopcontrols])
    env.globals["raise_exception"] = refuse
    return env.from_string(template).render(
        messages=messages, bos_token=specials[0], eos_token=specials[1],
        add_generation_prompt=True, **values)


def excerpt(template):
    if len(template) < 1300:
        return template
    tags = r"<\|im_|<\|start_header|\[/?INST\]|_PROMPT\]|bos_token|eos_token|think|strip|Cutting"
    return "".join(line.strip() + "\n" for line in template.splitlines()
                   if re.search(tags, line) and not re.search(r"tool|ipython", line))


def write(models):
    out = []
    for name, model, template, specials, values in models:
        # A conversation only grows (include/spark/chat.h): the system prompt of Mistral v3 stays in
        # the first turn, and Qwen3's empty thoughts stay.
        grows = template.replace("loop.last and system_message", "loop.first and system_message")
        chats = []
        for n_turns in (1, 3, 5):
            for system in ("", SYSTEM):
                if system and model == "Phi-3-mini-4k-instruct":
                    continue  # its template drops the prompt, which others of the family know
                messages = [{"role": r, "content": c} for r, c in TURNS[:n_turns]]
                if system:
                    messages.insert(0, {"role": "system", "content": system})
                try:
                    prompt = render(grows, specials, messages, values)
                except TemplateError:
                    continue  # it knows no system prompt
                if name == "qwen3":
                    prompt = re.sub(r"assistant\n(?!<think>)",
                                    r"assistant\n<think>\n\n</think>\n\n", prompt)
                chats.append({"messages": messages, "prompt": prompt})
        out.append({"format": name, "model": model, "template": excerpt(template), "chats": chats})
    print("[" + ",\n".join(json.dumps(model, ensure_ascii=False) for model in out) + "]")


main()
