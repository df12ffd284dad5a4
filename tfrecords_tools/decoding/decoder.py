"""Video decoding in a process of its own, with a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from tfrecords_tools.decoding import frame_folder, video
from tfrecords_tools.decoding.scaling import Scale

_ATTEMPTS = 2
# A record is a protocol buffer, which ends at 2 GiB.
_MAX_BYTES = 2**31 - 2**24


class _TooLargeError(video.UnreadableVideoError):
    """The frames of a clip do not fit into a record."""


class Decoder:
    """Opens videos in a child process that may crash or hang; a context manager.

    Folders of frames are read in this process, as images are.

    A request that takes longer than the limit, or ends the child twice, is an
    `UnreadableVideoError` of that file; the next request gets a new child. A child
    that somebody else killed is replaced and the request made once more.

    For one thread at a time.
    """

    def __init__(self, time_limit: float, frames_fps: float = 0.0):
        """Starts nothing yet.

        Args:
            time_limit: Seconds that one request may take.
            frames_fps: Frames per second of folders of frames; 0 where there are none.
        """
        self._time_limit, self._frames_fps = time_limit, frames_fps
        self._child: subprocess.Popen | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, if there is a child."""
        return self._child.pid if self._child else None

    def probe(self, path: str) -> video.VideoProbe:
        """When a file's video begins and ends, as `video.probe` tells."""
        if frame_folder.is_folder(path):
            return frame_folder.probe(path, self._frames_fps)
        return video.VideoProbe(**self._request("probe", path=path)[0])

    def digest(self, path: str) -> str:
        """SHA-256 of the file's content, or of the frames in a folder."""
        if frame_folder.is_folder(path):
            return frame_folder.digest(path)
        return self._request("digest", path=path)[0]

    def clip(
        self,
        path: str,
        start: int,
        end: int,
        scale: Scale,
        fps: float,
        jpeg_quality: int,
        threads: int = 1,
    ) -> list[video.EncodedFrame]:
        """All frames of a clip, see `video.encode_frames`."""
        if frame_folder.is_folder(path):
            span = (path, start, end, scale, fps, jpeg_quality)
            return _all_frames(frame_folder.encode_frames(*span, self._frames_fps))
        return self._request(
            "clip",
            path=path,
            start=start,
            end=end,
            scale=scale,
            fps=fps,
            jpeg_quality=jpeg_quality,
            threads=threads,
        )[1]

    def _request(self, operation: str, **arguments) -> tuple[Any, list]:
        line = json.dumps({"operation": operation, **arguments}).encode() + b"\n"
        for _ in range(_ATTEMPTS):
            child = self._running()
            expired = threading.Event()

            def expire(child=child, expired=expired):
                expired.set()
                child.kill()

            timer = threading.Timer(self._time_limit, expire)
            timer.daemon = True
            timer.start()
            try:
                child.stdin.write(line)
                child.stdin.flush()
                return _receive(child.stdout)
            except (BrokenPipeError, EOFError):
                code = child.wait()
                self.close()
            except _TooLargeError:
                self.close()  # it has more to say
                raise
            finally:
                timer.cancel()
            if expired.is_set():
                raise video.UnreadableVideoError(
                    "too slow",
                    f"not finished after the time limit of {self._time_limit:g} s",
                )
        raise video.UnreadableVideoError(
            "crashed", f"the decoder ended {_ATTEMPTS} times, at last {_ending(code)}"
        )

    def _running(self) -> subprocess.Popen:
        if self._child is None:
            root = str(pathlib.Path(__file__).parents[2])
            paths = [root, os.environ.get("PYTHONPATH", "")]
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tfrecords_tools.decoding.decoder_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, paths))),
            )
        return self._child

    def close(self) -> None:
        """Ends the child, if there is one."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            with contextlib.suppress(BrokenPipeError):
                self._child.stdin.close()
            self._child.stdout.close()
            self._child = None

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *unused) -> None:
        self.close()


def _receive(answers) -> tuple[Any, list[video.EncodedFrame]]:
    """Reads one answer: the result and the frames that came before it."""
    frames, size = [], 0
    while True:
        line = answers.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        message = json.loads(line)
        if "result" in message:
            return message["result"], frames
        if "reason" in message:
            raise video.UnreadableVideoError(message["kind"], message["reason"])
        jpeg = answers.read(message["size"])
        if len(jpeg) != message["size"]:
            raise EOFError
        size += len(jpeg)
        if size > _MAX_BYTES:
            raise _too_large()
        frames.append(
            video.EncodedFrame(
                message["timestamp"], jpeg, message["height"], message["width"]
            )
        )


def _all_frames(found: Iterator[video.EncodedFrame]) -> list[video.EncodedFrame]:
    frames, size = [], 0
    for frame in found:
        frames.append(frame)
        size += len(frame.jpeg)
        if size > _MAX_BYTES:
            raise _too_large()
    return frames


def _too_large() -> _TooLargeError:
    return _TooLargeError(
        "too long",
        f"the clip's frames take more than {_MAX_BYTES / 1e9:.1f} GB, the most a "
        "record holds; cut shorter clips (--clips_per_video)",
    )


def _ending(code: int) -> str:
    if code < 0:
        return f"by signal {signal.Signals(-code).name}"
    return f"with exit status {code}"
