/// A row of `pg_type`: PostgreSQL's built-in types with their real OIDs.
struct CatalogType: Sendable {
    let oid: UInt32
    let name: String
    let length: Int
    let isPassedByValue: Bool
    let kind: String
    let category: String
    let isPreferred: Bool
    let delimiter: String
    let element: UInt32
    let array: UInt32
    let base: UInt32
    let alignment: String
    let storage: String
    let collation: UInt32

    /// All built-in types in order of their OIDs.
    static let builtIn: [CatalogType] = builtInText.split(separator: "\n").compactMap(
        CatalogType.init)
    static let byOID = Dictionary(uniqueKeysWithValues: builtIn.map { ($0.oid, $0) })
    static let byName = Dictionary(uniqueKeysWithValues: builtIn.map { ($0.name, $0) })

    private init?(line: Substring) {
        let fields = line.split(separator: " ")
        guard fields.count == 14, let oid = UInt32(fields[0]), let length = Int(fields[2]),
            let element = UInt32(fields[8]), let array = UInt32(fields[9]),
            let base = UInt32(fields[10]), let collation = UInt32(fields[13])
        else { return nil }
        self.oid = oid
        self.name = String(fields[1])
        self.length = length
        self.isPassedByValue = fields[3] == "t"
        self.kind = String(fields[4])
        self.category = String(fields[5])
        self.isPreferred = fields[6] == "t"
        self.delimiter = String(fields[7])
        self.element = element
        self.array = array
        self.base = base
        self.alignment = String(fields[11])
        self.storage = String(fields[12])
        self.collation = collation
    }

    /// A real array, as opposed to `int2vector` and the fixed-length types with elements.
    var isArray: Bool { category == "A" && element != 0 && length == -1 && !isVector }
    /// `int2vector` or `oidvector`: written with spaces, subscripts from 0.
    var isVector: Bool { oid == Self.int2vector || oid == Self.oidvector }

    static let bool: UInt32 = 16
    static let bytea: UInt32 = 17
    static let char: UInt32 = 18
    static let name: UInt32 = 19
    static let int8: UInt32 = 20
    static let int2: UInt32 = 21
    static let int2vector: UInt32 = 22
    static let int4: UInt32 = 23
    static let regproc: UInt32 = 24
    static let text: UInt32 = 25
    static let oid: UInt32 = 26
    static let oidvector: UInt32 = 30
    static let json: UInt32 = 114
    static let float4: UInt32 = 700
    static let float8: UInt32 = 701
    static let unknown: UInt32 = 705
    static let bpchar: UInt32 = 1042
    static let varchar: UInt32 = 1043
    static let date: UInt32 = 1082
    static let interval: UInt32 = 1186
    static let time: UInt32 = 1083
    static let timestamp: UInt32 = 1114
    static let timestamptz: UInt32 = 1184
    static let numeric: UInt32 = 1700
    static let regclass: UInt32 = 2205
    static let regtype: UInt32 = 2206
    static let void: UInt32 = 2278
    static let uuid: UInt32 = 2950
    static let jsonb: UInt32 = 3802
    static let regnamespace: UInt32 = 4089
    static let regrole: UInt32 = 4096
    static let textArray: UInt32 = 1009
    static let nameArray: UInt32 = 1003
    static let int4Array: UInt32 = 1007
    static let oidArray: UInt32 = 1028

    /// Types whose values the catalog database stores as integers.
    static func isInteger(_ oid: UInt32) -> Bool {
        switch oid {
        // 28, 29 and 5069 are xid, cid and xid8.
        case int2, int4, int8, self.oid, 28, 29, 5069: true
        default: isObjectName(oid)
        }
    }

    /// The `reg…` types: an OID that is written as the object's name.
    static func isObjectName(_ oid: UInt32) -> Bool {
        switch oid {
        case regproc, 2202, 2203, 2204, regclass, regtype, regrole, regnamespace, 3734, 3769, 4191:
            true
        default: false
        }
    }

    static func isText(_ oid: UInt32) -> Bool {
        switch oid {
        case char, name, text, unknown, bpchar, varchar: true
        default: false
        }
    }

    /// The name that SQL gives the type: `format_type` of PostgreSQL.
    /// https://www.postgresql.org/docs/15/functions-info.html#FUNCTIONS-INFO-CATALOG-TABLE
    static func formatted(_ oid: UInt32, modifier: Int?) -> String? {
        if oid == 0 { return "-" }
        guard let type = byOID[oid] else { return nil }
        if type.isArray, let element = formatted(type.element, modifier: modifier) {
            return element + "[]"
        }
        let length = modifier.flatMap { $0 >= 4 ? $0 - 4 : nil }
        let suffix = length.map { "(\($0))" } ?? ""
        switch oid {
        case bool: return "boolean"
        case char: return "\"char\""
        case int2: return "smallint"
        case int4: return "integer"
        case int8: return "bigint"
        case float4: return "real"
        case float8: return "double precision"
        case bpchar: return modifier == nil || length != nil ? "character" + suffix : "bpchar"
        case varchar: return "character varying" + suffix
        case 1560: return "bit" + (modifier.flatMap { $0 > 0 ? "(\($0))" : nil } ?? "")
        case 1562: return "bit varying" + (modifier.flatMap { $0 > 0 ? "(\($0))" : nil } ?? "")
        case numeric:
            guard let length else { return "numeric" }
            return "numeric(\(length >> 16),\(length & 0xffff))"
        case time: return "time without time zone"
        case 1266: return "time with time zone"
        case timestamp: return "timestamp without time zone"
        case timestamptz: return "timestamp with time zone"
        default: return type.name
        }
    }

    /// The OID behind a type's name as SQL or the catalog writes it; nil where there is none.
    static func lookUp(_ name: String) -> UInt32? {
        var name = name.lowercased().trimmingPrefix("pg_catalog.")
        if name.hasSuffix("[]") {
            while name.hasSuffix("[]") { name = name.dropLast(2) }
            guard let element = lookUp(String(name)), let array = byOID[element]?.array, array != 0
            else { return nil }
            return array
        }
        if let parenthesis = name.firstIndex(of: "(") { name = name[..<parenthesis] }
        switch name {
        case "boolean": return bool
        case "\"char\"": return char
        case "smallint": return int2
        case "integer", "int": return int4
        case "bigint": return int8
        case "real": return float4
        case "double precision", "float": return float8
        case "character varying": return varchar
        case "character": return bpchar
        case "decimal": return numeric
        case "bit varying": return 1562
        case "time without time zone": return time
        case "time with time zone": return 1266
        case "timestamp without time zone": return timestamp
        case "timestamp with time zone": return timestamptz
        default: return byName[String(name)]?.oid
        }
    }
}
