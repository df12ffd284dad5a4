import pytest

from tfrecords_tools.manifest import ManifestRow, read_manifest


def read(tmp_path, text, split=""):
    path = tmp_path / "web.csv"
    path.write_text(text, encoding="utf-8")
    return read_manifest(str(path), ["run", "jump"], split)


def test_rows_are_read_with_their_optional_columns(tmp_path):
    rows = read(
        tmp_path,
        "video,label,start,end,media_id\n"
        '"a b, ""c"".mp4",jump,1.5,2,x\n'
        "ünïcode.mp4,run,,,\n",
    )
    assert rows == [
        ManifestRow(2, 'a b, "c".mp4', 1, "x", 1.5, 2.0),
        ManifestRow(3, "ünïcode.mp4", 0, "ünïcode.mp4", None, None),
    ]


def test_a_split_takes_its_rows_and_an_unknown_one_lists_the_known(tmp_path):
    text = "video,label,split\na.mp4,run,train\na.mp4,run,val\nb.mp4,jump,train\n"
    assert [row.line for row in read(tmp_path, text, "train")] == [2, 4]
    with pytest.raises(ValueError, match=r"split 'test', only of \['train', 'val'\]"):
        read(tmp_path, text, "test")
    with pytest.raises(ValueError, match="column 'split' is missing"):
        read(tmp_path, "video,label\na.mp4,run\n", "train")


def test_a_byte_order_mark_does_not_belong_to_the_header(tmp_path):
    assert len(read(tmp_path, "\ufeffvideo,label\na.mp4,run\n")) == 1


def test_files_that_cannot_be_read_as_text_are_named_with_the_line(tmp_path):
    (tmp_path / "web.csv").write_bytes(b"video,label\na\xff.mp4,run\n")
    with pytest.raises(ValueError, match=r"web\.csv, line 2: not UTF-8"):
        read_manifest(str(tmp_path / "web.csv"), ["run"])
    with pytest.raises(ValueError, match=r"gone\.csv cannot be read"):
        read_manifest(str(tmp_path / "gone.csv"), ["run"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video\na.mp4\n", "line 1: column 'label' is missing"),
        ("video,label\na.mp4,run\nb.mp4,walk\n", "line 3: label 'walk' is not in"),
        ("video,label\na.mp4\n", "line 2: the number of cells"),
        ("video,label\n,run\n", "line 2: the video's path is empty"),
        ("video,label,start\na.mp4,run,soon\n", "line 2: start is 'soon'"),
        ("video,label,start\na.mp4,run,-1\n", "line 2: start is '-1'"),
        ("video,label,end\na.mp4,run,nan\n", "line 2: end is 'nan'"),
        ("video,label,start,end\na.mp4,run,2,2\n", "line 2: end 2.0 is not after"),
        ("video,label\na.mp4,run\na.mp4,run\n", "line 3: .* already in line 2"),
        ('video,label\na.mp4,"run\n', "after line 1: unexpected end of data"),
        ("video,label,label\na.mp4,run,jump\n", "column 'label' stands there twice"),
        ("video,label,start,end\na,run,,2\na,run,0,2.0\n", "line 3: .* in line 2"),
        ("video,label,split\na,run,x\na,run,y\n", "line 3: .* already in line 2"),
        ("video,label\n", "lists no files"),
    ],
)
def test_every_fault_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)
