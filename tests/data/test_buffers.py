import gc

import numpy as np
import tensorflow as tf

from spl_tf.data.decoding import ClipBuffers


def address(array):
    return array.ctypes.data


def test_memory_is_used_again_when_nothing_refers_to_it():
    buffers = ClipBuffers(4, 1000)
    first = buffers.take()
    second = buffers.take()
    places = {address(first), address(second)}
    assert len(places) == 2
    del first, second
    gc.collect()
    assert address(buffers.take()) in places


def test_a_view_keeps_its_memory():
    buffers = ClipBuffers(64, 64)
    array = buffers.take()
    array[...] = 7
    row, place = array[3], address(array)
    del array
    gc.collect()
    assert address(buffers.take()) != place
    np.testing.assert_array_equal(row, 7)


def test_batches_that_are_held_keep_their_content():
    buffers = ClipBuffers(64, 64)

    def fill(number):
        array = buffers.take()
        array[...] = number
        return array

    batches = tf.data.Dataset.range(20).map(
        lambda number: tf.numpy_function(fill, [number], tf.uint8),
        num_parallel_calls=4,
    )
    held = list(batches.prefetch(4))
    for number, batch in enumerate(held):
        np.testing.assert_array_equal(batch.numpy(), np.full((64, 64), number))


def test_memory_is_aligned_for_tensorflow():
    assert address(ClipBuffers(3, 5).take()) % 64 == 0
