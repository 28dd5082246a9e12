//! Aligned tables for people, arrays for programs.

use serde::Serialize;
use std::io::{self, Write};

/// Text stands left in its column, numbers right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Prints rows below their headings, each column as wide as its widest cell.
pub fn table(out: &mut dyn Write, columns: &[(&str, Align)], rows: &[Vec<String>]) -> io::Result<()> {
    let cell_width = |index: usize| rows.iter().map(move |row| row[index].chars().count()).max();
    let width = |(index, (heading, _)): (usize, &(&str, Align))| heading.len().max(cell_width(index).unwrap_or(0));
    let widths: Vec<usize> = columns.iter().enumerate().map(width).collect();
    let heading: Vec<String> = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    std::iter::once(&heading).chain(rows).try_for_each(|row| writeln!(out, "{}", line(columns, &widths, row)))
}

fn line(columns: &[(&str, Align)], widths: &[usize], row: &[String]) -> String {
    let cell = |((cell, &width), (_, align)): ((&String, &usize), &(&str, Align))| match align {
        Align::Left => format!("{cell:<width$}"),
        Align::Right => format!("{cell:>width$}"),
    };
    let cells: Vec<String> = row.iter().zip(widths).zip(columns).map(cell).collect();
    cells.join("  ").trim_end().to_owned()
}

/// A JSON array, one element a line, that can grow while it is printed.
pub struct Array<'a> {
    out: &'a mut dyn Write,
    is_empty: bool,
}

impl<'a> Array<'a> {
    pub fn begin(out: &'a mut dyn Write) -> io::Result<Self> {
        write!(out, "[")?;
        Ok(Self { out, is_empty: true })
    }

    pub fn push(&mut self, row: &impl Serialize) -> io::Result<()> {
        writeln!(self.out, "{}", if self.is_empty { "" } else { "," })?;
        self.is_empty = false;
        Ok(serde_json::to_writer(&mut *self.out, row)?)
    }

    pub fn end(self) -> io::Result<()> {
        writeln!(self.out, "{}]", if self.is_empty { "" } else { "\n" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut out = Vec::new();
        let columns = [("REASON", Align::Left), ("N", Align::Right), ("WHY", Align::Left)];
        let rows = [["a", "1000", "x"], ["truncated", "7", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        table(&mut out, &columns, &rows).unwrap();
        let expected = "REASON        N  WHY\na          1000  x\ntruncated     7\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn an_array_is_json_however_many_rows_it_has() {
        for length in 0..3 {
            let mut out = Vec::new();
            let mut array = Array::begin(&mut out).unwrap();
            (0..length).try_for_each(|i| array.push(&i)).unwrap();
            array.end().unwrap();
            let parsed: Vec<usize> = serde_json::from_slice(&out).unwrap();
            assert_eq!(parsed, (0..length).collect::<Vec<_>>());
        }
    }
}
