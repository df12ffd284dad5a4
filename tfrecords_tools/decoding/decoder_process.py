"""The program that opens video files, one request at a time, for a `Decoder`.

A damaged file can make a decoder crash or never come back. It then takes only this
process with it, which holds nothing but the clip at hand. TensorFlow is not imported
here unless a video is remote, so a start takes a fraction of a second.

Requests are JSON lines on standard input. Each is answered on standard output by any
number of frames, a JSON line and then the JPEG's bytes, and by one JSON line with the
result or with what is wrong with the file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

from tfrecords_tools.decoding import video

_CHUNK = 1 << 20


def main() -> None:
    """Answers requests until standard input ends or the parent is gone."""
    # A library that prints must not write into the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        operation = _OPERATIONS[request.pop("operation")]
        try:
            result = {"result": operation(answers, **request)}
        except video.UnreadableVideoError as error:
            result = {"kind": error.kind, "reason": str(error)}
        _send(answers, result)
        answers.flush()


def _end_with_parent(parent: int) -> None:
    """Ends this process when its parent dies, also in the middle of decoding."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _send(answers: BinaryIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message).encode() + b"\n")


def _probe(answers: BinaryIO, path: str) -> dict[str, Any]:
    del answers
    with _opened(path) as file:
        return dataclasses.asdict(video.probe(file))


def _clip(answers: BinaryIO, path: str, **arguments) -> None:
    with _opened(path) as file:
        for frame in video.encode_frames(file, **arguments):
            _send(
                answers,
                {
                    "timestamp": frame.timestamp,
                    "height": frame.height,
                    "width": frame.width,
                    "size": len(frame.jpeg),
                },
            )
            answers.write(frame.jpeg)


def _digest(answers: BinaryIO, path: str) -> str:
    del answers
    digest = hashlib.sha256()
    with _opened(path) as file, contextlib.ExitStack() as stack:
        if isinstance(file, str):
            file = stack.enter_context(open(file, "rb"))
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Any]:
    """Gives what `video` opens: the path of a local file, else a file object."""
    if "://" not in path:
        with contextlib.suppress(OSError):  # `video` says better what is wrong
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise video.UnreadableVideoError("unreadable", "not a regular file")
        yield path
        return
    import tensorflow as tf

    from spl_tf.clips.remote import usable_path

    usable_path(path)
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            yield file
    except tf.errors.NotFoundError as error:
        reason = "the file does not exist"
        raise video.UnreadableVideoError("missing", reason) from error
    except tf.errors.OpError as error:
        raise video.UnreadableVideoError("unreadable", error.message) from error


_OPERATIONS = {"probe": _probe, "clip": _clip, "digest": _digest}

if __name__ == "__main__":
    main()
