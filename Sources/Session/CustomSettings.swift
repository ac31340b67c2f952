import SQLAnalysis

/// The settings with a dot in their names (`app.tenant`), as far as this session's are known.
///
/// They belong to applications and extensions, and most decide nothing. Some are read by answers,
/// through `current_setting` in a policy, a view or the statement (`StatementProfile.settingsRead`):
/// those are *needed*, and part of the session's identity from then on, as long as their values are
/// known. Others are remembered, a bounded number of them, and looked at by nobody.
///
/// A session that has not looked a setting up cannot get another's answer: an answer that depends
/// on settings is only stored under an identity that names each of them with its value, and
/// identities are equal only if they name the same settings. So one that lacks a name, because the
/// session never needed it or does not know its value, finds no such answer: it misses, learns from
/// the profile what it needs, asks the server, and looks again.
///
/// A pure value, told of changes when the server has confirmed them, like `SessionSettings`.
struct CustomSettings {
    enum Value: Hashable {
        /// Never set: `current_setting(name, true)` is NULL, which is not ''.
        case null
        case text(String)
    }

    private struct Entry: Equatable {
        /// nil: not known.
        var value: Value?
        /// Whether it is what RESET gives.
        var isLogin: Bool
    }

    /// Names that are needed, and names that are remembered, at most.
    static let capacity = 64
    /// In bytes; a longer value is not remembered.
    private static let longestValue = 1024

    /// What RESET gives, where that is known.
    private var login: [String: Value] = [:]
    /// In force when no transaction is running.
    private var committed: [String: Entry] = [:]
    /// Will be in force when the running transaction commits: without its SET LOCAL.
    private var kept: [String: Entry] = [:]
    /// In force now.
    private var current: [String: Entry] = [:]
    /// What holds of a name without an entry.
    private var unnamed = Entry(value: nil, isLogin: true)
    /// Changed in the running transaction.
    private var touched: Set<String> = []
    private(set) var needed: Set<String> = []
    /// Needed names that the server was asked for, in vain.
    private var askedInVain: Set<String> = []
    /// Whether a needed value is not known and has not been asked for in vain.
    private(set) var mustAsk = false

    static func includes(_ name: String) -> Bool { name.utf8.contains(UInt8(ascii: ".")) }

    // MARK: What is known

    /// Whether the values of all of them are known, and part of the identity.
    func knows(_ names: Set<String>) -> Bool {
        names.allSatisfy { needed.contains($0) && entry($0, in: current).value != nil }
    }

    /// The needed settings whose values are known, as they enter the identity.
    var identifying: [String: String] {
        var known: [String: String] = [:]
        for name in needed {
            switch entry(name, in: current).value {
            case .null?: known[name] = "null"
            case .text(let text)?: known[name] = "=" + text
            case nil: break
            }
        }
        return known
    }

    /// Whether a needed value is known.
    var hasKnown: Bool { needed.contains { entry($0, in: current).value != nil } }

    /// Notes that answers depend on these; true where one of them is new.
    mutating func need(_ names: Set<String>) -> Bool {
        var isNew = false
        for name in names
        where !needed.contains(name) && needed.count < Self.capacity && Self.isPlain(name) {
            needed.insert(name)
            isNew = true
        }
        if isNew { refresh() }
        return isNew
    }

    /// The needed names to ask the server for.
    var unknown: [String] {
        needed.filter { entry($0, in: current).value == nil && !askedInVain.contains($0) }.sorted()
    }

    private func entry(_ name: String, in layer: [String: Entry]) -> Entry {
        layer[name] ?? unnamed
    }

    private mutating func refresh() {
        mustAsk =
            !needed.isEmpty
            && needed.contains {
                !askedInVain.contains($0) && entry($0, in: current).value == nil
            }
    }

    // MARK: Changes that the server has confirmed

    /// SET name TO value, or set_config.
    mutating func set(_ name: String, to text: String, isLocal: Bool) {
        noteDefined(name)
        guard makeRoom(for: name) else { return }
        let isShort = text.utf8.count <= Self.longestValue
        let entry = Entry(value: isShort ? .text(text) : nil, isLogin: false)
        change(name, to: entry, isLocal: isLocal)
    }

    /// SET LOCAL name TO something that is not a constant.
    mutating func setLocally(_ name: String) {
        noteDefined(name)
        guard makeRoom(for: name) else { return }
        change(name, to: Entry(value: nil, isLogin: false), isLocal: true)
    }

    mutating func reset(_ name: String) {
        guard makeRoom(for: name) else { return }
        change(name, to: Entry(value: login[name], isLogin: true), isLocal: false)
    }

    mutating func resetAll() {
        for name in Set(current.keys).union(needed) { reset(name) }
    }

    mutating func discardAll() {
        resetAll()
        committed = kept
        touched = []
        unnamed.isLogin = true
        refresh()
    }

    private mutating func change(_ name: String, to entry: Entry, isLocal: Bool) {
        touched.insert(name)
        current[name] = entry
        if !isLocal { kept[name] = entry }
        askedInVain.remove(name)
        refresh()
    }

    /// Once set, a setting is never NULL again in this session: undone, it is ''.
    private mutating func noteDefined(_ name: String) {
        if login[name] == .null { login[name] = .text("") }
    }

    /// False where the name is one too many: it is then not known, whatever it was.
    private mutating func makeRoom(for name: String) -> Bool {
        if current[name] != nil || needed.contains(name) { return true }
        if current.count < Self.capacity * 2 {
            // Its other layers hold what they held before.
            committed[name] = entry(name, in: committed)
            kept[name] = entry(name, in: kept)
            return true
        }
        unnamed.isLogin = false
        return false
    }

    // MARK: Ends of transactions

    /// nil: unknown how.
    mutating func transactionEnded(committed didCommit: Bool?) {
        guard !touched.isEmpty else { return }
        for name in touched {
            var entry: Entry
            switch didCommit {
            case true?: entry = self.entry(name, in: kept)
            case false?: entry = self.entry(name, in: committed)
            case nil: entry = Entry(value: nil, isLogin: false)
            }
            if entry.value == .null { entry.value = .text("") }
            committed[name] = entry
            kept[name] = entry
            current[name] = entry
        }
        touched = []
        refresh()
    }

    /// Which of the transaction's changes are undone is not followed.
    mutating func rolledBackToSavepoint() {
        for name in touched {
            current[name] = Entry(value: nil, isLogin: false)
            kept[name] = current[name]
        }
        refresh()
    }

    /// A statement that sets has failed. It may have named a setting before, which is '' then.
    mutating func changeFailed() {
        login = login.filter { $0.value != .null }
        for layer in [\Self.committed, \.kept, \.current] {
            self[keyPath: layer] = self[keyPath: layer].mapValues { entry in
                entry.value == .null ? Entry(value: nil, isLogin: entry.isLogin) : entry
            }
        }
        refresh()
    }

    /// Something may have set any of them.
    mutating func distrust() {
        changeFailed()
        unnamed = Entry(value: nil, isLogin: false)
        committed = [:]
        kept = [:]
        current = [:]
        touched = []
        askedInVain = []
        refresh()
    }

    /// The server-side session is a new one.
    mutating func reconnected() {
        let needed = needed
        self = CustomSettings()
        self.needed = needed
        refresh()
    }

    /// The server's answer to a question for `names`, while no transaction was running.
    mutating func answered(_ names: [String], _ values: [String: Value]) {
        for name in names {
            guard let value = values[name] else {
                askedInVain.insert(name)
                continue
            }
            let isLogin = entry(name, in: current).isLogin
            if isLogin { login[name] = value }
            let entry = Entry(value: value, isLogin: isLogin)
            committed[name] = entry
            kept[name] = entry
            current[name] = entry
        }
        refresh()
    }
}

// MARK: - Asking the server

extension CustomSettings {
    /// Marks the rows of these settings among those of a probe.
    private static let rowPrefix = "mynah.setting "

    /// Rows of a marked name and a value that tells NULL from '', as text.
    ///
    /// Names come out of statements: only such are asked for as need no quoting. Everything is
    /// schema-qualified, because the session's search_path is the client's.
    static func question(for names: [String]) -> String? {
        let plain = names.filter(isPlain)
        guard !plain.isEmpty else { return nil }
        let list = plain.map { "('\($0)')" }.joined(separator: ",")
        return """
            SELECT pg_catalog.concat('\(rowPrefix)', n), CASE WHEN \
            pg_catalog.current_setting(n, true) IS NULL THEN 'null' ELSE \
            pg_catalog.concat('=', pg_catalog.current_setting(n, true)) END \
            FROM (VALUES \(list)) v(n)
            """
    }

    private static func isPlain(_ name: String) -> Bool {
        name.utf8.count < 128
            && name.utf8.allSatisfy {
                ($0 >= 0x61 && $0 <= 0x7a) || ($0 >= 0x30 && $0 <= 0x39)
                    || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".")
            }
    }

    /// The values in the rows of an answer.
    static func values(in rows: [String: String]) -> [String: Value] {
        var values: [String: Value] = [:]
        for (name, value) in rows where name.hasPrefix(rowPrefix) {
            values[String(name.dropFirst(rowPrefix.count))] =
                value == "null" ? .null : .text(String(value.dropFirst()))
        }
        return values
    }
}
