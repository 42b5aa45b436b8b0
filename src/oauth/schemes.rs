//! Private-use schemes of redirect URIs (RFC 8252 section 7.1): those of known clients, those that the operator adds, and
//! those that cannot be added.

#[cfg(test)]
mod tests;

/// Schemes without a dot of known clients; reverse domain names need no list. An editor made from VS Code answers on its
/// product's `urlProtocol`, for its own logins (`SCHEME://dynamicauthprovider/…`) and for its extensions' (Cline, Continue).
const KNOWN: [&str; 37] = [
    "antigravity",       // Google Antigravity: urlProtocol
    "antigravity-ide",   // the same, since 2.0: urlProtocol
    "cherrystudio",      // Cherry Studio: CherryHQ/cherry-studio, cherrystudio://oauth/callback
    "claude",            // Claude Desktop: anthropics/claude-code#93671
    "code-oss",          // VS Code from source: microsoft/vscode, product.json
    "codebuddy",         // Tencent CodeBuddy: codebuddy://…
    "cursor",            // Cursor: cursor.com/docs
    "cursor-nightly",    // the same, nightly: Cursor's extension cursor-mcp
    "devin",             // Devin Desktop: devin://…
    "goose",             // Goose: block/goose, ui/desktop/forge.config.ts
    "grokbot",           // Grok Bot: cursor/plugins#461
    "insomnia",          // Insomnia: Kong/insomnia, insomnia://oauth/…
    "jetbrains",         // JetBrains IDEs: jetbrains://IDE/…
    "kiro",              // AWS Kiro: kiro://kiro.kiroAgent/…
    "lmstudio",          // LM Studio: lmstudio.ai/docs
    "mcpjam",            // MCPJam Inspector: its metadata document
    "obsidian",          // Obsidian's plugins: obsidian://mcp-auth-callback
    "positron",          // Positron: posit-dev/positron, product.json
    "postman",           // Postman: postman://app/oauth2/callback
    "qoder",             // Alibaba Qoder: qoder://aicoding.aicoding-agent/…
    "raycast",           // Raycast: developers.raycast.com, OAuth
    "trae",              // ByteDance Trae: urlProtocol
    "trae-cn",           // the same for China: trae-cn://…
    "void",              // Void: voideditor/void, product.json
    "vscode",            // VS Code: urlProtocol
    "vscode-insiders",   // the same, insiders
    "vscodium",          // VSCodium: prepare_vscode.sh
    "vscodium-insiders", // the same, insiders
    "warp",              // Warp: warp://mcp/oauth2callback; the next four: its other channels
    "warpdev",
    "warplocal",
    "warposs",
    "warppreview",
    "windsurf",      // Windsurf: windsurf://codeium.windsurf/…
    "windsurf-next", // the same, next
    "workbuddy",     // Tencent WorkBuddy: liketrek/TREK#2227
    "zed",           // Zed: zed-industries/zed
];

/// Schemes that a browser or its system runs, reads or opens itself. No other rule admits them.
const FORBIDDEN: &str = "about blob chrome data file filesystem ftp http https intent jar javascript mailto resource sms tel \
                         urn vbscript view-source ws wss";

/// The schemes that the operator admits beside those of known clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedirectSchemes(Vec<String>);

impl RedirectSchemes {
    /// Reads a comma list.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<RedirectSchemes, &'static str> {
        let scheme = |name: &str| {
            let name = name.trim().trim_end_matches("://");
            if !is_well_formed(name) {
                return Err("write names of schemes in lower case like myapp, separated by commas");
            }
            if is_forbidden(name) {
                return Err(
                    "http, https and what a browser runs or opens itself, like javascript and data, cannot be added",
                );
            }
            Ok(name.to_owned())
        };
        text.split(',').map(scheme).collect::<Result<_, _>>().map(RedirectSchemes)
    }

    /// Whether a stranger may register a redirect URI of this private-use scheme.
    pub(super) fn admit(&self, scheme: &str) -> bool {
        scheme.contains('.') || KNOWN.contains(&scheme) || self.0.iter().any(|added| added == scheme)
    }
}

/// RFC 3986 section 3.1, in lower case only.
pub(super) fn is_well_formed(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
}

/// Whether no rule can admit the scheme.
pub(super) fn is_forbidden(scheme: &str) -> bool {
    FORBIDDEN.split(' ').any(|forbidden| forbidden == scheme)
}
