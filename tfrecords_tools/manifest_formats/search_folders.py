"""What crawlers of search engines leave: a folder per query, of images or videos."""

from __future__ import annotations

from collections.abc import Sequence

from tfrecords_tools.manifest_formats import folders
from tfrecords_tools.manifest_formats.file_index import FileIndex
from tfrecords_tools.manifest_formats.listing import (
    UNUSED,
    Entry,
    Listing,
    ManifestSettings,
)
from tfrecords_tools.manifest_formats.queries import QueryLabels

# google-images-download stores small copies in such a folder beside the query's.
_THUMBNAILS = " - thumbnail"


def read(
    files: FileIndex, annotations: Sequence[str], settings: ManifestSettings
) -> Listing:
    """Lists the images and videos below the root; the top folder is the query.

    So icrawler (one `root_dir` per query), google-images-download,
    bing_image_downloader and others leave them. The label of a file is its query, or
    what `queries` says for it; several queries may be of one class. Thumbnails of
    images that are there are left out. The media id is the path, as crawlers number
    the files of each query from 1.

    Args:
        files: The files; those of other endings do not count, but are noted.
        annotations: Must be empty: the folders are the queries.
        settings: Its `queries` is read.

    Returns:
        The classes in alphabetical order.

    Raises:
        ValueError: A file lies in no folder, or its query is not in `queries`.
    """
    listing = folders.read(files, annotations, settings)
    queries = QueryLabels(settings.queries)
    found = set(listing.class_names)  # of folders, whose names are the queries

    def labelled(entry: Entry) -> Entry:
        query = entry.label.removesuffix(_THUMBNAILS)
        is_copy = query != entry.label and query in found
        return entry._replace(
            label=queries.label_of(query, entry.source),
            reason=UNUSED if is_copy else "",
        )

    entries = [labelled(entry) for entry in listing.entries]
    return Listing(queries.class_names(entries), entries, listing.notes)
