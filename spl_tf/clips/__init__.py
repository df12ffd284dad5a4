"""Clip records: keys, encoding, shards, the index and `dataset.json`.

One clip is one `tf.train.SequenceExample` with MediaSequence's keys, so DMVR, Scenic,
Model Garden and MediaPipe read these shards as they are. A dataset is a folder of
TFRecord shards, `index.npz` and `dataset.json`.
"""

from spl_tf.clips.dataset import ClipDataset, finish_dataset
from spl_tf.clips.dataset_info import DatasetInfo
from spl_tf.clips.index import ClipIndex
from spl_tf.clips.reader import RecordReader
from spl_tf.clips.record import (
    Clip,
    FrameChoices,
    encode_clip,
    parse_clip,
    parse_in_graph,
    parsing_spec,
    with_teacher,
)
from spl_tf.clips.remote import usable_path
from spl_tf.clips.remote_files import matching, write_atomically, write_if_absent
from spl_tf.clips.shards import ShardSummary, shard_name, write_shard

__all__ = [
    "Clip",
    "ClipDataset",
    "ClipIndex",
    "DatasetInfo",
    "FrameChoices",
    "RecordReader",
    "ShardSummary",
    "encode_clip",
    "finish_dataset",
    "matching",
    "parse_clip",
    "parse_in_graph",
    "parsing_spec",
    "shard_name",
    "usable_path",
    "with_teacher",
    "write_atomically",
    "write_if_absent",
    "write_shard",
]
