import os
import signal
import threading
import time

import pytest

from tests.conftest import counting_images, write_video
from tfrecords_tools.decoding.decoder import Decoder
from tfrecords_tools.decoding.video import UnreadableVideoError


@pytest.fixture
def path(tmp_path):
    write_video(tmp_path / "v.mp4", counting_images(16))
    return str(tmp_path / "v.mp4")


def signal_when_started(decoder, number):
    """Sends a signal to the decoder's child as soon as there is one."""

    def send():
        while decoder.pid is None:
            time.sleep(0.001)
        os.kill(decoder.pid, number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_frames_come_back_with_their_times(path):
    with Decoder(time_limit=60) as decoder:
        assert decoder.probe(path).duration == 2_000_000
        frames = decoder.clip(path, 500_000, 1_000_000, 24, 0.0, 90)
    assert [frame.timestamp for frame in frames] == [500_000, 625_000, 750_000, 875_000]
    assert {(frame.height, frame.width) for frame in frames} == {(24, 32)}
    assert all(frame.jpeg.startswith(b"\xff\xd8") for frame in frames)


def test_the_digest_is_that_of_sha256sum(path):
    with Decoder(time_limit=60) as decoder, os.popen(f"sha256sum {path}") as expected:
        assert decoder.digest(path) == expected.read().split()[0]


def test_no_progress_is_an_error_after_the_limit_and_the_next_file_works(path):
    with Decoder(time_limit=5) as decoder:
        stopped = signal_when_started(decoder, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(UnreadableVideoError, match="time limit of 5 s") as error:
            decoder.probe(path)
        stopped.join()
        assert error.value.kind == "too slow"
        assert 5 <= time.monotonic() - began < 15
        decoder._time_limit = 60
        assert decoder.probe(path).frame_rate == 8


def test_a_child_killed_from_outside_is_replaced_and_the_request_made_again(path):
    with Decoder(time_limit=60) as decoder:
        killed = signal_when_started(decoder, signal.SIGKILL)
        assert decoder.probe(path).frame_rate == 8
        killed.join()


def test_a_file_that_ends_the_decoder_twice_is_unreadable(path, tmp_path, monkeypatch):
    # The child imports this module instead of PyAV and dies of it.
    (tmp_path / "av").mkdir()
    (tmp_path / "av" / "__init__.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (
        Decoder(time_limit=60) as decoder,
        pytest.raises(UnreadableVideoError, match=r"2 times.*SIGABRT") as error,
    ):
        decoder.probe(path)
    assert error.value.kind == "crashed"


def test_bad_files_are_named_by_kind(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    with Decoder(time_limit=60) as decoder:
        kinds = {}
        for name in ("pipe.mp4", "empty.mp4", "gone.mp4"):
            with pytest.raises(UnreadableVideoError) as error:
                decoder.probe(str(tmp_path / name))
            kinds[name] = error.value.kind
    assert kinds == {
        "pipe.mp4": "unreadable",
        "empty.mp4": "empty",
        "gone.mp4": "missing",
    }
