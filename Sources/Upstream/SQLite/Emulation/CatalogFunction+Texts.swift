import Foundation
import PostgresWire

extension CatalogFunction {
    /// https://www.postgresql.org/docs/15/functions-string.html
    static let textFunctions: [CatalogFunction] = [
        CatalogFunction("quote_ident", CatalogType.text, [CatalogType.text]) {
            .text(SQLQuoting.identifierIfNeeded($0.text(0)))
        },
        CatalogFunction("quote_literal", CatalogType.text, [CatalogType.text]) {
            let quoted = SQLQuoting.literal($0.text(0))
            guard quoted.contains("\\") else { return .text(quoted) }
            return .text("E" + quoted.replacingOccurrences(of: "\\", with: "\\\\"))
        },
        CatalogFunction("lower", CatalogType.text, [CatalogType.text]) {
            .text($0.text(0).lowercased())
        },
        CatalogFunction("upper", CatalogType.text, [CatalogType.text]) {
            .text($0.text(0).uppercased())
        },
        CatalogFunction("concat", CatalogType.text, isStrict: false) { call in
            .text(call.arguments.compactMap(\.string).joined())
        },
        CatalogFunction("concat_ws", CatalogType.text, isStrict: false) { call in
            guard let separator = call.arguments.first?.string else { return .null }
            return .text(
                call.arguments.dropFirst().compactMap(\.string).joined(separator: separator))
        },
        CatalogFunction("split_part", CatalogType.text, [CatalogType.text, CatalogType.text]) {
            let parts = $0.text(0).components(separatedBy: $0.text(1))
            guard let position = $0.number(2), position > 0, position <= parts.count else {
                return .text("")
            }
            return .text(parts[position - 1])
        },
        CatalogFunction("starts_with", CatalogType.bool, [CatalogType.text, CatalogType.text]) {
            CatalogValue($0.text(0).hasPrefix($0.text(1)))
        },
        CatalogFunction("format", CatalogType.text, isStrict: false) {
            call throws(PostgresError) in
            guard let format = call.arguments.first?.string else { return .null }
            return .text(try formatted(format, Array(call.arguments.dropFirst())))
        },
        // (text, pattern, flags): the operators ~ and ~*.
        CatalogFunction(Internal.matches, CatalogType.bool) { call throws(PostgresError) in
            let pattern = call.text(1)
            let options: NSRegularExpression.Options =
                call.number(2) == 1 ? [.caseInsensitive] : []
            // Long patterns are not how catalogs are asked, and could take for ever.
            guard pattern.utf8.count <= 1000,
                let expression = try? NSRegularExpression(pattern: pattern, options: options)
            else { throw PostgresError("2201B", "invalid regular expression") }
            let text = call.text(0)
            let range = NSRange(text.startIndex..., in: text)
            return CatalogValue(expression.firstMatch(in: text, range: range) != nil)
        },
        CatalogFunction(Internal.booleanInput, CatalogType.bool) { call throws(PostgresError) in
            switch call.text(0).lowercased() {
            case "t", "true", "1", "on", "yes", "y", "tr", "tru", "ye": return CatalogValue(true)
            case "f", "false", "0", "off", "no", "n", "fa", "fal", "fals", "of":
                return CatalogValue(false)
            default:
                throw PostgresError("22P02", "invalid input syntax for type boolean")
            }
        },
    ]

    /// `%s`, `%I`, `%L`, `%%` of PostgreSQL's `format`, without positions and widths.
    private static func formatted(
        _ format: String, _ arguments: [CatalogValue]
    ) throws(PostgresError) -> String {
        var result = ""
        var remaining = arguments[...]
        var characters = format.makeIterator()
        while let character = characters.next() {
            guard character == "%" else {
                result.append(character)
                continue
            }
            guard let directive = characters.next() else { break }
            if directive == "%" {
                result.append("%")
                continue
            }
            guard "sIL".contains(directive), let argument = remaining.popFirst() else {
                throw PostgresError(
                    .featureNotSupported,
                    "this use of format() is not supported with an embedded SQLite database")
            }
            switch directive {
            case "I": result += SQLQuoting.identifierIfNeeded(argument.string ?? "")
            case "L": result += argument.string.map(SQLQuoting.literal) ?? "NULL"
            default: result += argument.string ?? ""
            }
        }
        return result
    }

    /// https://www.postgresql.org/docs/15/functions-array.html
    static let arrayFunctions: [CatalogFunction] = [
        // (text, element type is a number)
        CatalogFunction(Internal.arrayInput, CatalogType.textArray) { call throws(PostgresError) in
            guard let array = CatalogArray(text: call.text(0), isNumeric: call.number(1) == 1)
            else { throw PostgresError("22P02", "malformed array literal") }
            return .text(array.json)
        },
        CatalogFunction("array_to_string", CatalogType.text, [], isStrict: false) { call in
            guard call.arguments.count >= 2, !call.arguments[0].isNull,
                let separator = call.arguments[1].string
            else { return .null }
            let forNull = call.arguments.count > 2 ? call.arguments[2].string : nil
            return .text(
                call.array(0).compactMap { $0.string ?? forNull }.joined(separator: separator))
        },
        CatalogFunction("string_to_array", CatalogType.textArray, [CatalogType.text]) { call in
            guard !call.text(0).isEmpty else { return .text("[]") }
            return .text(
                CatalogArray(
                    call.text(0).components(separatedBy: call.text(1)).map(CatalogValue.text)
                ).json)
        },
        CatalogFunction("array_length", CatalogType.int4) { call in
            let count = call.array(0).count
            return count == 0 || call.number(1) != 1 ? .null : .integer(Int64(count))
        },
        CatalogFunction("array_upper", CatalogType.int4) { call in
            let count = call.array(0).count
            return count == 0 || call.number(1) != 1 ? .null : .integer(Int64(count))
        },
        CatalogFunction("array_lower", CatalogType.int4) { call in
            call.array(0).isEmpty || call.number(1) != 1 ? .null : .integer(1)
        },
        CatalogFunction("cardinality", CatalogType.int4) { .integer(Int64($0.array(0).count)) },
        CatalogFunction("array_remove", 0, isStrict: false) { call in
            guard call.arguments.count == 2, !call.arguments[0].isNull else { return .null }
            let removed = call.arguments[1].string
            return .text(CatalogArray(call.array(0).filter { $0.string != removed }).json)
        },
        CatalogFunction("array_append", 0, isStrict: false) { call in
            .text(CatalogArray(call.array(0) + call.arguments.dropFirst().prefix(1)).json)
        },
        CatalogFunction("array_position", CatalogType.int4, isStrict: false) { call in
            guard call.arguments.count >= 2, !call.arguments[0].isNull else { return .null }
            let wanted = call.arguments[1].string
            guard let position = call.array(0).firstIndex(where: { $0.string == wanted })
            else { return .null }
            return .integer(Int64(position + 1))
        },
        CatalogFunction(Internal.concatenateArrays, 0, isStrict: false) { call in
            // NULL is an empty array to `||`, unless both are.
            if call.arguments.allSatisfy(\.isNull) { return .null }
            return .text(CatalogArray(call.array(0) + call.array(1)).json)
        },
        CatalogFunction(Internal.containsArray, CatalogType.bool) { call in
            let have = Set(call.array(0).map(\.string))
            return CatalogValue(call.array(1).allSatisfy { have.contains($0.string) })
        },
        CatalogFunction(Internal.series, CatalogType.int4Array) { call throws(PostgresError) in
            guard let first = call.number(0), let last = call.number(1) else { return .text("[]") }
            let step = call.number(2) ?? 1
            let bounds = -100_000...100_000
            guard step != 0, bounds.contains(first), bounds.contains(last), bounds.contains(step)
            else {
                throw PostgresError(.programLimitExceeded, "generate_series is too long")
            }
            let numbers = stride(from: first, through: last, by: step)
            return .text(CatalogArray(numbers.map { .integer(Int64($0)) }).json)
        },
    ]
}
