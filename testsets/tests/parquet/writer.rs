//! Writes rows of JSON as the usual writers of parquet do: every column may be null, lists have three levels, and what is of
//! several kinds is the text of its JSON.

use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;

/// What a column holds.
#[derive(Clone, PartialEq)]
enum Shape {
    Nothing,
    Bool,
    Integer,
    Double,
    Text,
    List(Box<Shape>),
    Struct(Vec<(String, Shape)>),
}

/// A file of these rows, so many in each group of rows.
pub(super) fn parquet(rows: &[Value], compression: Compression, per_group: usize) -> Vec<u8> {
    let shape = rows.iter().map(shape).fold(Shape::Nothing, join);
    let Shape::Struct(columns) = &shape else { panic!("rows are objects") };
    let fields = columns.iter().map(|(name, shape)| Arc::new(schema(name, shape))).collect();
    let schema = Arc::new(Type::group_type_builder("rows").with_fields(fields).build().expect("a good file"));
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer =
        SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).expect("a good file");
    for rows in rows.chunks(per_group) {
        let mut leaves = Vec::new();
        columns.iter().for_each(|(_, shape)| add_leaves(shape, false, &mut leaves));
        for row in rows {
            let mut left = leaves.as_mut_slice();
            for (name, shape) in columns {
                left = put(shape, row.get(name).unwrap_or(&Value::Null), Levels::default(), left);
            }
        }
        let mut group = writer.next_row_group().expect("a good file");
        for leaf in leaves {
            let mut column = group.next_column().expect("a good file").expect("a good file");
            let repeated = leaf.in_list.then_some(leaf.repetition.as_slice());
            let defined = Some(leaf.definition.as_slice());
            match leaf.values {
                Values::Bool(values) => column.typed::<BoolType>().write_batch(&values, defined, repeated),
                Values::Integer(values) => {
                    column.typed::<Int64Type>().write_batch(&values, defined, repeated)
                }
                Values::Double(values) => {
                    column.typed::<DoubleType>().write_batch(&values, defined, repeated)
                }
                Values::Text(values) => {
                    column.typed::<ByteArrayType>().write_batch(&values, defined, repeated)
                }
            }
            .expect("a good file");
            column.close().expect("a good file");
        }
        group.close().expect("a good file");
    }
    writer.into_inner().expect("a good file")
}

fn shape(value: &Value) -> Shape {
    match value {
        Value::Null => Shape::Nothing,
        Value::Bool(_) => Shape::Bool,
        Value::Number(number) if number.is_i64() => Shape::Integer,
        Value::Number(number) if number.is_f64() => Shape::Double,
        Value::Number(_) | Value::String(_) => Shape::Text,
        Value::Array(values) => Shape::List(Box::new(values.iter().map(shape).fold(Shape::Nothing, join))),
        Value::Object(members) if members.is_empty() => Shape::Text,
        Value::Object(members) => {
            Shape::Struct(members.iter().map(|(name, value)| (name.clone(), shape(value))).collect())
        }
    }
}

fn join(one: Shape, other: Shape) -> Shape {
    match (one, other) {
        (Shape::Nothing, shape) | (shape, Shape::Nothing) => shape,
        (Shape::List(one), Shape::List(other)) => Shape::List(Box::new(join(*one, *other))),
        (Shape::Struct(mut columns), Shape::Struct(others)) => {
            for (name, shape) in others {
                match columns.iter_mut().find(|(known, _)| *known == name) {
                    None => columns.push((name, shape)),
                    Some((_, column)) => *column = join(column.clone(), shape),
                }
            }
            Shape::Struct(columns)
        }
        (one, other) if one == other => one,
        _ => Shape::Text,
    }
}

fn schema(name: &str, shape: &Shape) -> Type {
    let group = |fields: Vec<TypePtr>, kind, repetition, name: &str| {
        Type::group_type_builder(name)
            .with_repetition(repetition)
            .with_converted_type(kind)
            .with_fields(fields)
            .build()
            .expect("a good file")
    };
    let primitive = |physical, kind| {
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_converted_type(kind)
            .build()
            .expect("a good file")
    };
    match shape {
        Shape::Bool => primitive(Physical::BOOLEAN, ConvertedType::NONE),
        Shape::Integer => primitive(Physical::INT64, ConvertedType::NONE),
        Shape::Double => primitive(Physical::DOUBLE, ConvertedType::NONE),
        Shape::Nothing | Shape::Text => primitive(Physical::BYTE_ARRAY, ConvertedType::UTF8),
        Shape::List(of) => {
            let element = Arc::new(schema("element", of));
            let list = group(vec![element], ConvertedType::NONE, Repetition::REPEATED, "list");
            group(vec![Arc::new(list)], ConvertedType::LIST, Repetition::OPTIONAL, name)
        }
        Shape::Struct(columns) => {
            let fields = columns.iter().map(|(name, shape)| Arc::new(schema(name, shape))).collect();
            group(fields, ConvertedType::NONE, Repetition::OPTIONAL, name)
        }
    }
}

/// A column without parts, as Dremel writes it.
struct Leaf {
    values: Values,
    definition: Vec<i16>,
    repetition: Vec<i16>,
    in_list: bool,
}

enum Values {
    Bool(Vec<bool>),
    Integer(Vec<i64>),
    Double(Vec<f64>),
    Text(Vec<ByteArray>),
}

fn add_leaves(shape: &Shape, in_list: bool, leaves: &mut Vec<Leaf>) {
    let values = match shape {
        Shape::List(of) => return add_leaves(of, true, leaves),
        Shape::Struct(columns) => {
            return columns.iter().for_each(|(_, shape)| add_leaves(shape, in_list, leaves));
        }
        Shape::Bool => Values::Bool(Vec::new()),
        Shape::Integer => Values::Integer(Vec::new()),
        Shape::Double => Values::Double(Vec::new()),
        Shape::Nothing | Shape::Text => Values::Text(Vec::new()),
    };
    leaves.push(Leaf { values, definition: Vec::new(), repetition: Vec::new(), in_list });
}

#[derive(Clone, Copy, Default)]
struct Levels {
    definition: i16,
    repetition: i16,
    /// Lists around this place.
    lists: i16,
}

/// Puts a value into the first of these leaves; those behind it are left.
fn put<'a>(shape: &Shape, value: &Value, levels: Levels, leaves: &'a mut [Leaf]) -> &'a mut [Leaf] {
    let inside = Levels { definition: levels.definition + 1, ..levels };
    match (shape, value) {
        (_, Value::Null) => nothing(shape, levels, leaves),
        (Shape::List(of), Value::Array(values)) if values.is_empty() => nothing(of, inside, leaves),
        (Shape::List(of), Value::Array(values)) => {
            let count = leaves.len() - leaf_count(of);
            let mut levels = Levels { definition: inside.definition + 1, lists: levels.lists + 1, ..inside };
            for value in values {
                put(of, value, levels, leaves);
                levels.repetition = levels.lists;
            }
            let own = leaves.len() - count;
            &mut leaves[own..]
        }
        (Shape::Struct(columns), Value::Object(members)) => {
            columns.iter().fold(leaves, |leaves, (name, shape)| {
                put(shape, members.get(name).unwrap_or(&Value::Null), inside, leaves)
            })
        }
        (_, value) => {
            let (leaf, rest) = leaves.split_first_mut().expect("a good file");
            leaf.definition.push(inside.definition);
            leaf.repetition.push(levels.repetition);
            match &mut leaf.values {
                Values::Bool(values) => values.push(value.as_bool().expect("a good file")),
                Values::Integer(values) => values.push(value.as_i64().expect("a good file")),
                Values::Double(values) => values.push(value.as_f64().expect("a good file")),
                Values::Text(values) => {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    values.push(ByteArray::from(text.into_bytes()));
                }
            }
            rest
        }
    }
}

fn nothing<'a>(shape: &Shape, levels: Levels, leaves: &'a mut [Leaf]) -> &'a mut [Leaf] {
    let (own, rest) = leaves.split_at_mut(leaf_count(shape));
    for leaf in own {
        leaf.definition.push(levels.definition);
        leaf.repetition.push(levels.repetition);
    }
    rest
}

fn leaf_count(shape: &Shape) -> usize {
    let mut leaves = Vec::new();
    add_leaves(shape, false, &mut leaves);
    leaves.len()
}
