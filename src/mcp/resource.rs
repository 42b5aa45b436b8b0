//! Resources and resource templates: their definitions and the closures that read them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::backend::Context;
use super::call::CallError;
use super::completion::{Completers, Partial};
use super::content::ResourceContents;
use super::icon::Icon;
use super::uri_template::UriTemplate;

type Reader = Box<dyn Fn(&Context) -> Result<ResourceContents, CallError> + Send + Sync>;
type TemplateReader = Box<dyn Fn(&Context, &Match) -> Result<ResourceContents, CallError> + Send + Sync>;

/// A resource at one URI.
pub struct Resource {
    pub(super) definition: Definition,
    pub(super) reader: Option<Reader>,
}

/// A resource or a template, as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Definition {
    #[serde(flatten)]
    place: Place,
    name: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mime_type: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    icons: Vec<Icon>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Place {
    Uri(Cow<'static, str>),
    UriTemplate(Cow<'static, str>),
}

impl Definition {
    fn new(place: Place, name: Cow<'static, str>) -> Definition {
        Definition { place, name, title: None, description: None, mime_type: None, icons: Vec::new() }
    }

    /// The URI, or the template of it.
    pub(super) fn uri(&self) -> &Cow<'static, str> {
        let (Place::Uri(uri) | Place::UriTemplate(uri)) = &self.place;
        uri
    }
}

impl Resource {
    /// A resource without contents.
    pub fn new(uri: impl Into<Cow<'static, str>>, name: impl Into<Cow<'static, str>>) -> Resource {
        Resource { definition: Definition::new(Place::Uri(uri.into()), name.into()), reader: None }
    }

    /// The same with a name for people.
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Resource {
        self.definition.title = Some(title.into());
        self
    }

    /// The same with one more picture that clients may show.
    pub fn icon(mut self, icon: Icon) -> Resource {
        self.definition.icons.push(icon);
        self
    }

    /// The same with a description.
    pub fn description(mut self, description: impl Into<Cow<'static, str>>) -> Resource {
        self.definition.description = Some(description.into());
        self
    }

    /// The same with a media type.
    pub fn mime_type(mut self, mime_type: impl Into<Cow<'static, str>>) -> Resource {
        self.definition.mime_type = Some(mime_type.into());
        self
    }

    /// The same with a text that never changes.
    pub fn text(self, text: impl Into<Cow<'static, str>>) -> Resource {
        let contents = ResourceContents::text("", text);
        self.reader(move |_| Ok(contents.clone()))
    }

    /// The same, read by `reader` each time a client asks. It runs on a worker and may block there.
    pub fn reader<R: Into<ResourceContents>>(
        mut self,
        reader: impl Fn(&Context) -> Result<R, CallError> + Send + Sync + 'static,
    ) -> Resource {
        self.reader = Some(Box::new(move |context| reader(context).map(Into::into)));
        self
    }
}

/// A URI that a template fits, and what its variables stand for.
#[derive(Clone, Debug)]
pub struct Match {
    /// The URI as requested.
    pub uri: String,
    /// The variables' values, decoded; every variable of the template has one.
    pub variables: BTreeMap<String, String>,
}

/// Resources at every URI that a template fits.
pub struct ResourceTemplate {
    pub(super) definition: Definition,
    pub(super) completers: Completers,
    /// `None` if the template is not one that we can match.
    pub(super) template: Option<UriTemplate>,
    pub(super) reader: Option<TemplateReader>,
}

impl ResourceTemplate {
    /// A template without a reader. `uri_template` is of RFC 6570 level 1: `{name}` stands for what, percent-decoded, has no
    /// `/`, `\` or control character, and is not empty, `.` or `..`; a URI with something else there does not match.
    pub fn new(
        uri_template: impl Into<Cow<'static, str>>,
        name: impl Into<Cow<'static, str>>,
    ) -> ResourceTemplate {
        let uri_template = uri_template.into();
        let template = UriTemplate::parse(&uri_template);
        let definition = Definition::new(Place::UriTemplate(uri_template), name.into());
        ResourceTemplate { definition, completers: Completers::default(), template, reader: None }
    }

    /// The same with a name for people.
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> ResourceTemplate {
        self.definition.title = Some(title.into());
        self
    }

    /// The same with one more picture that clients may show.
    pub fn icon(mut self, icon: Icon) -> ResourceTemplate {
        self.definition.icons.push(icon);
        self
    }

    /// The same with a description.
    pub fn description(mut self, description: impl Into<Cow<'static, str>>) -> ResourceTemplate {
        self.definition.description = Some(description.into());
        self
    }

    /// The same with a media type.
    pub fn mime_type(mut self, mime_type: impl Into<Cow<'static, str>>) -> ResourceTemplate {
        self.definition.mime_type = Some(mime_type.into());
        self
    }

    /// The same with completion of a variable's value.
    pub fn complete(
        mut self,
        variable: impl Into<String>,
        completer: impl Fn(&Context, &Partial) -> Vec<String> + Send + Sync + 'static,
    ) -> ResourceTemplate {
        self.completers.insert(variable.into(), completer);
        self
    }

    /// The same, read by `reader`.
    pub fn reader<R: Into<ResourceContents>>(
        mut self,
        reader: impl Fn(&Context, &Match) -> Result<R, CallError> + Send + Sync + 'static,
    ) -> ResourceTemplate {
        self.reader = Some(Box::new(move |context, found| reader(context, found).map(Into::into)));
        self
    }
}
