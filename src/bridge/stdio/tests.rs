//! Real programs: `sh` under a guardian.

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver as Channel, Sender as Sending, unbounded};

use super::*;
use crate::bridge::fake::text;
use crate::bridge::launch::{Directories, Launch};
use crate::bridge::template::Variables;
use crate::http::desk::until_some;

const PATIENCE: Duration = Duration::from_secs(30);

/// Says that it runs, repeats its input and ends with it. It ignores SIGTERM, which comes before that on a slow machine.
const PATIENT_CAT: &str = "trap '' TERM; echo {}; exec cat";

/// An event that a receiver was told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Message(String),
    Ended(String),
}

struct Recorder {
    told: Sending<Told>,
    /// The time from the first message to the end.
    time: Option<Duration>,
    deadline: OnceLock<Instant>,
}

impl Receiver for Recorder {
    fn receive(&self, text: &str) -> bool {
        let is_message = text.trim_start().starts_with(['{', '[']);
        if is_message {
            let _ = self.time.map(|time| self.deadline.set(clock::instant() + time));
            let _ = self.told.send(Told::Message(text.to_owned())); // fails after the end of a test
        }
        is_message
    }

    fn patience(&self) -> Duration {
        self.deadline.get().map_or(PATIENCE, |deadline| deadline.saturating_duration_since(clock::instant()))
    }

    fn ending(&self) {}

    fn ended(&self, ending: &str) {
        let _ = self.told.send(Told::Ended(ending.to_owned()));
    }
}

struct Program {
    stdio: Arc<Stdio>,
    told: Channel<Told>,
}

impl Program {
    fn start(script: &str) -> Program {
        Program::start_for(script, None)
    }

    fn start_for(script: &str, time: Option<Duration>) -> Program {
        let (sender, told) = unbounded();
        let receiver = Arc::new(Recorder { told: sender, time, deadline: OnceLock::new() });
        Program { stdio: Stdio::start(&Arc::from("test"), Program::launch(script), receiver).unwrap(), told }
    }

    fn launch(script: &str) -> Child {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let root = std::env::temp_dir().join(format!("mcp-stdio-test-{}-{number}", std::process::id()));
        let launch = Launch {
            program: PathBuf::from("/bin/sh"),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: Vec::new(),
            directories: Directories::make(&root, &["sh"], None).unwrap(),
            cwd: None,
            user: None,
        };
        let environment: Variables = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
        launch.start(&environment).unwrap()
    }

    fn next(&self) -> Told {
        self.told.recv_timeout(PATIENCE).expect("the program says something")
    }

    fn message(&self) -> String {
        match self.next() {
            Told::Message(text) => text,
            Told::Ended(ending) => panic!("{ending}"),
        }
    }

    fn ending(&self) -> String {
        loop {
            if let Told::Ended(ending) = self.next() {
                return ending;
            }
        }
    }
}

#[test]
fn messages_go_both_ways_and_other_output_is_ignored() {
    let program = Program::start(
        "trap '' TERM; echo banner; echo; printf '{\"a\":1}\\r\\n'; echo '  {\"b\":2}'; while read -r line; do printf '[%s]\\n' \"$line\"; done; printf '{\"last\":0}'",
    );
    assert_eq!([program.message(), program.message()], ["{\"a\":1}\r", "  {\"b\":2}"]);
    program.stdio.send(text("{\"id\":1}".to_owned())).unwrap();
    program.stdio.send(text("{\"id\":2,\n{}\r\n}".to_owned())).unwrap();
    assert_eq!([program.message(), program.message()], ["[{\"id\":1}]", "[{\"id\":2, {}  }]"]);
    program.stdio.end();
    assert_eq!(program.message(), "{\"last\":0}", "what has no line feed before the end");
    assert_eq!(program.ending(), "it ended with exit status 0");
    assert_eq!(program.stdio.send(text(String::new())), Err(Undelivered::Ended));
}

/// P3: a line above the limit, invalid UTF-8, a flood of text and a closed output end the program; a large message does not.
#[test]
fn invalid_or_excessive_output_ends_the_program() {
    let check = |script: &str, fault: &str| {
        assert_eq!(Program::start(script).ending(), fault, "{script}");
    };
    check(
        "head -c 8388609 /dev/zero | tr '\\0' x; sleep 1000",
        "it was ended: it wrote a line of more than 8 MiB",
    );
    check("printf '\\377\\n'; sleep 1000", "it was ended: it wrote what is not UTF-8");
    check("yes banner", "it was ended: it wrote too much that is not JSON-RPC to its standard output");
    check("exec >&-; sleep 1000", "it was ended: it had closed its standard input or output");
    let program = Program::start("printf '{'; head -c 8000000 /dev/zero | tr '\\0' x; echo '}'");
    assert_eq!(program.message().len(), 8_000_002);
    assert_eq!(program.ending(), "it ended with exit status 0");
}

/// P4: a program that ignores the end of its input gets SIGTERM; one that ignores that is killed.
#[test]
fn a_program_is_ended_in_three_steps() {
    let started = clock::instant();
    let program = Program::start("trap 'echo {}; exit 3' TERM; echo {}; sleep 1000 & wait");
    program.message();
    program.stdio.end();
    assert_eq!(program.ending(), "it ended with exit status 3");
    assert!(started.elapsed() >= limits::bridge::CLOSE);
    let program = Program::start("trap '' TERM; echo {}; while :; do sleep 1; done");
    program.message();
    let started = clock::instant();
    program.stdio.end();
    assert_eq!(program.ending(), "it was killed by signal 9");
    assert!(started.elapsed() >= limits::bridge::CLOSE + limits::bridge::TERMINATE);
}

/// A message that cannot be delivered ends a program that has closed its input: its sender would wait for ever.
#[test]
fn a_program_that_closes_its_input_is_ended_at_the_next_message() {
    let program = Program::start("exec <&-; echo {}; exec sleep 1000");
    program.message();
    // The guardian lets go of the pipe a moment after it has started the program: a message before that is written, and lost.
    while program.stdio.send(text("{}")).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(program.ending(), "it was ended: it had closed its standard input or output");
}

/// The end is detected by the process: a grandchild that holds the pipes open does not hide it.
#[test]
fn the_end_of_a_program_is_noticed_by_its_process() {
    let program = Program::start("(setsid sleep 1000 &); echo {}; exit 4");
    assert_eq!(program.ending(), "it ended with exit status 4");
}

#[test]
fn a_program_that_is_dropped_ends() {
    let program = Program::start(PATIENT_CAT);
    program.message();
    let Program { stdio, told } = program;
    drop(stdio);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Told::Ended("it ended with exit status 0".to_owned())));
}

#[test]
fn a_program_ends_at_the_deadline_of_its_receiver() {
    let program = Program::start_for(PATIENT_CAT, Some(Duration::from_millis(50)));
    assert_eq!(program.ending(), "it ended with exit status 0");
}

/// P3: the messages that a program does not read are bounded, and no sender blocks.
#[test]
fn a_full_pipe_refuses_and_does_not_block() {
    let program = Program::start("echo {}; exec sleep 1000");
    program.message();
    let large = "x".repeat(4 * 1024 * 1024);
    let refused = (0..8).find_map(|_| program.stdio.send(text(large.clone())).err());
    assert_eq!(refused, Some(Undelivered::Full));
    let more = (0..limits::bridge::WAITING_BYTES).find_map(|_| program.stdio.send(text("{}")).err());
    assert_eq!(more, Some(Undelivered::Full));
    assert!(program.stdio.0.state.lock().waiting.len() <= limits::bridge::WAITING_BYTES);
    program.stdio.end();
    assert_eq!(program.ending(), "it was killed by signal 15");
}

/// Bytes that did not fit into the pipe arrive in order, and before the end of the input.
#[test]
fn buffered_messages_are_written_before_stdin_is_closed() {
    let program = Program::start(PATIENT_CAT);
    program.message();
    let large = format!("{{{}}}", "x".repeat(512 * 1024));
    for message in [&large, "{\"last\":1}"] {
        program.stdio.send(text(message)).unwrap();
    }
    program.stdio.end();
    assert_eq!(program.stdio.send(text("{}")), Err(Undelivered::Ended));
    assert_eq!([program.message(), program.message()], [&large, "{\"last\":1}"]);
    assert_eq!(program.ending(), "it ended with exit status 0");
}

#[test]
fn a_program_that_cannot_be_started_says_why() {
    let check = |program: &str, expected: &str| {
        let root = std::env::temp_dir().join(format!("mcp-stdio-none-{}", std::process::id()));
        let launch = Launch {
            program: PathBuf::from(program),
            args: Vec::new(),
            env: Vec::new(),
            directories: Directories::make(&root, &["x"], None).unwrap(),
            cwd: None,
            user: None,
        };
        let (told, heard) = unbounded();
        let receiver = Arc::new(Recorder { told, time: None, deadline: OnceLock::new() });
        let child = launch.start(&Variables::new()).unwrap();
        let _stdio = Stdio::start(&Arc::from("test"), child, receiver).unwrap();
        assert_eq!(heard.recv_timeout(PATIENCE), Ok(Told::Ended(expected.to_owned())));
    };
    check("/nonexistent", "it could not be started: No such file or directory (os error 2)");
    check(
        "/etc/passwd",
        "it could not be started: Permission denied (os error 13): the user that it runs as may not run it, or not enter its directory",
    );
}

/// A program that is asked to end may be gone before its thread has taken the first step of that.
#[test]
fn a_quick_end_on_request_is_no_failure() {
    let Child { stdin, stdout, stderr, guardian, .. } = Program::launch("exec cat");
    let (woken, wake) = io::pipe().unwrap();
    let state = InputState { stdin: Some(Arc::new(stdin)), waiting: VecDeque::new(), is_over: false };
    let mut program = ProgramThread {
        server: Arc::from("test"),
        process: None,
        input: Arc::new(ProgramInput { state: Mutex::new(state), wake }),
        stdout: Some((stdout, Lines::new(READ_BYTES))),
        stderr: Some((stderr, Lines::new(READ_BYTES))),
        guardian,
        woken,
        receiver: Arc::new(Recorder { told: unbounded().0, time: None, deadline: OnceLock::new() }),
        noise: Noise::new(),
        errors: Errors::new(&[]),
        stage: EndStage::Running,
        due: clock::instant(),
        stalls: clock::instant() + PATIENCE,
        fault: None,
        buffer: vec![0; READ_BYTES],
    };
    while program.process.is_none() {
        assert_eq!(program.step(), None);
    }
    assert!(!program.is_expected_end(), "of itself");
    program.input.state.lock().end();
    sys::are_ready(&[(program.guardian.as_fd(), libc::POLLIN)], 30_000);
    assert_eq!(program.step().as_deref(), Some("it ended with exit status 0"));
    assert!(matches!(program.stage, EndStage::Running) && program.is_expected_end());
}

/// A panic while a message is handled ends its program, so that nobody waits for its answers.
#[test]
fn a_panic_in_the_receiver_ends_the_program() {
    struct Panics(Sending<String>);
    impl Receiver for Panics {
        fn receive(&self, text: &str) -> bool {
            panic!("{text}")
        }

        fn patience(&self) -> Duration {
            PATIENCE
        }

        fn ending(&self) {}

        fn ended(&self, end: &str) {
            self.0.send(end.to_owned()).unwrap();
        }
    }
    let (sender, ended) = unbounded();
    let child = Program::launch("echo {}; exec sleep 1000");
    let stdio = Stdio::start(&Arc::from("test"), child, Arc::new(Panics(sender))).unwrap();
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(GUARDIAN_GONE.to_owned()));
    assert_eq!(stdio.send(text("{}".to_owned())), Err(Undelivered::Ended));
}

/// A program can open its pipes from the other side, and remove or add data after our thread was notified.
#[test]
fn pipes_stay_non_blocking() {
    let child = Program::launch("exec sleep 1000");
    let pipes = [child.stdin.as_raw_fd(), child.stdout.as_raw_fd(), child.stderr.as_raw_fd()];
    let receiver = Arc::new(Recorder { told: unbounded().0, time: None, deadline: OnceLock::new() });
    let stdio = Stdio::start(&Arc::from("test"), child, receiver).unwrap();
    for pipe in pipes {
        let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{pipe}")).unwrap();
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        assert_ne!(i32::from_str_radix(flags.trim(), 8).unwrap() & libc::O_NONBLOCK, 0, "{about}");
    }
    drop(stdio);
}

#[test]
fn an_empty_pipe_is_not_end_of_file() {
    let (pipe, mut writer) = io::pipe().unwrap();
    never_wait(pipe.as_fd()).unwrap();
    let mut pipe = Some((pipe, Lines::new(8)));
    let mut lines = || {
        let mut found = Vec::new();
        read_lines(&mut pipe, &mut [0; 8], |line| found.push(line.to_vec())).unwrap();
        (found, pipe.is_none())
    };
    assert_eq!(lines(), (vec![], false));
    writer.write_all(b"a\nbc").unwrap();
    assert_eq!(lines(), (vec![b"a".to_vec()], false));
    drop(writer);
    assert_eq!(
        until_some(|| Some(lines()).filter(|found| *found != (vec![], false))),
        (vec![b"bc".to_vec()], true)
    );
}
