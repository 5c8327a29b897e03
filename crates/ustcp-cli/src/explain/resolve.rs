//! From the word on the command line to the file that the kernel executes: PATH, then interpreters of scripts.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Scripts of scripts that the kernel follows (`BINPRM_MAX_RECURSION` of old), env(1) not counted.
const LEVELS: usize = 10;
/// Bytes of the first line that the kernel looks at.
const LINE: usize = 256;

/// How a program is come by.
pub(super) struct Trail {
    pub(super) scripts: Vec<Step>,
    /// The file that is executed, or why there is none.
    pub(super) end: Result<PathBuf, String>,
}

/// A script and what runs it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) script: PathBuf,
    pub(super) interpreter: PathBuf,
}

/// Follows `program` to its end.
pub(super) fn follow(program: &OsStr) -> Trail {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    follow_in(program, &path)
}

fn follow_in(program: &OsStr, path: &OsStr) -> Trail {
    let mut scripts = Vec::new();
    let mut next = find(program, path);
    loop {
        let file = match next {
            Ok(file) => file,
            Err(why) => return Trail { scripts, end: Err(why) },
        };
        let interpreter = match interpreter(&file, path) {
            Ok(None) => return Trail { scripts, end: Ok(file) },
            Ok(Some(interpreter)) => interpreter,
            Err(why) => return Trail { scripts, end: Err(why) },
        };
        if scripts.len() == LEVELS {
            let why = format!("{}: too many scripts of scripts", file.display());
            return Trail { scripts, end: Err(why) };
        }
        scripts.push(Step {
            script: file,
            interpreter: interpreter.clone(),
        });
        next = Ok(interpreter);
    }
}

/// As execvp(3): in PATH, unless there is a slash in it.
fn find(program: &OsStr, path: &OsStr) -> Result<PathBuf, String> {
    if program.as_bytes().contains(&b'/') {
        let file = PathBuf::from(program);
        return match file.exists() {
            true => Ok(file),
            false => Err(format!("{} is not there", file.display())),
        };
    }
    let places = std::env::split_paths(path).map(|directory| directory.join(program));
    let mut executable = places.filter(|file| is_executable(file));
    executable
        .next()
        .ok_or_else(|| format!("{} is not found in PATH", program.display()))
}

fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// What runs a script; `None` for what is none.
fn interpreter(file: &Path, path: &OsStr) -> Result<Option<PathBuf>, String> {
    let head = head(file).map_err(|error| format!("{}: {error}", file.display()))?;
    if head.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let Some(line) = head.strip_prefix(b"#!") else {
        // execvp(3): what the kernel cannot execute is given to the shell.
        return Ok(Some("/bin/sh".into()));
    };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty());
    let Some(interpreter) = words.next() else {
        return Err(format!("{}: no interpreter is named behind #!", file.display()));
    };
    let interpreter = PathBuf::from(OsString::from_vec(interpreter.to_vec()));
    match of_env(&interpreter, words) {
        Some(program) => find(program, path).map(Some),
        None if interpreter.exists() => Ok(Some(interpreter)),
        None => Err(format!(
            "{}: its interpreter {} is not there",
            file.display(),
            interpreter.display()
        )),
    }
}

/// What env(1) looks for: behind its options and settings of variables.
fn of_env<'a>(interpreter: &Path, words: impl Iterator<Item = &'a [u8]>) -> Option<&'a OsStr> {
    if interpreter.file_name() != Some(OsStr::new("env")) {
        return None;
    }
    let mut programs = words.filter(|word| !word.starts_with(b"-") && !word.contains(&b'='));
    programs.next().map(OsStr::from_bytes)
}

fn head(file: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(file)?.take(LINE as u64).read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn scripts_are_followed_through_env_to_what_is_executed() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path("");
        let [one, two, three, real] = ["one", "two", "three", "real"].map(|name| scratch.path(name));
        write(&real, "\x7fELF...");
        write(&three, "#!/usr/bin/env -S A=b real -x\n");
        write(&two, "#! /usr/bin/env\tthree\nrest");
        write(&one, &format!("#!{} argument\n", two.display()));
        let trail = follow_in(OsStr::new("one"), path.as_os_str());
        assert_eq!(trail.end, Ok(real.clone()));
        let steps: Vec<_> = trail
            .scripts
            .iter()
            .map(|step| (&step.script, &step.interpreter))
            .collect();
        assert_eq!(steps, [(&one, &two), (&two, &three), (&three, &real)]);
    }

    #[test]
    fn where_the_trail_ends_is_said() {
        let scratch = Scratch::new().unwrap();
        let end = |program: &OsStr| follow_in(program, scratch.path("").as_os_str()).end;
        assert_eq!(
            end(OsStr::new("nowhere")),
            Err("nowhere is not found in PATH".to_owned())
        );
        assert_eq!(end(OsStr::new("/nowhere")), Err("/nowhere is not there".to_owned()));
        let script = scratch.path("script");
        write(&script, "#!/nowhere\n");
        assert!(
            end(script.as_os_str())
                .unwrap_err()
                .ends_with("its interpreter /nowhere is not there")
        );
        write(&script, "#! \n");
        assert!(end(script.as_os_str()).unwrap_err().contains("no interpreter"));
        write(&script, &format!("#!{}\n", script.display()));
        assert!(end(script.as_os_str()).unwrap_err().contains("too many scripts"));
        write(&script, "echo\n");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(end(OsStr::new("script")), Err("script is not found in PATH".to_owned()));
    }
}
