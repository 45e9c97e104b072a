"""The command that makes pairs from prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from trimtab.cli.options import DataSettings, Device, TokenBudget
from trimtab.cli.runtime import build_runtime
from trimtab.cli.terminal import app, echo
from trimtab.data.pair_selection import MAX_RESPONSES

Prompts = Annotated[
    Path, typer.Argument(metavar="PROMPTS", help="A file of prompts: jsonl, json, csv or parquet.", show_default=False)
]
RespondingModels = Annotated[
    list[str],
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A model that responds: a name, a folder, or {kind: openai, ...}; repeatable.",
        show_default=False,
    ),
]
NumResponses = Annotated[
    int,
    typer.Option("--responses", metavar="N", min=1, max=MAX_RESPONSES, help="Responses of each model to each prompt."),
]
Temperature = Annotated[float, typer.Option("--temperature", metavar="T", min=0, help="0: greedy.")]
MaxNewTokens = Annotated[
    int, typer.Option("--max-new-tokens", metavar="N", min=1, help="Longer responses are cut off.")
]
StopTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--stop",
        metavar="TEXT",
        help="A response ends before this text, such as the next turn that a base model writes; repeatable.",
        show_default=False,
    ),
]
Rule = Annotated[
    Literal["random", "most_different", "best_worst"],
    typer.Option(
        "--select",
        metavar="RULE",
        help="Which two responses become a pair: random, most_different (fewest common words), or best_worst by --scorer.",
    ),
]
ScorerSettings = Annotated[
    str, typer.Option("--scorer", metavar="SCORER", help="For best_worst: {kind: reward_model, model: NAME}.")
]
PromptLimit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Use a random sample of N of the prompts.")
]
ModelFolder = Annotated[
    Path | None,
    typer.Option("--models-from", metavar="DIR", help="A finished run whose models are named @weak and @student.sft."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="The seed of sampling and selection.")]
PairOutput = Annotated[Path, typer.Option("--out", metavar="FILE", help="The file of pairs: .jsonl.")]


@app.command()
def sample(
    prompts: Prompts,
    models: RespondingModels,
    num_responses: NumResponses = 4,
    temperature: Temperature = 1.0,
    max_new_tokens: MaxNewTokens = 256,
    stop: StopTexts = None,
    select: Rule = "random",
    scorer: ScorerSettings = "",
    limit: PromptLimit = None,
    models_from: ModelFolder = None,
    seed: Seed = 0,
    data: DataSettings = None,
    output: PairOutput = Path("pool.jsonl"),
    device: Device = "auto",
    token_budget: TokenBudget = 1024,
) -> None:
    """Make pairs from prompts, with responses of models.

    Samples responses to every prompt and selects two of them. Each pair names the models that wrote its responses. To resume,
    run the same command again.

    For example: trimtab sample prompts.jsonl --model smollm2-135m-instruct --out pool.jsonl
    """
    from trimtab.pipeline.response_sampling import PairSampling
    from trimtab.workflows.pair_files import build_pair_file, parse_data_settings
    from trimtab.workflows.pair_sampling import sample_pair_file
    from trimtab.workflows.response_sampling import SamplingRequest, parse_engines, parse_scorer

    request = SamplingRequest(
        engines=parse_engines(models),
        sampling=PairSampling(
            num_responses=num_responses,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            rule=select,
            scorer=parse_scorer(scorer, select),
            seed=seed,
            stop=tuple(stop or ()),
        ),
    )
    request.validate()
    source = build_pair_file(prompts, parse_data_settings(data or ()), limit)
    runtime = build_runtime(device, token_budget)
    echo(f"{sample_pair_file(source, request, output, runtime, models_from)}\n{output}")
