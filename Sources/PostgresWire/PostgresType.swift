/// A built-in type: its OID, name as in `pg_type`, and size in bytes (negative: variable).
package struct PostgresType: Sendable {
    package let oid: UInt32
    package let name: String
    package let size: Int16

    private init(_ oid: UInt32, _ name: String, _ size: Int16) {
        self.oid = oid
        self.name = name
        self.size = size
    }

    package static let bool = PostgresType(16, "bool", 1)
    package static let bytea = PostgresType(17, "bytea", -1)
    /// The one-byte type `"char"`, not `character(n)`.
    package static let char = PostgresType(18, "char", 1)
    package static let name = PostgresType(19, "name", 64)
    package static let int8 = PostgresType(20, "int8", 8)
    package static let int2 = PostgresType(21, "int2", 2)
    package static let int2vector = PostgresType(22, "int2vector", -1)
    package static let int4 = PostgresType(23, "int4", 4)
    package static let regproc = PostgresType(24, "regproc", 4)
    package static let text = PostgresType(25, "text", -1)
    package static let oid = PostgresType(26, "oid", 4)
    package static let tid = PostgresType(27, "tid", 6)
    package static let xid = PostgresType(28, "xid", 4)
    package static let cid = PostgresType(29, "cid", 4)
    package static let oidvector = PostgresType(30, "oidvector", -1)
    package static let json = PostgresType(114, "json", -1)
    package static let xml = PostgresType(142, "xml", -1)
    package static let float4 = PostgresType(700, "float4", 4)
    package static let float8 = PostgresType(701, "float8", 8)
    package static let unknown = PostgresType(705, "unknown", -2)
    package static let money = PostgresType(790, "money", 8)
    package static let macaddr = PostgresType(829, "macaddr", 6)
    package static let inet = PostgresType(869, "inet", -1)
    package static let cidr = PostgresType(650, "cidr", -1)
    package static let aclitem = PostgresType(1033, "aclitem", 12)
    package static let bpchar = PostgresType(1042, "bpchar", -1)
    package static let varchar = PostgresType(1043, "varchar", -1)
    package static let date = PostgresType(1082, "date", 4)
    package static let time = PostgresType(1083, "time", 8)
    package static let timestamp = PostgresType(1114, "timestamp", 8)
    package static let timestamptz = PostgresType(1184, "timestamptz", 8)
    package static let interval = PostgresType(1186, "interval", 16)
    package static let timetz = PostgresType(1266, "timetz", 12)
    package static let bit = PostgresType(1560, "bit", -1)
    package static let varbit = PostgresType(1562, "varbit", -1)
    package static let numeric = PostgresType(1700, "numeric", -1)
    package static let refcursor = PostgresType(1790, "refcursor", -1)
    package static let regclass = PostgresType(2205, "regclass", 4)
    package static let regtype = PostgresType(2206, "regtype", 4)
    package static let record = PostgresType(2249, "record", -1)
    package static let void = PostgresType(2278, "void", 4)
    package static let uuid = PostgresType(2950, "uuid", 16)
    package static let jsonb = PostgresType(3802, "jsonb", -1)

    package static let boolArray = PostgresType(1000, "_bool", -1)
    package static let byteaArray = PostgresType(1001, "_bytea", -1)
    package static let charArray = PostgresType(1002, "_char", -1)
    package static let nameArray = PostgresType(1003, "_name", -1)
    package static let int2Array = PostgresType(1005, "_int2", -1)
    package static let int4Array = PostgresType(1007, "_int4", -1)
    package static let textArray = PostgresType(1009, "_text", -1)
    package static let bpcharArray = PostgresType(1014, "_bpchar", -1)
    package static let varcharArray = PostgresType(1015, "_varchar", -1)
    package static let int8Array = PostgresType(1016, "_int8", -1)
    package static let float4Array = PostgresType(1021, "_float4", -1)
    package static let float8Array = PostgresType(1022, "_float8", -1)
    package static let oidArray = PostgresType(1028, "_oid", -1)
    package static let timestampArray = PostgresType(1115, "_timestamp", -1)
    package static let dateArray = PostgresType(1182, "_date", -1)
    package static let timeArray = PostgresType(1183, "_time", -1)
    package static let timestamptzArray = PostgresType(1185, "_timestamptz", -1)
    package static let intervalArray = PostgresType(1187, "_interval", -1)
    package static let numericArray = PostgresType(1231, "_numeric", -1)
    package static let uuidArray = PostgresType(2951, "_uuid", -1)
    package static let jsonArray = PostgresType(199, "_json", -1)
    package static let jsonbArray = PostgresType(3807, "_jsonb", -1)

    package static let all: [PostgresType] = [
        bool, bytea, char, name, int8, int2, int2vector, int4, regproc, text, oid, tid, xid, cid,
        oidvector, json, xml, float4, float8, unknown, money, macaddr, inet, cidr, aclitem, bpchar,
        varchar, date, time, timestamp, timestamptz, interval, timetz, bit, varbit, numeric,
        refcursor, regclass, regtype, record, void, uuid, jsonb, boolArray, byteaArray, charArray,
        nameArray, int2Array, int4Array, textArray, bpcharArray, varcharArray, int8Array,
        float4Array, float8Array, oidArray, timestampArray, dateArray, timeArray, timestamptzArray,
        intervalArray, numericArray, uuidArray, jsonArray, jsonbArray,
    ]

    private static let byOID = Dictionary(uniqueKeysWithValues: all.map { ($0.oid, $0) })
    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    /// Names of the SQL standard and other spellings that the grammar accepts.
    private static let aliases: [String: PostgresType] = [
        "boolean": bool, "smallint": int2, "integer": int4, "int": int4, "bigint": int8,
        "real": float4, "double precision": float8, "float": float8, "decimal": numeric,
        "dec": numeric, "character varying": varchar, "char varying": varchar,
        "character": bpchar, "timestamp without time zone": timestamp,
        "timestamp with time zone": timestamptz, "time without time zone": time,
        "time with time zone": timetz, "bit varying": varbit, "smallserial": int2,
        "serial": int4, "bigserial": int8,
    ]

    private static let elements: [UInt32: PostgresType] = [
        boolArray.oid: bool, byteaArray.oid: bytea, charArray.oid: char, nameArray.oid: name,
        int2Array.oid: int2, int4Array.oid: int4, textArray.oid: text, bpcharArray.oid: bpchar,
        varcharArray.oid: varchar, int8Array.oid: int8, float4Array.oid: float4,
        float8Array.oid: float8, oidArray.oid: oid, timestampArray.oid: timestamp,
        dateArray.oid: date, timeArray.oid: time, timestamptzArray.oid: timestamptz,
        intervalArray.oid: interval, numericArray.oid: numeric, uuidArray.oid: uuid,
        jsonArray.oid: json, jsonbArray.oid: jsonb,
    ]

    private static let arrays = Dictionary(
        uniqueKeysWithValues: elements.compactMap { entry in
            byOID[entry.key].map { (entry.value.oid, $0) }
        })

    /// nil for a type that is not known here (every user-defined one).
    package init?(oid: UInt32) {
        guard let type = Self.byOID[oid] else { return nil }
        self = type
    }

    /// Takes a name as `pg_type` or SQL spells it, in any case, without modifier; `[]` at the end
    /// makes it the array type.
    package init?(named name: String) {
        var key = name.lowercased().split(whereSeparator: \.isWhitespace).joined(separator: " ")
        let isArray = key.hasSuffix("[]")
        if isArray { key.removeLast(2) }
        guard let type = Self.aliases[key] ?? Self.byName[key] else { return nil }
        if isArray {
            guard let array = type.arrayType else { return nil }
            self = array
        } else {
            self = type
        }
    }

    /// The type of the elements, where this is an array type.
    package var elementType: PostgresType? { Self.elements[oid] }

    /// The type of arrays of this type.
    package var arrayType: PostgresType? { Self.arrays[oid] }
}

extension PostgresType: Hashable {
    package static func == (left: PostgresType, right: PostgresType) -> Bool {
        left.oid == right.oid
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(oid)
    }
}
