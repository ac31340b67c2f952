/// Values with the bytes of their send function and the text of their output function, as PostgreSQL
/// 15 gives them with `TimeZone` set to UTC. The file is long because it is one list of recorded
/// data.
struct ValueVector: Sendable {
    let type: String
    let input: String
    let binary: String
    let output: String

    static let all: [ValueVector] = [
        ValueVector(
            type: "numeric", input: #"0"#,
            binary: "0000000000000000",
            output: #"0"#),
        ValueVector(
            type: "numeric", input: #"0.00"#,
            binary: "0000000000000002",
            output: #"0.00"#),
        ValueVector(
            type: "numeric", input: #"1"#,
            binary: "00010000000000000001",
            output: #"1"#),
        ValueVector(
            type: "numeric", input: #"-1"#,
            binary: "00010000400000000001",
            output: #"-1"#),
        ValueVector(
            type: "numeric", input: #"10000"#,
            binary: "00010001000000000001",
            output: #"10000"#),
        ValueVector(
            type: "numeric", input: #"9999"#,
            binary: "0001000000000000270f",
            output: #"9999"#),
        ValueVector(
            type: "numeric", input: #"10000000"#,
            binary: "000100010000000003e8",
            output: #"10000000"#),
        ValueVector(
            type: "numeric", input: #"0.0001"#,
            binary: "0001ffff000000040001",
            output: #"0.0001"#),
        ValueVector(
            type: "numeric", input: #"0.00001"#,
            binary: "0001fffe0000000503e8",
            output: #"0.00001"#),
        ValueVector(
            type: "numeric", input: #"-0.5"#,
            binary: "0001ffff400000011388",
            output: #"-0.5"#),
        ValueVector(
            type: "numeric", input: #"12345.6789"#,
            binary: "0003000100000004000109291a85",
            output: #"12345.6789"#),
        ValueVector(
            type: "numeric", input: #"1e10"#,
            binary: "00010002000000000064",
            output: #"10000000000"#),
        ValueVector(
            type: "numeric", input: #"1.5e-7"#,
            binary: "0001fffe00000008000f",
            output: #"0.00000015"#),
        ValueVector(
            type: "numeric", input: #"123456789012345678901234567890.123456789"#,
            binary: "000b000700000009000c0d801ed204d2162e23340d801ed204d2162e2328",
            output: #"123456789012345678901234567890.123456789"#),
        ValueVector(
            type: "numeric", input: #"NaN"#,
            binary: "00000000c0000000",
            output: #"NaN"#),
        ValueVector(
            type: "numeric", input: #"Infinity"#,
            binary: "00000000d0000020",
            output: #"Infinity"#),
        ValueVector(
            type: "numeric", input: #"-Infinity"#,
            binary: "00000000f0000020",
            output: #"-Infinity"#),
        ValueVector(
            type: "numeric", input: #"100.10"#,
            binary: "0002000000000002006403e8",
            output: #"100.10"#),
        ValueVector(
            type: "numeric", input: #"0.1000"#,
            binary: "0001ffff0000000403e8",
            output: #"0.1000"#),
        ValueVector(
            type: "numeric", input: #"-0.0"#,
            binary: "0000000000000001",
            output: #"0.0"#),
        ValueVector(
            type: "numeric", input: #"1e-3"#,
            binary: "0001ffff00000003000a",
            output: #"0.001"#),
        ValueVector(
            type: "numeric", input: #".5"#,
            binary: "0001ffff000000011388",
            output: #"0.5"#),
        ValueVector(
            type: "numeric", input: #"5."#,
            binary: "00010000000000000005",
            output: #"5"#),
        ValueVector(
            type: "timestamp", input: #"2000-01-01 00:00:00"#,
            binary: "0000000000000000",
            output: #"2000-01-01 00:00:00"#),
        ValueVector(
            type: "timestamp", input: #"1999-12-31 23:59:59.999999"#,
            binary: "ffffffffffffffff",
            output: #"1999-12-31 23:59:59.999999"#),
        ValueVector(
            type: "timestamp", input: #"1970-01-01"#,
            binary: "fffca2fec4c82000",
            output: #"1970-01-01 00:00:00"#),
        ValueVector(
            type: "timestamp", input: #"0001-01-01 00:00:00"#,
            binary: "ff1fe2ffc59c6000",
            output: #"0001-01-01 00:00:00"#),
        ValueVector(
            type: "timestamp", input: #"0044-03-15 12:00:00 BC"#,
            binary: "ff1af9e8fb46d000",
            output: #"0044-03-15 12:00:00 BC"#),
        ValueVector(
            type: "timestamp", input: #"4714-11-24 00:00:00 BC"#,
            binary: "fd0f7cc1411fa000",
            output: #"4714-11-24 00:00:00 BC"#),
        ValueVector(
            type: "timestamp", input: #"294276-12-31 23:59:59.999999"#,
            binary: "7fffff5bb3b29fff",
            output: #"294276-12-31 23:59:59.999999"#),
        ValueVector(
            type: "timestamp", input: #"infinity"#,
            binary: "7fffffffffffffff",
            output: #"infinity"#),
        ValueVector(
            type: "timestamp", input: #"-infinity"#,
            binary: "8000000000000000",
            output: #"-infinity"#),
        ValueVector(
            type: "timestamp", input: #"2024-02-29 12:34:56.5"#,
            binary: "0002b583416e1d20",
            output: #"2024-02-29 12:34:56.5"#),
        ValueVector(
            type: "timestamp", input: #"2024-02-29T12:34:56.123456"#,
            binary: "0002b58341685e40",
            output: #"2024-02-29 12:34:56.123456"#),
        ValueVector(
            type: "timestamp", input: #"0001-02-29 BC"#,
            binary: "ff1fcadffc544000",
            output: #"0001-02-29 00:00:00 BC"#),
        ValueVector(
            type: "timestamptz", input: #"2024-02-29 12:34:56.5+02"#,
            binary: "0002b5819446d520",
            output: #"2024-02-29 10:34:56.5+00"#),
        ValueVector(
            type: "timestamptz", input: #"2024-02-29 12:34:56-05:30"#,
            binary: "0002b587dd928200",
            output: #"2024-02-29 18:04:56+00"#),
        ValueVector(
            type: "timestamptz", input: #"1999-12-31 23:59:59.999999Z"#,
            binary: "ffffffffffffffff",
            output: #"1999-12-31 23:59:59.999999+00"#),
        ValueVector(
            type: "timestamptz", input: #"0044-03-15 12:00:00+00 BC"#,
            binary: "ff1af9e8fb46d000",
            output: #"0044-03-15 12:00:00+00 BC"#),
        ValueVector(
            type: "timestamptz", input: #"infinity"#,
            binary: "7fffffffffffffff",
            output: #"infinity"#),
        ValueVector(
            type: "timestamptz", input: #"2024-01-01"#,
            binary: "0002b0d5d4e94000",
            output: #"2024-01-01 00:00:00+00"#),
        ValueVector(
            type: "date", input: #"2000-01-01"#,
            binary: "00000000",
            output: #"2000-01-01"#),
        ValueVector(
            type: "date", input: #"1999-12-31"#,
            binary: "ffffffff",
            output: #"1999-12-31"#),
        ValueVector(
            type: "date", input: #"2024-02-29"#,
            binary: "00002279",
            output: #"2024-02-29"#),
        ValueVector(
            type: "date", input: #"0001-01-01"#,
            binary: "fff4dbf9",
            output: #"0001-01-01"#),
        ValueVector(
            type: "date", input: #"0001-12-31 BC"#,
            binary: "fff4dbf8",
            output: #"0001-12-31 BC"#),
        ValueVector(
            type: "date", input: #"4714-11-24 BC"#,
            binary: "ffda97a7",
            output: #"4714-11-24 BC"#),
        ValueVector(
            type: "date", input: #"5874897-12-31"#,
            binary: "7fda970c",
            output: #"5874897-12-31"#),
        ValueVector(
            type: "date", input: #"infinity"#,
            binary: "7fffffff",
            output: #"infinity"#),
        ValueVector(
            type: "date", input: #"-infinity"#,
            binary: "80000000",
            output: #"-infinity"#),
        ValueVector(
            type: "date", input: #"10000-01-01"#,
            binary: "002c95d4",
            output: #"10000-01-01"#),
        ValueVector(
            type: "time", input: #"00:00:00"#,
            binary: "0000000000000000",
            output: #"00:00:00"#),
        ValueVector(
            type: "time", input: #"23:59:59.999999"#,
            binary: "000000141dd75fff",
            output: #"23:59:59.999999"#),
        ValueVector(
            type: "time", input: #"24:00:00"#,
            binary: "000000141dd76000",
            output: #"24:00:00"#),
        ValueVector(
            type: "time", input: #"12:34"#,
            binary: "0000000a88839e00",
            output: #"12:34:00"#),
        ValueVector(
            type: "time", input: #"01:02:03.5"#,
            binary: "00000000ddf019e0",
            output: #"01:02:03.5"#),
        ValueVector(
            type: "interval", input: #"00:00:00"#,
            binary: "00000000000000000000000000000000",
            output: #"00:00:00"#),
        ValueVector(
            type: "interval", input: #"1 year 2 mons 3 days 04:05:06.789"#,
            binary: "000000036c97ca88000000030000000e",
            output: #"1 year 2 mons 3 days 04:05:06.789"#),
        ValueVector(
            type: "interval", input: #"-1 year -2 mons +3 days -04:05:06"#,
            binary: "fffffffc93743f8000000003fffffff2",
            output: #"-1 years -2 mons +3 days -04:05:06"#),
        ValueVector(
            type: "interval", input: #"1 mon -1 days"#,
            binary: "0000000000000000ffffffff00000001",
            output: #"1 mon -1 days"#),
        ValueVector(
            type: "interval", input: #"-1 days +02:03:00"#,
            binary: "00000001b7e1dd00ffffffff00000000",
            output: #"-1 days +02:03:00"#),
        ValueVector(
            type: "interval", input: #"1 day -00:00:01"#,
            binary: "fffffffffff0bdc00000000100000000",
            output: #"1 day -00:00:01"#),
        ValueVector(
            type: "interval", input: #"100:00:00"#,
            binary: "00000053d1ac10000000000000000000",
            output: #"100:00:00"#),
        ValueVector(
            type: "interval", input: #"1 year"#,
            binary: "0000000000000000000000000000000c",
            output: #"1 year"#),
        ValueVector(
            type: "interval", input: #"-1 mons"#,
            binary: "000000000000000000000000ffffffff",
            output: #"-1 mons"#),
        ValueVector(
            type: "interval", input: #"3 days ago"#,
            binary: "0000000000000000fffffffd00000000",
            output: #"-3 days"#),
        ValueVector(
            type: "interval", input: #"P1Y2M3DT4H5M6S"#,
            binary: "000000036c8bc080000000030000000e",
            output: #"1 year 2 mons 3 days 04:05:06"#),
        ValueVector(
            type: "interval", input: #"1 week"#,
            binary: "00000000000000000000000700000000",
            output: #"7 days"#),
        ValueVector(
            type: "interval", input: #"1.5 seconds"#,
            binary: "000000000016e3600000000000000000",
            output: #"00:00:01.5"#),
        ValueVector(
            type: "interval", input: #"-178000000 years"#,
            binary: "00000000000000000000000080af3a00",
            output: #"-178000000 years"#),
        ValueVector(
            type: "interval", input: #"2 hours 30 minutes"#,
            binary: "0000000218711a000000000000000000",
            output: #"02:30:00"#),
        ValueVector(
            type: "interval", input: #"@ 1 year 1 hour ago"#,
            binary: "ffffffff296c5c0000000000fffffff4",
            output: #"-1 years -01:00:00"#),
        ValueVector(
            type: "interval", input: #"1 month -2 days 3 hours"#,
            binary: "0000000283baec00fffffffe00000001",
            output: #"1 mon -2 days +03:00:00"#),
        ValueVector(
            type: "float8", input: #"0"#,
            binary: "0000000000000000",
            output: #"0"#),
        ValueVector(
            type: "float8", input: #"-0"#,
            binary: "8000000000000000",
            output: #"-0"#),
        ValueVector(
            type: "float8", input: #"1"#,
            binary: "3ff0000000000000",
            output: #"1"#),
        ValueVector(
            type: "float8", input: #"1.5"#,
            binary: "3ff8000000000000",
            output: #"1.5"#),
        ValueVector(
            type: "float8", input: #"-2.25"#,
            binary: "c002000000000000",
            output: #"-2.25"#),
        ValueVector(
            type: "float8", input: #"1e15"#,
            binary: "430c6bf526340000",
            output: #"1e+15"#),
        ValueVector(
            type: "float8", input: #"123456789012345"#,
            binary: "42dc12218377de40",
            output: #"123456789012345"#),
        ValueVector(
            type: "float8", input: #"1234567890123456"#,
            binary: "43118b54f22aeb00",
            output: #"1.234567890123456e+15"#),
        ValueVector(
            type: "float8", input: #"0.0001"#,
            binary: "3f1a36e2eb1c432d",
            output: #"0.0001"#),
        ValueVector(
            type: "float8", input: #"0.00001"#,
            binary: "3ee4f8b588e368f1",
            output: #"1e-05"#),
        ValueVector(
            type: "float8", input: #"1e100"#,
            binary: "54b249ad2594c37d",
            output: #"1e+100"#),
        ValueVector(
            type: "float8", input: #"1.7976931348623157e308"#,
            binary: "7fefffffffffffff",
            output: #"1.7976931348623157e+308"#),
        ValueVector(
            type: "float8", input: #"5e-324"#,
            binary: "0000000000000001",
            output: #"5e-324"#),
        ValueVector(
            type: "float8", input: #"NaN"#,
            binary: "7ff8000000000000",
            output: #"NaN"#),
        ValueVector(
            type: "float8", input: #"Infinity"#,
            binary: "7ff0000000000000",
            output: #"Infinity"#),
        ValueVector(
            type: "float8", input: #"-Infinity"#,
            binary: "fff0000000000000",
            output: #"-Infinity"#),
        ValueVector(
            type: "float8", input: #"0.1"#,
            binary: "3fb999999999999a",
            output: #"0.1"#),
        ValueVector(
            type: "float8", input: #"100000000000000"#,
            binary: "42d6bcc41e900000",
            output: #"100000000000000"#),
        ValueVector(
            type: "float8", input: #"999999999999999.9"#,
            binary: "430c6bf52633ffff",
            output: #"999999999999999.9"#),
        ValueVector(
            type: "float8", input: #"3.141592653589793"#,
            binary: "400921fb54442d18",
            output: #"3.141592653589793"#),
        ValueVector(
            type: "float8", input: #"1e-5"#,
            binary: "3ee4f8b588e368f1",
            output: #"1e-05"#),
        ValueVector(
            type: "float8", input: #"12345678.9"#,
            binary: "41678c29dccccccd",
            output: #"12345678.9"#),
        ValueVector(
            type: "float4", input: #"0"#,
            binary: "00000000",
            output: #"0"#),
        ValueVector(
            type: "float4", input: #"1"#,
            binary: "3f800000",
            output: #"1"#),
        ValueVector(
            type: "float4", input: #"1.5"#,
            binary: "3fc00000",
            output: #"1.5"#),
        ValueVector(
            type: "float4", input: #"1e6"#,
            binary: "49742400",
            output: #"1e+06"#),
        ValueVector(
            type: "float4", input: #"123456"#,
            binary: "47f12000",
            output: #"123456"#),
        ValueVector(
            type: "float4", input: #"1234567"#,
            binary: "4996b438",
            output: #"1.234567e+06"#),
        ValueVector(
            type: "float4", input: #"0.0001"#,
            binary: "38d1b717",
            output: #"0.0001"#),
        ValueVector(
            type: "float4", input: #"0.00001"#,
            binary: "3727c5ac",
            output: #"1e-05"#),
        ValueVector(
            type: "float4", input: #"3.4028235e38"#,
            binary: "7f7fffff",
            output: #"3.4028235e+38"#),
        ValueVector(
            type: "float4", input: #"1e-45"#,
            binary: "00000001",
            output: #"1e-45"#),
        ValueVector(
            type: "float4", input: #"0.1"#,
            binary: "3dcccccd",
            output: #"0.1"#),
        ValueVector(
            type: "float4", input: #"NaN"#,
            binary: "7fc00000",
            output: #"NaN"#),
        ValueVector(
            type: "float4", input: #"-Infinity"#,
            binary: "ff800000",
            output: #"-Infinity"#),
        ValueVector(
            type: "float4", input: #"16777216"#,
            binary: "4b800000",
            output: #"1.6777216e+07"#),
        ValueVector(
            type: "float4", input: #"999999.9"#,
            binary: "497423fe",
            output: #"999999.9"#),
        ValueVector(
            type: "bytea", input: #"\x"#,
            binary: "",
            output: #"\x"#),
        ValueVector(
            type: "bytea", input: #"\xDEADbeef"#,
            binary: "deadbeef",
            output: #"\xdeadbeef"#),
        ValueVector(
            type: "bytea", input: #"abc"#,
            binary: "616263",
            output: #"\x616263"#),
        ValueVector(
            type: "bytea", input: #"a\\b"#,
            binary: "615c62",
            output: #"\x615c62"#),
        ValueVector(
            type: "bytea", input: #"\000\377"#,
            binary: "00ff",
            output: #"\x00ff"#),
        ValueVector(
            type: "uuid", input: #"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"#,
            binary: "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            output: #"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"#),
        ValueVector(
            type: "uuid", input: #"{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}"#,
            binary: "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            output: #"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"#),
        ValueVector(
            type: "uuid", input: #"a0eebc999c0b4ef8bb6d6bb9bd380a11"#,
            binary: "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            output: #"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"#),
        ValueVector(
            type: "_int4", input: #"{}"#,
            binary: "000000000000000000000017",
            output: #"{}"#),
        ValueVector(
            type: "_int4", input: #"{1,2,3}"#,
            binary:
                "0000000100000000000000170000000300000001000000040000000100000004000000020000000400000003",
            output: #"{1,2,3}"#),
        ValueVector(
            type: "_int4", input: #"{NULL,-1}"#,
            binary: "0000000100000001000000170000000200000001ffffffff00000004ffffffff",
            output: #"{NULL,-1}"#),
        ValueVector(
            type: "_int4", input: #"{ 1 , 2 }"#,
            binary: "000000010000000000000017000000020000000100000004000000010000000400000002",
            output: #"{1,2}"#),
        ValueVector(
            type: "_text", input: #"{}"#,
            binary: "000000000000000000000019",
            output: #"{}"#),
        ValueVector(
            type: "_text", input: #"{a,"b c",NULL,"null",""}"#,
            binary:
                "0000000100000001000000190000000500000001000000016100000003622063ffffffff000000046e756c6c00000000",
            output: #"{a,"b c",NULL,"null",""}"#),
        ValueVector(
            type: "_text", input: #"{"a\"b","c\\d",e\,f}"#,
            binary:
                "00000001000000000000001900000003000000010000000361226200000003635c6400000003652c66",
            output: #"{"a\"b","c\\d","e,f"}"#),
        ValueVector(
            type: "_text", input: #"{ x y , z }"#,
            binary: "000000010000000000000019000000020000000100000003782079000000017a",
            output: #"{"x y",z}"#),
        ValueVector(
            type: "_text", input: #"{é}"#,
            binary: "000000010000000000000019000000010000000100000002c3a9",
            output: #"{é}"#),
        ValueVector(
            type: "jsonb", input: #"{"a": 1}"#,
            binary: "017b2261223a20317d",
            output: #"{"a": 1}"#),
        ValueVector(
            type: "jsonb", input: #"[1, 2]"#,
            binary: "015b312c20325d",
            output: #"[1, 2]"#),
        ValueVector(
            type: "bool", input: #"t"#,
            binary: "01",
            output: #"t"#),
        ValueVector(
            type: "bool", input: #"false"#,
            binary: "00",
            output: #"f"#),
        ValueVector(
            type: "bool", input: #"on"#,
            binary: "01",
            output: #"t"#),
        ValueVector(
            type: "bool", input: #"off"#,
            binary: "00",
            output: #"f"#),
        ValueVector(
            type: "bool", input: #"1"#,
            binary: "01",
            output: #"t"#),
        ValueVector(
            type: "bool", input: #"no"#,
            binary: "00",
            output: #"f"#),
        ValueVector(
            type: "bool", input: #"TRUE"#,
            binary: "01",
            output: #"t"#),
        ValueVector(
            type: "bool", input: #"y"#,
            binary: "01",
            output: #"t"#),
        ValueVector(
            type: "int8", input: #"0"#,
            binary: "0000000000000000",
            output: #"0"#),
        ValueVector(
            type: "int8", input: #"-1"#,
            binary: "ffffffffffffffff",
            output: #"-1"#),
        ValueVector(
            type: "int8", input: #"9223372036854775807"#,
            binary: "7fffffffffffffff",
            output: #"9223372036854775807"#),
        ValueVector(
            type: "int8", input: #"-9223372036854775808"#,
            binary: "8000000000000000",
            output: #"-9223372036854775808"#),
        ValueVector(
            type: "int8", input: #" +42 "#,
            binary: "000000000000002a",
            output: #"42"#),
        ValueVector(
            type: "oid", input: #"0"#,
            binary: "00000000",
            output: #"0"#),
        ValueVector(
            type: "oid", input: #"4294967295"#,
            binary: "ffffffff",
            output: #"4294967295"#),
        ValueVector(
            type: "char", input: #"a"#,
            binary: "61",
            output: #"a"#),
        ValueVector(
            type: "char", input: #""#,
            binary: "00",
            output: #""#),
        ValueVector(
            type: "char", input: #"xyz"#,
            binary: "78",
            output: #"x"#),
    ]
}
