//! Tidy data through polars: one observation per line, as CSV and Parquet.

use std::fs::File;
use std::path::{Path, PathBuf};

use polars::prelude::{Column, CsvWriter, DataFrame, ParquetWriter, SerWriter};

use crate::Error;

/// Columns of equal length, in order.
pub(crate) fn frame(table: &str, columns: Vec<Column>) -> Result<DataFrame, Error> {
    DataFrame::new_infer_height(columns).map_err(|source| Error::Table { table: table.to_owned(), source })
}

pub(crate) fn csv(table: &str, data: &DataFrame) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let written = CsvWriter::new(&mut bytes).n_threads(1).finish(&mut data.clone());
    written.map_err(|source| Error::Table { table: table.to_owned(), source })?;
    Ok(bytes)
}

pub(crate) fn write_parquet(path: &Path, data: &DataFrame) -> Result<PathBuf, Error> {
    let file = File::create(path).map_err(|source| Error::Write { path: path.to_owned(), source })?;
    let written = ParquetWriter::new(file).set_parallel(false).finish(&mut data.clone());
    written.map_err(|source| Error::Table { table: path.display().to_string(), source })?;
    Ok(path.to_owned())
}
