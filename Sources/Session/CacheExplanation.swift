import NIOCore
import PostgresWire
import SQLAnalysis

/// What EXPLAIN CACHE answers: rows of property and value. The names of properties are part of the
/// product.
struct CacheExplanation: Equatable {
    struct Row: Equatable {
        let property: String
        let value: String
    }

    private(set) var rows: [Row] = []

    mutating func add(_ property: String, _ value: String) {
        rows.append(Row(property: property, value: value))
    }

    /// A statement whose answer is the rows. It mentions each parameter, so that it takes as many
    /// as the statement that was asked about; one that the client has not given a type is a text.
    ///
    /// Where `isASCII`, other characters are left out: the client's encoding is not UTF-8.
    func query(parameterTypes: [UInt32], parameters: Int, isASCII: Bool) -> String {
        let values = rows.map {
            "(\(Self.literal($0.property, isASCII)), \(Self.literal($0.value, isASCII)))"
        }
        var sql = "SELECT column1 AS property, column2 AS value FROM (VALUES "
        sql += values.joined(separator: ", ") + ") AS explanation"
        let mentions = (0..<max(parameters, parameterTypes.count)).map { index in
            let isTyped = index < parameterTypes.count && parameterTypes[index] != 0
            return "$\(index + 1)\(isTyped ? "" : "::text") IS NULL"
        }
        if !mentions.isEmpty { sql += " WHERE (\(mentions.joined(separator: " OR "))) IS NOT NULL" }
        return sql
    }

    /// A text constant that means the same whatever `standard_conforming_strings` says: with
    /// backslashes only where the constant's form gives them their meaning.
    static func literal(_ text: String, _ isASCII: Bool) -> String {
        var quoted = ""
        var hasBackslash = false
        for scalar in text.unicodeScalars {
            switch scalar {
            case "'": quoted += "''"
            case "\\":
                quoted += "\\\\"
                hasBackslash = true
            case _ where scalar.value < 0x20 || scalar.value == 0x7f: quoted += " "
            case _ where isASCII && !scalar.isASCII: quoted += "?"
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return (hasBackslash ? "E'" : "'") + quoted + "'"
    }
}

// MARK: - What analysis knows, in words

extension CacheExplanation {
    /// `name: all rows`, `name: rows where id = 5` …
    static func text(of scope: RowScope) -> String {
        guard case .keyed(let rows) = scope else { return "all rows" }
        if rows.columns.count == 1 {
            return "rows where " + comparison(rows.columns[0], rows.tuples.compactMap(\.first))
        }
        let columns = "(\(rows.columns.joined(separator: ", ")))"
        let tuples = rows.tuples.map { "(\($0.map(text).joined(separator: ", ")))" }
        if tuples.count == 1 { return "rows where \(columns) = \(tuples[0])" }
        return "rows where \(columns) in (\(tuples.joined(separator: ", ")))"
    }

    static func text(of pins: RowPins) -> String {
        if pins.columns.isEmpty { return "any row" }
        let parts = pins.columns.sorted { $0.key < $1.key }.map { column, values in
            comparison(column, values.sorted { text($0) < text($1) })
        }
        return "rows where " + parts.joined(separator: " and ")
    }

    private static func comparison(_ column: String, _ operands: [KeyOperand]) -> String {
        if operands.count == 1 {
            if case .anyElement(let index, _) = operands[0] {
                return "\(column) = any ($\(index + 1))"
            }
            return "\(column) = \(text(operands[0]))"
        }
        return "\(column) in (\(operands.map(text).joined(separator: ", ")))"
    }

    private static func text(_ operand: KeyOperand) -> String {
        switch operand {
        case .null: "null"
        case .parameter(let index, _): "$\(index + 1)"
        case .anyElement(let index, _): "any ($\(index + 1))"
        case .value(let value): text(value)
        }
    }

    private static func text(_ value: KeyValue) -> String {
        switch value {
        case .integer(let integer): "\(integer)"
        case .boolean(let boolean): "\(boolean)"
        case .text(let bytes):
            "'" + String(decoding: bytes, as: UTF8.self).replacing("'", with: "''") + "'"
        case .uuid(let bytes): "'" + uuid(bytes) + "'"
        case .date(let days): "date '2000-01-01' + \(days)"
        }
    }

    private static func uuid(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        var text = ""
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text += "-" }
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return text
    }

    /// A span of time for people: `250 ms`, `3.2 s`, `4 min 56 s`, `2 h 5 min`.
    static func duration(nanoseconds: UInt64) -> String {
        let milliseconds = nanoseconds / 1_000_000
        if milliseconds < 1000 { return "\(milliseconds) ms" }
        if milliseconds < 60_000 {
            let tenths = milliseconds % 1000 / 100
            return "\(milliseconds / 1000)\(tenths == 0 ? "" : ".\(tenths)") s"
        }
        let seconds = milliseconds / 1000
        if seconds < 3600 {
            return seconds % 60 == 0
                ? "\(seconds / 60) min" : "\(seconds / 60) min \(seconds % 60) s"
        }
        let minutes = seconds / 60
        if minutes < 48 * 60 {
            return minutes % 60 == 0 ? "\(minutes / 60) h" : "\(minutes / 60) h \(minutes % 60) min"
        }
        return "\(minutes / 1440) d"
    }
}
