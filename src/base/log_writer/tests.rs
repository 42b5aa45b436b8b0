use std::sync::mpsc;

use super::*;

/// A reader that takes one write whenever it is told to.
struct Slow {
    go_on: mpsc::Receiver<()>,
    read: mpsc::Sender<String>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.go_on.recv(); // an error is as good as a word: the test has let go
        self.read.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// L2: a reader that stalls costs lines, the unimportant ones first, and the log says how many; nobody waits.
#[test]
fn a_stalled_reader_costs_lines_and_no_time() {
    let ((go, go_on), (read, lines)) = (mpsc::channel(), mpsc::channel());
    let (queue, ended) =
        Queue::start(Slow { go_on, read }, |count| format!("log.dropped count={count}\n")).unwrap();
    for number in 0..limits::LOG_LINES * 2 {
        queue.push(format!("info {number}\n"), limits::LOG_LINES / 4 * 3);
    }
    queue.push("error\n".to_owned(), limits::LOG_LINES);
    drop((go, queue));
    assert!(ended.recv_timeout(limits::LOG_PATIENCE * 30).is_err_and(|error| error.is_disconnected()));
    let written: String = lines.iter().collect();
    let written: Vec<&str> = written.split_inclusive('\n').collect();
    assert_eq!(written.iter().filter(|line| line.contains("log.dropped")).count(), 1, "{written:?}");
    let kept = written.iter().filter(|line| line.starts_with("info")).count();
    let room = limits::LOG_LINES / 4 * 3;
    // What the writer had already taken when its reader stalled comes on top.
    assert!((room..=room + limits::LOG_BATCH + 1).contains(&kept), "{kept}");
    let dropped = format!("count={}", limits::LOG_LINES * 2 - kept);
    assert!(written.iter().any(|line| line.contains(&dropped)), "{dropped} {written:?}");
    assert_eq!(*written.last().unwrap(), "error\n");
}
