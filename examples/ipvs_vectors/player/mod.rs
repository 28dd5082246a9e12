//! Plays a vector step by step and stops at the first difference.

mod checksums;
mod decode;
mod frames;
mod listings;
mod skip;
mod sysctl;
mod tables;
mod vector;
mod world;

use std::path::Path;
use tables::Tables;
use vector::{Record, Step, Vector};
use world::World;

/// What came of a vector.
pub enum Outcome {
    /// With what could not be said to the director, and did not matter.
    Passed(Vec<String>),
    /// The first difference, for a person.
    Failed(String),
    Skipped(&'static str),
}

/// Plays the vector in a file.
pub fn play_file(path: &Path) -> Outcome {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    if let Some(reason) = skip::reason(&name) {
        return Outcome::Skipped(reason);
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Outcome::Failed(format!("cannot be read: {error}")),
    };
    match serde_json::from_str::<Vector>(&text) {
        Ok(vector) => match Player::play(&vector) {
            Ok(notes) => Outcome::Passed(notes),
            Err(difference) => Outcome::Failed(difference),
        },
        Err(error) => Outcome::Failed(format!("is not a vector: {error}")),
    }
}

struct Player<'a> {
    vector: &'a Vector,
    world: World,
    tables: Tables,
    notes: Vec<String>,
}

impl<'a> Player<'a> {
    fn play(vector: &'a Vector) -> Result<Vec<String>, String> {
        let world = World::new(vector)?;
        let mut player = Self { vector, world, tables: Tables::default(), notes: Vec::new() };
        player.notes.extend(player.world.take_notes());
        player.set_up()?;
        for (index, step) in vector.steps.iter().enumerate() {
            player.step(index, step).map_err(|difference| player.place(step, &difference))?;
        }
        player.finish()?;
        Ok(player.notes)
    }

    fn place(&self, step: &Step, difference: &str) -> String {
        let note = step.note.as_deref().unwrap_or("");
        let what = step.cmd.as_deref().unwrap_or(&step.op);
        let mut text = format!("step {} at {} s ({what}) {note}\n{difference}", step.n, step.t);
        for note in &self.notes {
            text += &format!("\n     note: {note}");
        }
        text.replace('\n', "\n     ")
    }

    fn set_up(&mut self) -> Result<(), String> {
        for record in &self.vector.setup {
            self.command(record)?;
        }
        self.tables.is_recorded =
            self.vector.steps.iter().any(|step| step.tables.says_something()) || self.vector.initial.says_something();
        self.tables.expect(0.0, &self.vector.initial);
        Ok(())
    }

    fn step(&mut self, index: usize, step: &Step) -> Result<(), String> {
        let late = match index.checked_sub(1) {
            Some(previous) => &self.vector.steps[previous].late[..],
            None => &[],
        };
        let time = step.actual_time();
        let sent = self.world.advance(time);
        frames::compare(&self.world.ports, late, &sent).map_err(|text| format!("before it: {text}"))?;
        match step.op.as_str() {
            "frame" => self.frame(step)?,
            "ctl" => self.command(&step.record())?,
            "sysctl" => self.sysctl(step)?,
            "sleep" | "snap" => {}
            other => return Err(format!("operation {other} is not known")),
        }
        self.tables.expect(time, &step.tables);
        self.tables.foresee(self.vector.steps.get(index + 1).map(|next| &next.tables));
        self.tables.compare(time, step.jitter.is_some(), &self.world)?;
        if let Some(texts) = &step.snap {
            self.tables.resume();
            listings::compare(texts, &self.world, false)?;
        }
        Ok(())
    }

    fn frame(&mut self, step: &Step) -> Result<(), String> {
        let bytes = vector::bytes(step.hex.as_deref().unwrap_or(""))?;
        let sent = self.world.receive(step.port.as_deref().unwrap_or(""), &bytes)?;
        let wrong_server = match &step.rs {
            Some(server) if step.by.is_none() => tables::compare_server(server, &bytes, &self.world).err(),
            _ => None,
        };
        let input = || format!("input  {}", decode::frame(&bytes));
        match (wrong_server, frames::compare(&self.world.ports, &step.out, &sent)) {
            (None, Ok(())) => Ok(()),
            (Some(server), _) => Err(format!("{}\n{server}", input())),
            (None, Err(frames)) => Err(format!("{}\n{frames}{}", input(), self.world.reason())),
        }
    }

    fn command(&mut self, record: &Record) -> Result<(), String> {
        // these make the marks of `fwmark_rules`, and bring marked packets to the host
        if record.cmd.starts_with("tc ") || record.cmd.starts_with("ip r") {
            return Ok(());
        }
        if !record.cmd.starts_with("ipvsadm ") {
            self.notes.push(format!("not carried out: {}", record.cmd));
            return Ok(());
        }
        self.tables.may_be_shorter |= record.cmd.starts_with("ipvsadm --set");
        let (code, out, err) = self.world.ipvsadm(&record.cmd);
        let recorded = (record.rc.unwrap_or(0), record.stdout.as_str(), record.stderr.as_str());
        if recorded == (i32::from(code), out.as_str(), err.as_str()) {
            return Ok(());
        }
        let (rc, stdout, stderr) = recorded;
        Err(format!(
            "{}\nexpected exit code {rc} {stdout:?} {stderr:?}\ncame     exit code {code} {out:?} {err:?}",
            record.cmd
        ))
    }

    fn sysctl(&mut self, step: &Step) -> Result<(), String> {
        let key = step.key.as_deref().unwrap_or("");
        self.world.sysctl(key, &step.value)?;
        self.notes.extend(self.world.take_notes());
        Ok(())
    }

    /// How long a sleep at the end was is not recorded, nor how long listings waited for the kernel's estimators; what they
    /// show must have come about, all of it at one moment, some time in it.
    fn finish(&mut self) -> Result<(), String> {
        let at_end = |text: String| format!("at the end\n{text}").replace('\n', "\n     ");
        let mut compared = listings::compare(&self.vector.last, &self.world, true).map_err(at_end);
        let wait = self
            .vector
            .steps
            .last()
            .filter(|step| matches!(step.op.as_str(), "sleep" | "snap"))
            .map(|step| step.actual_time());
        for time in wait.into_iter().flat_map(|from| (1..=listings::END_S).map(move |s| from + s as f64)) {
            if compared.is_err() {
                self.world.advance(time);
                compared = listings::compare(&self.vector.last, &self.world, true).map_err(at_end);
            }
        }
        compared
    }
}
