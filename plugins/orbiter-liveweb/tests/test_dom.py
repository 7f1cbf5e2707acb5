"""Pages whose elements are made when they are asked for."""

import sys
import threading

from orbiter_liveweb.dom import MAX_DEPTH, parse


def test_what_stands_deeper_than_is_kept_hangs_on_the_last_level():
    root = parse("<div>x<b>y</b>" * 1000)
    assert (root.text.count("x"), root.text.count("y")) == (1000, 1000)
    elements = list(root.elements())
    assert len(elements) == len(set(map(id, elements))) == 2003
    for element in elements[1:]:
        assert sum(child is element for child in element.parent.children) == 1
    depths = {None: -1}
    for element in elements:
        depths[element] = depths[element.parent] + 1
    assert max(depths.values()) == MAX_DEPTH


def test_threads_see_the_same_elements():
    """A page is shared by all sessions: each goes from an element to its siblings and must find itself among them."""
    lost, interval = [], sys.getswitchinterval()

    def walk(root, start):
        start.wait()
        lost.extend(e for e in root.elements() if not any(e is one for one in e.siblings()))

    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            root, start = parse("<ul><li><a>x</a><b>y</b></li></ul>" * 60), threading.Barrier(3)
            threads = [threading.Thread(target=walk, args=(root, start)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert lost == []
