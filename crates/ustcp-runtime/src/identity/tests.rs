use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("ustcp-identity-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("kept/secret")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_second_process_has_what_the_first_made() {
    let scratch = Scratch::new("second");
    let file = SecretFile::Path(scratch.file());
    let first = of(&file).unwrap();
    assert_eq!(of(&file), Some(first));
    assert_ne!(first.secret, Secret([0; 32]));
    let about = fs::metadata(scratch.file()).unwrap();
    assert_eq!((about.mode() & 0o7777, about.len()), (0o600, LEN as u64));
    assert_eq!(
        fs::read_dir(scratch.0.join("kept")).unwrap().count(),
        1,
        "no drafts are left"
    );
    assert_eq!(of(&SecretFile::None), None);
}

#[test]
fn many_at_once_agree() {
    let scratch = Scratch::new("many");
    let file = SecretFile::Path(scratch.file());
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let file = file.clone();
            std::thread::spawn(move || of(&file).unwrap())
        })
        .collect();
    let all: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(all.iter().all(|one| *one == all[0]));
    assert_eq!(fs::read_dir(scratch.0.join("kept")).unwrap().count(), 1);
}

#[test]
fn after_a_new_start_of_the_machine_the_clock_is_further_ahead() {
    let scratch = Scratch::new("boot");
    let file = SecretFile::Path(scratch.file());
    let first = of(&file).unwrap();
    let mut record = read(&scratch.file()).unwrap();
    record.boot = [b'x'; BOOT];
    for ahead in [5, u64::MAX / 2] {
        record.ahead = ahead;
        fs::write(scratch.file(), record.to_bytes()).unwrap();
        let next = of(&file).unwrap();
        assert_eq!(next.secret, first.secret);
        assert!(next.ahead >= Duration::from_nanos(ahead) && next.ahead >= first.ahead - Duration::from_secs(3600));
        assert_eq!(of(&file), Some(next), "written down");
    }
}

#[test]
fn what_others_could_have_touched_is_not_believed() {
    let scratch = Scratch::new("touched");
    let file = SecretFile::Path(scratch.file());
    of(&file).unwrap();
    let proper = fs::read(scratch.file()).unwrap();
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(scratch.file(), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(of(&file), None, "{mode:o}");
    }
    fs::set_permissions(scratch.file(), fs::Permissions::from_mode(0o600)).unwrap();
    for bytes in [&proper[1..], &[&proper[..], b"x"].concat(), b""] {
        fs::write(scratch.file(), bytes).unwrap();
        assert_eq!(of(&file), None);
    }
    let elsewhere = scratch.0.join("elsewhere");
    fs::write(&elsewhere, &proper).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(scratch.file()).unwrap();
    symlink(&elsewhere, scratch.file()).unwrap();
    assert_eq!(of(&file), None);
    fs::remove_file(scratch.file()).unwrap();
    fs::create_dir(scratch.file()).unwrap();
    assert_eq!(of(&file), None);
}

#[test]
fn where_nothing_can_be_written_nothing_is_kept() {
    assert_eq!(of(&SecretFile::Path("/proc/no/such/place".into())), None);
}
