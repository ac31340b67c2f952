import SQLAnalysis

// DEALLOCATE and DISCARD end prepared statements by SQL; their names are read from the text, because
// analysis does not keep them.

extension PreparedStatement {
    var mentionsDeallocation: Bool {
        (statementProfile?.mayDeallocate ?? true) && Self.mentionsDeallocation(query)
    }

    /// The one statement that `DEALLOCATE [PREPARE] name` names; nil for anything else.
    static func nameDeallocated(by text: String) -> String? {
        var words = text.split(whereSeparator: { $0.isWhitespace || $0 == ";" }).map(String.init)
        guard words.first?.lowercased() == "deallocate" else { return nil }
        words.removeFirst()
        if words.count == 2, words[0].lowercased() == "prepare" { words.removeFirst() }
        guard words.count == 1, let word = words.first, word.lowercased() != "all" else {
            return nil
        }
        if word.count > 2, word.hasPrefix("\""), word.hasSuffix("\"") {
            let name = word.dropFirst().dropLast()
            let isPlain = name.utf8.allSatisfy { $0 < 0x80 && $0 != UInt8(ascii: "\"") }
            return isPlain ? String(name) : nil
        }
        let isPlain = word.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte)
                || (0x61...0x7a).contains(byte) || byte == 0x5f
        }
        return isPlain ? word.lowercased() : nil
    }

    static func mentionsDeallocation(_ text: String) -> Bool {
        let text = text.lowercased()
        // DISCARD PLANS, TEMP and SEQUENCES leave prepared statements as they are.
        return text.contains("deallocate") || (text.contains("discard") && text.contains("all"))
    }
}

extension StatementProfile {
    /// Whether it is of a kind that DEALLOCATE or DISCARD ALL can be, or can run.
    var mayDeallocate: Bool {
        switch kind {
        case .harmless, .setting, .opaque: true
        case .read, .write, .transaction, .locking: false
        }
    }
}
