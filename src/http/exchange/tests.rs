use std::time::Duration;

use super::*;
use crate::http::CallOutcome;

fn soon() -> Instant {
    clock::instant() + Duration::from_millis(1)
}

fn later() -> Instant {
    clock::instant() + Duration::from_secs(60)
}

#[test]
fn the_answer_reaches_the_waiter() {
    let (responder, waiter) = Responder::pair();
    let door = std::thread::spawn(move || waiter.wait(later()).unwrap().status());
    responder.respond(Response::new(202));
    assert_eq!(door.join().unwrap(), 202);
}

#[test]
fn a_dropped_responder_answers_500() {
    let (responder, waiter) = Responder::pair();
    drop(responder);
    assert_eq!(waiter.wait(later()).unwrap().status(), 500);
}

#[test]
fn common_fields_are_on_every_answer() {
    let (mut responder, waiter) = Responder::pair();
    responder.fields = vec![("X-Content-Type-Options", "nosniff".into())];
    drop(responder);
    assert_eq!(waiter.wait(later()).unwrap().header_value("x-content-type-options"), Some("nosniff"));
}

struct Note(std::sync::mpsc::Sender<String>);

impl Note {
    fn note(&self, text: impl ToString) {
        self.0.send(text.to_string()).unwrap();
    }
}

impl Witness for Note {
    fn identify(&self, caller: &Principal) {
        self.note(caller.subject);
    }

    fn called(&self, call: CallNote<'_>) -> bool {
        self.note(call.method);
        true
    }

    fn ended(&self, (outcome, bytes): CallEnding) {
        self.note(format!("{outcome:?} {bytes}"));
    }

    fn answered(&self, status: u16) {
        self.note(status);
    }
}

#[test]
fn the_witness_sees_caller_and_answer_once_also_for_a_dropped_responder() {
    let (sender, notes) = std::sync::mpsc::channel();
    let (mut responder, _waiter) = Responder::pair();
    responder.witness = Some(Arc::new(Note(sender)));
    responder.identify(&crate::base::fake::principal(7));
    drop(responder);
    assert_eq!(notes.iter().collect::<Vec<_>>(), ["github:7", "500"]);
}

/// L2: a call that goes on after the head of its answer has its end seen.
#[test]
fn the_witness_of_a_call_sees_its_end_after_the_head() {
    let (sender, notes) = std::sync::mpsc::channel();
    let (mut responder, _waiter) = Responder::pair();
    let call: Arc<dyn Witness> = Arc::new(Note(sender));
    responder.witness = Some(Arc::clone(&call));
    assert!(call.called(CallNote { method: "ping", ..CallNote::default() }));
    responder.respond(Response::new(200).ending((CallOutcome::Ok, 40)));
    assert_eq!(notes.try_iter().collect::<Vec<_>>(), ["ping", "Ok 40", "200"]);
    call.ended((CallOutcome::Cancelled, 0));
    drop(call);
    assert_eq!(notes.iter().collect::<Vec<_>>(), ["Cancelled 0"]);
}

#[test]
fn the_slow_hook_runs_once_and_only_without_an_answer() {
    let (responder, waiter) = Responder::pair();
    let ran = CancelToken::new();
    let mark = ran.clone();
    responder.when_slow(move || mark.trip());
    assert!(waiter.wait(soon()).is_none());
    waiter.run_slow_hook();
    waiter.run_slow_hook();
    assert!(ran.is_tripped());

    let (responder, waiter) = Responder::pair();
    let ran = CancelToken::new();
    let mark = ran.clone();
    responder.when_slow(move || mark.trip());
    responder.respond(Response::new(200));
    waiter.run_slow_hook();
    assert!(!ran.is_tripped());
}

#[test]
fn the_application_learns_that_the_client_has_gone() {
    let (responder, waiter) = Responder::pair();
    let gone = responder.client_gone();
    waiter.client_has_gone();
    assert!(gone.is_tripped());
}
