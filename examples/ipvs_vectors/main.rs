//! Plays recordings of the real Linux IPVS through the director, with virtual time: `cargo run --release --example
//! ipvs_vectors -- PATH...` (files, or folders with what is below them). A line for each vector: that it passes, or the
//! first difference; the last line is `N passed, M failed, K skipped`.

mod player;

use player::Outcome;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut files = Vec::new();
    for path in std::env::args_os().skip(1) {
        if let Err(error) = collect(Path::new(&path), &mut files) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(2);
        }
    }
    if files.is_empty() {
        eprintln!("usage: ipvs_vectors PATH... (vectors, or folders of vectors)");
        return ExitCode::from(2);
    }
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for file in &files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match player::play_file(file) {
            Outcome::Passed(notes) => {
                passed += 1;
                println!("pass {name}");
                notes.iter().for_each(|note| println!("     note: {note}"));
            }
            Outcome::Failed(difference) => {
                failed += 1;
                println!("FAIL {name}: {difference}");
            }
            Outcome::Skipped(reason) => {
                skipped += 1;
                println!("skip {name}: {reason}");
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Files in alphabetical order; of folders those that are JSON.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        std::fs::metadata(path)?;
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|extension| extension == "json") {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
