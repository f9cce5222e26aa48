"""Rules the code keeps: who may include whom, what stands in one place only, what objects of an ISA level hold."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fusedloss as fl
import pytest
from fusedloss import _core

ROOT = Path(__file__).resolve().parents[2]
CPP, INCLUDE = ROOT / "cpp", ROOT / "cpp" / "include" / "fusedloss"
PACKAGE = Path(fl.__file__).parent

# From the bottom up; a file may include what stands before its own layer, and its own layer.
LAYERS = (
    (
        "simd/isa.hpp",
        "core/formula.hpp",
        "core/job.hpp",
        "core/rows_job.hpp",
        "core/overlap_job.hpp",
        "core/moments_job.hpp",
        "core/similarity_job.hpp",
        "core/pairs_job.hpp",
        "core/error.hpp",
    ),
    ("simd/native.hpp",),
    ("simd/pack.hpp",),
    ("simd/transpose.hpp",),
    ("simd/math.hpp",),
    ("simd/extended.hpp",),
    ("simd/special.hpp",),
    ("losses/terms.hpp",),
    ("losses/products.hpp", "losses/row_terms.hpp", "losses/overlap_terms.hpp", "losses/pair_terms.hpp"),
    ("losses/simplex.hpp", "losses/pair_sets.hpp", "losses/margin.hpp"),
    ("losses/",),
    ("core/", "linalg/"),
    ("families/",),
    ("losses.hpp",),
    ("api/",),
    ("runtime.hpp", "fusedloss.hpp"),
)
PLAIN = {
    "core/formula.hpp",
    "core/job.hpp",
    "core/rows_job.hpp",
    "core/overlap_job.hpp",
    "core/moments_job.hpp",
    "core/similarity_job.hpp",
    "core/pairs_job.hpp",
    "core/error.hpp",
    "simd/isa.hpp",
}
# What formulas of several topics share.
SHARED = {f"losses/{name}.hpp" for name in ("terms", "products", "row_terms", "pair_terms", "overlap_terms", "simplex")}
SHARED |= {"losses/pair_sets.hpp", "losses/margin.hpp"}
FOUNDATION = {"core/reduction.hpp", "core/convert.hpp", "core/views.hpp", "core/blocks.hpp", "core/parallel.hpp"}
FOUNDATION |= {"core/row_blocks.hpp", "core/turned_rows.hpp"}

# What a program that uses the library sees and no kernel does.
CONSUMER_SIDE = {"fusedloss.hpp", "runtime.hpp", "error.hpp"}

headers = sorted(INCLUDE.rglob("*.hpp"))
sources = [*headers, *sorted((CPP / "src").glob("*.?pp")), *sorted((ROOT / "python" / "bindings").glob("*.?pp"))]


def layer_of(path: str) -> int:
    exact = [k for k, names in enumerate(LAYERS) if path in names]
    folder = [k for k, names in enumerate(LAYERS) if f"{path.partition('/')[0]}/" in names]
    assert exact or folder, f"{path} has no layer"
    return (exact or folder)[0]


def included(path: Path) -> list[str]:
    """Project headers a file includes, relative to the include folder (or to itself, elsewhere)."""
    names = re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.MULTILINE)
    if INCLUDE not in path.parents:
        return [name.removeprefix("fusedloss/") for name in names]
    return [os.path.relpath(path.parent / name, INCLUDE) for name in names]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_header = pytest.mark.parametrize("path", headers, ids=name)
each_source = pytest.mark.parametrize("path", sources, ids=name)


@each_header
def test_includes_point_downwards(path):
    own = str(path.relative_to(INCLUDE))
    for other in included(path):
        assert (INCLUDE / other).exists(), f"{other} is not under include/"
        assert layer_of(other) <= layer_of(own), f"{own} includes {other}"
        if own.startswith("losses/"):
            assert not other.startswith(("families/", "linalg/")), f"{own} includes {other}"
            assert not other.startswith("losses/") or other in SHARED
            assert other not in FOUNDATION, f"a formula knows nothing of {other}"
        if own in PLAIN:
            assert other in PLAIN, f"{own} is plain data"


@each_header
def test_headers_are_free_of_the_rest(path):
    text = path.read_text()
    assert "#pragma once" in text
    foreign = set(re.findall(r"^\s*#\s*include\s*<([^>]+)>", text, re.MULTILINE))
    allowed = {"cstddef", "cstdint", "cstring", "immintrin.h", "arm_neon.h"}
    if path.name == "parallel.hpp":
        allowed |= {"omp.h", "pthread.h"}
    if path.name in CONSUMER_SIDE:
        allowed |= {"stdexcept", "string", "type_traits"}
    assert foreign <= allowed


@each_header
def test_no_standard_templates_in_what_is_compiled_per_level(path):
    """Instantiated in two levels they would be one symbol with two bodies."""
    code = re.sub(r"//.*", "", path.read_text())
    plain = {"int8_t", "int16_t", "int32_t", "int64_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t", "uintptr_t"}
    used = set(re.findall(r"\bstd::(\w+)", code)) - plain - {"size_t", "ptrdiff_t", "memcpy", "memset", "memmove"}
    assert not used or path.name in CONSUMER_SIDE, used


@each_source
def test_only_one_file_knows_openmp(path):
    if path.name != "parallel.hpp":
        assert not re.search(r"omp\.h|#\s*pragma\s+omp|\bomp_\w+\(", path.read_text())


def test_machine_flags_stand_in_one_place():
    # Not all that lies below the root: a virtual environment may.
    below = [path for name in ("cpp", "python", "tests") for path in (ROOT / name).rglob("*")]
    build_files = [path for path in below if path.name == "CMakeLists.txt" or path.suffix == ".cmake"]
    assert len(build_files) > 3
    for path in [*build_files, ROOT / "CMakeLists.txt", ROOT / "pyproject.toml"]:
        if path.name == "isa_levels.cmake":
            continue
        assert not re.search(r"-march|-mavx|-mfma|-msse", path.read_text()), path
    for path in sources:
        assert "ffast-math" not in path.read_text()


def test_bindings_are_one_file_per_family_and_a_short_module():
    module = ROOT / "python" / "bindings" / "module.cpp"
    assert len(module.read_text().splitlines()) < 60


@each_source
def test_lines_are_short(path):
    for k, line in enumerate(path.read_text().splitlines(), 1):
        assert len(line) <= 120, f"{path.name}:{k}"
        assert line == line.rstrip(), f"{path.name}:{k}"
        assert "\t" not in line, f"{path.name}:{k}"


def test_version_comes_from_one_place():
    declared = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert fl.__version__ == _core.__version__ == fl.show_config()["version"] == declared
    elsewhere = [ROOT / "CMakeLists.txt", CPP / "CMakeLists.txt", *sources, *PACKAGE.glob("*.py")]
    for path in elsewhere:
        assert declared not in re.sub(r"cmake_minimum_required.*|//.*", "", path.read_text()), path


class TestStubs:
    stub = (PACKAGE / "_core.pyi").read_text()

    def test_package_is_typed(self):
        assert (PACKAGE / "py.typed").exists()

    def test_name_everything_the_core_has(self):
        declared = set(re.findall(r"^def (\w+)", self.stub, re.MULTILINE))
        assert declared == {key for key, value in vars(_core).items() if callable(value)}

    def test_name_the_same_arguments(self):
        for key in re.findall(r"^def (\w+)", self.stub, re.MULTILINE):
            declared = re.search(rf"^def {key}\((.*?)\) ->", self.stub, re.MULTILINE | re.DOTALL)[1]
            actual = re.match(rf"{key}\((.*?)\) ->", getattr(_core, key).__doc__)[1]
            assert re.findall(r"(\w+):", declared) == re.findall(r"(\w+):", actual), key


class TestPublicNames:
    def test_everything_public_is_documented(self):
        for key, value in vars(fl).items():
            if not key.startswith("_") and not inspect.ismodule(value) and callable(value):
                assert inspect.getdoc(value), key

    def test_methods_are_documented(self):
        for cls in (fl.Loss, fl.Evaluation):
            for key, value in vars(cls).items():
                if not key.startswith("_") and callable(value):
                    assert inspect.getdoc(value), f"{cls.__name__}.{key}"

    def test_modules_export_what_the_package_has(self):
        for path in PACKAGE.glob("[a-z]*.py"):
            module = sys.modules.get(f"fusedloss.{path.stem}")
            for key in getattr(module, "__all__", ()):
                assert hasattr(fl, key) or path.stem in ("cli", "evaluation"), key
            if exported := getattr(module, "__all__", None):
                assert list(exported) == sorted(exported), path.name

    def test_import_is_silent_and_needs_numpy_alone(self, run_python):
        script = """
            import sys
            import fusedloss
            third = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
            print(sorted(name for name in third if not name.startswith(("_", "sitecustom"))))
        """
        assert run_python(script) == "['fusedloss', 'numpy']"
        assert run_python("import fusedloss") == ""

    def test_import_adds_little_to_numpy(self, run_python):
        """Other packages cost time, and so do large modules that only some calls need."""
        script = """
            import sys
            import numpy
            known = set(sys.modules)
            import fusedloss
            print(*(set(sys.modules) - known))
        """
        added = {name for name in run_python(script).split() if not name.startswith(("fusedloss", "numpy"))}
        assert {name.partition(".")[0] for name in added} <= sys.stdlib_module_names
        assert not added & {"argparse", "asyncio", "importlib.metadata", "json", "multiprocessing", "platform"}
        assert not added & {"subprocess", "unittest", "urllib", "zipfile"}


def objects_by_level() -> dict[str, list[Path]]:
    """Objects of the kernels of each level in a build folder."""
    folder = os.environ.get("FUSEDLOSS_BUILD_DIR")
    found = Path(folder).rglob("kernels_*.cpp.o") if folder else ()
    levels: dict[str, list[Path]] = {}
    for path in found:
        levels.setdefault(re.search(r"kernels_(\w+)\.dir", str(path))[1], []).append(path)
    return levels


OBJECTS = objects_by_level()


@pytest.mark.skipif(not OBJECTS, reason="FUSEDLOSS_BUILD_DIR names no folder of a build")
@pytest.mark.skipif(not shutil.which("nm"), reason="nm is missing")
@pytest.mark.parametrize("level", OBJECTS or [None])
class TestObjects:
    def symbols(self, level, kinds):
        listed = subprocess.run(["nm", "-C", *OBJECTS[level]], capture_output=True, text=True, check=True).stdout
        return [name for kind, name in re.findall(r"^[0-9a-f]* +(\w) (.*)$", listed, re.MULTILINE) if kind in kinds]

    def test_share_no_code_with_other_levels(self, level):
        assert not [name for name in self.symbols(level, "TWVu") if not re.search(rf"\b{level}(_omp)?::", name)]

    def test_hold_no_standard_library(self, level):
        assert not [name for name in self.symbols(level, "TtWwVvuU") if re.match(r"std::|[\w: ]+ std::|__cxa", name)]

    def test_run_nothing_at_load_and_keep_no_state(self, level):
        assert not [name for name in self.symbols(level, "TtWbB") if "_GLOBAL__" in name or "guard variable" in name]
        assert not self.symbols(level, "bBC")
