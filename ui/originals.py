"""The models that a person can start from, and the work of getting one ready."""

import dataclasses

from forget import store
from forget.adopt import adopt
from forget.data import Dataset, find_dataset
from forget.learn import home_of, start_from
from forget.learners.network import Network
from forget.request import NOTHING
from forget.result import Start
from ui import shared
from ui.jobs import Job

SEED = 0


@dataclasses.dataclass(frozen=True)
class Original:
    """A model to start from: one that this program trains, or a file that a person brought."""

    label: str
    learner: Network | None = None
    file: str = ""

    def ready(self, dataset: Dataset) -> bool:
        """Whether it can be loaded without training."""
        return bool(self.file) or home_of(self.learner, dataset, SEED, NOTHING).is_file()

    def start(self, dataset: Dataset, job: Job | None = None) -> Start:
        if self.file:
            (path,) = [path for path in store.foreign_files() if path.name == self.file]
            return adopt(path, dataset)
        return start_from(self.learner, dataset, SEED, *([job] if job else []))


def originals() -> dict[str, Original]:
    """By label: the default first, then the other network, then what lies in the folder."""
    known = [Original("Small convolutional network", Network()),
             Original("Fully connected 784-64-64-10", Network(arch="mlp"))]
    brought = [Original(f"File: {path.name}", file=path.name) for path in store.foreign_files()]
    return {original.label: original for original in (*known, *brought)}


def prepare(name: str, original: Original) -> Job:
    """A job that fetches the dataset where it is missing and trains the model where it must."""
    def work(job: Job) -> Start:
        find_dataset(name).load(job.bytes)
        return original.start(shared.dataset(name), job)

    return shared.job_queue().submit(Job("Getting ready", work))
