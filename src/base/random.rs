//! Randomness: the only module that reads the operating system's generator.

/// A source of random bytes: the operating system, or a counter in tests.
pub trait Random: Send + Sync {
    /// Fills `bytes` with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Random + '_ {
    /// `N` fresh random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// The operating system's generator.
#[derive(Debug)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // A kernel without randomness cannot serve safely: the panic ends this request with a 500, nothing is issued.
        getrandom::getrandom(bytes).expect("the kernel gives random bytes");
    }
}

/// Bytes that differ on each call and repeat on each run.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct CountedRandom(std::sync::atomic::AtomicU64);

#[cfg(test)]
impl Random for CountedRandom {
    fn fill(&self, bytes: &mut [u8]) {
        use sha2::Digest;
        for chunk in bytes.chunks_mut(32) {
            let count = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let block = sha2::Sha256::digest(count.to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}
