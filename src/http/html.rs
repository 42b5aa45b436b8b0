//! Text in HTML, and the frame and headers of a whole page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Response;
use crate::base::sha256;

/// The icon of every page: a keyhole. It stands in the page, so that no browser asks for `/favicon.ico`.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
    %3Crect width='16' height='16' rx='4' fill='%231a6f3c'/%3E%3Ccircle cx='8' cy='6' r='2.5' fill='white'/%3E\
    %3Cpath d='M7 7h2l1 6H6z' fill='white'/%3E%3C/svg%3E";

/// `text` with every character escaped that could end a text or a quoted attribute. `&` first: the escapes begin with it.
pub fn escape(text: &str) -> String {
    let escapes = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")];
    escapes.iter().fold(text.to_owned(), |text, (character, escape)| text.replace(*character, escape))
}

/// A whole page without script: `title` is text, `style` and `body` are markup. B1: the policy has no `form-action`, which
/// Chromium applies to every redirect after a form was posted (C8); a form is protected by its sealed value, the cookie and
/// the Origin check instead.
pub fn page(status: u16, title: &str, style: &str, body: &str) -> Response {
    let title = escape(title);
    let html = format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
         <link rel=icon href=\"{ICON}\"><style>{style}</style></head><body>{body}</body></html>"
    );
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
        STANDARD.encode(sha256(style.as_bytes()))
    );
    Response::new(status)
        .bytes("text/html; charset=utf-8", html)
        .header("Content-Security-Policy", policy)
        .header("X-Frame-Options", "DENY")
        .header("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
}

#[cfg(test)]
mod tests;
