"""Record files say where they are wrong."""

import gzip

import pytest

from estimator.calibration.records import COLUMNS, read_records, records_digest, write_records
from estimator.errors import RecordError

HEADER = ",".join(COLUMNS)
LINE = "timm:resnet18,2x3x224x224,sd865,npu,tflite,int8,,4.2,somewhere,a phone"


def test_a_record_is_read_in_base_units(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(f"{HEADER}\n{LINE}\n")
    (record,) = read_records(path)
    assert (record.batch, record.latency_s, record.device_reference) == (2, pytest.approx(4.2e-3), "sd865/npu")


def test_gzipped_records_read_as_plain_ones(tmp_path):
    plain, packed = tmp_path / "r.csv", tmp_path / "r.csv.gz"
    plain.write_text(f"{HEADER}\n{LINE}\n")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_records(packed) == read_records(plain)


def test_records_written_under_a_gzipped_name_are_gzipped(tmp_path):
    plain, packed = tmp_path / "r.csv", tmp_path / "r.csv.gz"
    plain.write_text(f"{HEADER}\n{LINE}\n")
    write_records(read_records(plain), packed)
    assert read_records(packed) == read_records(plain)


def test_written_records_read_back(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(f"{HEADER}\n{LINE}\n")
    records = read_records(path)
    write_records(records, tmp_path / "again.csv")
    assert read_records(tmp_path / "again.csv") == records


TIMM = "timm:repvgg_a0,256x3x224x224,rtx4090,gpu,torch-eager,amp-fp16,nchw,45.6,pytorch-image-models results,torch 2.9"


@pytest.mark.parametrize(
    ("line", "network"),
    [
        (TIMM, "timm:repvgg_a0?branches=merged"),
        (TIMM.replace("torch 2.9", "torch 2.10.1 cuda 13.0"), "timm:repvgg_a0?branches=merged"),
        (TIMM.replace("torch 2.9", "torch 2.8"), "timm:repvgg_a0"),
        (TIMM.replace("torch 2.9", "torch 2.4 cuda 12.4"), "timm:repvgg_a0?release=1.0.15"),
        (TIMM.replace("torch 2.9", ""), "timm:repvgg_a0"),
        (TIMM.replace("pytorch-image-models results", "measured here"), "timm:repvgg_a0"),
        (TIMM.replace("repvgg_a0", "repvgg_a0?branches=merged"), "timm:repvgg_a0?branches=merged"),
        (TIMM.replace("timm:", "torchvision:"), "torchvision:repvgg_a0"),
    ],
)
def test_timms_own_results_are_of_what_its_benchmark_then_made_of_a_model(tmp_path, line, network):
    path = tmp_path / "r.csv"
    path.write_text(f"{HEADER}\n{line}\n")
    (record,) = read_records(path)
    assert record.network == network


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (LINE.replace("4.2", "fast"), "latency_ms is not a number"),
        (LINE.replace("4.2", "-1"), "latency_ms must be positive"),
        (LINE.replace("4.2", "nan"), "latency_ms must be positive"),
        (LINE.replace("2x3x224x224", "2xx"), "input_shape is not a shape"),
        (LINE.replace("2x3x224x224", "0x3"), "input_shape is not a shape"),
        (LINE.replace("int8", "int7"), "unknown precision 'int7'"),
        (LINE.replace("int8,,", "int8,nhcw,"), "unknown layout 'nhcw'"),
        (LINE.replace("timm:resnet18", ""), "model is empty"),
        (LINE.replace("4.2", "4,2"), "11 cells, where the header has 10"),  # a decimal comma
        (LINE.replace(",somewhere,a phone", ""), "8 cells, where the header has 10"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path, line, complaint):
    path = tmp_path / "r.csv"
    path.write_text(f"{HEADER}\n{LINE}\n{line}\n")
    with pytest.raises(RecordError, match=complaint) as caught:
        read_records(path)
    assert caught.value.where == f"{path}:3"
    assert caught.value.expected or "empty" in complaint
    assert caught.value.hint
    assert "--" not in str(caught.value)  # no option is to blame


def test_empty_lines_count_as_lines_and_not_as_records(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(f"{HEADER}\n\n{LINE}\n\n\n{LINE}\n")
    assert [record.line for record in read_records(path)] == [3, 6]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "records lack the columns model"),
        (b"model,device\n", "records lack the columns input_shape, runtime, latency_ms"),
        (f"{HEADER}\n".encode(), "no records"),
        (b"\xff\xfe\x00", "not CSV text"),
    ],
)
def test_a_wrong_file_says_what_it_lacks(tmp_path, content, complaint):
    path = tmp_path / "r.csv"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=complaint):
        read_records(path)


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"model")[:-9]])
def test_a_damaged_archive_is_no_traceback(tmp_path, content):
    path = tmp_path / "r.csv.gz"
    path.write_bytes(content)
    with pytest.raises(RecordError, match="not gzipped CSV text"):
        read_records(path)


def test_a_missing_file_is_a_record_error(tmp_path):
    with pytest.raises(RecordError, match="No such file"):
        read_records(tmp_path / "none.csv")


def test_the_digest_tells_data_apart_and_ignores_their_order(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(f"{HEADER}\n{LINE}\n{LINE.replace('4.2', '4.3')}\n")
    first, second = read_records(path)
    assert records_digest([first, second]) == records_digest([second, first])
    assert records_digest([first]) != records_digest([second])
