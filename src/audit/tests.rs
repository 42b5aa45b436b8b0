use std::io::Read;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;
use std::time::Duration;

use super::*;
use crate::base::{CountedRandom, Random};
use crate::seal::fake::keyring;

/// A file of a test, removed with it.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str) -> TestFile {
        let path = std::env::temp_dir().join(format!("mcp-audit-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path); // left by a run whose process had the same id
        TestFile(path)
    }

    fn lines(&self) -> Vec<Value> {
        read(&self.0)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The lines of a file, each of which must be complete.
fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn opened(path: &Path) -> AuditLog {
    AuditLog::new(path, open_file(path, OpenOptions::new().create(true)).unwrap())
}

fn count(number: u64) -> [Field<'static>; 1] {
    [Field::Count(number)]
}

#[test]
fn a_line_has_its_time_to_the_millisecond_and_its_fields() {
    let file = TestFile::new("line");
    let audit = opened(&file.0);
    assert!(audit.append("login.admitted", &[Field::Login("octo\ncat"), Field::Target(&"x".repeat(300))]));
    let [line] = &file.lines()[..] else { panic!("{:?}", file.lines()) };
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == "2026-11-23T03:44:04.123Z".len() && time.ends_with('Z'), "{time}");
    assert_eq!((&line["event"], &line["login"]), (&"login.admitted".into(), &"octo\ncat".into()));
    assert_eq!(line["target"], "x".repeat(300));
}

/// A23: only the owner can read a new file; the mode of an existing one is kept.
#[test]
fn a_new_file_is_for_its_owner_and_an_old_one_is_appended_to() {
    let file = TestFile::new("mode");
    let mode = || std::fs::metadata(&file.0).unwrap().permissions().mode() & 0o777;
    opened(&file.0).append("a", &[]);
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(&file.0, PermissionsExt::from_mode(0o640)).unwrap();
    opened(&file.0).append("b", &[]);
    assert_eq!((mode(), file.lines().len()), (0o640, 2));
}

#[test]
fn a_directory_is_refused_and_a_check_does_not_create_a_missing_file() {
    let directory = std::env::temp_dir();
    assert!(existing(&directory).unwrap_err().to_string().contains("MCP_AUDIT_LOG"));
    let file = TestFile::new("missing");
    assert!(existing(&file.0).unwrap().is_none() && !file.0.exists());
    assert!(existing(Path::new("/dev/full")).unwrap().is_some());
}

/// In a directory that the server can write to, a command follows no link to the log. A start does: the link may be the operator's.
#[test]
fn a_command_follows_no_link_in_a_directory_that_others_can_write_to() {
    let (secret, link) = (TestFile::new("secret"), TestFile::new("link"));
    std::fs::write(&secret.0, "secret\n").unwrap();
    std::os::unix::fs::symlink(&secret.0, &link.0).unwrap();
    assert!(open_existing(&link.0).unwrap_err().to_string().contains("symbolic links"));
    assert!(existing(&link.0).unwrap().is_some());
    std::fs::remove_file(&link.0).unwrap();
    std::fs::hard_link(&secret.0, &link.0).unwrap();
    assert!(open_existing(&link.0).unwrap_err().to_string().contains("it is a link"));
}

/// A23: the next line does not continue a line that a power failure has cut.
#[test]
fn a_truncated_last_line_is_not_extended() {
    let file = TestFile::new("cut");
    std::fs::write(&file.0, "{\"time\":\"2026").unwrap();
    opened(&file.0).append("next", &[]);
    let text = std::fs::read_to_string(&file.0).unwrap();
    let (cut, next) = text.split_once('\n').unwrap();
    assert_eq!(cut, "{\"time\":\"2026");
    assert_eq!(serde_json::from_str::<Value>(next).unwrap()["event"], "next");
}

/// A23: threads write while the file is renamed and reopened repeatedly: each line is complete and written once.
#[test]
fn rotation_neither_loses_nor_repeats_a_line() {
    const THREADS: u64 = 4;
    const EACH: u64 = 500;
    let file = TestFile::new("rotated");
    let audit = opened(&file.0);
    let start = Barrier::new(usize::try_from(THREADS).unwrap() + 1);
    let mut old = Vec::new();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (audit, start) = (&audit, &start);
            scope.spawn(move || {
                start.wait();
                (0..EACH).for_each(|line| assert!(audit.append("line", &count(thread * EACH + line))));
            });
        }
        start.wait();
        for rotation in 0..20 {
            let to = TestFile::new(&format!("rotated.{rotation}"));
            std::fs::rename(&file.0, &to.0).unwrap();
            audit.reopen();
            old.push(to);
        }
    });
    let lines = old.iter().flat_map(TestFile::lines).chain(file.lines());
    let mut numbers: Vec<u64> = lines.map(|line| line["count"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..THREADS * EACH).collect::<Vec<_>>());
}

#[test]
fn a_file_that_cannot_be_opened_anew_stays_in_use() {
    let (file, renamed) = (TestFile::new("stays"), TestFile::new("stays.renamed"));
    let audit = opened(&file.0);
    std::fs::rename(&file.0, &renamed.0).unwrap();
    std::fs::create_dir(&file.0).unwrap();
    audit.reopen();
    assert!(audit.append("line", &[]));
    std::fs::remove_dir(&file.0).unwrap();
}

/// A24: what is written to a file that was removed, perhaps to make room on a full disk, is as lost as what a full disk refuses.
#[test]
fn a_removed_file_takes_no_lines_until_it_is_opened_anew() {
    let file = TestFile::new("removed");
    let audit = opened(&file.0);
    assert!(audit.append("line", &[]));
    std::fs::remove_file(&file.0).unwrap();
    assert!(!audit.append("line", &[]) && !audit.append("line", &[]));
    audit.reopen();
    assert!(audit.append("line", &[]));
    let lines = file.lines();
    assert_eq!((lines.len(), &lines[0]["event"], &lines[0]["count"]), (2, &"audit.lost".into(), &2.into()));
}

/// A24: lines that a full disk refuses are counted.
#[test]
fn a_full_disk_is_told_to_the_caller_and_counted() {
    let audit = opened(Path::new("/dev/full"));
    assert!(!audit.append("line", &[]) && !audit.append("line", &[]));
    let counts = [&audit.written, &audit.failed].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counts, [0, 2]);
}

/// A disk with room for a number of bytes.
#[derive(Default)]
struct Disk {
    room: usize,
    text: Vec<u8>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        if taken == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= taken;
        self.text.extend(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that never has to be waited for.
struct Ready<W> {
    writer: W,
    file: File,
}

impl<W> Ready<W> {
    fn new(writer: W) -> Ready<W> {
        Ready { writer, file: File::open("/dev/null").unwrap() }
    }
}

impl<W: Write> Write for Ready<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W> AsFd for Ready<W> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A24: a full pipe takes a second once; then lines fail at once until somebody reads, and no line is cut.
#[test]
fn a_stalled_reader_loses_lines_and_blocks_nobody() {
    let (mut reader, writer) = io::pipe().unwrap();
    let out = Appender { to: File::from(OwnedFd::from(writer)), rest: Vec::new(), lost: 0 };
    let audit = AuditLog::new(Path::new("-"), out);
    let start = clock::instant();
    let target = "x".repeat(800);
    let appended = (0..200).filter(|_| audit.append("line", &[Field::Target(&target)])).count();
    let patience = Duration::from_millis(limits::AUDIT_PATIENCE_MILLIS.unsigned_abs().into());
    assert!((patience..4 * patience).contains(&start.elapsed()), "{:?}", start.elapsed());
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    while !audit.append("last", &[]) {
        std::thread::yield_now();
    }
    let counts = [&audit.written, &audit.failed].map(|count| count.load(Ordering::Relaxed));
    drop(audit);
    let text = read.join().unwrap().unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lost: u64 = lines.iter().filter_map(|line| line["count"].as_u64()).sum();
    let whole = lines.iter().filter(|line| line["target"] == target).count();
    // A line that was cut at first was completed later.
    assert!((appended..=appended + 1).contains(&whole) && whole < 200, "{whole} of {appended}: {text}");
    assert_eq!((lines.last().unwrap()["event"].as_str(), counts[0]), (Some("last"), appended as u64 + 1));
    assert_eq!(whole as u64 + lost, counts.iter().sum::<u64>() - 1, "{text}");
}

/// A24: with any amount of room for each line, a line is complete or absent when there is room again, and the file has the number of
/// absent lines.
#[test]
fn a_disk_that_fills_up_cuts_no_line() {
    let random: &dyn Random = &CountedRandom::default();
    for _ in 0..200 {
        let mut out = Appender { to: Ready::new(Disk::default()), rest: Vec::new(), lost: 0 };
        let mut written = 0_u64;
        for number in 0..20 {
            let [room] = random.bytes::<1>();
            out.to.writer.room += usize::from(room) / 4;
            let line = format!("{{\"number\":{number},\"text\":\"{}\"}}\n", "x".repeat(30));
            written += u64::from(out.append(&line).is_ok());
        }
        out.to.writer.room = 10_000;
        out.append("{\"number\":20}\n").unwrap();
        let text = String::from_utf8(out.to.writer.text).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let lost: u64 = lines.iter().filter_map(|line| line["count"].as_u64()).sum();
        let mut numbers: Vec<u64> = lines.iter().filter_map(|line| line["number"].as_u64()).collect();
        assert_eq!(numbers.len() as u64 + lost, 21, "{text}");
        // A line that was cut at first was completed later.
        assert!(numbers.len() as u64 > written && numbers.is_sorted(), "{text}");
        numbers.dedup();
        assert_eq!(numbers.len() as u64 + lost, 21, "{text}");
    }
}

/// A25: equal arguments have equal hashes, in any JSON spelling, and the hash depends on the key.
#[test]
fn equal_arguments_have_equal_hashes_under_one_key() {
    let with = |key| {
        let keys = Some(Arc::new(keyring(key)));
        AuditLog { keys, ..opened(Path::new("/dev/null")) }
    };
    let (one, two) = (with(1), with(2));
    let hash = one.hash(r#"{"b":[1,"\u0041"],"a":18446744073709551615}"#).unwrap();
    assert_eq!(hash.len(), 22);
    assert_eq!(one.hash("{ \"a\": 18446744073709551615, \"b\": [1, \"A\"] }").unwrap(), hash);
    for other in
        [r#"{"b":[1,"a"],"a":18446744073709551615}"#, r#"{"b":[1,"A"],"a":18446744073709551614}"#, "{}"]
    {
        assert_ne!(one.hash(other).unwrap(), hash, "{other}");
    }
    assert_ne!(two.hash(r#"{"b":[1,"A"],"a":18446744073709551615}"#).unwrap(), hash);
    assert_eq!(opened(Path::new("/dev/null")).hash("{}"), None);
}

/// A writer that takes nothing is an error, not a reason to try for ever.
#[test]
fn a_writer_that_takes_nothing_fails_the_line() {
    let mut room = [0; 3];
    let mut full = Appender { to: Ready::new(&mut room[..]), rest: Vec::new(), lost: 0 };
    for _ in 0..2 {
        assert_eq!(full.append("line\n").unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
    assert_eq!((full.rest, full.lost), (b"e\n".to_vec(), 1));
}
