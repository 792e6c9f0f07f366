"""Builds the site with ``make docs``. Neither the build nor the pages need a network.

We use Sphinx with MyST and not MkDocs, because Material for MkDocs is in maintenance mode, and because Sphinx's flags
``-n -W`` refuse a page or docstring that refers to something that does not exist.
"""

import os
import re
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
os.environ["NO_COLOR"] = os.environ["COLUMNS"] = "100"  # for the help texts of the commands

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
# types in signatures that are not public names: types of other packages, and types that public functions take or return
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(torch|nn|numpy|np|pathlib|collections|typing|argparse|pluggy|rich|accelerate|matplotlib|pandas|pd)\b.*",
    ),
    (
        r"py:.*",
        r"Any|Figure|Path|Tensor|Module|Linear|Table|device|dtype|ndarray|Callable|Iterable|Iterator|Mapping|Sequence",
    ),
    (
        r"py:.*",
        r"ecgzoo\.(model\.(WeightsSource|Finding)|live\.Scorer|evaluation\..*|testing\.findings\..*|specs\.Spec)",
    ),
    (
        r"py:.*",
        r"ecgzoo\.(transforms\.contract\.Draws|signal\.quality\.Quality|exporting\.parity\.Parity|data\.shards\.Shards)",
    ),
    (r"py:exc", r"WriteError"),
]


def setup(app: Any) -> None:
    """Write the generated pages and connect the functions below."""
    _pages.write(Path(__file__).parent)
    app.connect("source-read", _links_to_code)
    app.connect("autodoc-process-docstring", _names_in_backticks)
    app.connect("missing-reference", _public_name)


def _links_to_code(app: Any, name: str, source: list[str]) -> None:
    """Replace a link to a file or folder outside docs/, valid in a checkout, by a link to the page that shows it."""
    source[0] = _pages.LINK.sub(lambda found: f"](/{_pages.page_of(found[1])}.md)", source[0])


def _names_in_backticks(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn `one backtick` into a link if it holds a public name, else into code."""

    def marked(found: re.Match[str]) -> str:
        said = found[1].removeprefix("ecgzoo.")
        owner = said.partition(".")[0]  # fields have no separate entry
        return f":py:obj:`{said} <ecgzoo.{owner}>`" if owner in OURS else f"``{found[1]}``"

    lines[:] = [re.sub(r"(?<![`:])`([^`]+)`(?![`_])", marked, line) for line in lines]


def _public_name(app: Any, env: Any, node: Any, text: Any) -> Any:
    """Link a type such as `ecgzoo.model.EcgModel` to its entry, `ecgzoo.EcgModel`."""
    target = str(node.get("reftarget", "")).rpartition(".")[2]
    if node.get("refdomain") == "py" and target in OURS:
        domain = env.get_domain("py")
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", f"ecgzoo.{target}", node, text)
    return None
