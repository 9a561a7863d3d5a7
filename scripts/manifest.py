"""Write what the results were made from."""

from pathlib import Path

from attachment_outcomes.files import sha256, write_json
from attachment_outcomes.job import Job, run
from attachment_outcomes.release.provenance import manifest


def main(job: Job) -> None:
    """Checksum inputs and outputs and write the manifest."""
    (target,) = job.output
    folder = Path(target).parent
    made = [file for path in map(Path, job.input.results) for file in (sorted(path.glob("[!.]*.*")) if path.is_dir() else [path])]
    content = manifest(
        study=job.params.study,
        inputs={Path(path).name: sha256(path) for path in job.input.raw},
        outputs={path.relative_to(folder).as_posix(): sha256(path) for path in made},
        lock=job.params.lock,
        settings=job.params.settings,
        unverified=job.params.unverified,
    )
    write_json(content, target)


if __name__ == "__main__":
    run(main, snakemake)  # noqa: F821 (given by Snakemake)
