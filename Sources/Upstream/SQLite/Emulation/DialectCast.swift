/// Casts and typed constants of PostgreSQL in SQLite's terms.
enum DialectCast {
    struct TypeName {
        /// Lower-case, without modifiers.
        let name: String
        let modifiers: [Int]

        var oid: UInt32? { CatalogType.lookUp(name) }
        /// Whether SQLite's own CAST does the same.
        var isInSQLite: Bool {
            modifiers.isEmpty && ["text", "integer", "real", "numeric", "blob"].contains(name)
        }
    }

    /// Reads a type's name from the front of `pieces`; nil for arrays and what is no type.
    static func typeName(_ pieces: [DialectRewriter.Piece]) -> (TypeName, length: Int)? {
        var index = 0
        func word(_ offset: Int) -> String {
            pieces.indices.contains(offset) ? pieces[offset].word : ""
        }
        if word(0) == "pg_catalog", pieces.indices.contains(1), pieces[1].isMark(".") { index = 2 }
        var name = word(index)
        guard !name.isEmpty else { return nil }
        index += 1
        switch name {
        case "double" where word(index) == "precision":
            name = "double precision"
            index += 1
        case "character" where word(index) == "varying":
            name = "character varying"
            index += 1
        default: break
        }
        var modifiers: [Int] = []
        if pieces.indices.contains(index), pieces[index].isMark("(") {
            index += 1
            while pieces.indices.contains(index), !pieces[index].isMark(")") {
                if let number = Int(pieces[index].text) {
                    modifiers.append(number)
                } else if !pieces[index].isMark(",") {
                    return nil
                }
                index += 1
            }
            guard pieces.indices.contains(index) else { return nil }
            index += 1
        }
        if name == "time" || name == "timestamp", ["with", "without"].contains(word(index)),
            word(index + 1) == "time", word(index + 2) == "zone"
        {
            if word(index) == "with" { name += "tz" }
            index += 3
        }
        // Arrays have no equal.
        if pieces.indices.contains(index), pieces[index].isMark("[") || word(index) == "array" {
            return nil
        }
        guard CatalogType.lookUp(name) != nil else { return nil }
        return (TypeName(name: name, modifiers: modifiers), index)
    }

    /// SQL for `operand::type`; nil where SQLite has nothing that means the same.
    static func sql(_ operand: [DialectRewriter.Piece], type: TypeName) -> String? {
        guard let oid = type.oid else { return nil }
        let text = DialectRewriter.text(operand)
        let single = operand.count == 1 ? operand[0] : nil
        if let single, single.kind == .parameter {
            switch oid {
            case CatalogType.varchar, CatalogType.bpchar, CatalogType.numeric:
                if !type.modifiers.isEmpty { break }
                return text
            // The parameter arrives as a value of this type.
            case CatalogType.interval, 1266: return nil
            default: return text
            }
        }
        if let single, single.isString, let value = StringLiteral.value(of: single.text),
            let result = literal(value, type: type.name, modifiers: type.modifiers)
        {
            return result
        }
        return expression(text, isNumber: single?.kind == .number, oid, type.modifiers)
    }

    private static func expression(
        _ text: String, isNumber: Bool, _ oid: UInt32, _ modifiers: [Int]
    ) -> String? {
        switch oid {
        case CatalogType.int2, CatalogType.int4, CatalogType.int8, CatalogType.oid:
            if isNumber, Int64(text) != nil { return text }
            // PostgreSQL rounds where SQLite cuts off.
            return "(CASE typeof(\(text)) WHEN 'real' THEN CAST(round(\(text)) AS INTEGER) "
                + "ELSE CAST(\(text) AS INTEGER) END)"
        case CatalogType.text, CatalogType.name: return "CAST(\(text) AS TEXT)"
        case CatalogType.varchar:
            guard let length = modifiers.first else { return "CAST(\(text) AS TEXT)" }
            return "substr(CAST(\(text) AS TEXT), 1, \(length))"
        case CatalogType.float4, CatalogType.float8: return "CAST(\(text) AS REAL)"
        case CatalogType.numeric:
            guard modifiers.count == 2 else {
                return modifiers.isEmpty ? "CAST(\(text) AS NUMERIC)" : nil
            }
            return "round(CAST(\(text) AS NUMERIC), \(modifiers[1]))"
        case CatalogType.bool:
            return "(CASE typeof(\(text)) WHEN 'text' THEN "
                + "lower(\(text)) IN ('t', 'true', 'y', 'yes', 'on', '1') ELSE \(text) <> 0 END)"
        case CatalogType.date: return "date(\(text))"
        case CatalogType.timestamp, CatalogType.timestamptz, CatalogType.uuid, CatalogType.json,
            CatalogType.jsonb:
            return modifiers.isEmpty ? "(\(text))" : nil
        default: return nil
        }
    }

    /// SQL for a string constant taken as a type; nil where it is not plainly one.
    static func literal(_ value: String, type: String, modifiers: [Int] = []) -> String? {
        guard let oid = CatalogType.lookUp(type) else { return nil }
        let quoted = SQLQuoting.literal(value)
        switch oid {
        case CatalogType.text, CatalogType.name, CatalogType.json, CatalogType.jsonb: return quoted
        case CatalogType.varchar: return modifiers.isEmpty ? quoted : nil
        case CatalogType.uuid: return value.utf8.count == 36 ? quoted : nil
        case CatalogType.int2, CatalogType.int4, CatalogType.int8, CatalogType.oid:
            return Int64(value).map { String($0) }
        case CatalogType.bool:
            switch value.lowercased() {
            case "t", "true", "y", "yes", "on", "1": return "TRUE"
            case "f", "false", "n", "no", "off", "0": return "FALSE"
            default: return nil
            }
        case CatalogType.bytea:
            guard value.hasPrefix("\\x"), value.dropFirst(2).allSatisfy(\.isHexDigit),
                value.utf8.count % 2 == 0
            else { return nil }
            return "X'\(value.dropFirst(2))'"
        case CatalogType.date:
            return value.wholeMatch(of: #/\d{4}-\d\d-\d\d/#) == nil ? nil : quoted
        case CatalogType.timestamp, CatalogType.timestamptz:
            guard modifiers.isEmpty,
                let match = value.wholeMatch(
                    of: #/(\d{4}-\d\d-\d\d)([ T](\d\d:\d\d(:\d\d(\.\d+)?)?))?/#)
            else { return nil }
            guard let time = match.3 else { return SQLQuoting.literal("\(match.1) 00:00:00") }
            return SQLQuoting.literal("\(match.1) \(time)\(match.4 == nil ? ":00" : "")")
        default: return nil
        }
    }

    /// `extract(field FROM source)`, given what is between the parentheses.
    static func extract(_ pieces: [DialectRewriter.Piece]) -> String? {
        guard pieces.count >= 3, pieces[1].word == "from" else { return nil }
        let field =
            pieces[0].word.isEmpty
            ? StringLiteral.value(of: pieces[0].text)?.lowercased() ?? "" : pieces[0].word
        let source = DialectRewriter.text(pieces[2...])
        let formats = [
            "year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M", "dow": "%w",
            "doy": "%j", "epoch": "%s",
        ]
        if field == "second" { return "CAST(strftime('%f', \(source)) AS REAL)" }
        return formats[field].map { "CAST(strftime('\($0)', \(source)) AS INTEGER)" }
    }
}
