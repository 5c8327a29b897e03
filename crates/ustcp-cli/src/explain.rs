//! `--explain`: what of a program will be on ustcp, and what was.

mod elf;
mod resolve;
mod rights;
mod table;

use std::ffi::OsStr;
use std::path::Path;

use elf::Elf;
use resolve::Step;

pub(crate) use table::{write as write_table, write_escaped};

/// What is known before a program starts.
pub(crate) struct Explanation {
    /// One line for each file on the way to the program, the last with the verdict.
    pub(crate) lines: Vec<String>,
    /// Why nothing of it can be captured; `None` where something can.
    pub(crate) obstacle: Option<String>,
}

/// Explains `program`, found as a shell finds it.
pub(crate) fn explain(program: &OsStr) -> Explanation {
    let trail = resolve::follow(program);
    let mut lines: Vec<String> = trail.scripts.iter().map(script).collect();
    let obstacle = match &trail.end {
        Ok(path) => {
            let obstacle = obstacle(path);
            lines.push(verdict(path, obstacle.as_deref()));
            obstacle
        }
        Err(why) => {
            lines.push(why.clone());
            Some(why.clone())
        }
    };
    Explanation { lines, obstacle }
}

fn script(Step { script, interpreter }: &Step) -> String {
    format!("{} is a script of {}", script.display(), interpreter.display())
}

fn verdict(path: &Path, obstacle: Option<&str>) -> String {
    match obstacle {
        None => format!(
            "{} is dynamically linked to glibc: its TCP sockets, and those of its children that are, go to ustcp; UDP, UNIX \
             and raw sockets stay the kernel's",
            path.display()
        ),
        Some(why) => format!("{} stays on the kernel's TCP: {why}", path.display()),
    }
}

/// Why the library does not get into a program, or is of no use there.
fn obstacle(path: &Path) -> Option<String> {
    let elf = match Elf::read(path) {
        Ok(elf) => elf,
        Err(error) => return Some(error.to_string()),
    };
    elf.obstacle().or_else(|| rights::borrowed(path))
}
