from xml.etree import ElementTree

from verilora.specs.domain import Domain
from verilora.verify.worlds.chain_drawing import draw_chain

SVG = "{http://www.w3.org/2000/svg}"


def test_each_pair_of_labels_is_a_cell_that_tells_its_counts(driving: Domain) -> None:
    learned = driving.learned_world(driving.task("straight-at-traffic-light"))
    assert learned is not None
    picture = ElementTree.fromstring(draw_chain(learned, driving.vocabulary))
    titles = [title.text or "" for title in picture.iter(f"{SVG}title")][1:]
    num_labels = learned.coverage["labels"]
    assert len(titles) == (num_labels + 1) * num_labels
    counts = sum(int(title.rsplit(": ")[1].split(" of ")[0]) for title in titles)
    assert counts == sum(transition.count for transition in learned.transitions)
    shades = {rect.get("fill-opacity") for rect in picture.iter(f"{SVG}rect")} - {None}
    assert len(shades) > 2
