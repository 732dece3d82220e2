"""The tree of commands; a command's module is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Final

from cyclopts import App

from core import __version__

COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("hardware", "tui.cli.commands.hardware:hardware", "Show GPUs, CPUs, memory and disks, once or live."),
    ("models", "tui.cli.commands.models:models", "List available models: bundled, local folders, Hugging Face cache."),
    ("estimate", "tui.cli.commands.estimate:estimate", "Estimate the memory a model needs, and what fits."),
    ("recommend", "tui.cli.commands.recommend:recommend", "Recommend an engine and a format for a model on this machine."),
    ("evaluate", "tui.cli.experiments:evaluate", "Measure perplexity and the divergence from a reference model."),
    ("verify", "tui.cli.experiments:verify", "Check a checkpoint, ours or another tool's: scheme, tensors, perplexity."),
    ("quantize", "tui.cli.experiments:quantize", "Quantize a model, measure the quality loss, write a checkpoint."),
    ("quantize-compare", "tui.cli.experiments:quantize_compare", "Quantize one model in several ways and compare the results."),
    ("prune", "tui.cli.experiments:prune", "Prune a model, measure the quality loss and the speed, write a checkpoint."),
    ("prune-compare", "tui.cli.experiments:prune_compare", "Prune one model in several ways and compare the results."),
    ("distill", "tui.cli.experiments:distill", "Train a student on a teacher's predictions, measure the gain, write a checkpoint."),
    ("distill-compare", "tui.cli.experiments:distill_compare", "Distill one student in several ways and compare the results."),
    ("distill-data", "tui.cli.experiments:distill_data", "Have a teacher answer prompts, filter the answers, write a training file."),
    ("pareto", "tui.cli.commands.pareto:pareto", "Compare all finished quantizations and prunings of a model: size against quality."),
    ("kv-cache", "tui.cli.experiments:kv_cache", "Compare KV-cache schemes: memory, speed, perplexity through the cache."),
    ("kv-cache-why", "tui.cli.experiments:kv_cache_why", "Compare generation with and without a KV cache."),
    ("kv-cache-pages", "tui.cli.experiments:kv_cache_pages", "Show the pages of a KV cache in a decode or a simulated scheduler."),
    ("kv-cache-fit", "tui.cli.commands.kv_fit:kv_cache_fit", "Estimate the context and concurrency that fit with each KV-cache scheme."),
    ("speculate", "tui.cli.experiments:speculate", "Decode with and without speculation and measure the speed-up."),
    ("speculate-test", "tui.cli.experiments:speculate_test", "Test that speculation preserves the target's distribution."),
    (
        "speculate-simulate",
        "tui.cli.commands.speculate_simulate:speculate_simulate",
        "Predict the speed-up of speculative decoding and print the engine flags.",
    ),
    ("benchmark", "tui.cli.commands.benchmark:benchmark", "Load-test a server: latency, throughput, goodput."),
    ("benchmark-compare", "tui.cli.commands.compare_engines:benchmark_compare", "Compare engines and formats of one model under the same load."),
    ("benchmark-machine", "tui.cli.experiments:benchmark_machine", "Measure this machine: matrix products, memory, a model's bottleneck."),
    ("serve", "tui.cli.commands.serve:serve", "Start an engine's server and wait until it answers."),
    ("ollama", "tui.cli.commands.ollama:app", "List, monitor and pull the models of an Ollama server."),
    ("runs", "tui.cli.commands.runs:app", "List, show, follow, cancel, resume, compare, export and remove runs."),
    ("completion", "tui.cli.commands.completion:completion", "Print a shell's completion script."),
)


_EXIT_CODES = (
    "Exit codes: 0 done, 1 the run failed, 2 invalid request, 3 a check failed its threshold, 130 interrupted. "
    "--debug, in any position, shows a traceback."
)
_BELOW: Final = {
    "quantize": "tui.cli.help.quantize:quantizing",
    "prune": "tui.cli.help.prune:pruning",
    "benchmark": "tui.cli.help.benchmark:benchmarking",
    "benchmark-compare": "tui.cli.help.benchmark:benchmarking",
}
"""What makes the text below the options of a command."""


def build(arguments: Sequence[str] | None = None) -> App:
    """The application `llmopt`.

    Args:
        arguments: what it is called with: the long text below a command's options is only made when that is named; None: always.
    """
    app = App(
        name="llmopt",
        help="Make a language model smaller and faster, and measure the quality loss.",
        help_epilogue=_EXIT_CODES,
        version=f"llmopt {__version__}",
        help_format="plaintext",
        version_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    for name, where, explanation in COMMANDS:
        more = {"help_epilogue": f"{_below(name)}\n\n{_EXIT_CODES}"} if name in _BELOW and (arguments is None or name in arguments) else {}
        app.command(where, name=name, help=explanation, **more)
    app.register_install_completion_command()
    return app


def _below(name: str) -> str:
    module, _, function = _BELOW[name].partition(":")
    return str(getattr(import_module(module), function)())
