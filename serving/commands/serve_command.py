"""What `verilora serve` does: fronts and one engine, until it is asked to end."""

import asyncio
import logging
import socket
from dataclasses import dataclass
from pathlib import Path

from ...specs.files.errors import InputError
from ...specs.processes.json_log import log_in_json
from ...specs.vocabulary import Vocabulary
from ...synth.controllers.step_grammar import step_grammar
from ...synth.models.model_files import model_folder
from ..adapters.resolver import Resolver
from ..grammars.grammar import Grammar, GrammarKind
from ..grammars.grammar_compiler import GrammarCompiler
from ..server.api.adapter_desk import ManagerDesk
from ..server.app import create_app
from ..server.front import Front, Grammars
from ..server.fronts.first_front import FirstFront
from ..server.routes.adapters import adapter_routes
from ..server.server_process import DrainingServer, bind, serve
from ..server.settings import ServerSettings
from ..wire.description import EngineDescription
from ..wire.engine_host import EngineHost
from .private_folder import private_folder
from .serve_adapters import AdapterOptions, adapters_of, register

EMBEDDED_NAME = "base"
STEPS = "steps"
DEFAULT_UTILIZATION = 0.9
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeRequest:
    """What `verilora serve` is asked for."""

    vocabulary: Vocabulary
    model: str | None
    adapters: AdapterOptions
    device: str
    host: str
    port: int
    served_name: str | None
    max_model_len: int | None
    gpu_memory_utilization: float | None
    max_num_seqs: int
    max_loras: int
    fronts: int
    drain_seconds: float


def serve_models(request: ServeRequest) -> int:
    """Serve until the end is asked for, and return the exit code; raises InputError for what cannot be used."""
    settings = ServerSettings(
        served_name=request.served_name or _name_of(request.model),
        num_fronts=request.fronts,
        max_model_len=request.max_model_len,
        drain_seconds=request.drain_seconds,
    )
    # Looked at before anything is started.
    request.adapters.folders(settings.served_name)
    # Found, or fetched, here and not in the engine's process: that it is not there is said at once.
    model = str(model_folder(request.model))
    listener = bind(request.host, request.port)
    log_in_json()
    _LOG.info("listening", extra={"fields": {"host": request.host, "port": listener.getsockname()[1]}})
    # Whoever reaches the sockets in it speaks to the engine.
    with listener, private_folder() as folder:
        description = EngineDescription(
            folder=str(folder),
            model=model,
            device=request.device,
            max_rows=request.max_num_seqs,
            max_loaded=request.max_loras,
            max_rank=request.adapters.max_rank,
            memory_utilization=_utilization(request),
            max_model_len=request.max_model_len,
        )
        asyncio.run(_serve(request.adapters, settings, description, step_grammar(request.vocabulary), listener))
    return 0


async def _serve(
    options: AdapterOptions,
    settings: ServerSettings,
    description: EngineDescription,
    steps: str,
    listener: socket.socket,
) -> None:
    engine = EngineHost(description)
    name, state = settings.served_name, Path(description.folder) / "state"
    async with adapters_of(options, model=description.model, base_name=name, state=state, engine=engine) as manager:
        resolve = Resolver(manager, options.resolver, name).resolve if options.resolver else None
        compiler = GrammarCompiler(description.tokens_path, settings.grammar_seconds)
        grammars = Grammars(compiler, {STEPS: Grammar(GrammarKind.EBNF, steps)})
        front = Front(settings, engine, manager, resolve, grammars)
        desk = ManagerDesk(manager)
        first = FirstFront(
            front,
            engine,
            desk,
            resolve,
            listener=listener.fileno(),
            tokens=description.tokens_path,
            named={STEPS: steps},
        )
        others = first.group
        if settings.num_fronts > 1:
            front.figures = first.page
            engine.on_change, manager.publish = others.engine_at, others.publish

        async def load_adapters() -> None:
            await register(manager, options.folders(name).items())
            await front.begin()
            others.start()
            _LOG.info("ready", extra={"fields": {"model": name, "adapters": len(manager.all())}})

        app = create_app(front, [adapter_routes(desk)])
        try:
            await serve(DrainingServer(app, front, others), engine, listener, load_adapters)
        finally:
            await others.close()
            await compiler.close()


def _name_of(model: str | None) -> str:
    """Return what a model is called: a hub id is its own name, and a folder or file gives its last part."""
    if model is None:
        return EMBEDDED_NAME
    return Path(model).resolve().name if Path(model).exists() else model


def _utilization(request: ServeRequest) -> float:
    share = request.gpu_memory_utilization
    if share is not None and not request.device.startswith("cuda"):
        message = f"got {share} for the device {request.device!r}, expected a GPU"
        raise InputError("--gpu-memory-utilization", message)
    return DEFAULT_UTILIZATION if share is None else share
