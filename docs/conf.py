"""The site: ``make docs``. It needs no network, and what it shows needs none.

Sphinx with MyST, not MkDocs: Material for MkDocs is in maintenance mode, and ``-n -W`` here refuses a page or a
docstring that names something that does not exist.
"""

import os
import re
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
os.environ["NO_COLOR"] = os.environ["COLUMNS"] = "100"  # of the commands' help

import _pages

import ecgzoo

project, author = "ecgzoo", "The ecgzoo authors"
release = version = installed("ecgzoo")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "_generated/*.md"]  # these are included by pages

html_theme = "furo"
html_title = f"ecgzoo {release}"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 90
napoleon_numpy_docstring = False
napoleon_use_ivar = True

OURS = {*ecgzoo.__all__}
# types of signatures that are no public names: those of other packages, and what a public function returns or takes
nitpick_ignore_regex = [
    (r"py:.*", r"(torch|nn|numpy|np|pathlib|collections|typing|argparse|pluggy|rich|accelerate|matplotlib)\b.*"),
    (
        r"py:.*",
        r"Any|Figure|Path|Tensor|Module|Linear|Table|device|dtype|ndarray|Callable|Iterable|Iterator|Mapping|Sequence",
    ),
    (r"py:.*", r"ecgzoo\.(model\.(WeightsSource|Finding)|evaluation\..*|testing\.findings\..*|specs\.Spec)"),
    (r"py:.*", r"ecgzoo\.transforms\.contract\.Draws"),
    (r"py:exc", r"WriteError"),
]


def setup(app: Any) -> None:
    """Write the pages that are made of code, and read our docstrings as they are written."""
    _pages.write(Path(__file__).parent)
    app.connect("source-read", _links_to_code)
    app.connect("autodoc-process-docstring", _names_in_backticks)
    app.connect("missing-reference", _public_name)


def _links_to_code(app: Any, name: str, source: list[str]) -> None:
    """A link to a file or folder outside docs/, right as it is in a checkout, leads to the page that shows it here."""
    source[0] = _pages.LINK.sub(lambda found: f"](/{_pages.page_of(found[1])}.md)", source[0])


def _names_in_backticks(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """`One backtick` links a public name, and is code otherwise."""

    def marked(found: re.Match[str]) -> str:
        said = found[1].removeprefix("ecgzoo.")
        owner = said.partition(".")[0]  # a field has no entry of its own
        return f":py:obj:`{said} <ecgzoo.{owner}>`" if owner in OURS else f"``{found[1]}``"

    lines[:] = [re.sub(r"(?<![`:])`([^`]+)`(?![`_])", marked, line) for line in lines]


def _public_name(app: Any, env: Any, node: Any, text: Any) -> Any:
    """`ecgzoo.model.EcgModel`, as types are called, is documented as `ecgzoo.EcgModel`."""
    target = str(node.get("reftarget", "")).rpartition(".")[2]
    if node.get("refdomain") == "py" and target in OURS:
        domain = env.get_domain("py")
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", f"ecgzoo.{target}", node, text)
    return None
