//! `core/API.txt`: every public item of core, one line each, read from the sources.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, File, Item, UseTree, Visibility};

use super::{keep, read, root, text};

/// The sources of core by module path, as `trace::ladder`; the root is empty.
type Sources = BTreeMap<String, File>;

fn sources() -> Sources {
    let mut found = Sources::new();
    let mut waiting = vec![(String::new(), "core/src/lib.rs".to_owned())];
    while let Some((module, path)) = waiting.pop() {
        let file = syn::parse_file(&read(&path)).unwrap_or_else(|why| panic!("{path}: {why}"));
        for child in file.items.iter().filter_map(|item| if let Item::Mod(child) = item { Some(child) } else { None }) {
            if child.content.is_some() || is_left_out(&child.attrs) {
                continue;
            }
            let folder = match path.rsplit_once('/') {
                Some((folder, "lib.rs" | "mod.rs")) => folder.to_owned(),
                _ => path.trim_end_matches(".rs").to_owned(),
            };
            let name = child.ident.to_string();
            let inner = if module.is_empty() { name.clone() } else { format!("{module}::{name}") };
            let flat = format!("{folder}/{name}.rs");
            waiting.push((inner, if root().join(&flat).exists() { flat } else { format!("{folder}/{name}/mod.rs") }));
        }
        found.insert(module, file);
    }
    found
}

/// For tests only, or for nobody.
fn is_left_out(attributes: &[Attribute]) -> bool {
    attributes.iter().map(text).any(|attribute| matches!(attribute.as_str(), "#[cfg(test)]" | "#[doc(hidden)]"))
}

/// `#[cfg(feature = "ideal")] ` in front of what has it.
fn condition(attributes: &[Attribute]) -> String {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).map(|attribute| text(attribute) + " ").collect()
}

struct Api<'a> {
    sources: &'a Sources,
    lines: BTreeSet<String>,
    /// Where each public type is defined, and the name that callers use.
    types: BTreeMap<(String, String), String>,
}

fn top(module: &str) -> String {
    module.split("::").next().unwrap_or_default().into()
}

impl Api<'_> {
    /// Every public item of `module`, or those of these names, under `prefix`.
    fn export(&mut self, module: &str, names: Option<&BTreeSet<String>>, prefix: &str) {
        let Some(file) = self.sources.get(module) else { return };
        for item in &file.items {
            match item {
                Item::Use(used) if is_public(&used.vis) => self.export_use(module, &used.tree, names, prefix),
                Item::Mod(inner) if is_public(&inner.vis) && names.is_none() && !is_left_out(&inner.attrs) => {
                    let (name, child) =
                        (&inner.ident, if module.is_empty() { inner.ident.to_string() } else { format!("{module}::{}", inner.ident) });
                    self.lines.insert(format!("{prefix}{name}: pub mod"));
                    self.export(&child, None, &format!("{prefix}{name}::"));
                }
                Item::Macro(called) => self.macro_lines(called, names, prefix),
                other => self.item(module, other, names, prefix),
            }
        }
    }

    fn export_use(&mut self, module: &str, tree: &UseTree, names: Option<&BTreeSet<String>>, prefix: &str) {
        let UseTree::Path(path) = tree else { return };
        let child = if module.is_empty() { path.ident.to_string() } else { format!("{module}::{}", path.ident) };
        let asked = match &*path.tree {
            UseTree::Glob(_) => names.cloned(),
            UseTree::Name(name) => Some([name.ident.to_string()].into()),
            UseTree::Group(group) => Some(
                group
                    .items
                    .iter()
                    .filter_map(|tree| if let UseTree::Name(name) = tree { Some(name.ident.to_string()) } else { None })
                    .collect(),
            ),
            UseTree::Path(_) | UseTree::Rename(_) => panic!("{}: teach this test to read it", text(tree)),
        };
        self.export(&child, asked.as_ref(), prefix);
    }

    fn item(&mut self, module: &str, item: &Item, names: Option<&BTreeSet<String>>, prefix: &str) {
        let (vis, attributes, name) = match item {
            Item::Const(item) => (&item.vis, &item.attrs, &item.ident),
            Item::Enum(item) => (&item.vis, &item.attrs, &item.ident),
            Item::Fn(item) => (&item.vis, &item.attrs, &item.sig.ident),
            Item::Struct(item) => (&item.vis, &item.attrs, &item.ident),
            Item::Trait(item) => (&item.vis, &item.attrs, &item.ident),
            Item::Type(item) => (&item.vis, &item.attrs, &item.ident),
            _ => return,
        };
        if !is_public(vis) || is_left_out(attributes) || names.is_some_and(|names| !names.contains(&name.to_string())) {
            return;
        }
        let (full, before) = (format!("{prefix}{name}"), condition(attributes));
        self.types.insert((top(module), name.to_string()), full.clone());
        let lines = &mut self.lines;
        let mut add = |line: String| {
            lines.insert(format!("{full}: {before}{line}"));
        };
        let open = if attributes.iter().any(|attribute| attribute.path().is_ident("non_exhaustive")) { "#[non_exhaustive] " } else { "" };
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
            add(text(attribute));
        }
        match item {
            Item::Const(item) => add(format!("pub const: {}", text(&item.ty))),
            Item::Fn(item) => add(format!("pub {}", text(&item.sig))),
            Item::Type(item) => add(format!("pub type = {}", text(&item.ty))),
            Item::Struct(item) => {
                add(format!("{open}pub struct{}", text(&item.generics)));
                for field in item.fields.iter().filter(|field| is_public(&field.vis)) {
                    let name = field.ident.as_ref().map_or_else(|| "0".into(), ToString::to_string);
                    add(format!("pub {name}: {}", text(&field.ty)));
                }
            }
            Item::Enum(item) => {
                add(format!("{open}pub enum{}", text(&item.generics)));
                for variant in &item.variants {
                    let fields: Vec<String> = variant.fields.iter().map(|field| named(field.ident.as_ref(), &field.ty)).collect();
                    let fields = if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) };
                    add(format!("{}{fields}", variant.ident));
                }
            }
            Item::Trait(item) => {
                add(format!("pub trait {}", text(&item.supertraits)).trim_end().into());
                for inner in &item.items {
                    if let syn::TraitItem::Fn(inner) = inner {
                        let provided = if inner.default.is_some() { " { … }" } else { "" };
                        add(format!("{}{provided}", text(&inner.sig)));
                    }
                }
            }
            _ => {}
        }
    }

    /// What a macro declares: its call without documentation, and the public functions that it writes for each.
    fn macro_lines(&mut self, item: &syn::ItemMacro, names: Option<&BTreeSet<String>>, prefix: &str) {
        if is_left_out(&item.attrs) || names.is_some() {
            return;
        }
        let name = text(&item.mac.path);
        if let Some(defined) = &item.ident {
            let mut functions = Vec::new();
            public_functions(item.mac.tokens.clone(), &mut functions);
            self.lines.extend(functions.iter().map(|function| format!("{prefix}{defined}!: {function}")));
            return;
        }
        let plain = undocumented(item.mac.tokens.clone());
        for entry in text(&plain).split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            self.lines.insert(format!("{prefix}{name}! {entry}"));
        }
    }

    /// The public functions of the public types, and the traits that they have.
    fn impls(&mut self) {
        for (module, file) in self.sources {
            for item in file.items.iter().filter_map(|item| if let Item::Impl(item) = item { Some(item) } else { None }) {
                let syn::Type::Path(of) = &*item.self_ty else { continue };
                let Some(name) = of.path.segments.last().map(|segment| segment.ident.to_string()) else { continue };
                let Some(full) = self.types.get(&(top(module), name)).cloned().filter(|_| !is_left_out(&item.attrs)) else { continue };
                if let Some((path, _)) = &item.trait_ {
                    self.lines.insert(format!("{full}: impl {}", text(path)));
                    continue;
                }
                for inner in &item.items {
                    let line = match inner {
                        syn::ImplItem::Fn(inner) if is_public(&inner.vis) && !is_left_out(&inner.attrs) => {
                            format!("{}pub {}", condition(&inner.attrs), text(&inner.sig))
                        }
                        syn::ImplItem::Const(inner) if is_public(&inner.vis) => format!("pub const {}: {}", inner.ident, text(&inner.ty)),
                        _ => continue,
                    };
                    self.lines.insert(format!("{full}: {line}"));
                }
            }
        }
    }
}

fn named(name: Option<&syn::Ident>, of: &syn::Type) -> String {
    name.map_or_else(|| text(of), |name| format!("{name}: {}", text(of)))
}

fn is_public(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

/// Without `#[…]`.
fn undocumented(tokens: TokenStream) -> TokenStream {
    let mut out = TokenStream::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let is_attribute = matches!(&token, TokenTree::Punct(mark) if mark.as_char() == '#')
            && matches!(tokens.peek(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket);
        if is_attribute {
            tokens.next();
        } else {
            token.to_tokens(&mut out);
        }
    }
    out
}

/// The signatures of all `pub fn`, and the names and types of all `pub const`, in the body of a macro.
fn public_functions(tokens: TokenStream, found: &mut Vec<String>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if let TokenTree::Group(group) = &token {
            public_functions(group.stream(), found);
        }
        let follows = matches!(tokens.peek(), Some(TokenTree::Ident(next)) if ["fn", "const"].contains(&next.to_string().as_str()));
        if follows && matches!(&token, TokenTree::Ident(word) if word == "pub") {
            let mut signature = token.to_token_stream();
            let ends = |next: &TokenTree| match next {
                TokenTree::Group(body) => body.delimiter() == Delimiter::Brace,
                TokenTree::Punct(mark) => matches!(mark.as_char(), '=' | ';'),
                TokenTree::Ident(_) | TokenTree::Literal(_) => false,
            };
            while let Some(next) = tokens.next_if(|next| !ends(next)) {
                next.to_tokens(&mut signature);
            }
            found.push(text(&signature));
        }
    }
}

fn api(sources: &Sources) -> BTreeSet<String> {
    let mut api = Api { sources, lines: BTreeSet::new(), types: BTreeMap::new() };
    api.export("", None, "");
    api.impls();
    api.lines
}

#[test]
fn the_public_items_of_core_are_those_that_were_reviewed() {
    let lines = api(&sources());
    assert!(lines.len() > 500, "only {} lines were read", lines.len());
    let head = "# Every public item of overcom-core, in the order of the alphabet, read from its sources. A change here is a change for callers:\n\
         # it needs a line in CHANGELOG.md, and \"(breaking)\" if something went or changed.\n";
    keep("core/API.txt", &lines.iter().fold(head.to_owned(), |text, line| text + line + "\n"));
}

#[test]
fn what_callers_use_is_found_and_what_they_cannot_see_is_not() {
    let of = |code: &str| {
        let root = syn::parse_file("mod a; pub use a::*; #[doc(hidden)] pub mod fuzz;").unwrap();
        api(&Sources::from([(String::new(), root), ("a".into(), syn::parse_file(code).unwrap())])).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(
        of("pub struct S<'a> { pub a: &'a [u8], b: u8 } impl S<'_> { pub const fn f(&self, x: Option<u8>) -> u8 { 1 } fn g() {} }"),
        ["S: pub a: &'a [u8]", "S: pub const fn f(&self, x: Option<u8>) -> u8", "S: pub struct<'a>",]
    );
    assert_eq!(
        of("#[non_exhaustive] #[derive(Clone)] pub enum E { A, B { c: u8 } } impl fmt::Display for E {} pub(crate) fn f() {}"),
        ["E: #[derive(Clone)]", "E: #[non_exhaustive] pub enum", "E: A", "E: B (c: u8)", "E: impl fmt::Display",]
    );
    assert_eq!(
        of(
            "macro_rules! id { ($n:ident) => { pub struct $n; impl $n { pub fn new(n: u8) -> Self { Self } fn x() {} } } } id! { /// An id.\n A }"
        ),
        ["id! A", "id!: pub fn new(n: u8) -> Self",]
    );
    assert_eq!(of("struct Hidden; impl Hidden { pub fn f() {} } #[cfg(test)] pub fn g() {}"), Vec::<String>::new());
}
