"""From npm packages to a model folder, stage by stage: python run.py [STAGE ...] [--output FOLDER].

Without stages, all of them, in order; what is finished is skipped, what was stopped goes on where it was.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import recipe
from stages import log

HERE = Path(__file__).parent


def render() -> None:
    subprocess.run([shutil.which("npm"), "ci", "--no-audit", "--no-fund"], cwd=HERE, check=True)
    subprocess.run(["node", "render.mjs", str(recipe.FOLDER.resolve())], cwd=HERE, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="render tokenizer autoencoder text unet polish classifier export evaluate")
    parser.add_argument("--output", type=Path, default=HERE.parent / "models/emoji")
    given = parser.parse_args()
    recipe.FOLDER.mkdir(parents=True, exist_ok=True)
    done = lambda name: (recipe.FOLDER / name).exists()  # noqa: E731

    # The loops count the minutes that they have trained, so that calling a finished one again costs nothing.
    import autoencoder
    import classifier
    import diffusion
    import export
    import polish
    import text
    import tokenizer

    stages = {
        "render": lambda: done("pictures.bin") or render(),
        "tokenizer": lambda: done("tokenizer.json") or tokenizer.train(),
        "autoencoder": autoencoder.train,
        "text": text.train,
        "unet": diffusion.train,
        "polish": polish.train,
        "classifier": classifier.train,
        "export": lambda: export.export(given.output),
        "evaluate": lambda: subprocess.run([sys.executable, str(HERE / "evaluate.py"), str(given.output)], check=True),
    }
    for name in given.stages or stages:
        if name not in stages:
            parser.error(f"no stage {name}; the stages are {', '.join(stages)}")
        log("run", name)
        stages[name]()


if __name__ == "__main__":
    main()
