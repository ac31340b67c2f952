/// Finds what each function may do besides computing its result, through everything it calls.
///
/// What a body calls is taken from its words (every name in it may be a function, a view, a type
/// or a table with code of its own), what it changes from its statements, where those are
/// understood: `FunctionBodyReader`. Names mean all that have the name, in any schema.
struct FunctionJudge {
    private(set) var effects: [UInt32: FunctionEffects] = [:]

    private struct Body {
        /// The function; nil for a view.
        let function: UInt32?
        let name: String
        let words: FunctionBodyScanner.Words
        let own: FunctionEffects
    }

    private let rows: CatalogRows
    private let classNames: [UInt32: String]
    private let typeNames: [UInt32: String]
    private var bodies: [Body] = []
    /// What mentioning a name in a body may do.
    private(set) var names: [String: FunctionEffects] = [:]
    private(set) var operators: [String: FunctionEffects] = [:]

    init(_ rows: CatalogRows) {
        self.rows = rows
        classNames = Dictionary(
            rows.classes.map { ($0.oid, $0.name) }, uniquingKeysWith: { first, _ in first })
        typeNames = Dictionary(
            rows.types.map { ($0.oid, $0.name) }, uniquingKeysWith: { first, _ in first })
        addFunctions()
        addViews()
        // Effects only grow and are bounded, so this ends.
        while passOn() {}
    }

    private mutating func addFunctions() {
        for function in rows.functions {
            let own: FunctionEffects
            if function.oid < CatalogBuilder.firstUserOID {
                own = FunctionEffects(
                    BuiltinFunctions.behaviour(
                        name: function.name, isVolatile: function.volatility == "v"))
            } else if function.language == "c" || function.language == "internal" {
                // Compiled code is trusted to be what it is declared as.
                let isHarmless =
                    function.volatility != "v"
                    || BuiltinFunctions.harmlessExtensions.contains(function.name)
                own = isHarmless ? FunctionEffects() : .opaque
            } else {
                let words = FunctionBodyScanner.words(of: function)
                own = FunctionEffects(of: words, FunctionBodyReader.targets(of: function, words))
                bodies.append(
                    Body(function: function.oid, name: function.name, words: words, own: own))
            }
            effects[function.oid] = own
            if !own.isEmpty { names[function.name, default: .init()].formUnion(own) }
        }
    }

    private mutating func addViews() {
        for definition in rows.definitions {
            guard let name = classNames[definition.relation] else { continue }
            let words = FunctionBodyScanner.words(ofText: definition.query, isSQL: true)
            let own = FunctionEffects(
                of: words, FunctionBodyReader.targets(ofSQL: definition.query, words))
            bodies.append(Body(function: nil, name: name, words: words, own: own))
        }
    }

    /// One round of handing the effects of what is called on to the callers; false when nothing
    /// was new.
    private mutating func passOn() -> Bool {
        var changed = false
        for entry in rows.operators {
            operators[entry.name, default: .init()].formUnion(effects[entry.function] ?? .opaque)
        }
        let casts = rows.castFunctions.reduce(into: FunctionEffects()) {
            $0.formUnion(effects[$1] ?? .opaque)
        }
        for dependency in rows.dependencies {
            guard let name = classNames[dependency.relation] else { continue }
            names[name, default: .init()].formUnion(effects[dependency.function] ?? .opaque)
        }
        for dependency in rows.typeDependencies {
            guard let name = typeNames[dependency.type] else { continue }
            names[name, default: .init()].formUnion(effects[dependency.function] ?? .opaque)
        }
        for body in bodies {
            var all = body.own
            all.formUnion(casts)
            for name in body.words.names {
                if let known = names[name] { all.formUnion(known) }
            }
            for name in body.words.operators {
                if let known = operators[name] { all.formUnion(known) }
            }
            guard !all.isEmpty else { continue }
            if let function = body.function, effects[function, default: .init()].formUnion(all) {
                changed = true
            }
            if names[body.name, default: .init()].formUnion(all) { changed = true }
        }
        return changed
    }
}
