//! Rows of a table with one column for each of those that are compared.

use std::fmt::Write;

/// A table in the making.
pub(crate) struct Columns<'a, T> {
    compared: &'a [T],
    text: String,
}

impl<'a, T> Columns<'a, T> {
    /// A table of `compared` below `text`.
    pub(crate) fn below(text: String, compared: &'a [T]) -> Self {
        Self { compared, text }
    }

    /// Adds a row: what it is, and for each what `cell` makes of it.
    pub(crate) fn row(&mut self, what: &str, cell: impl Fn(&T) -> String) {
        let _ = write!(self.text, "{what:<28}");
        for one in self.compared {
            let _ = write!(self.text, "{:>16}", cell(one));
        }
        self.text.push('\n');
    }

    /// Adds a line that begins a part of the table.
    pub(crate) fn heading(&mut self, what: &str) {
        let _ = writeln!(self.text, "{what}");
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let mut columns = Columns::below("head\n".to_owned(), &[1, 20]);
        columns.heading("part");
        columns.row("  row", |number| format!("{number} s"));
        let row = format!("  row{}1 s{}20 s\n", " ".repeat(36), " ".repeat(12));
        assert_eq!(columns.into_text(), format!("head\npart\n{row}"));
    }
}
