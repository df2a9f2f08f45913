//! Tables for people.

use comfy_table::{CellAlignment, Table, presets};

/// A table with a line under its header; columns from `numbers_from` on are aligned right.
pub(crate) fn table(header: &[&str], numbers_from: usize, rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(numbers_from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    // Trailing blanks differ between terminals and say nothing.
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A number of bytes in the largest binary unit that leaves a whole part.
pub(crate) fn bytes(count: usize) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let mut value = count as f64;
    let mut unit = 0;
    while 1024.0 <= value && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A time in the unit that suits it.
pub(crate) fn time(ns: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
    let value = ns as f64;
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{:.1} µs", value / 1e3),
        _ => format!("{:.1} ms", value / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, table, time};

    #[test]
    fn numbers_are_aligned_right() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["bb".to_owned(), "22".to_owned()]];
        let text = table(&["name", "count"], 1, &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].len(), lines[1].len());
        assert!(lines.iter().all(|line| !line.ends_with(' ')), "{text}");
    }

    #[test]
    fn units() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
        assert_eq!(time(950), "950 ns");
        assert_eq!(time(12_340), "12.3 µs");
        assert_eq!(time(12_340_000), "12.3 ms");
    }
}
