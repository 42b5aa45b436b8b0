//! Chunks decode to the same body for any split of their bytes, equal to the result of a slow parser of the whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_oauth_server::internals::chunked::Decoder;

const LIMIT: usize = 1000;

/// Body and number of bytes used, if the body is complete; none if it is refused.
fn decode(input: &[u8], step: usize) -> Option<(bool, Vec<u8>, usize)> {
    let (mut decoder, mut body, mut used) = (Decoder::new(LIMIT), Vec::new(), 0);
    for piece in input.chunks(step) {
        used += decoder.decode(piece, &mut body).ok()?;
        assert!(body.len() <= LIMIT);
    }
    Some((decoder.is_done(), body, used))
}

/// RFC 9112 section 7.1 with the whole input at hand.
fn slowly(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    let mut rest = input;
    let line = |bytes: &[u8]| bytes.windows(2).position(|pair| pair == b"\r\n");
    let plain = |bytes: &[u8]| bytes.iter().all(|&b| b == b'\t' || (b >= 0x20 && b != 0x7f));
    loop {
        let end = line(rest)?;
        let digits = rest[..end].iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let extension = &rest[digits..end];
        if digits == 0 || digits > 16 || !plain(extension) || !(extension.is_empty() || extension[0] == b';')
        {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(&rest[..digits]).ok()?, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).ok().filter(|size| body.len().saturating_add(*size) <= LIMIT)?;
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
    loop {
        let end = line(rest)?;
        let trailer = &rest[..end];
        rest = &rest[end + 2..];
        if trailer.is_empty() {
            return Some((body, input.len() - rest.len()));
        }
        let colon = trailer.iter().position(|&b| b == b':').filter(|&colon| colon > 0)?;
        let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        if !trailer[..colon].iter().all(token) || !plain(trailer) {
            return None;
        }
    }
}

fuzz_target!(|data: &[u8]| {
    // Longer lines than the limits would need a parser with the same limits.
    let Some((&step, input)) = data.split_first().filter(|(_, input)| input.len() < 256) else { return };
    let whole = decode(input, input.len().max(1));
    assert_eq!(whole, decode(input, 1));
    assert_eq!(whole, decode(input, usize::from(step).max(1)));
    let complete = whole.and_then(|(done, body, used)| done.then_some((body, used)));
    assert_eq!(complete, slowly(input));
});
