"""Rules that hold wherever code is read, not run: no pickle, no eval, one place that writes, one that escapes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
FILES = sorted(
    path
    for pattern in ("ecgzoo", "recipes", "examples", "plugins/*/ecgzoo_*")
    for folder in PROJECT.glob(pattern)
    for path in folder.rglob("*.py")
)

PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CALLS = {
    **dict.fromkeys(("eval", "exec", "__import__"), "runs what a text says"),
    **dict.fromkeys(("yaml.load", "yaml.unsafe_load", "yaml.full_load"), "builds any object"),
    **dict.fromkeys(("torch.load", "torch.save", "numpy.load", "np.load"), "reads or writes pickles"),
    **dict.fromkeys(("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"), "is a shell"),
}
KEYWORDS = {"allow_pickle": "reads pickles", "trust_remote_code": "runs third-party code", "shell": "is a shell"}

# what writes or moves a file, as a function or a method
WRITES = {
    *(
        "write_text",
        "write_bytes",
        "tofile",
        "save_file",
        "savefig",
        "memmap",
        "open_memmap",
        "savez",
        "savez_compressed",
    ),
    *(
        "os.open",
        "os.rename",
        "os.replace",
        "os.link",
        "os.symlink",
        "os.truncate",
        "symlink_to",
        "hardlink_to",
        "touch",
    ),
    *("np.save", "np.savetxt", "json.dump", "shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.move"),
    *("shutil.copytree", "tempfile.mkstemp", "tempfile.NamedTemporaryFile", "os.fdopen", "io.open"),
}
WRITERS = {
    "ecgzoo/files.py": "the one place",
    "ecgzoo/batch.py": "appends rows to a table as they come, so that a run that is stopped goes on",
    "ecgzoo/show/paper.py": "draws into the temporary file that write_atomic hands it, or into memory",
    "ecgzoo/data/store.py": "gigabytes, record by record, into a folder that takes its place in one rename",
    "ecgzoo/data/folder.py": "gigabytes, record by record; they count when info.json is replaced",
    "ecgzoo/testing/readers.py": "broken files for a reader's conformance, in the caller's empty folder",
    "ecgzoo/training/checkpoint.py": "fills the temporary file that write_atomic hands it",
    "ecgzoo/run_folder.py": "the lock, an empty file that is never written to",
    "ecgzoo/training/report.py": "draws into the temporary file that write_atomic hands it",
    "ecgzoo/weights/card.py": "draws into memory",
}
ESCAPES = {"unicode_escape", "backslashreplace", "\x1b", "unicodedata"}  # what another `printable` would be made of
ESCAPERS = {"ecgzoo/errors.py": "the one place", "ecgzoo/data/table.py": "compares names in the form NFC"}


def name_of(node: ast.expr) -> str:
    """``a.b`` of a function or a method; of a longer expression, its last name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{node.value.id}.{node.attr}" if isinstance(node.value, ast.Name) else f".{node.attr}"
    return ""


def opens_to_write(call: ast.Call) -> bool:
    """``open(path, "wb")``, ``path.open("a")``; a mode that is no literal counts, too."""
    name = name_of(call.func)
    if name not in ("open", "io.open") and not name.endswith(".open"):
        return False
    place = 1 if name in ("open", "io.open") else 0
    modes = [call.args[place]] if len(call.args) > place else [k.value for k in call.keywords if k.arg == "mode"]
    return any(not isinstance(mode, ast.Constant) or set("wax+") & set(str(mode.value)) for mode in modes)


def violations(source: str, file: str) -> Iterator[str]:
    """What breaks a rule in a file's `source`, one text each."""
    for node in ast.walk(ast.parse(source)):
        where = f"{file}:{getattr(node, 'lineno', 0)}"
        imported: list[str] = []
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in imported:
            if name.split(".")[0] in PICKLES:
                yield f"{where}: {name} reads pickles"
            if reason := CALLS.get(name):
                yield f"{where}: {name} {reason}"
            if name in ESCAPES and file not in ESCAPERS:
                yield f"{where}: escape through ecgzoo.errors.printable"
        if isinstance(node, ast.Constant) and node.value in ESCAPES and file not in ESCAPERS:
            yield f"{where}: escape through ecgzoo.errors.printable"
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        if reason := CALLS.get(name):
            yield f"{where}: {name} {reason}"
        for keyword in node.keywords:
            allowed = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            if keyword.arg in KEYWORDS and not allowed:
                yield f"{where}: {keyword.arg} {KEYWORDS[keyword.arg]}"
        ours = isinstance(node.func, ast.Name) and name in ("write_text", "write_bytes")  # of ecgzoo.files
        writes = not ours and bool({name, name.rpartition(".")[2]} & WRITES)
        if (writes or opens_to_write(node)) and file not in WRITERS:
            yield f"{where}: {name} writes; use ecgzoo.files"
        if name == "escape" and not (node.args and isinstance(node.args[0], ast.Call)):
            yield f"{where}: rich's escape leaves control characters; escape(printable(...))"


def test_no_rule_is_broken() -> None:
    assert len(FILES) > 90
    found = [
        said
        for path in FILES
        for said in violations(path.read_text(encoding="utf-8"), path.relative_to(PROJECT).as_posix())
    ]
    assert not found, "\n".join(found)


def test_files_that_may_write_exist() -> None:
    for file in (*WRITERS, *ESCAPERS):
        assert (PROJECT / file).is_file()


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "def f():\n    import _pickle as harmless",
        "eval('1')",
        "exec(open('x').read())",
        "import yaml\nyaml.load(text)",
        "torch.load(path, weights_only=True)",
        "from torch import load",
        "np.load(path)",
        "read(path, allow_pickle=True)",
        "read(path, allow_pickle=flag)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "subprocess.run(command, shell=True)",
        "os.system('ls')",
        "from os import system",
        "open(path, 'w')",
        "open(path, mode='ab')",
        "open(path, mode)",
        "path.open('x')",
        "(folder / 'a').open('r+')",
        "path.write_text('')",
        "(folder / 'a').write_bytes(b'')",
        "array.tofile(path)",
        "np.save(path, array)",
        "save_file(tensors, path)",
        "json.dump(values, file)",
        "os.replace(a, b)",
        "shutil.copy(a, b)",
        "print(text.encode('unicode_escape'))",
        "import unicodedata",
        "text.replace('\\x1b', '')",
        "escape(name)",
    ],
)
def test_a_planted_violation_is_found(planted: str) -> None:
    assert list(violations(planted, "ecgzoo/planted.py"))


@pytest.mark.parametrize(
    "sound",
    [
        "model.eval()",
        "open(path)",
        "path.open('rb')",
        "open(path, 'r', encoding='utf-8')",
        "write_text(path, text)",
        "read(path, allow_pickle=False)",
        "escape(printable(name))",
        "json.dumps(values)",
        "text.replace('a', 'b')",
    ],
)
def test_what_is_sound_is_not(sound: str) -> None:
    assert not list(violations(sound, "ecgzoo/sound.py"))
