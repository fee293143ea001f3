//! The fields of the configuration as its source text declares them: names, types, and what their comments say.

use std::collections::BTreeMap;

use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, Expr, GenericArgument, Ident, Item, ItemStruct, Lit, LitStr, PathArguments, Token, Type,
};

const FILES: [&str; 3] = [
    include_str!("../../src/kubelet.rs"),
    include_str!("../../src/logging.rs"),
    include_str!("../../src/choice.rs"),
];

/// A field that holds a value, or a list of objects.
pub(crate) struct Field {
    /// `authentication.webhook.cacheTTL`; what is in a list of objects is `registerWithTaints[].key`.
    pub(crate) path: String,
    /// What it takes.
    pub(crate) kind: String,
    /// The field's comment.
    pub(crate) help: String,
}

/// What the files declare.
pub(crate) struct Source {
    structs: BTreeMap<String, ItemStruct>,
    /// The words of each field that takes one of a few.
    choices: BTreeMap<String, Vec<String>>,
}

impl Source {
    pub(crate) fn read() -> Self {
        let mut source = Self { structs: BTreeMap::new(), choices: BTreeMap::new() };
        for text in FILES {
            for item in syn::parse_file(text).unwrap().items {
                match item {
                    Item::Struct(item) => drop(source.structs.insert(item.ident.to_string(), item)),
                    Item::Macro(item) if item.mac.path.is_ident("choices") => {
                        source.choices.extend(item.mac.parse_body::<Choices>().unwrap().0);
                    }
                    _ => {}
                }
            }
        }
        source
    }

    /// The fields of the struct `name` and of the structs in it.
    pub(crate) fn fields(&self, name: &str) -> Vec<Field> {
        let mut fields = Vec::new();
        self.walk(&self.structs[name], "", None, &mut fields);
        fields
    }

    /// Adds the fields of `item`; `about` is the comment of the field that holds it.
    fn walk(&self, item: &ItemStruct, prefix: &str, about: Option<&str>, fields: &mut Vec<Field>) {
        let names: BTreeMap<String, String> = item
            .fields
            .iter()
            .map(|field| (field.ident.as_ref().unwrap().to_string(), in_file(field)))
            .collect();
        for field in &item.fields {
            let path = format!("{prefix}{}", in_file(field));
            let (holder, ty) = unwrapped(&field.ty);
            let inner = self.structs.get(&ty).filter(|item| item.semi_token.is_none());
            let own = spelled_as_in_file(&comment(&field.attrs), &names);
            if holder == Holder::List || inner.is_none() {
                let help = about.map_or_else(|| own.clone(), |about| of(about, &own));
                fields.push(Field { path: path.clone(), kind: self.kind(&holder, &ty), help });
            }
            if let Some(inner) = inner {
                let list = if holder == Holder::List { "[]" } else { "" };
                self.walk(inner, &format!("{path}{list}."), Some(&own), fields);
            }
        }
    }

    fn kind(&self, holder: &Holder, ty: &str) -> String {
        if let Some(words) = self.choices.get(ty) {
            let words = words.iter().map(|word| format!("`{word}`"));
            return words.map(|word| word.replace("``", "empty")).collect::<Vec<_>>().join(", ");
        }
        let one = match ty {
            "bool" => "boolean",
            "i32" | "i64" | "u32" => "integer",
            "f64" => "number",
            "String" => "string",
            "PathBuf" => "path",
            "Duration" => "duration",
            "Headers" => "map of lists of strings",
            ty if self.structs.contains_key(ty) => "object",
            ty => panic!("the type {ty} has no name for operators"),
        };
        match holder {
            Holder::None => one.to_owned(),
            Holder::List => format!("list of {one}s"),
            Holder::Map => format!("map of {one}s"),
        }
    }
}

/// What is around a field's type.
#[derive(PartialEq, Eq)]
enum Holder {
    None,
    List,
    Map,
}

fn unwrapped(ty: &Type) -> (Holder, String) {
    let Type::Path(path) = ty else { panic!("a field has a type without a name") };
    let last = path.path.segments.last().unwrap();
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return (Holder::None, last.ident.to_string());
    };
    let Some(GenericArgument::Type(inner)) = arguments.args.last() else {
        panic!("{} of nothing", last.ident)
    };
    let (_, name) = unwrapped(inner);
    let holder = match last.ident.to_string().as_str() {
        "Option" => Holder::None,
        "Vec" => Holder::List,
        "BTreeMap" => Holder::Map,
        other => panic!("{other} has no name for operators"),
    };
    (holder, name)
}

/// The field's name in a configuration file: what serde is told, or in camel case.
fn in_file(field: &syn::Field) -> String {
    let mut renamed = None;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute
            .parse_nested_meta(|meta| {
                let value: LitStr = meta.value()?.parse()?;
                if meta.path.is_ident("rename") {
                    renamed = Some(value.value());
                }
                Ok(())
            })
            .unwrap();
    }
    renamed.unwrap_or_else(|| {
        let name = field.ident.as_ref().unwrap().to_string();
        let mut words = name.split('_');
        let first = words.next().unwrap().to_owned();
        words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
    })
}

fn comment(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).map(|attribute| {
        match &attribute.meta.require_name_value().unwrap().value {
            Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) => text.value().trim().to_owned(),
            _ => panic!("a comment that is no text"),
        }
    });
    lines.collect::<Vec<_>>().join(" ")
}

/// A comment that is read where it does not see what it is about.
fn of(about: &str, own: &str) -> String {
    let is_name = own.chars().nth(1).is_some_and(char::is_uppercase);
    let (first, rest) = own.split_at(1);
    let first = if is_name { first.to_owned() } else { first.to_lowercase() };
    format!("{}: {first}{rest}", about.split(['.', ';']).next().unwrap_or(about))
}

/// The comment with the names of other fields as an operator writes them.
fn spelled_as_in_file(comment: &str, names: &BTreeMap<String, String>) -> String {
    let parts = comment.split('`').map(|part| names.get(part).map_or(part, String::as_str));
    parts.collect::<Vec<_>>().join("`")
}

/// The body of `choices!`.
struct Choices(BTreeMap<String, Vec<String>>);

impl Parse for Choices {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut choices = BTreeMap::new();
        while !input.is_empty() {
            Attribute::parse_outer(input)?;
            let name: Ident = input.parse()?;
            let body;
            syn::braced!(body in input);
            let mut words = Vec::new();
            while !body.is_empty() {
                Attribute::parse_outer(&body)?;
                body.parse::<Ident>()?;
                body.parse::<Token![=]>()?;
                words.push(body.parse::<LitStr>()?.value());
                body.parse::<Token![,]>()?;
            }
            choices.insert(name.to_string(), words);
        }
        Ok(Self(choices))
    }
}
