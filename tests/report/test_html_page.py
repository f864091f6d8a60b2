from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from estimator.report.html_page import html_report
from estimator.report.roofline_plot import LogAxis, attained_flops_per_s, memory_svg, roofline_svg
from estimator.result import Bound, Estimate, MemoryEstimate
from tests.report.estimates import estimate, estimates, kernel

VOID = {"meta", "link", "br", "img"}
TIMELINE = st.lists(st.tuples(st.text(), st.integers(min_value=0, max_value=10**12)), max_size=5)


class Reader(HTMLParser):
    """Collects tags and attributes, and checks that every opened tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@given(estimates(), TIMELINE)
def test_the_page_is_well_formed_and_carries_no_script_whatever_the_names(
    made: Estimate, timeline: list[tuple[str, int]]
):
    reader = read(html_report(made, timeline))
    assert reader.tags.isdisjoint({"script", "iframe", "object", "link", "img", "form", "a", "base"})
    assert not any(name.startswith("on") or name in {"src", "href"} for name in reader.attributes)


def test_markup_in_a_name_is_shown_and_not_obeyed():
    hostile = kernel('"><script>alert(1)</script>')
    page = html_report(estimate(model="<b>m</b>", kernels=(hostile,), warnings=("<i>w</i>",)), [("<svg onload=x>", 1)])
    assert "<script>" not in page
    assert "<b>m</b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;svg onload=x&gt;" in page


def test_the_page_forbids_itself_requests_and_scripts():
    page = html_report(estimate())
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def test_the_memory_plot_reaches_the_peak_that_the_page_states():
    memory = MemoryEstimate(weights_bytes=1_000_000, activation_bytes=500_000, workspace_bytes=700_000)
    page = html_report(estimate(memory=memory), [("a", 100_000), ("b", 600_000)])
    assert "<title>b: 2.20 MB</title>" in page  # 1 + 0.5 + 0.7; of this 0.6 MB is alive only at step b


def test_every_kernel_with_flops_and_traffic_is_a_dot():
    dots = [kernel("a"), kernel("b", bound=Bound.MEMORY), kernel("copy", flops=0, intensity_flops_per_byte=0.0)]
    assert roofline_svg(estimate(kernels=tuple(dots))).count("<circle") == 2  # a and b


def test_attained_rate_is_flops_over_time():
    assert attained_flops_per_s(kernel(flops=6_000_000, time_s=2e-3)) == 6_000_000 / 2e-3


def test_a_log_axis_spaces_decades_evenly_and_clamps():
    axis = LogAxis.around([2.0, 5000.0], 0.0, 400.0)
    assert (axis.low, axis.high) == (1.0, 10_000.0)
    assert [round(axis.pixel(value)) for value in (1, 10, 100, 1000, 10_000)] == [0, 100, 200, 300, 400]
    assert axis.pixel(0.001) == 0.0
    assert axis.pixel(1e9) == 400.0


def test_the_highest_step_of_the_memory_plot_is_marked():
    svg = memory_svg([("a", 10), ("b", 30), ("c", 20)], base_bytes=100)
    assert svg.count('class="peak"') == 1
    assert "<title>b: 130 B</title>" in svg  # 100 resident + 30 alive
