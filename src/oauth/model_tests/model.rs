//! The model: what codes, tokens and grants are worth, said as plainly as possible. No sealing, no table, no races.

use std::collections::BTreeSet;

use crate::oauth::bearer::BearerError;
use crate::oauth::provider::ProviderError;

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

pub(super) type Words = BTreeSet<String>;

/// A set of scopes.
pub(super) fn words(text: &str) -> Words {
    text.split_whitespace().map(str::to_owned).collect()
}

/// How the policy knows whom to let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Rule {
    /// It names them, so each request finds out.
    #[default]
    Names,
    /// GitHub says who is a member, so each refresh finds out.
    Members,
}

/// Who sends a call: the client to which the code or token belongs, or another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Owner,
    Stranger,
    /// The owner's id with a wrong secret, or with a secret that it does not have.
    Impostor,
}

/// How a redemption differs from the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RedeemFault {
    None,
    RedirectLeftOut,
    WrongRedirect,
    WrongVerifier,
    NoVerifier,
    WrongResource,
}

/// One call of a client, about the codes and tokens with these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Redeem {
        code: usize,
        sender: Sender,
        fault: RedeemFault,
    },
    Refresh {
        token: usize,
        sender: Sender,
        scope: Option<&'static str>,
    },
    RevokeAccess {
        token: usize,
        sender: Sender,
    },
    RevokeRefresh {
        token: usize,
        sender: Sender,
    },
    Use {
        token: usize,
    },
    /// A token or code in the place of another kind.
    UseRefresh {
        token: usize,
    },
    RefreshWithAccess {
        token: usize,
    },
    RedeemRefresh {
        token: usize,
    },
}

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Tokens {
        scopes: Words,
        expires_in: u64,
    },
    /// Revocation: done, or nothing to do; nobody is told which.
    Done,
    Error(u16, String),
    Caller {
        grant: usize,
        scopes: Words,
    },
    NoCaller(BearerError),
}

fn refused(status: u16, code: &str) -> Answer {
    Answer::Error(status, code.to_owned())
}

/// A pair of tokens that the model expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) grant: usize,
    generation: u32,
    scopes: Words,
    access_end: u64,
    refresh_end: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) user: u64,
    pub(super) client: usize,
    pub(super) scopes: Words,
    pub(super) created: u64,
    /// When the policy last said yes.
    pub(super) admitted: u64,
    /// The generation and when it was made; none before the code is redeemed.
    pub(super) live: Option<(u32, u64)>,
    /// How often its previous refresh token was used late, which is a write each time.
    late: u32,
    /// Whether it is in the table.
    pub(super) stored: bool,
}

impl Grant {
    /// The end that nothing moves.
    pub(super) fn expires(&self) -> u64 {
        self.created + if self.live.is_some() { 90 * DAY } else { MINUTE }
    }

    fn end(&self) -> u64 {
        self.live.map_or(self.expires(), |(_, rotated_at)| self.expires().min(rotated_at + 30 * DAY))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) grant: usize,
    end: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) grant: usize,
    scopes: Words,
    end: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Refresh {
    pub(super) grant: usize,
    generation: u32,
    end: u64,
}

/// Everything that was ever handed out, and what has become of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) now: u64,
    /// The clock that nobody sets.
    pub(super) monotonic: u64,
    /// The readings of both clocks at each sweep of this process.
    pub(super) sweeps: Vec<(u64, u64)>,
    pub(super) rule: Rule,
    /// Whom the policy lets in.
    pub(super) people: Vec<u64>,
    /// GitHub's answer in place of the usual one.
    pub(super) github: Option<ProviderError>,
    pub(super) grants: Vec<Grant>,
    pub(super) codes: Vec<Code>,
    pub(super) access: Vec<Access>,
    pub(super) refresh: Vec<Refresh>,
}

impl Model {
    /// Somebody has logged in: a grant and its code.
    pub(super) fn log_in(&mut self, user: u64, client: usize, scopes: Words) {
        let created = self.now;
        self.codes.push(Code { grant: self.grants.len(), end: created + MINUTE });
        self.grants.push(Grant {
            user,
            client,
            scopes,
            created,
            admitted: created,
            live: None,
            late: 0,
            stored: true,
        });
    }

    /// Deletes what has been over at every sweep of an hour or more, and at once what was never redeemed.
    pub(super) fn sweep(&mut self) {
        self.sweeps.push((self.monotonic, self.now));
        for grant in &mut self.grants {
            let been_over = self.sweeps.iter().rev().take_while(|(_, now)| *now >= grant.end()).last();
            let settled = been_over.is_some_and(|(since, _)| since + HOUR <= self.monotonic);
            grant.stored &= !settled && (grant.live.is_some() || self.now < grant.end());
        }
    }

    /// The answer to a call, with the tokens in it.
    pub(super) fn call(&mut self, call: Call) -> (Answer, Option<Pair>) {
        match call {
            Call::Redeem { code, sender, fault } => self.redeem(code, sender, fault),
            Call::Refresh { token, sender, scope } => self.refresh(token, sender, scope),
            Call::RevokeAccess { token, sender } => {
                let Access { grant, end, .. } = self.access[token];
                (self.revoke(grant, end, sender), None)
            }
            Call::RevokeRefresh { token, sender } => {
                let Refresh { grant, end, .. } = self.refresh[token];
                (self.revoke(grant, end, sender), None)
            }
            Call::Use { token } => (self.use_access(token), None),
            Call::UseRefresh { .. } => (Answer::NoCaller(BearerError::Invalid), None),
            Call::RefreshWithAccess { .. } | Call::RedeemRefresh { .. } => {
                (refused(400, "invalid_grant"), None)
            }
        }
    }

    fn redeem(&mut self, code: usize, sender: Sender, fault: RedeemFault) -> (Answer, Option<Pair>) {
        let Code { grant, end } = self.codes[code];
        let no = (refused(400, "invalid_grant"), None);
        match (sender, fault) {
            (Sender::Impostor, _) => return (refused(401, "invalid_client"), None),
            (_, RedeemFault::WrongResource) => return (refused(400, "invalid_target"), None),
            (_, RedeemFault::NoVerifier) => return (refused(400, "invalid_request"), None),
            (Sender::Stranger, _) | (_, RedeemFault::WrongRedirect | RedeemFault::WrongVerifier) => {
                return no;
            }
            (Sender::Owner, RedeemFault::None | RedeemFault::RedirectLeftOut) => {}
        }
        let stored = &mut self.grants[grant];
        if self.now >= end || !stored.stored {
            return no;
        }
        // A used code ends its grant, and so does the code of a person whom the rules do not name any more.
        if stored.live.is_some() || self.rule == Rule::Names && !self.people.contains(&stored.user) {
            stored.stored = false;
            return no;
        }
        stored.live = Some((0, self.now));
        self.pair(grant, None)
    }

    fn refresh(&mut self, token: usize, sender: Sender, scope: Option<&str>) -> (Answer, Option<Pair>) {
        let Refresh { grant, generation: presented, end } = self.refresh[token];
        let no = (refused(400, "invalid_grant"), None);
        let stored = &mut self.grants[grant];
        match sender {
            Sender::Impostor => return (refused(401, "invalid_client"), None),
            Sender::Stranger => return no,
            Sender::Owner => {}
        }
        if self.now >= end || !stored.stored || self.now >= stored.end() {
            return no;
        }
        let (generation, rotated_at) = stored.live.expect("a refresh token comes after its code");
        let age = self.now.abs_diff(rotated_at);
        let previous = presented + 1 == generation && age <= HOUR;
        if presented != generation && !previous {
            stored.stored = false;
            return no;
        }
        // Within a minute the previous one needs no word of the policy; after that it does, like the current one.
        if !previous || age > MINUTE {
            match (self.rule, self.github) {
                (Rule::Members, Some(ProviderError::Unreachable))
                    if self.now.abs_diff(stored.admitted) <= DAY => {}
                (Rule::Members, Some(_)) => return (refused(503, "temporarily_unavailable"), None),
                (Rule::Names, _) | (Rule::Members, None) if self.people.contains(&stored.user) => {
                    stored.admitted = self.now;
                }
                (Rule::Names, _) | (Rule::Members, None) => {
                    stored.stored = false;
                    return no;
                }
            }
        }
        if !previous {
            stored.live = Some((generation + 1, self.now));
        } else if age > MINUTE {
            stored.late += 1;
        }
        self.pair(grant, scope)
    }

    /// A pair of the grant's current generation.
    fn pair(&self, index: usize, scope: Option<&str>) -> (Answer, Option<Pair>) {
        let grant = &self.grants[index];
        let (generation, rotated_at) = grant.live.expect("its code was redeemed");
        // Scopes that were not granted are dropped, those that every caller needs are kept.
        let narrowed = |asked| grant.scopes.intersection(&(&words(asked) | &words("mcp"))).cloned().collect();
        let scopes = scope.map_or_else(|| grant.scopes.clone(), narrowed);
        let access_end = grant.expires().min(self.now + HOUR);
        let answer = Answer::Tokens { scopes: scopes.clone(), expires_in: access_end - self.now };
        let refresh_end = grant.expires().min(rotated_at + 30 * DAY);
        (answer, Some(Pair { grant: index, generation, scopes, access_end, refresh_end }))
    }

    /// The pair was handed out; its tokens get the next numbers.
    pub(super) fn hand_out(&mut self, pair: Pair) {
        let Pair { grant, generation, scopes, access_end, refresh_end } = pair;
        self.access.push(Access { grant, scopes, end: access_end });
        self.refresh.push(Refresh { grant, generation, end: refresh_end });
    }

    fn revoke(&mut self, grant: usize, end: u64, sender: Sender) -> Answer {
        match sender {
            Sender::Impostor => return refused(401, "invalid_client"),
            Sender::Owner if self.now < end => self.grants[grant].stored = false,
            Sender::Owner | Sender::Stranger => {}
        }
        Answer::Done
    }

    fn use_access(&self, token: usize) -> Answer {
        let Access { grant, scopes, end } = &self.access[token];
        let stored = &self.grants[*grant];
        let admitted = self.rule == Rule::Members || self.people.contains(&stored.user);
        if self.now >= *end || !stored.stored || self.now >= stored.end() || !admitted {
            Answer::NoCaller(BearerError::Invalid)
        } else {
            Answer::Caller { grant: *grant, scopes: scopes.clone() }
        }
    }
}
