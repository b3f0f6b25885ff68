"""Parquet files, and folders of them."""

from expunge.data.opening import Opener
from expunge.data.parquet import ParquetStore, data_files

parquet = Opener(
    ParquetStore,
    endings=(".parquet", ".pq"),
    head=lambda head: head.startswith(b"PAR1"),
    folder=lambda folder: bool(data_files(folder)),
)
