//! The whole state machine against a small model: random steps of people, clients, thieves, the clock and the operator,
//! each done to the real server and said to the model, and the two compared.
//!
//! `PROPTEST_CASES=20000 cargo test --release oauth::model_tests` looks longer than the usual 256 cases.

mod model;
mod people;
mod steps;
mod world;

use std::collections::HashSet;

use proptest::test_runner::{Config, TestRunner};

use self::model::{Answer, Call, DAY, Model, Rule, Sender, words};
use self::people::PEOPLE;
use self::steps::{AuthorizeFault, Browser, CallbackFault, Step};
use self::world::{Login, REDIRECTS, World};
use crate::base::{ClientFingerprint, Clock, GrantId};
use crate::store::{Grant, Stage};

/// Whether the table may have changed in a step, beyond what the model says.
#[derive(PartialEq)]
enum Table {
    Same,
    /// When a token is used, that is noted now and then.
    Used,
}

struct Run {
    world: World,
    model: Model,
    people: Vec<u64>,
    /// The logins that have been answered.
    over: HashSet<usize>,
    /// GitHub's last code: whose it is, and its number.
    github_code: (u64, usize),
    github_used: HashSet<usize>,
    seen: Seen,
}

/// The observed state of the table, without asking the model.
#[derive(Default)]
struct Seen {
    last: Vec<Grant>,
    ended: HashSet<GrantId>,
    /// The codes for which there were tokens.
    used: HashSet<usize>,
}

/// T3, T4, T9, T10, T11, T12, T13, T14, T18: at most one generation of a grant is live, a used code gives no second pair, what
/// was revoked never works again, nobody gets at another's grant, scope never grows, the end never moves, and whoever is
/// not authenticated changes nothing.
#[test]
fn the_server_does_what_the_model_says() {
    let config = Config { failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let outcome = TestRunner::new(config).run(&steps::sequence(), |(rule, steps)| {
        let mut run = Run::new(rule);
        steps.iter().for_each(|step| run.step(step));
        run.audit();
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

impl Run {
    fn new(rule: Rule) -> Run {
        let mut world = World::new(rule);
        world.register("none", 0, "");
        world.register("client_secret_post", 1, "");
        let model = Model { now: world.clock.now().0, rule, people: PEOPLE.to_vec(), ..Model::default() };
        Run {
            world,
            model,
            people: PEOPLE.to_vec(),
            over: HashSet::new(),
            github_code: (PEOPLE[0], 0),
            github_used: HashSet::new(),
            seen: Seen::default(),
        }
    }

    fn step(&mut self, step: &Step) {
        let before = self.model.grants.clone();
        let table = self.do_step(step);
        let stored = self.world.stored();
        if before == self.model.grants && table == Table::Same {
            assert_eq!(stored, self.seen.last, "a step that changes nothing changed the table");
        }
        assert_eq!(differences(&self.world, &self.model, &stored), "");
        self.seen.look(stored);
    }

    fn do_step(&mut self, step: &Step) -> Table {
        match *step {
            Step::Register { method, redirect, scopes } => self.world.register(method, redirect, scopes),
            Step::Authorize { client, scope, fault } => {
                let Some(client) = client.of(self.world.clients.len()) else { return Table::Same };
                self.authorize(client, scope, fault);
            }
            Step::Consent { login, browser, decision } => {
                let Some(login) = login.of(self.world.logins.len()) else { return Table::Same };
                self.consent(login, browser, decision);
            }
            Step::Callback { login, browser, fault, user } => {
                let Some(login) = login.of(self.world.logins.len()) else { return Table::Same };
                self.callback(login, browser, fault, user);
            }
            Step::LogIn { client, user, scope } => {
                let Some(client) = client.of(self.world.clients.len()) else { return Table::Same };
                if self.authorize(client, scope, AuthorizeFault::None) {
                    let login = self.world.logins.len() - 1;
                    self.consent(login, Browser::Own, "approve");
                    self.callback(login, Browser::Own, CallbackFault::None, user);
                }
            }
            Step::Call(call) => {
                let Some(call) = call.numbered(&self.model) else { return Table::Same };
                let (answer, tokens) = self.world.call(call);
                let (expected, pair) = self.model.call(call);
                assert_eq!(answer, expected, "{call:?}");
                self.seen.answered(call, &answer, &self.world);
                self.keep(pair.into_iter().zip(tokens));
                return if matches!(call, Call::Use { .. }) { Table::Used } else { Table::Same };
            }
            Step::Race(one, other) => {
                let (Some(one), Some(other)) = (one.numbered(&self.model), other.numbered(&self.model))
                else {
                    return Table::Same;
                };
                self.race([one, other]);
                return Table::Used;
            }
            Step::Forward(seconds) => {
                self.world.clock.advance(std::time::Duration::from_secs(seconds));
                self.model.now += seconds;
                self.model.monotonic += seconds;
            }
            Step::Ahead(seconds) => {
                self.world.clock.go_ahead(std::time::Duration::from_secs(seconds));
                self.model.now += seconds;
            }
            Step::Back(seconds) => {
                self.world.clock.go_back(std::time::Duration::from_secs(seconds));
                self.model.now -= seconds;
            }
            Step::Sweep => {
                self.world.server.grants.sweep();
                self.model.sweep();
            }
            Step::Restart => self.restart(),
            Step::Policy(admitted) => {
                self.people =
                    PEOPLE.into_iter().zip(admitted).filter_map(|(id, is)| is.then_some(id)).collect();
                self.model.people = self.people.clone();
                self.world.provider.members(&self.people);
                if self.model.rule == Rule::Names {
                    self.restart();
                }
            }
            Step::GitHub(failure) => {
                self.world.provider.answer(failure);
                self.model.github = failure;
            }
        }
        Table::Same
    }

    /// Opens a consent page, or not.
    fn authorize(&mut self, client: usize, scope: Option<&'static str>, fault: AuthorizeFault) -> bool {
        let (registered, asked) = (words("mcp read write"), words(scope.unwrap_or_default()));
        // Whatever a client registers for, it may ask for more later; what every caller needs is always granted.
        let scopes = &(&asked & &registered) | &words("mcp");
        let other_redirect = REDIRECTS[(self.world.clients[client].redirect + 1) % REDIRECTS.len()].1;
        let mut changes: Vec<_> = scope.map(|scope| ("scope", scope)).into_iter().collect();
        changes.extend(match fault {
            AuthorizeFault::None => None,
            AuthorizeFault::UnknownClient => Some(("client_id", "mcp_ci_unknown")),
            AuthorizeFault::OtherRedirect => Some(("redirect_uri", other_redirect)),
            AuthorizeFault::PlainChallenge => Some(("code_challenge_method", "plain")),
            AuthorizeFault::OtherResource => Some(("resource", "https://other.example/mcp")),
        });
        let opened = self.world.authorize(client, &changes);
        assert_eq!(opened, fault == AuthorizeFault::None, "{scope:?} {fault:?}");
        if opened {
            self.world.logins.last_mut().unwrap().scopes = scopes;
        }
        opened
    }

    /// State that ends with a login's first answer is not on the disk: GitHub's codes are good once in any case.
    fn restart(&mut self) {
        self.over.clear();
        self.model.sweeps.clear();
        self.world.restart(&self.people);
    }

    fn consent(&mut self, login: usize, browser: Browser, decision: &str) {
        let browser = browser.of(login, self.world.logins.len());
        let in_time = browser == login && self.model.now < self.world.logins[login].end;
        let good = in_time && !self.over.contains(&login);
        let before = self.world.logins[login].github_state.clone();
        let status = self.world.consent(login, browser, decision).status();
        if good && decision == "approve" {
            assert_eq!(status, 303);
        } else {
            if good {
                self.over.insert(login);
            }
            assert_eq!(self.world.logins[login].github_state, before, "GitHub's state without a yes");
        }
    }

    /// The way back from GitHub: a grant if, and only if, everything is as it should be.
    fn callback(&mut self, login: usize, browser: Browser, fault: CallbackFault, user: usize) {
        let browser = browser.of(login, self.world.logins.len());
        if fault != CallbackFault::OldCode {
            self.github_code = (PEOPLE[user % PEOPLE.len()], self.github_code.1 + 1);
        }
        let (user, number) = self.github_code;
        let answer = match fault {
            CallbackFault::None | CallbackFault::OldCode => format!("code={user}.{number}"),
            CallbackFault::BadCode => "code=bad".to_owned(),
            CallbackFault::Cancelled => "error=access_denied".to_owned(),
            CallbackFault::OtherIssuer => format!("code={user}.{number}&iss=https%3A%2F%2Fevil.example"),
        };
        let state = self.world.logins[login].github_state.as_ref();
        let state_opens = browser == login && state.is_some_and(|(_, end)| self.model.now < *end);
        // A login ends with the first answer that comes back for it, whatever it says.
        let counts = state_opens && fault != CallbackFault::OtherIssuer && self.over.insert(login);
        let asked = counts && matches!(fault, CallbackFault::None | CallbackFault::OldCode);
        let confirmed = asked && self.model.github.is_none() && self.github_used.insert(number);
        let expected = confirmed && self.people.contains(&user);
        assert_eq!(self.world.callback(login, browser, &answer), expected, "{fault:?} for {user}");
        if expected {
            let Login { client, scopes, .. } = &self.world.logins[login];
            self.model.log_in(user, *client, scopes.clone());
        }
    }

    /// Two calls at once come to what one of the two orders comes to.
    fn race(&mut self, calls: [Call; 2]) {
        let world = &self.world;
        let ((first, first_tokens), (second, second_tokens)) =
            world.table.race(|| world.call(calls[0]), || world.call(calls[1]));
        let answers = [(first, first_tokens), (second, second_tokens)];
        let stored = world.stored();
        let as_if = [[0, 1], [1, 0]].into_iter().find_map(|order| {
            let mut model = self.model.clone();
            let expected = order.map(|index| model.call(calls[index]));
            let same = order.iter().zip(&expected).all(|(&index, (answer, _))| answers[index].0 == *answer);
            (same && differences(world, &model, &stored).is_empty()).then_some((model, order, expected))
        });
        let Some((model, order, expected)) = as_if else {
            panic!("{calls:?} at once are neither order of them: {answers:?}");
        };
        self.model = model;
        for (index, (_, pair)) in order.into_iter().zip(expected) {
            self.seen.answered(calls[index], &answers[index].0, &self.world);
            self.keep(pair.into_iter().zip(answers[index].1.clone()));
        }
    }

    fn keep(&mut self, pairs: impl Iterator<Item = (model::Pair, serde_json::Value)>) {
        for (pair, tokens) in pairs {
            self.world.keep(&tokens, self.model.grants[pair.grant].client);
            self.model.hand_out(pair);
        }
    }

    /// At the end every token is tried once more, by its owner and by a stranger.
    fn audit(&mut self) {
        for token in 0..self.model.access.len() {
            let stranger = Sender::Stranger;
            for call in [
                Call::Use { token },
                Call::RevokeAccess { token, sender: stranger },
                Call::Refresh { token, sender: stranger, scope: None },
                Call::Refresh { token, sender: Sender::Owner, scope: None },
            ] {
                let (expected, _) = self.model.call(call);
                assert_eq!(self.world.call(call).0, expected, "{call:?}");
            }
        }
        let stored = self.world.stored();
        assert_eq!(differences(&self.world, &self.model, &stored), "");
    }
}

/// Differences between the table and the model.
fn differences(world: &World, model: &Model, stored: &[Grant]) -> String {
    let mut found = String::new();
    let count = model.grants.iter().filter(|grant| grant.stored).count();
    if stored.len() != count {
        found += &format!("{} grants are stored, not {count}. ", stored.len());
    }
    for (id, expected) in world.grants.iter().zip(&model.grants).filter(|(_, grant)| grant.stored) {
        let Some(grant) = stored.iter().find(|grant| grant.id == *id) else {
            found += &format!("{id} is not stored. ");
            continue;
        };
        let live = match grant.stage {
            Stage::CodeIssued | Stage::Service { .. } => None,
            Stage::Live { generation, rotated_at } => Some((generation, rotated_at.0)),
        };
        let stage = (live, grant.expires.0) == (expected.live, expected.expires());
        let facts = (
            grant.subject.user().unwrap().0,
            words(&grant.scopes.to_string()),
            grant.created.0,
            grant.admitted.0,
        ) == (expected.user, expected.scopes.clone(), expected.created, expected.admitted);
        let client = ClientFingerprint::of(&world.clients[expected.client].id);
        if !stage || !facts || grant.client.fingerprint != client {
            found += &format!("{grant:?} is stored, not {expected:?}. ");
        }
    }
    found
}

impl Seen {
    /// A code gives tokens once, and a grant that has ended lets nobody in.
    fn answered(&mut self, call: Call, answer: &Answer, world: &World) {
        if let (Call::Redeem { code, .. }, Answer::Tokens { .. }) = (call, answer) {
            assert!(self.used.insert(code), "tokens for a code that was used");
        }
        if let Answer::Caller { grant, .. } = answer {
            assert!(!self.ended.contains(&world.grants[*grant]), "an ended grant lets in");
        }
    }

    /// Invariants of grants that hold whatever the model says.
    fn look(&mut self, stored: Vec<Grant>) {
        for grant in &stored {
            assert!(!self.ended.contains(&grant.id), "a grant came back");
            let Some(before) = self.last.iter().find(|other| other.id == grant.id) else { continue };
            let fixed = |grant: &Grant| {
                let Grant { subject, client, scopes, resource, created, upstream, .. } = grant.clone();
                (subject, client, scopes, resource, created, upstream)
            };
            assert_eq!(fixed(grant), fixed(before), "what was consented to does not change");
            match (&before.stage, &grant.stage) {
                (Stage::CodeIssued, Stage::CodeIssued) => assert_eq!(grant.expires, before.expires),
                (Stage::CodeIssued, Stage::Live { generation, .. }) => {
                    assert_eq!(grant.expires.0, grant.created.0 + 90 * DAY);
                    assert!(*generation <= 1, "the race of a redemption and a refresh at most");
                }
                (Stage::Live { generation: old, .. }, Stage::Live { generation: new, .. }) => {
                    assert_eq!(grant.expires, before.expires, "the end moved");
                    assert!((*old..=old + 1).contains(new), "from generation {old} to {new} in one step");
                }
                (Stage::Live { .. }, Stage::CodeIssued) => panic!("a redeemed code is unused again"),
                (Stage::Service { .. }, _) | (_, Stage::Service { .. }) => {
                    panic!("nobody makes service tokens here")
                }
            }
        }
        let ended = self.last.iter().filter(|old| !stored.iter().any(|new| new.id == old.id));
        self.ended.extend(ended.map(|grant| grant.id));
        self.last = stored;
    }
}
