import Foundation

/// A one-dimensional array in the catalog database (JSON) and as PostgreSQL writes it.
/// https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO
struct CatalogArray {
    var elements: [CatalogValue]

    init(_ elements: [CatalogValue]) { self.elements = elements }

    init?(json: String?) {
        guard let json,
            let list = try? JSONSerialization.jsonObject(with: Data(json.utf8)) as? [Any]
        else { return nil }
        elements = list.map {
            switch $0 {
            case let text as String: .text(text)
            case let number as NSNumber: .integer(number.int64Value)
            default: .null
            }
        }
    }

    /// Reads `{a,"b c",NULL}`; vectors (`1 2`) and JSON lists are taken too.
    init?(text: String, isNumeric: Bool) {
        func value(_ text: String, quoted: Bool) -> CatalogValue {
            if !quoted, text.uppercased() == "NULL" { return .null }
            if isNumeric, let number = Int64(text) { return .integer(number) }
            return .text(text)
        }
        if text.hasPrefix("["), let array = CatalogArray(json: text) {
            self = array
            return
        }
        guard text.hasPrefix("{") else {
            guard isNumeric else { return nil }
            elements = text.split(separator: " ").map { value(String($0), quoted: false) }
            return
        }
        guard text.hasSuffix("}") else { return nil }
        var elements: [CatalogValue] = []
        var current = ""
        var wasQuoted = false
        var inQuotes = false
        var isEscaped = false
        let body = text.dropFirst().dropLast()
        for character in body {
            if isEscaped {
                current.append(character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "\"" {
                inQuotes.toggle()
                wasQuoted = true
            } else if character == ",", !inQuotes {
                elements.append(value(current, quoted: wasQuoted))
                current = ""
                wasQuoted = false
            } else if character == "{" || character == "}", !inQuotes {
                return nil
            } else {
                current.append(character)
            }
        }
        guard !inQuotes, !isEscaped else { return nil }
        if !body.isEmpty { elements.append(value(current, quoted: wasQuoted)) }
        self.elements = elements
    }

    var json: String {
        "["
            + elements.map {
                switch $0 {
                case .null: "null"
                case .integer(let number): String(number)
                case .real(let number): String(number)
                case .text(let text): Self.jsonString(text)
                }
            }.joined(separator: ",") + "]"
    }

    /// What goes on the wire. `spell` turns an element into text.
    func text(isVector: Bool, spell: (CatalogValue) -> String?) -> String {
        if isVector { return elements.compactMap(spell).joined(separator: " ") }
        return "{"
            + elements.map { element in
                guard let text = spell(element) else { return "NULL" }
                return Self.quoted(text)
            }.joined(separator: ",") + "}"
    }

    private static func quoted(_ text: String) -> String {
        let needsQuotes =
            text.isEmpty || text.uppercased() == "NULL"
            || text.contains { "{},\"\\".contains($0) || $0.isWhitespace }
        guard needsQuotes else { return text }
        let escaped = text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined()
        return "\"\(escaped)\""
    }

    private static func jsonString(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
