//! `--write`: the last value of each figure, with its commit and date, in `tests/FIGURES.md`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use overcom_std::Clock;

use crate::Lines;
use crate::figure::Measured;

const HEAD: &str = "# Figures\n\nWritten by `cargo run --release -q -p overcom-tests --bin figures -- --write`; never by hand.\n\n\
| figure | value | unit | target | control | pass | size | commit | date | detail | seeds |\n|---|---|---|---|---|---|---|---|---|---|---|\n";

/// Puts new rows in the place of old ones of the same figures.
pub(crate) fn update(lines: &Lines<'_>) -> Result<(), String> {
    let path = folder().join("FIGURES.md");
    let mut rows: BTreeMap<String, String> = match std::fs::read_to_string(&path) {
        Ok(text) => text.lines().filter_map(|line| Some((name_of(line)?, line.to_string()))).collect(),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(why) => return Err(format!("{}: {why}", path.display())),
    };
    let (commit, date) = (commit()?, date(Clock::start().wall().as_millis() / 86_400_000));
    for (figure, measured) in lines {
        rows.insert(figure.name.into(), row(figure.name, measured, &commit, &date));
    }
    let body: String = rows.values().flat_map(|row| [row.as_str(), "\n"]).collect();
    std::fs::write(&path, format!("{HEAD}{body}")).map_err(|why| format!("{}: {why}", path.display()))
}

/// The folder of this package: the one that cargo runs it from, which need not be the one that it was built in.
fn folder() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// The figure that a row of the table is about.
fn name_of(line: &str) -> Option<String> {
    let name = line.strip_prefix("| `")?.split('`').next()?;
    Some(name.into())
}

fn row(name: &str, measured: &Measured, commit: &str, date: &str) -> String {
    let Measured { value, unit, target, control, size, seeds, detail } = measured;
    let pass = if measured.passes() { "yes" } else { "**no**" };
    format!("| `{name}` | {value:.3} | {unit} | ≤ {target} | {control:.3} | {pass} | {size} | {commit} | {date} | {detail} | {seeds} |")
}

/// The commit that was measured; `+` behind it when anything else than the table differs from it.
fn commit() -> Result<String, String> {
    let head = git(&["rev-parse", "--short=10", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)tests/FIGURES.md"])?;
    Ok(if changed.is_empty() { head } else { head + "+" })
}

fn git(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git").args(arguments).output().map_err(|why| format!("git: {why}"))?;
    if !output.status.success() {
        return Err("git does not say which commit this is".into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}

/// A day since 1970 as people write it. Years have 365.2425 days; eras of 400 years begin on 1 March.
fn date(days: u64) -> String {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        for (days, expected) in [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_778, "2026-11-21")] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn a_row_is_found_again_by_its_figure() {
        let measured = Measured { value: 1.0, unit: "s", target: 0.0, control: 2.0, size: 3, seeds: 1, detail: "x".into() };
        assert_eq!(name_of(&row("renewal", &measured, "abc", "2026-11-21")).as_deref(), Some("renewal"));
        assert_eq!(name_of("| figure | value |"), None);
    }

    #[test]
    fn a_row_has_a_cell_for_each_column_and_says_how_many_seeds_were_tried() {
        let measured = Measured { value: 1.0, unit: "s", target: 0.0, control: 2.0, size: 3, seeds: 1_000, detail: "x".into() };
        let row = row("renewal", &measured, "abc", "2026-11-21");
        let columns = HEAD.lines().find(|line| line.starts_with("| figure")).expect("a head");
        assert_eq!(row.split(" | ").count(), columns.split(" | ").count());
        let at = columns.split(" | ").position(|column| column.trim_end_matches(" |") == "seeds").expect("a column");
        assert_eq!(row.split(" | ").nth(at), Some("1000 |"));
    }
}
