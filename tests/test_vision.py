from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def run(code: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(folder) for folder in (*paths, REPOSITORY))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_a_fresh_process_can_import_torchvision_whatever_its_build():
    result = run(
        "from normbench.vision import torchvision\n"
        "datasets = torchvision().datasets\n"
        "assert datasets.MNIST.resources and datasets.CIFAR10.tgz_md5\n"
        "assert torchvision() is torchvision()\n"
        "import torchvision.transforms\n"
    )
    assert result.returncode == 0, result.stderr


def test_beside_a_matching_torchvision_nothing_is_declared(tmp_path: Path):
    (tmp_path / "torchvision.py").write_text("good = True\n")
    result = run(
        "import sys\n"
        "from normbench import vision\n"
        "assert vision.torchvision().good\n"
        "assert not vision._declared and 'torch' not in sys.modules\n",
        tmp_path,
    )
    assert result.returncode == 0, result.stderr


def test_the_missing_operators_are_declared_once_and_the_import_is_repeated(tmp_path: Path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "half.py").write_text("")
    (package / "__init__.py").write_text(
        "import torchvision.half\n"
        "import torch\n"
        "if not torch.DECLARED:\n"
        "    raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    (tmp_path / "torch.py").write_text(
        "DECLARED = []\n"
        "class library:\n"
        "    class Library:\n"
        "        def __init__(self, *name): self.name = name\n"
        "        def define(self, schema): DECLARED.append((*self.name, schema))\n"
    )
    result = run(
        "import sys, torch\n"
        "from normbench import vision\n"
        "vision.torchvision(); vision.torchvision()\n"
        "assert [d[0:2] for d in torch.DECLARED] == [('torchvision', 'DEF')] * 2\n"
        "assert [d[2].split('(')[0] for d in torch.DECLARED] == ['nms', 'qnms']\n"
        "assert len(vision._declared) == 1\n",
        tmp_path,
    )
    assert result.returncode == 0, result.stderr


def test_any_other_error_of_the_import_propagates(tmp_path: Path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator x::y is odd')\n")
    result = run("from normbench.vision import torchvision; torchvision()", tmp_path)
    assert result.returncode == 1
    assert "RuntimeError: operator x::y is odd" in result.stderr


def test_importing_the_data_package_costs_no_heavy_library():
    result = run(
        "import sys, normbench.data\n"
        "from normbench.data import DATASETS\n"
        "DATASETS.names()\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'scipy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    assert result.returncode == 0, result.stderr
