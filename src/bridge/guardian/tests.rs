//! Real programs under a real guardian: the test harness, started to run one test, which is the guardian.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::base::clock;
use crate::bridge::launch::{Child, Directories, Launch};
use crate::bridge::template::Variables;
use crate::http::desk::until;

/// Serves as the guardian of another test in the process started for that; see `launch::ARGUMENTS`.
#[test]
#[allow(clippy::disallowed_methods, clippy::exit)] // then it is the whole process
fn serves_when_asked() {
    let asked = std::env::args_os().skip_while(|argument| argument != FLAG);
    if serve(asked).is_some() {
        std::process::exit(0);
    }
}

fn directory() -> PathBuf {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    std::env::temp_dir().join(format!("mcp-guardian-test-{}-{number}", std::process::id()))
}

/// Starts a shell script.
fn start(script: &str) -> Child {
    start_program(PathBuf::from("/bin/sh"), vec!["-c".to_owned(), script.to_owned()])
}

fn start_program(program: PathBuf, args: Vec<String>) -> Child {
    let launch = Launch {
        program,
        args,
        env: Vec::new(),
        directories: Directories::make(&directory(), &["sh"], None).unwrap(),
        cwd: None,
        user: None,
    };
    let environment: Variables = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
    launch.start(&environment).unwrap()
}

/// All reports of the guardian until its end.
fn reports(child: &mut Child) -> Vec<GuardianReport> {
    let mut all = Vec::new();
    while let Some(reports) = child.guardian.read() {
        all.extend(reports);
    }
    all
}

/// The lines that a program prints, without the first ones, which are those of the test harness (the guardian).
fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let stdout = std::mem::replace(&mut child.stdout, start("").stdout);
    BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .filter(|line| !line.is_empty() && !line.starts_with("running"))
}

fn is_alive(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn wait_until_gone(pid: &str) {
    let deadline = clock::instant() + Duration::from_secs(20);
    while is_alive(pid) {
        assert!(clock::instant() < deadline, "{pid} lives");
        std::thread::yield_now();
    }
}

#[test]
fn the_end_of_a_program_is_reported() {
    let check = |script: &str, expected: GuardianReport| {
        let mut child = start(script);
        let reports = reports(&mut child);
        let [GuardianReport::Started(pid), end] = reports[..] else { panic!("{reports:?}") };
        assert!(pid > 1 && end == expected, "{script}: {reports:?}");
    };
    check("exit 0", GuardianReport::Exited(0));
    check("exit 7", GuardianReport::Exited(7));
    check("kill -9 $$", GuardianReport::Killed(9));
}

#[test]
fn a_program_that_cannot_be_started_is_reported() {
    let directories = Directories::make(&directory(), &["none"], None).unwrap();
    let program = PathBuf::from("/nonexistent/program");
    let launch = Launch { program, args: Vec::new(), env: Vec::new(), directories, cwd: None, user: None };
    let mut child = launch.start(&Variables::new()).unwrap();
    assert_eq!(reports(&mut child), [GuardianReport::Failed(libc::ENOENT)]);
}

/// P4: grandchildren, in other sessions and groups too, die with the program.
#[test]
fn nothing_of_a_program_outlives_it() {
    let mut child = start(
        "sleep 1000 & echo $!; (setsid sh -c 'sleep 1001 & echo $!; exec sleep 1002' &); read line; exit 3",
    );
    let pids: Vec<String> = lines(&mut child).take(2).collect();
    child.stdin.write_all(b"end\n").unwrap();
    assert_eq!(reports(&mut child).last(), Some(&GuardianReport::Exited(3)));
    pids.iter().for_each(|pid| wait_until_gone(pid));
}

/// If the kernel keeps a list of a process's children, it equals that of `/proc`, unless that hides some.
#[test]
fn children_are_found_by_the_kernels_list_and_by_proc() {
    let mut child = Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
    let pid = child.id().cast_signed();
    assert!(visible_children().contains(&pid));
    let has_lists = PathBuf::from("/proc/thread-self/children").exists();
    until(|| listed_children().contains(&pid) == has_lists); // the list of threads may be cut off where one ends
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// P4: closing the socket, which any end of the server does, kills everything: SIGTERM ignored, a daemon that has
/// forked twice, whose parent has ended.
#[test]
fn nothing_of_a_program_outlives_the_server() {
    let script = "trap '' TERM HUP; (setsid sh -c '(trap \"\" TERM; sleep 1003) & echo $!' &); echo $$; while :; do sleep 1; done";
    let mut child = start(script);
    let pids: Vec<String> = lines(&mut child).take(2).collect();
    assert!(pids.iter().all(|pid| is_alive(pid)), "{pids:?}");
    drop(child);
    pids.iter().for_each(|pid| wait_until_gone(pid));
}

/// The program of the test below, in the process started for that: joins the group of its guardian.
#[test]
fn leaves_its_group_when_asked() {
    if std::env::args().any(|argument| argument == LEAVE_GROUP) {
        let guardian = std::os::unix::process::parent_id().cast_signed();
        panic!("{}", Command::new("sleep").arg("60").process_group(guardian).exec());
    }
}

const LEAVE_GROUP: &str = "--leave-group";

/// P4: a program that has left its group is killed as well.
#[test]
fn a_program_that_has_left_its_group_does_not_outlive_the_server() {
    let name = "bridge::guardian::tests::leaves_its_group_when_asked";
    let mut child = start_program(
        std::env::current_exe().unwrap(),
        [name, "--exact", "--quiet", "--", LEAVE_GROUP].map(str::to_owned).to_vec(),
    );
    let reports = child.guardian.read();
    let Some([GuardianReport::Started(pid)]) = reports.as_deref() else { panic!("{reports:?}") };
    let pid = pid.to_string();
    let group = || {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        status.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(2).unwrap().to_owned()
    };
    while group() == pid {
        std::thread::yield_now();
    }
    child.guardian.kill();
    wait_until_gone(&pid);
}

/// The cost of ending many processes grows linearly with their number.
#[test]
fn many_processes_end_at_once() {
    const TICKS_A_SECOND: u64 = 100;
    let mut child = start("i=0; while [ $i -lt 700 ]; do sleep 1005 & i=$((i+1)); done; echo $$; wait");
    let program = lines(&mut child).next().unwrap().parse().unwrap();
    let guardian = parent_of(program).unwrap();
    child.guardian.kill();
    assert_eq!(reports(&mut child).last(), Some(&GuardianReport::Killed(9)));
    let status = fs::read_to_string(format!("/proc/{guardian}/stat")).unwrap();
    let fields = status.rsplit_once(')').unwrap().1.split_ascii_whitespace();
    let times: Vec<u64> = fields.skip(11).take(2).map(|ticks| ticks.parse().unwrap()).collect();
    assert!(times.iter().sum::<u64>() < TICKS_A_SECOND, "{times:?}");
}

#[test]
fn a_program_is_asked_to_end_before_it_is_killed() {
    let mut child = start("trap 'echo asked; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
    let mut lines = lines(&mut child);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    child.guardian.terminate();
    assert_eq!(lines.next().as_deref(), Some("asked"));
    assert_eq!(reports(&mut child).last(), Some(&GuardianReport::Exited(5)));
}

/// P1: no descriptors above 2, a process group of its own in a session without terminal, umask 077, no core files, nothing gained by
/// `exec`, and its parent out of reach.
#[test]
fn a_program_starts_from_a_clean_state() {
    sys::set_up_libc(); // ignores a signal, as the server does
    let mut child = start(
        "ls /proc/self/fd | tr '\\n' ' '; echo; umask; ulimit -c; cut -d' ' -f5,6,7 /proc/$$/stat; echo $$; grep NoNewPrivs /proc/$$/status; grep SigBlk /proc/self/status; grep SigIgn /proc/self/status; env | sort | tr '\\n' ' '; echo; stat -c %a $HOME $TMPDIR; pwd",
    );
    let lines: Vec<String> = lines(&mut child).collect();
    let [fds, umask, core, stat, pid, privileges, blocked, ignored, env, home, temporary, cwd] = &lines[..]
    else {
        panic!("{lines:#?}")
    };
    assert_eq!(fds, "0 1 2 3 ", "3 is the directory itself");
    assert_eq!((&**umask, &**core), ("0077", "0"));
    let [group, session, terminal] = stat.split(' ').collect::<Vec<_>>()[..] else { panic!("{stat}") };
    assert!(group == pid && session != pid && terminal == "0", "{stat} {pid}");
    let parent = parent_of(std::process::id().cast_signed()).unwrap().to_string();
    assert!(session != parent && privileges.ends_with('1'), "{privileges}");
    assert!(blocked.ends_with("0000000000000000"), "{blocked}");
    let ignored = u64::from_str_radix(ignored.split('\t').next_back().unwrap(), 16).unwrap();
    assert_eq!(ignored >> (libc::SIGXFSZ - 1) & 1, 0, "{ignored:x}");
    let names: Vec<&str> = env.split(' ').filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
    assert_eq!(names, ["HOME", "PATH", "PWD", "TMPDIR"], "{env}");
    assert!((&**home, &**temporary) == ("700", "700") && cwd.ends_with("/sh/home"), "{cwd}");
}

/// Only the program has its standard input: it sees the end.
#[test]
fn the_end_of_standard_input_reaches_the_program() {
    let mut child = start("cat; echo over");
    let mut lines = lines(&mut child);
    child.stdin.write_all(b"one\n").unwrap();
    assert_eq!(lines.next().as_deref(), Some("one"));
    let Child { stdin, mut guardian, mut stderr, .. } = child;
    drop(stdin);
    assert_eq!(lines.next().as_deref(), Some("over"));
    assert_eq!(lines.next(), None);
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    while guardian.read().is_some() {}
}

#[test]
fn reports_survive_the_socket() {
    for report in [
        GuardianReport::Started(7),
        GuardianReport::Failed(2),
        GuardianReport::Exited(255),
        GuardianReport::Killed(9),
    ] {
        let (mut guardian, server) = UnixStream::pair().unwrap();
        super::report(&mut guardian, report);
        let mut line = String::new();
        BufReader::new(server).read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<GuardianReport>(&line).unwrap(), report, "{line}");
    }
    for bad in ["", "{}", "\"started\"", "{\"started\":\"x\"}", "{\"born\":7}"] {
        assert!(serde_json::from_str::<GuardianReport>(bad).is_err(), "{bad}");
    }
}

/// P1: the user change that the server orders is made, or nothing is started.
#[test]
fn arguments_that_cannot_be_read_start_nothing() {
    let read =
        |arguments: &[&str]| command(arguments.iter().map(OsString::from)).map(|(_, socket)| socket).ok();
    assert_eq!(read(&["5", "-", "sh", "-c", "x"]), Some(5));
    assert_eq!(read(&["5", "4294967294:0", "sh"]), Some(5));
    for bad in [
        &["5"][..],
        &["5", "-"],
        &["x", "-", "sh"],
        &["5", "4294967296:1", "sh"],
        &["5", "1", "sh"],
        &["5", "1:", "sh"],
        &["5", "1:nobody", "sh"],
        &["5", "-:-", "sh"],
    ] {
        assert_eq!(read(bad), None, "{bad:?}");
    }
}
