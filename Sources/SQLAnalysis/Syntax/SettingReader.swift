/// Reads SET, RESET and `SELECT set_config(…)`.
///
/// https://www.postgresql.org/docs/15/sql-set.html
struct SettingReader {
    /// The whole text: the tree leaves out some constants.
    let sql: String

    func kind(_ fields: SyntaxTree) -> SyntaxFacts.Kind {
        guard let written = fields["name"]?.text else {
            return .setting(
                fields["kind"]?.text == "VAR_RESET_ALL" ? .resetAll : .unknown)
        }
        guard Self.isComparable(written) else { return .setting(.unknown) }
        let name = written.lowercased()
        let isLocal = fields["is_local"]?.isTrue ?? false
        switch fields["kind"]?.text {
        case "VAR_SET_MULTI":
            return transactionModes(name, fields["args"])
        case "VAR_RESET_ALL": return .setting(.resetAll)
        case "VAR_RESET": return .setting(.reset(name: name))
        case "VAR_SET_DEFAULT":
            return .setting(isLocal ? .setLocal(name: name) : .reset(name: name))
        case "VAR_SET_VALUE":
            // As setseed: what it leaves behind nothing resets.
            if name == "seed" { return .setting(.unknown) }
            let value = value(of: name, fields["args"])
            if isLocal { return .setting(.setLocal(name: name, value: value)) }
            guard let value else { return .setting(.unknown) }
            return .setting(.set(name: name, value: value))
        default: return .setting(.unknown)
        }
    }

    /// Whether the name's letters have the same cases, and it the same equals, here and in the
    /// server, which knows those of ASCII alone (the Kelvin sign is no k to it).
    private static func isComparable(_ name: String) -> Bool {
        name.utf8.allSatisfy { $0 < 0x80 }
    }

    /// SET TRANSACTION and SET SESSION CHARACTERISTICS.
    private func transactionModes(_ name: String, _ args: SyntaxTree?) -> SyntaxFacts.Kind {
        let isolation = TransactionReader.isolation(args)
        switch name {
        case "transaction": return .transaction(.setTransaction(isolation: isolation))
        case "transaction snapshot":
            // Only a repeatable-read transaction may take another's snapshot.
            return .transaction(.setTransaction(isolation: isolation ?? .repeatableRead))
        case "session characteristics":
            guard let isolation, args?.elements?.count == 1 else { return .setting(.unknown) }
            return .setting(
                .set(name: "default_transaction_isolation", value: spelling(isolation)))
        default: return .setting(.unknown)
        }
    }

    private func spelling(_ level: IsolationLevel) -> String {
        switch level {
        case .readUncommitted: "read uncommitted"
        case .readCommitted: "read committed"
        case .repeatableRead: "repeatable read"
        case .serializable: "serializable"
        }
    }

    /// Settings whose value is a list of names, each quoted where it has to be (GUC_LIST_QUOTE).
    private static let nameLists: Set<String> = [
        "search_path", "temp_tablespaces", "session_preload_libraries",
        "local_preload_libraries",
    ]

    private func value(of name: String, _ args: SyntaxTree?) -> String? {
        var words: [String] = []
        for argument in args?.elements ?? [] {
            guard let constant = argument.fields(of: "A_Const"), let word = text(constant) else {
                return nil
            }
            words.append(Self.nameLists.contains(name) ? quoted(word) : word)
        }
        return words.isEmpty ? nil : words.joined(separator: ", ")
    }

    private func text(_ constant: SyntaxTree) -> String? {
        if let string = constant["sval"] { return string["sval"]?.text ?? "" }
        if let integer = constant["ival"] {
            return integer["ival"]?.integer.map(String.init) ?? writtenInteger(constant)
        }
        if let float = constant["fval"] { return float["fval"]?.text }
        if let boolean = constant["boolval"] {
            return boolean["boolval"]?.isTrue ?? false ? "true" : "false"
        }
        return nil
    }

    /// libpg_query prints neither zero nor negative integers: what is written there says which.
    private func writtenInteger(_ constant: SyntaxTree) -> String? {
        guard let location = constant["location"]?.integer, location >= 0 else { return nil }
        var rest = sql.utf8.dropFirst(location)
        let isNegative = rest.first == UInt8(ascii: "-")
        if isNegative { rest = rest.dropFirst().drop { $0 == 0x20 } }
        let digits = rest.prefix { $0 >= 0x30 && $0 <= 0x39 }
        guard let value = Int(String(decoding: digits, as: UTF8.self)) else { return nil }
        return String(isNegative ? -value : value)
    }

    private func quoted(_ name: String) -> String {
        let isBare =
            !name.isEmpty
            && name.utf8.enumerated().allSatisfy { index, byte in
                (byte >= 0x61 && byte <= 0x7a) || byte == 0x5f
                    || (index > 0 && byte >= 0x30 && byte <= 0x39)
            }
        if isBare { return name }
        return "\""
            + name.split(separator: "\"", omittingEmptySubsequences: false)
            .joined(separator: "\"\"") + "\""
    }

    /// The change made by `SELECT set_config('name', 'value', is_local)` where that is all there
    /// is to the statement, but for `current_setting('name')` beside it; nil for any other.
    func setConfiguration(_ select: SyntaxTree) -> SettingChange? {
        let plain: Set<String> = ["targetList", "limitOption", "op"]
        guard select.members.allSatisfy({ plain.contains($0.name) }),
            let targets = select["targetList"]?.elements
        else { return nil }
        let calls = targets.compactMap {
            $0.fields(of: "ResTarget")?["val"]?.fields(of: "FuncCall")
        }
        let changes = calls.filter { calledName($0) == "set_config" }
        guard calls.count == targets.count, changes.count == 1,
            calls.allSatisfy({ isChangeOrQuestion($0) })
        else { return nil }
        guard let args = changes[0]["args"]?.elements, args.count == 3,
            let setting = args[0].fields(of: "A_Const").flatMap(text), Self.isComparable(setting),
            let isLocal = boolean(args[2])
        else { return .unknown }
        if setting.lowercased() == "seed" { return .unknown }
        guard let value = args[1].fields(of: "A_Const").flatMap(text) else {
            // asyncpg restores this one with a parameter, whenever it has looked types up; it
            // changes no answer, whatever its value.
            if setting.lowercased() == "jit" { return .set(name: "jit", value: "") }
            // A parameter's value is not part of the text, but what it is given to is.
            return isLocal && isParameter(args[1])
                ? .setLocal(name: setting.lowercased()) : .unknown
        }
        return isLocal
            ? .setLocal(name: setting.lowercased(), value: value)
            : .set(name: setting.lowercased(), value: value)
    }

    /// Without `pg_catalog`; nil where it is another schema's function.
    private func calledName(_ call: SyntaxTree) -> String? {
        guard let names = call["funcname"]?.names else { return nil }
        return names.count == 1 || names.first == "pg_catalog" ? names.last : nil
    }

    private func isChangeOrQuestion(_ call: SyntaxTree) -> Bool {
        switch calledName(call) {
        case "set_config": true
        case "current_setting":
            call["args"]?.elements?.allSatisfy { $0.fields(of: "A_Const") != nil } ?? false
        default: false
        }
    }

    private func isParameter(_ argument: SyntaxTree) -> Bool {
        let inner = argument.fields(of: "TypeCast")?["arg"] ?? argument
        return inner.fields(of: "ParamRef") != nil
    }

    private func boolean(_ argument: SyntaxTree) -> Bool? {
        guard let constant = argument.fields(of: "A_Const"), let value = constant["boolval"]
        else { return nil }
        return value["boolval"]?.isTrue ?? false
    }
}
