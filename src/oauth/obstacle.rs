//! What stands in the way of a person whom GitHub knows, in words: for them, and for the operator.

use super::provider::Obstacle;

impl Obstacle {
    /// For the person's page: what it is, and what to do.
    pub(super) fn texts(self) -> (&'static str, &'static str) {
        match self {
            Obstacle::Suspended => (
                "GitHub has suspended this account",
                "As long as that is so, nobody can log in with it. support.github.com, or the people who run your GitHub, can say \
             why. If you have another GitHub account, sign in to it on GitHub, then start the login again from your MCP \
             client.",
            ),
            Obstacle::UnverifiedEmail => (
                "Your email address is not verified at GitHub",
                "GitHub lets nobody log in elsewhere before that. Verify it on GitHub (Settings, Emails), then start the login \
             again from your MCP client.",
            ),
            Obstacle::InvitationPending => (
                "You have not accepted your invitation yet",
                "The organisation that is let in here has invited you on GitHub. Accept the invitation, which GitHub has sent you \
             by email and shows on the organisation's page, then start the login again from your MCP client.",
            ),
            Obstacle::SingleSignOn => (
                "Your organisation wants its single sign-on first",
                "GitHub does not say whether you are a member before you have passed the organisation's single sign-on (SAML). Open \
             the organisation's page on GitHub and sign in there, then start the login again from your MCP client.",
            ),
            Obstacle::AppNotApproved => (
                "Your organisation has not approved this app",
                "An owner of the organisation has to approve the app before GitHub says who is a member. You can ask for that on \
             GitHub: Settings, Applications, Authorized OAuth Apps, this app, Request. Then start the login again from your MCP \
             client.",
            ),
            Obstacle::AddressNotAllowed => (
                "Your organisation does not answer this server",
                "The organisation has a list of the addresses from which GitHub may be asked about it (IP allow list), and this \
             server's is not among them. An owner of the organisation can add it; the person who runs this server knows \
             which it is.",
            ),
            Obstacle::NotPermitted => (
                "This server may not ask who is in your organisation",
                "Its app at GitHub lacks a permission. The person who runs this server finds in its log what to change.",
            ),
        }
    }

    /// For the log: what the operator can do.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Obstacle::Suspended
            | Obstacle::UnverifiedEmail
            | Obstacle::InvitationPending
            | Obstacle::SingleSignOn => "none: the page tells the person what to do at GitHub",
            Obstacle::AppNotApproved => {
                "an owner approves the app: the organisation's Settings, Third-party Access, OAuth app policy"
            }
            Obstacle::AddressNotAllowed => {
                "an owner adds this server's address: the organisation's Settings, Authentication security, IP allow list"
            }
            Obstacle::NotPermitted => {
                "an OAuth app needs the scope read:org, which is asked for at a login; a GitHub App needs the organisation \
             permission Members, read-only"
            }
        }
    }
}
