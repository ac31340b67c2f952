/// Judges types by what turning their values into text, or text into them, depends on.
struct TypeClassifier {
    private static let pgCatalog: UInt32 = 11

    /// Built-in base types without a trace of date or time.
    private static let timeless: Set<String> = [
        "bool", "bytea", "char", "name", "int8", "int2", "int2vector", "int4", "text", "oid",
        "tid", "xid", "xid8", "cid", "oidvector", "json", "jsonb", "jsonpath", "xml", "point",
        "lseg", "path", "box", "polygon", "line", "float4", "float8", "circle", "money",
        "macaddr", "macaddr8", "inet", "cidr", "bpchar", "varchar", "bit", "varbit", "numeric",
        "uuid", "pg_lsn", "tsvector", "tsquery", "int4range", "int8range", "numrange",
        "int4multirange", "int8multirange", "nummultirange", "regconfig", "regdictionary",
        "void",
    ]

    let timeUse: [UInt32: PostgreSQLCatalog.TimeUse]
    private let byOID: [UInt32: CatalogRows.DataType]
    private let opaque: Set<UInt32>

    init(_ rows: CatalogRows) {
        byOID = Dictionary(
            rows.types.map { ($0.oid, $0) }, uniquingKeysWith: { first, _ in first })
        var attributes: [UInt32: [UInt32]] = [:]
        for attribute in rows.attributes {
            attributes[attribute.relation, default: []].append(attribute.type)
        }
        var timeUse: [UInt32: PostgreSQLCatalog.TimeUse] = [:]
        var opaque: Set<UInt32> = []
        for type in rows.types {
            timeUse[type.oid] = Self.timeUse(of: type, byOID)
            if Self.isOpaque(type, byOID, attributes, depth: 0) { opaque.insert(type.oid) }
        }
        self.timeUse = timeUse
        self.opaque = opaque
    }

    /// Whether its own values are dates or times, so that a cast of them is no text conversion.
    func isTime(_ oid: UInt32) -> Bool {
        guard let type = byOID[oid], type.namespace == Self.pgCatalog else { return false }
        return TypeUse(name: type.name).isTime || type.name == "interval"
    }

    /// What a call brings into play: `.any` where a literal argument may be read as a time, and
    /// a time of day where the result is one that no argument was.
    func timeUse(ofCall function: CatalogRows.Function) -> PostgreSQLCatalog.TimeUse {
        let result = timeUse[function.resultType] ?? []
        let arguments = function.argumentTypes.reduce(into: PostgreSQLCatalog.TimeUse()) {
            $0.formUnion(timeUse[$1] ?? [])
        }
        let involvesTime = ([function.resultType] + function.argumentTypes).contains(where: isTime)
        return result.subtracting(arguments).subtracting(.any).union(involvesTime ? .any : [])
    }

    func mayBeRow(_ oid: UInt32) -> Bool {
        guard let type = byOID[oid] else { return true }
        // A domain over a row type is a row too.
        return type.kind == "c" || type.kind == "p" || type.kind == "d"
    }

    /// Whether output depends on more than the cache's key.
    func isOpaque(_ oid: UInt32) -> Bool { byOID[oid] == nil || opaque.contains(oid) }

    func castClass(of type: CatalogRows.DataType) -> PostgreSQLCatalog.TypeClass {
        if type.kind == "e" { return .plain([]) }
        guard type.namespace == Self.pgCatalog, type.oid < CatalogBuilder.firstUserOID,
            type.kind == "b" || type.kind == "r" || type.kind == "m"
        else {
            // An array of an enum is as good as the enum.
            if let element = byOID[type.inner], type.kind == "b", element.kind == "e" {
                return .plain([])
            }
            return .other
        }
        let scalar = byOID[type.inner]?.name ?? type.name
        let isNamed = scalar.hasPrefix("reg") && scalar != "regconfig" && scalar != "regdictionary"
        if isNamed || scalar == "aclitem" { return .other }
        if let element = byOID[type.inner], element.kind == "c" || element.kind == "p" {
            return .other
        }
        return .plain(timeUse[type.oid] ?? .any)
    }

    private static func timeUse(
        of type: CatalogRows.DataType, _ byOID: [UInt32: CatalogRows.DataType]
    ) -> PostgreSQLCatalog.TimeUse {
        var current = type
        // Through arrays, domains and ranges; deeper than this is not followed.
        for _ in 0..<8 {
            if current.kind == "e" { return [] }
            if current.namespace == pgCatalog {
                if timeless.contains(current.name) { return [] }
                if current.name == "time" { return [.any, .timeOfDay] }
                if current.name == "timetz" { return [.any, .zonedTimeOfDay] }
            }
            guard let inner = byOID[current.inner] else {
                return current.kind == "c" || current.kind == "d"
                    ? [.any, .timeOfDay, .zonedTimeOfDay] : .any
            }
            current = inner
        }
        return [.any, .timeOfDay, .zonedTimeOfDay]
    }

    private static func isOpaque(
        _ type: CatalogRows.DataType, _ byOID: [UInt32: CatalogRows.DataType],
        _ attributes: [UInt32: [UInt32]], depth: Int
    ) -> Bool {
        if depth > 8 { return true }
        if type.kind == "c" {
            return (attributes[type.relation] ?? []).contains { oid in
                byOID[oid].map { isOpaque($0, byOID, attributes, depth: depth + 1) } ?? true
            }
        }
        if let inner = byOID[type.inner] {
            return isOpaque(inner, byOID, attributes, depth: depth + 1)
        }
        if type.oid < CatalogBuilder.firstUserOID { return type.name == "aclitem" }
        return type.kind == "b" && !type.hasImmutableOutput
    }
}
