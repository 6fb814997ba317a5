//! A parquet file means what the same rows mean as JSON Lines, in every format; what is damaged is an error that says where.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use assay_testsets::{
    CompletionStore, Format, LoadError, Problem, ProblemStore, Task, file_sha256, load, load_completions,
    load_rows,
};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

#[path = "parquet/writer.rs"]
mod writer;

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a good file");
    file.write_all(bytes).expect("a good file");
    file
}

fn packed(rows: &[Value], compression: Compression) -> NamedTempFile {
    file(&writer::parquet(rows, compression, 3))
}

fn lines(rows: &[Value]) -> NamedTempFile {
    file(rows.iter().map(|row| format!("{row}\n")).collect::<String>().as_bytes())
}

fn problems(path: &Path) -> Result<Vec<Problem>, LoadError> {
    load(path, None)?.collect()
}

/// As chat data is published: lists of structs.
#[test]
fn rows_are_what_their_lines_are() {
    let rows = [
        json!({"messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]}),
        json!({"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]}),
    ];
    let read = |file: &NamedTempFile| -> Vec<Value> {
        let rows = load_rows(file.path()).expect("a good file");
        rows.map(|row| serde_json::from_str(&row.expect("a good row").1).expect("JSON")).collect()
    };
    assert_eq!(read(&packed(&rows, Compression::SNAPPY)), rows);
    assert_eq!(read(&lines(&rows)), rows);
}

/// Whether there is a list of several kinds of things, which no column can be.
fn mixes(value: &Value) -> bool {
    match value {
        Value::Array(values) => values
            .iter()
            .any(|value| mixes(value) || std::mem::discriminant(value) != std::mem::discriminant(&values[0])),
        Value::Object(members) => members.values().any(mixes),
        _ => false,
    }
}

/// All ways of packing pages that the usual writers have.
fn compressions() -> [Compression; 6] {
    [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ]
}

/// Rows of every format, with their lists and structs as columns of their own; a file of each row, since columns are of one
/// kind and the rows of a corpus are not.
#[test]
fn every_format_is_read_as_from_json_lines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut formats = HashSet::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for (number, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
            let row = [serde_json::from_str(line).unwrap()];
            if mixes(&row[0]) {
                continue;
            }
            let (expected, packed) = (lines(&row), packed(&row, compressions()[number % 6]));
            if path.ends_with("completions.jsonl") {
                let expected = load_completions(expected.path()).unwrap();
                assert_eq!(load_completions(packed.path()).unwrap(), expected);
                let store = CompletionStore::open(packed.path()).unwrap();
                assert_eq!(store.texts(0).unwrap(), expected[0].samples);
                continue;
            }
            let format = |file: &NamedTempFile| load(file.path(), None).unwrap().format();
            assert_eq!(format(&packed), format(&expected), "{line}");
            assert_eq!(problems(packed.path()).unwrap(), problems(expected.path()).unwrap(), "{line}");
            formats.insert(format(&packed));
        }
    }
    assert_eq!(formats.len(), Format::ALL.len() - 1, "{formats:?}");
}

#[test]
fn all_common_ways_of_packing_are_read() {
    let rows: Vec<Value> =
        (0..10).map(|n| json!({ "id": n, "problem": "p".repeat(3000), "answer": n * n })).collect();
    let expected = problems(lines(&rows).path()).unwrap();
    for compression in compressions() {
        let packed = packed(&rows, compression);
        assert_eq!(problems(packed.path()).unwrap(), expected, "{compression}");
    }
    let unknown = packed(&rows, Compression::UNCOMPRESSED);
    let mut bytes = std::fs::read(unknown.path()).unwrap();
    // In the footer, field 4 of a column chunk's description, an i32, is how its pages are packed: LZO is 3, written as 6.
    let footer =
        bytes.len() - 8 - u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap()) as usize;
    let path = b"\x18\x06answer\x15\x00";
    let at = footer + bytes[footer..].windows(path.len()).position(|part| part == path).unwrap();
    bytes[at + path.len() - 1] = 6;
    let error = problems(file(&bytes).path()).unwrap_err().to_string();
    assert!(error.contains("packed with LZO; write it again, packed with snappy, gzip or zstd"), "{error}");
}

/// What is null, empty and not there at all, in lists of structs of lists.
#[test]
fn nested_nulls_keep_their_places() {
    let row = |prompt: Value, model: Value, extra: Value| json!({ "data_source": "d", "prompt": prompt, "reward_model": model, "extra_info": extra });
    let message = |content: &str| json!({ "role": "user", "content": content });
    let tests = |inputs: &[&str], outputs: &[&str]| json!({ "inputs": inputs, "outputs": outputs });
    let rows = [
        row(
            json!([message("one"), message("two")]),
            json!({ "ground_truth": tests(&["1"], &["2"]) }),
            Value::Null,
        ),
        row(
            json!([]),
            json!({ "ground_truth": tests(&["1", "2", "3"], &["a", "b", "c"]), "style": "rule" }),
            json!({ "index": 7 }),
        ),
        row(
            Value::Null,
            json!({ "ground_truth": { "inputs": ["x"], "outputs": [""], "fn_name": null } }),
            json!({ "index": null }),
        ),
        row(
            json!([message("")]),
            json!({ "ground_truth": { "inputs": ["4"], "outputs": ["5"], "fn_name": "f" } }),
            json!({ "index": 9 }),
        ),
    ];
    let read = problems(packed(&rows, Compression::SNAPPY).path()).unwrap();
    assert_eq!(read, problems(lines(&rows).path()).unwrap());
    let ids: Vec<&str> = read.iter().map(|problem| problem.question_id.as_str()).collect();
    assert_eq!(ids, ["0", "7", "2", "9"]);
    assert_eq!(read.iter().map(|p| p.prompt.as_str()).collect::<Vec<_>>(), ["two", "", "", ""]);
}

/// Texts as long as LiveCodeBench's tests: over many pages, and alone in one.
#[test]
fn large_texts_come_whole() {
    let text = |n: usize, length: usize| -> String {
        (0..length).map(|i| char::from(b'a' + ((i * i + n) % 26) as u8)).collect()
    };
    let rows: Vec<Value> = [10, 9_000_000, 0, 1_200_000, 3]
        .iter()
        .enumerate()
        .map(|(n, &length)| json!({ "id": n.to_string(), "problem": text(n, length), "answer": "\u{e9}\"\n\u{0}" }))
        .collect();
    let packed = packed(&rows, Compression::ZSTD(ZstdLevel::default()));
    let expected = problems(lines(&rows).path()).unwrap();
    let store = ProblemStore::open(packed.path(), None, |_| {}).unwrap();
    for (index, problem) in expected.iter().enumerate().rev() {
        assert!(store.problem(index).unwrap().0 == *problem, "{index}");
    }
    file_sha256(packed.path()).unwrap();
}

/// A file of one row with this column as its answer.
fn answer<T: DataType>(column: &str, values: &[T::T], levels: Option<(&[i16], &[i16])>) -> NamedTempFile {
    let schema = parse_message_type(&format!("message row {{ {column} }}")).expect("a good file");
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer =
        SerializedFileWriter::new(Vec::new(), Arc::new(schema), properties).expect("a good file");
    let mut group = writer.next_row_group().expect("a good file");
    let mut writing = group.next_column().expect("a good file").expect("a good file");
    let (defined, repeated) = levels.unzip();
    writing.typed::<T>().write_batch(values, defined, repeated).expect("a good file");
    writing.close().expect("a good file");
    group.close().expect("a good file");
    file(&writer.into_inner().expect("a good file"))
}

/// Numbers keep their digits, times have the form that JSON files have them in.
#[test]
fn each_kind_of_value_has_one_text() {
    let gold = |file: &NamedTempFile| match problems(file.path()).map(|mut read| read.remove(0).task) {
        Ok(Task::Math(math)) => math.ground_truth,
        other => format!("{other:?}"),
    };
    let int32 = |column: &str, value| answer::<Int32Type>(column, &[value], None);
    let int64 = |column: &str, value| answer::<Int64Type>(column, &[value], None);
    let bytes = |column: &str, value: &[u8]| {
        answer::<ByteArrayType>(column, &[ByteArray::from(value.to_vec())], None)
    };
    let rows = [
        (int32("required int32 answer (DATE);", 19_595), "2023-08-26"),
        (int32("required int32 answer (DECIMAL(9, 2));", 50), "0.50"),
        (int32("required int32 answer (UINT_32);", -1), "4294967295"),
        (int32("required int32 answer (INT_8);", -128), "-128"),
        (int32("required int32 answer (TIME_MILLIS);", 3_661_001), "01:01:01.001"),
        (int64("required int64 answer;", i64::MIN), "-9223372036854775808"),
        (int64("required int64 answer (UINT_64);", -1), "18446744073709551615"),
        (int64("required int64 answer (TIMESTAMP_MILLIS);", 1_693_008_000_000), "2023-08-26T00:00:00"),
        (
            int64("required int64 answer (TIMESTAMP(MICROS, true));", 1_693_008_000_000_001),
            "2023-08-26T00:00:00.000001",
        ),
        (
            int64("required int64 answer (TIMESTAMP(NANOS, true));", 1_693_008_000_000_000_000),
            "2023-08-26T00:00:00",
        ),
        (answer::<DoubleType>("required double answer;", &[0.1], None), "0.1"),
        (answer::<FloatType>("required float answer;", &[0.1], None), "0.1"),
        (bytes("required binary answer;", "\u{e9}".as_bytes()), "\u{e9}"),
        (bytes("required binary answer;", &[0xff, 0]), "/wA="),
        (bytes("required binary answer (UTF8);", b"2\n"), "2\n"),
    ];
    for (file, expected) in &rows {
        assert_eq!(gold(file), *expected);
    }
    for number in [f64::NAN, f64::INFINITY] {
        let error = gold(&answer::<DoubleType>("required double answer;", &[number], None));
        assert!(error.contains("expected"), "{error}");
    }
    let texts = ["index", "7", "split", "x"].map(ByteArray::from);
    let map = "required group answer (MAP) { repeated group key_value { required binary key (UTF8); } }";
    let list = answer::<ByteArrayType>(map, &texts[1..2], Some((&[1], &[0])));
    assert_eq!(gold(&list), "7");
}

/// Every cut, and a damaged byte anywhere: an error in one line with the row, or the same problems.
#[test]
fn damage_is_an_error_that_says_where() {
    let rows: Vec<Value> =
        (0..5).map(|n| json!({ "id": n.to_string(), "problem": "p".repeat(9), "answer": n })).collect();
    let whole = writer::parquet(&rows, Compression::SNAPPY, 1);
    let say = |bytes: &[u8]| problems(file(bytes).path()).map_err(|error| error.to_string());
    for cut in (4..whole.len()).step_by(7) {
        let error = say(&whole[..cut]).unwrap_err();
        assert!(error.contains("without its end; the packed file is damaged: fetch it again"), "{error}");
    }
    let expected = say(&whole).unwrap();
    let mut errors = 0;
    for at in 4..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        match say(&bytes) {
            Err(error) => {
                assert!(error.contains("expected ") && !error.contains('\n'), "{at}: {error}");
                errors += 1;
            }
            Ok(read) => assert_eq!(read.len(), expected.len(), "{at}"),
        }
    }
    assert!(errors > whole.len() / 4, "{errors} of {}", whole.len());
    // The fourth row's page: its text cannot be unpacked.
    let mut bytes = whole.clone();
    let needle = b"ppppp";
    let places: Vec<usize> = (0..whole.len() - 5).filter(|&at| &whole[at..at + 5] == needle).collect();
    assert!(!places.is_empty());
    let pages: Vec<usize> =
        places.iter().copied().filter(|at| !places.contains(&(at.wrapping_sub(1)))).collect();
    bytes[pages[0] - 5..pages[0]].fill(0xff);
    let error = say(&bytes).unwrap_err();
    assert!(error.contains("record 1: expected a readable file"), "{error}");
}
