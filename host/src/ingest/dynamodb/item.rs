//! Turns an item into a record: by the names of its attributes, because every item may have others.

use crate::config::ingest::{DynamodbIngest, Member, MemberKind};
use crate::fault::{Code, Fault};
use crate::ingest::cell::Cell;
use crate::ingest::dynamodb::attribute::{Attribute, Binaries, Item, key_json};
use crate::ingest::mapping::{Mapping, Row};

/// How the items of a table become records.
#[derive(Clone, PartialEq, Debug)]
pub struct ItemMapping {
    table: String,
    /// The attributes that tell items of the table apart.
    table_key: Vec<String>,
    key: String,
    members: Option<Vec<Member>>,
}

impl ItemMapping {
    /// The mapping of an ingest. `table_key` names the attributes of the table's own key.
    pub fn new(ingest: &DynamodbIngest, table_key: Vec<String>) -> Self {
        Self {
            table: ingest.table.clone(),
            table_key,
            key: ingest.key.clone(),
            members: ingest.members.clone(),
        }
    }

    /// Whether two items can have the same record key: not when it is the table's own.
    pub fn can_repeat(&self) -> bool {
        self.table_key != [self.key.clone()]
    }

    /// The members' attributes, without repetition.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        self.members.iter().flatten().map(|member| member.field.as_str())
    }

    /// The record of an item. Without members, all attributes of the item but the key are members, sorted by their names.
    ///
    /// # Errors
    /// `column_missing` when the item has no such key, `ingest_key_null`, `ingest_value_unfit`; all name the item.
    pub fn record(&self, item: &Item) -> Result<Row, Fault> {
        if !item.contains_key(&self.key) {
            return Err(self.without_key(item));
        }
        let unfit = |name: &str, problem: String| {
            self.fault(Code::IngestValueUnfit, item).because(format!("attribute `{name}` {problem}"))
        };
        let mut members = self.members.clone();
        // Members that may be base64 wherever there are bytes in them.
        let in_base64: Vec<_> =
            members.iter().flatten().filter(|member| member.kind == MemberKind::Base64).collect();
        let binaries = |name: &str| match in_base64.iter().any(|member| member.field == name) {
            true => Binaries::Base64,
            false => Binaries::Refused,
        };
        let (mut fields, mut cells) = (Vec::new(), Vec::new());
        for name in self.fields(item) {
            let attribute = item.get(name).unwrap_or(&Attribute::Null);
            cells.push(attribute.cell(binaries(name)).map_err(|problem| unfit(name, problem))?);
            fields.push(name.to_owned());
        }
        for member in members.iter_mut().flatten().filter(|member| member.kind == MemberKind::Base64) {
            let position = fields.iter().position(|field| *field == member.field);
            if let Some(Cell::Json(_)) = position.and_then(|position| cells.get(position)) {
                member.kind = MemberKind::Own;
            }
        }
        let record = Mapping::new(&self.key, members.as_deref(), &fields)?.row(&cells);
        record.map_err(|fault| self.fault(fault.code(), item).because(fault.message().to_owned()))
    }

    /// The attributes that a record is made of.
    fn fields<'a>(&'a self, item: &'a Item) -> Vec<&'a str> {
        let mut fields: Vec<&str> = match &self.members {
            Some(_) => std::iter::once(self.key.as_str()).chain(self.attributes()).collect(),
            None => item.keys().map(String::as_str).collect(),
        };
        fields.sort_unstable();
        fields.dedup();
        fields
    }

    /// The item's own key in the table, as messages name an item.
    pub fn name(&self, item: &Item) -> String {
        let key = self.table_key.iter().filter_map(|name| Some((name.clone(), item.get(name)?.clone())));
        key_json(&key.collect()).to_string()
    }

    fn fault(&self, code: Code, item: &Item) -> Fault {
        let message = format!("item `{}` of table `{}` cannot be carried over", self.name(item), self.table);
        Fault::new(code, message).hint(
            "correct the item or `[ingest.NAME]`, and run the command again: the pages before this one stay as they are",
        )
    }

    fn without_key(&self, item: &Item) -> Fault {
        let there: Vec<_> = item.keys().map(|name| format!("`{name}`")).collect();
        let hint =
            format!("name in `key` an attribute that every item has; this one has {}", there.join(", "));
        self.fault(Code::ColumnMissing, item)
            .because(format!("it has no attribute `{}`", self.key))
            .hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(members: Option<&[(&str, MemberKind)]>) -> ItemMapping {
        let member = |(field, kind): &(&str, MemberKind)| Member {
            name: field.to_uppercase(),
            field: (*field).to_owned(),
            kind: *kind,
            required: false,
        };
        ItemMapping {
            table: "shop".to_owned(),
            table_key: vec!["k".to_owned()],
            key: "k".to_owned(),
            members: members.map(|members| members.iter().map(member).collect()),
        }
    }

    fn item(attributes: &[(&str, Attribute)]) -> Item {
        let key = ("k".to_owned(), Attribute::Text("A-1".to_owned()));
        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).chain([key]).collect()
    }

    fn value(mapping: &ItemMapping, item: &Item) -> String {
        String::from_utf8(mapping.record(item).unwrap().value).unwrap()
    }

    fn number(text: &str) -> Attribute {
        Attribute::Number(text.to_owned())
    }

    #[test]
    fn takes_all_attributes_of_each_item_but_the_key() {
        let mapping = mapping(None);

        assert_eq!(
            value(&mapping, &item(&[("b", number("2")), ("a", number("1.50"))])),
            r#"{"a":1.50,"b":2}"#
        );
        assert_eq!(value(&mapping, &item(&[("c", Attribute::Null)])), r#"{"c":null}"#);
        assert_eq!(value(&mapping, &item(&[])), "{}");
    }

    #[test]
    fn takes_the_members_in_their_order_and_null_for_what_an_item_lacks() {
        let mapping = mapping(Some(&[("b", MemberKind::Text), ("a", MemberKind::Own)]));

        assert_eq!(value(&mapping, &item(&[("a", number("1")), ("c", number("3"))])), r#"{"B":null,"A":1}"#);
        assert_eq!(value(&mapping, &item(&[("b", number("2"))])), r#"{"B":"2","A":null}"#);
    }

    #[test]
    fn makes_base64_of_bytes_wherever_they_are() {
        let mapping = mapping(Some(&[("b", MemberKind::Base64)]));
        let bytes = Attribute::Bytes(vec![0, 255]);

        assert_eq!(value(&mapping, &item(&[("b", bytes.clone())])), r#"{"B":"AP8="}"#);
        assert_eq!(
            value(&mapping, &item(&[("b", Attribute::Blobs(vec![vec![0, 255]]))])),
            r#"{"B":["AP8="]}"#
        );
        assert_eq!(value(&mapping, &item(&[("b", Attribute::List(vec![bytes]))])), r#"{"B":["AP8="]}"#);
        let text = Attribute::Text("x".to_owned());
        assert_eq!(mapping.record(&item(&[("b", text)])).unwrap_err().code(), Code::IngestValueUnfit);
    }

    #[test]
    fn names_the_item_that_does_not_fit() {
        for bytes in [Attribute::Bytes(vec![1]), Attribute::Blobs(vec![vec![1]])] {
            let fault = mapping(None).record(&item(&[("b", bytes)])).unwrap_err();

            assert_eq!(fault.code(), Code::IngestValueUnfit);
            assert_eq!(fault.message(), r#"item `{"k":{"S":"A-1"}}` of table `shop` cannot be carried over"#);
            assert!(
                fault.cause().contains("`b`") && fault.cause().contains("JSON cannot hold"),
                "{}",
                fault.cause()
            );
        }
    }

    #[test]
    fn names_the_attributes_of_an_item_without_the_key() {
        let mapping = ItemMapping { key: "sku".to_owned(), ..mapping(None) };

        let fault = mapping.record(&item(&[("a", number("1"))])).unwrap_err();

        assert_eq!(fault.code(), Code::ColumnMissing);
        assert_eq!(fault.cause(), "it has no attribute `sku`");
        assert!(fault.remedy().ends_with("this one has `a`, `k`"), "{}", fault.remedy());
    }

    #[test]
    fn takes_texts_and_numbers_as_keys_and_nothing_else() {
        let key = |attribute| mapping(None).record(&Item::from([("k".to_owned(), attribute)]));

        assert_eq!(key(number("7")).unwrap().key, b"7");
        for attribute in [Attribute::Null, Attribute::Bytes(vec![1]), Attribute::Text(String::new())] {
            assert_eq!(key(attribute).unwrap_err().code(), Code::IngestKeyNull);
        }
    }
}
