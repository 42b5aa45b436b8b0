//! The steps that may be done, and how they are chosen. What a step is about is chosen by how recent it is, so that a
//! sequence still means something when some of its steps are left out: failures shrink to a few steps.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::sample::select;
use proptest::{option, prop_oneof};

use super::model::{self, DAY, HOUR, MINUTE, Model, RedeemFault, Rule, Sender};
use crate::oauth::provider::ProviderError;

/// One of the things of some kind: the so-manyeth from the newest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pick(usize);

impl Pick {
    /// The number of one among `count`, if there is any.
    pub(super) fn of(self, count: usize) -> Option<usize> {
        count.checked_sub(1).map(|newest| newest - self.0 % count)
    }
}

/// The browser of a step: the one that began the login, or that of another login.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Browser {
    Own,
    Other,
}

impl Browser {
    pub(super) fn of(self, login: usize, count: usize) -> usize {
        if self == Browser::Own { login } else { (login + 1) % count }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum AuthorizeFault {
    None,
    UnknownClient,
    OtherRedirect,
    PlainChallenge,
    OtherResource,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum CallbackFault {
    None,
    /// The code that GitHub gave the last time, which it may have redeemed.
    OldCode,
    BadCode,
    Cancelled,
    OtherIssuer,
}

/// A [`model::Call`] whose code or token is not chosen yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    Redeem(Pick, Sender, RedeemFault),
    Refresh(Pick, Sender, Option<&'static str>),
    RevokeAccess(Pick, Sender),
    RevokeRefresh(Pick, Sender),
    Use(Pick),
    UseRefresh(Pick),
    RefreshWithAccess(Pick),
    RedeemRefresh(Pick),
}

impl Call {
    /// The call, about a code or token that there is.
    pub(super) fn numbered(self, model: &Model) -> Option<model::Call> {
        let tokens = model.access.len();
        Some(match self {
            Call::Redeem(pick, sender, fault) => {
                model::Call::Redeem { code: pick.of(model.codes.len())?, sender, fault }
            }
            Call::Refresh(pick, sender, scope) => {
                model::Call::Refresh { token: pick.of(tokens)?, sender, scope }
            }
            Call::RevokeAccess(pick, sender) => model::Call::RevokeAccess { token: pick.of(tokens)?, sender },
            Call::RevokeRefresh(pick, sender) => {
                model::Call::RevokeRefresh { token: pick.of(tokens)?, sender }
            }
            Call::Use(pick) => model::Call::Use { token: pick.of(tokens)? },
            Call::UseRefresh(pick) => model::Call::UseRefresh { token: pick.of(tokens)? },
            Call::RefreshWithAccess(pick) => model::Call::RefreshWithAccess { token: pick.of(tokens)? },
            Call::RedeemRefresh(pick) => model::Call::RedeemRefresh { token: pick.of(tokens)? },
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Register {
        method: &'static str,
        redirect: usize,
        scopes: &'static str,
    },
    Authorize {
        client: Pick,
        scope: Option<&'static str>,
        fault: AuthorizeFault,
    },
    Consent {
        login: Pick,
        browser: Browser,
        decision: &'static str,
    },
    Callback {
        login: Pick,
        browser: Browser,
        fault: CallbackFault,
        user: usize,
    },
    /// The three above with everything right.
    LogIn {
        client: Pick,
        user: usize,
        scope: Option<&'static str>,
    },
    Call(Call),
    /// Two at once.
    Race(Call, Call),
    Forward(u64),
    /// Somebody sets the clock.
    Ahead(u64),
    Back(u64),
    Sweep,
    /// Another server over the same table.
    Restart,
    /// These of the people, and no others: another server that names them, or another answer of GitHub's.
    Policy([bool; 3]),
    /// From now on GitHub answers so.
    GitHub(Option<ProviderError>),
}

pub(super) fn sequence() -> impl Strategy<Value = (Rule, Vec<Step>)> {
    (select(&[Rule::Names, Rule::Members]), vec(step(), 1..60))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (select(&["none", "client_secret_post"]), 0..3_usize, select(&["", "mcp", "mcp read"]))
            .prop_map(|(method, redirect, scopes)| Step::Register { method, redirect, scopes }),
        2 => (pick(), scope(), authorize_fault())
            .prop_map(|(client, scope, fault)| Step::Authorize { client, scope, fault }),
        2 => (pick(), browser(), select(&["approve", "approve", "deny"]))
            .prop_map(|(login, browser, decision)| Step::Consent { login, browser, decision }),
        3 => (pick(), browser(), callback_fault(), 0..3_usize)
            .prop_map(|(login, browser, fault, user)| Step::Callback { login, browser, fault, user }),
        5 => (pick(), 0..3_usize, scope())
            .prop_map(|(client, user, scope)| Step::LogIn { client, user, scope }),
        20 => call().prop_map(Step::Call),
        4 => (call(), call()).prop_map(|(one, other)| Step::Race(one, other)),
        4 => call().prop_map(|call| Step::Race(call, call)),
        4 => select(&[1, 30, MINUTE - 1, MINUTE, MINUTE + 1]).prop_map(Step::Forward),
        1 => select(&[10 * MINUTE, HOUR - 1, HOUR, HOUR + 1, DAY, 29 * DAY, 30 * DAY, 60 * DAY]).prop_map(Step::Forward),
        1 => select(&[MINUTE, HOUR, 120 * DAY]).prop_map(Step::Ahead),
        1 => select(&[1, MINUTE + 1, HOUR, 40 * DAY, 120 * DAY]).prop_map(Step::Back),
        2 => Just(Step::Sweep),
        1 => Just(Step::Restart),
        1 => any::<[bool; 3]>().prop_map(Step::Policy),
        1 => select(&[None, None, Some(ProviderError::Unreachable), Some(ProviderError::UsedUp)])
            .prop_map(Step::GitHub),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        8 => (pick(), sender(), redeem_fault()).prop_map(|(code, sender, fault)| Call::Redeem(code, sender, fault)),
        8 => (pick(), sender(), scope()).prop_map(|(token, sender, scope)| Call::Refresh(token, sender, scope)),
        1 => (pick(), sender()).prop_map(|(token, sender)| Call::RevokeAccess(token, sender)),
        1 => (pick(), sender()).prop_map(|(token, sender)| Call::RevokeRefresh(token, sender)),
        5 => pick().prop_map(Call::Use),
        1 => pick().prop_map(Call::UseRefresh),
        1 => pick().prop_map(Call::RefreshWithAccess),
        1 => pick().prop_map(Call::RedeemRefresh),
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![6 => Just(0), 3 => 0..4_usize, 1 => 0..64_usize].prop_map(Pick)
}

fn scope() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![
        3 => Just(None),
        1 => option::of(select(&["mcp", "read", "mcp read write", "write unknown", "unknown"])),
    ]
}

fn sender() -> impl Strategy<Value = Sender> {
    prop_oneof![8 => Just(Sender::Owner), 1 => Just(Sender::Stranger), 1 => Just(Sender::Impostor)]
}

fn browser() -> impl Strategy<Value = Browser> {
    prop_oneof![4 => Just(Browser::Own), 1 => Just(Browser::Other)]
}

fn redeem_fault() -> impl Strategy<Value = RedeemFault> {
    let faults = [
        RedeemFault::RedirectLeftOut,
        RedeemFault::WrongRedirect,
        RedeemFault::WrongVerifier,
        RedeemFault::NoVerifier,
        RedeemFault::WrongResource,
    ];
    prop_oneof![4 => Just(RedeemFault::None), 1 => select(faults.to_vec())]
}

fn authorize_fault() -> impl Strategy<Value = AuthorizeFault> {
    let faults = [
        AuthorizeFault::UnknownClient,
        AuthorizeFault::OtherRedirect,
        AuthorizeFault::PlainChallenge,
        AuthorizeFault::OtherResource,
    ];
    prop_oneof![3 => Just(AuthorizeFault::None), 1 => select(faults.to_vec())]
}

fn callback_fault() -> impl Strategy<Value = CallbackFault> {
    let faults = [
        CallbackFault::OldCode,
        CallbackFault::BadCode,
        CallbackFault::Cancelled,
        CallbackFault::OtherIssuer,
    ];
    prop_oneof![2 => Just(CallbackFault::None), 1 => select(faults.to_vec())]
}
