"""XML from anywhere, as a tree: bounded before it is parsed, without entities, and nothing is ever fetched.

The standard library's expat does the work. A document type may be named (MUSE files name ``restecg.dtd``), which expat
does not read; one that declares anything itself is refused, so that there is no entity to expand a billion times, none
that names a file or an address, and no attribute with a long default. A reference to an entity that is not XML's own
is refused, too, where expat would leave it out in silence.
"""

import re
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ecgzoo.signal.readers.common import fail, whole_file

_LARGEST = 256 << 20
_MOST_MARKS = 250_000  # "<" and "=": elements and attributes, of which each takes a hundred bytes and more
_DEEPEST = 100
_DAMAGED = "The file is damaged, or not of this format: fetch it again."


def root_is(head: bytes, name: str) -> bool:
    """Whether the XML that begins with `head` has an element `name`, with or without a prefix, in its first lines."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        head = head.decode("utf-16", "replace").encode("utf-8", "replace")
    return re.search(rb"<(?:[\w.-]+:)?" + name.encode() + rb"[\s/>]", head) is not None


def read_tree(path: Path) -> Element:
    """The root element of an XML file; tags and attributes come without namespaces.

    Raises:
        SignalError: no file, no whole XML, too large or too deep, or with declarations or entities of its own.
    """
    content = whole_file(path, _LARGEST)
    if content.count(b"<") + content.count(b"=") > _MOST_MARKS:
        fail(path, f"has more than {_MOST_MARKS} elements and attributes; no recording needs so many.")
    builder, depth = TreeBuilder(), 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            fail(path, f"nests its elements deeper than {_DEEPEST}. {_DAMAGED}")
        builder.start(tag.rpartition(" ")[2], {name.rpartition(" ")[2]: value for name, value in attributes.items()})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag.rpartition(" ")[2])

    def doctype(name: str, system: str | None, public: str | None, has_declarations: int) -> None:
        if has_declarations:
            fail(path, "declares entities or defaults of its own, which are not read. Export it without a DOCTYPE.")

    def skipped(name: str, is_parameter: bool) -> None:
        fail(path, f"refers to the entity {name[:80]!r}, which is not in it. Export it without entities.")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler, parser.SkippedEntityHandler = doctype, skipped
    try:
        parser.Parse(content, True)
        return builder.close()
    except (expat.ExpatError, LookupError, ValueError, AssertionError) as error:  # the last three: an encoding's
        fail(path, f"is no whole XML ({error}). {_DAMAGED}", error)


def text_of(element: Element, place: str) -> str | None:
    """The text of a descendant, stripped; None where there is none."""
    text = element.findtext(place)
    return (text or "").strip() or None
