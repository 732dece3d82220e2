"""A process of its own in which the made-up method stands in the list: all that is made from the list knows it. Prints what it finds.

Arguments: folder of a model, folder for artifacts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from core.quantize.methods import METHODS
from tests.core.quantize.methods.made_up_method import EVEN

METHODS[EVEN.name] = EVEN


def main(model: str, artifacts: str) -> None:
    from core.errors import RequestError
    from core.models.card import ModelCard
    from core.quantize.check import check
    from core.quantize.naming import scheme_name
    from core.quantize.run import run
    from core.quantize.spec import QuantizeSpec
    from tests.core.quantize.conftest import RecordingContext
    from tui.cli.help.quantize import quantizing
    from tui.quantize.setup.guide import guide
    from tui.quantize.setup.options import method_options

    spec = QuantizeSpec(model=model, method="even", eval_tokens=0)
    try:
        QuantizeSpec.parse(spec.model_dump() | {"bits": 3})
        refusal = ""
    except RequestError as error:
        refusal = str(error)
    card = ModelCard.from_folder(Path(model))
    fit = check(spec, card)
    result = run(spec, RecordingContext(Path(artifacts)))
    found = {
        "choices": QuantizeSpec.model_json_schema()["properties"]["method"]["enum"],
        "asked": spec.model_dump(mode="json"),
        "refusal": refusal,
        "calibrates": spec.calibrates,
        "name": scheme_name(spec),
        "words": EVEN.description(spec.request),
        "recipe": spec.summary(),
        "linear_bytes": [EVEN.stored_bytes(spec.request, linear) * linear.count for linear in card.linears],
        "fit": fit.model_dump(mode="json"),
        "result": result.model_dump(mode="json"),
        "readme": (Path(result.out) / "README.md").read_text(),
        "help": quantizing(),
        "guide": guide({"method": "even"}).help["method"],
        "options": [row.value for row in method_options().rows],
    }
    print(json.dumps(found))


main(*sys.argv[1:])
