/// What mentioning a name or an operator in a piece of code may do: functions, views, types and
/// tables with code of their own, all schemas together.
struct CodeEffects: Sendable {
    private var names: [String: FunctionEffects] = [:]
    private var operators: [String: FunctionEffects] = [:]

    init() {}

    init(_ judge: FunctionJudge) {
        names = judge.names
        operators = judge.operators
    }

    func effects(ofName name: String) -> FunctionEffects { names[name] ?? FunctionEffects() }

    /// - Parameter code: the body of a DO statement.
    func effects(of code: CodeBlock) -> FunctionEffects {
        var effects = code.own
        for name in code.words.names {
            if let known = names[name] { effects.formUnion(known) }
        }
        for name in code.words.operators {
            if let known = operators[name] { effects.formUnion(known) }
        }
        return effects
    }
}

/// The body of a DO statement that can be seen through.
package struct CodeBlock: Sendable {
    let words: FunctionBodyScanner.Words
    let own: FunctionEffects

    /// nil for other languages than PL/pgSQL, and for code whose own statements are opaque: those
    /// may end the transaction.
    init?(_ statement: SyntaxTree) {
        var source: String?
        var language = "plpgsql"
        for argument in statement["args"]?.elements ?? [] {
            guard let element = argument.fields(of: "DefElem"),
                let text = element["arg"]?.fields(of: "String")?["sval"]?.text
            else { return nil }
            switch element["defname"]?.text {
            case "as": source = text
            case "language": language = text
            default: return nil
            }
        }
        guard let source, language == "plpgsql" else { return nil }
        words = FunctionBodyScanner.words(ofText: source, isSQL: false)
        own = FunctionEffects(
            of: words,
            FunctionBodyReader.targets(
                ofPLpgSQL: FunctionBodyReader.definition(ofBody: source, returning: "void"), words))
        if own.contains(.mayWrite) { return nil }
    }
}
