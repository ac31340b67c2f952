/// What SET has made of a server-side session, as its differences from what login gave.
///
/// A client session has one, and takes it along from connection to connection; a connection has one,
/// and is made equal to its borrower's before that sends a statement. Names are lower-case.
package struct ServerSettings: Equatable, Sendable {
    package enum Value: Hashable, Sendable {
        case text(String)
        /// What login gave, though it has been something else. Kept for names with a dot alone: once
        /// set such a name exists, and reads as '' where it would be an error or NULL before.
        case login
    }

    package private(set) var values: [String: Value]

    package init(_ values: [String: Value] = [:]) {
        self.values = values
    }

    package subscript(name: String) -> Value? { values[name] }

    /// The names with a dot that exist here and not in a new session.
    package var definedNames: Set<String> {
        Set(values.keys.lazy.filter(Self.isCustom))
    }

    package static func isCustom(_ name: String) -> Bool { name.utf8.contains(UInt8(ascii: ".")) }

    /// Whether a setting of this name and value can be made again on another connection: plain
    /// letters in the name, and in the value such as read the same in every client encoding.
    package static func isReplayable(_ name: String, _ value: String) -> Bool {
        isPlain(name) && value.utf8.count <= longestValue
            && value.utf8.allSatisfy { $0 < 0x80 && $0 != 0 }
    }

    private static let longestValue = 4096

    private static func isPlain(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count < 128
            && name.utf8.allSatisfy {
                ($0 >= 0x61 && $0 <= 0x7a) || ($0 >= 0x30 && $0 <= 0x39)
                    || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".")
            }
    }

    package mutating func set(_ name: String, to value: String) {
        values[name] = .text(value)
    }

    package mutating func reset(_ name: String) {
        values[name] = Self.isCustom(name) ? .login : nil
    }

    /// RESET ALL, which leaves the role alone.
    package mutating func resetAll() {
        for name in values.keys where name != Self.role { reset(name) }
    }

    package mutating func discardAll() {
        for name in values.keys { reset(name) }
    }

    private static let role = "role"

    /// The statements that make a session with these settings one with `target`; nil where there is
    /// nothing to do.
    ///
    /// One implicit transaction, all or nothing. The role goes first and comes last: what is between
    /// is set with the rights of the login. Names are plain, values ASCII (`isReplayable`), written so
    /// that they read the same whatever `standard_conforming_strings` says.
    package func statements(toReach target: ServerSettings) -> String? {
        if self == target { return nil }
        var all: [String] = []
        if values[Self.role] != nil { all.append("RESET role") }
        for name in values.keys.sorted() where target.values[name] == nil && name != Self.role {
            all.append("RESET \(Self.quoted(name))")
        }
        for (name, value) in target.values.sorted(by: { $0.key < $1.key })
        where name != Self.role && values[name] != value {
            switch value {
            case .login: all.append("RESET \(Self.quoted(name))")
            case .text(let text): all.append(Self.assignment(name, text))
            }
        }
        if case .text(let role) = target.values[Self.role] {
            all.append(Self.assignment(Self.role, role))
        }
        return all.joined(separator: ";")
    }

    private static func assignment(_ name: String, _ value: String) -> String {
        "SELECT pg_catalog.set_config('\(name)',\(literal(value)),false)"
    }

    private static func literal(_ text: String) -> String {
        var escaped = "E'"
        for character in text.unicodeScalars {
            if character == "'" || character == "\\" { escaped.unicodeScalars.append(character) }
            escaped.unicodeScalars.append(character)
        }
        // A quote doubled, a backslash doubled.
        return escaped + "'"
    }

    private static func quoted(_ name: String) -> String {
        name.split(separator: ".", omittingEmptySubsequences: false)
            .map { "\"\($0)\"" }.joined(separator: ".")
    }
}
