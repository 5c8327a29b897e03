//! `--nat`: this host forwards the stack's packets and masquerades them, and takes both back.
//!
//! What was changed stands in the engine's directory, in the file `nat`, which who takes it back holds locked: whoever finds
//! it there unlocked takes it back too, after a crash.

mod guard;
mod rules;

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ustcp_client::place::Place;
use ustcp_proto::Cidr;
use ustcp_runtime::Settings;

use crate::{Failure, say};
use rules::Rules;

pub(crate) use guard::serve;

/// Whether IPv4 packets are forwarded, here and for all devices.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const FILE: &str = "nat";

/// What was changed.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    rules: Rules,
    /// Forwarding was off, and nobody else wants it on.
    forwarding_was_off: bool,
}

/// Sets it up. An engine's own device must be told before: the rules name it. As long as what is returned is open, nobody
/// else takes it back.
fn set_up(place: &Place, settings: &Settings) -> Result<File, Failure> {
    let networks: Vec<_> = settings
        .addresses
        .iter()
        .filter(|cidr| cidr.address.is_ipv4())
        .collect();
    if networks.is_empty() {
        return Err(Failure::new("--nat is for IPv4, and the stack has no address of it"));
    }
    let networks = networks.iter().map(ToString::to_string).collect();
    let record = Record {
        rules: Rules::new(&settings.tun, networks)?,
        forwarding_was_off: forwarding()?.trim() == "0",
    };
    // First the note, then the deed: what is killed between the two leaves too much to take back and not too little.
    let text = serde_json::to_string(&record).map_err(io::Error::from)?;
    let mut options = File::options();
    let mut note = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(file(place))?;
    note.lock()?;
    note.write_all(text.as_bytes())?;
    let done = fs::write(FORWARDING, "1").map_err(|error| Failure::new(format!("{FORWARDING}: {error}")));
    done.and_then(|()| record.rules.add()).inspect_err(|_| {
        // The first failure is the one to tell; and where no rules could be added, there may be none to remove.
        let _ = take_back(place, &note);
        let _ = fs::remove_file(file(place));
    })?;
    Ok(note)
}

/// Takes back what the note of this place says, which the caller holds locked. Where the rules cannot be removed the note
/// stays for another try, and says so much less. Whether there was anything.
fn take_back(place: &Place, note: &File) -> Result<bool, Failure> {
    let Some(before) = record(note)? else { return Ok(false) };
    let removed = before.rules.remove();
    if removed.is_ok() {
        fs::remove_file(file(place))?;
    }
    // Until then another may have handed over to it.
    let last = record(note)?.unwrap_or(before);
    if last.forwarding_was_off && !hand_over(place)? {
        fs::write(FORWARDING, "0")?;
    }
    if removed.is_err() {
        let forwarding_was_off = false;
        write_over(
            note,
            &Record {
                forwarding_was_off,
                ..last
            },
        )?;
    }
    removed.map(|()| true)
}

/// Another engine of this user that wants forwarding, and is there, takes over that it was off before all of them.
fn hand_over(place: &Place) -> io::Result<bool> {
    let siblings = place
        .directory()
        .parent()
        .map(fs::read_dir)
        .transpose()?
        .into_iter()
        .flatten();
    let own = file(place);
    let notes = siblings.flatten().map(|entry| entry.path().join(FILE));
    for path in notes.filter(|path| *path != own && is_held(path)) {
        let Ok(note) = opened(&path) else { continue };
        let Ok(Some(record)) = record(&note) else { continue };
        let forwarding_was_off = true;
        write_over(
            &note,
            &Record {
                forwarding_was_off,
                ..record
            },
        )?;
        if is_at(&note, &path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn opened(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

/// Over what the note says, and not less of it: who holds its lock may read at any time.
fn write_over(mut note: &File, record: &Record) -> io::Result<()> {
    let len = usize::try_from(note.metadata()?.len()).unwrap_or(0);
    let text = serde_json::to_string(record)?;
    note.rewind()?;
    note.write_all(format!("{text:len$}").as_bytes())
}

fn forwarding() -> Result<String, Failure> {
    fs::read_to_string(FORWARDING).map_err(|error| Failure::new(format!("{FORWARDING}: {error}")))
}

/// Whether an engine's packets are forwarded: somebody holds the note.
pub(crate) fn is_set_up(place: &Place) -> bool {
    is_held(&file(place))
}

fn is_held(note: &Path) -> bool {
    File::open(note).is_ok_and(|note| matches!(note.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// What is reached by a stack with these settings whose packets are forwarded: everything.
fn everything(settings: &Settings) -> Vec<Cidr> {
    let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let forwarded = settings.addresses.iter().any(|cidr| cidr.address.is_ipv4());
    forwarded.then_some(Cidr { address, prefix: 0 }).into_iter().collect()
}

fn file(place: &Place) -> PathBuf {
    place.file(FILE)
}

/// `None`: who made it was killed before it wrote, and so before the deed.
fn record(mut note: &File) -> io::Result<Option<Record>> {
    let mut text = String::new();
    note.rewind()?;
    note.read_to_string(&mut text)?;
    match text.as_str() {
        "" => Ok(None),
        text => Ok(Some(serde_json::from_str(text)?)),
    }
}

/// Whether that file is the one of this path, still.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Before an engine's start: what one before it has left, which was killed and so was who would have taken it back.
pub(crate) fn take_back_remains(place: &Place) {
    let Ok(note) = opened(&file(place)) else { return };
    if note.try_lock().is_err() {
        return; // somebody is at it
    }
    match take_back_held(place, &note) {
        Ok(false) => {}
        Ok(true) => say("the forwarding that an engine before has left behind is taken back"),
        Err(failure) => say(format_args!(
            "the forwarding that an engine before has left behind is not taken back: {failure}"
        )),
    }
}

/// After an engine's end: waits for whoever takes it back, and does so itself where that was killed. Whether there was
/// anything.
pub(crate) fn ensure_taken_back(place: &Place) -> Result<bool, Failure> {
    let note = match opened(&file(place)) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    note.lock()?;
    take_back_held(place, &note)?;
    Ok(true)
}

/// Who held the note before us may have taken all back, and a note that is there now is that of the next engine.
fn take_back_held(place: &Place, note: &File) -> Result<bool, Failure> {
    match is_at(note, &file(place))? {
        true => take_back(place, note),
        false => Ok(false),
    }
}
