//! Metadata documents without a network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::oauth::{Client, ClientDocuments, ClientUrl, RedirectSchemes};

/// Documents that are there without a network.
#[derive(Default)]
pub(crate) struct FakeDocuments {
    documents: Mutex<HashMap<String, String>>,
    finds: Mutex<usize>,
}

impl FakeDocuments {
    /// Puts a document at `url`.
    pub(crate) fn publish(&self, url: &str, document: &serde_json::Value) {
        self.documents.lock().unwrap().insert(url.to_owned(), document.to_string());
    }

    /// How often somebody looked for one.
    pub(crate) fn finds(&self) -> usize {
        *self.finds.lock().unwrap()
    }
}

impl ClientDocuments for FakeDocuments {
    fn find(&self, url: &ClientUrl, _: Option<IpAddr>) -> Option<Arc<Client>> {
        *self.finds.lock().unwrap() += 1;
        let documents = self.documents.lock().unwrap();
        let body = documents.get(url.as_str())?.as_bytes();
        Client::described(url, body, &RedirectSchemes::default()).ok().map(Arc::new)
    }
}
