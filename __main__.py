"""The command line: `verilora` and `train`. The commands import what they need, so `--help` starts at once."""

import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from .finetune.commands.train_options import DEFAULTS, TrainOptions, parse_losses, resolve
from .finetune.run.config import Algorithm, Budget
from .serving.load.choices import Popularity, PromptKind, Route
from .specs.domain import DEFAULT_RULEBOOK, SHIPPED, load_domain
from .specs.files.errors import InputError
from .specs.files.printable import complain
from .specs.processes.forked import check_time_limit
from .specs.processes.interrupts import heeded_interrupts
from .specs.processes.output import OutputError, guarded_output
from .specs.vocabulary import Vocabulary
from .synth.controllers.controller import Ending, Otherwise, Reading
from .synth.models.generates import Generates
from .verify.checking.check import Runs
from .verify.records.requirement import parse_requirements
from .verify.records.verdict import Mode
from .verify.worlds.world import WorldError, WorldKind

HELP = (
    "Fine-tune a language model with a model checker in the loop.\n\n"
    "A model answers a task with numbered steps. VeriLoRA reads them as a controller, checks it against a rulebook in "
    "linear temporal logic, shows step by step how a rule can be broken, and trains a LoRA adapter whose answers keep "
    "the rules."
)
MORE = "`verilora COMMAND --help` tells the options of a command and its exit codes."
HELP_NAMES = {"help_option_names": ["-h", "--help"]}

WAS_INTERRUPTED = "it was interrupted"


def exit_codes(meanings: Mapping[int, str]) -> str:
    """Return the end of a command's help: what each exit code says, a line each."""
    known = {**meanings, 3: "an internal error; please report it", 130: WAS_INTERRUPTED}
    return "\n".join(("Exit codes:", *(f"{code}: {known[code]}" for code in sorted(known))))


UNUSABLE = "the input or an option cannot be used"
TRAIN_HELP = "Train a LoRA adapter on the verifier's verdicts, and write its certificate and a report."
TRAIN_EXITS = exit_codes(
    {
        0: "the adapter, its certificate and the report are written",
        1: "less was reached than --require asks for, or no adapter is better than the base model",
        2: UNUSABLE,
    }
)
app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help=HELP, epilog=MORE, context_settings=HELP_NAMES
)


def _option(said: str, default: object, **others: Any) -> Any:
    """Return an option of `train`. It is None where it is not asked for; help says which default then holds."""
    return typer.Option(help=f"{said} Default: {default}.", show_default=False, **others)


DomainName = Annotated[str, typer.Option("--task", metavar="DOMAIN", help="The task domain, a folder under --specs.")]
Specs = Annotated[Path, typer.Option(help="The folder of task domains.", show_default="the one that ships")]
Book = Annotated[str, typer.Option("--rulebook", metavar="NAME", help="The rulebook to judge by.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
WorldOption = Annotated[WorldKind | None, typer.Option(help="Default: simulated; in paper mode universal.")]
ModeOption = Annotated[Mode, typer.Option(help="Gates and applicable rules, or the paper's raw count.")]
AtTheEnd = Annotated[Ending, typer.Option(help="What follows the last step: step 1 again, or idling for ever.")]
IfOmitted = Annotated[Otherwise, typer.Option(help="What an omitted `otherwise` means: stay there, or go on.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if a rule is kept by observation only.")]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="ID_OR_PATH",
        help="A causal language model: a folder, a GGUF file or a hub id.",
        show_default="the embedded one",
    ),
]
Device = Annotated[str, typer.Option(help="`cpu` or `cuda`.")]
Processes = Annotated[int | None, typer.Option(min=1, help="How many at once. Default: one for each core.")]
world_app = typer.Typer(no_args_is_help=True, help="Show the learned worlds, or make them and recorded waits again.")
app.add_typer(world_app, name="world")
adapters_app = typer.Typer(no_args_is_help=True, help="Load, update, remove and list the adapters of a running server.")
app.add_typer(adapters_app, name="adapters")


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from . import __version__

        print(f"verilora {__version__}")
        raise typer.Exit


@app.callback()
def _verilora(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def _time_limit(parameter: typer.CallbackParam, seconds: float) -> float:
    try:
        return check_time_limit(seconds, (parameter.name or "").replace("_", " "))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


TimeLimit = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", callback=_time_limit, help="For each formula; what takes longer is UNKNOWN, never a pass."
    ),
]
DeadlineOption = Annotated[
    float,
    typer.Option(metavar="SECONDS", callback=_time_limit, help="For a whole verdict; what is left then is UNKNOWN."),
]
FullWitness = Annotated[
    bool, typer.Option("--full-witness", help="Show all of a long counterexample, not 64 instants.")
]


@app.command(
    epilog=exit_codes(
        {
            0: "every controller keeps all rules and gates",
            1: "something is violated or unknown; with --strict also, kept by observation only",
            2: f"{UNUSABLE}, a file holds no valid controller, or no rule of the book applies",
        }
    )
)
def verify(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Numbered steps or HOA; `-` is standard input.")],
    task: DomainName = "driving",
    specs: Specs = SHIPPED,
    task_id: Annotated[
        str | None,
        typer.Option("--for", metavar="TASK_ID", help="What the files answer, unless their first lines say it."),
    ] = None,
    rulebook: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The rulebook to judge by.", show_default="default; in paper mode paper"),
    ] = None,
    world: WorldOption = None,
    mode: ModeOption = Mode.GATED,
    ending: AtTheEnd = Ending.PATROL,
    otherwise: IfOmitted = Otherwise.STAY,
    no_fairness: Annotated[bool, typer.Option("--no-fairness", help="Judge all runs, however unlikely.")] = False,
    strict: Strict = False,
    within: Annotated[
        int | None, typer.Option(min=1, metavar="SECONDS", help="Also each rule's probabilities after so long.")
    ] = None,
    as_json: Json = False,
    time_limit: TimeLimit = 5.0,
    deadline: DeadlineOption = 60.0,
    full_witness: FullWitness = False,
) -> None:
    """Check controllers against a rulebook, and show step by step how a rule can be broken."""
    from .verify.commands.verify_command import verify_files
    from .verify.verdicts.settings import Settings

    try:
        settings = Settings.of(
            mode,
            world=world,
            runs=Runs.ALL if no_fairness else None,
            reading=Reading(ending=ending, otherwise=otherwise),
            time_limit=time_limit,
            deadline=deadline,
            full_witnesses=full_witness,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    domain = load_domain(task, specs)
    book = domain.rulebook(rulebook or mode.rulebook(domain.rulebook_names()))
    raise typer.Exit(
        verify_files(files, domain, book, settings, task_id, as_json=as_json, strict=strict, within=within)
    )


@app.command(epilog=exit_codes({0: "the rulebook is fit for use", 1: "it has problems", 2: UNUSABLE}))
def rules(
    task: DomainName = "driving",
    specs: Specs = SHIPPED,
    rulebook: Book = DEFAULT_RULEBOOK,
    world: Annotated[str | None, typer.Option(metavar="NAME_OR_KIND", help="One world, or one kind of world.")] = None,
    controllers: Annotated[bool, typer.Option("--controllers", help="Print the reference controllers.")] = False,
    as_json: Json = False,
    time_limit: TimeLimit = 5.0,
) -> None:
    """Examine a rulebook: what each rule says, and whether any controller can keep them all almost surely."""
    from .verify.commands.rules_command import lint_rulebook

    domain = load_domain(task, specs)
    raise typer.Exit(
        lint_rulebook(
            domain, domain.rulebook(rulebook), world, time_limit=time_limit, as_json=as_json, controllers=controllers
        )
    )


@app.command(
    epilog=exit_codes(
        {
            0: "no episode broke a rule or the goal or crashed by its own fault, and most reached the goal",
            1: "one did, or most did not; with --run, something of that is worse after training",
            2: f"{UNUSABLE}, or the file holds no valid controller",
        }
    )
)
def drive(
    context: typer.Context,
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="Numbered steps or HOA; `-` is standard input.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="RUN_DIR", help="Instead of a file: controllers of a run, before and after.")
    ] = None,
    task: DomainName = "driving",
    specs: Specs = SHIPPED,
    task_id: Annotated[
        str | None,
        typer.Option("--for", metavar="TASK_ID", help="What the file answers, unless its first line says it."),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="How many for each controller.")] = 100,
    rulebook: Book = DEFAULT_RULEBOOK,
    ending: AtTheEnd = Ending.PATROL,
    otherwise: IfOmitted = Otherwise.STAY,
    processes: Processes = None,
    replay: Annotated[Path | None, typer.Option(metavar="GIF", help="Write an episode as an animated picture.")] = None,
    rule: Annotated[str | None, typer.Option(help="Replay the first episode that breaks this rule.")] = None,
    as_json: Json = False,
) -> None:
    """Drive a controller in the simulator: count what its episodes break, how they crash and what they reach.

    With --run, drive a controller from before and one from after training for each task, and compare.
    """
    if (file is None) == (run is None):
        raise typer.BadParameter("expected either a FILE or --run RUN_DIR")
    if run is not None:
        if task_id or replay or rule or as_json:
            raise typer.BadParameter(
                "--for, --replay, --rule and --json go with a FILE, got --run (see its drive.json)"
            )
        from .finetune.commands.audit_command import audit_run

        raise typer.Exit(
            audit_run(run, specs if _was_named(context, "specs") else None, episodes, processes or os.cpu_count() or 1)
        )
    assert file is not None
    from .verify.commands.drive_command import drive_file

    if rule and not replay:
        raise typer.BadParameter("--rule chooses the episode to --replay: expected both")
    domain = load_domain(task, specs)
    book = domain.rulebook(rulebook)
    reading = Reading(ending=ending, otherwise=otherwise)
    raise typer.Exit(
        drive_file(file, domain, book, reading, task_id, episodes, processes, replay, rule, as_json=as_json)
    )


@app.command(
    epilog=exit_codes(
        {
            0: "the best answer keeps all rules and gates",
            1: "it does not, or is not judged",
            2: f"{UNUSABLE}, or no answer is a valid controller",
        }
    )
)
def synthesize(
    task: DomainName = "driving",
    specs: Specs = SHIPPED,
    task_id: Annotated[
        str | None, typer.Option("--for", metavar="TASK_ID", help="The task that answers are judged as.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="The words to ask in.", show_default="the first wording of the task")
    ] = None,
    rulebook: Book = DEFAULT_RULEBOOK,
    model: Model = None,
    adapter: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A LoRA adapter, or the directory of a run.")
    ] = None,
    num_answers: Annotated[int, typer.Option("-n", min=1, max=256, help="How many answers.")] = 1,
    temperature: Annotated[float, typer.Option(min=0, help="How freely to sample; 0 takes the likeliest.")] = 0.8,
    constrained: Annotated[bool, typer.Option("--constrained", help="Sample under the grammar of steps.")] = False,
    align: Annotated[
        bool, typer.Option("--align", help="Ask a general model twice: freely, then in the vocabulary.")
    ] = False,
    world: Annotated[WorldKind, typer.Option(help="The world to judge in.")] = WorldKind.SIMULATED,
    ending: AtTheEnd = Ending.PATROL,
    otherwise: IfOmitted = Otherwise.STAY,
    strict: Strict = False,
    seed: Annotated[int, typer.Option(min=0, help="The seed of sampling.")] = 0,
    device: Device = "cpu",
    as_json: Json = False,
    deadline: DeadlineOption = 60.0,
    full_witness: FullWitness = False,
) -> None:
    """Let a language model write controllers, and print each with its verdict, the best first."""
    from .synth.models.generates import Sampling
    from .verify.commands.synthesize_command import SynthesisRequest, print_answers
    from .verify.verdicts.settings import Settings

    try:
        sampling = Sampling(temperature=temperature, constrained=constrained)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    request = SynthesisRequest(
        task_id=task_id,
        text=text,
        model=model,
        adapter=adapter,
        device=device,
        num_answers=num_answers,
        sampling=sampling,
        align=align,
        seed=seed,
    )
    reading = Reading(ending=ending, otherwise=otherwise)
    settings = Settings(world=world, reading=reading, deadline=deadline, full_witnesses=full_witness)
    domain = load_domain(task, specs)
    raise typer.Exit(
        print_answers(
            domain,
            domain.rulebook(rulebook),
            settings,
            request,
            load_generator,
            as_json=as_json,
            strict=strict,
        )
    )


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog=exit_codes({0: "it was asked to end, and ended", 2: UNUSABLE}),
)
def serve(
    context: typer.Context,
    specs: Specs = SHIPPED,
    task: DomainName = "driving",
    model: Model = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="An adapter, served as the model NAME. Several are possible."),
    ] = None,
    adapter_root: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="A folder below which clients may name adapters to load. Several are possible."
        ),
    ] = None,
    adapter_resolver: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder whose sub-folders are adapters, loaded when first asked for."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where loaded adapters are kept.", show_default="a folder that goes with the server"
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where they are listed.", show_default="an SQLite file in the state folder"),
    ] = None,
    device: Device = "cpu",
    host: Annotated[str, typer.Option(help="Without keys, this machine's own only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one, which the log names.")] = 8000,
    served_model_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The base model's name.", show_default="`base`, or the last part of --model"),
    ] = None,
    max_model_len: Annotated[
        int | None, typer.Option(min=2, help="Tokens of a prompt and its answer.", show_default="the model's context")
    ] = None,
    gpu_memory_utilization: Annotated[
        float | None, typer.Option(min=0.05, max=1, help="The share of a GPU's memory to use.", show_default="0.9")
    ] = None,
    max_num_seqs: Annotated[int, typer.Option(min=1, max=4096, help="Sequences that run at a time.")] = 128,
    max_loras: Annotated[
        int, typer.Option(min=1, max=65536, help="Adapters that are on the device at a time; others wait for a place.")
    ] = 1024,
    max_lora_rank: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="The highest rank of an adapter.", show_default="64 on a GPU, 256 on a CPU"),
    ] = None,
    fronts: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that accept requests, where one core is too little for that.")
    ] = 1,
    drain: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long running requests may go on at the end.")
    ] = 30.0,
) -> None:
    """Serve a language model and its adapters over OpenAI's API, until SIGTERM or Ctrl-C."""
    from .serving.commands.foreign_options import refuse_foreign
    from .serving.commands.serve_adapters import AdapterOptions
    from .serving.commands.serve_command import ServeRequest, serve_models

    refuse_foreign(context.args, [name for parameter in context.command.params for name in parameter.opts])
    request = ServeRequest(
        vocabulary=load_domain(task, specs).vocabulary,
        model=model,
        adapters=AdapterOptions(
            named=tuple(adapter or ()),
            roots=tuple(adapter_root or ()),
            resolver=adapter_resolver,
            state=state,
            database=database,
            max_rank=max_lora_rank or (64 if device.startswith("cuda") else 256),
        ),
        device=device,
        host=host,
        port=port,
        served_name=served_model_name,
        max_model_len=max_model_len,
        gpu_memory_utilization=gpu_memory_utilization,
        max_num_seqs=max_num_seqs,
        max_loras=max_loras,
        fronts=fronts,
        drain_seconds=drain,
    )
    raise typer.Exit(serve_models(request))


Server = Annotated[str, typer.Option(metavar="URL", help="Where the server answers.")]
SERVER = "http://127.0.0.1:8000"
AdapterName = Annotated[str, typer.Argument(metavar="NAME", help="What requests call it.")]
AdapterFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Its folder, under an adapter root of the server.")]


@adapters_app.command("add", epilog=exit_codes({0: "it is served", 2: f"{UNUSABLE}, or the server refuses it"}))
def adapters_add(name: AdapterName, folder: AdapterFolder, server: Server = SERVER) -> None:
    """Let a running server load an adapter under a new name."""
    from .serving.commands.adapters_command import load_adapter

    raise typer.Exit(load_adapter(server, name, folder, replace=False))


@adapters_app.command("update", epilog=exit_codes({0: "it is served", 2: f"{UNUSABLE}, or the server refuses it"}))
def adapters_update(name: AdapterName, folder: AdapterFolder, server: Server = SERVER) -> None:
    """Let a name stand for another version; requests that run end with the one that they began with."""
    from .serving.commands.adapters_command import load_adapter

    raise typer.Exit(load_adapter(server, name, folder, replace=True))


@adapters_app.command("remove", epilog=exit_codes({0: "it is gone", 2: f"{UNUSABLE}, or there is no such adapter"}))
def adapters_remove(name: AdapterName, server: Server = SERVER) -> None:
    """Let a running server unload an adapter; requests that run with it end."""
    from .serving.commands.adapters_command import unload_adapter

    raise typer.Exit(unload_adapter(server, name))


@adapters_app.command("list", epilog=exit_codes({0: "they are printed", 2: UNUSABLE}))
def adapters_list(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="This one alone.", show_default="all")] = None,
    server: Server = SERVER,
    as_json: Json = False,
) -> None:
    """Print the adapters of a running server, those too that could not be loaded; as JSON one has its certificate."""
    from .serving.commands.adapters_command import list_adapters

    raise typer.Exit(list_adapters(server, name, as_json=as_json))


@app.command(
    epilog=exit_codes(
        {
            0: "every request was answered",
            1: "one failed",
            2: f"{UNUSABLE}, or no server answers at --url",
        }
    )
)
def bench(
    url: Annotated[str, typer.Option(help="The server; `/v1` at its end is optional.")] = "http://127.0.0.1:8000",
    models: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="Models to ask for, with spaces between them or one an option; `tenant-{}` with --num-models.",
            show_default="all that the server offers",
        ),
    ] = None,
    num_models: Annotated[int | None, typer.Option(min=1, max=100_000, help="How many: of a pattern, of all.")] = None,
    route: Annotated[Route, typer.Option(help="Which of OpenAI's routes to ask.")] = Route.COMPLETIONS,
    num_requests: Annotated[int, typer.Option("-n", "--num-requests", min=1, help="How many to send.")] = 100,
    duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Instead: as many as --rate makes in so long.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second.", show_default="1; with --concurrency as many as possible")
    ] = None,
    cv: Annotated[float, typer.Option(help="Of the gaps between arrivals: 1 is Poisson, more bursts, 0 even.")] = 1.0,
    concurrency: Annotated[int | None, typer.Option(min=1, help="At most so many at a time.")] = None,
    popularity: Annotated[
        Popularity | None, typer.Option(help="How often each model is asked for.", show_default="uniform")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Of the power law: 1 is uniform, less is skewed.", show_default="1")
    ] = None,
    input_len: Annotated[str, typer.Option(metavar="N|LOW:HIGH", help="Tokens of a prompt.")] = "8:511",
    output_len: Annotated[str, typer.Option(metavar="N|LOW:HIGH", help="Most tokens of an answer.")] = "8:511",
    trace: Annotated[
        Path | None,
        typer.Option(metavar="JSONL", help="Lines with timestamp, input_length, output_length, perhaps model."),
    ] = None,
    time_unit: Annotated[
        float, typer.Option(metavar="SECONDS", help="What a unit of the trace's timestamps takes.")
    ] = 0.001,
    prompts: Annotated[
        PromptKind | None, typer.Option(help="What prompts are made of.", show_default="tokens; words for chat")
    ] = None,
    ids: Annotated[
        str, typer.Option("--token-ids", metavar="LOW:HIGH", help="The ids of which prompts are made.")
    ] = "10:250",
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    ignore_eos: Annotated[
        bool, typer.Option("--ignore-eos", help="Ask for answers of full length, of servers that know that.")
    ] = False,
    temperature: Annotated[float, typer.Option(help="Of sampling.")] = 0.0,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="For a whole answer.")] = 600.0,
    warm_up: Annotated[int, typer.Option(min=0, help="So many requests first, which are not measured.")] = 0,
    goodput: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:MS", help="Limits that a good request keeps: `ttft:500 tpot:50`, or e2e."),
    ] = None,
    busiest: Annotated[int, typer.Option(min=0, help="How many models to tell one by one.")] = 10,
    max_late: Annotated[
        float, typer.Option(min=0, metavar="MS", help="Warn if the client sends 1 in 100 later than that.")
    ] = 10.0,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report there, as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """Send a load to a server that speaks OpenAI's API, and tell how fast and how fairly it answers.

    A key is taken from the environment variable VERILORA_API_KEY.
    """
    from . import __version__
    from .serving.commands.bench_command import bench_server
    from .serving.commands.bench_request import bench_request

    try:
        request = bench_request(
            version=__version__,
            url=url,
            models=models or [],
            num_models=num_models,
            route=route,
            num_requests=num_requests,
            duration=duration,
            rate=rate,
            cv=cv,
            concurrency=concurrency,
            popularity=popularity,
            alpha=alpha,
            input_len=input_len,
            output_len=output_len,
            trace=trace,
            time_unit=time_unit,
            prompts=prompts,
            token_ids=ids,
            seed=seed,
            ignore_eos=ignore_eos,
            temperature=temperature,
            timeout=timeout,
            num_warm_up=warm_up,
            goodput=goodput or [],
            num_busiest=busiest,
            max_late=max_late,
            out=out,
            as_json=as_json,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    raise typer.Exit(bench_server(request))


@world_app.command("learn", epilog=exit_codes({0: "every world is learned", 2: UNUSABLE}))
def world_learn(
    task: DomainName = "driving",
    specs: Specs = SHIPPED,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes to learn from, for each world.")] = 3000,
    held_out: Annotated[int, typer.Option(min=1, help="More episodes, to measure coverage on.")] = 600,
    recordings: Annotated[Path, typer.Option(help="Where episodes are recorded.")] = Path("runs/recordings"),
    out: Annotated[Path | None, typer.Option(help="Where worlds are written. Default: the domain's folder.")] = None,
    processes: Processes = None,
) -> None:
    """Simulate every world that tasks need, and learn it. A recording that was interrupted is resumed."""
    from .verify.commands.world_command import learn_worlds

    domain = load_domain(task, specs)
    raise typer.Exit(learn_worlds(domain, recordings, out or domain.folder, episodes, held_out, processes))


@world_app.command("record", epilog=exit_codes({0: "every wait is recorded", 2: UNUSABLE}))
def world_record(
    task: DomainName = "driving",
    specs: Specs = SHIPPED,
    out: Annotated[Path | None, typer.Option(help="Where they are written. Default: the domain's folder.")] = None,
    processes: Processes = None,
) -> None:
    """Record how cars wait at the lines of every world that tasks need; the timely gate replays that."""
    from .verify.commands.record_command import record_waits

    domain = load_domain(task, specs)
    raise typer.Exit(record_waits(domain, out or domain.folder, processes))


@world_app.command("show", epilog=exit_codes({0: "the worlds are printed", 2: UNUSABLE}))
def world_show(
    task: DomainName = "driving",
    specs: Specs = SHIPPED,
    world: Annotated[str | None, typer.Argument(metavar="WORLD", help="One world, with its transitions.")] = None,
    drawings: Annotated[Path | None, typer.Option("--svg", metavar="FOLDER", help="Draw them there as SVG.")] = None,
) -> None:
    """Print the learned worlds and what they cover."""
    from .verify.commands.world_command import show_worlds

    raise typer.Exit(show_worlds(load_domain(task, specs), world, drawings))


@app.command(epilog=exit_codes({0: "the report is written", 2: UNUSABLE}))
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A directory that `train` wrote.")],
    specs: Annotated[
        Path | None, typer.Option(help="The folder of task domains.", show_default="the one of the run")
    ] = None,
) -> None:
    """Build the report of a run again: report.html, report.json, junit.xml, audit.csv."""
    from .verify.commands.report_command import report_run

    raise typer.Exit(report_run(run, specs))


@app.command(
    epilog=exit_codes(
        {
            0: "the adapter still holds what was certified",
            1: "it falls short of that, or, in a check, what the certificate depends on has changed",
            2: f"{UNUSABLE}, or a file is not the certified one",
        }
    )
)
def certify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An adapter, or the directory of a run.")],
    specs: Specs = SHIPPED,
    model: Annotated[
        str | None, typer.Option(metavar="ID_OR_PATH", help="The base model.", show_default="the certificate's")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="PRIVATE.pem", help="Sign the new certificate with this Ed25519 key.")
    ] = None,
    public: Annotated[
        Path | None, typer.Option(metavar="PUBLIC.pem", help="Whose signature the certificate must bear.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The seed of sampling.", show_default="the certificate's")] = None,
    device: Annotated[str | None, typer.Option(help="`cpu` or `cuda`.", show_default="the certificate's")] = None,
    processes: Processes = None,
    check: Annotated[bool, typer.Option("--check", help="Leave the certificate as it is.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Check signature, digests and counts alone; nothing is sampled.")
    ] = False,
) -> None:
    """Measure an adapter again, compare that with its certificate, and renew it."""
    from .verify.commands.certify_command import CertificationRequest, certify

    request = CertificationRequest(
        folder=folder,
        specs=specs,
        model=model,
        key=key,
        public=public,
        seed=seed,
        device=device,
        num_processes=processes,
        check=check,
        offline=offline,
    )
    raise typer.Exit(certify(request, load_generator))


@app.command(help=TRAIN_HELP, epilog=TRAIN_EXITS)
def train(
    task: Annotated[
        str | None, _option("The task domain, a folder under --specs.", DEFAULTS.task, metavar="DOMAIN")
    ] = None,
    specs: Annotated[Path | None, _option("The folder of task domains.", "the one that ships")] = None,
    rulebook: Annotated[str | None, _option("The rulebook to judge by.", DEFAULTS.rulebook, metavar="NAME")] = None,
    model: Model = None,
    out: Annotated[Path | None, _option("Where the run goes.", "a new one under runs/", metavar="DIR")] = None,
    samples: Annotated[
        int | None, _option("How many answers to each train prompt, a round (DPO).", DEFAULTS.samples, min=1)
    ] = None,
    rounds: Annotated[
        int | None, _option("At most so many; the best by validation is kept.", DEFAULTS.rounds, min=1)
    ] = None,
    world: WorldOption = None,
    mode: Annotated[
        Mode | None, _option("Gates and applicable rules, or the paper's raw count.", DEFAULTS.mode)
    ] = None,
    algorithm: Annotated[
        Algorithm | None, _option("On preference pairs, or on the verifier's reward.", DEFAULTS.algorithm)
    ] = None,
    seed: Annotated[int | None, _option("Of everything that is drawn.", DEFAULTS.seed, min=0)] = None,
    device: Annotated[
        str | None, _option("`cpu` or `cuda`; with several GPUs all of them train (DPO).", DEFAULTS.device)
    ] = None,
    temperature: Annotated[float | None, _option("Of sampling, everywhere.", DEFAULTS.temperature)] = None,
    top_p: Annotated[
        float | None, _option("Sample from the likeliest tokens that hold this share.", DEFAULTS.top_p)
    ] = None,
    batch_size: Annotated[
        int | None,
        _option("How many answers are sampled at once. GPUs do best with a thousand.", DEFAULTS.batch_size, min=1),
    ] = None,
    constrained: Annotated[
        bool, typer.Option("--constrained", help="Sample under the grammar of steps (DPO).")
    ] = False,
    learning_rate: Annotated[float | None, _option("Of DPO or GRPO.", "by the size of the model")] = None,
    beta: Annotated[float | None, _option("Of DPO.", DEFAULTS.optimiser.beta)] = None,
    loss_type: Annotated[
        list[str] | None, _option("TRL's DPO losses.", "sigmoid:1 sft:64", metavar="LOSS[:WEIGHT]")
    ] = None,
    epochs: Annotated[float | None, _option("Of DPO.", DEFAULTS.optimiser.epochs)] = None,
    baselines: Annotated[
        Budget | None, _option("A few tries, or the tokens that training sampled.", DEFAULTS.baselines)
    ] = None,
    shuffle_verdicts: Annotated[
        bool, typer.Option("--shuffle-verdicts", help="A control experiment: train on permuted verdicts.")
    ] = False,
    drive_seconds: Annotated[
        float | None,
        _option("At most, in the simulator; 0 leaves it out.", DEFAULTS.evaluation.drive_seconds, min=0),
    ] = None,
    processes: Processes = None,
    threads: Annotated[
        int | None,
        _option("On a CPU. More than one helps models beyond the embedded one.", DEFAULTS.num_threads, min=1),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SPLIT:]NAME=SHARE",
            help="Exit with 1 if less is reached: compliance=0.95, or of a rule test:phi5=1. Several are possible.",
        ),
    ] = None,
    keep_worse: Annotated[
        bool, typer.Option("--keep-worse", help="Keep an adapter that is not better than the base model, too.")
    ] = False,
    key: Annotated[Path | None, typer.Option(metavar="PEM", help="Sign the certificate with this Ed25519 key.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="DIR", help="Go on with the run in this directory.")] = None,
) -> None:
    """Train a LoRA adapter: what is said of it stands in TRAIN_HELP, which both names of the command share."""
    from .finetune.commands.train_command import train_new, train_resumed

    try:
        options = TrainOptions(
            task=task,
            specs=specs,
            rulebook=rulebook,
            model=model,
            out=out,
            samples=samples,
            rounds=rounds,
            world=world,
            mode=mode,
            algorithm=algorithm,
            seed=seed,
            device=device,
            temperature=temperature,
            top_p=top_p,
            batch_size=batch_size,
            constrained=constrained or None,
            learning_rate=learning_rate,
            beta=beta,
            loss_type=parse_losses(loss_type),
            epochs=epochs,
            baselines=baselines,
            shuffle_verdicts=shuffle_verdicts or None,
            drive_seconds=drive_seconds,
            processes=processes,
            threads=threads,
            require=parse_requirements(require),
            keep_worse=keep_worse or None,
        )
        config = resolve(options) if resume is None else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if config is None:
        assert resume is not None
        raise typer.Exit(train_resumed(resume, options, key))
    raise typer.Exit(train_new(load_domain(config.task, Path(config.specs)), config, out, key))


def load_generator(
    model: str | Path | None = None,
    *,
    adapter: Path | None = None,
    device: str = "cpu",
    vocabulary: Vocabulary | None = None,
) -> Generates:
    """Return the language model that answers in `synthesize` and `certify`; torch is loaded only now."""
    from .serving.engine.generator import Generator

    return Generator(model, adapter=adapter, device=device, vocabulary=vocabulary)


def _was_named(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def main() -> None:
    """Run `verilora`."""
    _run(app)


def train_main() -> None:
    """Run `train`, which is `verilora train`."""
    alone = typer.Typer(pretty_exceptions_enable=False, context_settings=HELP_NAMES)
    alone.command(help=TRAIN_HELP, epilog=TRAIN_EXITS)(train)
    _run(alone)


def _was_interrupted(ended: BaseException) -> bool:
    """Return whether a Ctrl-C ended a command that does not say so itself; Typer then ends it without a word."""
    said = ended.__context__
    return isinstance(ended, KeyboardInterrupt) or (said is not None and isinstance(said.__cause__, KeyboardInterrupt))


def _run(commands: typer.Typer) -> None:
    """Run a command line. Unusable files end with a line on standard error and code 2, our own faults with code 3."""
    with guarded_output():
        try:
            with heeded_interrupts():
                commands()
        except (KeyboardInterrupt, SystemExit) as ended:
            if not _was_interrupted(ended):
                raise
            complain("interrupted")
            sys.exit(130)
        except (InputError, WorldError) as error:
            complain(f"error: {error}")
            sys.exit(2)
        except OutputError:
            raise
        except Exception:
            complain(traceback.format_exc().rstrip("\n"))
            sys.exit(3)


if __name__ == "__main__":
    main()
