//! Descriptions of GitHub's scopes, for the consent page.

/// The scopes that programs ask for most.
const WORDS: [(&str, &str); 22] = [
    ("repo", "Read and change all your repositories, private ones too"),
    ("repo:status", "Read and set the status of commits, in private repositories too"),
    ("repo_deployment", "Read and set deployments, in private repositories too"),
    ("public_repo", "Read and change your public repositories"),
    ("repo:invite", "Accept and decline invitations to repositories"),
    ("security_events", "Read and change security alerts of your repositories"),
    ("workflow", "Change the workflows of GitHub Actions in your repositories"),
    ("write:packages", "Read and publish packages"),
    ("read:packages", "Read packages"),
    ("delete:packages", "Delete packages"),
    ("delete_repo", "Delete your repositories"),
    ("admin:org", "Manage your organisations, their teams and members"),
    ("write:org", "Change memberships in your organisations"),
    ("read:org", "See your organisations and teams"),
    ("gist", "Create and change your gists"),
    ("notifications", "Read and mark your notifications"),
    ("user", "Read and change your profile"),
    ("read:user", "Read your profile"),
    ("user:email", "See your email addresses"),
    ("user:follow", "Follow and unfollow people"),
    ("project", "Read and change your projects"),
    ("read:project", "Read your projects"),
];

/// The description of a scope, if there is one.
pub(crate) fn in_words(scope: &str) -> Option<&'static str> {
    WORDS.iter().find(|(name, _)| *name == scope).map(|(_, words)| *words)
}
