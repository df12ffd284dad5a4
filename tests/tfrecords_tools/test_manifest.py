import pytest

from tfrecords_tools.manifest import ManifestRow, read_manifest


def read(tmp_path, text):
    path = tmp_path / "web.csv"
    path.write_text(text, encoding="utf-8")
    return read_manifest(path, ["run", "jump"])


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
        ("video,label\n", "lists no videos"),
    ],
)
def test_every_fault_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)
